"""What a file may ask for while it is read: steps, memory, depth. All are bounded, by its size."""

from __future__ import annotations

from typing import Any

MOST_STEPS = 2_000_000
"""Operations of all pickles of a file, and items that these copy."""
STEPS_OF_A_NODE = 4
"""What each mapping, list, set, tuple or object costs besides: it takes memory, and is walked."""
DEEPEST = 200
"""Levels of the tree that a file makes."""
MOST_NESTED = 2
"""Pickles within a pickle: a plain pickle holds a tensor's storage as a file of torch's own."""
MOST_NUMBER_KEYS, MOST_TUPLE_KEYS = 50_000, 1000
"""Keys of mappings and members of sets, each time that they are used: numbers and tuples can be
chosen so that looking one up meets all others. The hashes of texts cannot be."""
LONGEST_KEY = 1000
"""Two that are equal are compared as a whole, each time."""
LARGEST_FILE = 1 << 33
"""Bytes; they are read into memory."""
LONGEST_TEXT = 1 << 24
LONGEST_NAME = 300
LONGEST_INTEGER = 256
"""Bytes."""


class Unreadable(Exception):
    """What is wrong with a file, and what to do; `reading.read` says of which."""

    def __init__(self, problem: str, remedy: str = "") -> None:
        self.problem, self.remedy = problem, remedy
        super().__init__(problem)


class Budget:
    """What is left to a file of `size` bytes; one for all pickles in it."""

    def __init__(self, size: int) -> None:
        self.steps = MOST_STEPS
        self.memory = 4 * size + (1 << 20)
        self.nested = 0
        self.number_keys, self.tuple_keys = MOST_NUMBER_KEYS, MOST_TUPLE_KEYS

    def spend(self, steps: int = 1) -> None:
        self.steps -= steps
        if self.steps < 0:
            raise Unreadable(f"it takes more than {MOST_STEPS:,} steps to read")

    def spend_key(self, key: Any) -> None:
        self.number_keys -= type(key) in (int, float, bool)
        self.tuple_keys -= type(key) is tuple
        if self.number_keys < 0 or self.tuple_keys < 0:
            what = "numbers" if self.number_keys < 0 else "tuples"
            raise Unreadable(f"it has too many {what} as keys")

    def allocate(self, size: int) -> None:
        """Memory that is taken for the values of a tensor, for a text or for bytes."""
        self.memory -= size
        if self.memory < 0:
            raise Unreadable("its values take several times the memory that the file has bytes")
