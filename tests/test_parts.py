"""Parts and configs: strict reading, capabilities, conflicts; refusals name what would do."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Literal

import pytest

from ganzoo import configs, parts
from ganzoo.configs import DiscriminatorConfig
from ganzoo.errors import CompatibilityError, ConfigError, NotFoundError, PluginError
from ganzoo.parts import OwnedPart, Part, PartRegistry


@dataclass(frozen=True)
class Config(DiscriminatorConfig):
    norm: Literal["batch", "layer"] = "batch"
    rate: float = 0.5
    widths: tuple[int, ...] = (4, 8)
    name: str | None = None
    either: Literal["a", "b"] | tuple[Literal["a", "b"], ...] | None = None

    @property
    def provides(self) -> frozenset[str]:
        return frozenset({"per-sample"}) if self.norm == "layer" else frozenset()


HERE = f"{__name__}:Config"


def read(**settings: Any) -> Config:
    return configs.config_from_dict(Config, settings, where="discriminator.d")


def test_config_round_trip_through_json() -> None:
    config = read(image_shape=[3, 32, 32], norm="layer", rate=1, widths=[1, 2, 3], name="x")
    assert config.widths == (1, 2, 3) and config.rate == 1.0 and isinstance(config.rate, float)
    again = json.loads(json.dumps(configs.config_to_dict(config)))
    assert configs.config_from_dict(Config, again, where="d") == config


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"nrom": "layer"}, r"discriminator\.d has no setting 'nrom': did you mean norm\?"),
        ({"norm": "group"}, r"discriminator\.d\.norm = 'group' .* one of 'batch', 'layer'"),
        ({"rate": "fast"}, r"rate = 'fast' is of the wrong type: use float"),
        ({"rate": True}, r"rate = True is of the wrong type"),
        ({"num_classes": 1.5}, r"num_classes = 1.5 is of the wrong type: use int"),
        ({"num_classes": -1}, r"num_classes = -1 is out of range: use 0"),
        ({"widths": [1, "2"]}, r"widths = '2' is of the wrong type"),
        ({"image_shape": [1, 28]}, r"image_shape = \[1, 28\] is of the wrong type"),
        ({"image_shape": "1,28,28"}, r"of the wrong type: use a list, \[int, int, int\]"),
        ({"either": "no"}, r"use one of 'a', 'b' or a list, \[one of 'a', 'b', …\]"),
        ({"widths": 8}, r"of the wrong type: use a list, \[int, …\]"),
        ({"image_shape": [9, 28, 28]}, r"image_shape = \[9, 28, 28\] is not a shape"),
    ],
)
def test_bad_settings_are_refused_in_one_line(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        read(**settings)
    assert "\n" not in str(caught.value)


def test_unknown_capabilities_and_kinds_are_refused() -> None:
    with pytest.raises(PluginError, match=r"per-smaple.*did you mean per-sample"):
        Part("x", "loss", "a:b", requires={"discriminator": {"per-smaple"}})
    with pytest.raises(PluginError, match="generatr"):
        Part("x", "generatr", "a:b")
    assert Part("x", "generator", "a:b", provides={"mine:thing"}).provides == {"mine:thing"}


def owned(name: str, plugin: str, **more: Any) -> OwnedPart:
    kind = more.pop("kind", "discriminator")
    return OwnedPart(Part(name, kind, "m:C", **more), plugin, f"ganzoo-{plugin}")


def test_a_name_that_two_distributions_claim_is_refused_but_reachable() -> None:
    registry = PartRegistry([owned("d", "one"), owned("d", "two"), owned("e", "two")])
    with pytest.raises(PluginError, match=r"ganzoo-one and ganzoo-two: ask for one:d or two:d"):
        registry.get("discriminator", "d")
    assert registry.owner("discriminator", "two:d").plugin == "two"
    assert registry.get("discriminator", "e").name == "e"


def test_unknown_parts_name_the_nearest_and_the_plugin() -> None:
    def missing(kind: str, name: str) -> PluginError | None:
        return PluginError("elsewhere", "pip install ganzoo-wgan") if name == "wgan-gp" else None

    registry = PartRegistry([owned("dcgan", "dcgan")], missing=missing)
    with pytest.raises(NotFoundError, match=r"'dgan': did you mean dcgan\?"):
        registry.get("discriminator", "dgan")
    with pytest.raises(PluginError, match="pip install ganzoo-wgan"):
        registry.get("discriminator", "wgan-gp")
    with pytest.raises(NotFoundError, match="did you mean loss"):
        registry.get("los", "x")


def test_incompatible_parts_name_the_setting_and_the_parts_that_would_do() -> None:
    loss = Part("gp", "loss", "m:C", requires={"discriminator": {"per-sample"}})
    batch = Part("d", "discriminator", "m:C", config=HERE)
    other = Part("mlp", "discriminator", "m:C", config=HERE, provides={"per-sample"})

    def alternatives(role: str) -> list[Part]:
        return [batch, other] if role == "discriminator" else []

    def check(part: Part, **settings: Any) -> None:
        chosen = {"loss": (loss, None), "discriminator": (part, part.make_config(settings))}
        parts.check_compatible(chosen, alternatives)

    with pytest.raises(CompatibilityError, match=r"--set discriminator\.norm=layer") as caught:
        check(batch)
    assert "loss 'gp' needs the discriminator 'd' to be 'per-sample'" in str(caught.value)
    check(batch, norm="layer")
    check(other)

    rigid = Part("rigid", "discriminator", "m:C")
    with pytest.raises(CompatibilityError, match="--set discriminator=mlp"):
        check(rigid)


def test_shapes_and_classes_must_agree() -> None:
    def check(**settings: Any) -> None:
        g = Part("g", "generator", "m:C", config="ganzoo.configs:GeneratorConfig")
        d = Part("d", "discriminator", "m:C", config=HERE, provides={"conditional"})
        chosen = {"generator": (g, g.make_config()), "discriminator": (d, d.make_config(settings))}
        parts.check_compatible(chosen, lambda role: [])

    check()
    with pytest.raises(CompatibilityError, match=r"image shapes differ.*\[1, 28, 28\]"):
        check(image_shape=[3, 32, 32])
    with pytest.raises(CompatibilityError, match="num_classes differ"):
        check(num_classes=10)


def test_labels_must_reach_the_critic_or_the_loss() -> None:
    g = Part(
        "g", "generator", "m:C", config="ganzoo.configs:GeneratorConfig", provides={"conditional"}
    )
    sees = Part("sees", "discriminator", "m:C", config=HERE, provides={"conditional"})
    names = Part("names", "discriminator", "m:C", config=HERE, provides={"classes"})
    plain = Part("hinge", "loss", "m:C")
    ac = Part("ac", "loss", "m:C", requires={"discriminator": {"classes"}})

    def check(d: Part, loss: Part, classes: int = 3) -> None:
        settings = {"num_classes": classes}
        chosen = {
            "generator": (g, g.make_config(settings)),
            "discriminator": (d, d.make_config(settings)),
            "loss": (loss, None),
        }
        alternatives = {"discriminator": [sees, names], "loss": [plain, ac]}
        parts.check_compatible(chosen, lambda role: alternatives[role])

    check(sees, plain)
    check(names, ac)
    check(names, plain, classes=0)
    with pytest.raises(CompatibilityError, match=r"'ac' compares classes.*conditional=true"):
        check(names, ac, classes=0)
    with pytest.raises(CompatibilityError, match="'names' does not see labels") as caught:
        check(names, plain)
    assert caught.value.remedy == "--set loss=ac or --set discriminator=sees"


def test_a_remedy_may_be_another_part_with_a_setting_of_its_own() -> None:
    loss = Part("gp", "loss", "m:C", requires={"discriminator": {"per-sample"}})
    rigid = Part("rigid", "discriminator", "m:C")
    batch = Part("d", "discriminator", "m:C", config=HERE)
    chosen = {"loss": (loss, None), "discriminator": (rigid, rigid.make_config())}
    with pytest.raises(CompatibilityError) as caught:
        parts.check_compatible(chosen, lambda role: [batch])
    assert caught.value.remedy == "--set discriminator=d --set discriminator.norm=layer"


def test_classes_are_refused_by_a_part_that_takes_no_labels() -> None:
    with pytest.raises(ConfigError, match=r"discriminator\.d is unconditional, num_classes = 3"):
        Part("d", "discriminator", "m:C", config=HERE).make_config({"num_classes": 3})
    conditional = Part("d", "discriminator", "m:C", config=HERE, provides={"conditional"})
    assert conditional.make_config({"num_classes": 3}).num_classes == 3


def test_what_cannot_be_resolved_says_why() -> None:
    with pytest.raises(PluginError, match=r"cannot resolve 'ganzoo\.nothing:X'"):
        parts.resolve("ganzoo.nothing:X")
    with pytest.raises(PluginError, match="no dataclass"):
        _ = Part("x", "loss", "a:b", config="ganzoo.parts:resolve").config_class
