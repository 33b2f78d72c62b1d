"""The suite many times over: does a verdict ever change, or what was observed?"""

import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console

from egress_conformance.errors import ExitCode, PlatformTrouble
from egress_conformance.report import headline
from egress_conformance.report.ledger import Ledger
from egress_conformance.report.stability import changed, late, unsteady
from egress_conformance.report.summary import told_folder
from egress_conformance.report.words import several


@contextmanager
def load(processes: int) -> Iterator[None]:
    """So many processes that keep a core busy each."""
    busy = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(processes)]
    try:
        yield
    finally:
        for process in busy:
            process.kill()
            process.wait()


def soak(times: int, busy: int, arguments: Sequence[str], root: Path, console: Console) -> ExitCode:
    """Run the suite several times and say which verdicts and observations changed.

    Args:
        times: how often.
        busy: how many processes put the machine under load meanwhile.
        arguments: of `egress-conformance run`.
        root: where reports/ is.
        console: where it is told.

    Returns:
        PASSED if nothing ever changed and every run ended alike with 0; FAILED if a verdict or an observation did.

    Raises:
        PlatformTrouble: a run wrote no report.
    """
    ledgers: list[Ledger] = []
    codes = []
    with load(busy):
        for number in range(1, times + 1):
            code, ledger = run_suite(arguments, root)
            ledgers.append(ledger)
            codes.append(code)
            console.print(f"run {number} of {times}: exit code {code}, {headline(ledger)}", highlight=False)
    flaky = changed(ledgers)
    for case in flaky:
        console.print("\n".join(case.lines()), highlight=False, markup=False)
    chance = unsteady(ledgers)
    for line in chance:
        console.print(line, highlight=False, markup=False, soft_wrap=True)
    slow = late(ledgers)
    if slow:
        console.print("converged late: " + ", ".join(f"{case} {several(n, 'time')}" for case, n in slow.items()))
    told = (
        f"{several(len(flaky), 'verdict')} and {several(len(chance), 'observation')} changed in {several(times, 'run')}"
    )
    console.print(told, highlight=False)
    return ExitCode.FAILED if flaky or chance else ExitCode(max(codes))


def run_suite(arguments: Sequence[str], root: Path) -> tuple[int, Ledger]:
    """Run the suite in a process of its own.

    Args:
        arguments: of `egress-conformance run`.
        root: where reports/ is.

    Returns:
        Its exit code and its ledger.

    Raises:
        PlatformTrouble: it wrote no report.
    """
    command = [sys.executable, "-m", "egress_conformance", "run", *arguments]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
    folder = told_folder(done.stdout)
    if folder is None:
        raise PlatformTrouble("a run wrote no report", (done.stderr or done.stdout).strip()[-2000:])
    return done.returncode, Ledger.read(root / folder / "ledger.json")
