"""The tensors of a tree by name, and the account of what became of each."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from ganzoo.errors import InputError
from ganzoo.importing.importer import Fate
from ganzoo.importing.layers import is_plain_dcgan, modules_of, prefixes
from ganzoo.importing.modules import (
    Account,
    check_tensors,
    fixed_noise,
    scaled,
    trained_levels,
)
from ganzoo.importing.tree import Record, tensors

ONE = torch.ones(2)


def module(**state: Any) -> Record:
    return Record("a", "B", state={"_parameters": {}, "_buffers": {}, "_modules": {}} | state)


def test_a_whole_module_has_the_names_of_its_state_dict() -> None:
    inner = module(_parameters={"weight": ONE, "bias": None}, _buffers={"mean": ONE})
    tree = {"net": module(_modules={"0": inner}, training=True), "list": [ONE, {"x": 3}]}
    assert [name for name, _ in tensors(tree)] == ["net.0.weight", "net.0.mean", "list.0"]


def test_a_tree_that_holds_itself_has_an_end_and_a_tensor_may_have_two_names() -> None:
    tree: dict[str, Any] = {"a": ONE, "b": ONE}
    tree["again"] = [tree]
    assert [name for name, _ in tensors(tree)] == ["a", "b"]


def test_every_tensor_is_accounted_for() -> None:
    account = Account({"g": {"module": {"w": ONE.half(), "v": ONE}}, "optim": {"x": ONE}})
    G = account.network("generator", "g.", without=("module",))
    G.move("w", "weight", scaled(3.0), "times 3")
    with pytest.raises(InputError, match=r"does not have: g\.module\.v, optim\.x"):
        account.fates()
    G.drop("v", "not needed")
    account.drop("", "of the training")  # what is left
    assert account.fates() == (
        Fate("g.module.w", "generator: weight", "times 3"),
        Fate("g.module.v", "", "not needed"),
        Fate("optim.x", "", "of the training"),
    )
    assert torch.equal(G.state["weight"], torch.full((2,), 3.0))
    with pytest.raises(InputError, match=r"the generator has no g\.u"):
        G.move("u", "weight")


def test_more_tensors_than_a_gan_has_are_refused_at_once() -> None:
    """In a few bytes: a name of 200 levels, of as many tensors as one likes."""
    tree: dict[str, Any] = {str(k): ONE for k in range(6001)}
    with pytest.raises(InputError, match="more than 6,000 tensors"):
        check_tensors(tree)
    tree = {str(k): ONE for k in range(200_000)}
    for _ in range(150):
        tree = {"n" * 200: tree}
    with pytest.raises(InputError, match="is called nnnn"):
        check_tensors(tree)
    check_tensors({str(k): ONE for k in range(6000)})


def test_complex_numbers_and_huge_noise_maps_are_refused() -> None:
    G = Account({"w": ONE.to(torch.complex64)}).network("generator")
    with pytest.raises(InputError, match="w is of complex numbers"):
        G.move("w", "weight")
    with pytest.raises(InputError, match="2048 pixels a side"):
        fixed_noise(0, 2048, 2048)


def test_levels_that_are_still_zero_were_not_trained() -> None:
    tensors = {"a": ONE, "b": torch.zeros(2), "c": torch.zeros(2)}
    G = Account(tensors).network("generator")
    levels = [["b", "a"], ["a"], ["c"]]
    assert trained_levels(G, levels, None) == 2
    assert trained_levels(G, levels, 16) == 3
    with pytest.raises(InputError, match="resolution = 32 is not in the file: use 4, 8, 16"):
        trained_levels(G, levels, 32)
    with pytest.raises(InputError, match="--set resolution=8"):
        trained_levels(G, [["b"], ["c"]], None)


@pytest.mark.parametrize(
    ("root", "expected"),
    [
        ({"0.weight": ONE}, {"generator": ""}),
        ({"state_dict": {"x": ONE}}, {"generator": "state_dict."}),
        ({"G": {"x": ONE}, "D": {"x": ONE}}, {"generator": "G.", "discriminator": "D."}),
        ({"model": {"netG.x": ONE}}, {"generator": "model.netG."}),
        ({"D_state_dict": {"x": ONE}}, {"discriminator": "D_state_dict."}),
        ({"module.generator.x": ONE}, {"generator": "module.generator."}),
        ({"G": {"x": ONE}, "G_ema": {"x": ONE}}, {"generator": "G_ema."}),
        ({"G": {"x": ONE}, "ema_G": {"x": ONE}}, {"generator": "ema_G."}),
        ({"netG": {"x": ONE}, "G_avg": {"x": ONE}}, {"generator": "G_avg."}),
        ({"state_dict_G": {"x": ONE}}, {"generator": "state_dict_G."}),
        ({"netG_model": {"x": ONE}}, {"generator": "netG_model."}),
        ([{"x": ONE}, {"x": ONE}], {}),
    ],
)
def test_where_networks_are(root: Any, expected: dict[str, str]) -> None:
    assert prefixes(root) == expected


def test_modules_that_are_not_known_make_no_stack() -> None:
    assert modules_of({"a.weight": torch.zeros(2, 3)}) is not None
    for weight in (torch.zeros(3), torch.zeros(1, 2, 3), torch.zeros(2, 3, 3, 5)):
        assert modules_of({"a.weight": weight}) is None
    assert modules_of({"a.weight_orig": torch.zeros(2, 3)}) is None
    assert not is_plain_dcgan(None) and not is_plain_dcgan([])
