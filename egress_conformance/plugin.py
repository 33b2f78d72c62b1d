"""The pytest plugin: options, fixtures, the order of cases, verdicts. It puts things together and holds no logic.

Load it with ``pytest_plugins = ["egress_conformance.plugin"]``. The platform comes up once, in the process that
reports, and only if there are cases to run; each worker has a client of its own.
"""

import fnmatch
import signal
import tempfile
from collections.abc import Callable, Generator, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest

from egress_conformance import schedule
from egress_conformance.case import Case, Mode, declared
from egress_conformance.case_run import CaseRun
from egress_conformance.errors import ExitCode, PlatformTrouble, UserError
from egress_conformance.mesh.analyze import Finding
from egress_conformance.mesh.gateway import Gateway
from egress_conformance.mesh.mesh import Mesh
from egress_conformance.options import OPTIONS, Options
from egress_conformance.platform import PlatformInfo
from egress_conformance.report.ledger import CaseRecord, DataPlane, Verdict
from egress_conformance.run_report import RunReport, Terminal
from egress_conformance.shard import Shard
from egress_conformance.signals import uninterrupted
from egress_conformance.traffic.client import Client
from egress_conformance.traffic.recorder import Recorder
from egress_conformance.worker import Worker
from egress_conformance.world.world import World

_REPORT = pytest.StashKey[RunReport]()
_RUN = pytest.StashKey[CaseRun]()
_TOLD = pytest.StashKey[dict[str, str]]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Offer the suite's options."""
    group = parser.getgroup("istio egress conformance")
    for option in OPTIONS:
        if isinstance(option.default, bool):
            group.addoption(option.flag, action="store_true", default=option.default, help=option.help)
        else:
            choices = list(option.choices) or None
            group.addoption(
                option.flag, default=option.default, choices=choices, metavar=option.metavar, help=option.help
            )


def _is_worker(config: pytest.Config) -> bool:
    return hasattr(config, "workerinput")


def _scratch_and_name(config: pytest.Config) -> tuple[Path, str]:
    """The folder common to all workers, and the name of this one."""
    if not _is_worker(config):
        return config.stash[_REPORT].scratch, "main"
    given: dict[str, str] = config.workerinput  # type: ignore[attr-defined]
    return Path(given["egress_scratch"]), given["workerid"]


def pytest_configure(config: pytest.Config) -> None:
    """Register the marker; in the process that reports, prepare for a run."""
    config.addinivalue_line("markers", "case(declared): a behaviour with an id; use egress_conformance.case.case")
    config.addinivalue_line("markers", "row(declared): one row of a case; use egress_conformance.case.rows")
    # They would end Python without putting anything back; as an interrupt they take the way of Ctrl-C.
    signal.signal(signal.SIGTERM, _interrupt)
    if signal.getsignal(signal.SIGHUP) == signal.SIG_DFL:  # else nohup wants it to go on without its terminal
        signal.signal(signal.SIGHUP, _interrupt)
    if _is_worker(config):
        return
    options = Options.of(vars(config.option))
    try:
        _shard(config)
        _see_that_namespaces_suffice(options, _workers(config))
    except UserError as error:
        pytest.exit(str(error), returncode=ExitCode.USER_ERROR)
    scratch = Path(tempfile.mkdtemp(prefix="egress-conformance-"))
    config.stash[_REPORT] = RunReport(options, scratch, config.rootpath, Terminal())


def _workers(config: pytest.Config) -> int:
    """How many processes run cases."""
    return int(getattr(config.option, "numprocesses", None) or 1)


def _see_that_namespaces_suffice(options: Options, workers: int) -> None:
    clients = options.names.clients
    if clients and workers > len(clients):
        raise UserError(
            f"{workers} workers need as many namespaces for clients; --namespaces has {len(clients)}",
            f"name more, or use -n {len(clients)}",
        )


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:  # noqa: ANN401  (xdist has no types)
    """Tell an xdist worker where it will find the platform."""
    node.workerinput["egress_scratch"] = str(node.config.stash[_REPORT].scratch)


@pytest.hookimpl(trylast=True)  # a share is dealt out of what -k and -m leave
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Keep what is asked for, in order of the mesh's mode, so that it is flipped a handful of times a run."""
    withheld = bool(config.option.prove)
    if patterns := (config.option.cases or "").split():
        _keep(config, items, lambda case: case is not None and _is_one_of(case, patterns))
    if shard := _shard(config):
        mine = shard.has([case for item in items if (case := declared(item))], withheld=withheld)
        _keep(config, items, lambda case: case is None or case.key in mine)
    schedule.order(items, withheld=withheld)
    if _is_worker(config):
        schedule.write_groups(items, *_scratch_and_name(config), withheld=withheld)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> schedule.GroupScheduling | None:  # noqa: ANN401
    """Keep the order, and groups together, unless the user wants the cases handed out in another way."""
    if config.option.dist != "load":
        return None
    return schedule.GroupScheduling(config, log, config.stash[_REPORT].scratch)


def _keep(config: pytest.Config, items: list[pytest.Item], wanted: Callable[[Case | None], bool]) -> None:
    left_out = [item for item in items if not wanted(declared(item))]
    config.hook.pytest_deselected(items=left_out)
    items[:] = [item for item in items if item not in left_out]


def _shard(config: pytest.Config) -> Shard | None:
    return Shard.parse(config.option.shard) if config.option.shard else None


def _is_one_of(case: Case, patterns: list[str]) -> bool:
    return any(fnmatch.fnmatchcase(case.id, pattern) for pattern in patterns)


def pytest_collection_finish(session: pytest.Session) -> None:
    """Without xdist: bring the platform up, once it is known that there are cases."""
    config = session.config
    if _is_worker(config) or config.option.collectonly:
        return
    if any(declared(item) for item in session.items):
        _bring_up(config)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_node_collection_finished(node: Any, ids: list[str]) -> None:  # noqa: ANN401
    """With xdist: bring the platform up before the first case is handed to a worker."""
    if any(not name.startswith("tests/") for name in ids):
        _bring_up(node.config)


def _bring_up(config: pytest.Config) -> None:
    try:
        config.stash[_REPORT].bring_up()
    except UserError as error:
        _abort(config, error)
    except PlatformTrouble as error:
        pytest.exit(f"the platform did not come up: {error}", returncode=ExitCode.INCONCLUSIVE)


def _abort(config: pytest.Config, error: UserError) -> None:
    config.stash[_REPORT].aborted = True
    pytest.exit(str(error), returncode=ExitCode.USER_ERROR)


@pytest.fixture(scope="session")
def egress_worker(request: pytest.FixtureRequest) -> Iterator[Worker]:
    """This process's namespace and client."""
    scratch, name = _scratch_and_name(request.config)
    info = PlatformInfo.load((scratch / "platform.json").read_text(encoding="utf-8"))
    worker = Worker(info, name, scratch)
    yield worker
    worker.kube.close()


@pytest.fixture
def _case_run(request: pytest.FixtureRequest, egress_worker: Worker) -> Iterator[CaseRun]:
    """What one case has: its share of the mesh, its world, and a record of what it does."""
    case = declared(request.node)
    if case is None:
        pytest.fail(f"{request.node.name} uses the mesh but is no case: put @case(...) above it")
    run = CaseRun(case, egress_worker)
    request.node.stash[_RUN] = run
    missing = run.missing()
    if missing:
        pytest.skip(missing)
    with run.in_place():
        if outnumbered := run.outnumbered():
            pytest.skip(outnumbered)
        yield run


@pytest.fixture
def world(_case_run: CaseRun) -> World:
    """What lies outside the mesh: `world.site()`, `world.decoy`, `world.answer(...)`."""
    return _case_run.world


@pytest.fixture
def client(_case_run: CaseRun) -> Client:
    """The pod in the mesh that sends requests: `client.get(url)`, `client.tcp(address, port)`, `client.proxy`."""
    return _case_run.client


@pytest.fixture
def clients(_case_run: CaseRun, request: pytest.FixtureRequest) -> Callable[..., Client]:
    """Further clients: `clients("area/patch.yaml")`, laid over the client's own manifest; `clients(elsewhere=True)`."""

    def further(patch: str | None = None, *, elsewhere: bool = False) -> Client:
        path = _manifests(request.node.path) / patch if patch else None
        return _case_run.further_client(path, elsewhere=elsewhere)

    return further


@pytest.fixture
def patched_client(_case_run: CaseRun, request: pytest.FixtureRequest) -> Callable[..., AbstractContextManager[Client]]:
    """A further client whose patch is the subject of the case, entered by `with`; arguments as for `clients`."""

    def patched(patch: str, *, elsewhere: bool = False) -> AbstractContextManager[Client]:
        return _case_run.patched_client(_manifests(request.node.path) / patch, elsewhere=elsewhere)

    return patched


@pytest.fixture
def expected(_case_run: CaseRun) -> object:
    """What this version of Istio is expected to do, of `@case(..., by_version={...})`."""
    return _case_run.expected


@pytest.fixture
def rejections(_case_run: CaseRun) -> Callable[[], dict[str, int]]:
    """How often configuration was rejected so far, by who counted it: the client's proxy, and istiod."""
    return _case_run.rejections


@pytest.fixture
def egress_gateway(_case_run: CaseRun) -> Gateway:
    """The mesh's egress gateway; the case declares `requires=(Requirement.EGRESS_GATEWAY,)`."""
    gateway = _case_run.worker.egress_gateway()
    if gateway is None:
        raise PlatformTrouble("egress gateway gone", "it was there when the case began")
    return gateway


@pytest.fixture
def analyze(_case_run: CaseRun) -> Callable[[], list[Finding]]:
    """What `istioctl analyze` finds in the client's namespace; the case requires `Requirement.ISTIOCTL`."""
    return _case_run.worker.analyze


@pytest.fixture
def mesh(_case_run: CaseRun, request: pytest.FixtureRequest) -> Mesh:
    """The mesh: `mesh.apply("area/file.yaml", host=...)`, `mesh.outbound_traffic_policy(mode)`."""
    return _case_run.mesh(_manifests(request.node.path))


def _manifests(path: Path) -> Path:
    """The manifests folder that belongs to a case: the nearest one above it."""
    found = next((parent / "manifests" for parent in path.parents if (parent / "manifests").is_dir()), None)
    if found is None:
        raise UserError(f"no folder manifests/ above {path}", "make one beside the folder of your cases")
    return found


@pytest.fixture
def second_istio(_case_run: CaseRun) -> Callable[[Mode], AbstractContextManager[Client]]:
    """Install a second Istio, with a mode of its own, for a client of it."""
    return _case_run.second_istio


@pytest.fixture
def recorder(_case_run: CaseRun) -> Recorder:
    """What the case did and saw: `recorder.observations["name"] = value`."""
    return _case_run.recorder


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Turn what pytest saw of a case into its verdict and its record."""
    report = yield
    case = declared(item)
    if case is None:
        return report
    if call.excinfo is not None and isinstance(call.excinfo.value, UserError):
        report.egress_user_error = str(call.excinfo.value)  # type: ignore[attr-defined]
    run = item.stash.get(_RUN, None)
    if run is None:
        run = item.stash[_RUN] = CaseRun(case, None)
    run.phase(call)
    if run.recorder.withheld and call.when == "call" and not report.skipped:
        # A case that fails without its subject does what it must.
        report.outcome = "passed" if run.verdict()[0] == Verdict.PASSED else "failed"
        report.longrepr = None
    if report.failed and not item.config.option.fulltrace:
        report.longrepr = run.explain(item.config.stash.setdefault(_TOLD, {}))
        report.egress_verdict = str(run.verdict()[0])  # type: ignore[attr-defined]
    if call.when == "teardown":
        record = run.record(item.path.parent.name)
        report.egress_record = record.model_dump(mode="json")  # type: ignore[attr-defined]
        if run.data_plane is not None:
            report.egress_data_plane = run.data_plane.model_dump()  # type: ignore[attr-defined]
    return report


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """In the process that reports: take in a case's record."""
    run_report = _current_report
    if run_report is None:
        return
    error = getattr(report, "egress_user_error", None)
    if error is not None:
        run_report.aborted = True
        pytest.exit(error, returncode=ExitCode.USER_ERROR)
    record = getattr(report, "egress_record", None)
    if record is not None:
        seen = getattr(report, "egress_data_plane", None)
        run_report.take(CaseRecord.model_validate(record), DataPlane.model_validate(seen) if seen else None)


_current_report: RunReport | None = None


def pytest_sessionstart(session: pytest.Session) -> None:
    """Remember the run's report for the hooks that get no config."""
    global _current_report  # noqa: PLW0603  (pytest_runtest_logreport is given no config)
    _current_report = session.config.stash.get(_REPORT, None)


def pytest_report_teststatus(report: pytest.TestReport) -> tuple[str, str, str] | None:
    """Show an inconclusive case as what it is, not as Istio's failure."""
    if report.failed and getattr(report, "egress_verdict", None) == Verdict.INCONCLUSIVE:
        return "inconclusive", "I", "INCONCLUSIVE"
    return None


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """Write the reports and decide the exit code."""
    run_report = session.config.stash.get(_REPORT, None)
    if run_report is None or run_report.aborted:
        return
    if run_report.is_up:
        code = run_report.write()
        if code == ExitCode.PASSED and session.exitstatus == pytest.ExitCode.TESTS_FAILED:
            # What failed is no case, or its worker crashed: the ledger does not know of it.
            code = ExitCode.INCONCLUSIVE
        if session.exitstatus in {pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED}:
            session.exitstatus = code
    elif session.exitstatus == pytest.ExitCode.NO_TESTS_COLLECTED:
        session.exitstatus = ExitCode.USER_ERROR


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Say how the run came out and where its report lies."""
    for report in terminalreporter.stats.get("inconclusive", []):
        terminalreporter.section(f"inconclusive: {report.nodeid}", "_")
        terminalreporter.line(report.longreprtext)
    run_report = config.stash.get(_REPORT, None)
    if run_report is not None:
        run_report.print_summary()


@pytest.hookimpl(wrapper=True)
def pytest_unconfigure(config: pytest.Config) -> Generator[None]:
    """Put everything back: on success, failure and Ctrl-C, and when nobody reads what pytest has to say any more."""
    try:
        return (yield)
    finally:
        run_report = config.stash.get(_REPORT, None)
        if run_report is not None:
            _finish(config, run_report)


def _finish(config: pytest.Config, run_report: RunReport) -> None:
    # A second Ctrl-C, or a SIGTERM after it, must not stop the putting back half-way.
    with uninterrupted():
        # By then no worker may be left that could undo it: xdist ends them, unless something went wrong before.
        workers = getattr(config.pluginmanager.get_plugin("dsession"), "nodemanager", None)
        if workers is not None:
            workers.teardown_nodes()
        run_report.finish()
