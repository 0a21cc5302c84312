"""`ganzoo.audit` and its report, on generators whose sins are known."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from PIL import Image

import ganzoo
from ganzoo import files, layout, training
from ganzoo.cli import main
from ganzoo.data import load_data
from ganzoo.errors import DataError, InputError
from ganzoo.evaluation import auditing, report
from ganzoo.evaluation.auditing import Audit, add_audit, other_split
from ganzoo.evaluation.bias import class_shares, label_accuracy
from ganzoo.evaluation.fairness import ClassGap
from ganzoo.models import Generator
from tests import tiny

TRAIN = "shapes?channels=1&n=600&size=16"
OTHERS = f"{TRAIN}&seed=5"


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    recipe = tiny.recipe("gan", data={"source": TRAIN}, generator="gan", discriminator="gan")
    return training.train(recipe, tmp_path_factory.mktemp("runs") / "1")


class Playback(Generator):
    """A generator that shows given images, by the seeds' draws."""

    def __init__(self, inner: Generator, images: np.ndarray) -> None:
        super().__init__(inner.config)
        self.part, self.record, self.name = inner.part, inner.record, "playback"
        self.images = torch.from_numpy(images.copy()).float() / 127.5 - 1
        self.anchor = torch.nn.Parameter(torch.zeros(1))

    def forward(self, z: torch.Tensor, labels: torch.Tensor | None = None) -> torch.Tensor:
        rows = (z[:, 0].double().mul(1e6).long() % len(self.images)).abs()
        return self.images[rows]


def audit_of(
    run: Path, images: np.ndarray, monkeypatch: pytest.MonkeyPatch, **options: object
) -> Audit:
    """The audit of a model that shows these images."""
    from ganzoo import loading

    load = loading.load
    monkeypatch.setattr(loading, "load", lambda *a, **k: Playback(load(*a, **k), images))
    found = ganzoo.audit(run, **{"holdout": OTHERS, "n": 500, **options})
    monkeypatch.undo()
    return found


def pixels(spec: str) -> np.ndarray:
    return np.asarray(load_data(spec).pixels)


def test_copies_fail_and_are_shown_beside_their_originals(
    run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = audit_of(run, pixels(TRAIN)[:50], monkeypatch)
    assert found.verdict == "fail"
    assert "500 samples are training images" in found.reasons[0]
    assert found.samples is not None and found.originals is not None
    assert torch.equal(found.samples, found.originals)
    assert found.samples.shape == (auditing.PAIRS, 1, 16, 16)


def test_mirrored_copies_fail_too(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = audit_of(run, pixels(TRAIN)[:50, :, :, ::-1], monkeypatch)
    assert found.verdict == "fail"
    assert found.samples is not None and found.originals is not None
    assert torch.equal(found.samples, found.originals)


def test_new_images_do_not_fail_but_few_are_not_passed(
    run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = audit_of(run, pixels(f"{TRAIN}&seed=9"), monkeypatch)
    assert found.verdict == "warn"
    assert any("a few copies stay unseen" in reason for reason in found.reasons)
    assert set(found.copying.spaces) == {"pixels-v1", "random-v1"}
    assert not any(space.copying for space in found.copying.spaces.values())


def test_without_held_out_images_nothing_is_passed(
    run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(auditing, "other_split", lambda spec: None)
    found = ganzoo.audit(run, n=200)
    assert found.verdict == "unaudited"
    assert "no held-out images" in found.reasons[0]
    assert any("no held-out images" in item for item in found.not_examined)
    assert found.samples is None


def test_the_discriminator_of_a_run_is_asked_for_members(run: Path) -> None:
    found = ganzoo.audit(run, holdout=OTHERS, n=200)
    assert found.membership is not None
    assert (found.membership.members, found.membership.held_out) == (600, 600)
    assert 0.3 < found.membership.lower < found.membership.auc < found.membership.upper < 0.7


def test_the_other_split_is_held_out() -> None:
    assert other_split("mnist") == "mnist@test"
    assert other_split("mnist@test") == "mnist"
    assert other_split("fashion-mnist?resolution=32") == "fashion-mnist@test?resolution=32"
    assert other_split("folder:cats") is None


def test_training_images_are_not_held_out(run: Path) -> None:
    with pytest.raises(DataError, match="the held-out images are the training images"):
        ganzoo.audit(run, holdout=TRAIN, n=200)


def test_an_audit_needs_samples(run: Path) -> None:
    with pytest.raises(InputError, match="an audit of 0 samples"):
        ganzoo.audit(run, holdout=OTHERS, n=0)


def test_by_other_images_than_the_models_own_nothing_is_passed(
    run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A copier that is audited with its training images held out looks honest."""
    others = f"{TRAIN}&seed=3"
    found = audit_of(run, pixels(TRAIN), monkeypatch, data=others, holdout=TRAIN)
    assert found.verdict == "unaudited"
    assert found.reasons[0] == "these are not the images that the model was trained on"
    assert any("these are others" in item for item in found.not_examined)
    found = audit_of(run, pixels(others)[:50], monkeypatch, data=others)
    assert found.verdict == "fail"


def test_a_missing_class_is_named_through_a_classifier(
    run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Shapes, read by a classifier of theirs: the mean of an image's pixels tells nothing, so the
    classifier here looks the image up."""
    known = {
        image.tobytes(): int(label)
        for spec in (TRAIN, OTHERS, f"{TRAIN}&seed=9")
        for image, label in zip(pixels(spec), load_data(spec).labels, strict=True)
    }

    class LooksUp(torch.nn.Module):
        classes = ("circle", "square", "triangle", "cross")

        def outputs(self, images: torch.Tensor) -> object:
            from ganzoo.evaluation.extractors import Outputs

            read = [known.get(image.numpy().tobytes(), 0) for image in images]  # 0: mirrored
            return Outputs(images.flatten(1).float(), torch.eye(4)[read])

    from ganzoo.evaluation import features

    opened = features.OpenExtractor("shapes-v1", "0" * 64, LooksUp(), torch.device("cpu"))
    real_open = auditing.open_extractor
    monkeypatch.setattr(
        auditing,
        "open_extractor",
        lambda name, **k: opened if name == "shapes" else real_open(name, **k),
    )
    fresh = load_data(f"{TRAIN}&seed=9")
    kept = np.asarray(fresh.pixels)[np.asarray(fresh.labels) != 2]
    patched = audit_of(run, kept, monkeypatch, features="shapes")
    assert patched.coverage is not None and patched.coverage.corrected
    assert patched.coverage.missing == (2,)
    assert any("hardly any: triangle" in reason for reason in patched.reasons)


def levels(folder: Path, seed: int) -> str:
    """The spec of noise of three levels of gray, a folder each."""
    draw = np.random.default_rng(seed)
    for name, level in (("dark", 60), ("gray", 128), ("light", 200)):
        (folder / name).mkdir(parents=True)
        for k in range(60):
            image = draw.normal(level, 20, (16, 16)).clip(0, 255).astype(np.uint8)
            Image.fromarray(image).save(folder / name / f"{k}.png")
    return f"folder:{folder}?channels=1"


def test_labels_that_no_classifier_knows_are_read_by_neighbours(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The labels of images are enough: a sample is read as its nearest training image is labelled,
    and held-out images say how often that is wrong."""
    train, holdout, fresh = (levels(tmp_path / name, seed=k) for k, name in enumerate("abc"))
    options = {"data": train, "holdout": holdout, "features": "pixels"}
    found = audit_of(run, pixels(fresh), monkeypatch, **options)
    assert found.classes == ("dark", "gray", "light")
    assert found.coverage is not None and found.coverage.corrected
    assert found.coverage.missing == ()
    kept = pixels(fresh)[np.asarray(load_data(fresh).labels) != 2]
    found = audit_of(run, kept, monkeypatch, **options)
    assert found.coverage is not None and found.coverage.missing == (2,)
    assert any("hardly any: light" in reason for reason in found.reasons)

    # without held-out images, training images are read by each other
    found = audit_of(run, pixels(fresh), monkeypatch, **{**options, "holdout": None})
    assert found.verdict == "unaudited"
    assert found.coverage is not None and found.coverage.corrected and not found.coverage.biased
    found = audit_of(run, kept, monkeypatch, **{**options, "holdout": None})
    assert found.coverage is not None and found.coverage.missing == (2,)


def test_the_classes_of_a_conditional_model_are_compared(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Untrained: what it is asked for does not show."""
    recipe = tiny.recipe("cgan", data={"source": TRAIN}, kimg=0.016)
    made = training.train(recipe, tmp_path / "run")
    found = ganzoo.audit(made, holdout=OTHERS, n=200, features="pixels")
    assert found.labels is not None and found.quality is not None
    assert found.labels.accuracy < 0.4 < found.labels.classifier
    assert len(found.quality.values) == 4
    page = report.render(found)
    assert "Are all classes made equally well?" in page and "triangle" in page
    own = f"{found.labels.classes[2][3]:.1%}"
    right, low, high = (f"{share:.1%}" for share in found.labels.classes[2][:3])
    row = f"<td>triangle</td><td>{own}</td><td>{right}</td><td>{low} – {high}</td>"
    assert row in page
    assert "<td>spaces</td><td>pixels-v1</td>" in page  # one, if both are the same

    monkeypatch.setattr(auditing, "other_split", lambda spec: None)
    found = ganzoo.audit(made, n=200, features="pixels")
    assert found.labels is not None and found.quality is None
    assert any(item.startswith("quality per class") for item in found.not_examined)


def test_more_classes_than_samples_are_no_error(run: Path, tmp_path: Path) -> None:
    recipe = tiny.recipe("cgan", data={"source": TRAIN}, kimg=0.016)
    made = training.train(recipe, tmp_path / "run")
    found = ganzoo.audit(made, holdout=OTHERS, n=3, features="pixels")
    assert found.quality is None
    assert "quality per class: too few images of circle" in found.not_examined
    assert found.labels is not None and np.isnan(found.labels.classes[3][0])
    page = report.render(found)
    assert "<td>–</td><td>–</td>" in page and "nan" not in page


# -- what is written -------------------------------------------------------------------------------


def test_the_record_the_card_and_the_hashes_follow(run: Path, tmp_path: Path) -> None:
    own = tmp_path / "own"
    ganzoo.save(own, ganzoo.load(run), training=layout.read_json(run / "model/training.json"))
    found = ganzoo.audit(own, holdout=OTHERS, n=200)
    add_audit(own, found)
    assert not ganzoo.verify(own).problems
    record = json.loads((own / "audit.json").read_text())
    assert record["format"] == 1
    assert record["weights_sha256"] == files.sha256(own / "model.safetensors")
    assert record["verdict"] == found.verdict
    assert "suspects" not in json.dumps(record["copying"])
    assert f"**{found.verdict}**" in (own / "README.md").read_text()

    other = tmp_path / "other"
    ganzoo.save(other, ganzoo.load("gan.mnist"))
    with pytest.raises(InputError, match="not of the weights"):
        add_audit(other, found)


def pictures(page: str) -> list[bytes]:
    import base64

    return [base64.b64decode(data) for data in re.findall(r"base64,([A-Za-z0-9+/=]+)", page)]


def test_only_the_auditors_page_shows_training_images(
    run: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from ganzoo import contact_sheet, provenance

    found = audit_of(run, pixels(f"{TRAIN}&seed=9"), monkeypatch)
    sheets = {}
    for shown in (True, False):
        page = report.render(found, training_images=shown)
        assert page.startswith("<!doctype html>") and "http://" not in page
        assert 'src="data:' in page and "<script" not in page
        (picture,) = pictures(page)
        path = tmp_path / f"{shown}.png"
        path.write_bytes(picture)
        assert provenance.read_record(path)["weights_sha256"] == found.weights_sha256
        # training images are none that a generator made
        assert (b"/compositeWithTrainedAlgorithmicMedia<" in picture) == shown
        sheets[shown] = path
    assert found.samples is not None
    samples = found.samples.permute(0, 2, 3, 1).numpy()
    expected = contact_sheet.contact_sheet(samples, columns=8)
    alone = np.asarray(Image.open(sheets[False]))
    assert np.array_equal(alone, expected[:, :, 0])
    assert np.asarray(Image.open(sheets[True])).size > alone.size


def test_the_page_quotes_every_name(run: Path) -> None:
    found = ganzoo.audit(run, holdout=OTHERS, n=200)
    name = "<img src=x onerror=alert(1)>"
    hostile = replace(
        found, model=name, weights_sha256=name, reasons=(name,), classes=(name, name),
        protocol={name: name}, not_examined=(name,),
        coverage=class_shares(np.array([0, 1]), np.ones(2)),
        labels=label_accuracy(np.array([0, 1]), np.array([0, 1]), confusion=np.eye(2)),
        quality=ClassGap((0.0, 1.0), worst=1, best=0, gap=1, lower=0, upper=1),
    )  # fmt: skip
    page = report.render(hostile)
    assert page.count("&lt;img src=x") == 13 and "<img src=x" not in page


def test_what_was_not_examined_is_said(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(auditing, "other_split", lambda spec: None)
    found = ganzoo.audit(run, n=100)
    assert "how many different images it makes: no held-out images" in found.not_examined
    nothing = report.render(replace(found, coverage=None))
    assert "<h2>Whom does it leave out?</h2>\n<p>That could not be examined.</p>" in nothing
    page = report.render(found)
    assert "That could not be examined" not in page
    assert "corrected for the classifier's own errors on real images" in page  # training images

    from ganzoo import loading

    load = loading.load

    def untold(*arguments: object, **options: object) -> Generator:
        G = load(*arguments, **options)
        config = G.record["config"]
        G.record["config"] = replace(config, dataset=replace(config.dataset, digest=""))
        return G

    monkeypatch.setattr(loading, "load", untold)
    assert any("it does not say" in item for item in ganzoo.audit(run, n=100).not_examined)


def test_the_command_writes_page_and_record_and_fails_for_copies(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runner = CliRunner()
    page = tmp_path / "page.html"
    words = ["audit", str(run), "--holdout", OTHERS, "-n", "200", "-o", str(page), "--json"]
    done = runner.invoke(main, words)
    assert done.exit_code == 0, done.output
    (record,) = json.loads(done.stdout)
    assert record == json.loads((run / "model" / "audit.json").read_text())
    assert page.is_file() and (run / "model" / "audit.html").is_file()
    assert not ganzoo.verify(run).problems

    from ganzoo import loading

    load, copies = loading.load, pixels(TRAIN)[:50]
    monkeypatch.setattr(loading, "load", lambda *a, **k: Playback(load(*a, **k), copies))
    done = runner.invoke(main, [*words, "--no-write"])
    assert done.exit_code == 1
    assert "do not publish it" in done.stderr.splitlines()[-1]
    assert json.loads(done.stdout)[0]["verdict"] == "fail"


def test_the_page_with_training_images_never_lies_in_a_model_folder(
    run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ganzoo.cli.audit import report_path

    model = run / "model"
    monkeypatch.chdir(model)
    assert report_path(".", own=True).parent == run
    done = CliRunner().invoke(main, ["audit", ".", "-o", "audit.html", "--holdout", OTHERS])
    assert done.exit_code == 1
    assert "it shows training images: name another place with -o" in done.stderr


def test_the_published_page_of_a_copier_has_no_pictures(
    run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = audit_of(run, pixels(TRAIN)[:50], monkeypatch)
    assert found.verdict == "fail"
    assert pictures(report.render(found, training_images=False)) == []
    page = report.render(found)
    assert len(pictures(page)) == 1 and layout.SHOWS_TRAINING_IMAGES.decode() in page


def test_a_conditional_model_answers_for_what_it_is_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its classes come as often as they are asked for: that the data have other shares is no bias
    of the model."""
    recipe = tiny.recipe("cgan", data={"source": TRAIN}, kimg=0.016)
    made = training.train(recipe, tmp_path / "run")
    found = ganzoo.audit(made, holdout=OTHERS, n=200, features="pixels")
    assert found.coverage is not None
    assert found.coverage.expected == (0.25,) * 4


def test_what_does_not_fit_is_refused_before_anything_is_computed(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, image in zip(("train/a", "train/b", "other/a", "other/c"), pixels(TRAIN)):
        (tmp_path / name).mkdir(parents=True)
        Image.fromarray(image[0]).save(tmp_path / name / "1.png")
    monkeypatch.setattr(auditing._Auditor, "run", lambda *_: 0)
    folders = {"data": f"folder:{tmp_path}/train", "holdout": f"folder:{tmp_path}/other"}
    with pytest.raises(InputError, match="the held-out images have other classes"):
        ganzoo.audit(run, **folders)
    with pytest.raises(InputError, match="random-v1 is no classifier"):
        ganzoo.audit(run, **folders, labels="random")
    ganzoo.audit(run, **folders, labels="digits")  # which has classes of its own


def test_a_name_gets_its_page_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from ganzoo.cli.audit import report_path

    assert report_path("dcgan.mnist", own=False) == Path("dcgan.mnist-audit.html")
    assert report_path("hf://me/gan@v1", own=False) == Path("gan-audit.html")
    assert report_path(str(tmp_path), own=True) == tmp_path / "audit.html"
