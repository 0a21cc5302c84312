"""Which parts can be mixed: `make matrix` tries every mix that claims to work, for two steps.

    python scripts/matrix.py                      # resolve all mixes, train those that resolve
    python scripts/matrix.py --write README.md    # and put the table between the markers there
    python scripts/matrix.py --resolve-only       # no training: a few seconds

Parts are small (their `tiny` settings), images are labelled shapes of one size. What is compatible
is decided by `Recipe.resolve` alone. Where a mix is refused as it stands, it is tried with classes
and with each single setting of its networks, as a reader of the refusal's remedy would.
"""

from __future__ import annotations

import dataclasses
import functools
import itertools
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
from pages import rewrite
from rich.markdown import Markdown
from rich.progress import track

from ganzoo import console, plugins
from ganzoo.data.sources import SHAPES  # the classes of the data set of that name
from ganzoo.errors import CompatibilityError, ConfigError, DataError, GanzooError
from ganzoo.parts import variants
from ganzoo.training import Recipe, train

IMAGE_SHAPE = (3, 16, 16)
DATA = f"shapes?n=64&size={IMAGE_SHAPE[1]}&channels={IMAGE_SHAPE[0]}"
STEPS = 2
CLASSES = "conditional=true"
DECIDED_BY_DATA = ("image_shape", "num_classes")
RAISED = str.maketrans("0123456789", "⁰¹²³⁴⁵⁶⁷⁸⁹")


@dataclass(frozen=True)
class Mix:
    """The names of parts, by role."""

    generator: str
    discriminator: str
    loss: str
    trainer: str = "alternating"
    augmentation: str | None = None

    @property
    def is_plain(self) -> bool:
        return self == Mix(self.generator, self.discriminator, self.loss)

    def pairs(self) -> frozenset[tuple[tuple[str, str | None], ...]]:
        """Every two of its roles, with the parts that they have."""
        return frozenset(itertools.combinations(dataclasses.asdict(self).items(), 2))

    def __str__(self) -> str:
        return " + ".join(name for name in dataclasses.astuple(self) if name is not None)


@dataclass(frozen=True)
class Outcome:
    """How a mix fares: the recipe and what had to be set for it, or why it is refused."""

    mix: Mix
    recipe: Recipe | None = None
    changes: tuple[str, ...] = ()
    refusal: GanzooError | None = None

    @property
    def works(self) -> bool:
        return self.recipe is not None


# -- trying ---------------------------------------------------------------------------------------


def outcomes() -> Iterator[Outcome]:
    """Of every generator with every discriminator and loss; and of those that work, with every
    other trainer and with every augmentation."""
    for parts in itertools.product(*map(names, ("generator", "discriminator", "loss"))):
        mix = Mix(*parts)
        plain = outcome(mix, *candidates(mix.generator, mix.discriminator))
        yield plain
        if plain.works:
            others = [
                *({"trainer": name} for name in names("trainer") if name != mix.trainer),
                *({"augmentation": name} for name in names("augmentation")),
            ]
            for other in others:
                yield outcome(dataclasses.replace(mix, **other), plain.changes)


def names(kind: str) -> list[str]:
    return [owned.part.name for owned in plugins.load().parts.all(kind)]


def outcome(mix: Mix, *candidates: tuple[str, ...]) -> Outcome:
    """The mix with the first of the changes that makes it work."""
    refusals: dict[str, GanzooError] = {}
    for changes in candidates:
        try:
            recipe = recipe_of(mix).with_settings(changes)
            recipe.resolve(IMAGE_SHAPE, len(SHAPES))
        except (CompatibilityError, ConfigError, DataError) as error:
            refusals.setdefault(error.problem, error)
        else:
            return Outcome(mix, recipe, changes)
    # One reason is given at a time: the last is what is left when a change has met the first. That
    # a network lacks classes is no reason if they can be had.
    telling = [e for e in refusals.values() if isinstance(e, CompatibilityError)]
    return Outcome(mix, refusal=(telling or list(refusals.values()))[-1])


def recipe_of(mix: Mix) -> Recipe:
    registry = plugins.load().parts
    roles = {
        role: {"part": name, **_settings(registry.get(role, name).tiny)}
        for role, name in dataclasses.asdict(mix).items()
        if name is not None
    }
    document = {
        "name": "matrix",
        "data": {"source": DATA},
        **roles,
        "batch": 4,
        "kimg": 1e6,  # any schedule fits in; two steps of it are made
        "every": {"log": 1, "checkpoint": 0, "grid": 0},
    }
    return Recipe.from_dict(document)


@functools.cache
def candidates(generator: str, discriminator: str) -> list[tuple[str, ...]]:
    """What to set, as `--set` takes it: nothing or one choice of a network; with classes or not."""
    registry = plugins.load().parts
    choices: list[tuple[str, ...]] = [()]
    for role, name in (("discriminator", discriminator), ("generator", generator)):
        part = registry.get(role, name)
        had = part.provided(part.make_config(part.tiny))
        for change, config in variants(part, part.tiny):
            if part.provided(config) - had:  # abilities that no choice before it brought
                choices += [(f"{role}.{key}={value}",) for key, value in change.items()]
                had |= part.provided(config)
    return [(*classes, *choice) for choice in choices for classes in ((), (CLASSES,))]


def _settings(tiny: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in tiny.items() if key not in DECIDED_BY_DATA}


def run(outcome: Outcome, folder: Path) -> None:
    """Train the mix for two steps, as a user would, in a new folder.

    Raises:
        Exception: whatever goes wrong; what claims to work has to work.
    """
    assert outcome.recipe is not None
    train(outcome.recipe, folder, steps=STEPS, device="cpu")


def cover(outcomes: Sequence[Outcome]) -> list[Outcome]:
    """A few mixes that work, in which every two parts that go together do so at least once.

    Greedy: the mix with the most pairs that no one before it had, the first of several.
    """
    working = [o for o in outcomes if o.works]
    pairs = {o.mix: o.mix.pairs() for o in working}
    left = set().union(*pairs.values())
    chosen: list[Outcome] = []
    while left:
        best = max(working, key=lambda o: len(pairs[o.mix] & left))
        chosen.append(best)
        left -= pairs[best.mix]
    return chosen


# -- telling --------------------------------------------------------------------------------------


def section(outcomes: Sequence[Outcome]) -> str:
    """The matrix in Markdown; generators of equal rows share one, discriminators a column."""
    plain = [o for o in outcomes if o.mix.is_plain]
    cells: dict[tuple[str, str], dict[str, Outcome]] = {}
    for o in plain:
        cells.setdefault((o.mix.generator, o.mix.discriminator), {})[o.mix.loss] = o
    notes = dict.fromkeys(c for o in plain for c in o.changes if c != CLASSES)
    marks = {change: str(number).translate(RAISED) for number, change in enumerate(notes, 1)}
    text = {pair: cell(by_loss, marks) for pair, by_loss in cells.items()}
    generators, discriminators = (list(dict.fromkeys(names)) for names in zip(*text, strict=True))
    rows = alike(generators, lambda g: [text[g, d] for d in discriminators])
    columns = alike(discriminators, lambda d: [text[g, d] for g in generators])
    table = [
        ["generators", *map(listed, columns)],
        ["---"] * (1 + len(columns)),
        *([listed(row), *(text[row[0], column[0]] for column in columns)] for row in rows),
    ]
    losses, working = len(names("loss")), sum(o.works for o in plain)
    return "\n".join(
        [
            f"Of {len(generators)} generators, {len(discriminators)} discriminators and"
            f" {losses} losses, {working} mixes of {len(plain)} work; `make matrix` trains each for"
            " two steps. A row is for generators, a column for discriminators, a cell for losses."
            " Networks that need classes get labels.",
            "",
            *("| " + " | ".join(row) + " |" for row in table),
            "",
            *(
                [", ".join(f"{mark} with `--set {c}`" for c, mark in marks.items()), ""]
                if marks
                else []
            ),
            *(f"- {line}" for line in (*trainers(outcomes), *augmentations(outcomes))),
            "",
            "What is refused, before anything is computed:",
            "",
            *(f"- {reason}: {what}" for reason, what in refusals(outcomes).items()),
        ]
    )


def cell(by_loss: Mapping[str, Outcome], marks: Mapping[str, str]) -> str:
    """The losses that work for one pair of networks; marked, where something is to be set."""
    working = {loss: o for loss, o in by_loss.items() if o.works}
    refused = [loss for loss, o in by_loss.items() if not o.works]
    if len(refused) < len(working):
        whole = f"all but {listed(refused)}" if refused else "all"
    else:
        whole = listed(working)
    marked = [
        f"`{loss}`{mark}"
        for change, mark in marks.items()
        for loss, o in working.items()
        if change in o.changes
    ]
    return "; ".join([whole, ", ".join(marked)] if marked else [whole])


def trainers(outcomes: Iterable[Outcome]) -> Iterator[str]:
    """Of each further trainer: the networks that it trains."""
    found: dict[str, list[Mix]] = {}
    for o in outcomes:
        if o.mix.trainer != Mix.trainer:
            found.setdefault(o.mix.trainer, []).extend([o.mix] if o.works else [])
    for trainer, mixes in found.items():
        generators, discriminators = (
            listed(dict.fromkeys(getattr(mix, role) for mix in mixes))
            for role in ("generator", "discriminator")
        )
        yield f"trainer `{trainer}`: generators {generators}, discriminators {discriminators}"


def augmentations(outcomes: Iterable[Outcome]) -> Iterator[str]:
    """Of each augmentation: how many of the mixes take it."""
    taken: dict[str, list[bool]] = {}
    for o in outcomes:
        if o.mix.augmentation is not None:
            taken.setdefault(o.mix.augmentation, []).append(o.works)
    for name, works in taken.items():
        share = "all" if all(works) else f"{sum(works)} of {len(works)}"
        yield f"augmentation `{name}`: {share} of the mixes that work"


def refusals(outcomes: Iterable[Outcome]) -> dict[str, str]:
    """Reason -> the parts that it was given for, where it names one."""
    found: dict[str, dict[str, None]] = {}
    for o in outcomes:
        if o.refusal is None:
            continue
        reason, about = o.refusal.problem, str(o.mix)
        for role, name in dataclasses.asdict(o.mix).items():
            named = f"the {role} {name!r}"
            if named in reason:
                reason, about = reason.replace(named, f"the {role}"), name
        found.setdefault(reason, {})[about] = None
    return {reason: f"not {listed(about)}" for reason, about in found.items()}


def alike(names: Iterable[str], key: Callable[[str], list[str]]) -> list[list[str]]:
    """The names, grouped where their keys are equal, in the order of the first of each group."""
    groups: dict[tuple[str, ...], list[str]] = {}
    for name in names:
        groups.setdefault(tuple(key(name)), []).append(name)
    return list(groups.values())


def listed(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in names) or "none"


@click.command()
@click.option("--write", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="Page.")
@click.option("--resolve-only", is_flag=True, help="Train nothing.")
def main(write: Path | None, resolve_only: bool) -> None:
    """Try every mix of the installed parts, and show which work and why the others do not."""
    found = list(outcomes())
    if not resolve_only:
        # a few of those with an augmentation, all others
        working = [o for o in found if o.works and o.mix.augmentation is None]
        train_all([*working, *(o for o in cover(found) if o.mix.augmentation is not None)])
    text = section(found)
    if write is not None:
        rewrite(write, "matrix", text)
    if sys.stdout.isatty():
        console.stdout().print(Markdown(text))
    else:
        click.echo(text)


def train_all(working: Sequence[Outcome]) -> None:
    """Two steps of each; those that fail are named, and end the script."""
    failed = []
    with tempfile.TemporaryDirectory() as folder:
        for number, o in enumerate(track(working, "training", console=console.stderr())):
            try:
                run(o, Path(folder, str(number)))
            except Exception as error:  # whatever a plugin raises is the finding
                failed.append(f"{o.mix}: {type(error).__name__}: {error}")
            shutil.rmtree(Path(folder, str(number)), ignore_errors=True)
    if failed:
        raise click.ClickException("\n".join(["these claim to work, and do not:", *failed]))


if __name__ == "__main__":
    try:
        main()
    except GanzooError as error:
        sys.exit(f"error: {error}")
