"""The public API: lazy, complete, and free of torch until something computes."""

from __future__ import annotations

import subprocess
import sys

import pytest

import ganzoo


def test_importing_ganzoo_imports_no_torch() -> None:
    code = (
        "import sys, ganzoo; ganzoo.list_models(); dir(ganzoo);"
        "sys.exit('torch' in sys.modules or 'huggingface_hub' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_every_public_name_resolves_and_none_hides_a_module() -> None:
    import importlib
    import pkgutil

    modules = {module.name for module in pkgutil.iter_modules(ganzoo.__path__)}
    for name in ganzoo.__all__:
        assert getattr(ganzoo, name) is not None
        assert name not in modules, f"ganzoo.{name} is a module, too"
    importlib.import_module("ganzoo.models")
    assert callable(ganzoo.load) and callable(ganzoo.list_models)
    assert set(ganzoo.__all__) <= set(dir(ganzoo))


def test_unknown_names_are_attribute_errors() -> None:
    with pytest.raises(AttributeError, match="no attribute 'laod'"):
        ganzoo.laod  # noqa: B018
