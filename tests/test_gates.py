"""The gates before the Hub: each stops folders with one fault, and good ones pass all."""

from __future__ import annotations

import base64
import dataclasses
import json
import re
import shutil
import tempfile
import types
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import huggingface_hub
import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image, PngImagePlugin
from safetensors.torch import load_file, save_file

import ganzoo
from ganzoo import card, files, gates, hookimpl, layout, marks, metadata, plugins, provenance
from ganzoo.errors import CheckpointError, InputError
from ganzoo.evaluation import results
from ganzoo.evaluation.evaluating import Result
from ganzoo.publishing import publish
from ganzoo.staging import staged
from tests import fit

pytestmark = pytest.mark.usefixtures("measured_again")

TOKEN = "hf_" + "a" * 34
JWT_HEAD = "eyJhbGciOiJIUzI1NiJ9"  # {"alg":"HS256"}
Change = Callable[[Path], object]


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    training = {"data": {"source": "mnist", "n": 60_000}, "init": None}
    return fit.model(tmp_path_factory.mktemp("good") / "model", training=training)


@pytest.fixture
def folder(good: Path, tmp_path: Path) -> Path:
    """A tiny model that is fit to be published."""
    return shutil.copytree(good, tmp_path / "model")


def stopped_by(report: gates.Report) -> set[str]:
    return {finding.gate for finding in report.of("block")}


# -- changes of a folder ---------------------------------------------------------------------------


def edit(name: str, *keys: str, to: Any) -> Change:
    """Set, or with None-like `...` remove, a value of a JSON file; the hashes are made anew."""

    def change(folder: Path) -> None:
        path = folder / name
        document = json.loads(path.read_text()) if path.is_file() else {}
        inner = document
        for key in keys[:-1]:
            inner = inner[key]
        if to is ...:
            del inner[keys[-1]]
        else:
            inner[keys[-1]] = to
        path.write_text(json.dumps(document))
        layout.write_sums(folder)

    return change


def write(name: str, data: str | bytes, *, sums: bool = True) -> Change:
    def change(folder: Path) -> None:
        (folder / name).write_bytes(data if isinstance(data, bytes) else data.encode())
        if sums:
            layout.write_sums(folder)

    return change


def remove(name: str, *, sums: bool = True) -> Change:
    def change(folder: Path) -> None:
        (folder / name).unlink()
        if sums:
            layout.write_sums(folder)

    return change


def flip(name: str) -> Change:
    def change(folder: Path) -> None:
        data = bytearray((folder / name).read_bytes())
        data[-1] ^= 1
        (folder / name).write_bytes(data)

    return change


def weights(change: Callable[[dict[str, torch.Tensor]], object], **more: str) -> Change:
    """Other tensors, or other metadata, with figures and pictures of just these weights."""

    def apply(folder: Path) -> None:
        path = folder / "model.safetensors"
        tensors = load_file(path)
        change(tensors)
        save_file(tensors, path, metadata={"format": "pt", **more})
        digest = files.sha256(path)
        picture(folder, {"weights_sha256": digest, "seeds": range(64)})
        fit.measured(folder)

    return apply


def picture(folder: Path, record: dict[str, Any], *, mark: bool = True, dim: bool = False) -> None:
    """The grid of samples.png, with another record, unmarked or with other pixels."""
    path = folder / "samples.png"
    with Image.open(path) as opened:
        pixels = np.asarray(opened)
    pixels = pixels + 60 if dim else pixels  # uint8
    provenance.save_image(
        np.atleast_3d(pixels), path, record={"model": "mine", **record}, mark=mark
    )
    layout.write_sums(folder)


def repicture(**options: Any) -> Change:
    def change(folder: Path) -> None:
        record = provenance.read_record(folder / "samples.png")
        assert record is not None
        picture(folder, {**record, **options.get("record", {})},
                mark=options.get("mark", True), dim=options.get("dim", False))  # fmt: skip

    return change


def text_chunk(folder: Path) -> None:
    path = folder / "samples.png"
    with Image.open(path) as opened:
        kept = {key: str(value) for key, value in opened.text.items()}  # type: ignore[attr-defined]
        chunks = PngImagePlugin.PngInfo()
        for key, value in kept.items():
            chunks.add_itxt(key, value)
        chunks.add_text("Comment", f"rendered in /home/someone/runs with {TOKEN}", zip=True)
        opened.save(path, pnginfo=chunks)
    layout.write_sums(folder)


def embed(folder: Path) -> None:
    """The picture of the folder, in the report of its audit."""
    picture = base64.b64encode((folder / "samples.png").read_bytes()).decode()
    page(f'<img src="data:image/png;base64,{picture}">')(folder)


def page(html: str) -> Change:
    """What else stands in the report of its audit."""

    def change(folder: Path) -> None:
        write("audit.html", f"{(folder / 'audit.html').read_text()}{html}")(folder)

    return change


def last_image(folder: Path) -> None:
    """Another picture in the last place of the sheet."""
    path = folder / "samples.png"
    record = provenance.read_record(path)
    assert record is not None
    with Image.open(path) as opened:
        pixels = np.asarray(opened).copy()
    pixels[-60:, -60:] += 60  # a quarter of it: less than a hundredth of the whole sheet
    provenance.save_image(pixels.reshape(*pixels.shape[:2], -1), path, record=record)
    layout.write_sums(folder)


def webp_by_name_png(folder: Path) -> None:
    path = folder / "samples.png"
    record = provenance.read_record(path)
    assert record is not None
    with Image.open(path) as opened:
        pixels = np.atleast_3d(np.asarray(opened))
    provenance.save_image(pixels, folder / "x.webp", record=record)
    (folder / "x.webp").rename(path)
    layout.write_sums(folder)


def enormous(folder: Path) -> None:
    """More pixels than anyone decodes, in a few kilobytes."""
    path = folder / "samples.png"
    record = provenance.read_record(path)
    assert record is not None
    provenance.save_image(np.zeros((9_500, 9_500, 1), np.uint8), path, record=record)
    layout.write_sums(folder)


def mark_as_comment(folder: Path) -> None:
    """The words of the mark where no program looks for them."""
    path = folder / "samples.png"
    with Image.open(path) as opened:
        chunks = PngImagePlugin.PngInfo()
        chunks.add_itxt("ganzoo", opened.info["ganzoo"])
        chunks.add_text("Comment", f"{marks.SOURCE_TYPES}trainedAlgorithmicMedia")
        opened.save(path, pnginfo=chunks)
    layout.write_sums(folder)


def keep(text: str) -> Change:
    """What a person writes into the card."""

    def change(folder: Path) -> None:
        readme = folder / "README.md"
        mine = f"{card.OPEN}\n{text}\n{card.CLOSE}"
        readme.write_text(re.sub(f"{card.OPEN}.*?{card.CLOSE}", lambda _: mine,
                                 readme.read_text(), flags=re.S))  # fmt: skip

    return change


def signed(pattern: str, by: str) -> Change:
    """A signed folder is published as it is: here with another card."""

    def change(folder: Path) -> None:
        readme = folder / "README.md"
        text = re.sub(pattern, by, readme.read_text(), flags=re.S | re.M)
        assert text != readme.read_text()
        write("README.md", text)(folder)
        (folder / "model.sig").write_text("{}")

    return change


def raw_header(header: str) -> Change:
    def change(folder: Path) -> None:
        data = header.encode()
        write("model.safetensors", len(data).to_bytes(8, "little") + data + b"\0" * 8)(folder)

    return change


def every(*changes: Change) -> Change:
    def change(folder: Path) -> None:
        for one in changes:
            one(folder)

    return change


def measured_on(n: int) -> Change:
    def change(folder: Path) -> None:
        fid = dataclasses.replace(fit.FID, n_fake=n)
        result = Result(20.0, None, fid, files.sha256(folder / "model.safetensors"))
        write(METRICS, json.dumps({result.name: result.to_dict()}))(folder)

    return change


CONFIG, METRICS = "config.json", "metrics.json"
BASE = {"model": "base", "weights_sha256": "0" * 64, "license": "gpl-3.0",
        "source": f"hf://me/base@{'a' * 40}"}  # fmt: skip
ENTRY = '{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}%s}'

MUTANTS: list[tuple[str, str, Change]] = [
    ("format", "model.pkl can run code", write("model.pkl", b"\x80", sums=False)),
    ("format", "modeling.py is no file", write("modeling.py", "import os", sums=False)),
    ("format", ".env is no file", write(".env", "TOKEN=1", sums=False)),
    ("format", "logs is no file", lambda folder: (folder / "logs").mkdir()),
    ("format", "README.md is a link", lambda folder: (
        (folder / "README.md").rename(folder.parent / "elsewhere"),
        (folder / "README.md").symlink_to(folder.parent / "elsewhere"))),
    ("format", "audit.html is larger than 32 MiB", page(" " * (32 << 20))),
    ("hashes", "changed or damaged", flip("model.safetensors")),
    ("hashes", "changed or damaged", flip("samples.png")),
    ("hashes", "is missing", remove("audit.html", sums=False)),
    ("hashes", "not named in SHA256SUMS", every(
        remove("metrics.json"), write("metrics.json", "{}", sums=False))),
    ("hashes", "odd line", write("SHA256SUMS", "0123  ../../x\n", sums=False)),
    ("config", "no setting 'licence'", edit(CONFIG, "licence", to="mit")),
    ("config", "of the wrong type", edit(CONFIG, "dataset", "credit", to=7)),
    ("config", "has format 2", edit(CONFIG, "format", to=2)),
    ("config", "z_dim = 0 is out of range", edit(CONFIG, "generator", "config", "z_dim", to=0)),
    ("config", "no setting 'depht'", edit(CONFIG, "generator", "config", "depht", to=2)),
    ("config", "training.json is no valid JSON", write("training.json", "{")),
    ("plugin", "names no plugin", edit(CONFIG, "plugin", to="")),
    ("plugin", "which is not its plugin", edit(CONFIG, "requires", to="evil>=1")),
    ("plugin", "pip does not understand", edit(CONFIG, "requires", to="--index-url x")),
    ("plugin", "is installed, not", edit(CONFIG, "requires", to="ganzoo-gan>=9")),
    ("plugin", "'nope'", edit(CONFIG, "generator", "part", to="nope")),
    ("plugin", "is of ganzoo-gan", every(edit(CONFIG, "plugin", to="ganzoo-dcgan"),
                                        edit(CONFIG, "requires", to="ganzoo-dcgan>=0.1"))),
    ("header", "a name stands in it twice", raw_header(ENTRY % ',"a":{}')),
    ("header", "the tensor name", raw_header(ENTRY.replace('"a"', '"../a"') % "")),
    ("header", "its header does not fit", write("model.safetensors", b"\xff" * 64)),
    ("header", "which the model has not", weights(lambda t: t.update(more=torch.zeros(1)))),
    ("header", "is not finite", weights(lambda t: next(iter(t.values())).fill_(torch.nan))),
    ("header", "does not fit its config", edit(CONFIG, "generator", "config", "z_dim", to=9)),
    ("licences", "weights is not stated", edit(CONFIG, "license", to="unknown")),
    ("licences", "'my own', is none that the Hub knows", edit(CONFIG, "license", to="my own")),
    ("licences", "without a license_name", every(
        edit(CONFIG, "license", to="other"), edit(CONFIG, "dataset", "license", to="mit"))),
    ("licences", "data set 'mnist' is not stated", edit(CONFIG, "dataset", "license", to="")),
    ("licences", "data set 'mnist', 'free'", edit(CONFIG, "dataset", "license", to="free")),
    ("compatibility", "non-commercial", edit(CONFIG, "dataset", "license", to="cc-by-nc-4.0")),
    ("compatibility", "lets nobody share", edit(CONFIG, "dataset", "license", to="cc-by-nd-4.0")),
    ("compatibility", "terms are not known", edit(CONFIG, "dataset", "license", to="other")),
    ("compatibility", "base model 'hf://me/base", edit("training.json", "init", to=BASE)),
    ("compatibility", "'no licence', whose terms", edit("training.json", "init", to={
        key: value for key, value in BASE.items() if key != "license"})),
    ("data", "no data set is declared", edit(CONFIG, "dataset", "name", to="")),
    ("data", "no data set is declared", edit(CONFIG, "dataset", "name", to=" ")),
    ("data", "a place on one machine", edit(CONFIG, "dataset", "name", to="folder:faces")),
    ("data", "a place on one machine", edit(CONFIG, "dataset", "name", to="/data/faces")),
    ("data", "a place on one machine", edit(CONFIG, "dataset", "name", to="~/faces")),
    ("data", "without digest or commit", edit(CONFIG, "dataset", "digest", to="")),
    ("data", "by what right", edit(CONFIG, "dataset", "name", to="private")),
    ("data", "their number is not said", every(
        remove("training.json"),
        edit(CONFIG, "dataset", to={"name": "private", "consent": "they are photos of my own"}))),
    ("audience", "may show people", edit(CONFIG, "shows_people", to=None)),
    ("audience", "may show people", edit(CONFIG, "shows_people", to=...)),
    ("audience", "unsuited for some", edit(CONFIG, "not_for_all_audiences", to=None)),
    ("card", "'TODO' waits", keep("TODO: say more")),
    ("card", "waits to be filled in", keep("[More Information Needed]")),
    ("card", "waits to be filled in", keep("[ your name ]")),
    ("card", "'Lorem ipsum' waits", keep("Lorem ipsum dolor")),
    ("card", "lacks the section 'Limitations'", signed("^## Limitations", "## Other")),
    ("card", "'Out of scope' has 7 characters",
     signed(r"(?<=## Out of scope\n\n).*?(?=^## )", "Nothing\n")),
    ("card", "the section 'Data' is empty", signed(r"(?<=## Data\n\n).*?(?=^## )", "<!-- -->\n")),
    ("card", "no valid YAML", signed("^tags:", "tags: [")),
    ("metrics", "neither FID nor KID", remove(METRICS)),
    ("metrics", "neither FID nor KID", write(METRICS, "{}")),
    ("metrics", "does not say its protocol", edit(METRICS, "fid", to=3.2)),
    ("metrics", "on other weights", edit(METRICS, fit.PROTOCOL, "weights_sha256", to="0" * 64)),
    ("metrics", "n_real is missing", edit(METRICS, fit.PROTOCOL, "settings", "n_real", to=...)),
    ("metrics", "under another name", edit(METRICS, fit.PROTOCOL, "protocol", to="fid/x")),
    ("metrics", "no finite value", edit(METRICS, fit.PROTOCOL, "value", to=float("inf"))),
    ("audit", "it was not audited", remove("audit.json")),
    ("audit", "about other weights", edit("audit.json", "weights_sha256", to="0" * 64)),
    ("audit", "the audit fails: 3 % copies", every(
        edit("audit.json", "verdict", to="fail"),
        edit("audit.json", "reasons", to=["3 % copies"]))),
    ("audit", "the verdict 'great'", edit("audit.json", "verdict", to="great")),
    ("audit", "has format 2", edit("audit.json", "format", to=2)),
    ("audit", "audit.html, the report", remove("audit.html")),
    ("audit", "shows training images",
     write("audit.html", f"<head>{layout.SHOWS_TRAINING_IMAGES.decode()}")),
    ("audit", "audit.html is about other weights", write("audit.html", "<p>Nothing found.")),
    ("samples", "is missing", remove("samples.png")),
    ("samples", "by other weights", repicture(record={"weights_sha256": "0" * 64})),
    ("samples", "does not name the seeds", repicture(record={"seeds": [3, 1]})),
    ("samples", "not marked as generated", repicture(mark=False)),
    ("samples", "does not show the images", repicture(dim=True)),
    ("samples", "does not show the images", last_image),
    ("samples", "exceeds limit", enormous),
    ("samples", "is no picture: name a PNG file", webp_by_name_png),
    ("samples", "not marked as generated", mark_as_comment),
    ("secrets", "token or private key", edit("training.json", "note", to=TOKEN)),
    ("secrets", "token or private key", keep("-----BEGIN RSA PRIVATE KEY-----")),
    ("secrets", "token or private key", weights(lambda t: None, note=TOKEN)),
    ("secrets", "token or private key", keep(f"npm_{'aB3' * 12}")),
    ("secrets", "token or private key", keep(f"{JWT_HEAD}.eyJzdWIiOiJqbyJ9.{'aB-_' * 9}")),
    ("secrets", "a person's folder", edit("training.json", "at", to="/home/someone/faces")),
    ("secrets", "a person's folder", edit("training.json", "at", to="C:\\Users\\someone")),
    ("secrets", "a person's folder", edit("training.json", "at", to="c:\\users\\someone")),
    ("secrets", "a person's folder", text_chunk),
    ("secrets", "jo@firm.org", keep("Ask jo@firm.org about it.")),
    ("secrets", "jo@firm.org", page("<p>jo@firm.org")),
    ("secrets", "audit.html holds the path", lambda folder: (
        text_chunk(folder), embed(folder), repicture()(folder))),
    ("secrets", "jo@firm.org", lambda folder: write("audit.json", (
        folder / "audit.json").read_text().replace('"mine"', '"jo\\u0040firm.org"'))(folder)),
]  # fmt: skip


@pytest.mark.parametrize(("gate", "text", "change"), MUTANTS)
def test_a_fault_is_stopped_by_its_gate_alone(
    folder: Path, gate: str, text: str, change: Change
) -> None:
    change(folder)
    report = gates.lint(folder)
    found = report.of("block")
    assert {finding.gate for finding in found} == {gate}, found
    assert text in " ".join(finding.message for finding in found)
    assert all("\n" not in finding.message for finding in found)
    with pytest.raises(CheckpointError, match=rf"not fit to be published \({gate}\): "):
        publish(folder, "me/mine", dry_run=True)


def test_every_gate_meets_three_faults() -> None:
    for gate in gates.GATES:
        assert sum(name == gate.name for name, _, _ in MUTANTS) >= 3, gate.name


# -- good folders ----------------------------------------------------------------------------------

PRIVATE = {"dataset": "private", "dataset_license": "unknown", "dataset_digest": "",
           "dataset_size": 900, "dataset_consent": "Photographs of my own, of 2026."}  # fmt: skip
FINE_TUNED = {"init": {**BASE, "license": "cc-by-sa-4.0"}}

GOOD: list[dict[str, Any]] = [
    {},
    {"family": "dcgan", "name": "dcgan.mnist.small"},
    {"family": "cgan", "classes": ("shirt", "dress", "boot"), "settings": {"num_classes": 3}},
    {"family": "wgan", "license": "apache-2.0"},
    {"family": "progan"},
    {"family": "stylegan"},
    {"family": "stylegan2", "storage_dtype": "float16"},
    {"settings": {"image_shape": (3, 8, 8)}, "name": "farben-größe"},
    {"settings": {"image_shape": (4, 8, 6)}, "storage_dtype": "float16"},
    {"settings": {"z_dim": 3}, "license": "cc0-1.0", "dataset_license": "cc0-1.0"},
    {"license": "cc-by-nc-4.0", "dataset_license": "cc-by-nc-4.0"},
    {"license": "cc-by-sa-4.0", "dataset_license": "CC-BY-SA-3.0", "training": FINE_TUNED},
    {"license": "gpl-3.0", "dataset": "cifar10", "dataset_license": "mit"},
    {"license": "other", "license_name": "Mine 1.0", "license_link": "https://my.org/license",
     "dataset_license": "cc-by-4.0"},
    {**PRIVATE},
    {**PRIVATE, "shows_people": True, "not_for_all_audiences": True},
    {"dataset": f"hf:someone/faces@{'b' * 40}", "dataset_digest": "", "shows_people": True},
    {"dataset_credit": "Jo, jo@firm.org", "summary": "Digits, from noise: 100 % of them."},
    {"critic": True, "name": ""},
    {"training": {"data": {"source": "folder:/home/jo/faces?crop=1", "n": 9}}},
    {"training": {"recipe": {"data": {"source": "mnist"}}, "versions": {"torch": "2.6.0"}}},
]  # fmt: skip


@pytest.mark.parametrize("options", GOOD, ids=lambda options: "-".join(options) or "plain")
def test_good_folders_pass(tmp_path: Path, options: dict[str, Any]) -> None:
    folder = fit.model(tmp_path / "model", **options)
    report = gates.lint(folder)
    assert report.ok, report.of("block")
    sent = publish(folder, "me/mine", dry_run=True)
    assert {file.file for file in sent.files} - {"training.json"} == fit.FILES
    assert (sent.commit, sent.new, dict(sent.overrides)) == ("", False, {})


def test_the_figures_are_computed_again(
    folder: Path, measured_again: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert gates.lint(folder).ok and len(measured_again) == 1
    quick = gates.lint(folder, quick=True)
    assert quick.ok and len(measured_again) == 1
    assert "it was not measured again" in [finding.message for finding in quick.of("warn")]
    assert measured_again == [folder]  # with the places of its data, which are not published
    found = results.Rechecked(fit.PROTOCOL, 12.5, 14.25)
    monkeypatch.setattr(results, "recheck", lambda folder, data: [found])
    report = gates.lint(folder)
    assert stopped_by(report) == {"metrics"}
    assert report.of("block")[0].message == f"{fit.PROTOCOL} is 14.25 now, 12.5 is stored"


def test_data_that_are_not_here_are_named(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.undo()  # the figures are computed in earnest, of images that nobody has
    monkeypatch.setenv("GANZOO_DATA", str(tmp_path))
    report = gates.lint(folder)
    assert stopped_by(report) == {"metrics"}
    assert "mnist" in report.of("block")[0].message


# -- warnings --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("gate", "text", "change"),
    [
        ("audit", "no audit with held-out images", edit("audit.json", "verdict", to="unaudited")),
        ("audit", "the audit warns", edit("audit.json", "verdict", to="warn")),
        ("audit", "in other shares", edit("audit.json", "coverage", to={
            "tvd": 0.2, "tvd_null_q99": 0.02})),
        ("audit", "TVD 0.200, by chance up to 0.020", edit("audit.json", "coverage", to={
            "classes": {"tvd": 0.2, "null": 0.02}})),
        ("metrics", "measured on 500 images", measured_on(500)),
        ("card", "how much energy", lambda folder: None),
        ("data", "credits nobody for the data set 'faces'", edit(
            CONFIG, "dataset", "name", to="faces")),
        ("card", "how to cite", lambda folder: None),
        ("compatibility", "share-alike", lambda folder: None),
        ("compatibility", "without a commit", edit("training.json", "init", to={
            "model": "dcgan.mnist", "license": "mit"})),
    ],
)  # fmt: skip
def test_what_is_warned_of(folder: Path, gate: str, text: str, change: Change) -> None:
    change(folder)
    report = gates.lint(folder)
    assert report.ok, report.of("block")
    warned = [finding for finding in report.of("warn") if finding.gate == gate]
    assert text in " ".join(finding.message for finding in warned)
    notes = publish(folder, "me/mine", dry_run=True).notes
    assert {finding.message for finding in warned} <= set(notes)


def test_energy_that_the_card_says_is_not_missed(tmp_path: Path) -> None:
    """Be it recorded, or estimated for a run of before it was."""
    run = {"wall_seconds": 3600, "hardware": {"device": "cpu", "threads": 2}}
    folder = fit.model(tmp_path / "model", training=run)
    assert "| Energy | about 20 Wh" in (folder / "README.md").read_text()
    assert not any("energy" in finding.message for finding in gates.lint(folder).findings)


def test_what_weights_are_warned_of(tmp_path: Path) -> None:
    folder = fit.model(tmp_path / "model", critic=True, storage_dtype="float16")
    with_it = gates.lint(folder, with_discriminator=True)
    said = [finding.message for finding in with_it.of("warn")]
    assert with_it.ok and any("float16 only" in line for line in said)
    assert "the discriminator tells more about single training images than the generator" in said
    assert not any("discriminator" in finding.message for finding in gates.lint(folder).findings)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner, max_size=3)
    ),
    max_leaves=5,
)


@settings(
    max_examples=80,
    derandomize=True,
    database=None,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
@given(data=st.data(), name=st.sampled_from(["training.json", METRICS, "audit.json", CONFIG]))
def test_records_of_any_content_are_judged(good: Path, data: st.DataObject, name: str) -> None:
    """What a record holds is a finding at most, in a line."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = shutil.copytree(good, Path(temporary) / "model")
        inner = document = json.loads((folder / name).read_text())
        while True:
            key = data.draw(st.sampled_from(sorted(inner)) if inner else st.text(max_size=9))
            if not isinstance(inner.get(key), dict) or not data.draw(st.booleans()):
                break
            inner = inner[key]
        inner[key] = data.draw(JSON)
        fit.put(folder, name, document)
        layout.write_sums(folder)
        report = gates.lint(folder)
        assert all("\n" not in finding.message for finding in report.findings)


# -- overrides -------------------------------------------------------------------------------------

REASON = "its 60,000 digits are public, and copies harm nobody"


def test_an_override_leaves_a_trace(folder: Path) -> None:
    remove("audit.json")(folder)
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    sent = publish(folder, "me/mine", dry_run=True, overrides={"audit": REASON})
    assert sent.overrides == {"audit": REASON}
    assert any("the gate 'audit' stops it" in note and REASON in note for note in sent.notes)
    with gates.examined(folder, load="hf://me/mine", overrides={"audit": REASON}) as (ready, _):
        assert layout.read_config(ready).overrides == {"audit": REASON}
        assert ganzoo.verify(ready).overrides == {"audit": REASON}
        text = (ready / "README.md").read_text()
        assert 'ganzoo.load("hf://me/mine")' in text
        assert "**Published although the checks `audit` stop it" in text
        assert f"| `audit` | {REASON} |" in text.partition("\n## Overrides\n")[2]
        assert "gates-overridden" in metadata.read(text)[0]["tags"]
        assert gates.unsound(ready, "audit") == []
        # published again, from what was published, it is asked anew
        copied = shutil.copytree(ready, folder.parent / "copy", symlinks=False)
        assert stopped_by(gates.lint(copied)) == {"audit"}
        write("audit.json", json.dumps(fit.audit(files.sha256(
            copied / "model.safetensors"))))(copied)  # fmt: skip
        with staged(copied, load="./") as again:
            assert layout.read_config(again).overrides == {}
            assert "Overrides" not in (again / "README.md").read_text()
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_findings_keep_the_order_of_the_gates(folder: Path) -> None:
    every(remove("audit.json"), edit(CONFIG, "license", to="unknown"))(folder)
    reasons = {"audit": REASON, "metrics": REASON}
    with gates.examined(folder, overrides=reasons, quick=True) as (_, report):
        order = [gate.name for gate in gates.GATES]
        found = [order.index(finding.gate) for finding in report.findings]
    assert found == sorted(found) and len(set(found)) > 3


def test_an_override_of_the_metrics_spares_the_time(
    folder: Path, measured_again: list[Path]
) -> None:
    sent = publish(folder, "me/mine", dry_run=True, overrides={"metrics": REASON})
    assert sent.overrides == {"metrics": REASON} and measured_again == []


def test_an_override_that_is_not_needed_is_not_recorded(folder: Path) -> None:
    sent = publish(folder, "me/mine", dry_run=True, overrides={"audit": REASON})
    assert sent.overrides == {}
    assert "the override was not needed, and is not recorded" in sent.notes


@pytest.mark.parametrize(
    ("gate", "reason", "text"),
    [
        ("audit", "because", "has 7 characters"),
        ("audit", " " * 20, "has 0 characters"),
        ("audit", "x" * 501, "has 501 characters"),
        ("adit", REASON, "did you mean audit"),
        *((name, REASON, "cannot be overridden") for name in (
            "format", "hashes", "config", "plugin", "header", "secrets")),
    ],
)  # fmt: skip
def test_overrides_that_are_refused(folder: Path, gate: str, reason: str, text: str) -> None:
    with pytest.raises(InputError) as caught:
        publish(folder, "me/mine", dry_run=True, overrides={gate: reason})
    assert text in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("gate", "reason"), [("secrets", "ask jo@firm.org for it"), ("card", "TODO: find a reason")]
)
def test_a_reason_is_a_text_like_any_other(folder: Path, gate: str, reason: str) -> None:
    remove("audit.json")(folder)
    with pytest.raises(CheckpointError, match=rf"\({gate}\): "):
        publish(folder, "me/mine", dry_run=True, overrides={"audit": reason})


def test_a_reason_overrides_no_gate_that_it_offends(folder: Path) -> None:
    """For that would be recorded nowhere."""
    remove("audit.json")(folder)
    reasons = {"audit": "TODO: find a reason", "card": REASON}
    with pytest.raises(CheckpointError, match=r"\(card\): README.md, line \d+: 'TODO' waits"):
        publish(folder, "me/mine", dry_run=True, overrides=reasons)


def test_a_signed_folder_cannot_tell_of_overrides(folder: Path) -> None:
    remove("audit.json")(folder)
    (folder / "model.sig").write_text("{}")
    with pytest.raises(CheckpointError, match="a signed folder cannot tell what was overridden"):
        publish(folder, "me/mine", dry_run=True, overrides={"audit": REASON})


# -- what is sent ----------------------------------------------------------------------------------


def test_what_a_person_wrote_into_the_card_is_published(folder: Path) -> None:
    keep("Made with love.")(folder)
    with staged(folder, load="hf://me/mine") as ready:
        assert f"{card.OPEN}\nMade with love.\n{card.CLOSE}" in (ready / "README.md").read_text()
    assert publish(folder, "me/mine", dry_run=True).files


def test_what_is_sent_has_no_discriminator_and_no_paths(tmp_path: Path) -> None:
    training = {"data": {"source": "folder:/home/someone/secret/faces?crop=1"}, "init": None}
    folder = fit.model(tmp_path / "model", critic=True, training=training)
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    with staged(folder, load="hf://me/mine") as ready:
        assert not layout.has_discriminator(ready)
        assert layout.read_config(ready).discriminator is None
        said = (ready / "training.json").read_text()
        assert "someone" not in said and '"folder:faces"' in said
        assert 'ganzoo.load("hf://me/mine")' in (ready / "README.md").read_text()
        assert ganzoo.load(ready).sample(1).shape[0] == 1
    with staged(folder, load="hf://me/mine", with_discriminator=True) as ready:
        assert layout.has_discriminator(ready)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


# -- the card --------------------------------------------------------------------------------------


@pytest.fixture
def card_hook() -> Iterator[Callable[[Callable[[Any], object]], None]]:
    """Let a plugin change the cards."""
    loaded = plugins.load()
    module = types.ModuleType("meddling")

    def add(change: Callable[[Any], object]) -> None:
        def ganzoo_model_card(card: Any, directory: Path) -> None:
            change(card)

        module.ganzoo_model_card = hookimpl(ganzoo_model_card)  # type: ignore[attr-defined]
        loaded.add(module, name="meddling", distribution="ganzoo-meddling", version="1.0")

    yield add
    loaded.manager.unregister(module)
    loaded.found[:] = [plugin for plugin in loaded.found if plugin.name != "meddling"]


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (lambda card: card.sections.pop("Intended use"), "lacks the section 'Intended use'"),
        (lambda card: card.sections.update(Use=""), "the section 'Use' is empty"),
        (lambda card: card.sections.update(Limitations="None."), "'Limitations' has 5 characters"),
        (lambda card: card.metadata.pop("tags"), "its metadata lacks tags"),
        (lambda card: card.metadata.update(datasets=["a b"]), "no name of a repository"),
    ],
)
def test_a_plugin_that_spoils_the_card(
    folder: Path, card_hook: Callable[..., None], change: Callable[[Any], object], text: str
) -> None:
    card_hook(change)
    report = gates.lint(folder)
    assert stopped_by(report) == {"card"} and text in report.of("block")[0].message


def test_every_placeholder_of_the_hubs_template_is_found(folder: Path) -> None:
    template = Path(huggingface_hub.__file__).parent / "templates" / "modelcard_template.md"
    text = re.sub(r"\{\{.*?\}\}", "[More Information Needed]", template.read_text())
    placeholders = text.count("[More Information Needed]")
    assert placeholders >= 36
    keep(text.replace("<!--", "").replace("-->", ""))(folder)
    found = gates.lint(folder).of("block")
    assert {finding.gate for finding in found} == {"card"}
    assert sum("waits to be filled in" in finding.message for finding in found) == placeholders


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("# no metadata", "no metadata"),
        ("---\na: [1\n---\n", "no valid YAML in line"),
        ("---\n- a\n---\n", "no YAML mapping"),
        ("---\ntags: gan\n---\n", "states no license"),
        ("---\nlicense: mit2\n---\n", "none that the Hub knows"),
        ("---\nlicense: other\n---\n", "without a license_name"),
        ("---\nlicense: mit\ntags: [1]\n---\n", "tags is no list of texts"),
        ("---\nlicense: mit\ndatasets: ['a b']\n---\n", "no name of a repository"),
        ("---\nlicense: mit\nbase_model: ../x/y\n---\n", "no name of a repository"),
        ("---\nlicense: mit\nlibrary_name: [a]\n---\n", "library_name is no text"),
        ("---\nlicense: mit\nmodel-index: 3\n---\n", "no list of models"),
        ("---\nlicense: mit\nmodel-index: [{name: a, results: [{}]}]\n---\n", "no task.type"),
    ],
)
def test_metadata_that_the_hub_would_refuse(text: str, problem: str) -> None:
    assert any(problem in line for line in metadata.read(text)[1])


def test_what_is_declared_is_in_the_card(tmp_path: Path) -> None:
    folder = fit.model(
        tmp_path / "model",
        shows_people=True,
        not_for_all_audiences=True,
        license="other",
        license_name="Mine 1.0",
        license_link="https://my.org/license",
        dataset_license="mit",
    )
    text = (folder / "README.md").read_text()
    values, problems = metadata.read(text)
    assert problems == [] and "not-for-all-audiences" in values["tags"]
    assert values["license"] == "other" and values["license_name"] == "Mine 1.0"
    assert values["license_link"] == "https://my.org/license"
    assert "`Mine 1.0` (https://my.org/license)" in text
    assert "may show people" in text and "They are not for all audiences." in text


def test_metrics_with_a_protocol_are_the_hubs_model_index(folder: Path) -> None:
    fid = {"value": 3.5, "protocol": "clean-fid, 10,000 samples against mnist"}
    fit.put(folder, METRICS, {"fid": fid, "kid": {"value": 1}})
    card.write_card(folder)
    values, problems = metadata.read((folder / "README.md").read_text())
    assert problems == []
    (model,) = values["model-index"]
    (result,) = model["results"]
    assert model["name"] == "mine"
    assert result["task"] == {"type": "unconditional-image-generation"}
    (metric,) = result["metrics"]
    assert (metric["type"], metric["value"]) == ("fid", 3.5)
    assert metric["args"] == {"protocol": fid["protocol"]}


@given(st.text(max_size=200))
def test_any_text_is_read_without_an_error(text: str) -> None:
    for document in (text, f"---\n{text}\n---\n"):
        values, problems = metadata.read(document)
        assert isinstance(values, dict) and all("\n" not in problem for problem in problems)


@pytest.mark.parametrize(
    "text",
    [
        "ganzoo generate hf://me/my-gan@v1.beta -n 16; git@github.com:me/my-gan.git",
        "jo@users.noreply.github.com, you@example.org, noreply@firm.org",
        "https://firm.org/home/page and https://firm.org/Users/list, /homepage, ~/runs",
        "task-" + "a" * 40,
        "the digest " + "ab" * 32,
        "torch 2.6.0+cu124, python@3.11, $HOME/runs, /home/",
    ],
)
def test_what_is_no_secret(folder: Path, text: str) -> None:
    keep(text)(folder)
    assert gates.lint(folder).ok


def test_embedded_pictures_hold_no_tokens_by_chance(folder: Path) -> None:
    noise = np.random.default_rng(0).bytes(3 << 19) + base64.b64decode("AIza" + "aB3d" * 9)
    picture = base64.b64encode(noise).decode()
    assert "AIzaaB3d" in picture
    keep(f"![samples](data:image/webp;base64,{picture})")(folder)
    assert gates.lint(folder).ok
