"""The model card: README.md of a model folder, written from what the folder itself records.

A card states what is known and leaves out what is not; nothing in it waits to be filled in. What a
person adds between `<!-- ganzoo:keep -->` and `<!-- /ganzoo:keep -->` stays when it is rewritten.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ganzoo import card_findings, card_origin, card_training, files, layout
from ganzoo.errors import CheckpointError
from ganzoo.markdown import Facts, code, prose, table

OPEN, CLOSE = "<!-- ganzoo:keep -->", "<!-- /ganzoo:keep -->"
_HINT = f"{OPEN}\n<!-- What is written here stays when ganzoo rewrites this file. -->\n{CLOSE}"
_KEPT = re.compile(f"{re.escape(OPEN)}.*?(?:{re.escape(CLOSE)}|\\Z)", re.DOTALL)
_COLORS = {1: "gray", 2: "gray, transparent", 3: "color", 4: "color, transparent"}


@dataclass
class ModelCard:
    """A card to be: the hook `ganzoo_model_card` may change all of it before it is written.

    Attributes:
        title: the heading.
        metadata: the YAML block that the Hub reads.
        intro: what stands between the title and the first section.
        sections: heading -> Markdown, in the order in which they appear.
    """

    title: str
    metadata: dict[str, Any] = field(default_factory=dict)
    intro: str = ""
    sections: dict[str, str] = field(default_factory=dict)

    def render(self, previous: str = "") -> str:
        """The README; what was kept in a previous one stays under its heading."""
        from huggingface_hub import ModelCardData

        kept = _kept_blocks(previous) or {"": [_HINT]}
        parts = ["---", _ours(ModelCardData(**self.metadata).to_yaml().strip()), "---\n"]
        for heading, body in [("", self.intro), *self.sections.items()]:
            parts.append(_ours(f"## {heading}\n" if heading else f"# {self.title}\n"))
            parts.extend(
                f"{text}\n" for text in [_ours(body.strip()), *kept.pop(heading, [])] if text
            )
        parts.extend(f"{block}\n" for blocks in kept.values() for block in blocks)
        return "\n".join(parts)


def write_card(
    folder: str | Path,
    *,
    load: str = "./",
    previous: str | Path | None = None,
    signed: bool = False,
) -> ModelCard:
    """Write README.md of a model folder, and its line in SHA256SUMS where there is one.

    A signature covers the card as well, so a former one goes: `ganzoo.sign` makes a new one.

    Args:
        folder: a model folder; config.json, training.json, metrics.json and audit.json are read.
        load: what the card tells readers to pass to `ganzoo.load`; by default the folder itself.
        previous: a README whose kept blocks are taken over; by default the folder's own.
        signed: the card says that the folder is signed, which is to be done right after.

    Raises:
        CheckpointError: there is no config.json, or one of the four files is damaged.
    """
    from ganzoo import plugins

    folder = Path(folder)
    readme = folder / "README.md"
    card = make_card(folder, load=load, signed=signed)
    for _ in plugins.load().call("ganzoo_model_card", card=card, directory=folder):
        pass
    old = Path(previous) if previous is not None else readme
    text = _read_previous(old)
    layout.remove_signature(folder)
    files.write_text(readme, card.render(text))
    if (folder / layout.SUMS).is_file():
        sums = layout.read_sums(folder) | {readme.name: files.sha256(readme)}
        lines = [f"{digest}  {name}\n" for name, digest in sorted(sums.items())]
        files.write_text(folder / layout.SUMS, "".join(lines))
    return card


def loaded_as(text: str) -> str:
    """What a card tells readers to pass to `ganzoo.load`; "./" where it does not."""
    match = re.search(r'^G = ganzoo\.load\("([\w./:@%-]{1,512})"\)$', text, re.MULTILINE)
    return match[1] if match else "./"


def make_card(folder: Path, *, load: str = "./", signed: bool = False) -> ModelCard:
    """The card of a model folder, as it is before plugins add to it."""
    model = Facts(_read_json(folder / "config.json", required=True))
    training = Facts(_read_json(folder / "training.json"))
    metrics, audit = findings(folder)

    arch = model.text("generator", "part") or "GAN"
    data = card_training.data_name(model.text("dataset", "name"))
    license = model.text("license") or "unknown"
    card = ModelCard(prose(model.text("name") or f"A generator of the family {arch}"))
    card.metadata = {
        "library_name": "ganzoo",
        "pipeline_tag": "unconditional-image-generation",
        **_license(model, license),
        "tags": list(dict.fromkeys(["ganzoo", "gan", arch, "image-generation"])),
    }
    overrides = model.get("overrides", default={})
    if model.get("not_for_all_audiences") is True:
        card.metadata["tags"].append("not-for-all-audiences")
    if overrides:
        card.metadata["tags"].append("gates-overridden")
    if data:
        card.metadata["datasets"] = [data]
    if base := _base_model(training.text("init", "source")):
        card.metadata["base_model"] = base
    if results := card_findings.results(metrics, data):
        card.metadata |= {"model_name": card.title, "eval_results": results}

    intro = [_banner(overrides), _what(model, arch, data), _picture(folder)]
    card.intro = "\n\n".join(filter(None, intro))
    card.sections["Use"] = _use(model, load)
    if origin := training.get("imported", default={}):
        card.sections["Where it comes from"] = card_origin.imported(Facts(origin))
    elif training.facts:
        card.sections["How it was trained"] = card_training.training(training)
    card.sections["Data"] = card_training.data(model, training, data)
    if metrics:
        card.sections["Evaluation"] = card_findings.evaluation(metrics)
    if audit:
        card.sections["Audit"] = card_findings.audit(audit)
    card.sections["Limitations"] = _limitations(model, audited=bool(audit))
    card.sections["Intended use"] = (
        "Learning how generative adversarial networks work, comparing them, testing software that"
        " needs images, and making pictures. The images are synthetic and are to be shown as such."
        " Pictures like these can displace the work of those who draw or photograph such things for"
        " a living, and mislead whoever takes them for records of something."
        f"{_audience(model)}"
    )
    card.sections["Out of scope"] = (
        "Passing the images off as photographs, scans or measurements of something that exists;"
        " imitating a person, a brand or an artist; standing in for real data where someone's"
        " health, money, rights or safety depends on the result. Before training another model on"
        " these images, weigh that it inherits the gaps of this one."
    )
    if overrides:
        card.sections["Overrides"] = _overrides(overrides)
    card.sections["Provenance and licence"] = (
        f"The weights are under {_named_license(model, license)}. Every file of this folder is"
        " listed with its SHA-256 in `SHA256SUMS`, which `ganzoo` checks before it uses a file"
        " (`ganzoo verify` checks all of them). The weights are safetensors: loading them runs no"
        " code.\n\n"
        f"{_signature(load) if signed else 'The folder is not signed.'}\n\n"
        "Images that `ganzoo` writes carry IPTC's mark for generated media"
        " (`trainedAlgorithmicMedia`) and a record of the model, the hash of its weights and the"
        " seeds. A picture without the mark is not thereby shown to be real."
    )
    return card


def findings(folder: Path) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    """metrics.json and audit.json, of which nothing counts that is of other weights."""
    metrics, audit = (_read_json(folder / name) for name in ("metrics.json", "audit.json"))
    path = folder / layout.WEIGHTS["generator"]
    if not (metrics or audit) or not path.is_file():
        return metrics, audit
    ours = (None, files.sha256(path))
    kept = {
        name: metric
        for name, metric in metrics.items()
        if not isinstance(metric, Mapping) or metric.get("weights_sha256") in ours
    }
    return kept, audit if audit.get("weights_sha256") in ours else {}


def _license(model: Facts, license: str) -> dict[str, str]:
    """The licence as the Hub takes it: what it does not know by name is `other`."""
    from ganzoo.metadata import LICENSES

    if license in LICENSES - {"other"}:
        return {"license": license}
    name = model.text("license_name") or ("" if license == "other" else license)
    said = {"license": "other", "license_name": name, "license_link": model.text("license_link")}
    return {key: value for key, value in said.items() if value}


def _named_license(model: Facts, license: str) -> str:
    name, link = model.text("license_name"), model.text("license_link")
    sound = re.fullmatch(r"https://[\w.-]+(?:/[\w./%#-]*)?", link)
    return f"{code(name or license)}{f' ({link})' if sound else ''}"


def _audience(model: Facts) -> str:
    """What its author says of who is in the images, and who is to see them."""
    people, restricted = model.get("shows_people"), model.get("not_for_all_audiences")
    said = ""
    if isinstance(people, bool):
        shown = "may show people, none of whom is meant to exist" if people else "show no people"
        said += f" By its author's word, the images {shown}."
    if isinstance(restricted, bool):
        said += f" They are {'not ' if restricted else ''}for all audiences."
    return said


def _banner(overrides: Mapping[str, Any]) -> str:
    names = ", ".join(map(code, overrides))
    what = f"Published although the checks {names} stop it; see the section Overrides."
    return f"> **{what}**" if overrides else ""


def _overrides(overrides: Mapping[str, Any]) -> str:
    rows = [(code(name), prose(reason)) for name, reason in overrides.items()]
    return (
        "`ganzoo` checks a model before it is published. These checks found something, and its"
        " author published it all the same.\n\n" + table(("Check", "Its author's reason"), rows)
    )


def _base_model(init: str) -> str:
    """The repository that a fine-tuned model started from, where it is on the Hub."""
    match = re.match(r"hf://([\w.\-]+/[\w.\-]+)", init)
    return match[1] if match else ""


# -- sections ------------------------------------------------------------------------------------


def _what(model: Facts, arch: str, data: str) -> str:
    channels, height, width = _image_shape(model)
    color = f"{_COLORS[channels]} " if channels in _COLORS else ""
    classes = model.get("classes", default=[])
    count = model.get("generator", "config", "num_classes", default=0)
    sentences = [prose(model.text("summary"))]
    sentences.append(
        f"A generator of the family {code(arch)}: it makes {color}images of"
        f" {width} × {height} pixels from"
        f" {model.get('generator', 'config', 'z_dim', default='random')} random numbers"
        + (f", trained on {code(data)}." if data else ".")
    )
    if count:
        names = f": {', '.join(prose(name) for name in classes[:20])}" if classes else ""
        more = ", …" if len(classes) > 20 else ""
        sentences.append(f"It is conditional, with {count} classes{names}{more}.")
    return " ".join(filter(None, sentences))


def _picture(folder: Path) -> str:
    path = folder / "samples.png"
    if not path.is_file():
        return ""
    from ganzoo import provenance

    record = provenance.read_record(path) or {}
    seeds = record.get("seeds")
    seeds = f"Seeds {prose(seeds)}, in order and not selected." if isinstance(seeds, str) else ""
    return f"![Images made by this model](samples.png)\n\n{seeds}".strip()


def _use(model: Facts, load: str) -> str:
    from ganzoo.registry import curated_distributions

    plugin, requires = model.text("plugin"), model.text("requires")
    if plugin in curated_distributions() and re.fullmatch(r"[\w.\-<>=!~,]+", requires):
        install = f"```console\npip install ganzoo '{requires}'\n```\n\n"
    else:  # a command to install is printed for reviewed plugins only
        install = f"It needs `ganzoo` and the plugin {code(plugin)}.\n\n" if plugin else ""
    labels = ", labels=0" if model.get("generator", "config", "num_classes", default=0) else ""
    shape = ", ".join(map(str, ["16", *_image_shape(model)]))
    return (
        f"{install}In Python{', in a copy of this folder' if load == './' else ''}:\n\n"
        "```python\nimport ganzoo\n\n"
        f"G = ganzoo.load({json.dumps(load)})\n"
        f"images = G.sample(16, seed=0{labels})  # ({shape}) in [-1, 1]\n```\n\n"
        f"In a shell: `ganzoo generate {load} -n 16 --seed 0 -o grid.png`"
    )


def _signature(load: str) -> str:
    return (
        "The folder is signed: `model.sig` (OpenSSF model signing, ECDSA) covers every other file,"
        " this card and `SHA256SUMS` among them. With its author's public key, which is to come"
        f" from elsewhere than this folder, `ganzoo verify {load} --key PUBLIC.pem` checks that"
        " nothing was changed, added or removed."
    )


def _image_shape(model: Facts) -> list[Any]:
    shape = model.get("generator", "config", "image_shape", default=[])
    sound = len(shape) == 3 and all(isinstance(side, int) for side in shape)
    return shape if sound else ["C", "H", "W"]


def _limitations(model: Facts, *, audited: bool) -> str:
    points = [
        "The model knows its training data and nothing else: whatever is missing, rare or one-sided"
        " there is missing, rare or one-sided in its images.",
        "Like every GAN it may cover its data unevenly; some kinds of images come too often, others"
        " hardly ever, and some samples are malformed.",
        "The resolution is fixed; larger pictures are enlarged ones.",
    ]
    if not model.get("generator", "config", "num_classes", default=0):
        points.append(
            "It is unconditional: what an image shows cannot be asked for, only its seed."
        )
    if not audited:
        points.append(
            "No audit for memorisation was run on these weights, so near-copies of training images"
            " cannot be excluded."
        )
    return "\n".join(f"- {point}" for point in points)


# -- reading and quoting what may come from anyone -------------------------------------------------


def _read_json(path: Path, *, required: bool = False) -> Mapping[str, Any]:
    return layout.read_json(path) if required or path.exists() else {}


def _read_previous(path: Path) -> str:
    """A README; what a person typed may be in another encoding."""
    if not path.is_file():
        return ""
    if path.stat().st_size > layout.LARGEST_TEXT:
        raise CheckpointError(f"{path} is too large for a card", "remove it, or shorten it")
    return path.read_text(encoding="utf-8", errors="replace")


def _kept_blocks(text: str) -> dict[str, list[str]]:
    """Heading -> the kept blocks under it."""
    blocks: dict[str, list[str]] = {}
    heading, end = "", 0
    for match in _KEPT.finditer(text):
        headings: list[str] = re.findall(r"^## (.+)$", text[end : match.start()], re.MULTILINE)
        heading = headings[-1] if headings else heading
        block = match[0] if match[0].endswith(CLOSE) else f"{match[0].rstrip()}\n{CLOSE}"
        blocks.setdefault(heading.strip(), []).append(block)
        end = match.end()
    return blocks


def _ours(text: str) -> str:
    """Text that ganzoo generates: without the marks of what a person keeps."""
    return text.replace(OPEN, "(keep)").replace(CLOSE, "(/keep)")
