"""The conformance kit: does a plugin keep the contract that the rest of ganzoo relies on?

A plugin is a distribution with an entry point of the group `ganzoo` that names a module. The module
sets `GANZOO_API = 1` (the version of the hooks it is written for), implements hooks of
`ganzoo.hookspecs` under `@ganzoo.hookimpl`, and never imports torch. In its tests:

    from ganzoo.testing import parametrize_with_checks

    @parametrize_with_checks("ganzoo-dcgan")
    def test_conformance(check):
        check()

On the command line, without pytest, for an installed distribution or a folder that is not
installed (it holds the plugin's pyproject.toml): `ganzoo check ganzoo-dcgan`, `ganzoo check .`.

Networks are built from their part's `tiny` settings, and once more for each setting that changes
what they provide (a `num_classes` for a conditional one, each `norm` that makes a critic
per-sample). What a part declares in `provides` is measured. `ganzoo.testing.checks.CHECKS` is the
table of all checks; the docstring of each is its rule.
"""

from __future__ import annotations

import functools
from pathlib import Path
from typing import TYPE_CHECKING

from ganzoo.testing.results import CheckFailed, Result

if TYPE_CHECKING:
    import pytest

    from ganzoo.testing.checks import Case

__all__ = ["CheckFailed", "Result", "parametrize_with_checks", "run"]


def run(source: str | Path) -> list[Result]:
    """Run every check on a distribution or a plugin's folder.

    Args:
        source: the name of an installed distribution (`ganzoo-dcgan`), or a folder with a
            pyproject.toml (write ./NAME where a distribution of that name is installed).

    Returns:
        A result for each check and part, in the order of the table. A check that rests on one
        that failed is skipped.

    Raises:
        PluginError: there is no such distribution or folder, or it declares no plugin.
    """
    from ganzoo.testing import checks

    return list(checks.run(source))


def parametrize_with_checks(*sources: str | Path) -> pytest.MarkDecorator:
    """A pytest decorator: the test gets each check as `check`, one test id per check and part.

    Args:
        *sources: distributions or plugin folders, as `run` takes them. A folder stays importable
            until the process ends.
    """
    import pytest

    from ganzoo.testing import checks

    return pytest.mark.parametrize(
        "check",
        [
            pytest.param(functools.partial(_check, case), id=case.id)
            for source in sources
            for case in checks.cases(source)
        ],
    )


def _check(case: Case) -> None:
    import pytest

    failed = case.failed_gate()
    if failed:
        pytest.skip(f"rests on {failed}, which failed")
    case.check.function(case.target)
