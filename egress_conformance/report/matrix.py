"""Case by version, for any number of ledgers: the verdict, and whether what was seen is what the ledger before saw."""

from collections import Counter
from collections.abc import Sequence
from itertools import groupby, pairwise

from pydantic import Field

from egress_conformance.report.compare import compare
from egress_conformance.report.diff import Kind, Side
from egress_conformance.report.explain import Explanations
from egress_conformance.report.ledger import Ledger, Verdict
from egress_conformance.report.model import Model

SCHEMA = "istio-egress-conformance/matrix/v1"


class Cell(Model):
    """A case, or all rows of one, in one ledger."""

    verdicts: dict[Verdict, int] = Field(description="how many rows by verdict; empty: it is not in that ledger")
    changed: int = Field(description="how many of them are not what they were in the ledger before")
    unexplained: int = Field(description="how many of those nobody explains")


class Row(Model):
    """One case in all ledgers."""

    id: str
    area: str
    statement: str
    cells: list[Cell]

    @property
    def varies(self) -> bool:
        """Whether it is not the same in all."""
        return any(cell.changed for cell in self.cells)


class Matrix(Model):
    """All of them."""

    schema_: str = Field(default=SCHEMA, alias="schema")
    ledgers: list[Side]
    rows: list[Row]


def matrix(ledgers: Sequence[Ledger], files: Sequence[str], explanations: Explanations) -> Matrix:
    """Lay ledgers side by side, in their order.

    Args:
        ledgers: any number.
        files: what they are called.
        explanations: what may explain a change from one to the next.
    """
    changed: list[dict[str, bool]] = [{}]
    for old, new in pairwise(ledgers):
        found = [case for case in compare(old, new, explanations).cases if case.kind is not Kind.FAILING]
        changed.append({case.id: bool(case.unexplained) for case in found})
    there = [{case.id: case for case in ledger.cases} for ledger in ledgers]
    ids = sorted({key for cases in there for key in cases})
    rows = []
    for base, keys in groupby(ids, key=lambda key: key.partition("[")[0]):
        members = list(keys)
        record = next(cases[members[0]] for cases in reversed(there) if members[0] in cases)
        cells = [
            Cell(
                verdicts=Counter(cases[key].verdict for key in members if key in cases),
                changed=sum(key in differs for key in members),
                unexplained=sum(differs.get(key, False) for key in members),
            )
            for cases, differs in zip(there, changed, strict=True)
        ]
        rows.append(Row(id=base, area=record.area, statement=record.statement, cells=cells))
    return Matrix(
        ledgers=[Side.of(ledger, file) for ledger, file in zip(ledgers, files, strict=True)],
        rows=rows,
    )


def in_words(cell: Cell) -> str:
    """A cell as text: ``passed``, ``165 passed, 3 failed, 3 changed``."""
    if not cell.verdicts:
        return "not in it"
    several = sum(cell.verdicts.values()) > 1
    told = [f"{count} {verdict}" if several else str(verdict) for verdict, count in sorted(cell.verdicts.items())]
    if cell.changed:
        told.append(f"{cell.changed} changed" if several else "changed")
    return ", ".join(told)
