"""The suite at a station: a run of it in a process of its own, on the cluster as it is then."""

import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

from egress_conformance.cluster.commands import CommandFailed, Runner, run
from egress_conformance.errors import ExitCode, PlatformTrouble
from egress_conformance.report.summary import told_folder

SECONDS = 3600
"""The suite is no place to wait for ever; all of it takes minutes."""


def run_suite(arguments: Sequence[str], folder: Path, runner: Runner = run) -> int:
    """Run the suite and keep its ledger and its page.

    Args:
        arguments: of `egress-conformance run`.
        folder: gets `ledger.json`, `report.html`, and `log.txt`: what the run said.
        runner: runs programs; whatever interrupts it lets the run put everything back.

    Returns:
        Its exit code: 0, 1 or 2.

    Raises:
        PlatformTrouble: it wrote no report, or tried nothing.
    """
    folder.mkdir(parents=True, exist_ok=True)
    log = folder / "log.txt"
    code = 0
    try:
        runner([sys.executable, "-m", "egress_conformance", "run", *arguments], log=log, seconds=SECONDS)
    except CommandFailed as failure:
        code = failure.code
    said = log.read_text(encoding="utf-8", errors="replace") if log.exists() else ""
    report = told_folder(said)
    if report is None or code not in {ExitCode.PASSED, ExitCode.FAILED, ExitCode.INCONCLUSIVE}:
        last = " / ".join(said.strip().splitlines()[-3:])
        raise PlatformTrouble("the suite came to no result", f"exit code {code}; {last}; all of it is in {log}")
    for name in ("ledger.json", "report.html"):
        shutil.copy(Path.cwd() / report / name, folder / name)
    return code
