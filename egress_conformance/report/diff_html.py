"""A diff, and a matrix of several ledgers, as one HTML page each: no network, no JavaScript, no other file."""

from collections.abc import Iterator
from dataclasses import dataclass

from egress_conformance.report import page
from egress_conformance.report.diff import CaseDiff, Diff, Kind, grouped
from egress_conformance.report.diff_terminal import names
from egress_conformance.report.ledger import Attempt, CaseRecord, Check, Ledger
from egress_conformance.report.matrix import Matrix, in_words
from egress_conformance.report.pairs import paired


@dataclass(frozen=True)
class SideBySide:
    """One check in both runs.

    Attributes:
        role: of the check.
        expected: by either run; "" where it did not make the check.
        attempts: the last one of either run.
    """

    role: str
    expected: tuple[str, str]
    attempts: tuple[Attempt | None, Attempt | None]


@dataclass(frozen=True)
class Entry:
    """Cases of which the same became.

    Attributes:
        name: what they are called together.
        cases: all of them.
        checks: of the first one those that are not the same in both runs.
    """

    name: str
    cases: list[CaseDiff]
    checks: list[SideBySide]


def render_diff(diff: Diff, old: Ledger, new: Ledger) -> str:
    """A diff as a page.

    Args:
        diff: of the two ledgers.
        old: the ledger before, for what its witnesses saw.
        new: the one after.
    """
    before, after = ({case.id: case for case in ledger.cases} for ledger in (old, new))
    sections = [
        (kind, [_entry(members, before, after) for members in grouped(diff.of_kind(kind))])
        for kind in Kind
        if diff.of_kind(kind)
    ]
    return page.render("diff.html.j2", style="diff.css", diff=diff, sections=sections)


def render_matrix(matrix: Matrix) -> str:
    """A matrix as a page."""
    return page.render("matrix.html.j2", style="diff.css", matrix=matrix, in_words=in_words)


def _entry(cases: list[CaseDiff], old: dict[str, CaseRecord], new: dict[str, CaseRecord]) -> Entry:
    first = cases[0].id
    checks = list(_side_by_side(old[first].witnesses, new[first].witnesses)) if first in old and first in new else []
    return Entry(names(cases), cases, checks)


def _side_by_side(old: list[Check], new: list[Check]) -> Iterator[SideBySide]:
    for before, after in paired(old, new):
        there = after or before
        alike = before and after and before.held == after.held and before.observed.flat() == after.observed.flat()
        if there is None or alike:
            continue
        attempts = [check.attempts[-1] if check and check.attempts else None for check in (before, after)]
        expected = [check.expected if check else "" for check in (before, after)]
        yield SideBySide(there.role, (expected[0], expected[1]), (attempts[0], attempts[1]))
