"""Signed manifests: whole they are valid, and any bit that changes in the pixels is seen."""

from __future__ import annotations

import http.server
import io
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("c2pa", reason="pip install 'ganzoo[c2pa]'")

from ganzoo import inspection, manifests, provenance
from ganzoo.errors import GanzooError, InputError

RECORD: dict[str, Any] = {
    "model": "dcgan.mnist",
    "weights_sha256": "ab" * 32,
    "plugin": "ganzoo-dcgan 0.1.0",
    "seed": 3,
}
STILLS = [".png", ".jpg", ".webp", ".gif"]


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> manifests.Keys:
    return manifests.make_keys(tmp_path_factory.mktemp("keys"), name="Ada")


@pytest.fixture(scope="module")
def signing(keys: manifests.Keys) -> manifests.Signing:
    return manifests.Signing(keys.folder)


def noise(size: int = 48) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (size, size, 3), dtype=np.uint8)


def written(path: Path, **how: Any) -> bytes:
    provenance.save_image(noise(), path, record=RECORD, **how)
    return path.read_bytes()


# -- keys ----------------------------------------------------------------------------------------


def test_keys_are_ones_own_and_never_overwritten(tmp_path: Path) -> None:
    made = manifests.make_keys(tmp_path / "keys")
    assert made.key.stat().st_mode & 0o777 == 0o600
    assert made.key.read_bytes().startswith(b"-----BEGIN PRIVATE KEY")
    assert made.chain.read_bytes().count(b"BEGIN CERTIFICATE") == 2
    assert made.chain.read_bytes().endswith(made.root.read_bytes())
    before = made.key.read_bytes()
    for path in (made.key, made.chain, made.root):
        with pytest.raises(InputError, match="never overwritten"):
            manifests.make_keys(tmp_path / "keys")
        path.rename(path.with_suffix(".old"))
    assert made.key.with_suffix(".old").read_bytes() == before
    assert manifests.make_keys(tmp_path / "keys").key.read_bytes() != before
    for name in ("", " ", "x" * 65, "a\nb"):
        with pytest.raises(InputError, match="the name"):
            manifests.make_keys(tmp_path / "more", name=name)


def test_the_certificate_is_as_c2pa_wants_it(keys: manifests.Keys) -> None:
    from cryptography import x509

    leaf, root = x509.load_pem_x509_certificates(keys.chain.read_bytes())
    leaf.verify_directly_issued_by(root)
    root.verify_directly_issued_by(root)
    assert not leaf.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    usage = leaf.extensions.get_extension_for_class(x509.KeyUsage)
    assert usage.critical and usage.value.digital_signature and not usage.value.key_cert_sign
    purposes = leaf.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert [purpose.dotted_string for purpose in purposes] == ["1.3.6.1.5.5.7.3.4"]
    assert (leaf.not_valid_after_utc - leaf.not_valid_before_utc).days > 3600
    assert "Ada" in leaf.subject.rfc4514_string()


def test_where_keys_are(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.delenv("GANZOO_KEYS", raising=False)
    with pytest.raises(InputError, match="ganzoo keys init"):
        manifests.Signing()
    made = manifests.make_keys()
    assert made.folder == tmp_path / "config/ganzoo/keys"
    assert made.folder.stat().st_mode & 0o777 == 0o700
    shared = tmp_path / "shared"
    shared.mkdir()
    shared.chmod(0o755)
    monkeypatch.setenv("GANZOO_KEYS", str(shared))
    manifests.make_keys()
    assert shared.stat().st_mode & 0o777 == 0o755  # it is the user's, and may hold more
    manifests.Signing()
    monkeypatch.setenv("GANZOO_KEYS", str(tmp_path / "other"))
    assert manifests.keys_folder() == tmp_path / "other"


def test_keys_that_are_none_are_one_line(keys: manifests.Keys, tmp_path: Path) -> None:
    for key, chain in ((b"", b""), (b"nonsense", keys.chain.read_bytes())):
        (tmp_path / keys.key.name).write_bytes(key)
        (tmp_path / keys.chain.name).write_bytes(chain)
        with pytest.raises(InputError, match=r"cannot be used|could not be signed") as caught:
            manifests.Signing(tmp_path).sign(written(tmp_path / "x.png"), ".png", RECORD)
        assert "\n" not in str(caught.value)


# -- signing and checking ------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", STILLS)
def test_signed_files_are_valid_and_little_larger(
    keys: manifests.Keys, signing: manifests.Signing, tmp_path: Path, suffix: str
) -> None:
    plain = written(tmp_path / f"plain{suffix}")
    signed = written(tmp_path / f"signed{suffix}", sign=signing.sign)
    assert len(signed) - len(plain) < 6144
    found = manifests.check(signed, suffix)
    assert (found.state, found.manifests, found.problems) == (manifests.VALID, 1, ())
    assert (found.generated, found.signer) == (True, "Ada")
    trusted = manifests.check(signed, suffix, anchors=keys.root.read_bytes())
    assert trusted.state == manifests.TRUSTED
    assert manifests.check(plain, suffix) == manifests.Checked(manifests.NONE)
    assert provenance.read_record(tmp_path / f"signed{suffix}") == RECORD
    with Image.open(io.BytesIO(plain)) as a, Image.open(io.BytesIO(signed)) as b:
        assert a.tobytes() == b.tobytes()


@pytest.mark.parametrize("suffix", [".gif", ".webp", ".mp4"])
def test_animations_are_signed(signing: manifests.Signing, tmp_path: Path, suffix: str) -> None:
    if suffix == ".mp4":
        pytest.importorskip("imageio_ffmpeg", reason="pip install 'ganzoo[video]'")
    path = tmp_path / f"a{suffix}"
    frames = np.stack([noise(), noise()[::-1]])
    provenance.save_animation(frames, path, record=RECORD, sign=signing.sign)
    assert manifests.check(path.read_bytes(), suffix).state == manifests.VALID
    assert provenance.read_record(path) == RECORD
    layers = {layer.name: layer.status for layer in inspection.inspect(path).layers}
    assert layers["c2pa"] == layers["xmp"] == layers["record"] == inspection.MARKED
    if suffix != ".mp4":
        with Image.open(path) as image:
            assert image.n_frames == 2


def test_every_bit_of_the_pixels_counts(signing: manifests.Signing, tmp_path: Path) -> None:
    signed = written(tmp_path / "x.png", sign=signing.sign)
    at = signed.index(b"IDAT") + 4
    length = int.from_bytes(signed[at - 8 : at - 4], "big")
    for bit in np.random.default_rng(1).choice(8 * length, 60, replace=False):
        flipped = bytearray(signed)
        flipped[at + bit // 8] ^= 1 << bit % 8
        found = manifests.check(bytes(flipped), ".png")
        assert found.state == manifests.INVALID
        assert "assertion.dataHash.mismatch" in found.problems


def test_a_mark_written_after_the_signature_breaks_it(
    signing: manifests.Signing, tmp_path: Path
) -> None:
    signed = written(tmp_path / "x.jpg", sign=signing.sign)
    changed = signed.replace(b"dcgan.mnist", b"dcgan.xnist")
    assert manifests.check(changed, ".jpg").state == manifests.INVALID


def test_what_is_signed_already_keeps_its_manifest(
    signing: manifests.Signing, tmp_path: Path
) -> None:
    once = written(tmp_path / "x.png", sign=signing.sign)
    twice = signing.sign(once, ".png", RECORD)
    found = manifests.check(twice, ".png")
    assert (found.state, found.manifests, found.generated) == (manifests.VALID, 2, True)


def test_a_picture_saved_again_has_no_manifest(signing: manifests.Signing, tmp_path: Path) -> None:
    path = tmp_path / "x.png"
    written(path, sign=signing.sign)
    with Image.open(path) as image:
        image.load()
        image.save(path)
    assert manifests.check(path.read_bytes(), ".png").state == manifests.NONE


def test_no_request_is_made_for_a_manifest_elsewhere(tmp_path: Path) -> None:
    asked = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_error(404)

        def log_message(self, *arguments: object) -> None:
            pass

    with http.server.HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        xmp = (
            '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/'
            '22-rdf-syntax-ns#"><rdf:Description rdf:about="" xmlns:dcterms="http://purl.org/dc/'
            f'terms/" dcterms:provenance="http://127.0.0.1:{server.server_port}/a.c2pa"/>'
            "</rdf:RDF></x:xmpmeta>"
        )
        path = tmp_path / "x.jpg"
        Image.fromarray(noise()).save(path, xmp=xmp.encode())
        assert manifests.check(path.read_bytes(), ".jpg").state == manifests.NONE
        assert inspection.inspect(path).status == inspection.ABSENT
        server.shutdown()
    assert asked == []


def test_nothing_half_signed_is_left(signing: manifests.Signing, tmp_path: Path) -> None:
    path = tmp_path / "x.png"

    def failing(data: bytes, suffix: str, record: object) -> bytes:
        raise InputError("the key broke")

    with pytest.raises(InputError, match="the key broke"):
        written(path, sign=failing)
    with pytest.raises(InputError, match="could not be signed"):
        signing.sign(b"no picture", ".png", RECORD)
    with pytest.raises(InputError, match="cannot hold a C2PA manifest"):
        signing.sign(b"", ".npz", RECORD)
    assert list(tmp_path.iterdir()) == []


def test_damaged_files_are_answered(signing: manifests.Signing, tmp_path: Path) -> None:
    rng = np.random.default_rng(2)
    for suffix in STILLS:
        signed = written(tmp_path / f"x{suffix}", sign=signing.sign)
        for k in range(40):
            damaged = bytearray(signed)
            if k % 2:
                del damaged[rng.integers(len(damaged)) :]
            for at in rng.integers(0, max(1, len(damaged)), 8 if damaged else 0):
                damaged[at] = rng.integers(256)
            try:
                found = manifests.check(bytes(damaged), suffix)
            except GanzooError:
                continue
            assert found.state in (manifests.INVALID, manifests.NONE)
