"""`ganzoo sign` and `ganzoo verify --key`: what is signed stays as it was, or it shows."""

from __future__ import annotations

import base64
import json
import os
import shutil
import stat
import subprocess
import sys

import pytest

from ganzoo import layout
from ganzoo.card import write_card

pytest.importorskip("model_signing.verifying", reason="model-signing is not installed")

CHECK = "signed, not checked (give --key)"


@pytest.fixture
def key(ganzoo, tmp_path):
    """A key pair, as `ganzoo sign --new-key` makes it; the private key."""
    assert ganzoo("sign", "--new-key", tmp_path / "me.pem").exit_code == 0
    return tmp_path / "me.pem"


@pytest.fixture
def public(key):
    return key.with_name("me.pub.pem")


@pytest.fixture
def signed(ganzoo, model, key):
    result = ganzoo("sign", model, "--key", key, "--json")
    assert result.exit_code == 0, result.output
    (row,) = json.loads(result.stdout)
    assert (row["folder"], row["signature"]) == (str(model), str(model / "model.sig"))
    assert len(row["key"]) == 64
    return model


@pytest.fixture
def verified(ganzoo):
    """Run `ganzoo verify`: (its state of the signature, the line on stderr or "")."""

    def run(model, *options):
        result = ganzoo("verify", model, "--json", *options)
        (row,) = json.loads(result.stdout)
        assert row["ok"] == (result.exit_code == 0) == (result.stderr == "")
        assert len(result.stderr.splitlines()) <= 1
        return row["signature"], result.stderr.strip().removeprefix("error: ")

    return run


def rehash(folder):
    """What someone does who changes a file of a signed folder and knows SHA256SUMS."""
    signature = (folder / "model.sig").read_bytes()
    layout.write_sums(folder)
    (folder / "model.sig").write_bytes(signature)


def test_keys_are_private_and_never_overwritten(ganzoo, refused, key, public, tmp_path):
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    assert b"PRIVATE KEY" in key.read_bytes() and b"PUBLIC KEY" in public.read_bytes()
    before = key.read_bytes()
    assert "never overwritten" in refused("sign", "--new-key", key)
    key.rename(tmp_path / "saved.pem")
    assert "me.pub.pem exists" in refused("sign", "--new-key", key)
    assert (tmp_path / "saved.pem").read_bytes() == before and not key.exists()
    for words in ([], ["--key", key], [tmp_path], [tmp_path, "--new-key", "x.pem"]):
        assert ganzoo("sign", *words).exit_code == 2


def test_signed_and_verified(signed, public, verified):
    assert verified(signed, "--key", public) == ("valid", "")
    assert verified("tiny.shapes", "--key", public) == ("valid", "")
    assert verified(signed) == (CHECK, "")
    assert "model.sig" not in layout.read_sums(signed)
    assert "The folder is signed" in (signed / "README.md").read_text()


def test_no_key_is_needed_to_use_it(ganzoo, signed, tmp_path):
    (signed / "model.sig").write_text("garbage")
    assert ganzoo("generate", signed, "-o", tmp_path / "a.png").exit_code == 0


def test_the_tool_of_openssf_verifies_it(signed, public):
    words = ["verify", "key", signed, "--signature", signed / "model.sig", "--public_key", public]
    command = [sys.executable, "-m", "model_signing", *map(str, words)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_not_signed(model, public, verified):
    assert verified(model) == ("not signed", "")
    signature, line = verified(model, "--key", public)
    assert signature == "not signed"
    assert f"{model} is not signed (it has no model.sig): ask its author" in line
    assert "The folder is not signed." in (model / "README.md").read_text()


@pytest.mark.parametrize(
    "name", ["README.md", "config.json", "model.safetensors", "samples.png", "SHA256SUMS"]
)
@pytest.mark.parametrize("honest", [True, False], ids=["rehashed", "as it is"])
def test_a_changed_byte(signed, public, verified, name, honest):
    content = bytearray((signed / name).read_bytes())
    # which leaves the config and the hashes sound, so that the signature alone can tell
    content[-1:] = b"\n \n" if name in ("README.md", "config.json") else bytes([content[-1] ^ 1])
    if name == "SHA256SUMS":
        content = content[:-1] + b"\r\n"
    (signed / name).write_bytes(content)
    if honest and name != "SHA256SUMS":
        rehash(signed)
    signature, line = verified(signed, "--key", public)
    assert signature == "invalid" and name in line
    if name in ("README.md", "config.json") and honest:
        assert verified(signed) == (CHECK, "")
        assert f"{name} was changed (and 1 more)" in line


@pytest.mark.parametrize("name", ["evil.py", "training.json", ".hidden", "folder/deep.txt"])
@pytest.mark.parametrize("honest", [True, False], ids=["rehashed", "as it is"])
def test_an_added_file(signed, public, verified, name, honest):
    (signed / name).parent.mkdir(exist_ok=True)
    (signed / name).write_text("{}")
    if honest:
        rehash(signed)
    signature, line = verified(signed, "--key", public)
    assert signature == "invalid" and name.partition("/")[0] in line


@pytest.mark.parametrize("honest", [True, False], ids=["rehashed", "as it is"])
def test_a_removed_file(signed, public, verified, honest):
    (signed / "samples.png").unlink()
    if honest:
        rehash(signed)
    signature, line = verified(signed, "--key", public)
    assert signature == "invalid" and "samples.png" in line and "missing" in line


def test_what_git_and_the_hub_add_is_no_part_of_it(signed, public, verified):
    (signed / ".git").mkdir()
    (signed / ".git" / "config").write_text("x")
    (signed / ".gitattributes").write_text("x")
    (signed / ".cache" / "huggingface").mkdir(parents=True)
    (signed / ".cache" / "huggingface" / "x.lock").write_text("x")
    assert verified(signed, "--key", public) == ("valid", "")


def test_links_of_the_hubs_cache(signed, public, verified, tmp_path):
    cached = tmp_path / "snapshot"
    cached.mkdir()
    for path in signed.iterdir():
        (cached / path.name).symlink_to(path)
    assert verified(cached, "--key", public) == ("valid", "")
    (cached / "samples.png").unlink()
    (cached / "samples.png").symlink_to(tmp_path / "nowhere")
    signature, line = verified(cached, "--key", public)
    assert signature == "invalid" and "samples.png" in line


def test_another_key(ganzoo, signed, verified, tmp_path):
    ganzoo("sign", "--new-key", tmp_path / "other.pem")
    signature, line = verified(signed, "--key", tmp_path / "other.pub.pem")
    assert signature == "invalid"
    assert "model.sig was not made with the private key of" in line


def forged(bundle):
    """Another payload under the same signature."""
    payload = base64.b64decode(bundle["dsseEnvelope"]["payload"])
    other = payload.replace(b'"name": "README.md"', b'"name": "README.txt"')
    assert other != payload
    bundle["dsseEnvelope"]["payload"] = base64.b64encode(other).decode()


@pytest.mark.parametrize(
    "edit",
    [
        forged,
        lambda b: b["dsseEnvelope"]["signatures"][0].update(sig="AAAA"),
        lambda b: b["dsseEnvelope"]["signatures"].clear(),
        lambda b: b["dsseEnvelope"].update(payload="%%%"),
        lambda b: b["dsseEnvelope"].update(payload=7),
        lambda b: b.pop("dsseEnvelope"),
        lambda b: b.pop("verificationMaterial"),
        lambda b: b.update(verificationMaterial=[]),
        lambda b: b.update(mediaType="text/plain"),
        lambda b: b.clear(),
    ],
)
def test_a_signature_file_that_is_changed(signed, public, verified, edit):
    bundle = json.loads((signed / "model.sig").read_text())
    edit(bundle)
    (signed / "model.sig").write_text(json.dumps(bundle))
    signature, line = verified(signed, "--key", public)
    assert signature == "invalid" and "model.sig" in line


def test_the_hint_of_the_key_decides_nothing(signed, public, verified):
    """Older tools wrote none; the library then prints a warning, which is no data of ours."""
    bundle = json.loads((signed / "model.sig").read_text())
    bundle["verificationMaterial"]["publicKey"] = {}
    (signed / "model.sig").write_text(json.dumps(bundle))
    assert verified(signed, "--key", public) == ("valid", "")


@pytest.mark.parametrize("text", ["", "{", "[]", "3", "\xff\xfe", "[" * 100_000, "x" * (5 << 20)])
def test_a_signature_file_that_is_garbage(signed, public, verified, text):
    (signed / "model.sig").write_text(text, encoding="latin-1")
    signature, line = verified(signed, "--key", public)
    assert signature == "invalid" and "model.sig is no sound signature" in line
    assert len(line) < 400


def test_a_signature_that_leaves_files_out(model, key, public, verified):
    """The tool of OpenSSF lets a signer ignore paths; a file that nobody signed is then added."""
    from model_signing import hashing, signing

    config = signing.Config().use_elliptic_key_signer(private_key=key)
    ignored = hashing.Config().set_ignored_paths(paths=["samples.png", "model.sig"])
    config.set_hashing_config(ignored).sign(model, model / "model.sig")
    signature, line = verified(model, "--key", public)
    assert signature == "invalid" and "samples.png was added" in line
    blake = hashing.Config().use_file_serialization(hashing_algorithm="blake2")
    blake.set_ignored_paths(paths=["model.sig"])
    config.set_hashing_config(blake).sign(model, model / "model.sig")
    assert "not over whole files with SHA-256" in verified(model, "--key", public)[1]


@pytest.mark.parametrize(
    "content", [b"", b"garbage", b"-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n"]
)
def test_keys_that_are_none(refused, model, tmp_path, content):
    path = tmp_path / "odd.pem"
    path.write_bytes(content)
    assert "holds no public ECDSA key" in refused("verify", model, "--key", path)
    assert "holds no private ECDSA key" in refused("sign", model, "--key", path)
    assert not (model / "model.sig").exists()


def test_keys_of_the_wrong_kind(refused, model, key, public, tmp_path):
    from cryptography.hazmat.primitives import serialization as pem
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519

    assert "holds a private key" in refused("verify", model, "--key", key)
    assert "holds no private ECDSA key" in refused("sign", model, "--key", public)
    absent = tmp_path / "absent.pem"
    assert "No such file" in refused("verify", model, "--key", absent)
    assert "Is a directory" in refused("sign", model, "--key", tmp_path)
    for made, said in [
        (ed25519.Ed25519PrivateKey.generate(), "holds no private ECDSA key"),
        (ec.generate_private_key(ec.SECP256K1()), "use one on P-256, P-384 or P-521"),
    ]:
        path = tmp_path / "kind.pem"
        path.write_bytes(
            made.private_bytes(pem.Encoding.PEM, pem.PrivateFormat.PKCS8, pem.NoEncryption())
        )
        assert said in refused("sign", model, "--key", path)
    assert not (model / "model.sig").exists()


def test_a_passphrase(ganzoo, refused, verified, model, tmp_path, monkeypatch):
    key = tmp_path / "locked.pem"
    monkeypatch.setenv("GANZOO_KEY_PASSPHRASE", "correct horse")
    assert ganzoo("sign", "--new-key", key).exit_code == 0
    assert b"ENCRYPTED" in key.read_bytes()
    monkeypatch.setenv("GANZOO_KEY_PASSPHRASE", "wrong")
    assert "not the passphrase" in refused("sign", model, "--key", key)
    monkeypatch.delenv("GANZOO_KEY_PASSPHRASE")
    assert "set it as GANZOO_KEY_PASSPHRASE" in refused("sign", model, "--key", key)
    monkeypatch.setenv("GANZOO_KEY_PASSPHRASE", "correct horse")
    assert ganzoo("sign", model, "--key", key).exit_code == 0
    assert verified(model, "--key", tmp_path / "locked.pub.pem") == ("valid", "")


def test_what_is_not_sound_is_not_signed(refused, model, key):
    (model / "samples.png").write_bytes(b"other")
    before = {path.name: path.read_bytes() for path in model.iterdir()}
    assert "samples.png was changed or damaged" in refused("sign", model, "--key", key)
    assert {path.name: path.read_bytes() for path in model.iterdir()} == before
    for stray in ("notes.txt", ".env"):
        layout.write_sums(model)
        (model / stray).write_text("mine")
        layout.write_sums(model)
        assert f"{stray} is no file of a model folder" in refused("sign", model, "--key", key)
        (model / stray).unlink()
    shutil.rmtree(model)
    assert "there is no model folder" in refused("sign", model, "--key", key)


def test_a_later_change_takes_the_signature_away(ganzoo, signed, key, public, verified):
    write_card(signed, load="hf://me/tiny@v1")
    assert verified(signed) == ("not signed", "")
    text = (signed / "README.md").read_text()
    assert "The folder is not signed." in text
    assert ganzoo("sign", signed, "--key", key).exit_code == 0
    assert verified(signed, "--key", public) == ("valid", "")
    signed_text = (signed / "README.md").read_text()
    assert 'G = ganzoo.load("hf://me/tiny@v1")' in signed_text  # what the card said is kept
    assert ganzoo("sign", signed, "--key", key).exit_code == 0  # again: the same card
    assert (signed / "README.md").read_text() == signed_text
    layout.write_sums(signed)
    assert not (signed / "model.sig").exists()


def test_a_signature_that_fails_leaves_an_unsigned_folder(model, key, verified, monkeypatch):
    from model_signing import signing

    import ganzoo

    def full(*_):
        raise OSError(28, os.strerror(28))

    monkeypatch.setattr(signing.Config, "sign", full)
    with pytest.raises(ganzoo.GanzooError, match="No space left"):
        ganzoo.sign(model, key=key)
    assert verified(model) == ("not signed", "")
    assert "The folder is not signed." in (model / "README.md").read_text()


def test_a_run_is_signed_by_its_model(ganzoo, model, key, public, verified, tmp_path):
    run = tmp_path / "run"
    run.mkdir()
    shutil.copytree(model, run / "model")
    assert ganzoo("sign", run, "--key", key).exit_code == 0
    assert verified(run, "--key", public) == ("valid", "")
    assert [path.name for path in run.iterdir()] == ["model"]
