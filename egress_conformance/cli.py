"""The command line: thin, over pytest, the platform and the reports."""

import json
import logging
import signal
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import click
import pytest
from rich.console import Console
from rich.table import Table

from egress_conformance import catalogue as catalogue_of
from egress_conformance import catalogue_document, gate, ours
from egress_conformance import soak as soak_of
from egress_conformance.cluster import doctor as doctor_of
from egress_conformance.cluster.build import Builder
from egress_conformance.cluster.engine import ensure_engine
from egress_conformance.errors import ExitCode, PlatformTrouble, UserError
from egress_conformance.options import OPTIONS, Options
from egress_conformance.platform import Platform
from egress_conformance.tables import print_table
from egress_conformance.upgrade import cases as upgrade_cases
from egress_conformance.upgrade import command as upgrade_of
from egress_conformance.upgrade.names import ROUTES

ROOT = Path(__file__).resolve().parents[1]
WORKERS = 4
"""Clients mostly wait for propagation: four of them keep two cores busy."""

PLACE = (
    *("istio", "provider", "images", "cluster", "nodes", "istio_cni", "no_install"),
    *("kubeconfig", "context", "revision", "allow_mesh_changes", "namespaces"),
    *("client_image", "world_image", "image_pull_secret"),
)
"""Options of a run that say where it is: every command about a place takes all of them, as typed for a run."""

FOR_UP = (*PLACE, "wait", "fresh")
FOR_EXISTING = ("kubeconfig", "context", "revision", "allow_mesh_changes", "namespaces")
FOR_STATUS = ("istio", "provider", "cluster", *FOR_EXISTING)
FOR_DOCTOR = ("istio", "provider", "images", *FOR_EXISTING, "client_image", "world_image")
"""Options that mean something to these commands, and so are in their help."""

FOR_UPGRADE = (
    *("provider", "images", "cases", "deadline", "cluster", "no_install"),
    *("kubeconfig", "context", "revision", "world_image"),
)
"""Options of a run that mean something to an upgrade."""

Command = Callable[..., None]
_FILE = click.Path(path_type=Path)


def _with_options(command: Command, names: Sequence[str] = (), silent: Sequence[str] = ()) -> Command:
    """Give a command the options of `options.OPTIONS`, or some of them by name, and others that its help leaves out."""
    for option in reversed([option for option in OPTIONS if option.name in (*names, *silent) or not names]):
        settings: dict[str, Any] = {"help": option.help, "default": option.default, "metavar": option.metavar}
        if isinstance(option.default, bool):
            settings = {"help": option.help, "is_flag": True}
        elif option.choices:
            settings["type"] = click.Choice(option.choices)
        settings["hidden"] = bool(names) and option.name not in names
        command = click.option(option.flag, **settings)(command)
    return command


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--debug", is_flag=True, help="show tracebacks")
@click.pass_context
def cli(context: click.Context, *, debug: bool) -> None:
    """Does the Istio you run, or are about to run, treat traffic that leaves the mesh as Istio promises?"""
    context.obj = debug
    if debug:
        logging.basicConfig(level=logging.DEBUG)


@cli.command(context_settings={"ignore_unknown_options": True, "allow_interspersed_args": True})
@_with_options
@click.option("--keep", is_flag=True, help="kind: keep the cluster for the next run (the default; undoes --down)")
@click.argument("pytest_arguments", nargs=-1, type=click.UNPROCESSED)
def run(pytest_arguments: tuple[str, ...], *, keep: bool, **values: Any) -> None:  # noqa: ANN401
    """Run the cases: cluster, Istio and world are brought up as needed. Further arguments go to pytest."""
    if keep:
        values["down"] = False
    sys.exit(_run(Options.of(values), pytest_arguments))


@cli.command(context_settings={"ignore_unknown_options": True, "allow_interspersed_args": True})
@_with_options
@click.argument("pytest_arguments", nargs=-1, type=click.UNPROCESSED)
def prove(pytest_arguments: tuple[str, ...], **values: Any) -> None:  # noqa: ANN401
    """Run each case with its subject withheld: one that does not fail proves nothing. The same as `run --prove`."""
    sys.exit(_run(Options.of({**values, "prove": True}), pytest_arguments))


@cli.command(context_settings={"ignore_unknown_options": True, "allow_interspersed_args": True})
@click.argument("times", type=click.IntRange(min=2))
@click.option("--load", "busy", type=click.IntRange(min=0), default=0, help="processes that keep a core busy each")
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def soak(times: int, busy: int, arguments: tuple[str, ...]) -> None:
    """Run the suite TIMES times and say which verdicts changed. Further arguments go to `run`."""
    sys.exit(soak_of.soak(times, busy, arguments, ROOT, Console()))


@cli.command(context_settings={"ignore_unknown_options": True, "allow_interspersed_args": True})
@partial(_with_options, names=FOR_UPGRADE)
@click.option("--from", "old", metavar="VERSION", help="kind: version of Istio to begin with, e.g. 1.29")
@click.option("--to", "new", metavar="VERSION", help="kind: version to upgrade to, e.g. 1.31")
@click.option("--route", "routes", multiple=True, type=click.Choice(ROUTES), help="kind: which way (default: all)")
@click.option("--keep", is_flag=True, help="kind: leave the cluster up at the end, to look at it")
@click.option("--before", type=_FILE, metavar="LEDGER", help="existing: the ledger of a run before the change")
@click.option("--after", type=_FILE, metavar="LEDGER", help="existing: where that of a run after it will be put")
@click.option("--load-image", default="", metavar="IMAGE", help="existing: image of the load's clients (images/fortio)")
@click.option("--clients", type=click.IntRange(1, 20), default=3, show_default=True, help="pods that send")
@click.option("--qps", type=click.IntRange(1, 50), default=5, show_default=True, help="of each to each destination")
@click.option("--allow", type=_FILE, metavar="FILE", help="changes your team allows for a while (docs/diff.md)")
@click.argument("pytest_arguments", nargs=-1, type=click.UNPROCESSED)
def upgrade(
    pytest_arguments: tuple[str, ...],
    *,
    routes: tuple[str, ...],
    keep: bool,
    load_image: str,
    clients: int,
    qps: int,
    allow: Path | None,
    **values: Any,  # noqa: ANN401
) -> None:
    """Upgrade Istio under traffic, by several routes, and run the suite at each station. Further arguments: pytest's.

    On an existing cluster somebody else makes the change: traffic goes on from --before until --after is there.
    """
    versions, ledgers = (values.pop("old"), values.pop("new")), (values.pop("before"), values.pop("after"))
    options = Options(**values)
    traffic = upgrade_of.Traffic(clients, qps)
    report = upgrade_of.Report(ROOT, allow, Console())
    if options.provider == "existing":
        if None in ledgers or any([*versions, *routes, keep, *pytest_arguments]):
            raise UserError(
                "on an existing cluster the change is yours", "name --before and --after, no version or route"
            )
        sys.exit(upgrade_of.on_existing(options, ledgers, load_image, traffic, report))
    if None in versions or any(ledgers) or options.revision:
        raise UserError("on kind an upgrade needs two versions, the rest is its own", "name --from and --to alone")
    sys.exit(
        upgrade_of.on_kind(options, versions, traffic, report, routes=routes, arguments=pytest_arguments, keep=keep)
    )


def _run(options: Options, arguments: Sequence[str]) -> int:
    """Run pytest; its exit code, with what it says of a wrong command line as one of ours."""
    code = pytest.main(_pytest_command(options, list(arguments)))
    return ExitCode.USER_ERROR if code == pytest.ExitCode.USAGE_ERROR else code


def _pytest_command(options: Options, arguments: list[str]) -> list[str]:
    command = ["--rootdir", str(ROOT), "-c", str(ROOT / "pyproject.toml"), "--no-header"]
    # A team's own cases may lie in a repository of their own, where our conftest.py is not.
    command += ["-p", "egress_conformance.plugin"]
    command += options.arguments()
    if not any(argument.startswith(("-n", "--numprocesses")) for argument in arguments):
        command += ["-n", str(min(WORKERS, len(options.names.clients) or WORKERS))]
    named = any(Path(argument.partition("::")[0]).exists() for argument in arguments if not argument.startswith("-"))
    return command + arguments + ([] if named else [str(ROOT / "suites")])


@cli.command()
@partial(_with_options, names=FOR_UP)
def up(**values: Any) -> None:  # noqa: ANN401
    """Bring cluster, Istio and world up, and leave them up."""
    console = Console()
    platform = Platform(Options(**values), console.print)
    try:
        info = platform.up()
    finally:
        platform.finish()
    console.print(f"up: KUBECONFIG={info.kubeconfig} kubectl --context {info.context} ...", soft_wrap=True)


@cli.command()
@partial(_with_options, names=FOR_STATUS, silent=PLACE)
def down(**values: Any) -> None:  # noqa: ANN401
    """Remove what is ours: the kind clusters (of one version, with --istio), or what there is in an existing one."""
    for line in ours.remove(Options(**values)):
        click.echo(line)


@cli.command()
@partial(_with_options, names=FOR_STATUS, silent=PLACE)
def status(**values: Any) -> None:  # noqa: ANN401
    """List what is ours: clusters, namespaces, a run under way."""
    for line in ours.listed(Options(**values)):
        click.echo(line)


@cli.command()
@partial(_with_options, names=FOR_DOCTOR, silent=PLACE)
def doctor(**values: Any) -> None:  # noqa: ANN401
    """Say what this machine, or an existing cluster, has and lacks for a run."""
    options = Options(**values)
    findings = doctor_of.examine(
        provider=options.provider,
        images=options.images,
        istio=options.istio,
        kubeconfig=options.kubeconfig_path,
        context=options.context,
        revision=options.revision,
        allow_mesh_changes=options.allow_mesh_changes,
        client_image=options.client_image or "",
        world_image=options.world_image or "",
        namespaces=options.names,
    )
    sys.exit(doctor_of.render(findings, Console()))


@cli.command()
@click.option("--no-install", is_flag=True, help="install nothing on this machine, not even a container engine")
def build(*, no_install: bool) -> None:
    """Build the images for an existing cluster, and print what they are called: client, world, fortio, suite."""
    console = Console(stderr=True)
    engine = ensure_engine(console, install=not no_install)
    for name, image in Builder(engine, console, install=not no_install).for_existing().items():
        click.echo(f"{name} {image}")


@cli.command()
@click.option("--area", help="only this area")
@click.option("--json", "as_json", is_flag=True, help="as JSON")
@click.option("--write", is_flag=True, help="write docs/catalogue.md")
@click.option("--check", is_flag=True, help="end with 1 if docs/catalogue.md is not what --write would make of it")
def catalogue(*, area: str | None, as_json: bool, write: bool, check: bool) -> None:
    """List every case: id, statement, source. Needs no cluster."""
    entries = [*catalogue_of.collect(ROOT, ROOT / "suites"), *upgrade_cases.entries()]
    entries.sort(key=lambda entry: (entry.area, entry.case.id))
    if write or check:
        document = ROOT / "docs" / "catalogue.md"
        text = catalogue_document.render(entries)
        if write:
            document.write_text(text, encoding="utf-8")
        elif not document.exists() or document.read_text(encoding="utf-8") != text:
            click.echo("docs/catalogue.md is stale: egress-conformance catalogue --write", err=True)
            sys.exit(ExitCode.FAILED)
        return
    areas = sorted({entry.area for entry in entries})
    if area is not None and area not in areas:
        raise UserError(f"no area {area}", f"there are {', '.join(areas)}")
    entries = [entry for entry in entries if area in {None, entry.area}]
    if as_json:
        click.echo(json.dumps([entry.as_dict() for entry in entries], indent=2))
        return
    table = Table("id", "area", "the mesh ...", box=None, pad_edge=False)
    for entry in entries:
        table.add_row(entry.case.id, entry.area, entry.case.statement)
    print_table(table, Console())


def _with_ledgers(command: Command) -> Command:
    """Give a command the arguments of all that compare ledgers."""
    decorators = (
        click.argument("ledgers", nargs=-1, type=_FILE, metavar="LEDGER..."),
        click.option("--published", multiple=True, metavar="VERSION", help="a ledger in reports/; they come first"),
        click.option("--allow", type=_FILE, metavar="FILE", help="changes your team allows for a while (docs/diff.md)"),
        click.option("--json", "json_file", type=_FILE, metavar="FILE", help="as JSON; - prints it instead of a table"),
        click.option("--html", "html_file", type=_FILE, metavar="FILE", help="as a page"),
    )
    for decorate in reversed(decorators):
        command = decorate(command)
    return command


@cli.command()
@_with_ledgers
def diff(ledgers: tuple[Path, ...], published: tuple[str, ...], **files: Path | None) -> None:
    """Say what changes from an OLD ledger to a NEW one, and whether anybody explains it.

    Ends with 0 if nothing changed or all of it is explained, 1 on a regression or an unexplained change, 2 if the two
    cannot be compared, 3 if something is wrong with what was named.
    """
    paths = gate.found(published, ledgers, ROOT)
    sys.exit(gate.diff(paths, files["allow"], files["json_file"], files["html_file"], Console()))


@cli.command()
@_with_ledgers
def matrix(ledgers: tuple[Path, ...], published: tuple[str, ...], **files: Path | None) -> None:
    """Lay any number of ledgers side by side: case by version."""
    paths = gate.found(published, ledgers, ROOT)
    gate.side_by_side(paths, files["allow"], files["json_file"], files["html_file"], Console())


@cli.command()
@click.argument("ledgers", nargs=-1, type=click.Path(path_type=Path), metavar="LEDGER...")
@click.option("--into", type=click.Path(path_type=Path), metavar="FOLDER", help="default: a run in reports/runs/")
def merge(ledgers: tuple[Path, ...], into: Path | None) -> None:
    """Make one ledger of those of all shards, with its reports, and end as a run of all these cases would have."""
    sys.exit(gate.merge(ledgers, into, ROOT, Console()))


def main() -> None:
    """Run the command line; errors a user can mend are one line."""
    # By itself SIGTERM would end Python at once, and leave a build or istioctl running behind it.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        cli(standalone_mode=False)
    except (click.exceptions.Abort, KeyboardInterrupt):
        click.echo("interrupted", err=True)
        code = ExitCode.INCONCLUSIVE
    except click.ClickException as error:
        error.show()
        code = ExitCode.USER_ERROR
    except UserError as error:
        if "--debug" in sys.argv:
            raise
        click.echo(str(error), err=True)
        code = ExitCode.USER_ERROR
    except PlatformTrouble as trouble:
        if "--debug" in sys.argv:
            raise
        click.echo(f"the platform got in the way: {trouble}", err=True)
        code = ExitCode.INCONCLUSIVE
    else:
        code = ExitCode.PASSED
    sys.exit(code)
