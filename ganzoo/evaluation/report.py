"""The report of an audit: one page of HTML that needs nothing else, for people.

There are two of it. The one for whoever ran the audit shows training images beside the samples
that are nearest to them. The one in a model folder, which is published, shows the samples alone: a
report about copies of training images is not to hand them out.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable, Iterator, Sequence
from html import escape
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from ganzoo import __version__, files, layout, marks, provenance
from ganzoo.contact_sheet import fitting
from ganzoo.evaluation.auditing import Audit
from ganzoo.evaluation.copying import SpaceResult
from ganzoo.evaluation.support import Support

MEANINGS = {
    "pass": "Nothing was found that speaks against this model, within what was examined.",
    "warn": "Something was found that its users should know, or too little could be examined.",
    "fail": "The model reproduces images that it was trained on. It should not be published.",
    "unaudited": "Copying could not be examined. That is no pass.",
}

_STYLE = """
:root { color-scheme: light dark; --ink: #1c1e21; --paper: #fff; --soft: #667; --line: #d8dbe0;
  --pass: #1a7f37; --warn: #9a6700; --fail: #c62828; --unaudited: #5b6270; --bar: #4472c4; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6e8eb; --paper: #16181b; --soft: #99a;
  --line: #363a40; --pass: #4ac26b; --warn: #d4a72c; --fail: #ff6b6b; --unaudited: #9aa3b0;
  --bar: #7ba2e8; } }
body { font: 16px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--paper);
  max-width: 52rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.6rem; margin-bottom: 0; } h2 { font-size: 1.2rem; margin-top: 2.2rem; }
h1, li, code { overflow-wrap: anywhere; }
.verdict { border-left: .5rem solid var(--mark); padding: .6rem 1rem; margin: 1.2rem 0; }
.verdict b { color: var(--mark); font-size: 1.3rem; text-transform: uppercase; }
table { display: block; overflow-x: auto; border-collapse: collapse; margin: .8rem 0;
  font-variant-numeric: tabular-nums; }
th, td { border-bottom: 1px solid var(--line); padding: .25rem .8rem .25rem 0; text-align: right; }
th:first-child, td:first-child, .words td { text-align: left; }
.words td { overflow-wrap: anywhere; } .words td:first-child { white-space: nowrap; }
figure { margin: 1rem 0; } figcaption, .soft { color: var(--soft); font-size: .9rem; }
img { image-rendering: pixelated; } img, svg { max-width: 100%; }
svg text { fill: var(--ink); } svg .soft { fill: var(--soft); }
svg text, svg .soft { font-size: 12px; }
"""


def write_report(path: str | Path, found: Audit) -> None:
    """Write the page; the file is whole or absent."""
    files.write_text(Path(path), render(found))


def render(found: Audit, *, training_images: bool = True) -> str:
    """The page, HTML with its pictures and plots inside."""
    title = f"Audit of {found.model or 'a model'}"
    sections = [
        _head(title, found),
        *_copying(found, training_images),
        *_coverage(found),
        *_quality(found),
        *_membership(found),
        *_not_examined(found),
        *_protocol(found, training_images),
    ]
    return (
        "<!doctype html>\n"
        f'<html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"{layout.SHOWS_TRAINING_IMAGES.decode() if training_images else ''}\n"
        f"<style>{_STYLE}</style></head>\n<body>\n" + "\n".join(sections) + "\n</body></html>\n"
    )


def _head(title: str, found: Audit) -> str:
    reasons = "".join(
        f"<li>{escape(reason[:1].upper() + reason[1:])}</li>" for reason in found.reasons
    )
    return (
        f"<h1>{escape(title)}</h1>\n"
        f'<p class="soft">Weights <code>{escape(found.weights_sha256)}</code></p>\n'
        f'<div class="verdict" style="--mark: var(--{escape(found.verdict)})">'
        f"<b>{escape(found.verdict)}</b> {escape(MEANINGS[found.verdict])}"
        f"<ul>{reasons}</ul></div>"
    )


# -- copying ---------------------------------------------------------------------------------------


def _copying(found: Audit, training_images: bool) -> Iterator[str]:
    yield "<h2>Did it copy its training images?</h2>"
    if not found.copying.spaces:
        yield f"<p>{_sentence(found.copying.reasons)}</p>"
        return
    yield (
        "<p>A sample is <em>flagged</em> if it lies closer to a training image than nearly all real"
        " images do that the model never saw. An honest model is flagged about as often as those"
        " held-out images. The <em>control</em> puts held-out images in the place of the training"
        " images: a model that is merely smooth is near to both, a copier to one.</p>"
    )
    rows = [row for name, space in found.copying.spaces.items() for row in _space(name, space)]
    head = ("Seen by", "Held out flagged", "Samples flagged", "95 % interval", "Control", "p")
    yield _table(head, rows)
    near = [
        (
            name,
            f"{space.nearness.z:.1f}",
            f"{space.nearness.auc:.3f}",
            f"{space.nearness.control:.3f}",
            f"{space.train:,}",
            f"{space.held_out:,}",
            f"{space.generated:,}",
        )
        for name, space in found.copying.spaces.items()
    ]
    yield (
        "<p>Diffuse overfitting, where no image is a copy but all are drawn towards the training"
        " images, shows as samples that lie nearer to training images than held-out ones do:"
        " z* far below 0, and an AUC below both 0.5 and its control.</p>"
    )
    yield _table(("Seen by", "z*", "AUC", "Control", "Training", "Held out", "Samples"), near)
    # the samples of a copier are its training images
    shown = training_images or found.verdict != "fail"
    if shown and found.samples is not None and found.originals is not None:
        yield _suspects(found, training_images)


def _space(name: str, space: SpaceResult) -> Iterator[tuple[str, ...]]:
    for rate in space.rates:
        interval = f"{rate.lower:.2%} – {rate.upper:.2%}"
        yield (
            name,
            f"{rate.alpha:.1%}",
            f"{rate.share:.2%}",
            interval,
            f"{rate.control:.2%}",
            f"{rate.p:.2g}",
        )


def _suspects(found: Audit, training_images: bool) -> str:
    assert found.samples is not None and found.originals is not None
    samples, caption = _picture(found.samples), _WITHOUT
    record = {"model": found.model, "weights_sha256": found.weights_sha256, "audit": "suspects"}
    if training_images:
        record[marks.COMPOSITE] = "with training images"
        pairs = np.stack([samples, _picture(found.originals)], axis=1)
        samples, caption = pairs.reshape(-1, *pairs.shape[2:]), _WITH
    png = provenance.encode_grid(samples, record=record, columns=min(8, len(samples)))
    data = base64.b64encode(png).decode()
    return (
        f'<figure><img alt="The most copy-like samples" src="data:image/png;base64,{data}">'
        f"<figcaption>The most copy-like samples{caption}</figcaption></figure>"
    )


_WITH = (
    ", each on the left of the training image that it is nearest to. Look at them: of an honest"
    " model the two are alike in kind, not the same picture."
)
_WITHOUT = ". The training images that they are nearest to are shown to whoever runs the audit."


def _picture(images: Tensor) -> np.ndarray:
    return np.ascontiguousarray(images.permute(0, 2, 3, 1).cpu().numpy())


# -- coverage --------------------------------------------------------------------------------------


def _coverage(found: Audit) -> Iterator[str]:
    yield "<h2>Whom does it leave out?</h2>"
    coverage = found.coverage
    if coverage is None and found.support is None:
        yield "<p>That could not be examined.</p>"
    if coverage is not None:
        corrected = (
            "corrected for the classifier's own errors on real images"
            if coverage.corrected
            else "as a classifier reads them, with its errors"
        )
        due = "those of the training set" if found.labels is None else "those asked for"
        verb = "differ from" if coverage.biased else "do not differ from"
        yield (
            f"<p>The shares of the classes in its samples, {corrected}, {verb} {due}"
            f" beyond chance: their distance (TVD) is {coverage.tvd:.3f}; of 100"
            f" models with the right shares, 99 show less than {coverage.null:.3f}"
            f" (p = {coverage.p:.2g}; by a chi-square test, which sees rare classes better,"
            f" {coverage.chi_square_p:.2g}). Classes seen: {coverage.modes} of"
            f" {len(coverage.expected)}.</p>"
        )
        yield _bars(found.classes, coverage.shares, coverage.expected)
    if found.support is not None:
        yield f"<p>{_support(found.support)}</p>"


def _support(s: Support) -> str:
    text = (
        f"Among {s.samples:,} samples, {s.collisions:,} pairs are as close as the two most alike"
        " held-out images. By the birthday paradox, that is what a generator shows of "
    )
    lower = _about(s.lower)
    if not s.collisions:
        return f"{text}at least {lower} different images (95 %)."
    between = f"{lower} to {_about(s.upper)}" if np.isfinite(s.upper) else f"from {lower}"
    return f"{text}about {_about(s.estimate)} different images (95 %: {between})."


def _about(number: float) -> str:
    """Three digits of a number that may have many."""
    return f"{float(f'{number:.3g}'):,.0f}"


def _bars(names: Sequence[str], shares: Sequence[float], expected: Sequence[float]) -> str:
    """A bar for each class, with a line where the training set's share is."""
    row, left, width = 22, 110, 250
    most = max([*shares, *expected]) or 1
    parts = []
    for k, (name, share, wanted) in enumerate(zip(names, shares, expected, strict=True)):
        label = fitting(str(name), lambda text: len(text) <= 14)
        y, x = k * row + 4, left + width * wanted / most
        parts.append(
            f'<text x="{left - 8}" y="{y + 12}" text-anchor="end">{escape(label)}</text>'
            f'<rect x="{left}" y="{y}" width="{width * share / most:.1f}" height="14" rx="2"'
            f' fill="var(--bar)"/><line x1="{x:.1f}" x2="{x:.1f}" y1="{y - 3}" y2="{y + 17}"'
            ' stroke="var(--fail)" stroke-width="2"/>'
            f'<text class="soft" x="{left + width + 12}" y="{y + 12}">{share:.1%}</text>'
        )
    height = row * len(names) + 4
    return (
        f'<figure><svg viewBox="0 0 420 {height}" width="420" role="img"'
        f' aria-label="Shares of classes">{"".join(parts)}</svg><figcaption>Bars: samples. Lines:'
        " what they are compared with.</figcaption></figure>"
    )


def _quality(found: Audit) -> Iterator[str]:
    if found.labels is None and found.quality is None:
        return
    yield "<h2>Are all classes made equally well?</h2>"
    if found.labels is not None:
        labels = found.labels
        yield (
            f"<p>{labels.accuracy:.1%} of the samples ({labels.lower:.1%} to {labels.upper:.1%})"
            f" are read as the class that was asked for; of real images,"
            f" {labels.classifier:.1%} are.</p>"
        )
        rows = [
            (str(name), f"{own:.1%}", *_share(accuracy, low, high))
            for name, (accuracy, low, high, own) in zip(found.classes, labels.classes, strict=True)
        ]
        yield _table(("Class", "Real images", "Samples", "Interval"), rows)
    if found.quality is not None:
        gap = found.quality
        names = found.classes
        verdict = "more than" if gap.unequal else "no more than"
        yield (
            f"<p>By the distance to the nearest real image of its class, compared with real images,"
            f" {escape(names[gap.worst])} is made worst and {escape(names[gap.best])} best. The gap"
            f" is {gap.gap:.3f} ({gap.lower:.3f} to {gap.upper:.3f}), {verdict} equal classes may"
            " show.</p>"
        )


def _share(share: float, low: float, high: float) -> tuple[str, str]:
    """A share and its interval; no numbers of a class that was never asked for."""
    return ("–", "–") if np.isnan(share) else (f"{share:.1%}", f"{low:.1%} – {high:.1%}")


def _membership(found: Audit) -> Iterator[str]:
    if found.membership is None:
        return
    m = found.membership
    yield "<h2>What does the discriminator give away?</h2>"
    yield (
        "<p>Whoever has the discriminator can ask it whether an image was in the training set. It"
        f" ranks a training image above a held-out one with a chance of {m.auc:.3f}"
        f" ({m.lower:.3f} to {m.upper:.3f}; 0.5 is a guess), and finds {m.tpr:.1%}"
        f" ({m.tpr_lower:.1%} to {m.tpr_upper:.1%}) of the training images while accusing"
        f" {m.fpr:.1%} of others. It is not published with the generator unless that is asked"
        " for.</p>"
    )


# -- the small print -------------------------------------------------------------------------------


def _not_examined(found: Audit) -> Iterator[str]:
    items = "".join(f"<li>{escape(item)}</li>" for item in found.not_examined)
    yield f"<h2>What was not examined</h2><ul>{items}</ul>"


def _protocol(found: Audit, training_images: bool) -> Iterator[str]:
    yield "<h2>Protocol</h2>"
    yield _table((), [(key, _value(value)) for key, value in found.protocol.items()])
    said = f"Made by ganzoo {__version__}."
    if training_images:
        said += " The page shows training images: mind their licence, and the people in them."
    yield f'<p class="soft">{escape(said)}</p>'


def _value(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, (list, tuple)) else str(value)


def _sentence(reasons: Sequence[str]) -> str:
    return escape("; ".join(reasons)[:1].upper() + "; ".join(reasons)[1:] + ".")


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table of numbers under a head, or of words without one."""
    top = "".join(f"<th>{escape(text)}</th>" for text in head)
    header = f"<thead><tr>{top}</tr></thead>" if head else ""
    lines = ("".join(f"<td>{escape(text)}</td>" for text in row) for row in rows)
    body = "".join(f"<tr>{line}</tr>" for line in lines)
    kind = "" if head else ' class="words"'
    return f"<table{kind}>{header}<tbody>{body}</tbody></table>"
