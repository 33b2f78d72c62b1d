"""Every report of a run, drawn from its ledger and from nothing else."""

import os
from pathlib import Path

from egress_conformance.errors import UserError
from egress_conformance.report.allure import write_allure
from egress_conformance.report.html import write_html
from egress_conformance.report.junit import write_junit
from egress_conformance.report.ledger import Ledger
from egress_conformance.report.summary import print_summary
from egress_conformance.report.tally import exit_code, headline, summarise

__all__ = ["exit_code", "headline", "point_latest", "print_summary", "summarise", "write_reports"]


def write_reports(ledger: Ledger, directory: Path) -> None:
    """Write ledger.json, junit.xml, allure-results/ and report.html into `directory`, made if missing.

    The ledger comes first: whatever goes wrong with the others, they can be drawn from it again.
    """
    directory.mkdir(parents=True, exist_ok=True)
    ledger.write(directory / "ledger.json")
    write_junit(ledger, directory / "junit.xml")
    write_allure(ledger, directory / "allure-results")
    write_html(ledger, directory / "report.html")


def point_latest(run_dir: Path) -> None:
    """Let ``latest``, beside the folder of runs, point to this run: reports/latest -> runs/<run>.

    Raises:
        UserError: something that is no symbolic link is called ``latest`` there.
    """
    latest = run_dir.parent.parent / "latest"
    if latest.exists() and not latest.is_symlink():
        raise UserError(f"{latest} is in the way of the link to the newest run", "move it elsewhere")
    # Made beside it and renamed over it, so that there is no moment without a `latest`.
    fresh = latest.with_name(f".latest-{os.getpid()}")
    fresh.unlink(missing_ok=True)
    fresh.symlink_to(Path(run_dir.parent.name) / run_dir.name)
    fresh.replace(latest)
