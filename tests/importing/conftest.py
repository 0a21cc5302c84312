"""A trap for each test that needs one."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.importing.handwritten import Trap


@pytest.fixture
def trap(tmp_path: Path) -> Trap:
    return Trap(tmp_path)
