"""The copying audit on Gaussian features: what it catches, and that it accuses no one else.

`make audit-power` does the same on images, with more runs.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from ganzoo.errors import InputError
from ganzoo.evaluation import copying
from ganzoo.evaluation.copying import CopyingAudit, Space, audit_copying

N, D = 5000, 32


def normal(rng: np.random.Generator, n: int = N, scale: float = 1.0) -> np.ndarray:
    return scale * rng.standard_normal((n, D), dtype=np.float32)


def audit(*features: np.ndarray, **options: object) -> CopyingAudit:
    """In two spaces: these features, and a fixed layer over them."""
    layer = np.random.default_rng(99).standard_normal((D, 24), dtype=np.float32)
    return audit_copying(
        {"raw": Space(*features), "layer": Space(*(np.maximum(x @ layer, 0) for x in features))},
        **options,  # type: ignore[arg-type]
    )


@pytest.fixture(scope="module")
def data() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Training, held-out and honest samples."""
    rng = np.random.default_rng(0)
    return normal(rng, 1500), normal(rng), normal(rng)


def test_an_honest_model_passes(data: tuple[np.ndarray, ...]) -> None:
    result = audit(*data)
    assert result.verdict == "pass"
    assert result.reasons[0].startswith("no sign of copying: at most 0.")
    space = result.spaces["raw"]
    assert (space.train, space.held_out, space.generated) == (1500, N, N)
    assert space.nearness.auc == pytest.approx(0.5, abs=0.03)
    assert [rate.alpha for rate in space.rates] == [0.002, 0.01]
    assert result == audit(*data)  # a function of its arguments


def test_one_percent_of_copies_fails_and_names_them(data: tuple[np.ndarray, ...]) -> None:
    train, held_out, honest = data
    samples = honest.copy()
    samples[100:150] = train[7:57] + normal(np.random.default_rng(1), 50, 0.1)
    result = audit(train, held_out, samples, suspects=10)
    assert result.verdict == "fail"
    assert "near" in result.reasons[0] and "different training images" in result.reasons[0]
    for space in result.spaces.values():
        assert space.copying and not space.nearness.copying
        assert len(space.suspects) == 10
        for suspect in space.suspects:
            assert suspect.train == suspect.generated - 100 + 7
        assert [s.ratio for s in space.suspects] == sorted(s.ratio for s in space.suspects)


def test_one_space_is_enough_to_fail_and_too_few_to_pass(data: tuple[np.ndarray, ...]) -> None:
    train, held_out, honest = data
    copied = honest.copy()
    copied[:60] = train[:60]
    result = audit_copying({"a": Space(*data), "b": Space(train, held_out, copied)})
    assert result.verdict == "fail"
    assert all(reason.startswith("b: ") for reason in result.reasons)
    single = audit_copying({"a": Space(*data)})
    assert (single.verdict, single.reasons) == ("warn", ("one feature space only: audit in two",))


def test_mirrored_copies_are_found_where_mirrored_features_are_given(
    data: tuple[np.ndarray, ...],
) -> None:
    train, held_out, honest = data
    mirrored = train[:, ::-1].copy()
    samples = honest.copy()
    samples[:50] = mirrored[200:250]
    space = Space(train, held_out, samples)
    assert not audit_copying({"raw": space}).spaces["raw"].copying
    result = audit_copying({"raw": replace(space, train_flipped=mirrored)})
    assert result.verdict == "fail"
    assert all(s.flipped for s in result.spaces["raw"].suspects)
    assert {s.train - s.generated for s in result.spaces["raw"].suspects} == {200}
    with pytest.raises(InputError, match="mirrored"):
        audit_copying({"raw": replace(space, train_flipped=mirrored[1:])})


def test_a_memorised_set_of_50_fails_though_images_are_repeated() -> None:
    rng = np.random.default_rng(2)
    images = normal(rng, 50)
    samples = images[rng.integers(50, size=N)] + normal(rng, scale=0.3)
    result = audit(np.repeat(images, 3, axis=0), normal(rng), samples)
    assert result.verdict == "fail"
    assert result.spaces["raw"].duplicates == 100
    assert result.spaces["raw"].rates[0].share > 0.9
    assert result.spaces["raw"].rates[0].sources == 50


def test_diffuse_overfitting_fails_through_c_t() -> None:
    """Samples that are only drawn towards 200 images: few are copies, all are a little too near."""
    rng = np.random.default_rng(3)
    images = normal(rng, 200)
    pull = 0.45
    samples = pull * images[rng.integers(200, size=N)] + normal(rng, scale=(1 - pull**2) ** 0.5)
    result = audit(images, normal(rng), samples)
    assert result.verdict == "fail"
    near = result.spaces["raw"].nearness
    assert near.copying and near.z < -10
    assert "overfit" in " ".join(result.reasons)


@pytest.mark.parametrize("scale", [0.95, 0.8])
def test_a_less_diverse_model_is_no_copier(data: tuple[np.ndarray, ...], scale: float) -> None:
    """It is nearer to all real images, trained on or not: the control tells."""
    train, held_out, honest = data
    result = audit(train, held_out, scale * honest)
    assert result.verdict == "warn"
    assert "about as near to held-out images" in result.reasons[0]
    near = result.spaces["raw"].nearness
    assert near.alarm and not near.copying
    assert near.control == pytest.approx(near.auc, abs=0.03)


def test_copies_among_less_diverse_samples_are_found(data: tuple[np.ndarray, ...]) -> None:
    train, held_out, honest = data
    samples = 0.9 * honest
    samples[:150] = train[:150]
    assert audit(train, held_out, samples).verdict == "fail"


def test_a_more_diverse_model_passes(data: tuple[np.ndarray, ...]) -> None:
    train, held_out, honest = data
    assert audit(train, held_out, 1.1 * honest).verdict == "pass"


def test_few_images_are_a_warning_and_none_unaudited(data: tuple[np.ndarray, ...]) -> None:
    train, held_out, honest = data
    few = audit(train, held_out[:4999], honest[:900])
    assert few.verdict == "warn"
    assert "raw: 4999 held-out images, fewer than 5000" in few.reasons[0]
    assert "raw: 900 generated images" in few.reasons[1]
    none = audit_copying({"raw": Space(train, None, honest)})
    assert (none.verdict, none.spaces) == ("unaudited", {})
    assert "no held-out images" in none.reasons[0]
    assert audit(train, held_out[:99], honest).verdict == "unaudited"


def test_held_out_images_of_the_training_set_are_left_out(data: tuple[np.ndarray, ...]) -> None:
    train, held_out, honest = data
    leaking = np.concatenate([held_out, train[:100]])
    copied = honest.copy()
    copied[:50] = train[:50]  # which the leak would make normal
    result = audit(train, leaking, copied)
    assert result.verdict == "fail"
    assert result.spaces["raw"].leaked == 100
    assert result.spaces["raw"].held_out == N
    honestly = audit(train, leaking, honest)
    assert honestly.verdict == "warn"
    assert "100 held-out images are in the training set" in honestly.reasons[0]
    with pytest.raises(InputError, match="hold out other images"):
        audit(train, train, honest)


def test_a_collapsed_model_is_a_warning_unless_it_is_on_a_training_image(
    data: tuple[np.ndarray, ...],
) -> None:
    train, held_out, _ = data
    middle = audit(train, held_out, np.zeros_like(held_out))
    assert middle.verdict == "warn"
    assert middle.reasons[0] == "raw: 4999 of 5000 samples repeat others: collapsed"
    copy = audit(train, held_out, np.repeat(train[:1], N, axis=0))
    assert copy.verdict == "fail"
    assert copy.reasons[0] == "raw: 5000 samples are training images"
    assert copy.spaces["raw"].suspects[0].train == 0


def test_impossible_input_is_one_line(data: tuple[np.ndarray, ...]) -> None:
    train, held_out, honest = data
    with pytest.raises(InputError, match="no features"):
        audit_copying({})
    with pytest.raises(InputError, match="all images of a set are the same"):
        audit(np.ones((20, D), np.float32), held_out, honest)
    with pytest.raises(InputError, match="dimensions"):
        audit_copying({"raw": Space(train[:, 1:], held_out, honest)})


def test_z_star_is_standard_normal_of_honest_models() -> None:
    """C_T alone is not: its spread is that of a weighted mean of cells."""
    z, c_t = [], []
    for run in range(40):
        rng = np.random.default_rng([run, 4])
        train, held_out, honest = normal(rng, 400), normal(rng, 1500), normal(rng, 900)
        near = audit_copying({"raw": Space(train, held_out, honest)}).spaces["raw"].nearness
        z.append(near.z)
        c_t.append(near.c_t)
    assert abs(np.mean(z)) < 3 / 40**0.5
    assert 0.75 < np.std(z) < 1.25
    assert np.std(c_t) < 0.6


def test_power_and_false_alarms_in_small() -> None:
    """1 % of copies, slightly changed, at 5,000: every time of five; no honest run of five."""
    for run in range(5):
        rng = np.random.default_rng([run, 5])
        train, held_out, samples = normal(rng, 500), normal(rng), normal(rng)
        assert audit(train, held_out, samples).verdict == "pass"
        samples[:50] = train[:50] + normal(rng, 50, 0.15)
        assert audit(train, held_out, samples).verdict == "fail"


def test_thresholds_leave_few_false_alarms() -> None:
    chance = 2 * (len(copying.LEVELS) * copying.RATE_P + stats.norm.cdf(copying.Z))
    at_most_one = (1 - chance) ** 200 + 200 * chance * (1 - chance) ** 199
    assert at_most_one > 0.99
