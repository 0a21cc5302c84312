"""Signed C2PA manifests: they show that nothing in a file has changed since it was made.

The key is the user's own (`ganzoo keys init`), and so is the certificate: a viewer that does not
know it calls the signature valid and the signer unknown. ganzoo ships no key, asks no authority,
and no time stamp, for which a network is needed. A manifest goes when the file is saved again by a
program that knows nothing of it: that there is none proves nothing.

Everything here but `has_manifest` needs the extra `ganzoo[c2pa]`.
"""

from __future__ import annotations

import datetime
import io
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ganzoo import __version__, files, marks
from ganzoo.errors import GanzooError, InputError, printable

if TYPE_CHECKING:
    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric import ec

MIME = {
    ".png": "image/png",
    ".jpg": "image/jpeg",
    ".jpeg": "image/jpeg",
    ".webp": "image/webp",
    ".gif": "image/gif",
    ".mp4": "video/mp4",
}
_KEY, _CHAIN, _ROOT = "c2pa-key.pem", "c2pa-chain.pem", "c2pa-root.pem"
_YEARS = 10  # without a time stamp, a signature is not valid for longer than its certificate
_LABEL = "org.ganzoo.generation"


# -- keys ----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Keys:
    """The files of a user's key: `key` is private, the other two are certificates.

    `root` is what others need to trust what `key` signs; `chain` goes into each manifest.
    """

    folder: Path

    @property
    def key(self) -> Path:
        return self.folder / _KEY

    @property
    def chain(self) -> Path:
        return self.folder / _CHAIN

    @property
    def root(self) -> Path:
        return self.folder / _ROOT


def keys_folder() -> Path:
    """Where the user's keys are: `GANZOO_KEYS`, else in the folder of the user's settings."""
    if named := os.environ.get("GANZOO_KEYS"):
        return Path(named)
    base = os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config"
    return Path(base, "ganzoo", "keys")


def make_keys(folder: str | Path | None = None, *, name: str = "ganzoo user") -> Keys:
    """Make a key to sign manifests with (P-256), and its certificates.

    The root's own key signs one certificate and is forgotten: nobody can issue another with it.

    Args:
        folder: where, by default among the user's settings; what is there is never overwritten.
        name: stands in the certificate, and so in each file that is signed: everyone can read it.
    """
    _library()
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    keys = Keys(keys_folder() if folder is None else Path(folder))
    for path in (keys.key, keys.chain, keys.root):
        if os.path.lexists(path):
            raise InputError(f"{path} exists, and a key is never overwritten", "use another --dir")
    if not name.strip() or not name.isprintable() or len(name) > 64:
        raise InputError(f"the name {name!r}", "use 1 to 64 printable characters")
    root_key, key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    root = _certificate((name, "ganzoo root"), root_key, None, root_key)
    leaf = _certificate((name, "ganzoo"), key, root, root_key)
    pem = serialization.Encoding.PEM
    private = key.private_bytes(
        pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    with files.writable(keys.folder.parent, keys.key):
        keys.folder.mkdir(mode=0o700, exist_ok=True)  # one that exists stays as it is
        with files.replacing(keys.root) as temporary:
            temporary.write_bytes(root.public_bytes(pem))
        with files.replacing(keys.chain) as temporary:
            temporary.write_bytes(leaf.public_bytes(pem) + root.public_bytes(pem))
        files.write_secret(keys.key, private)
    return keys


def _certificate(
    name: tuple[str, str],
    key: ec.EllipticCurvePrivateKey,
    issuer: x509.Certificate | None,
    issuer_key: ec.EllipticCurvePrivateKey,
) -> x509.Certificate:
    """A certificate of a key, with what c2pa-rs asks of it; without an issuer, that of a root.
    `name` is the organisation and the common name."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes
    from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

    is_root = issuer is None
    subject = x509.Name(
        map(x509.NameAttribute, (NameOID.ORGANIZATION_NAME, NameOID.COMMON_NAME), name)
    )
    unused = ("content_commitment", "key_encipherment", "data_encipherment", "key_agreement",
              "encipher_only", "decipher_only")  # fmt: skip
    usage = x509.KeyUsage(
        digital_signature=not is_root,
        key_cert_sign=is_root,
        crl_sign=is_root,
        **dict.fromkeys(unused, False),
    )
    start = datetime.datetime.now(datetime.UTC) - datetime.timedelta(minutes=5)
    public = key.public_key()
    extensions: list[tuple[x509.ExtensionType, bool]] = [  # and whether it is critical
        (x509.BasicConstraints(ca=is_root, path_length=0 if is_root else None), True),
        (usage, True),
        (x509.SubjectKeyIdentifier.from_public_key(public), False),
        (x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key()), False),
    ]
    if not is_root:  # the use that goes with document signing
        extensions.append((x509.ExtendedKeyUsage([ExtendedKeyUsageOID.EMAIL_PROTECTION]), False))
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject if issuer is None else issuer.subject)
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(start)
        .not_valid_after(start + datetime.timedelta(days=round(365.25 * _YEARS)))
    )
    for extension, critical in extensions:
        builder = builder.add_extension(extension, critical)
    return builder.sign(issuer_key, hashes.SHA256())


# -- signing -------------------------------------------------------------------------------------


class Signing:
    """Signs what the writer of images has written; it is made once for many images.

    Args:
        folder: of the keys, by default among the user's settings.

    Raises:
        InputError: there is no key, it cannot be used, or the extra is missing.
    """

    def __init__(self, folder: str | Path | None = None) -> None:
        c2pa = _library()
        keys = Keys(keys_folder() if folder is None else Path(folder))
        try:
            chain, private = keys.chain.read_bytes(), keys.key.read_bytes()
        except OSError as error:
            raise InputError(
                f"there is no key to sign with: {error.filename}: {error.strerror}",
                "`ganzoo keys init` makes one",
            ) from error
        try:
            info = c2pa.C2paSignerInfo(
                alg=c2pa.C2paSigningAlg.ES256, sign_cert=chain, private_key=private, ta_url=None
            )
            self._signer = c2pa.Signer.from_info(info)
        except Exception as error:  # c2pa has errors of its own, and raises others
            raise _refused(f"the key {keys.key} cannot be used", error) from error

    def sign(self, data: bytes, suffix: str, record: Mapping[str, Any]) -> bytes:
        """The content of a picture or an animation with a manifest, without thumbnails.

        What is signed already becomes the parent of what is made here, and keeps its manifest.

        Args:
            data: the file's content; nothing may be written to the file afterwards.
            suffix: of its format, such as ".png".
            record: what made the image; the manifest has it too.
        """
        c2pa = _library()
        if suffix not in MIME:
            raise InputError(f"{suffix} cannot hold a C2PA manifest", f"use {', '.join(MIME)}")
        manifest = {
            "claim_generator_info": [{"name": "ganzoo", "version": __version__}],
            "assertions": [{"label": _LABEL, "data": json.loads(marks.record_json(record))}],
        }
        signed = io.BytesIO()
        try:
            with c2pa.Builder(
                manifest, _context({"builder": {"thumbnail": {"enabled": False}}})
            ) as b:
                if has_manifest(data):
                    b.set_intent(c2pa.C2paBuilderIntent.EDIT)
                else:
                    kinds = c2pa.C2paDigitalSourceType
                    kind = kinds.TRAINED_ALGORITHMIC_MEDIA
                    if marks.COMPOSITE in record:
                        kind = kinds.COMPOSITE_WITH_TRAINED_ALGORITHMIC_MEDIA
                    b.set_intent(c2pa.C2paBuilderIntent.CREATE, kind)
                b.sign(self._signer, MIME[suffix], io.BytesIO(data), signed)
        except Exception as error:
            raise _refused("the image could not be signed", error) from error
        return signed.getvalue()


# -- checking ------------------------------------------------------------------------------------

VALID, TRUSTED, INVALID, NONE = "valid", "trusted", "invalid", "none"


@dataclass(frozen=True)
class Checked:
    """What a file's manifests say.

    Attributes:
        state: "trusted" (valid, and by a signer that is known here), "valid", "invalid", "none".
        manifests: how many there are: one for the image, and one for each time it was edited.
        generated: whether a manifest says that a generator made the image, or a part of it.
        signer: whom the certificate of the last signature names; anyone can write any name in it.
        problems: what makes it invalid, by C2PA's codes.
    """

    state: str
    manifests: int = 0
    generated: bool = False
    signer: str = ""
    problems: tuple[str, ...] = ()


def has_manifest(data: bytes) -> bool:
    """Whether a file's content seems to hold a C2PA manifest; it is not read."""
    return b"jumdc2pa" in data


def check(data: bytes, suffix: str, *, anchors: bytes = b"") -> Checked:
    """Check the manifests in a file's content; no request is made, whatever they name.

    Args:
        data: the content.
        suffix: of its format, such as ".png".
        anchors: certificates (PEM) of signers that are known.
    """
    c2pa = _library()
    settings: dict[str, Any] = {
        "verify": {"verify_trust": True, "remote_manifest_fetch": False, "ocsp_fetch": False}
    }
    if anchors:
        settings["trust"] = {"user_anchors": anchors.decode("ascii", errors="replace")}
    try:
        with c2pa.Reader(MIME[suffix], io.BytesIO(data), None, _context(settings)) as reader:
            state, store = str(reader.get_validation_state()), json.loads(reader.json())
    except Exception as error:
        if isinstance(error, MemoryError):
            raise
        if not has_manifest(data):  # whatever else is wrong with the file
            return Checked(NONE)
        return Checked(INVALID, problems=(printable(str(error), longest=200),))
    manifests = store.get("manifests") or {}
    active = manifests.get(store.get("active_manifest")) or {}
    codes = dict.fromkeys(str(status.get("code")) for status in store.get("validation_status", ()))
    codes.pop("signingCredential.untrusted", None)  # that is what `state` says
    return Checked(
        {"Valid": VALID, "Trusted": TRUSTED}.get(state, INVALID),
        len(manifests),
        generated=any(_names_generator(manifest) for manifest in manifests.values()),
        signer=printable(str((active.get("signature_info") or {}).get("issuer", "")), longest=80),
        problems=tuple(codes),
    )


def _names_generator(manifest: Mapping[str, Any]) -> bool:
    """Whether an action of a manifest has the source type of a generator."""
    types = {
        str(action.get("digitalSourceType", "")).rpartition("/")[2]
        for assertion in manifest.get("assertions", ())
        if str(assertion.get("label", "")).startswith("c2pa.actions")
        for action in assertion.get("data", {}).get("actions", ())
    }
    return not types.isdisjoint(marks.GENERATED)


# -- the library ---------------------------------------------------------------------------------


def is_available() -> bool:
    """Whether the extra `ganzoo[c2pa]` is installed."""
    try:
        _library()
    except InputError:
        return False
    return True


def _library() -> Any:
    """The module c2pa."""
    try:
        import c2pa  # type: ignore[import-untyped, import-not-found, unused-ignore]
        import cryptography.x509  # noqa: F401
    except ImportError as error:
        raise InputError(
            f"C2PA manifests need c2pa-python ({error})", "pip install 'ganzoo[c2pa]'"
        ) from error
    return c2pa


def _context(settings: Mapping[str, Any]) -> Any:
    return _library().Context.from_dict(settings)


def _refused(what: str, error: Exception) -> GanzooError:
    if isinstance(error, MemoryError):
        raise error
    return InputError(f"{what}: {printable(str(error), longest=300)}", "check the files of the key")
