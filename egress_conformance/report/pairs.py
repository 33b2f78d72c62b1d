"""Checks of one case in two runs, side by side, also where a case does something else on another version."""

from collections.abc import Callable, Hashable, Iterator, Sequence
from difflib import SequenceMatcher

from egress_conformance.report.ledger import Check

Pair = tuple[Check | None, Check | None]


def paired(old: Sequence[Check], new: Sequence[Check]) -> list[Pair]:
    """The checks of both runs in order, each with its like; None where there is none.

    Those that expect the same are held against each other first; of those between them the ones that send the same.
    """
    pairs: list[Pair] = []
    for same, olds, news in _blocks(
        old, new, lambda check: (check.role, check.observed.request, check.observed.expected)
    ):
        pairs += zip(olds, news, strict=True) if same else _by_request(olds, news)
    return pairs


def _by_request(old: Sequence[Check], new: Sequence[Check]) -> Iterator[Pair]:
    for same, olds, news in _blocks(old, new, lambda check: (check.role, check.observed.request)):
        if same:
            yield from zip(olds, news, strict=True)
        else:
            yield from ((check, None) for check in olds)
            yield from ((None, check) for check in news)


def _blocks(
    old: Sequence[Check], new: Sequence[Check], key: Callable[[Check], Hashable]
) -> Iterator[tuple[bool, Sequence[Check], Sequence[Check]]]:
    """Stretches of both: whether they are the same by this key, and the checks of either."""
    matcher = SequenceMatcher(None, [key(check) for check in old], [key(check) for check in new], autojunk=False)
    for word, i, j, k, n in matcher.get_opcodes():
        yield word == "equal", old[i:j], new[k:n]
