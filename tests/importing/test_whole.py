"""What modules that were saved whole say, of trees of every form."""

from __future__ import annotations

from typing import Any

import torch

from ganzoo.importing.tree import Record
from ganzoo.importing.whole import said


def module(kind: str, state: dict[str, Any] | None = None, **modules: Record) -> Record:
    where = {"Sequential": "container"}.get(kind, "other")
    return Record(f"torch.nn.modules.{where}", kind, state={**(state or {}), "_modules": modules})


def linear(**state: Any) -> Record:
    return module("Linear", {**state, "_parameters": {"weight": torch.zeros(1, 1)}})


def sequential(*modules: Record) -> Record:
    return module("Sequential", **{str(k): each for k, each in enumerate(modules)})


def kinds(each: Any) -> tuple[list[str], list[str], bool]:
    return [s.kind for s in each.before], [s.kind for s in each.behind], each.followed


def test_what_stands_between_modules_of_a_sequential() -> None:
    inner = sequential(module("Flatten"), linear(bias=1), module("ReLU"))
    root = {"G": sequential(module("Tanh"), inner, linear(), module("Sigmoid"))}
    found = said(root, "G.")
    assert list(found) == ["1.1", "2"] and found["1.1"].settings["bias"] == 1
    assert kinds(found["1.1"]) == (["Tanh", "Flatten"], ["ReLU"], True)
    assert kinds(found["2"]) == ([], ["Sigmoid"], False)
    assert said(root, "D.") == {}


def test_a_block_of_the_programs_own_is_a_gap() -> None:
    block = Record("program", "Block", state={"_modules": {"fc": linear(), "act": module("ReLU")}})
    found = said(sequential(linear(), module("ReLU"), block, module("Tanh"), linear()))
    assert {name: kinds(each) for name, each in found.items()} == {
        "0": ([], ["ReLU"], False),
        "2.fc": ([], [], False),
        "2.act": ([], [], False),
        "4": (["Tanh"], [], False),
    }
    assert said(Record("p", "G", state={"_modules": {"module": linear()}}), without=("module",))


def test_trees_that_hold_themselves_or_nothing_end() -> None:
    one = sequential(linear())
    one.state["_modules"]["1"] = one
    assert list(said(one)) == ["0", "1"]
    odd = [Record("a", "b"), Record("a", "b", state=3), Record("a", "b", state={"_modules": 3})]
    for tree in (None, {}, [], {"a": {"b": torch.zeros(1)}}, *odd):
        assert not said(tree)
    assert [each.silent for each in said(sequential(*odd)).values()] == [True] * 3


def test_a_module_of_two_names_is_told_by_both() -> None:
    layer, act = linear(), module("ReLU")
    block = sequential(linear(), act)
    root = Record("p", "G", state={"_modules": {"a": sequential(layer, act, layer), "b": block}})
    root.state["_modules"] |= {"c": block, "act": act}
    found = said(root)
    assert {name: each.silent for name, each in found.items()} == {
        "a.0": False, "a.2": False, "b.0": False, "c": False, "act": True,
    }  # fmt: skip
