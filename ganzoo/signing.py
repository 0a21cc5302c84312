"""Signatures of model folders: OpenSSF model signing, with a key pair and without a network.

The signature, `model.sig`, covers every other file of the folder: the card and SHA256SUMS as well,
which is why SHA256SUMS does not name it. So the order is: the card (it says that the folder is
signed), the hashes, the signature. Whatever rewrites a file later takes the signature away.

The file is a Sigstore bundle, as the command `model_signing` of OpenSSF writes and reads it. It
comes with the folder and is as little trusted as the rest: only the public key is, which the reader
has from elsewhere.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import io
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ganzoo import card, checkpoint, files, layout, loading, revocation
from ganzoo.errors import (
    CheckpointError,
    GanzooError,
    InputError,
    IntegrityError,
    RevocationsError,
)

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric import ec

_NOT_OF_THE_MODEL = (".git", ".gitattributes", ".github", ".gitignore", ".cache")
"""What git and the Hub's client put beside a model; it is not signed. Other hidden files are."""

UNSIGNED, UNCHECKED, VALID, INVALID = (
    "not signed",
    "signed, not checked (give --key)",
    "valid",
    "invalid",
)


@dataclass(frozen=True)
class Verification:
    """What `ganzoo.verify` found.

    Attributes:
        folder: the model folder that was looked at.
        problems: one line each; none if it is sound.
        signature: "valid", "invalid", "not signed" or "signed, not checked (give --key)".
        overrides: gate -> why it was published although that gate stops it.
        revocations: the list of revoked weights that it was compared with, and its age.
    """

    folder: Path
    problems: tuple[str, ...]
    signature: str
    overrides: Mapping[str, str] = field(default_factory=dict)
    revocations: str = ""

    @property
    def ok(self) -> bool:
        return not self.problems


# -- the two things one does ---------------------------------------------------------------------


def sign(folder: str | Path, *, key: str | Path, passphrase: str | None = None) -> str:
    """Sign a model folder: `model.sig` over every file of it, in place of a former signature.

    Args:
        folder: a model or run folder; it must be sound, for a signature vouches for it.
        key: a private key, PEM, on one of the curves P-256, P-384 and P-521; see `new_key`.
        passphrase: of the key, where it has one.

    Returns:
        The fingerprint (SHA-256) of the public key that belongs to it.

    Raises:
        InputError: the key cannot be read, or the extra `ganzoo[sign]` is missing.
        CheckpointError: the folder is damaged, or holds what is no part of a model.
    """
    _need_library()
    from model_signing import signing

    private = private_key(Path(key), passphrase)
    folder = loading.resolve_folder(Path(folder))
    layout.read_config(folder)  # or it says what the folder is instead
    if problems := checkpoint.verify(folder):
        raise CheckpointError(problems[0])
    for name in sorted(_names(folder)):
        if name not in (*layout.KNOWN_FILES, layout.SUMS):
            raise CheckpointError(
                f"{folder / name} is no file of a model folder", "move it elsewhere, then sign"
            )
    readme = folder / "README.md"
    former = readme.read_text(encoding="utf-8", errors="replace") if readme.is_file() else ""
    source = card.loaded_as(former)
    card.write_card(folder, load=source, signed=True)
    try:
        with files.replacing(folder / layout.SIGNATURE) as temporary:
            config = signing.Config().set_hashing_config(_hashing())
            password: Any = passphrase.encode() if passphrase else None  # annotated as str
            config.use_elliptic_key_signer(private_key=key, password=password)
            config.sign(folder, temporary)
    except BaseException:
        card.write_card(folder, load=source)
        raise
    return fingerprint(private.public_key())


def verify(source: str | Path, *, key: str | Path | None = None) -> Verification:
    """Verify a model: the hash of every file, a strict load, finite images; its signature by a key.
    The list of revoked weights is brought up to date first; where it cannot be, the answer says so.

    Args:
        source: what `ganzoo.load` takes.
        key: the public key, PEM, of whoever is said to have signed it. With it, a folder that is
            not signed is refused, and so is one with a file more, less or other than signed.

    Raises:
        GanzooError: there is no such model, or the key cannot be used. What is wrong with the
            model is in the answer.
        IntegrityError: the list of revoked weights was tampered with.
    """
    if key is not None:
        _need_library()
        public_key(Path(key))
    try:
        revocation.refresh()
        revocations = revocation.describe()
    except RevocationsError as error:
        revocations = f"{revocation.describe()}, not brought up to date: {error.problem}"
    folder = loading.resolve_folder(source, discriminator=True, signature=True)
    if not folder.is_dir():
        layout.read_config(folder)  # says what it is instead
    problems = checkpoint.verify(folder)
    signature = UNCHECKED if (folder / layout.SIGNATURE).exists() else UNSIGNED
    if key is not None:
        try:
            check_signature(folder, key=key)
            signature = VALID
        except CheckpointError as error:
            problems.insert(0, str(error))  # whoever gives a key asks for this first
            signature = UNSIGNED if signature == UNSIGNED else INVALID
    overrides: Mapping[str, str] = {}
    with contextlib.suppress(GanzooError):  # which is a problem already
        overrides = layout.read_config(folder).overrides
    return Verification(folder, tuple(problems), signature, overrides, revocations)


def check_signature(folder: str | Path, *, key: str | Path) -> None:
    """Check the signature of a model folder by a public key, and every file by the signature.

    Raises:
        InputError: the key cannot be read, or the extra `ganzoo[sign]` is missing.
        IntegrityError: it is not signed, not by this key, or a file differs, is missing or new.
    """
    _need_library()
    from cryptography.exceptions import InvalidSignature
    from model_signing import verifying

    folder, key = Path(folder), Path(key)
    public_key(key)
    path = folder / layout.SIGNATURE
    if not path.is_file():
        raise IntegrityError(
            f"{folder} is not signed (it has no {layout.SIGNATURE})",
            "ask its author for it, or leave the key out",
        )
    if path.stat().st_size > layout.LARGEST_TEXT:
        raise _unsound(path, "it is too large")
    config = verifying.Config().set_hashing_config(_hashing())
    config.use_elliptic_key_verifier(public_key=key)
    try:
        with contextlib.redirect_stdout(io.StringIO()):  # the library prints a warning
            config.verify(folder, path)
    except InvalidSignature:
        raise _of_another(path, key) from None
    except Exception as error:  # the file may hold anything, and the library checks little of it
        text = str(error)
        if text.startswith("Key mismatch"):
            raise _of_another(path, key) from None
        if text.startswith(("Signature mismatch", "Cannot use")):
            raise _differing(folder, path) from None
        raise _unsound(path, type(error).__name__) from error
    if set(_signed(path)) != _names(folder):  # a signature may name paths that it leaves out
        raise _differing(folder, path)


# -- keys ------------------------------------------------------------------------------------------


def new_key(path: str | Path, *, passphrase: str | None = None) -> Path:
    """Make a key pair (P-256): the private key at `path`, readable by its owner only.

    Args:
        path: such as `me.pem`; an existing file is never overwritten.
        passphrase: encrypts the private key.

    Returns:
        The public key, beside it: `me.pub.pem`. Publish it where people know you.
    """
    _need_library()
    from cryptography.hazmat.primitives import serialization as pem
    from cryptography.hazmat.primitives.asymmetric import ec

    path = Path(path)
    public_path = path.with_name(f"{path.stem}.pub.pem")
    for existing in (path, public_path):
        if os.path.lexists(existing):
            raise InputError(f"{existing} exists, and a key is never overwritten", "name another")
    key = ec.generate_private_key(ec.SECP256R1())
    encryption: pem.KeySerializationEncryption = pem.NoEncryption()
    if passphrase:
        encryption = pem.BestAvailableEncryption(passphrase.encode())
    private = key.private_bytes(pem.Encoding.PEM, pem.PrivateFormat.PKCS8, encryption)
    with files.writable(path.parent, path):
        with files.replacing(public_path) as temporary:  # first: without the other it is harmless
            temporary.write_bytes(_pem(key.public_key()))
        files.write_secret(path, private)
    return public_path


def fingerprint(public_key: ec.EllipticCurvePublicKey) -> str:
    """SHA-256 of a public key's PEM, hex: what the signature names it by."""
    return hashlib.sha256(_pem(public_key)).hexdigest()


def _pem(public_key: ec.EllipticCurvePublicKey) -> bytes:
    from cryptography.hazmat.primitives import serialization as pem

    return public_key.public_bytes(pem.Encoding.PEM, pem.PublicFormat.SubjectPublicKeyInfo)


def private_key(path: Path, passphrase: str | None) -> ec.EllipticCurvePrivateKey:
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    content = _key_bytes(path)
    try:
        key = serialization.load_pem_private_key(
            content, passphrase.encode() if passphrase else None
        )
    except TypeError as error:  # a passphrase too many, or one too few
        if passphrase:
            raise InputError(f"the key {path} has no passphrase", "give none") from error
        raise InputError(
            f"the key {path} has a passphrase", "set it as GANZOO_KEY_PASSPHRASE"
        ) from error
    except Exception as error:
        if passphrase and b"ENCRYPTED" in content:
            raise InputError(f"that is not the passphrase of {path}", "try another") from error
        raise _no_key(path, "private") from error
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise _no_key(path, "private")
    _check_curve(key.curve, path)
    return key


def public_key(path: Path) -> ec.EllipticCurvePublicKey:
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    content = _key_bytes(path)
    if b"PRIVATE KEY" in content:
        raise InputError(
            f"{path} holds a private key", "give the public key, and keep that one to yourself"
        )
    try:
        key = serialization.load_pem_public_key(content)
    except Exception as error:  # cryptography raises errors of several families
        raise _no_key(path, "public") from error
    if not isinstance(key, ec.EllipticCurvePublicKey):
        raise _no_key(path, "public")
    _check_curve(key.curve, path)
    return key


def _key_bytes(path: Path) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read(1 << 20)
    except OSError as error:
        raise InputError(
            f"the key {path} cannot be read: {error.strerror}",
            "check the path; `ganzoo sign --new-key FILE` makes one",
        ) from error


def _check_curve(curve: ec.EllipticCurve, path: Path) -> None:
    if curve.name not in ("secp256r1", "secp384r1", "secp521r1"):
        raise InputError(
            f"the key {path} is on the curve {curve.name}", "use one on P-256, P-384 or P-521"
        )


def _no_key(path: Path, kind: str) -> InputError:
    return InputError(
        f"{path} holds no {kind} ECDSA key in PEM", "`ganzoo sign --new-key FILE` makes a pair"
    )


def _need_library() -> None:
    try:
        import model_signing.verifying  # noqa: F401
    except ImportError as error:
        raise InputError(
            f"signatures need the library model-signing ({error})", "pip install 'ganzoo[sign]'"
        ) from error


# -- files and what was signed of them -------------------------------------------------------------


def _hashing() -> Any:
    """How the library hashes a folder. The Hub's cache is made of links to files."""
    from model_signing import hashing

    config = hashing.Config().set_allow_symlinks(True)
    return config.set_ignored_paths(paths=[layout.SIGNATURE, ".cache"], ignore_git_paths=True)


def _names(folder: Path) -> set[str]:
    """Every file of a folder that a signature covers, also in folders in it."""
    return {
        name.as_posix()
        for path in folder.glob("**/*")
        if not path.is_dir()
        and (name := path.relative_to(folder)).parts[0] not in _NOT_OF_THE_MODEL
        and str(name) != layout.SIGNATURE
    }


def _signed(path: Path) -> dict[str, str]:
    """File -> SHA-256, as a signature file has it, be it to be trusted or not."""
    try:
        envelope = json.loads(path.read_text(encoding="utf-8"))["dsseEnvelope"]
        predicate = json.loads(base64.b64decode(envelope["payload"]))["predicate"]
        made_by = predicate["serialization"]
        if (made_by["method"], made_by["hash_type"]) != ("files", "sha256"):
            raise _unsound(path, "it is not over whole files with SHA-256")
        return {str(entry["name"]): str(entry["digest"]) for entry in predicate["resources"]}
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise _unsound(path, type(error).__name__) from error


def _differing(folder: Path, path: Path) -> CheckpointError:
    """The error that names the first file which is not as it was signed."""
    signed, names = _signed(path), _names(folder)
    differing = [f"{name} is missing" for name in sorted(set(signed) - names)]
    differing += [f"{name} was added" for name in sorted(names - set(signed))]
    differing += [
        f"{name} was changed"
        for name in sorted(names & set(signed), key=lambda name: (name == layout.SUMS, name))
        if not (folder / name).is_file() or files.sha256(folder / name) != signed[name]
    ]
    if not differing:
        return _unsound(path, "its list of files is odd")
    more = f" (and {len(differing) - 1} more)" if len(differing) > 1 else ""
    return IntegrityError(
        f"{folder} is not what was signed: {differing[0]}{more}", "get the folder afresh"
    )


def _of_another(path: Path, key: Path) -> GanzooError:
    return IntegrityError(
        f"{path} was not made with the private key of {key}, or was changed",
        "ask its author for the public key; otherwise do not use the model",
    )


def _unsound(path: Path, what: str) -> CheckpointError:
    return IntegrityError(f"{path} is no sound signature: {what}", "get the folder afresh")
