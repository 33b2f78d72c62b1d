"""The benchmarks: `scripts/bench NAME`, with options of `egress-conformance run`; `scripts/bench plot` draws them."""

import shlex
import sys
from collections.abc import Callable
from pathlib import Path

import click
from rich.console import Console

from egress_conformance.errors import ExitCode, PlatformTrouble, UserError
from tests.bench import cost, entries, propagation, start, workers
from tests.bench.plot import draw_all
from tests.bench.result import Result
from tests.bench.running import ROOT, Asked

BENCHES: dict[str, Callable[[Asked, str], Result]] = {
    "cost": cost.measure,
    "workers": workers.measure,
    "propagation": propagation.measure,
    "entries": entries.measure,
    "start": start.measure,
}
FROM_A_LEDGER = ("cost", "propagation")
_PATH = click.Path(path_type=Path)


@click.command(context_settings={"ignore_unknown_options": True, "help_option_names": ["-h", "--help"]})
@click.option("--json", "as_json", is_flag=True, help="print JSON, not a table")
@click.option("--times", type=click.IntRange(min=1), help="how often; propagation: changes of each kind")
@click.option(
    "--at", type=click.IntRange(min=0), multiple=True, help="workers, entries: at this number; may be repeated"
)
@click.option("--cases", default="", metavar="IDS", help="measure with these cases alone, e.g. 'RES-01 POL-*'")
@click.option("--ledger", type=_PATH, metavar="LEDGER", help="cost, propagation: of an earlier run, instead of one now")
@click.option("--into", type=_PATH, default=ROOT / "docs/bench", metavar="FOLDER", help="default: docs/bench")
@click.argument("name", type=click.Choice([*BENCHES, "plot"]))
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def main(
    name: str,
    arguments: tuple[str, ...],
    *,
    as_json: bool,
    times: int | None,
    at: tuple[int, ...],
    cases: str,
    ledger: Path | None,
    into: Path,
) -> None:
    """Measure one thing, or draw all that were measured. Further arguments go to `egress-conformance run`."""
    if name == "plot":
        for path in draw_all(into):
            click.echo(path)
        return
    if ledger is not None and name not in FROM_A_LEDGER:
        raise UserError(f"{name} takes more than a ledger", "leave out --ledger")
    asked = Asked(times, at, cases, ledger, arguments)
    result = BENCHES[name](asked, shlex.join(["./scripts/bench", *sys.argv[1:]]))
    path = result.write(into)
    if as_json:
        click.echo(result.json_text())
    else:
        result.show(Console())
    click.echo(f"written: {path}", err=True)


if __name__ == "__main__":
    try:
        main(standalone_mode=False)
    except click.ClickException as error:
        error.show()
        sys.exit(ExitCode.USER_ERROR)
    except UserError as error:
        click.echo(str(error), err=True)
        sys.exit(ExitCode.USER_ERROR)
    except PlatformTrouble as trouble:
        click.echo(f"the platform got in the way: {trouble}", err=True)
        sys.exit(ExitCode.INCONCLUSIVE)
    except (click.exceptions.Abort, KeyboardInterrupt):
        sys.exit(ExitCode.INCONCLUSIVE)
