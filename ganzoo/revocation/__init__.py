"""Revoked weights: lists of the hashes that are not to be loaded, and why.

    {"format": 1, "serial": 7, "issued": "2026-11-25T10:00:00Z",
     "entries": [{"weights_sha256": "9f2c…", "reason": "memorised its training data"}]}

Two lists are in use. One is shipped in this package, with the releases of ganzoo, and trusted as
the code beside it is: it needs no signature. The other is whosever list `GANZOO_REVOCATIONS` names,
a file, an http(s):// address or hf://owner/name/file.json; it counts only with a signature, beside
it with `.sig` at its end, by the public key in the file `GANZOO_REVOCATIONS_KEY`. No such list is
chosen for anybody: without the two variables there is none. The signature is ECDSA with SHA-256
over the file, as `ganzoo revocations sign` and `openssl dgst -sha256 -sign` write it.

What is loaded is compared with the shipped list and the last copy of the other one, in ganzoo's
cache: no request is made. Downloads, `ganzoo verify` and `ganzoo publish` bring the copy up to date
first, and where that fails nothing new is downloaded. Before the first copy there is only the
shipped list; `ganzoo env` and `ganzoo verify` say so, and how old a copy is. Who removes the copy
also removes what it knows of the last serial: an older list is noticed only by a machine that has
seen a newer one.
"""

from ganzoo.revocation.fetching import before_download, refresh
from ganzoo.revocation.issuing import add, sign, weights_of
from ganzoo.revocation.lists import Entry, RevocationList, parse
from ganzoo.revocation.use import describe, in_use, refuse_revoked

__all__ = [
    "Entry",
    "RevocationList",
    "add",
    "before_download",
    "describe",
    "in_use",
    "parse",
    "refresh",
    "refuse_revoked",
    "sign",
    "weights_of",
]
