"""The activations and norms of a network, as they are asked for, place by place."""

from __future__ import annotations

from dataclasses import dataclass, field

from ganzoo.errors import InputError
from ganzoo.importing.layers import Found
from ganzoo_gan.importing import saved_whole
from ganzoo_gan.importing.chain import Questions
from ganzoo_gan.importing.config import Activation, PlainConfig
from ganzoo_gan.sequential_config import Layer


@dataclass
class Activations:
    """What is said of those between a network's layers: one for all places, or one for each."""

    given: Activation | tuple[Activation, ...] | None
    slope: float | None
    prefix: str
    questions: Questions
    places: int = field(default=0, init=False)

    @classmethod
    def of_generator(cls, config: PlainConfig, questions: Questions) -> Activations:
        return cls(config.activation, config.slope, "", questions)

    @classmethod
    def of_critic(cls, config: PlainConfig, questions: Questions) -> Activations:
        given = config.discriminator_activation or "leaky-relu"
        return cls(given, config.discriminator_slope, "discriminator_", questions)

    def following(self) -> Layer:
        """That of the next place."""
        self.places += 1
        kind = self.given
        if isinstance(kind, tuple):
            kind = kind[self.places - 1] if self.places <= len(kind) else "relu"  # see `check`
        if kind is None:
            self.questions.add(
                "what is between its layers",
                "--set activation=relu (or tanh, sigmoid, leaky-relu with --set slope=0.2)",
            )
            return Layer("relu")
        if kind == "leaky-relu" and self.slope is None:
            of = "the discriminator's" if self.prefix else "its"
            more = " (0 for ReLU)" if self.prefix else " (PyTorch's default is 0.01)"
            self.questions.add(
                f"the slope of {of} LeakyReLU", f"--set {self.prefix}slope=0.2{more}"
            )
        return Layer(kind, slope=0.2 if self.slope is None else self.slope)

    def check(self) -> None:
        """
        Raises:
            InputError: one was given for each place, and there are more places, or fewer.
        """
        if isinstance(self.given, tuple) and len(self.given) != self.places:
            raise InputError(
                f"{self.prefix}activation has {len(self.given)} names for {self.places} places",
                "give one for each place between two layers, or one for all",
            )


@dataclass(frozen=True)
class Norms:
    """What is said of a network's norms, by the setting that is called `name`."""

    norm: str | None
    name: str
    config: PlainConfig
    questions: Questions

    def layer(self, module: Found) -> Layer:
        """Ours for one that has tensors."""
        if module.stats:
            return Layer("batch-norm", eps=self._eps(saved_whole.eps(module)))
        norm = saved_whole.norm(module) or self.norm
        if norm in (None, "none"):
            self.questions.add(
                f"which norm without statistics {module.name} and the like are",
                f"--set {self.name}=instance (or layer)",
            )
        eps = self._eps(saved_whole.eps(module))
        return Layer("layer-norm" if norm == "layer" else "instance-norm", eps=eps)

    def hidden(self, module: Found) -> Layer | None:
        """An instance norm without tensors, if one follows a module where there is room."""
        if self.norm is None:
            self.questions.add(
                f"what is behind {module.name} besides an activation",
                f"--set {self.name}=none (a dropout, or what changes nothing; instance: an instance"
                " norm)",
            )
        return Layer("instance-norm", eps=self._eps()) if self.norm == "instance" else None

    def _eps(self, said: float | None = None) -> float:
        given = self.config.eps if said is None else said
        if given is None:
            self.questions.add(
                "the eps of its norms",
                "--set eps=1e-5 (PyTorch's default; 0.8 in most of PyTorch-GAN and what descends"
                " from it)",
            )
        return 1e-5 if given is None else given
