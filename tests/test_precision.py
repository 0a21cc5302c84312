"""TF32 is off where images are made, however a program has turned it on."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch

from ganzoo.precision import true_float32

CHECK = """
import torch
from ganzoo.precision import true_float32
conv, matmul = torch.backends.cudnn, torch.backends.cuda.matmul
if hasattr(conv, "conv"):
    conv = conv.conv
{}
def said():
    if hasattr(conv, "fp32_precision"):
        return conv.fp32_precision, matmul.fp32_precision
    return conv.allow_tf32, matmul.allow_tf32, torch.get_float32_matmul_precision()
before = said()
with true_float32(torch.device("cuda")):
    assert "tf32" not in said() and True not in said(), said()
    with true_float32(torch.device("cuda")):
        pass
    assert "tf32" not in said() and True not in said(), said()
assert said() == before, said()
with true_float32(torch.device("cpu")):
    assert said() == before
"""
OLD = [
    "",
    "torch.set_float32_matmul_precision('medium')",
    "torch.backends.cuda.matmul.allow_tf32 = True",
    "torch.backends.cudnn.allow_tf32 = False",
]
NEW = [
    "torch.backends.fp32_precision = 'tf32'",
    "torch.backends.cudnn.fp32_precision = 'tf32'",
    "torch.backends.cudnn.conv.fp32_precision = 'ieee'",
    "torch.backends.cuda.matmul.fp32_precision = 'tf32'",
]


@pytest.mark.parametrize("setting", OLD + NEW)
def test_whatever_a_program_has_set(setting: str) -> None:
    if setting in NEW and not hasattr(torch.backends, "fp32_precision"):
        pytest.skip("torch has had these settings since 2.9")
    program = [sys.executable, "-W", "ignore", "-c", CHECK.format(setting)]
    subprocess.run(program, check=True)


def test_the_last_of_several_threads_restores_it() -> None:
    former = torch.backends.cudnn.allow_tf32

    def use(_: int) -> bool:
        with true_float32(torch.device("cuda")):
            return torch.backends.cudnn.allow_tf32

    with ThreadPoolExecutor(4) as pool:
        assert not any(pool.map(use, range(200)))
    assert torch.backends.cudnn.allow_tf32 == former
