"""An upgrade on kind, step by step, and one around somebody else's change: what is done in which order."""

import io
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from egress_conformance.cluster.provider import Cluster, IstioRelease
from egress_conformance.errors import ExitCode, PlatformTrouble
from egress_conformance.mesh import install
from egress_conformance.options import Options
from egress_conformance.platform import Platform
from egress_conformance.report.upgrade import Load as LoadFacts
from egress_conformance.report.upgrade import Upgrade
from egress_conformance.upgrade import command, names, on_kind, timeline
from egress_conformance.upgrade.evidence import Evidence
from egress_conformance.upgrade.injector import Injection
from egress_conformance.upgrade.load import Load
from egress_conformance.upgrade.logs import Logs
from tests.unit.data.an_upgrade import DESTINATIONS, in_force
from tests.unit.data.two_ledgers import ledger
from tests.unit.fakes import FakeKube

FULL = {"1.29": "1.29.1", "1.31": "1.31-20260827"}


def cluster(istio: str, revision: str = "") -> Cluster:
    release = IstioRelease(istio, FULL[istio], Path("/x/istioctl"), "h", f"{FULL[istio]}-0123abcd", upstream_envoy=True)
    return Cluster(Path("/k"), "c", "client:1", "world:1", {}, release=release, revision=revision)


class Done(list[str]):
    """What was done, in order; raises trouble at what begins so."""

    fails_at = "nothing"

    def note(self, what: str) -> None:
        self.append(what)
        if what.startswith(self.fails_at):
            raise PlatformTrouble("Istio not installed", "timed out")


@pytest.fixture
def done() -> Done:
    return Done()


class QuietLoad(Load):
    """Notes what is done to the load."""

    def __init__(self, done: Done) -> None:
        self.done = done
        self.evidence = Evidence(Logs(FakeKube(), lambda _source, _since: iter([])))
        self.destinations = list(DESTINATIONS)

    def facts(self) -> LoadFacts:
        return LoadFacts(generator="Fortio", clients=3, requests_per_second=5, timeout_seconds=5, slow_ms=1000)

    def start(self) -> None:
        self.done.note("start load")

    def stop(self) -> None:
        self.done.note("stop load")

    def settle(self, seconds: int = 0, *, served: bool = False) -> None:
        pass

    def control(self) -> list[str]:
        self.done.note("control")
        return []

    def move(self, revision: str) -> None:
        self.done.note(f"move to {revision or 'default'}")

    def restart(self) -> None:
        self.done.note("restart")


@pytest.fixture
def there(done: Done, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Stand-ins for all that an upgrade leans on."""
    monkeypatch.setenv("EGRESS_CONFORMANCE_CACHE", str(tmp_path / "cache"))

    class APlatform(Platform):
        def __init__(self, options: Options, *_: object) -> None:
            self.options = options

        def up(self) -> Any:  # noqa: ANN401
            o = self.options
            done.note(f"install {o.istio}{f' as {o.revision}' if o.revision else ''}{' afresh' if o.fresh else ''}")

        @property
        def cluster(self) -> Cluster:
            return cluster(str(self.options.istio), self.options.revision_name)

        def finish(self) -> None:
            pass

    class AProvider:
        def __init__(self, options: Options) -> None:
            self.options = options

        def up(self) -> Cluster:
            done.note(f"load images of {self.options.istio}")
            return cluster(str(self.options.istio))

        def down(self) -> None:
            done.note("down")

    class AnInjector:
        def __init__(self, *_: object) -> None:
            pass

        def now(self) -> Injection:
            return Injection({}, [each for each in done if each.startswith("install") and " as " not in each][-1])

        def put(self, wanted: Injection) -> None:
            done.note(f"inject as after {wanted.proxy}")

        def proxy(self) -> str:
            return "new"

    class ABuilder:
        def __init__(self, *_: object, install: bool) -> None:
            assert install

        def fortio(self) -> str:
            return "fortio:1"

    def suite(arguments: Sequence[str], folder: Path) -> int:
        done.note(f"suite {' '.join(arguments)}")
        folder.mkdir(parents=True)
        ledger(FULL["1.31" if "1.31" in arguments else "1.29"]).write(folder / "ledger.json")
        return 0

    def installed(_: Cluster, release: IstioRelease, *, values: dict[str, str]) -> None:
        done.note(f"install {release.version} with {values}")

    monkeypatch.setattr(on_kind, "Platform", APlatform)
    monkeypatch.setattr(on_kind, "make_provider", AProvider)
    monkeypatch.setattr(on_kind, "Injector", AnInjector)
    monkeypatch.setattr(on_kind, "Builder", ABuilder)
    monkeypatch.setattr(on_kind, "ensure_engine", lambda *_, **__: None)
    monkeypatch.setattr(on_kind, "Kube", lambda *_: FakeKube())
    monkeypatch.setattr(on_kind, "run_suite", suite)
    monkeypatch.setattr(on_kind, "settings", lambda _: {})
    monkeypatch.setattr(install, "install", installed)
    monkeypatch.setattr(install, "uninstall", lambda *x: done.note(f"uninstall {x[2]}"))
    monkeypatch.setattr(timeline, "rejections", lambda _: {})
    monkeypatch.setattr(timeline, "in_force", lambda _: in_force("1.29.1"))
    monkeypatch.setattr(command, "Load", lambda *_: QuietLoad(done))
    monkeypatch.setattr(command, "Injector", AnInjector)
    monkeypatch.setattr(command, "Kube", lambda *_: FakeKube())


def report(tmp_path: Path) -> command.Report:
    return command.Report(tmp_path, None, Console(file=io.StringIO()))


def written(tmp_path: Path) -> Upgrade:
    (folder,) = (tmp_path / "reports" / "runs").iterdir()
    return Upgrade.read(folder / "upgrade.json")


RUN = "suite --istio {} --images build --wait --cluster istio-egress-upgrade{} -m article"
BEGIN = ["install 1.29 afresh", "load images of 1.31", "start load", "control", RUN.format("1.29", "")]
CANARY = [
    "install 1.31 as canary",
    RUN.format("1.29", ""),
    RUN.format("1.31", " --revision canary"),
    "move to canary",
    "restart",
    "move to default",
    "restart",
    "uninstall canary",
]
IN_PLACE = [
    "install 1.31",
    "inject as after install 1.29 afresh",
    RUN.format("1.31", ""),
    "inject as after install 1.31",
    "restart",
    RUN.format("1.31", ""),
]
COMPATIBILITY = [
    "install 1.31 with {'values.compatibilityVersion': '1.29'}",
    "restart",
    RUN.format("1.31", ""),
]
END = ["stop load", "down"]


def upgraded(tmp_path: Path, *routes: str) -> ExitCode:
    return command.on_kind(
        Options(images="build"),
        ("1.29", "1.31"),
        command.Traffic(3, 5),
        report(tmp_path),
        routes=routes,
        arguments=["-m", "article"],
    )


@pytest.mark.usefixtures("there")
def test_routes_are_taken_in_their_order_whatever_they_are_named_in(done: Done, tmp_path: Path) -> None:
    upgraded(tmp_path, names.COMPATIBILITY, names.IN_PLACE, names.CANARY)
    wanted = [*BEGIN, *CANARY, *IN_PLACE, *COMPATIBILITY, *END]
    # In which order a run is given its options makes no difference.
    assert [sorted(each.split()) for each in done] == [sorted(each.split()) for each in wanted]
    found = written(tmp_path)
    assert (found.old, found.new, found.routes) == ("1.29.1", "1.31-20260827", list(names.ROUTES))
    assert {(each.old, each.new) for each in found.comparisons} == {
        (names.BEFORE, names.AFTER),
        (names.BEFORE, names.SKEW),
        (names.BEFORE, names.BESIDE),
        (names.AFTER, names.CANARY_STATION),
        (names.AFTER, names.COMPATIBLE),
    }


@pytest.mark.usefixtures("there")
def test_only_the_routes_that_are_named_are_taken(done: Done, tmp_path: Path) -> None:
    upgraded(tmp_path, names.IN_PLACE)
    assert not any("canary" in each or "compatibility" in each for each in done)
    assert {each.id: each.verdict.value for each in written(tmp_path).cases}["UPG-04"] == "skipped"


@pytest.mark.usefixtures("there")
@pytest.mark.parametrize(
    ("fails_at", "last"),
    {
        "install 1.31 as canary": "install 1.31 as canary",
        "uninstall": "uninstall canary",
    }.items(),
)
def test_a_step_that_fails_ends_it_with_a_report(done: Done, tmp_path: Path, fails_at: str, last: str) -> None:
    done.fails_at = fails_at
    assert upgraded(tmp_path) == ExitCode.INCONCLUSIVE
    assert done[-3:] == [last, *END]
    assert any("It ended early: Istio not installed: timed out" in note for note in written(tmp_path).notes)


@pytest.mark.usefixtures("there")
def test_a_skew_that_cannot_be_had_does_not_end_it(done: Done, tmp_path: Path) -> None:
    done.fails_at = "inject as after install 1.29"
    upgraded(tmp_path, names.IN_PLACE)
    place = done.index("inject as after install 1.29 afresh")
    assert done[place + 1 : place + 3] == ["inject as after install 1.31", "restart"]


@pytest.mark.usefixtures("there")
@pytest.mark.parametrize("at", ["start load", "control", "restart"])
def test_whatever_interrupts_it_all_is_taken_away(
    done: Done, tmp_path: Path, at: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    note = done.note

    def interrupted(what: str) -> None:
        note(what)
        if what == at:
            raise KeyboardInterrupt

    monkeypatch.setattr(done, "note", interrupted)
    with pytest.raises(KeyboardInterrupt):
        upgraded(tmp_path)
    assert done[-2:] == END


@pytest.mark.usefixtures("there")
@pytest.mark.parametrize(("proxies", "restarted"), [({"old": 3}, True), ({"new": 3}, False)])
def test_around_somebody_elses_change_there_is_only_the_load(
    done: Done, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, proxies: dict[str, int], restarted: bool
) -> None:
    before, after = ledger("1.29.1"), ledger("1.29.1")
    monkeypatch.setattr(command, "cluster_of", lambda *_: (cluster("1.29"), before))
    monkeypatch.setattr(command, "after_ledger", lambda _: after)
    versions: Iterator[dict[str, str]] = iter([{"istiod": "1.29.1"}, {"istiod": "1.31"}])
    monkeypatch.setattr(command, "control_planes", lambda _: next(versions))
    monkeypatch.setattr(command, "proxies", lambda _: proxies)
    traffic, files = command.Traffic(3, 5), (tmp_path / "before.json", tmp_path / "after.json")
    code = command.on_existing(Options(), files, "fortio:1", traffic, report(tmp_path))
    assert list(done) == ["start load", "control", *(["restart"] if restarted else []), "stop load"]
    found = written(tmp_path)
    assert (found.old, found.new) == ("1.29.1", "1.31")
    verdicts = {each.id: each.verdict.value for each in found.cases}
    # Nothing was sent here: that says nothing about losses.
    assert (verdicts["UPG-01"], verdicts["UPG-06"], code) == ("inconclusive", "passed", ExitCode.INCONCLUSIVE)
