"""Revoked weights: what is refused, how a list comes and is trusted, and when it may be old."""

from __future__ import annotations

import base64
import contextlib
import json
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

import ganzoo
from ganzoo import catalogue, curation, files, layout, plugins, registry, revocation
from ganzoo.cli import main
from ganzoo.errors import (
    CheckpointError,
    GanzooError,
    InputError,
    IntegrityError,
    RevocationsError,
    RevokedError,
)
from ganzoo.models import build
from ganzoo.publishing import publish
from tests.hub_server import Hub

REPO = "someone/my-gan"
REASON = "it copies its training data"


class Place(ThreadingHTTPServer):
    """An http server on the loopback: path -> content, or a status, or None to hang up."""

    daemon_threads = True

    def __init__(self) -> None:
        self.content: dict[str, bytes | int | None] = {}
        self.requests: list[str] = []
        super().__init__(("127.0.0.1", 0), _Handler)
        self.url = f"http://127.0.0.1:{self.server_port}"


class _Handler(BaseHTTPRequestHandler):
    server: Place

    def handle(self) -> None:
        with contextlib.suppress(OSError):  # a client hangs up on a list that is too large
            super().handle()

    def do_GET(self) -> None:
        self.server.requests.append(self.path)
        content = self.server.content.get(self.path, 404)
        if content is None:  # half of what is promised
            self.send_response(200)
            self.send_header("Content-Length", "1000")
            self.end_headers()
            self.wfile.write(b"{")
            return
        body = content if isinstance(content, bytes) else b"no"
        self.send_response(200 if isinstance(content, bytes) else content)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: Any) -> None:
        pass


@pytest.fixture
def place() -> Iterator[Place]:
    with Place() as running:
        threading.Thread(target=running.serve_forever, args=(0.01,), daemon=True).start()
        yield running
        running.shutdown()


def make_key(path: Path) -> Path:
    """A private key, its public one beside it."""
    key = ec.generate_private_key(ec.SECP256R1())
    pem = serialization.Encoding.PEM
    path.write_bytes(
        key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    public = key.public_key().public_bytes(pem, serialization.PublicFormat.SubjectPublicKeyInfo)
    path.with_suffix(".pub").write_bytes(public)
    return path


@pytest.fixture
def key(tmp_path: Path) -> Path:
    return make_key(tmp_path / "issuer.pem")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    part = plugins.load().parts.get("generator", "gan")
    generator = build(part, part.config_class(**part.tiny), seed=0)
    info = layout.ModelInfo(license="mit", dataset="mnist", dataset_license="cc-by-sa-3.0")
    return ganzoo.save(tmp_path / "model", generator, name="mine", info=info)


def weights(folder: Path) -> str:
    return files.sha256(folder / "model.safetensors")


def issue(
    where: Path, key: Path, *entries: revocation.Entry, serial: int = 1, days_ago: float = 0
) -> Path:
    """A signed list, as a file."""
    issued = (datetime.now(UTC) - timedelta(days=days_ago)).isoformat()
    where.write_bytes(revocation.RevocationList(1, serial, issued, entries).to_json())
    revocation.sign(where, key=key)
    return where


@pytest.fixture
def follow(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    """Configure a list, with an empty cache."""

    def follow(place: object, key: Path) -> None:
        monkeypatch.setenv("GANZOO_CACHE", str(tmp_path / "ganzoo-cache"))
        monkeypatch.setenv("GANZOO_REVOCATIONS", str(place))
        monkeypatch.setenv("GANZOO_REVOCATIONS_KEY", str(key.with_suffix(".pub")))

    return follow


def put(place: Place, file: Path) -> str:
    """Publish a list and its signature on a server."""
    place.content["/list.json"] = file.read_bytes()
    place.content["/list.json.sig"] = file.with_name(f"{file.name}.sig").read_bytes()
    return f"{place.url}/list.json"


def run(*words: object) -> Result:
    return CliRunner().invoke(main, [str(word) for word in words])


def one_line(error: GanzooError) -> None:
    assert "\n" not in str(error) and error.remedy


# -- what is refused -------------------------------------------------------------------------------


def test_without_a_configured_list_nothing_is_asked_and_nothing_refused(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("GANZOO_REVOCATIONS", raising=False)
    monkeypatch.setattr(socket.socket, "connect", lambda *_: pytest.fail("a socket was opened"))
    revocation.refresh()
    assert ganzoo.load(folder).name == "mine"
    assert revocation.describe().startswith("none configured")
    assert [known.entries for known in revocation.in_use()] == [()]


def test_the_shipped_list_needs_no_signature(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    entry = revocation.Entry(weights(folder), REASON, "https://example.org/1")
    shipped = tmp_path / "shipped.json"
    revocation.add(shipped, entry)
    monkeypatch.setattr("ganzoo.revocation.use.SHIPPED", shipped)
    with pytest.raises(RevokedError, match=f"{REASON} .see https://example.org/1.") as caught:
        ganzoo.load(folder)
    one_line(caught.value)


@pytest.mark.parametrize("kind", ["path", "http", "hf"])
def test_a_revoked_model_is_refused_with_the_reason(
    folder: Path, tmp_path: Path, key: Path, place: Place, server: Hub, follow: Any, kind: str
) -> None:
    file = issue(tmp_path / "list.json", key, revocation.Entry(weights(folder), REASON))
    source: object = file
    if kind == "http":
        source = put(place, file)
    elif kind == "hf":
        signature = file.with_name("list.json.sig").read_bytes()
        server.push("who/lists", {"list.json": file.read_bytes(), "list.json.sig": signature})
        source = "hf://who/lists/list.json"
    follow(source, key)
    assert ganzoo.load(folder).name == "mine"  # nothing was fetched yet, and load asks nobody
    asked = len(place.requests) + len(server.requests)
    assert asked == 0
    revocation.refresh()
    asked = len(place.requests) + len(server.requests)
    assert (asked > 0) == (kind != "path")
    for use in (lambda: ganzoo.load(folder), lambda: ganzoo.load(folder, local_files_only=True)):
        with pytest.raises(RevokedError, match=REASON) as caught:
            use()
        one_line(caught.value)
    assert len(place.requests) + len(server.requests) == asked


def test_a_revoked_discriminator_is_refused(
    tmp_path: Path, key: Path, follow: Any, folder: Path
) -> None:
    registry = plugins.load().parts
    G, D = (
        build(part, part.make_config(part.tiny), seed=1)
        for part in (registry.get(kind, "gan") for kind in ("generator", "discriminator"))
    )
    model = ganzoo.save(tmp_path / "both", G, name="both", discriminator=D)
    critic = files.sha256(model / "discriminator.safetensors")
    follow(issue(tmp_path / "list.json", key, revocation.Entry(critic, REASON)), key)
    revocation.refresh()
    assert ganzoo.load(model).name == "both"
    with pytest.raises(RevokedError, match=REASON):
        ganzoo.load_discriminator(model)


def test_init_of_a_revoked_model_is_refused(
    tmp_path: Path, key: Path, follow: Any, folder: Path
) -> None:
    from ganzoo.training import train
    from tests import tiny

    follow(issue(tmp_path / "list.json", key, revocation.Entry(weights(folder), REASON)), key)
    revocation.refresh()
    with pytest.raises(RevokedError, match=REASON):
        train(tiny.recipe("gan"), tmp_path / "run", init=folder, device="cpu")
    assert not (tmp_path / "run").exists()


def test_verify_and_publish_bring_the_list_up_to_date_and_refuse(
    folder: Path, tmp_path: Path, key: Path, place: Place, server: Hub, follow: Any
) -> None:
    file = issue(tmp_path / "list.json", key, days_ago=12)
    follow(put(place, file), key)
    found = ganzoo.verify(folder)
    assert found.ok
    assert found.revocations.startswith("list 1, 12 days old, 0 entries, fetched ")
    put(place, issue(file, key, revocation.Entry(weights(folder), REASON), serial=2))
    with pytest.raises(CheckpointError, match=REASON):
        publish(folder, REPO)
    assert REPO not in server.repos
    put(place, issue(file, key, serial=3))
    assert ganzoo.verify(folder).ok
    put(place, issue(file, key, revocation.Entry(weights(folder), REASON), serial=4))
    answer = run("verify", folder, "--json")
    assert answer.exit_code == 1 and REASON in answer.stderr
    assert json.loads(answer.stdout)[0]["revocations"].startswith("list 4, today's, 1 entry")


# -- downloads -------------------------------------------------------------------------------------


def push(server: Hub, folder: Path, repo: str = REPO) -> str:
    return server.push(repo, {p.name: p.read_bytes() for p in folder.iterdir()}, sums=False)


def fetched(server: Hub) -> list[str]:
    return [r for r in server.requests if r.startswith("GET") and "safetensors" in r]


def test_revoked_weights_are_not_even_downloaded(
    folder: Path, tmp_path: Path, key: Path, place: Place, server: Hub, follow: Any
) -> None:
    commit = push(server, folder)
    file = issue(tmp_path / "list.json", key, revocation.Entry(weights(folder), REASON))
    follow(put(place, file), key)
    for use in (
        lambda: ganzoo.load(f"hf://{REPO}"),
        lambda: ganzoo.load(f"hf://{REPO}@{commit}"),
    ):
        with pytest.raises(RevokedError, match=REASON):
            use()
    answer = run("download", f"hf://{REPO}")
    assert answer.exit_code == 1 and REASON in answer.stderr
    assert fetched(server) == []


def test_a_registry_takes_no_revoked_weights(
    folder: Path, tmp_path: Path, key: Path, place: Place, server: Hub, follow: Any
) -> None:
    """`registry add` and `registry check` download as any other command does."""
    commit = push(server, folder)
    follow(put(place, issue(tmp_path / "list.json", key)), key)
    revocation.refresh()
    entry = revocation.Entry(weights(folder), REASON)
    put(place, issue(tmp_path / "list.json", key, entry, serial=2))
    server.requests.clear()
    with pytest.raises(RevokedError, match=REASON):
        curation.make_entry(REPO)
    entry_here = catalogue.ModelEntry.from_folder(folder)
    pinned = replace(entry_here, repo=REPO, revision=commit, path=None)
    registry.put(pinned, tmp_path / "registry.toml")
    (checked,) = curation.check_registry(tmp_path / "registry.toml")
    assert REASON in checked.problems[0]
    assert fetched(server) == []


def test_a_model_that_is_revoked_once_it_is_cached(
    folder: Path, tmp_path: Path, key: Path, place: Place, server: Hub, follow: Any
) -> None:
    commit = push(server, folder)
    file = issue(tmp_path / "list.json", key)
    follow(put(place, file), key)
    assert run("download", f"hf://{REPO}").exit_code == 0
    put(place, issue(file, key, revocation.Entry(weights(folder), REASON), serial=2))
    asked = len(place.requests)
    assert ganzoo.load(f"hf://{REPO}@{commit}").name == "mine"
    assert len(place.requests) == asked  # what is cached is loaded by the list that is cached
    answer = run("download", f"hf://{REPO}")
    assert answer.exit_code == 1 and REASON in answer.stderr
    with pytest.raises(RevokedError, match=REASON):
        ganzoo.load(f"hf://{REPO}@{commit}")


@pytest.mark.parametrize("fault", [404, 503, None, b"x" * (5 << 20), "gone"])
def test_a_failed_refresh_refuses_new_downloads_and_nothing_else(
    folder: Path, tmp_path: Path, key: Path, place: Place, server: Hub, follow: Any, fault: Any
) -> None:
    push(server, folder)
    push(server, folder, "someone/other")
    url = put(place, issue(tmp_path / "list.json", key))
    follow(url, key)
    ganzoo.load(f"hf://{REPO}")
    if fault == "gone":
        place.shutdown()
        place.server_close()
    else:
        place.content["/list.json"] = place.content["/list.json.sig"] = fault
    server.requests.clear()
    with pytest.raises(RevocationsError) as caught:
        ganzoo.load("hf://someone/other")
    one_line(caught.value)
    answer = run("download", "hf://someone/other")
    assert answer.exit_code == 1 and len(answer.stderr.splitlines()) == 1
    assert fetched(server) == []
    assert ganzoo.load(f"hf://{REPO}").name == "mine"  # which was downloaded before
    with pytest.raises(RevocationsError, match="cannot be had from"):
        publish(folder, "me/mine")
    found = ganzoo.verify(folder)
    said = "not brought up to date: the revocation list cannot be had from"
    assert found.ok and said in found.revocations


@pytest.mark.parametrize("sent", [b"HTTP/1.1 200 OK\r\nX-Wait: ", b"HTTP/1.1 200 OK\r\n\r\n"])
def test_an_answer_that_never_ends_is_given_up(
    tmp_path: Path, key: Path, follow: Any, monkeypatch: pytest.MonkeyPatch, sent: bytes
) -> None:
    """Be it in the headers or in the body, a byte at a time."""
    monkeypatch.setattr("ganzoo.revocation.fetching.LONGEST_WAIT", 1.5)
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def trickle() -> None:
            with listening.accept()[0] as connection, contextlib.suppress(OSError):
                connection.sendall(sent)
                for _ in range(1000):  # often: a socket that is silent for 0.5 s is given up too
                    if given_up.wait(0.05):
                        break
                    connection.sendall(b"x")

        given_up = threading.Event()
        server = threading.Thread(target=trickle, daemon=True)
        server.start()
        follow(f"http://127.0.0.1:{listening.getsockname()[1]}/list.json", key)
        started = time.monotonic()
        with pytest.raises(RevocationsError, match="it takes longer than 2 s") as caught:
            revocation.refresh()
        took = time.monotonic() - started
        given_up.set()
        server.join()
    one_line(caught.value)
    assert took < 30  # of the 50 s that it would come in


def test_an_hf_list_that_is_cached_is_no_fresh_one(
    folder: Path, tmp_path: Path, key: Path, server: Hub, follow: Any
) -> None:
    file = issue(tmp_path / "list.json", key)
    signature = file.with_name("list.json.sig").read_bytes()
    server.push("who/lists", {"list.json": file.read_bytes(), "list.json.sig": signature})
    follow("hf://who/lists/list.json", key)
    revocation.refresh()
    server.fail("503", r"who/lists", 99)
    with pytest.raises(RevocationsError, match=r"cannot be had from hf://who/lists/list\.json"):
        revocation.refresh()


def test_offline_nothing_is_asked(
    folder: Path,
    tmp_path: Path,
    key: Path,
    place: Place,
    server: Hub,
    follow: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from huggingface_hub import constants

    push(server, folder)
    follow(put(place, issue(tmp_path / "list.json", key)), key)
    ganzoo.load(f"hf://{REPO}")
    asked = len(place.requests)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert run("download", f"hf://{REPO}").exit_code == 0
    assert ganzoo.verify(folder).ok
    assert len(place.requests) == asked


# -- whom to believe -------------------------------------------------------------------------------


def test_a_tampered_list_is_refused_loudly_and_the_former_one_stays(
    folder: Path, tmp_path: Path, key: Path, place: Place, follow: Any
) -> None:
    file = issue(tmp_path / "list.json", key, revocation.Entry(weights(folder), REASON))
    follow(put(place, file), key)
    revocation.refresh()
    issue(file, make_key(tmp_path / "other.pem"), serial=2)
    mutants = {
        "of another key": (file.read_bytes(), file.with_name("list.json.sig").read_bytes()),
        "a flipped bit": (
            bytes(place.content["/list.json"]).replace(b'"serial": 1', b'"serial": 3'),  # type: ignore[arg-type]
            place.content["/list.json.sig"],
        ),
        "no signature": (place.content["/list.json"], b""),
        "an odd one": (place.content["/list.json"], b"\x30\x02\x01\x00" * 9),
    }
    for name, (content, signature) in mutants.items():
        place.content["/list.json"], place.content["/list.json.sig"] = content, signature
        with pytest.raises(IntegrityError, match="tampered with") as caught:
            revocation.refresh()
        one_line(caught.value)
        for command in ("verify", "download"):
            answer = run(command, folder)
            assert answer.exit_code == 1 and "tampered with" in answer.stderr, name
        with pytest.raises(RevokedError, match=REASON):
            ganzoo.load(folder)


def test_an_older_list_is_refused(
    folder: Path, tmp_path: Path, key: Path, place: Place, follow: Any
) -> None:
    old = issue(tmp_path / "list.json", key, serial=6)
    follow(put(place, old), key)
    revocation.refresh()
    new = issue(tmp_path / "new.json", key, revocation.Entry(weights(folder), REASON), serial=7)
    put(place, new)
    revocation.refresh()
    put(place, old)
    with pytest.raises(IntegrityError, match="serial is 6, that of the last one was 7") as caught:
        revocation.refresh()
    one_line(caught.value)
    put(place, issue(tmp_path / "third.json", key, serial=7))
    with pytest.raises(IntegrityError, match="has its serial, 7"):
        revocation.refresh()
    with pytest.raises(RevokedError, match=REASON):
        ganzoo.load(folder)


def test_a_copy_that_was_changed_fails_closed(
    folder: Path, tmp_path: Path, key: Path, place: Place, follow: Any
) -> None:
    file = issue(tmp_path / "list.json", key, revocation.Entry(weights(folder), REASON))
    follow(put(place, file), key)
    revocation.refresh()
    (copy,) = (tmp_path / "ganzoo-cache" / "revocations").iterdir()
    kept = json.loads(copy.read_text())
    for changed in (
        {**kept, "list": kept["list"].replace(weights(folder), "0" * 64)},
        {**kept, "signature": base64.b64encode(b"nothing").decode()},
        {"list": 5},
        [],
    ):
        copy.write_text(json.dumps(changed))
        with pytest.raises(IntegrityError, match="revocation list") as caught:
            ganzoo.load(folder)
        one_line(caught.value)
    copy.write_text("{")
    assert "damaged" in run("env").stdout
    assert run("revocations", "show", "--refresh").exit_code == 0
    with pytest.raises(RevokedError):
        ganzoo.load(folder)


def test_another_key_makes_the_copy_worthless(
    folder: Path, tmp_path: Path, key: Path, follow: Any
) -> None:
    file = issue(tmp_path / "list.json", key)
    follow(file, key)
    revocation.refresh()
    other = make_key(tmp_path / "other.pem")
    follow(file, other)
    with pytest.raises(IntegrityError, match="not signed with the private key of"):
        ganzoo.load(folder)
    revocation.sign(file, key=other)
    revocation.refresh()
    assert ganzoo.load(folder).name == "mine"


@pytest.mark.parametrize(
    ("variable", "said"),
    [
        ("GANZOO_REVOCATIONS", "GANZOO_REVOCATIONS_KEY is set without GANZOO_REVOCATIONS"),
        ("GANZOO_REVOCATIONS_KEY", "GANZOO_REVOCATIONS is set without GANZOO_REVOCATIONS_KEY"),
    ],
)
def test_half_a_configuration_is_refused(
    folder: Path,
    tmp_path: Path,
    key: Path,
    follow: Any,
    monkeypatch: pytest.MonkeyPatch,
    variable: str,
    said: str,
) -> None:
    follow(issue(tmp_path / "list.json", key), key)
    monkeypatch.delenv(variable)
    with pytest.raises(InputError, match=f"^{said}:"):
        ganzoo.load(folder)
    assert said in run("env").stdout


HASH = "a" * 64


@pytest.mark.parametrize(
    ("document", "said"),
    [
        (b"", "Expecting value"),
        (b"[]", "no JSON object"),
        (b"[" * 100_000, "recursion"),
        (b"\xff\xfe{", "utf-8"),
        ({"entries": [{"weights_sha256": HASH, "reason": "\ud800"}]}, "surrogates not allowed"),
        ({"format": 2}, "its format is 2, this ganzoo reads 1"),
        ({"serial": -1}, "serial = -1 is out of range"),
        ({"serial": True}, "wrong type"),
        ({"issued": "yesterday"}, "issued = 'yesterday' is no time"),
        ({"issued": "2026-11-25T10:00:00"}, "is no time"),
        ({"entries": {}}, "wrong type"),
        ({"entires": []}, "did you mean entries"),
        ({"entries": [{"weights_sha256": HASH}]}, "reason"),
        ({"entries": [{"weights_sha256": HASH.upper(), "reason": "x"}]}, "is no SHA-256"),
        ({"entries": [{"weights_sha256": HASH, "reason": " "}]}, "reason is empty"),
        ({"entries": [{"weights_sha256": HASH, "reason": "x", "advisory": "x y"}]}, "no address"),
    ],
)
def test_what_is_no_list(document: Any, said: str, tmp_path: Path, key: Path) -> None:
    sound = {"format": 1, "serial": 1, "issued": "2026-11-25T10:00:00Z", "entries": []}
    data = document if isinstance(document, bytes) else json.dumps({**sound, **document}).encode()
    (tmp_path / "list.json").write_bytes(data)
    with pytest.raises(RevocationsError, match="is no revocation list") as caught:
        revocation.sign(tmp_path / "list.json", key=key)
    one_line(caught.value)
    assert said in str(caught.value)
    assert not (tmp_path / "list.json.sig").exists()


# -- issuing ---------------------------------------------------------------------------------------


def test_a_list_is_made_signed_followed_and_shown(
    folder: Path, tmp_path: Path, key: Path, follow: Any
) -> None:
    file = tmp_path / "list.json"
    answer = run("revocations", "add", file, folder, "--reason", REASON, "--json")
    assert json.loads(answer.stdout) == [{"list": str(file), "serial": 1, "entries": 1}]
    assert run("revocations", "add", file, HASH, "--reason", "of old").exit_code == 0
    absent = run("revocations", "sign", f"{file}.absent", "--key", key)
    assert absent.exit_code == 2 and "does not exist" in absent.stderr
    assert run("revocations", "sign", file, "--key", key).exit_code == 0
    follow(file, key)
    answer = run("revocations", "show", "--refresh", "--json")
    assert {row["weights_sha256"]: row["reason"] for row in json.loads(answer.stdout)} == {
        weights(folder): REASON,
        HASH: "of old",
    }
    assert "list 2, today's, 2 entries" in answer.stderr
    assert "list 2, today's, 2 entries" in run("env").stdout
    assert run("generate", folder, "-o", tmp_path / "x.png").exit_code == 1
    assert not (tmp_path / "x.png").exists()
    # another entry makes the signature one of another list, which is not to be served by mistake
    run("revocations", "add", file, "b" * 64, "--reason", "too")
    assert not (tmp_path / "list.json.sig").exists()


@pytest.mark.parametrize(
    ("days_ago", "age"),
    [(0, "today's"), (-0.5, "today's"), (1.5, "1 day old"), (40, "40 days old"),
     (-3, "dated in the future")],
)  # fmt: skip
def test_the_age_of_a_list(days_ago: float, age: str) -> None:
    issued = (datetime.now(UTC) - timedelta(days=days_ago)).isoformat()
    assert revocation.RevocationList(1, 1, issued).age == age


def test_the_same_weights_stand_in_a_list_once(tmp_path: Path) -> None:
    for reason in ("first", "second"):
        new = revocation.add(tmp_path / "list.json", revocation.Entry(HASH, reason))
    assert (new.serial, [entry.reason for entry in new.entries]) == (2, ["second"])


@pytest.mark.skipif(shutil.which("openssl") is None, reason="needs openssl")
def test_a_list_that_openssl_signs(tmp_path: Path, key: Path, follow: Any) -> None:
    file = issue(tmp_path / "list.json", key)
    signature = tmp_path / "list.json.sig"
    signature.unlink()
    words = ["openssl", "dgst", "-sha256", "-sign", str(key), "-out", str(signature), str(file)]
    subprocess.run(words, check=True, capture_output=True)
    follow(file, key)
    revocation.refresh()
    assert revocation.describe().startswith("list 1, today's, 0 entries")
    revocation.sign(file, key=key)
    words = ["openssl", "dgst", "-sha256", "-verify", str(key.with_suffix(".pub")),
             "-signature", str(signature), str(file)]  # fmt: skip
    assert subprocess.run(words, check=True, capture_output=True).stdout == b"Verified OK\n"
    signature.write_bytes(ec.generate_private_key(ec.SECP256R1()).sign(file.read_bytes(),
                          ec.ECDSA(hashes.SHA256())))  # fmt: skip
    with pytest.raises(IntegrityError, match="tampered"):
        revocation.refresh()


def test_asking_imports_neither_torch_nor_the_client(tmp_path: Path, key: Path) -> None:
    code = (
        "import sys; from ganzoo import revocation; revocation.refuse_revoked('0' * 64, 'x');"
        "print({'torch', 'huggingface_hub', 'cryptography', 'http'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
