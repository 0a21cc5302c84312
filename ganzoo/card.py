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

from ganzoo import energy, files, layout
from ganzoo.errors import CheckpointError

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
        folder: a model folder; config.json, training.json and metrics.json are read.
        load: what the card tells readers to pass to `ganzoo.load`; by default the folder itself.
        previous: a README whose kept blocks are taken over; by default the folder's own.
        signed: the card says that the folder is signed, which is to be done right after.

    Raises:
        CheckpointError: there is no config.json, or one of the three files is damaged.
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
    model = _Facts(_read_json(folder / "config.json", required=True))
    training = _Facts(_read_json(folder / "training.json"))
    metrics = _read_json(folder / "metrics.json")

    arch = model.text("generator", "part") or "GAN"
    data = _data_name(model.text("dataset", "name"))
    license = model.text("license") or "unknown"
    card = ModelCard(_prose(model.text("name") or f"A generator of the family {arch}"))
    card.metadata = {
        "library_name": "ganzoo",
        "pipeline_tag": "unconditional-image-generation",
        "license": license,
        "tags": list(dict.fromkeys(["ganzoo", "gan", arch, "image-generation"])),
    }
    if data:
        card.metadata["datasets"] = [data]
    if base := _base_model(training.text("init", "source")):
        card.metadata["base_model"] = base
    if results := _results(metrics, data):
        card.metadata |= {"model_name": card.title, "eval_results": results}

    card.intro = "\n\n".join(filter(None, [_what(model, arch, data), _picture(folder)]))
    card.sections["Use"] = _use(model, load)
    if training.facts:
        card.sections["How it was trained"] = _training(training)
    card.sections["Data"] = _data(model, training, data)
    if metrics:
        card.sections["Evaluation"] = _table(
            ("Metric", "Value"), [(_code(k), _value(v)) for k, v in metrics.items()]
        )
    card.sections["Limitations"] = _limitations(model, metrics)
    card.sections["Intended use"] = (
        "Learning how generative adversarial networks work, comparing them, testing software that"
        " needs images, and making pictures. The images are synthetic and are to be shown as such."
    )
    card.sections["Out of scope"] = (
        "Passing the images off as photographs, scans or measurements of something that exists;"
        " imitating a person, a brand or an artist; standing in for real data where someone's"
        " health, money, rights or safety depends on the result. Before training another model on"
        " these images, weigh that it inherits the gaps of this one."
    )
    card.sections["Provenance and licence"] = (
        f"The weights are under {_code(license)}. Every file of this folder is listed with its"
        " SHA-256 in `SHA256SUMS`, which `ganzoo` checks before it uses a file (`ganzoo verify`"
        " checks all of them). The weights are safetensors: loading them runs no code.\n\n"
        f"{_signature(load) if signed else 'The folder is not signed.'}\n\n"
        "Images that `ganzoo` writes carry IPTC's mark for generated media"
        " (`trainedAlgorithmicMedia`) and a record of the model, the hash of its weights and the"
        " seeds. A picture without the mark is not thereby shown to be real."
    )
    return card


def _base_model(init: str) -> str:
    """The repository that a fine-tuned model started from, where it is on the Hub."""
    match = re.match(r"hf://([\w.\-]+/[\w.\-]+)", init)
    return match[1] if match else ""


def _results(metrics: Mapping[str, Any], data: str) -> list[Any]:
    """The metrics that say how they were measured, as the Hub's model-index takes them."""
    from huggingface_hub import EvalResult

    return [
        EvalResult(
            task_type="unconditional-image-generation",
            dataset_type=data or "custom",
            dataset_name=data or "its training data",
            metric_type=name,
            metric_value=metric["value"],
            metric_name=name,
            metric_args={"protocol": metric["protocol"]},
        )
        for name, metric in metrics.items()
        if isinstance(metric, Mapping)
        and isinstance(metric.get("value"), (int, float))
        and metric.get("protocol")
    ]


# -- sections ------------------------------------------------------------------------------------


def _what(model: _Facts, arch: str, data: str) -> str:
    channels, height, width = _image_shape(model)
    color = f"{_COLORS[channels]} " if channels in _COLORS else ""
    classes = model.get("classes", default=[])
    count = model.get("generator", "config", "num_classes", default=0)
    sentences = [_prose(model.text("summary"))]
    sentences.append(
        f"A generator of the family {_code(arch)}: it makes {color}images of"
        f" {width} × {height} pixels from"
        f" {model.get('generator', 'config', 'z_dim', default='random')} random numbers"
        + (f", trained on {_code(data)}." if data else ".")
    )
    if count:
        names = f": {', '.join(_prose(name) for name in classes[:20])}" if classes else ""
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
    seeds = f"Seeds {_prose(seeds)}, in order and not selected." if isinstance(seeds, str) else ""
    return f"![Images made by this model](samples.png)\n\n{seeds}".strip()


def _use(model: _Facts, load: str) -> str:
    from ganzoo.registry import curated_distributions

    plugin, requires = model.text("plugin"), model.text("requires")
    if plugin in curated_distributions() and re.fullmatch(r"[\w.\-<>=!~,]+", requires):
        install = f"```console\npip install ganzoo '{requires}'\n```\n\n"
    else:  # a command to install is printed for reviewed plugins only
        install = f"It needs `ganzoo` and the plugin {_code(plugin)}.\n\n" if plugin else ""
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


def _image_shape(model: _Facts) -> list[Any]:
    shape = model.get("generator", "config", "image_shape", default=[])
    sound = len(shape) == 3 and all(isinstance(side, int) for side in shape)
    return shape if sound else ["C", "H", "W"]


def _training(training: _Facts) -> str:
    seconds = training.get("wall_seconds")
    versions = training.get("versions", default={})
    hardware = training.get("hardware", default={})
    rows = [
        ("Steps", training.number("steps")),
        ("Images seen", training.number("images")),
        ("Seed", training.number("seed", plain=True)),
        ("Time", _duration(seconds) if isinstance(seconds, (int, float)) else ""),
        ("Hardware", ", ".join(f"{_prose(k)} {_prose(v)}" for k, v in hardware.items())),
        ("Energy", _energy(training)),
        ("Versions", ", ".join(f"{_prose(k)} {_prose(v)}" for k, v in versions.items())),
    ]
    table = _table(("", ""), [row for row in rows if row[1]])
    recipe = training.get("recipe", default={})
    if not recipe:
        return table
    import tomli_w

    toml = tomli_w.dumps(_without_nulls(without_paths(recipe))).strip().replace("```", "'''")
    summary = "Every setting of the run, as a recipe for <code>ganzoo train</code>"
    block = f"<summary>{summary}</summary>\n\n```toml\n{toml}\n```"
    return f"{table}\n\n<details>{block}\n\n</details>"


def _energy(training: _Facts) -> str:
    """As it is recorded; or, of a run of before it was, estimated in the same way."""
    recorded = training.get("energy", default={})
    seconds = training.get("wall_seconds")
    if not recorded and isinstance(seconds, (int, float)):
        recorded = energy.estimate(seconds, training.get("hardware", default={}))
    return _prose(energy.as_text(recorded)) if recorded else ""


def _data(model: _Facts, training: _Facts, name: str) -> str:
    license = model.text("dataset", "license")
    digest = model.text("dataset", "digest") or training.text("data", "digest")
    crop = model.get("dataset", "content_crop")
    own = "Trained on a data set of its author's." if model.text("dataset", "name") else ""
    lines = [f"Trained on {_code(name)}." if name else own]
    if number := training.number("data", "n"):
        few = training.text("memorisation_warning")
        lines.append(
            f"{number} images were used{'; of so few, a model may copy some' * bool(few)}."
        )
    lines.append(_marked(training))
    if credit := model.text("dataset", "credit") or _credit_of(name):
        lines.append(f"{_prose(credit.rstrip('.'))}.")
    elif model.text("dataset", "name"):
        lines.append(
            "Whose work they are is not recorded: find out and credit them (`data.credit` in a"
            " recipe) before you rely on the model."
        )
    if license and license != "unknown":
        lines.append(
            f"The data are under {_code(license)}; that licence covers them, not the weights."
        )
    else:
        lines.append("Their licence is not recorded: settle it before you rely on the model.")
    if crop:
        lines.append(f"The images were padded; their content is the crop {_code(crop)}.")
    if digest:
        lines.append(f"Digest of the preprocessed data: {_code(digest)}.")
    return " ".join(filter(None, lines))


def _credit_of(name: str) -> str:
    """Whom to credit for a data set that ganzoo or an installed plugin knows."""
    from ganzoo.data import data_sources

    owners = data_sources().get(name, {}).values()
    return next((source.credit for source in owners if source.credit), "")


def _marked(training: _Facts) -> str:
    """What became of images that are marked as not for training."""
    number = training.get("data", "consent", "marked")
    if not isinstance(number, int):
        return ""
    if not number:
        return "No mark against training (PLUS, C2PA) was found in their files."
    if training.text("data", "consent", "policy") == "ignore":
        return (
            f"**{number:,} of them are marked as not for training and were used all the same**"
            " (`consent=ignore`)."
        )
    return f"{number:,} more were left out, being marked as not for training."


def _limitations(model: _Facts, metrics: Mapping[str, Any]) -> str:
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
    if not any("audit" in key or "copy" in key for key in metrics):
        points.append(
            "No audit for memorisation was run on these weights, so near-copies of training images"
            " cannot be excluded."
        )
    return "\n".join(f"- {point}" for point in points)


# -- reading and quoting what may come from anyone -------------------------------------------------


@dataclass(frozen=True)
class _Facts:
    """A JSON object, read without trust in its shape."""

    facts: Mapping[str, Any]

    def get(self, *path: str, default: Any = None) -> Any:
        """The value at a path; the default where it is absent or of another type than that."""
        value: Any = self.facts
        for key in path:
            value = value.get(key) if isinstance(value, Mapping) else None
        wrong = (
            default is not None
            and not isinstance(default, str)
            and type(value) is not type(default)
        )
        return default if value is None or wrong else value

    def text(self, *path: str) -> str:
        value = self.get(*path)
        return " ".join(value.split()) if isinstance(value, str) else ""

    def number(self, *path: str, plain: bool = False) -> str:
        value = self.get(*path)
        if not isinstance(value, int):
            return ""
        return str(value) if plain else f"{value:,}"


def _read_json(path: Path, *, required: bool = False) -> Mapping[str, Any]:
    return layout.read_json(path) if required or path.exists() else {}


def _read_previous(path: Path) -> str:
    """A README; what a person typed may be in another encoding."""
    if not path.is_file():
        return ""
    if path.stat().st_size > layout.LARGEST_TEXT:
        raise CheckpointError(f"{path} is too large for a card", "remove it, or shorten it")
    return path.read_text(encoding="utf-8", errors="replace")


def _data_name(source: str) -> str:
    """A data set that others can find too: no local path, no split, no settings."""
    kind, _, rest = source.partition(":")
    if not rest:
        return re.split("[@?]", source)[0]
    return re.split("[@?]", rest)[0] if kind == "hf" else ""


def without_paths(value: Any) -> Any:
    """A record of a run without the paths of the machine that made it."""
    if isinstance(value, Mapping):
        return {str(k): without_paths(v) for k, v in value.items()}
    if isinstance(value, list):
        return [without_paths(v) for v in value]
    if isinstance(value, str) and re.match("(folder|zip):", value):
        return value.partition(":")[0] + ":" + Path(re.split("[?]", value)[0]).name
    return value


def _without_nulls(value: Any) -> Any:
    """A record as TOML can hold it."""
    if isinstance(value, Mapping):
        return {k: _without_nulls(v) for k, v in value.items() if v is not None}
    if isinstance(value, list):
        return [_without_nulls(v) for v in value if v is not None]
    return value


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


def _prose(value: Any) -> str:
    """Text on one line that starts no HTML and no table cell."""
    return " ".join(str(value).split()).replace("<", "&lt;").replace("|", "\\|")


def _code(value: Any) -> str:
    return f"`{' '.join(str(value).split()).replace('`', chr(39)).replace('|', ' ')}`"


def _value(value: Any) -> str:
    """A metric: a number as it is, a record as its entries."""
    if isinstance(value, Mapping):
        return ", ".join(f"{_prose(k)} {_value(v)}" for k, v in value.items())
    return f"{value:.4g}" if isinstance(value, float) else _prose(value)


def _table(head: tuple[str, str], rows: list[tuple[str, str]]) -> str:
    return "\n".join(f"| {a} | {b} |" for a, b in [head, ("---", "---"), *rows])


def _duration(seconds: float) -> str:
    if not 0 <= seconds < 1e9:  # infinite, not a number, or not meant
        return ""
    minutes = round(seconds / 60)
    if minutes < 1:
        return f"{seconds:.0f} s"
    return f"{minutes // 60} h {minutes % 60} min" if minutes >= 60 else f"{minutes} min"
