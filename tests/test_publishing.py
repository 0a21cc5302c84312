"""Publishing and searching, with the real client against a small Hub on the loopback."""

from __future__ import annotations

import dataclasses
import hashlib
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

import ganzoo
from ganzoo import card, catalogue, curation, hub, plugins, publishing, registry
from ganzoo.declaring import declare
from ganzoo.errors import CheckpointError, HubError, IntegrityError
from ganzoo.models import build
from ganzoo.publishing import publish
from tests import fit
from tests.hub_server import Hub

REPO = "me/my-gan"


pytestmark = pytest.mark.usefixtures("measured_again")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return fit.model(tmp_path / "model")


def commits(server: Hub, repo: str = REPO) -> list[str]:
    """The messages of main, the newest first, without the first commit of every repository."""
    found, sha = server.repos[repo], server.repos[repo].refs["main"]
    messages = []
    while found.commits[sha].parent:
        messages.append(found.commits[sha].message)
        sha = found.commits[sha].parent
    return messages


def test_publish_load_and_publish_again(server: Hub, folder: Path) -> None:
    sent = publish(folder, REPO, private=True, tag="v1")
    assert sent.new and server.repos[REPO].private
    assert server.repos[REPO].refs["main"] == sent.commit == server.repos[REPO].refs["tags/v1"]
    assert commits(server) == ["Publish mine"]
    G = ganzoo.load(f"hf://{REPO}@v1")
    assert G.record["source"] == f"hf://{REPO}@{sent.commit}"
    assert bool((G.sample(3) == ganzoo.load(folder).sample(3)).all())
    again = publish(folder, REPO, tag="v1")
    assert (again.new, again.commit) == (False, sent.commit)
    assert commits(server) == ["Publish mine"]


def test_an_update_is_one_commit_that_takes_obsolete_files_away(
    server: Hub, folder: Path, tmp_path: Path
) -> None:
    publish(fit.model(tmp_path / "first", critic=True), REPO, with_discriminator=True)
    repo = server.repos[REPO]
    assert "discriminator.safetensors" in repo.commits[repo.refs["main"]].files
    publish(fit.model(tmp_path / "second", seed=1), REPO)
    files = repo.commits[repo.refs["main"]].files
    assert "discriminator.safetensors" not in files and ".gitattributes" in files
    assert len(commits(server)) == 2
    assert f'ganzoo.load("hf://{REPO}")' in files["README.md"].decode()


def test_a_newer_state_is_not_overwritten(server: Hub, folder: Path, tmp_path: Path) -> None:
    sent = publish(folder, REPO)
    repo = server.repos[REPO]
    files = repo.commits[sent.commit].files
    by_hand = repo.commit({**files, "README.md": b"by hand"}, parent=sent.commit)
    other = fit.model(tmp_path / "other", seed=1)
    with pytest.raises(HubError, match="was not published from here") as caught:
        publish(other, REPO)
    assert "--force" in caught.value.remedy
    assert repo.refs["main"] == by_hand
    assert publish(other, REPO, force=True).new


def test_another_machine_does_not_overwrite(
    server: Hub, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(folder, REPO)
    monkeypatch.setenv("GANZOO_CACHE", str(tmp_path / "elsewhere"))
    assert not publish(folder, REPO).new  # the same files: nothing to overwrite
    monkeypatch.setenv("GANZOO_CACHE", str(tmp_path / "nowhere"))
    with pytest.raises(HubError, match="was not published from here"):
        publish(fit.model(tmp_path / "other", seed=1), REPO)


def test_a_race_is_noticed(server: Hub, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_remote = publishing._remote

    def and_then_somebody_commits(*args: object) -> object:
        remote = make_remote(*args)
        monkeypatch.setattr(publishing, "_remote", make_remote)
        server.push(REPO, {"notes.txt": b"theirs"}, sums=False)
        return remote

    monkeypatch.setattr(publishing, "_remote", and_then_somebody_commits)
    with pytest.raises(HubError, match="was changed by someone else just now"):
        publish(folder, REPO)
    assert "notes.txt" in server.repos[REPO].commits[server.repos[REPO].refs["main"]].files


def test_a_pull_request_is_made_once(server: Hub, folder: Path) -> None:
    server.push("other/gan", {"README.md": b"---\nlicense: mit\n---\n"}, sums=False)
    before = dict(server.repos["other/gan"].refs)
    sent = publish(folder, "other/gan", create_pr=True)
    assert sent.url == f"{server.url}/other/gan/discussions/1"
    assert publish(folder, "other/gan", create_pr=True).url == sent.url
    refs = server.repos["other/gan"].refs
    assert refs == {**before, "refs/pr/1": sent.commit}
    assert ganzoo.load("hf://other/gan@refs%2Fpr%2F1").sample(1).shape[0] == 1


def test_a_tag_of_another_commit_stays(server: Hub, folder: Path, tmp_path: Path) -> None:
    first = publish(folder, REPO, tag="v1")
    with pytest.raises(HubError, match="has a tag 'v1' already"):
        publish(fit.model(tmp_path / "other", seed=1), REPO, tag="v1")
    assert server.repos[REPO].refs["tags/v1"] == first.commit


# -- what goes wrong on the way --------------------------------------------------------------------

COMMIT = r"POST /api/models/.*/commit/"


@pytest.mark.parametrize(
    ("kind", "pattern"),
    [
        ("lose", COMMIT),
        ("503", COMMIT),
        ("drop", COMMIT),
        ("503", r"POST .*/preupload/"),
        ("503", r"GET /api/models/me/my-gan"),
        ("429", r"GET /api/whoami"),
        ("drop", r"POST /api/repos/create"),
        ("503", r"PUT /lfs/"),
        ("drop", r"PUT /lfs/"),
        ("503", r"GET .*/resolve/"),
        ("reset", r"GET .*/resolve/.*model.safetensors"),
        ("truncate", r"GET .*/resolve/.*model.safetensors"),
        ("flip", r"GET .*/resolve/.*model.safetensors"),
        ("etag", r"(GET|HEAD) .*/resolve/.*model.safetensors"),
    ],
)
def test_a_fault_costs_no_second_commit(server: Hub, folder: Path, kind: str, pattern: str) -> None:
    server.fail(kind, pattern)
    sent = publish(folder, REPO)
    assert not any(fault.times for fault in server.faults), "the fault was not met"
    assert commits(server) == ["Publish mine"]
    assert not publish(folder, REPO).new
    assert commits(server) == ["Publish mine"]
    assert server.repos[REPO].refs["main"] == sent.commit
    assert bool((ganzoo.load(f"hf://{REPO}").sample(2) == ganzoo.load(folder).sample(2)).all())


def test_a_lost_answer_to_a_pull_request(server: Hub, folder: Path) -> None:
    server.push("other/gan", {"README.md": b"---\nlicense: mit\n---\n"}, sums=False)
    server.fail("lose", COMMIT)
    assert publish(folder, "other/gan", create_pr=True).commit
    assert [ref for ref in server.repos["other/gan"].refs if "pr" in ref] == ["refs/pr/1"]


@pytest.mark.parametrize("pattern", [r"PUT /lfs/", COMMIT, r"GET .*/resolve/.*model.safetensors"])
def test_a_publish_that_is_killed(server: Hub, folder: Path, tmp_path: Path, pattern: str) -> None:
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    overrides = {"metrics": "no data here to measure them again"}
    server.fail("hang", pattern)
    environment = {**os.environ, "HF_ENDPOINT": server.url, "HF_HUB_CACHE": str(tmp_path / "c")}
    words = [sys.executable, "-m", "ganzoo", "publish", str(folder), REPO, "--yes"]
    words += ["--override", "metrics", "--reason", overrides["metrics"]]
    process = subprocess.Popen(words, env=environment, stderr=subprocess.DEVNULL)
    while not any(re.search(pattern, request) for request in server.requests):
        assert process.poll() is None
        time.sleep(0.05)
    process.kill()
    assert process.wait(300) == -signal.SIGKILL
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    sent = publish(folder, REPO, overrides=overrides)
    assert server.repos[REPO].refs["main"] == sent.commit
    assert commits(server) == ["Publish mine"]


def test_a_hub_that_tells_wrong_hashes(server: Hub, folder: Path) -> None:
    server.lies = True
    sent = publish(folder, REPO)
    assert commits(server) == ["Publish mine"]
    G = ganzoo.load(f"hf://{REPO}@{sent.commit}")
    assert bool((G.sample(2) == ganzoo.load(folder).sample(2)).all())


def test_a_hub_that_stores_something_else_is_found_out(server: Hub, folder: Path) -> None:
    server.fail("flip", r"GET .*/resolve/.*model.safetensors", 99)
    with pytest.raises(IntegrityError, match=r"model\.safetensors"):
        publish(folder, REPO)


@pytest.mark.parametrize(
    ("token", "text"),
    [
        ("hf_reading", "may read only"),
        ("hf_unknown", "does not accept the token"),
        (None, "needs a token"),
    ],
)
def test_tokens(
    server: Hub,
    folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    token: str | None,
    text: str,
) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "none"))
    monkeypatch.delenv("HF_TOKEN")
    if token:
        monkeypatch.setenv("HF_TOKEN", token)
    with pytest.raises(HubError, match=text) as caught:
        publish(folder, REPO)
    assert caught.value.remedy and "\n" not in str(caught.value)
    assert server.repos == {}


def test_someone_elses_repository(server: Hub, folder: Path) -> None:
    server.push("other/gan", {"README.md": b"---\nlicense: mit\n---\n"}, sums=False)
    server.fail("403", COMMIT, 99)
    with pytest.raises(HubError, match="answered 403"):
        publish(folder, "other/gan", force=True)
    assert commits(server, "other/gan") == []


def test_a_refused_card_and_a_hub_that_is_gone(
    server: Hub, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from huggingface_hub import constants

    server.fail("400", r"POST /api/validate-yaml", 99)
    with pytest.raises(HubError) as caught:
        publish(folder, REPO)
    assert "\n" not in str(caught.value)
    server.faults.clear()
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(HubError, match=r"cannot be reached at http://127\.0\.0\.1:9"):
        publish(folder, REPO)


# -- finding, and keeping a registry ---------------------------------------------------------------


def test_search(server: Hub, tmp_path: Path) -> None:
    folder = fit.model(tmp_path / "model")
    for number in range(45):
        repo = f"me/gan-{number}"
        server.push(repo, {p.name: p.read_bytes() for p in folder.iterdir()}, sums=False)
        server.repos[repo].downloads = number
    server.push("me/other", {"README.md": b"---\nlicense: mit\ntags: [gan]\n---\n"}, sums=False)
    found = hub.search(limit=100)
    assert len(found) == 45 and found[0].repo == "me/gan-44"
    assert (found[0].arch, found[0].dataset, found[0].license) == ("gan", "mnist", "mit")
    assert [model.repo for model in hub.search("gan-7")] == ["me/gan-7"]
    assert hub.search(arch="dcgan") == [] and len(hub.search(dataset="mnist", limit=3)) == 3
    server.fail("503", r"GET /api/models\?")
    assert len(hub.search(limit=5)) == 5


def test_registry_add_makes_a_pinned_entry_and_check_reads_it(
    server: Hub, folder: Path, tmp_path: Path
) -> None:
    sent = publish(folder, REPO)
    entry = curation.make_entry(f"{REPO}@main")
    assert (entry.repo, entry.revision, entry.arch) == (REPO, sent.commit, "gan")
    weights = (folder / "model.safetensors").read_bytes()
    assert entry.files["model.safetensors"] == {
        "sha256": hashlib.sha256(weights).hexdigest(),
        "size": len(weights),
    }
    file = tmp_path / "registry.toml"
    registry.put(entry, file)
    assert [c.problems for c in curation.check_registry(file)] == [()]
    text = file.read_text()
    changes: list[tuple[str, Callable[[str], str], str]] = [
        ("mit", lambda t: t.replace('license = "mit"', 'license = "gpl"', 1), "license 'gpl'"),
        ("arch", lambda t: t.replace('arch = "gan"', 'arch = "dcgan"'), "arch 'dcgan'"),
        ("hash", lambda t: t.replace(sent.commit, "0" * 40), "no revision"),
        ("sha", lambda t: t.replace(hashlib.sha256(weights).hexdigest(), "0" * 64), "SHA-256"),
    ]
    for name, change, problem in changes:
        other = tmp_path / f"{name}.toml"
        other.write_text(change(text))
        assert other.read_text() != text
        (checked,) = curation.check_registry(other)
        assert problem in " ".join(checked.problems), name


def test_registry_add_refuses_what_states_no_licence(server: Hub, tmp_path: Path) -> None:
    part = plugins.load().parts.get("generator", "gan")
    folder = ganzoo.save(
        tmp_path / "model", build(part, part.config_class(**part.tiny), seed=0), name="mine"
    )
    server.push(REPO, {p.name: p.read_bytes() for p in folder.iterdir()}, sums=False)
    with pytest.raises(CheckpointError, match="licence of the weights is not stated"):
        curation.make_entry(REPO)


def test_publish_all_writes_the_registry(
    server: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (bundled,) = [entry for entry in registry.list_models() if entry.name == "dcgan.mnist"]
    assert bundled.path is not None
    folder = shutil.copytree(bundled.path, tmp_path / "dcgan.mnist")
    declare(folder, {"shows_people": False, "not_for_all_audiences": False})
    card.write_card(fit.measured(folder), load="dcgan.mnist")
    here = catalogue.ModelEntry.from_folder(folder)
    entries = [dataclasses.replace(here, name=bundled.name)]
    monkeypatch.setattr(registry, "list_models", lambda: entries)
    file = tmp_path / "registry.toml"
    (sent,) = publishing.publish_all("zoo", path=file)
    (entry,) = catalogue.read(file)
    assert (entry.repo, entry.revision) == ("zoo/dcgan.mnist", sent.commit)
    assert entry.files == entries[0].files  # what is bundled is what was published
    published = server.repos["zoo/dcgan.mnist"].commits[sent.commit].files
    assert b'ganzoo.load("dcgan.mnist")' in published["README.md"]
    assert [c.problems for c in curation.check_registry(file)] == [()]
