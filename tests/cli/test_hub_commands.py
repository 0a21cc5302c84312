"""publish, search, registry, download and mirror, as they are typed."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from ganzoo import layout
from ganzoo.cli import main
from tests import fit
from tests.hub_server import Hub

pytestmark = pytest.mark.usefixtures("measured_again")


def run(*words: object) -> Result:
    return CliRunner().invoke(main, [str(word) for word in words])


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return fit.model(tmp_path / "model")


def test_a_dry_run_prints_what_would_be_sent_and_asks_nobody(server: Hub, folder: Path) -> None:
    result = run("publish", folder, "me/mine", "--dry-run", "--json")
    assert result.exit_code == 0, result.output
    rows = {row["file"]: row for row in json.loads(result.stdout)}
    assert set(rows) == fit.FILES
    sums = layout.read_sums(folder)
    assert rows["model.safetensors"]["sha256"] == sums["model.safetensors"]
    assert "nothing was sent" in result.stderr
    assert server.requests == []


def test_publish_generate_search_and_register(server: Hub, folder: Path, tmp_path: Path) -> None:
    result = run("publish", folder, "me/mine", "--tag", "v1", "--yes", "--json")
    assert result.exit_code == 0, result.output
    (row,) = json.loads(result.stdout)
    assert (row["repo"], row["tag"], row["new"]) == ("me/mine", "v1", True)
    grid = tmp_path / "grid.png"
    assert run("generate", "hf://me/mine@v1", "-n", 4, "-o", grid).exit_code == 0
    assert grid.is_file()
    (found,) = json.loads(run("search", "--arch", "gan", "--json").stdout)
    assert (found["repo"], found["reviewed"]) == ("me/mine", False)
    assert "unreviewed" in run("search").stderr
    added = run("registry", "add", "me/mine")
    (entry,) = tomllib.loads(added.stdout)["model"]
    assert entry["revision"] == row["commit"]
    file = tmp_path / "registry.toml"
    assert run("registry", "add", "me/mine", "--to", file).exit_code == 0
    assert run("registry", "check", file).stdout == "mine\tganzoo-gan\tyes\t-\n"
    file.write_text(file.read_text().replace('arch = "gan"', 'arch = "dcgan"'))
    broken = run("registry", "check", file)
    assert broken.exit_code == 1
    assert broken.stderr.splitlines()[-1] == "error: 1 of 1 models have problems: mine"


def test_download_and_mirror(server: Hub, folder: Path, tmp_path: Path) -> None:
    assert run("publish", folder, "me/mine", "--yes").exit_code == 0
    (row,) = json.loads(run("download", "hf://me/mine", "--json").stdout)
    assert row["address"] == f"hf://me/mine@{server.repos['me/mine'].refs['main']}"
    zoo = tmp_path / "zoo"
    (row,) = json.loads(run("mirror", "hf://me/mine", "--to", zoo, "--json").stdout)
    assert row == {"name": "mine", "new": True, "folder": str(zoo / "mine")}
    verified = CliRunner().invoke(main, ["verify", "mine"], env={"GANZOO_REGISTRY": str(zoo)})
    assert verified.exit_code == 0, verified.output
    assert str(zoo / "mine") in verified.stdout


@pytest.mark.parametrize(
    ("words", "code", "text"),
    [
        (["publish"], 2, "name a model folder and OWNER/NAME, or --all OWNER"),
        (["publish", "MODEL", "me/mine"], 2, "say --yes (or --dry-run)"),
        (["publish", "MODEL", "mine", "--yes"], 1, "no valid address"),
        (["publish", "MODEL", "me/mine@v1", "--yes"], 1, "write owner/name"),
        (["publish", "absent", "me/mine", "--yes"], 1, "there is no model folder absent"),
        (["publish", "--all", "zoo"], 2, "say --yes"),
        (["search", "--sort", "beauty"], 1, "search has no order 'beauty'"),
        (["download", "hf://me/absent"], 1, "private, gated or missing"),
        (["download", "no.such"], 1, "no model is called 'no.such'"),
        (["download", ".."], 1, "is no model folder"),
        (["mirror", "no.such", "--to", "zoo"], 1, "no model is called 'no.such'"),
        (["registry", "add", "me/absent"], 1, "private, gated or missing"),
        (["registry", "check", "absent.toml"], 2, "does not exist"),
    ],
)
def test_bad_input_is_one_line(
    server: Hub,
    folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    words: list[str],
    code: int,
    text: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    before = sorted(tmp_path.rglob("*"))
    result = run(*[str(folder) if word == "MODEL" else word for word in words])
    assert result.exit_code == code, result.output
    last = result.stderr.strip().splitlines()[-1]
    assert text in last and last.lower().startswith("error:")
    assert server.repos == {}
    assert [p for p in sorted(tmp_path.rglob("*")) if "cache" not in p.parts] == before
