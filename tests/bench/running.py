"""How a benchmark runs the suite: as a process of its own, timed."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import click

from egress_conformance.report import headline
from egress_conformance.report.ledger import CaseRecord, Ledger
from egress_conformance.soak import run_suite

ROOT = Path(__file__).resolve().parents[2]
CASES = "tests/bench/cases"
"""The benchmarks' own cases; no run has them unless they are named."""

SUITES = "suites"
OWN = "BEN-"
"""What the ids of those cases begin with."""

PLUGIN = ("-p", "tests.bench.plugin")


@dataclass(frozen=True)
class Asked:
    """What the user wants of a benchmark.

    Attributes:
        times: how often; None: as the benchmark has it by default.
        at: the values to measure at (workers, entries); () likewise.
        cases: ids of the cases to measure with; "" likewise.
        ledger: take the figures from this ledger instead of a run.
        arguments: further ones of `egress-conformance run`.
    """

    times: int | None = None
    at: tuple[int, ...] = ()
    cases: str = ""
    ledger: Path | None = None
    arguments: tuple[str, ...] = ()

    @property
    def options(self) -> list[str]:
        """Arguments of `egress-conformance run`, with the cases that are wanted."""
        return [*self.arguments, *(["--cases", self.cases] if self.cases else [])]


@dataclass(frozen=True)
class Run:
    """One run of the suite.

    Attributes:
        code: its exit code.
        ledger: its ledger.
        began: when its process was started, seconds since the epoch.
        seconds: from there to the end of the process.
    """

    code: int
    ledger: Ledger
    began: float
    seconds: float


def run(what: str, arguments: Sequence[str]) -> Run:
    """Run the suite, and say on stderr that this is done and how it came out.

    Args:
        what: this is, in words.
        arguments: of `egress-conformance run`.

    Raises:
        PlatformTrouble: it wrote no report.
    """
    click.echo(f"{what} ...", err=True)
    began, clock = time.time(), time.monotonic()
    code, ledger = run_suite(["--wait", *arguments], ROOT)
    done = Run(code, ledger, began, time.monotonic() - clock)
    click.echo(f"{what}: {done.seconds:.1f} s, exit code {code}, {headline(ledger)}", err=True)
    return done


def cases_of(ledger: Ledger) -> list[CaseRecord]:
    """The cases of a run that are not the benchmarks' own."""
    return [case for case in ledger.cases if not case.id.startswith(OWN)]


def warm_up(arguments: Sequence[str]) -> None:
    """Run one case that is not measured: then images, cluster, Istio and world are there, and nobody else is at work.

    Args:
        arguments: further ones of `egress-conformance run`.
    """
    run("warming up", ["-n", "0", *PLUGIN, f"{CASES}/test_floor.py", *arguments])
