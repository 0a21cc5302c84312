"""`ganzoo revocations`: the list of revoked weights, for those who follow one or issue one."""

from __future__ import annotations

import os
import shlex
from dataclasses import asdict
from pathlib import Path

import click

from ganzoo.cli.output import json_option, model_argument, note, print_rows

_path = click.Path(path_type=Path, dir_okay=False)


@click.group()
def revocations() -> None:
    """Show the revoked weights; keep and sign a list of them.

    GANZOO_REVOCATIONS names a list (a file, an https:// address or hf://owner/name/file.json) and
    GANZOO_REVOCATIONS_KEY the public key of whoever issues it. Revoked weights are not loaded.

    \b
    ganzoo sign --new-key me.pem         # once; publish me.pub.pem
    ganzoo revocations add list.json hf://me/my-gan@v1 --reason "it copies its training data"
    ganzoo revocations sign list.json --key me.pem
    """


@revocations.command()
@click.option("--refresh", is_flag=True, help="Fetch the list first.")
@json_option
def show(refresh: bool, as_json: bool) -> None:
    """Show the list in use: its age, and what it revokes."""
    from ganzoo import revocation

    if refresh:
        revocation.refresh()
    described = revocation.describe()
    rows = [asdict(entry) for known in revocation.in_use() for entry in known.entries]
    print_rows(rows, ["weights_sha256", "reason", "advisory"], as_json=as_json)
    note(f"revocations: {described}")


@revocations.command()
@click.argument("file", metavar="LIST", type=_path)
@model_argument
@click.option("--reason", required=True, help="Why these weights are not to be used.")
@click.option("--advisory", default="", metavar="URL", help="Where to read more.")
@json_option
def add(file: Path, model: str, reason: str, advisory: str, as_json: bool) -> None:
    """Add the weights of MODEL to a list, or those of a SHA-256.

    The file is made if it is not there. Its serial grows; sign it anew.
    """
    from ganzoo import revocation

    entry = revocation.Entry(revocation.weights_of(model), reason, advisory)
    new = revocation.add(file, entry)
    row = {"list": str(file), "serial": new.serial, "entries": len(new.entries)}
    print_rows([row], ["list", "serial", "entries"], as_json=as_json)
    note(f"next: ganzoo revocations sign {shlex.quote(str(file))} --key PRIVATE.pem")


@revocations.command()
@click.argument(
    "file", metavar="LIST", type=click.Path(path_type=Path, dir_okay=False, exists=True)
)
@click.option("--key", required=True, type=_path, help="The private key (PEM) to sign with.")
@json_option
def sign(file: Path, key: Path, as_json: bool) -> None:
    """Sign a list: LIST.sig, to be published beside it.

    The passphrase of a key is taken from the environment variable GANZOO_KEY_PASSPHRASE.
    """
    from ganzoo import revocation
    from ganzoo.cli.sign import PASSPHRASE

    signature = revocation.sign(file, key=key, passphrase=os.environ.get(PASSPHRASE) or None)
    row = {"list": str(file), "signature": str(signature)}
    print_rows([row], ["list", "signature"], as_json=as_json)
