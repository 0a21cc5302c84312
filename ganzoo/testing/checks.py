"""The table of all checks (at the end), and how they are run."""

from __future__ import annotations

import contextlib
import time
import traceback
from collections.abc import Callable, Iterator, Set
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ganzoo.errors import GanzooError
from ganzoo.testing import artifacts, capabilities, declarations, importers, networks, training
from ganzoo.testing.results import Result
from ganzoo.testing.subject import BuiltTarget, Subject, Target


@dataclass(frozen=True)
class Check:
    """A rule: a function whose docstring says it, called with a target, raising when it is broken.

    Attributes:
        function: takes a target of one of `kinds`.
        kinds: what it is about: "plugin", "part" (as declared), a kind of part (built), "recipe"
            or "model".
        provides: only for parts that provide one of these.
        gate: what follows in the table rests on it: where it fails, that is skipped for the target
            and what is under it.
    """

    function: Callable[[Any], None]
    kinds: tuple[str, ...]
    provides: Set[str] = frozenset()
    gate: bool = False

    @property
    def name(self) -> str:
        return self.function.__name__

    @property
    def rule(self) -> str:
        return (self.function.__doc__ or "").strip()

    def applies(self, target: Target) -> bool:
        if target.kind not in self.kinds or not self.provides:
            return target.kind in self.kinds
        assert isinstance(target, BuiltTarget)
        provided = target.provides
        if not target.has_classes:
            provided -= capabilities.NEED_CLASSES
        return bool(provided & self.provides)


@dataclass(eq=False)
class Case:
    """One check of one target; `run` never raises for what the plugin does wrong."""

    check: Check
    target: Target
    outcomes: dict[tuple[str, str], Result] = field(repr=False)

    @property
    def id(self) -> str:
        return f"{self.check.name}-{self.target.name}"

    def failed_gate(self) -> str:
        """The name of a check that this one rests on and that fails, or ""."""
        for gate in CHECKS[: CHECKS.index(self.check)]:
            for target in (*self.target.rests_on, self.target):
                if gate.gate and gate.applies(target):
                    if Case(gate, target, self.outcomes).run().state == "failed":
                        return gate.name
        return ""

    def run(self) -> Result:
        """The result, from memory if the check has been run on this target before."""
        key = (self.check.name, self.target.name)
        if key not in self.outcomes:
            self.outcomes[key] = self._run()
        return self.outcomes[key]

    def _run(self) -> Result:
        def result(state: Any, problem: str = "", remedy: str = "") -> Result:
            seconds = round(time.perf_counter() - start, 3)
            name, target, rule = self.check.name, self.target.name, self.check.rule
            return Result(name, target, rule, state, problem, remedy, seconds)

        start = time.perf_counter()
        gate = self.failed_gate()
        if gate:
            return result("skipped", f"rests on {gate}")
        try:
            self.check.function(self.target)
        except GanzooError as error:
            return result("failed", error.problem, error.remedy)
        except Exception as error:  # whatever a plugin's code raises is the finding
            place = traceback.extract_tb(error.__traceback__)[-1]
            where = f"{Path(place.filename).name}, line {place.lineno}"
            problem = f"{type(error).__name__} in {where}: {error}"
            return result("failed", problem, "mend it; pytest shows the traceback")
        return result("passed")


def cases_of(subject: Subject) -> list[Case]:
    """Every check with every target that it applies to, in the order of the table."""
    outcomes: dict[tuple[str, str], Result] = {}
    return [
        Case(check, target, outcomes)
        for check in CHECKS
        for target in subject.targets
        if check.applies(target)
    ]


def cases(source: str | Path) -> list[Case]:
    """The cases of a distribution or folder; a folder stays importable until the process ends."""
    import atexit

    subject = Subject(source)
    atexit.register(subject.close)
    return cases_of(subject)


def run(source: str | Path) -> Iterator[Result]:
    """Run all checks of a distribution or folder, yielding each result as it is there."""
    with contextlib.closing(Subject(source)) as subject:
        for case in cases_of(subject):
            yield case.run()


NETWORKS = ("generator", "discriminator")
BUILT = ("generator", "discriminator", "loss", "augmentation", "features")

CHECKS: list[Check] = [
    # What the plugin says.
    Check(declarations.hooks_fit, ("plugin",), gate=True),
    Check(declarations.loads, ("plugin",), gate=True),
    Check(declarations.hooks_answer, ("plugin",), gate=True),
    Check(declarations.names_unique, ("plugin",), gate=True),
    Check(declarations.torch_free, ("plugin",)),
    Check(declarations.licensed, ("plugin",)),
    Check(declarations.versions_stated, ("plugin",)),
    # What its parts say.
    Check(declarations.resolves, ("part",), gate=True),
    Check(declarations.config_round_trip, ("part",), gate=True),
    Check(declarations.unknown_settings_refused, ("part",)),
    # What its parts do, built.
    Check(networks.builds, (*BUILT, "importer"), gate=True),
    Check(networks.seeded_weights, BUILT),
    Check(networks.images, ("generator",), gate=True),
    Check(networks.scores, ("discriminator",), gate=True),
    Check(networks.feature_vectors, ("features",), gate=True),
    Check(networks.follows_device, (*NETWORKS, "features")),
    Check(networks.random_state_untouched, (*NETWORKS, "features"), gate=True),
    Check(networks.folded_is_forward, ("generator",), gate=True),
    Check(networks.same_image_in_any_batch, ("generator",), gate=True),
    Check(importers.recognises_its_own, ("importer",)),
    # Every capability that they declare, measured.
    Check(capabilities.conditional, NETWORKS, provides={"conditional"}),
    Check(capabilities.w_space, ("generator",), provides={"w-space"}),
    Check(capabilities.style_mixing, ("generator",), provides={"style-mixing"}),
    Check(capabilities.layer_noise, ("generator",), provides={"layer-noise"}),
    Check(capabilities.progressive, NETWORKS, provides={"progressive"}, gate=True),
    Check(capabilities.per_sample, ("discriminator",), provides={"per-sample"}),
    Check(capabilities.gradient_penalty, ("discriminator",), provides={"gradient-penalty"}),
    Check(capabilities.outputs_agree, ("discriminator",), provides=capabilities.OUTPUTS, gate=True),
    Check(capabilities.classes, ("discriminator",), provides={"classes"}),
    Check(capabilities.features, ("discriminator",), provides={"features"}),
    Check(capabilities.reconstruction, ("discriminator",), provides={"reconstruction"}),
    # What training relies on.
    Check(networks.finite_gradients, NETWORKS),
    Check(training.loss_terms, ("loss",), gate=True),
    Check(training.loss_only_computes, ("loss",)),
    Check(training.loss_draws_from_step, ("loss",), gate=True),
    Check(training.loss_gradients, ("loss",)),
    Check(training.loss_state_in_buffers, ("loss",)),
    Check(training.augmentation_keeps_shape, ("augmentation",), gate=True),
    Check(training.augmentation_draws_from_rng, ("augmentation",), gate=True),
    Check(training.augmentation_off_at_zero, ("augmentation",)),
    Check(training.augmentation_state_in_buffers, ("augmentation",)),
    # The files that it brings.
    Check(networks.weights_survive_saving, NETWORKS, gate=True),
    Check(artifacts.recipe_resolves, ("recipe",)),
    Check(artifacts.model_intact, ("model",), gate=True),
    Check(artifacts.model_licensed, ("model",)),
    Check(artifacts.model_small, ("model",)),
    Check(artifacts.model_samples, ("model",)),
]
