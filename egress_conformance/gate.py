"""The commands that take ledgers: `diff` and `matrix` hold them against each other, `merge` makes one of several."""

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import click
from rich.console import Console

from egress_conformance.errors import ExitCode, UserError
from egress_conformance.report import exit_code, explain, point_latest, print_summary, write_reports
from egress_conformance.report import merge as merge_of
from egress_conformance.report.compare import compare
from egress_conformance.report.diff_html import render_diff, render_matrix
from egress_conformance.report.diff_terminal import print_diff, print_matrix
from egress_conformance.report.find import published, read_ledger
from egress_conformance.report.matrix import matrix
from egress_conformance.report.model import Model
from egress_conformance.report.words import started_at

STDOUT = Path("-")


def found(versions: Sequence[str], paths: Sequence[Path], root: Path) -> list[Path]:
    """The ledgers a command was given: published ones first, as they are the ones to compare with.

    Args:
        versions: those whose published ledger is meant.
        paths: files, or folders of runs.
        root: where reports/ is.

    Raises:
        UserError: fewer than two were named, or one is not published.
    """
    ledgers = [*(published(version, root / "reports") for version in versions), *paths]
    if len(ledgers) < 2:
        raise UserError("two ledgers are needed", "name their files, or --published VERSION")
    return ledgers


def diff(paths: Sequence[Path], allow: Path | None, json: Path | None, html: Path | None, console: Console) -> ExitCode:
    """Compare two ledgers and say what a gate should do.

    Args:
        paths: the old one, then the new one.
        allow: a team's allowances.
        json: where the diff goes as JSON; `-` for standard output, on which nothing else is then printed.
        html: where it goes as a page.
        console: where it is told.

    Raises:
        UserError: there are not two, or something cannot be read.
    """
    if len(paths) != 2:
        raise UserError(f"{len(paths)} ledgers were named, and a diff has two", "egress-conformance matrix takes more")
    old, new = (read_ledger(path) for path in paths)
    explanations = explain.Explanations(explain.reviewed(), explain.allowed(allow) if allow else [])
    result = compare(old, new, explanations, (str(paths[0]), str(paths[1])))
    if html:
        _write(html, render_diff(result, old, new))
    if not _as_json(result, json):
        print_diff(result, console)
    return ExitCode(result.exit_code)


def side_by_side(
    paths: Sequence[Path], allow: Path | None, json: Path | None, html: Path | None, console: Console
) -> None:
    """Lay any number of ledgers side by side; arguments as of `diff`."""
    explanations = explain.Explanations(explain.reviewed(), explain.allowed(allow) if allow else [])
    result = matrix([read_ledger(path) for path in paths], [str(path) for path in paths], explanations)
    if html:
        _write(html, render_matrix(result))
    if not _as_json(result, json):
        print_matrix(result, console)


def merge(paths: Sequence[Path], into: Path | None, root: Path, console: Console) -> ExitCode:
    """Make one ledger of several, with every report of it.

    Args:
        paths: files, or folders of runs.
        into: the folder of the merged run; None: one beside those of other runs, and the latest of them.
        root: where reports/ is.
        console: where it is told what came of it.

    Returns:
        What a run of all these cases would have ended with.

    Raises:
        UserError: they do not belong together, or cannot be read.
    """
    if not paths:
        raise UserError("no ledger was named", "name those of all shards: files, or folders of runs")
    merged = merge_of.merge([read_ledger(path) for path in paths], [str(path) for path in paths])
    begun = started_at(merged.started) or datetime.now(UTC)
    folder = into or root / "reports" / "runs" / f"{begun:%Y%m%dT%H%M%SZ}-{merged.environment.istio}-merged"
    try:
        write_reports(merged, folder)
    except OSError as error:
        raise UserError(f"{folder} cannot be written ({error.strerror})", "name another with --into") from None
    if into is None:
        point_latest(folder)
    print_summary(merged, folder, console)
    return exit_code(merged)


def _as_json(result: Model, path: Path | None) -> bool:
    """Write it as JSON where that is wanted. Whether standard output is taken by it."""
    text = result.model_dump_json(by_alias=True, indent=2) if path else ""
    if path == STDOUT:
        click.echo(text)
    elif path:
        _write(path, text + "\n")
    return path == STDOUT


def _write(path: Path, text: str) -> None:
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise UserError(
            f"{path} cannot be written ({error.strerror})", "name a file in a folder that is there"
        ) from None
