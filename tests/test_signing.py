"""Signatures through the API: re-saving, the Hub, and the extra that is not there."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

import ganzoo
from ganzoo import hub, plugins
from ganzoo.errors import InputError
from ganzoo.models import build


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    registry = plugins.load().parts
    G, D = (
        build(part, part.make_config(part.tiny), seed=1)
        for part in (registry.get(kind, "gan") for kind in ("generator", "discriminator"))
    )
    return ganzoo.save(tmp_path / "model", G, name="mine", discriminator=D)


@pytest.fixture
def key(tmp_path: Path) -> Path:
    pytest.importorskip("model_signing.verifying", reason="model-signing is not installed")
    from ganzoo.signing import new_key

    new_key(tmp_path / "me.pem")
    return tmp_path / "me.pem"


def push(server: Any, folder: Path, **changes: bytes) -> str:
    content = {path.name: path.read_bytes() for path in folder.iterdir()}
    commit: str = server.push("someone/mine", {**content, **changes}, sums=False)
    return commit


def test_without_the_extra(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from ganzoo.signing import new_key

    for name in [name for name in sys.modules if name.partition(".")[0] == "model_signing"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "model_signing", None)
    for use in (
        lambda: ganzoo.sign(folder, key=tmp_path / "me.pem"),
        lambda: ganzoo.verify(folder, key=tmp_path / "me.pub.pem"),
        lambda: new_key(tmp_path / "me.pem"),
    ):
        with pytest.raises(InputError, match=r"pip install 'ganzoo\[sign\]'$") as caught:
            use()
        assert "\n" not in str(caught.value)
    assert ganzoo.verify(folder).ok  # which needs no key, needs no extra
    (folder / "model.sig").write_text("{}")
    assert ganzoo.verify(folder).signature == "signed, not checked (give --key)"


def test_signing_needs_no_network(
    folder: Path, key: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import socket

    def blocked(*_: Any, **__: Any) -> None:
        raise AssertionError("a connection was tried")

    monkeypatch.setattr(socket.socket, "connect", blocked)
    monkeypatch.setattr(socket, "getaddrinfo", blocked)
    fingerprint = ganzoo.sign(folder, key=key)
    assert fingerprint in (folder / "model.sig").read_text()
    found = ganzoo.verify(folder, key=tmp_path / "me.pub.pem")
    assert found.ok and found.signature == "valid" and found.folder == folder


def test_a_saved_again_folder_is_unsigned(folder: Path, key: Path) -> None:
    unsigned = {path.name: path.read_bytes() for path in folder.iterdir()}
    ganzoo.sign(folder, key=key)
    G, D = ganzoo.load(folder), ganzoo.load_discriminator(folder)
    ganzoo.save(folder, G, discriminator=D)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == unsigned


def test_a_signed_model_of_the_hub(folder: Path, key: Path, tmp_path: Path, server: Any) -> None:
    public = tmp_path / "me.pub.pem"
    ganzoo.sign(folder, key=key)
    commit = push(server, folder, **{".gitattributes": b"*.safetensors filter=lfs"})
    ganzoo.load(f"hf://someone/mine@{commit}")
    assert not any("model.sig" in request for request in server.requests)
    found = ganzoo.verify(f"hf://someone/mine@{commit}", key=public)
    assert found.ok and found.signature == "valid"
    assert (found.folder / "discriminator.safetensors").is_file()

    server.requests.clear()
    assert ganzoo.verify(f"hf://someone/mine@{commit}", key=public).ok
    assert server.requests == []

    forged = push(server, folder, **{"model.sig": b"{}"})
    found = ganzoo.verify(f"hf://someone/mine@{forged}", key=public)
    assert not found.ok and found.signature == "invalid"


def test_an_unsigned_model_of_the_hub(folder: Path, key: Path, tmp_path: Path, server: Any) -> None:
    commit = push(server, folder)
    found = ganzoo.verify(f"hf://someone/mine@{commit}")
    assert found.ok and found.signature == "not signed"
    found = ganzoo.verify(f"hf://someone/mine@{commit}", key=tmp_path / "me.pub.pem")
    assert not found.ok and "is not signed" in found.problems[0]
    with pytest.raises(InputError, match=r"leave /model\.sig out"):
        hub.parse_uri("hf://someone/mine/model.sig")
