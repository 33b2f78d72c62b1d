"""What a benchmark found: ratios of one run, as JSON, as a table and, drawn from the JSON, as a plot.

The shape is described in docs/bench/README.md; `SCHEMA` changes when it does.
"""

import os
import statistics
from collections.abc import Sequence
from pathlib import Path

from pydantic import Field
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from egress_conformance.report.ledger import Ledger
from egress_conformance.report.model import Model
from egress_conformance.tables import print_table

SCHEMA = "istio-egress-conformance/bench/v1"


class Row(Model):
    """One thing that was measured."""

    name: str
    ratios: dict[str, float] = Field(description="how often the unit, by what was measured; the first is drawn")
    facts: dict[str, float | int | str] = Field(
        default={}, description="what the ratios are made from: seconds, counts"
    )


class Environment(Model):
    """What it was measured on."""

    istio: str
    data_plane: str
    kubernetes: str
    suite_commit: str
    cores: int


class Result(Model):
    """What one benchmark found."""

    schema_: str = Field(default=SCHEMA, alias="schema")
    bench: str
    title: str
    unit: str = Field(description="what a ratio of 1 stands for")
    command: str = Field(description="what was typed to measure it")
    started: str = Field(description="when its first run started, ISO 8601, UTC")
    environment: Environment
    rows: list[Row]
    samples: dict[str, list[float]] = Field(default={}, description="each single ratio, where it is a distribution")
    said: dict[str, str | int | float] = Field(default={}, description="what else came of it")

    def write(self, folder: Path) -> Path:
        """Write it as JSON to `<bench>.json` in a folder, and return where that is."""
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"{self.bench}.json"
        path.write_text(self.json_text() + "\n", encoding="utf-8")
        return path

    def json_text(self) -> str:
        """As JSON."""
        return self.model_dump_json(by_alias=True, indent=2)

    @classmethod
    def read(cls, path: Path) -> "Result":
        """Read what `write` wrote."""
        return cls.model_validate_json(path.read_text(encoding="utf-8"))

    def columns(self) -> tuple[list[str], list[str]]:
        """Names of the ratios and of the facts, in order of their first appearance."""
        ratios = dict.fromkeys(name for row in self.rows for name in row.ratios)
        facts = dict.fromkeys(name for row in self.rows for name in row.facts)
        return [*ratios], [*facts]

    def show(self, console: Console) -> None:
        """Print it as a table, in a file or a pipe as wide as it has to be."""
        ratios, facts = self.columns()
        table = Table("", *ratios, *facts, box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
        for row in self.rows:
            table.add_row(row.name, *cells(row.ratios, ratios), *cells(row.facts, facts))
        console.print(f"{self.title} (1 is {self.unit})", highlight=False)
        print_table(table, console)
        for name, what in self.said.items():
            console.print(f"{name}: {what}", highlight=False)


def cells(values: dict[str, float] | dict[str, float | int | str], names: Sequence[str]) -> list[str]:
    """Values as a table shows them, "" where there is none of a name."""
    found = [values.get(name, "") for name in names]
    return [f"{value:.2f}" if isinstance(value, float) else str(value) for value in found]


def environment(ledger: Ledger) -> Environment:
    """What a run ran on, and how many cores this machine has."""
    there, plane = ledger.environment, ledger.environment.data_plane
    return Environment(
        istio=there.istio,
        data_plane=f"{plane.kind} {plane.version}",
        kubernetes=there.kubernetes,
        suite_commit=ledger.suite_commit,
        cores=os.cpu_count() or 0,
    )


def ratio(part: float, whole: float) -> float:
    """One divided by the other, to three digits behind the point."""
    return round(part / whole, 3)


def spread(values: Sequence[float]) -> dict[str, float]:
    """How values are spread: median first, then both ends and the tenths beside them.

    Args:
        values: one at least. With few of them the tenths lie between two (statistics.quantiles, inclusive).
    """
    tenths = statistics.quantiles(values, n=10, method="inclusive") if len(values) > 1 else [*values] * 9
    found = {
        "median": statistics.median(values),
        "lowest": min(values),
        "10 % below": tenths[0],
        "90 % below": tenths[-1],
        "highest": max(values),
    }
    return {name: round(value, 3) for name, value in found.items()}
