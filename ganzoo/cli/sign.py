"""`ganzoo sign`: a signature over a model folder, and the keys for it."""

from __future__ import annotations

import os
from pathlib import Path

import click

from ganzoo.cli.output import json_option, note, print_rows

PASSPHRASE = "GANZOO_KEY_PASSPHRASE"
_path = click.Path(path_type=Path)


@click.command()
@click.argument("folder", metavar="DIR", required=False, type=_path)
@click.option("--key", type=_path, help="The private key (PEM) to sign with.")
@click.option("--new-key", type=_path, help="Make a key pair: this file, and FILE.pub.pem.")
@json_option
def sign(folder: Path | None, key: Path | None, new_key: Path | None, as_json: bool) -> None:
    """Sign a model folder with a private key.

    Writes model.sig (OpenSSF model signing) over every file of the folder; `ganzoo verify DIR --key
    PUBLIC.pem` checks it. Any later change takes the signature away, so sign last. No network is
    used. The passphrase of a key is taken from the environment variable GANZOO_KEY_PASSPHRASE.

    \b
    ganzoo sign --new-key me.pem         # once; keep me.pem, publish me.pub.pem
    ganzoo sign runs/1 --key me.pem
    """
    if (folder is None or key is None) if new_key is None else (folder or key):
        raise click.UsageError("give DIR and --key, or --new-key alone.")
    from ganzoo import loading, signing

    passphrase = os.environ.get(PASSPHRASE) or None
    if new_key is not None:
        public = signing.new_key(new_key, passphrase=passphrase)
        print_rows([{"private": str(new_key), "public": str(public)}], ["private", "public"],
                   as_json=as_json)  # fmt: skip
        if passphrase is None:
            note(f"{new_key} has no passphrase; set {PASSPHRASE} to make one that has")
        return
    assert folder is not None and key is not None
    fingerprint = signing.sign(folder, key=key, passphrase=passphrase)
    target = loading.resolve_folder(folder)
    row = {"folder": str(target), "signature": str(target / "model.sig"), "key": fingerprint}
    print_rows([row], ["folder", "signature", "key"], as_json=as_json)
    note(f"check it with: ganzoo verify {loading.as_argument(target)} --key PUBLIC.pem")
