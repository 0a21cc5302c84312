"""Model cards: true to the folder, complete without gaps, and careful with what people wrote."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import types
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from huggingface_hub import ModelCard as HubCard

from ganzoo import files, hookimpl, layout, plugins, provenance
from ganzoo.card import CLOSE, OPEN, make_card, write_card
from ganzoo.errors import CheckpointError

CONFIG: dict[str, Any] = {
    "format": 1,
    "name": "dcgan.mnist",
    "plugin": "ganzoo-dcgan",
    "requires": "ganzoo-dcgan>=0.1,<0.2",
    "generator": {
        "part": "dcgan",
        "version": 1,
        "config": {"image_shape": [1, 28, 28], "num_classes": 0, "z_dim": 100},
    },
    "discriminator": None,
    "storage_dtype": "float16",
    "license": "apache-2.0",
    "summary": "Digits from noise.",
    "dataset": {
        "name": "mnist",
        "license": "cc-by-sa-3.0",
        "digest": "d1" * 32,
        "content_crop": None,
    },
    "classes": [],
}
TRAINING: dict[str, Any] = {
    "recipe": {"name": "dcgan.mnist", "batch": 64, "data": {"source": "mnist", "channels": None}},
    "seed": 0,
    "steps": 18_750,
    "images": 1_200_000,
    "wall_seconds": 4321.5,
    "data": {"source": "mnist", "digest": "d1" * 32, "n": 60_000},
    "versions": {"ganzoo": "0.1.0", "torch": "2.15.0"},
    "hardware": {"device": "cpu (x86_64)", "threads": 1},
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    put(tmp_path, "config.json", CONFIG)
    put(tmp_path, "training.json", TRAINING)
    images = np.zeros((64, 28, 28, 1), np.uint8)
    provenance.save_grid(images, tmp_path / "samples.png", record={"seeds": range(64)})
    return tmp_path


def put(folder: Path, name: str, value: Any) -> None:
    (folder / name).write_text(json.dumps(value), encoding="utf-8")


def readme(folder: Path) -> str:
    return (folder / "README.md").read_text(encoding="utf-8")


def test_the_card_says_what_the_folder_records(folder: Path) -> None:
    protocol = "fid/digits-v1/n10k/train/native"
    found = {"value": 12.34567, "std": 0.1234, "metric": "fid", "protocol": protocol}
    put(folder, "metrics.json", {protocol: {**found, "settings": {"repeats": 3}}})
    audit = {"verdict": "warn", "reasons": ["few 5s | many 6s"], "not_examined": ["crops"]}
    put(folder, "audit.json", {**audit, "protocol": {"generated": 5000, "train": "train"}})
    write_card(folder)
    text = readme(folder)
    values = HubCard(text).data.to_dict()
    (index,) = values.pop("model-index")
    (result,) = index["results"]
    assert result["metrics"] == [
        {"type": "fid", "value": 12.34567, "name": protocol, "args": {"protocol": protocol}}
    ]
    assert values == {
        "library_name": "ganzoo",
        "pipeline_tag": "unconditional-image-generation",
        "license": "apache-2.0",
        "tags": ["ganzoo", "gan", "dcgan", "image-generation"],
        "datasets": ["mnist"],
    }
    for piece in (
        "# dcgan.mnist",
        "Digits from noise.",
        "gray images of 28 × 28 pixels from 100 random numbers",
        "![Images made by this model](samples.png)",
        "Seeds 0-63, in order and not selected.",
        "pip install ganzoo 'ganzoo-dcgan>=0.1,<0.2'",
        'G = ganzoo.load("./")',
        "(16, 1, 28, 28)",
        "| Steps | 18,750 |",
        "| Seed | 0 |",
        "| Time | 1 h 12 min |",
        "cpu (x86_64)",
        "torch 2.15.0",
        "batch = 64",
        "60,000 images",
        "`cc-by-sa-3.0`",
        "| `fid/digits-v1/n10k/train/native` | 12.35 ± 0.12 | 3 |",
        "Verdict of `ganzoo audit`: **warn**",
        "- few 5s \\| many 6s",
        "Compared: generated `5000`, train `train`.",
        "Not examined:\n\n- crops",
        "It is unconditional",
        "trainedAlgorithmicMedia",
    ):
        assert piece in text, piece
    headings = [line[3:] for line in text.splitlines() if line.startswith("## ")]
    assert headings == [
        "Use",
        "How it was trained",
        "Data",
        "Evaluation",
        "Audit",
        "Limitations",
        "Intended use",
        "Out of scope",
        "Provenance and licence",
    ]


def test_writing_again_changes_nothing(folder: Path) -> None:
    write_card(folder)
    first = readme(folder)
    write_card(folder)
    assert readme(folder) == first


def test_a_bare_folder_gets_a_card_without_gaps(tmp_path: Path) -> None:
    put(tmp_path, "config.json", {})
    write_card(tmp_path)
    text = readme(tmp_path)
    assert "No audit for memorisation" in text
    assert HubCard(text).data.license == "unknown"
    assert "Their licence is not recorded" in text
    for gap in ("None", "???", "TODO", "[More", "``", "Evaluation", "How it was trained", "\n "):
        assert gap not in text.replace("```", ""), gap
    assert "\n\n\n" not in text


def test_a_conditional_model(folder: Path) -> None:
    config = json.loads(json.dumps(CONFIG))
    config["generator"]["config"] |= {"num_classes": 3, "image_shape": [3, 64, 64]}
    config["classes"] = ["cat", "dog", "<b>|bird"]
    put(folder, "config.json", config)
    text = make_card(folder).render()
    assert "conditional, with 3 classes: cat, dog, &lt;b>\\|bird." in text
    assert "seed=0, labels=0)  # (16, 3, 64, 64)" in text
    assert "color images of 64 × 64" in text
    assert "It is unconditional" not in text


def test_what_to_load_is_the_callers_choice(folder: Path) -> None:
    write_card(folder, load="hf://me/my-gan")
    text = readme(folder)
    assert 'ganzoo.load("hf://me/my-gan")' in text
    assert "ganzoo generate hf://me/my-gan -n 16" in text
    assert "copy of this folder" not in text


def test_only_reviewed_plugins_get_an_install_command(folder: Path) -> None:
    for plugin, requires in (
        ("evil", "evil>=1"),
        ("ganzoo-dcgan", "ganzoo-dcgan'; rm -rf ~; '"),
        ("", ""),
    ):
        put(folder, "config.json", {**CONFIG, "plugin": plugin, "requires": requires})
        assert "pip install" not in make_card(folder).render()


def test_local_paths_stay_private(folder: Path) -> None:
    private = "folder:/home/someone/secret/faces"
    put(folder, "config.json", {**CONFIG, "dataset": {"name": private}})
    training = {**TRAINING, "data": {"source": private, "n": 5}}
    put(folder, "training.json", {**training, "recipe": {"data": {"source": private}}})
    card = make_card(folder)
    text = card.render()
    assert "/home" not in text
    assert "secret" not in text
    assert "datasets" not in card.metadata
    assert "a data set of its author's" in text


def test_data_sets_of_the_hub_and_splits_are_named(folder: Path) -> None:
    for source, name in (("hf:owner/name@test", "owner/name"), ("mnist@test", "mnist")):
        put(folder, "config.json", {**CONFIG, "dataset": {"name": source}})
        assert make_card(folder).metadata["datasets"] == [name]


def test_hostile_values_stay_on_their_line(folder: Path) -> None:
    evil = f"x\n---\nlicense: mit\n{OPEN} `code` <script>|"
    generator = {**CONFIG["generator"], "part": evil}
    config = {**CONFIG, "name": evil, "generator": generator, "license": evil, "summary": evil}
    put(folder, "config.json", config)
    put(folder, "training.json", {**TRAINING, "versions": {evil: evil}, "steps": [1]})
    write_card(folder)
    text = readme(folder)
    body = text.partition("\n---\n")[2]
    assert all("`" in line for line in body.splitlines() if "<script>" in line)  # code, not HTML
    assert body.count("# x --- license: mit &lt;!--") == 1
    assert text.count("\n---\n") == 1
    assert HubCard(text).data.license == "other"  # the Hub takes those that it knows
    assert HubCard(text).data.license_name.startswith("x --- license")
    write_card(folder)
    assert readme(folder) == text


@pytest.mark.parametrize(
    "config",
    [
        {"generator": []},
        {"generator": {"config": {"image_shape": 5, "num_classes": "x", "z_dim": None}}},
        {"generator": {"config": {"image_shape": [[1], {}, None]}}},
        {"classes": "abc", "dataset": 3, "license": 7, "name": {}},
    ],
)
def test_wrong_types_are_left_out(tmp_path: Path, config: dict[str, Any]) -> None:
    put(tmp_path, "config.json", config)
    put(tmp_path, "training.json", {"recipe": 1, "versions": [], "data": 5, "wall_seconds": "x"})
    assert "## Use" in make_card(tmp_path).render()


def test_damaged_files_are_one_line(folder: Path, tmp_path: Path) -> None:
    for name, content in (
        ("training.json", "{"),
        ("metrics.json", "[]"),
        ("config.json", "\udc80"),
    ):
        path = folder / name
        before = path.read_bytes() if path.exists() else b"{}"
        path.write_bytes(content.encode("utf-8", "surrogateescape"))
        with pytest.raises(CheckpointError, match=name) as caught:
            write_card(folder)
        assert "\n" not in str(caught.value)
        path.write_bytes(before)
    with pytest.raises(CheckpointError, match=r"config\.json"):
        write_card(tmp_path / "nothing")
    assert not (folder / "README.md").exists()


# -- what a person wrote --------------------------------------------------------------------------


def test_kept_blocks_stay_under_their_headings(folder: Path) -> None:
    write_card(folder)
    top = f"{OPEN}\nMy model.\n\n## Use\n\nnot a heading of ours\n{CLOSE}"
    data = f"{OPEN}\nCollected in 1998.\n{CLOSE}"
    gone = f"{OPEN}\nOld news.\n{CLOSE}"
    text = readme(folder)
    hint = text[text.index(OPEN) : text.index(CLOSE) + len(CLOSE)]
    text = text.replace(hint, top).replace("## Limitations", f"{data}\n\n## Limitations")
    (folder / "README.md").write_text(f"{text}\n## A section of mine\n\n{gone}\n", encoding="utf-8")
    put(folder, "config.json", {**CONFIG, "license": "mit"})
    for _ in range(2):
        write_card(folder)
        text = readme(folder)
        assert text.count(top) == text.count(data) == text.count(gone) == 1
        assert text.index(top) < text.index("pip install")
        assert text.index("## Data\n") < text.index(data) < text.index("## Limitations")
        assert "license: mit" in text
        assert hint not in text


def test_an_unclosed_block_is_kept_to_the_end(folder: Path) -> None:
    (folder / "README.md").write_text(f"# mine\n{OPEN}\nall of this\n## and this\n", "utf-8")
    write_card(folder)
    assert f"{OPEN}\nall of this\n## and this\n{CLOSE}" in readme(folder)


def test_blocks_of_a_previous_card_are_taken_over(folder: Path, tmp_path: Path) -> None:
    old = tmp_path / "old.md"
    old.write_text(f"{OPEN}\nMy words.\n{CLOSE}", encoding="utf-8")
    write_card(folder, previous=old)
    assert "My words." in readme(folder)
    write_card(folder, previous=tmp_path / "never-there.md")
    assert "My words." not in readme(folder)


# -- the folder and the hook ----------------------------------------------------------------------


def test_the_line_in_the_sums_is_renewed_and_no_other(folder: Path) -> None:
    layout.write_sums(folder)
    sums = layout.read_sums(folder)
    (folder / "training.json").write_text("{}", encoding="utf-8")  # edited behind our back
    write_card(folder)
    expected = {**sums, "README.md": files.sha256(folder / "README.md")}
    assert layout.read_sums(folder) == expected


def test_the_hook_changes_the_card(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module, broken = types.ModuleType("adds"), types.ModuleType("fails")

    @hookimpl
    def ganzoo_model_card(card: Any, directory: Path) -> None:
        assert directory == folder
        card.metadata["tags"].append("extra")
        card.sections["Ethics"] = "Be kind."

    @hookimpl(specname="ganzoo_model_card")
    def failing(card: Any, directory: Path) -> None:
        raise RuntimeError("no")

    module.ganzoo_model_card = ganzoo_model_card  # type: ignore[attr-defined]
    broken.failing = failing  # type: ignore[attr-defined]
    mine = plugins.Plugins()
    mine.add(broken, name="fails", distribution="fails", version="1")
    mine.add(module, name="adds", distribution="adds", version="1")
    monkeypatch.setattr(plugins, "load", lambda: mine)
    write_card(folder)
    assert "## Ethics\n\nBe kind." in readme(folder)
    assert HubCard(readme(folder)).data.tags[-1] == "extra"
    assert mine.found[0].error == "RuntimeError: no"


def test_the_recipe_in_the_card_is_a_recipe(folder: Path) -> None:
    import tomllib

    text = make_card(folder).render()
    toml = text.partition("```toml\n")[2].partition("```")[0]
    assert tomllib.loads(toml) == {
        "name": "dcgan.mnist",
        "batch": 64,
        "data": {"source": "mnist"},
    }


def test_importing_card_is_light() -> None:
    code = (
        "import sys, ganzoo.card;"
        "print([m for m in ('torch', 'huggingface_hub', 'yaml', 'PIL') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_findings_of_anyone_stay_text(folder: Path) -> None:
    """No picture, link or emphasis of a record gets into the card."""
    hostile = "![](https://evil.example/track.png) [fix](https://evil.example) `x` *b* <i> | c"
    put(folder, "audit.json", {"verdict": "warn", "reasons": [hostile], "not_examined": [hostile]})
    put(folder, "metrics.json", {hostile: {"value": float("nan"), "metric": "fid"}, "x": hostile})
    write_card(folder)
    text = re.sub(r"`[^`\n]*`", "", readme(folder))  # code is shown as it is
    assert "![](https" not in text and "[fix](" not in text and "<i>" not in text
    assert "\\[fix\\](https://evil.example)" in text
    put(folder, "audit.json", {"verdict": "pass** [get the safe weights](https://evil.example)"})
    write_card(folder)
    assert "safe weights" not in readme(folder)
