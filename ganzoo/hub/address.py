"""Addresses of models on the Hub: `hf://owner/name@revision/folder`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import PurePosixPath

from ganzoo import layout
from ganzoo.errors import InputError


@dataclass(frozen=True)
class HubRef:
    """A model folder on the Hub: a repository, a revision of it, and a folder in it."""

    repo_id: str
    revision: str | None = None
    folder: str = ""

    def __str__(self) -> str:
        revision = f"@{self.revision}" if self.revision else ""
        return f"hf://{self.repo_id}{revision}{'/' if self.folder else ''}{self.folder}"


def parse_uri(uri: str) -> HubRef:
    """Read `hf://owner/name[@revision][/folder]`, the grammar of huggingface_hub.

    A revision that contains a slash is written with %2F (`refs/pr/1` may stand as it is).
    """
    from huggingface_hub import parse_hf_uri
    from huggingface_hub.errors import HfUriError

    grammar = "write hf://owner/name, hf://owner/name@revision or hf://owner/name@revision/folder"
    if not uri.startswith("hf://"):
        raise InputError(f"{uri!r} is no hf:// address", grammar)
    try:
        parsed = parse_hf_uri(uri)
    except HfUriError as error:
        problem = error.msg.strip(" .")
        raise InputError(f"{uri!r} is no valid address: {problem}", grammar) from None
    if parsed.type != "model":
        raise InputError(f"{uri!r} names a {parsed.type}, not a model", grammar)
    folder = PurePosixPath(parsed.path_in_repo)
    if ".." in folder.parts:
        raise InputError(f"{uri!r} leads out of its repository", grammar)
    if folder.name in (*layout.KNOWN_FILES, layout.SUMS):
        raise InputError(f"{uri!r} names a file", f"name its folder: leave /{folder.name} out")
    return HubRef(parsed.id, parsed.revision, "" if folder.name == "" else str(folder))
