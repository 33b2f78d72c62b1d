"""The suite at a station, the time line, and the commands."""

import io
import os
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from rich.console import Console

from egress_conformance import cli
from egress_conformance.cluster.commands import CommandFailed
from egress_conformance.errors import ExitCode, PlatformTrouble, Timeout, UserError
from egress_conformance.options import Options
from egress_conformance.report.explain import Explanations
from egress_conformance.report.upgrade import Upgrade
from egress_conformance.signals import uninterrupted
from egress_conformance.upgrade import command, names, on_existing, on_kind, timeline, written
from egress_conformance.upgrade.evidence import Evidence
from egress_conformance.upgrade.load import Load
from egress_conformance.upgrade.logs import Logs
from egress_conformance.upgrade.sent import Request
from egress_conformance.upgrade.suite_run import run_suite
from egress_conformance.upgrade.timeline import Timeline
from tests.unit.data.an_upgrade import DESTINATIONS, NEW, OLD, in_force, upgrade
from tests.unit.data.two_ledgers import ledger, reaches, record
from tests.unit.fakes import Clock, FakeKube


class Suite:
    """Stands in for a run of the suite."""

    def __init__(self, folder: Path, code: int = 0, *, says: str = "report: {}/report.html") -> None:
        self.folder, self.code, self.says = folder, code, says
        self.argv: Sequence[str] = ()
        ledger().write(folder / "ledger.json")
        (folder / "report.html").write_text("<html>", encoding="utf-8")

    def __call__(self, argv: Sequence[str], *, log: Path | None = None, **_: Any) -> str:  # noqa: ANN401
        self.argv = argv
        assert log is not None
        log.write_text(f"3 passed\n{self.says.format(self.folder)}\n", encoding="utf-8")
        if self.code:
            raise CommandFailed(argv, self.code, "")
        return ""


@pytest.mark.parametrize("code", [0, 1, 2])
def test_a_station_keeps_ledger_page_and_log_of_its_run(tmp_path: Path, code: int) -> None:
    suite = Suite(tmp_path, code)
    folder = tmp_path / "stations" / "before"
    assert run_suite(["--istio", "1.29", "-m", "article"], folder, suite) == code
    assert suite.argv == [sys.executable, "-m", "egress_conformance", "run", "--istio", "1.29", "-m", "article"]
    assert {path.name for path in folder.iterdir()} == {"ledger.json", "report.html", "log.txt"}


@pytest.mark.parametrize(("code", "says"), [(3, "report: {}/report.html"), (1, "something broke"), (124, "")])
def test_a_run_without_a_result_is_trouble_and_says_where_to_look(tmp_path: Path, code: int, says: str) -> None:
    with pytest.raises(PlatformTrouble, match=rf"no result: exit code {code}; .*all of it is in .*log.txt"):
        run_suite([], tmp_path / "x", Suite(tmp_path, code, says=says))


class QuietLoad(Load):
    """A load of requests that a test makes."""

    def __init__(self) -> None:
        self.evidence = Evidence(Logs(FakeKube(), lambda _source, _since: iter([])))
        self.destinations = list(DESTINATIONS)
        self.settled = 0

    def settle(self, seconds: int = 0, *, served: bool = False) -> None:  # noqa: ARG002  (takes what the real one takes)
        self.settled += 1


@pytest.fixture
def load() -> QuietLoad:
    return QuietLoad()


@pytest.fixture
def line(load: QuietLoad, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Timeline:
    counts = iter(range(100))
    monkeypatch.setattr(timeline, "rejections", lambda _: {"istiod-1": next(counts)})
    monkeypatch.setattr(timeline, "in_force", lambda _: in_force(OLD))
    return Timeline(FakeKube(), load, tmp_path, lambda _: None)


def suite(folder: Path) -> int:
    folder.mkdir(parents=True)
    ledger().write(folder / "ledger.json")
    return 1


def test_steps_and_stations_lie_on_one_line(line: Timeline, load: QuietLoad) -> None:
    with line.step("move", "canary", "label"):
        pass
    line.station("old beside canary", "canary", "both", suite)
    load.evidence.requests += [
        Request(line.parts[0].begins, 1, ok=True, outcome="200", client="a", destination=DESTINATIONS[0]),
        Request(line.parts[1].begins + 1e6, 1, ok=False, outcome="-1", client="a", destination=DESTINATIONS[0]),
    ]
    step, station = line.segments(load.evidence)
    assert (step.kind, step.rejected, step.in_force, step.ledger) == ("step", 1, in_force(OLD), "")
    assert (station.kind, station.exit_code, station.ledger) == (
        "station",
        1,
        "stations/old-beside-canary/ledger.json",
    )
    assert [each.requests for each in step.sent] == [1, 0]
    # What comes after the last of them counts with it.
    assert [each.lost for each in station.sent] == [1, 0]
    assert list(line.ledgers) == ["old beside canary"]
    assert load.settled == 1


def fails(*_: object) -> int:
    raise PlatformTrouble("Istio not installed", "timed out")


def test_a_step_that_fails_ends_it_and_a_station_that_fails_does_not(line: Timeline, load: QuietLoad) -> None:
    line.station("skew", "in-place", "", fails)
    with pytest.raises(PlatformTrouble), line.step("control plane", "in-place", ""):
        fails()
    assert [each.problem for each in line.segments(load.evidence)] == ["Istio not installed: timed out"] * 2
    assert not line.ledgers


def test_it_is_judged_and_written(
    line: Timeline, load: QuietLoad, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(load, "facts", lambda: upgrade().load)
    line.ledgers.update(
        {names.BEFORE: ledger("1.29.1"), names.AFTER: ledger("1.31", record(witnesses=[reaches(flags="UH")]))}
    )
    with line.step(names.CONTROL, "", ""):
        load.evidence.requests.append(
            Request(time.time(), 1, ok=False, outcome="-1", client="a", destination=DESTINATIONS[1])
        )
    outcome = written.Outcome("existing", OLD, NEW, [names.EXISTING], trouble="timed out")
    found = written.write(outcome, line, load, [], explanations=Explanations(), folder=tmp_path)
    assert Upgrade.read(tmp_path / "upgrade.json") == found
    assert "1 unexplained change" in (tmp_path / "report.html").read_text(encoding="utf-8")
    # What is lost in the control is lost on purpose.
    assert (found.lost_requests, found.exit_code) == (0, ExitCode.FAILED)
    assert any("minor versions" in note for note in found.notes)
    assert "It ended early: timed out" in found.notes


@pytest.mark.parametrize(("old", "new", "told"), [("1.29.1", "1.31", 1), ("1.28.2", "1.29.1", 0), ("1.31", "2.0", 0)])
def test_a_skew_of_more_than_istio_supports_is_said(old: str, new: str, told: int) -> None:
    assert len(written.notes(written.Outcome("kind", old, new, [names.CANARY]))) == told


def test_the_ledger_of_after_is_waited_for_until_all_of_it_is_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "after.json"

    class Writes(Clock):
        def sleep(self, seconds: float) -> None:
            super().sleep(seconds)
            if self.now > 1003:
                ledger().write(path)
            elif self.now > 1001:
                path.write_text('{"schema": ', encoding="utf-8")

    Writes().install(monkeypatch)
    assert on_existing.after_ledger(path) == ledger()
    path.write_text('{"schema": "another/v1"}', encoding="utf-8")
    with pytest.raises(UserError, match="is of schema another/v1"):
        on_existing.after_ledger(path)
    Clock().install(monkeypatch)
    with pytest.raises(Timeout, match=r"the ledger .*; last seen: .* cannot be read"):
        on_existing.after_ledger(tmp_path / "never.json")


def test_what_an_existing_cluster_lacks_is_said_before_anything_is_done(tmp_path: Path) -> None:
    before, after = tmp_path / "before.json", tmp_path / "after.json"
    with pytest.raises(UserError, match="--load-image"):
        on_existing.cluster_of(Options(), (before, after), "")
    with pytest.raises(UserError, match=r"before\.json cannot be read"):
        on_existing.cluster_of(Options(), (before, after), "fortio:1")
    ledger().write(before)
    with pytest.raises(UserError, match="there is no folder"):
        on_existing.cluster_of(Options(), (before, tmp_path / "x" / "after.json"), "fortio:1")
    after.touch()
    with pytest.raises(UserError, match=r"after\.json is there already"):
        on_existing.cluster_of(Options(), (before, after), "fortio:1")


def refusal(*arguments: str) -> str:
    error = CliRunner().invoke(cli.cli, ["upgrade", *arguments]).exception
    assert isinstance(error, UserError), error
    return str(error)


REFUSED = {
    "--from 1.29": "on kind an upgrade needs two versions",
    "--from 1.29 --to 1.31 --before x": "on kind an upgrade needs two versions",
    "--from 1.29 --to 1.31 --revision canary": "on kind an upgrade needs two versions",
    "--from 1.29 --to 1.29": "from 1.29 to 1.29 is no upgrade",
    "--from 1.29 --to 1.31 --route compatibility": "route compatibility begins where in-place ends",
    "--from 1.29 --to 1.31 --allow nowhere.yaml": "nowhere.yaml",
    "--provider existing --before x": "the change is yours",
    "--provider existing --before x --after y --to 1.31": "the change is yours",
    "--provider existing --before x --after y": "--load-image",
}


@pytest.mark.parametrize(("words", "told"), REFUSED.items(), ids=REFUSED)
def test_what_makes_no_sense_is_refused_in_a_line(words: str, told: str) -> None:
    assert told in refusal(*words.split())


def test_the_command_line_is_passed_on(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []

    def upgraded(*arguments: object, **named: object) -> ExitCode:
        asked.append((arguments, named))
        return ExitCode.FAILED

    monkeypatch.setattr(command, "on_kind", upgraded)
    words = "upgrade --from 1.29 --to 1.31 --route in-place --images build --qps 7 --keep -m article -n 2"
    assert CliRunner().invoke(cli.cli, words.split()).exit_code == 1
    (((options, versions, traffic, report), named),) = asked
    assert options == Options(images="build")
    assert versions == ("1.29", "1.31")
    assert (traffic, report.allow) == (command.Traffic(3, 7), None)
    assert named == {"routes": ("in-place",), "arguments": ("-m", "article", "-n", "2"), "keep": True}


def test_the_end_of_it_is_told(tmp_path: Path) -> None:
    console = Console(record=True, width=200, file=io.StringIO())
    report = command.Report(tmp_path, None, console)
    assert report.end(upgrade(), tmp_path / "x") == ExitCode.FAILED
    told = console.export_text()
    assert "FAILED       UPG-02 It MUST be so.: because" in told
    assert told.rstrip().endswith(f"report: {tmp_path}/x/report.html")


def test_two_upgrades_do_not_use_one_cluster(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("EGRESS_CONFORMANCE_CACHE", str(tmp_path))
    made: list[str] = []

    class Down:
        def down(self) -> None:
            made.append("down")

    monkeypatch.setattr(on_kind, "make_provider", lambda _: Down())
    monkeypatch.setattr(on_kind.OnKind, "_make", lambda _: FakeKube())
    first, second = (on_kind.OnKind(Options(), "1.29", "1.31", [], made.append) for _ in range(2))
    with first.up():
        with pytest.raises(UserError, match="another upgrade is under way on this machine"), second.up():
            pass
        assert made == []
    assert made == ["down"]
    with second.up():
        pass


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_what_is_taken_away_is_taken_away_whoever_asks_again(number: signal.Signals) -> None:
    before = signal.getsignal(number)
    with uninterrupted():
        os.kill(os.getpid(), number)
    assert signal.getsignal(number) == before
