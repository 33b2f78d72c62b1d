"""Versions of Istio, as far as they can be compared: the numbers that `1.31-20260827` or `1.28.2-debug` begin with."""

import re
from collections.abc import Mapping
from functools import total_ordering
from typing import TypeVar

Expected = TypeVar("Expected")


@total_ordering
class Version:
    """A version of Istio, by its numbers.

    Args:
        numbers: e.g. ``(1, 28, 2)``; a branch has no third one and counts as its beginning.
    """

    def __init__(self, *numbers: int) -> None:
        self.numbers = numbers

    @classmethod
    def of(cls, text: str) -> "Version":
        """The version a text begins with; the newest there can be where it begins with none (a branch, a digest)."""
        match = re.match(r"v?(\d+(?:\.\d+)*)", text)
        return cls(*(int(number) for number in match[1].split("."))) if match else cls(10**6)

    def within(self, last: str) -> bool:
        """Whether this is no later than the last of a range: 1.29.1 is within 1.29."""
        bound = Version.of(last).numbers
        return self.numbers[: len(bound)] <= bound

    @property
    def _significant(self) -> tuple[int, ...]:
        """The numbers without zeros at the end: 1.31 and 1.31.0 are the same."""
        count = max((place for place, number in enumerate(self.numbers, start=1) if number), default=0)
        return self.numbers[:count]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Version) and self._significant == other._significant

    def __lt__(self, other: "Version") -> bool:
        return self._significant < other._significant

    def __hash__(self) -> int:
        return hash(self._significant)

    def __repr__(self) -> str:
        return ".".join(str(number) for number in self.numbers)


def in_force(table: Mapping[str, Expected], istio: str) -> Expected:
    """What a table by first version says of a version.

    Args:
        table: e.g. what is expected, by the first version of Istio that does so.
        istio: the version.

    Raises:
        KeyError: the table begins with a later one.
    """
    version = Version.of(istio)
    firsts = [first for first in table if version >= Version.of(first)]
    if not firsts:
        raise KeyError(istio)
    return table[max(firsts, key=Version.of)]


def in_range(istio: str, since: str, until: str) -> bool:
    """Whether a version lies in a range; "" is no bound."""
    version = Version.of(istio)
    return (not since or version >= Version.of(since)) and (not until or version.within(until))
