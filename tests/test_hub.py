"""The Hub, with the real client against a small server on the loopback."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from ganzoo import hub, layout
from ganzoo.errors import HubError, InputError, IntegrityError
from ganzoo.hub import HubRef, parse_uri
from tests.hub_server import Hub

REPO = "someone/my-gan"
FILES = {
    "config.json": b'{"format": 1}',
    "model.safetensors": b"weights" * 100,
    "training.json": b'{"steps": 5}',
    "discriminator.safetensors": b"critic" * 100,
}


def fetch(*args: Any, **options: Any) -> Path:
    return hub.fetch(*args, **options).folder


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


# -- the grammar ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("uri", "expected"),
    [
        ("hf://someone/my-gan", HubRef("someone/my-gan")),
        ("hf://models/someone/my-gan", HubRef("someone/my-gan")),
        ("hf://someone/my-gan@v1.0", HubRef("someone/my-gan", "v1.0")),
        ("hf://someone/my-gan@a%2Fb", HubRef("someone/my-gan", "a/b")),
        ("hf://someone/my-gan@refs/pr/3", HubRef("someone/my-gan", "refs/pr/3")),
        ("hf://someone/my-gan@v1/small/x", HubRef("someone/my-gan", "v1", "small/x")),
        ("hf://someone/my-gan/small", HubRef("someone/my-gan", None, "small")),
    ],
)
def test_addresses(uri: str, expected: HubRef) -> None:
    assert parse_uri(uri) == expected


@pytest.mark.parametrize(
    "uri",
    [
        "hf://",
        "hf://name",
        "hf://a/b@",
        "hf://datasets/a/b",
        "hf://spaces/a/b",
        "hf://buckets/a/b",
        "hf://model/a/b",
        "hf://a/b@v1/../../etc",
        "hf://a/b/model.safetensors",
        "hf://-a/b",
        "https://huggingface.co/a/b",
        "a/b",
    ],
)
def test_bad_addresses_are_one_line_with_a_remedy(uri: str) -> None:
    with pytest.raises(InputError) as caught:
        parse_uri(uri)
    assert "\n" not in str(caught.value)
    assert caught.value.remedy


def test_addresses_read_back() -> None:
    for uri in ("hf://a/b", "hf://a/b@v1", "hf://a/b/c", "hf://a/b@v1/c/d"):
        assert str(parse_uri(uri)) == uri


# -- fetching ------------------------------------------------------------------------------------


def test_fetch_by_branch_resolves_once_and_verifies(server: Hub) -> None:
    commit = server.push(REPO, {**FILES, "extra.pkl": b"never", "README.md": b"card"})
    folder = fetch("hf://someone/my-gan")
    assert folder.name == commit
    assert names(folder) == {
        "config.json",
        "model.safetensors",
        "training.json",
        "README.md",
        "SHA256SUMS",
    }
    assert (folder / "model.safetensors").read_bytes() == FILES["model.safetensors"]
    by_name = [request for request in server.requests if "/resolve/main/" in request]
    assert by_name
    assert all("SHA256SUMS" in request for request in by_name)


def test_a_cached_commit_makes_no_request(server: Hub) -> None:
    commit = server.push(REPO, FILES)
    first = fetch(HubRef(REPO, commit))
    server.requests.clear()
    assert fetch(HubRef(REPO, commit)) == first
    assert server.requests == []


def test_a_moved_branch_is_followed_and_the_old_commit_stays(server: Hub) -> None:
    old = server.push(REPO, FILES)
    fetch(HubRef(REPO))
    new = server.push(REPO, {**FILES, "model.safetensors": b"better"})
    assert fetch(HubRef(REPO)).name == new
    assert fetch(HubRef(REPO, old)).joinpath("model.safetensors").read_bytes() != b"better"


def test_tags_folders_and_quoted_revisions(server: Hub) -> None:
    files = {f"small/{name}": content for name, content in FILES.items()}
    commit = server.push(REPO, files, ref="feature/x")
    folder = fetch("hf://someone/my-gan@feature%2Fx/small")
    assert (folder.name, folder.parent.name) == ("small", commit)
    assert (folder / "config.json").read_bytes() == FILES["config.json"]


def test_the_discriminator_comes_when_asked_for(server: Hub) -> None:
    server.push(REPO, FILES)
    assert "discriminator.safetensors" not in names(fetch(HubRef(REPO)))
    assert "discriminator.safetensors" in names(fetch(HubRef(REPO), discriminator=True))


# -- integrity -----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["model.safetensors", "config.json", "SHA256SUMS"])
def test_a_flipped_bit_on_the_way_is_fetched_afresh(server: Hub, name: str) -> None:
    server.push(REPO, FILES)
    server.fail("flip", rf"GET .*/{name}$")
    folder = fetch(HubRef(REPO))
    assert (folder / "model.safetensors").read_bytes() == FILES["model.safetensors"]
    assert sum(r.startswith("GET") and r.endswith(name) for r in server.requests) == 2


def test_a_file_that_stays_wrong_is_refused(server: Hub) -> None:
    server.push(REPO, FILES)
    server.fail("flip", r"GET .*model.safetensors", 99)
    with pytest.raises(IntegrityError, match="fetched twice") as caught:
        fetch(HubRef(REPO))
    assert "\n" not in str(caught.value)
    gets = [r for r in server.requests if r.startswith("GET") and "model.safetensors" in r]
    assert len(gets) == 2


def test_a_cached_file_is_hashed_again(server: Hub) -> None:
    commit = server.push(REPO, FILES)
    folder = fetch(HubRef(REPO, commit))
    weights = (folder / "model.safetensors").resolve()
    weights.write_bytes(b"tampered")
    with pytest.raises(IntegrityError, match="go online"):
        fetch(HubRef(REPO, commit), local_files_only=True)
    assert fetch(HubRef(REPO, commit)) == folder
    assert (folder / "model.safetensors").read_bytes() == FILES["model.safetensors"]


def test_a_pinned_hash_takes_precedence(server: Hub) -> None:
    import hashlib

    right = hashlib.sha256(FILES["model.safetensors"]).hexdigest()
    server.push(REPO, FILES)
    fetch(HubRef(REPO), files_sha256={"model.safetensors": right})
    with pytest.raises(IntegrityError, match=r"model\.safetensors"):
        fetch(HubRef(REPO), files_sha256={"model.safetensors": "0" * 64})


@pytest.mark.parametrize("name", ["SHA256SUMS", "config.json", "model.safetensors"])
@pytest.mark.parametrize(
    ("kind", "headers"),
    [
        ("503", {"Retry_After": "0"}),
        ("429", {}),
        ("500", {}),
        ("drop", {}),
        ("reset", {}),
        ("truncate", {}),
        ("etag", {}),
    ],
)
def test_a_fault_on_the_way_is_got_over(
    server: Hub, name: str, kind: str, headers: dict[str, str]
) -> None:
    commit = server.push(REPO, FILES)
    server.fail(kind, rf"GET .*/{name}$", **headers)
    folder = fetch(HubRef(REPO))
    assert not any(fault.times for fault in server.faults), "the fault was not met"
    for file in ("config.json", "model.safetensors", "training.json"):
        assert (folder / file).read_bytes() == FILES[file]
    assert fetch(HubRef(REPO, commit)) == folder


@pytest.mark.parametrize("kind", ["503", "reset", "truncate"])
def test_a_fault_that_stays_is_one_line(server: Hub, kind: str) -> None:
    server.push(REPO, FILES)
    server.fail(kind, r"GET .*/model.safetensors$", 99)
    with pytest.raises((HubError, IntegrityError)) as caught:
        fetch(HubRef(REPO))
    assert "\n" not in str(caught.value) and caught.value.remedy
    server.faults.clear()
    assert (fetch(HubRef(REPO)) / "model.safetensors").read_bytes() == FILES["model.safetensors"]


def test_a_name_that_a_flipped_bit_changed_hides_no_file(server: Hub) -> None:
    server.push(REPO, {"a.json": b"{}", **FILES})
    server.fail("flip", r"GET .*/SHA256SUMS$")
    assert "training.json" in names(fetch(HubRef(REPO)))


def test_records_have_a_size_that_is_sane(server: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(layout, "LARGEST_RECORD", 100)
    server.push(REPO, {**FILES, "training.json": b" " * 101})
    with pytest.raises(HubError, match=r"training\.json has 101 bytes"):
        fetch(HubRef(REPO))
    assert not any(r.startswith("GET") and "training" in r for r in server.requests)


def test_a_spelling_is_corrected(server: Hub) -> None:
    server.push("someone/my-gan", FILES)
    with pytest.raises(HubError, match=r"did you mean someone/my-gan\?"):
        fetch("hf://someone/my-gann")


@pytest.mark.parametrize("signal_name", ["SIGINT", "SIGKILL"])
def test_a_download_that_is_cut_off(server: Hub, tmp_path: Path, signal_name: str) -> None:
    content = {**FILES, "model.safetensors": bytes(range(256)) * 4_000}
    commit = server.push(REPO, content)
    server.fail("slow", r"GET .*/model.safetensors$")
    server.pause = 5.0  # in all, it would take minutes
    cache = tmp_path / "cache"
    code = f"from ganzoo import hub; hub.fetch('hf://{REPO}@{commit}')"
    environment = {**os.environ, "HF_ENDPOINT": server.url, "HF_HUB_CACHE": str(cache)}
    process = subprocess.Popen(
        [sys.executable, "-c", code], env=environment, stderr=subprocess.DEVNULL
    )
    asked = f"GET /{REPO}/resolve/{commit}/model.safetensors"
    while asked not in server.requests or not list(cache.rglob("*.incomplete")):
        assert process.poll() is None
        time.sleep(0.05)
    process.send_signal(getattr(signal, signal_name))
    assert process.wait(300) != 0
    snapshot = cache / "models--someone--my-gan" / "snapshots" / commit
    assert "model.safetensors" not in names(snapshot)
    if signal_name == "SIGINT":
        assert list(cache.rglob("*.incomplete")) == []
    folder = fetch(HubRef(REPO, commit))
    assert (folder / "model.safetensors").read_bytes() == content["model.safetensors"]


# -- offline, and what the Hub refuses ------------------------------------------------------------


def test_offline_uses_the_cache(server: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub import constants

    server.push(REPO, FILES)
    folder = fetch(HubRef(REPO))
    server.requests.clear()
    assert fetch(HubRef(REPO), local_files_only=True) == folder
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert fetch(HubRef(REPO)) == folder
    with pytest.raises(HubError, match="not in the cache"):
        fetch(HubRef(REPO, "v2"))
    assert server.requests == []


def test_a_cached_commit_is_loaded_without_a_socket(
    server: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit = server.push(REPO, FILES)
    fetch(HubRef(REPO))

    def refuse(*args: object, **options: object) -> None:
        raise AssertionError("a socket was opened")

    monkeypatch.setattr("socket.socket.connect", refuse)
    monkeypatch.setattr("socket.getaddrinfo", refuse)
    assert fetch(HubRef(REPO, commit)).name == commit
    assert fetch(HubRef(REPO), local_files_only=True).name == commit


@pytest.mark.skipif(not hasattr(signal, "SIGXFSZ"), reason="needs a limit on the size of files")
def test_a_full_disk(server: Hub, tmp_path: Path) -> None:
    commit = server.push(REPO, {**FILES, "model.safetensors": b"w" * 200_000})
    cache = tmp_path / "cache"
    code = (
        "import resource, signal\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))\n"
        "from ganzoo.cli import main\n"
        f"main(['download', 'hf://{REPO}@{commit}'])"
    )
    environment = {**os.environ, "HF_ENDPOINT": server.url, "HF_HUB_CACHE": str(cache)}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True
    )
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith("error: "), done.stderr
    assert "Traceback" not in done.stderr
    folder = fetch(HubRef(REPO, commit))
    assert (folder / "model.safetensors").stat().st_size == 200_000


def test_errors_are_one_line_with_a_remedy(server: Hub) -> None:
    server.push(REPO, FILES)
    server.push("someone/other", {"weights.pt": b"pickle"}, sums=False)
    server.push("someone/half", {"config.json": b"{}"})
    server.refuse = {
        "someone/gated": (403, "GatedRepo"),
        "someone/busy": (418, ""),
        "someone/private": (401, "RepoNotFound"),
    }
    expected = {
        "hf://someone/nothing": "private, gated or missing",
        "hf://someone/private": "private, gated or missing",
        "hf://someone/gated": "is gated",
        "hf://someone/my-gan@v9": "no revision 'v9'",
        "hf://someone/other": "has no SHA256SUMS",
        "hf://someone/half": "has no model.safetensors",
        "hf://someone/busy": "answered 418",
    }
    for uri, text in expected.items():
        with pytest.raises(HubError, match=text) as caught:
            fetch(uri)
        assert "\n" not in str(caught.value)
        assert caught.value.remedy
        assert caught.value.__suppress_context__  # no traceback of the client's inside
    assert not any("weights.pt" in request for request in server.requests)


def test_an_unreachable_hub(server: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub import constants

    commit = server.push(REPO, FILES)
    folder = fetch(HubRef(REPO))
    nobody = "http://127.0.0.1:9"
    monkeypatch.setattr(constants, "ENDPOINT", nobody)
    template = nobody + "/{repo_id}/resolve/{revision}/{filename}"
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
    monkeypatch.setattr("time.sleep", lambda seconds: None)  # the client waits between its tries
    assert fetch(HubRef(REPO)) == folder  # falls back to the cache
    assert fetch(HubRef(REPO, commit)) == folder
    with pytest.raises(HubError, match="cannot be reached at http://127") as caught:
        fetch(HubRef("someone/else"))
    assert "check the connection" in caught.value.remedy


def test_the_client_is_imported_only_when_needed() -> None:
    code = "import sys, ganzoo.hub; print('huggingface_hub' in sys.modules, 'torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "False"]


def test_only_this_room_talks_to_the_hub() -> None:
    package = Path(hub.__file__).parent
    users = [p for p in package.rglob("*.py") if "hf_hub_download" in p.read_text("utf-8")]
    assert [p.name for p in users] == ["fetching.py"]


def test_a_model_of_the_hub_is_loaded(server: Hub, tmp_path: Path) -> None:
    import ganzoo
    from ganzoo import plugins
    from ganzoo.models import build

    part = plugins.load().parts.get("generator", "gan")
    generator = build(part, part.config_class(**part.tiny), seed=0)
    folder = ganzoo.save(tmp_path / "model", generator, name="mine")
    server.push(REPO, {p.name: p.read_bytes() for p in folder.iterdir()}, sums=False)
    loaded = ganzoo.load(f"hf://{REPO}")
    expected = ganzoo.load(folder).sample(2)
    assert bool((loaded.sample(2) == expected).all())
    assert {"README.md", "samples.png"} <= names(fetch(HubRef(REPO)))
