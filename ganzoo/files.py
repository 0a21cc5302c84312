"""Files that are whole or absent: written to a temporary name beside the target, then renamed."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from ganzoo.errors import InputError


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; on success it takes the name, on any error it goes.

    The temporary name keeps the suffix, because image and array writers look at it. A missing or
    unwritable folder and a full disk become an `InputError`.
    """
    path = Path(path)
    temporary = path.with_name(f".{path.stem}.{os.getpid()}.tmp{path.suffix}")
    try:
        with writable(path.parent):
            yield temporary
            with open(temporary, "rb") as file:
                os.fsync(file.fileno())
            os.replace(temporary, path)
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def replacing_folder(path: Path) -> Iterator[Path]:
    """Yield a temporary folder that replaces the folder `path` as a whole on success."""
    import shutil
    import tempfile  # the two take 4 ms that a listing does without

    path = Path(path)
    with writable(path.parent):
        for stale in path.parent.glob(f".{path.name}.*.tmp"):  # of a process that was killed
            shutil.rmtree(stale, ignore_errors=True)
        temporary = Path(tempfile.mkdtemp(prefix=f".{path.name}.", suffix=".tmp", dir=path.parent))
        try:
            temporary.chmod(0o755)  # mkdtemp makes it private
            yield temporary
            for file in temporary.rglob("*"):
                if file.is_file():
                    with open(file, "rb") as opened:
                        os.fsync(opened.fileno())
            if path.exists():
                old = temporary.with_suffix(".old")
                os.replace(path, old)
                os.replace(temporary, path)
                shutil.rmtree(old)
            else:
                os.replace(temporary, path)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)


@contextlib.contextmanager
def writable(folder: Path) -> Iterator[None]:
    """Make `folder`, and turn the system's refusals to write into one clear line."""
    try:
        Path(folder).mkdir(parents=True, exist_ok=True)
        yield
    except OSError as error:
        if error.errno is None:
            raise
        where = error.filename or folder
        remedy = (
            "free some space or choose another place"
            if error.errno == 28
            else ("choose a folder that you may write to")
        )
        raise InputError(f"cannot write {where}: {error.strerror}", remedy) from error


def write_text(path: Path, text: str) -> None:
    """Write a text file atomically, UTF-8 with \\n line ends."""
    with replacing(path) as temporary:
        temporary.write_bytes(text.encode())


def sha256(path: Path) -> str:
    """The SHA-256 of a file, hex."""
    import hashlib  # with OpenSSL it takes 5 ms, which a listing does without

    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def cache_folder(*parts: str) -> Path:
    """A folder in the cache: `GANZOO_CACHE`, else `XDG_CACHE_HOME`/ganzoo or ~/.cache/ganzoo."""
    root = os.environ.get("GANZOO_CACHE")
    if root is None:
        base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
        root = str(Path(base) / "ganzoo")
    return Path(root, *parts)
