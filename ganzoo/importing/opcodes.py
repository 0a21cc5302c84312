"""The operations of a pickle, decoded: their names and arguments, nothing is done yet."""

from __future__ import annotations

import pickletools
import re
import struct
from collections.abc import Callable, Iterator
from typing import Any

from ganzoo.importing.limits import LONGEST_INTEGER, LONGEST_TEXT, Unreadable

Operation = tuple[str, Any]
"""Its name in `pickletools`, its argument or None."""


class Source:
    """The bytes `start` to `end` of a buffer, taken from the front."""

    def __init__(self, buffer: bytes | bytearray, start: int = 0, end: int | None = None) -> None:
        self.buffer = buffer
        self.at = start
        self.end = len(buffer) if end is None else end

    @property
    def left(self) -> int:
        return self.end - self.at

    def take(self, count: int) -> bytes:
        if count > self.left:
            raise Unreadable("it ends too early")
        self.at += count
        return bytes(memoryview(self.buffer)[self.at - count : self.at])

    def line(self, longest: int) -> bytes:
        """Up to a line's end, without it."""
        end = self.buffer.find(b"\n", self.at, self.end)
        if end < 0:
            raise Unreadable("it ends too early")
        if end - self.at > longest:
            raise Unreadable("a line in it is too long")
        line = self.take(end - self.at)
        self.at += 1
        return line

    def number(self, code: str) -> Any:
        return struct.unpack(code, self.take(struct.calcsize(code)))[0]

    def counted(self, code: str, longest: int | None = None) -> bytes:
        count = self.number(code)
        if count < 0 or (longest is not None and count > longest):
            raise Unreadable(f"it holds a value of {count:,} bytes")
        return self.take(count)


def _integer(source: Source) -> int | bool:
    line = source.line(LONGEST_INTEGER)
    return {b"00": False, b"01": True}[line] if line in (b"00", b"01") else int(line)


def _long_integer(source: Source) -> int:
    return int(source.line(2 * LONGEST_INTEGER).removesuffix(b"L"))


def _quoted(source: Source) -> str:
    line = source.line(source.left)
    if len(line) < 2 or line[:1] != line[-1:] or line[:1] not in b"'\"":
        raise Unreadable("a text in it has no quotes")
    out, at = bytearray(), 1
    for match in _ESCAPE.finditer(line, 1, len(line) - 1):
        out += line[at : match.start()] + _unescaped(match)
        at = match.end()
    return (out + line[at:-1]).decode("latin-1")


_ESCAPE = re.compile(rb"\\(x[0-9a-fA-F]{2}|[0-7]{1,3}|.)", re.DOTALL)
_ESCAPED = {b"n": b"\n", b"r": b"\r", b"t": b"\t", b"\\": b"\\", b"'": b"'", b'"': b'"'}


def _unescaped(match: re.Match[bytes]) -> bytes:
    code = match[1]
    if code[:1] == b"x" and len(code) == 3:
        return bytes([int(code[1:], 16)])
    if code.isdigit():
        return bytes([int(code, 8) & 0xFF])
    return _ESCAPED.get(code, match[0])


def _text(code: str, encoding: str) -> Callable[[Source], str]:
    # the texts of Python 2 may be the values of an array
    longest = None if encoding == "latin-1" else LONGEST_TEXT

    def read(source: Source) -> str:
        return source.counted(code, longest).decode(encoding, "surrogatepass")

    return read


def _signed(code: str) -> Callable[[Source], int]:
    return lambda source: int.from_bytes(
        source.counted(code, LONGEST_INTEGER), "little", signed=True
    )


def _pair(source: Source) -> tuple[str, str]:
    return source.line(1000).decode(), source.line(1000).decode()


_ARGUMENTS: dict[str, Callable[[Source], Any]] = {
    "uint1": lambda s: s.number("<B"),
    "uint2": lambda s: s.number("<H"),
    "int4": lambda s: s.number("<i"),
    "uint4": lambda s: s.number("<I"),
    "uint8": lambda s: s.number("<Q"),
    "decimalnl_short": _integer,
    "decimalnl_long": _long_integer,
    "floatnl": lambda s: float(s.line(LONGEST_INTEGER)),
    "float8": lambda s: s.number(">d"),
    "long1": _signed("<B"),
    "long4": _signed("<i"),
    "stringnl": _quoted,
    "string1": _text("<B", "latin-1"),
    "string4": _text("<i", "latin-1"),
    "unicodestringnl": lambda s: s.line(s.left).decode("raw-unicode-escape"),
    "unicodestring1": _text("<B", "utf-8"),
    "unicodestring4": _text("<I", "utf-8"),
    "unicodestring8": _text("<Q", "utf-8"),
    "bytes1": lambda s: s.counted("<B"),
    "bytes4": lambda s: s.counted("<I"),
    "bytes8": lambda s: s.counted("<Q"),
    "bytearray8": lambda s: s.counted("<Q"),
    "stringnl_noescape": lambda s: s.line(1000).decode(),
    "stringnl_noescape_pair": _pair,
}
"""Kind of argument, as `pickletools` calls it -> what reads it."""

_OPERATIONS = {ord(code.code): code for code in pickletools.opcodes}


def is_operation(code: bytes) -> bool:
    """Whether a byte is an operation's."""
    return bool(code) and code[0] in _OPERATIONS


def operations(source: Source) -> Iterator[Operation]:
    """The operations up to the first STOP, which leaves `source` right behind it."""
    while True:
        code = source.take(1)[0]
        operation = _OPERATIONS.get(code)
        if operation is None:
            raise Unreadable("it is no pickle, or damaged")
        argument = None if operation.arg is None else _ARGUMENTS[operation.arg.name](source)
        yield operation.name, argument
        if operation.name == "STOP":
            return
