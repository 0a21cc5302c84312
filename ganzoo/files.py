"""Files that are whole or absent: written to a temporary name beside the target, then renamed."""

from __future__ import annotations

import contextlib
import errno
import os
import zlib
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
    temporary = path.with_name(f"{_hidden(path)}.{os.getpid()}.tmp{path.suffix[:16]}")
    with writable(path.parent, path):
        try:
            yield temporary
            with open(temporary, "rb") as file:
                os.fsync(file.fileno())
            os.replace(temporary, path)
        finally:
            with contextlib.suppress(OSError):
                temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def replacing_folder(path: Path) -> Iterator[Path]:
    """Yield a temporary folder that replaces the folder `path` as a whole on success.

    A folder cannot take the place of another in one move: the former one steps aside first. What
    a process leaves that is killed in between, the next call puts right.
    """
    path = Path(path)
    with writable(path.parent, path):
        if path.exists() and not path.is_dir():
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(path))
        _put_right(path)
        temporary, old = (
            path.with_name(f"{_hidden(path)}.{os.getpid()}.{kind}") for kind in ("tmp", "old")
        )
        try:
            temporary.mkdir()
            yield temporary
            for file in temporary.rglob("*"):
                if file.is_file():
                    with open(file, "rb") as opened:
                        os.fsync(opened.fileno())
            if path.exists():
                os.replace(path, old)
            os.replace(temporary, path)
        finally:
            _put_right(path)


def _put_right(path: Path) -> None:
    """Bring a former folder back that has no successor, and clear what else was left beside `path`.

    What other processes that are alive have there is theirs.
    """
    import glob
    import shutil

    import psutil  # type: ignore[import-untyped]

    for left in path.parent.glob(f"{glob.escape(_hidden(path))}.*"):
        _, pid, kind = left.name.rsplit(".", 2)
        if not pid.isdigit() or (int(pid) != os.getpid() and psutil.pid_exists(int(pid))):
            continue
        if kind == "old" and not path.exists():
            os.replace(left, path)
        elif left.is_symlink():  # `path` was a link to a folder, which stays as it is
            left.unlink()
        elif kind in ("old", "tmp"):
            shutil.rmtree(left, ignore_errors=True)


def _hidden(path: Path) -> str:
    """How temporary names for `path` begin: short, for a name may be as long as the system allows,
    and another for another name."""
    return f".{path.stem[:24]}-{zlib.crc32(os.fsencode(path.name)):08x}"


class _Refused(InputError):
    """The system refused to write a file."""

    def __init__(self, error: OSError, target: Path) -> None:
        self.error = error
        why, remedy = error.strerror, "choose a folder that you may write to"
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            remedy = "free some space or choose another place"
        elif error.errno in (errno.EEXIST, errno.ENOTDIR):
            for path in (target, *target.parents):
                if path.is_file():
                    why, remedy = f"{path} is a file", "choose another folder"
        super().__init__(f"cannot write {target}: {why}", remedy)


@contextlib.contextmanager
def writable(folder: Path, target: Path | None = None) -> Iterator[None]:
    """Make `folder`, and turn the system's refusals to write there into one clear line.

    The line names `target`, which is what the user knows: not a temporary name in `folder`.
    """
    folder = Path(folder)
    target = target or folder
    try:
        folder.mkdir(parents=True, exist_ok=True)
        yield
    except _Refused as refused:  # a file within a temporary folder
        raise _Refused(refused.error, target) from refused.error
    except OSError as error:
        if error.errno is None or not _is_about(error, folder):
            raise
        raise _Refused(error, target) from error


def _is_about(error: OSError, folder: Path) -> bool:
    """Whether the error is about what is in `folder` or on the way to it; writes name no file."""
    name = error.filename2 or error.filename  # of a copy, the second is what was written
    if not isinstance(name, str):
        return True
    path = Path(name)
    return path == folder or folder in path.parents or path in folder.parents


def write_text(path: Path, text: str) -> None:
    """Write a text file atomically, UTF-8 with \\n line ends."""
    with replacing(path) as temporary:
        temporary.write_bytes(text.encode())


def write_secret(path: Path, data: bytes) -> None:
    """Write a new file that only its owner may read, whole or not at all; one that exists is a
    `FileExistsError`."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with open(descriptor, "wb") as file:
            file.write(data)
    except BaseException:
        path.unlink()
        raise


def sha256(path: Path) -> str:
    """The SHA-256 of a file, hex."""
    import hashlib  # with OpenSSL it takes 5 ms, which a listing does without

    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def cache_folder(*parts: str) -> Path:
    """A folder in the cache: `GANZOO_CACHE`, else `XDG_CACHE_HOME`/ganzoo or ~/.cache/ganzoo."""
    root = os.environ.get("GANZOO_CACHE")  # empty, as XDG_CACHE_HOME: not set
    if not root:
        base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
        root = str(Path(base) / "ganzoo")
    return Path(root, *parts)
