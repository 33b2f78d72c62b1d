"""The plugin in runs of pytest of its own, on a platform that is only said to be there."""

import json
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from egress_conformance import case_run, plugin, run_report
from egress_conformance.case import Mode
from egress_conformance.errors import PlatformTrouble, UserError
from egress_conformance.options import Options
from egress_conformance.platform import PlatformInfo
from egress_conformance.worker import Worker
from tests.unit.fakes import FakeKube
from tests.unit.test_case_run import FakeWorker, info

pytest_plugins = ["pytester"]


class FakePlatform:
    """Comes up, or does not, and remembers what was done to it."""

    up_raises: BaseException | None = None
    events: list[str]
    escaped = 0
    others_are_at_work = False

    def __init__(self, options: Options, _: Callable[[str], None]) -> None:
        self.options = options
        self.mesh_config_digest = "0" * 64
        self.provider = self

    @property
    def taken(self) -> bool:
        return self.up_raises is None

    def up(self) -> PlatformInfo:
        self.events.append("up")
        if self.up_raises is not None:
            raise self.up_raises
        return info(prove=self.options.prove)

    def escaped_packets(self) -> int:
        return self.escaped

    def finish(self) -> None:
        self.events.append("finish")

    def down(self) -> None:
        self.events.append("down")


class PlainWorker(FakeWorker):
    """A worker whose cases need nothing but their own code."""

    def __init__(self, given: PlatformInfo, name: str, scratch: Path) -> None:
        super().__init__(prove=given.prove)
        self.kube = FakeKube()
        assert name == "main"
        assert scratch.is_dir()


IMPORTS = """
import pytest
from egress_conformance.case import Mode, Requirement, case
from egress_conformance.errors import PlatformTrouble, UserError
"""
CASE = '''
@case("{id}", source="x"{more})
def test_{name}(recorder):
    """It MUST be so."""
    {body}
'''


def written(id_: str, body: str = "pass", more: str = "") -> str:
    return CASE.format(id=id_, name=id_.replace("-", "_").lower(), body=body, more=more)


PASSES = written("PAS-01")
FAILS = written("FAI-01", 'assert recorder is None, "it is not so"')
INCONCLUSIVE = written("INC-01", 'raise PlatformTrouble("client pod gone", "404")')
SKIPPED = written("SKI-01", more=", requires=(Requirement.INSTALL,)")


@pytest.fixture
def platform(monkeypatch: pytest.MonkeyPatch) -> Iterator[type[FakePlatform]]:
    class Platform(FakePlatform):
        events: list[str] = []  # noqa: RUF012

    monkeypatch.setattr(run_report, "Platform", Platform)
    monkeypatch.setattr(case_run, "CAUSE_SECONDS", 0)
    monkeypatch.setattr(plugin, "Worker", PlainWorker)
    # The run within must not be taken for this one.
    report, handler = plugin._current_report, signal.getsignal(signal.SIGTERM)
    yield Platform
    plugin._current_report = report
    signal.signal(signal.SIGTERM, handler)


Run = Callable[..., pytest.RunResult]


@pytest.fixture
def run(pytester: pytest.Pytester, platform: type[FakePlatform]) -> Run:
    def run(*cases: str, options: tuple[str, ...] = ()) -> pytest.RunResult:
        area = pytester.mkdir("area")
        (area / "test_cases.py").write_text(IMPORTS + "".join(cases))
        arguments = ("-p", "egress_conformance.plugin", "-p", "no:xdist", "-p", "no:cacheprovider", *options)
        return pytester.runpytest_inprocess(*arguments, no_reraise_ctrlc=True)

    return run


def ledger() -> dict[str, Any]:
    said: dict[str, Any] = json.loads(Path("reports/latest/ledger.json").read_text())
    return said


def verdicts() -> dict[str, str]:
    return {case["id"]: case["verdict"] for case in ledger()["cases"]}


def said(result: pytest.RunResult) -> str:
    return result.stdout.str() + result.stderr.str()


EXITS = {
    "all passed": ((PASSES, SKIPPED), 0),
    "one failed": ((PASSES, FAILS, INCONCLUSIVE), 1),
    "one inconclusive": ((PASSES, INCONCLUSIVE), 2),
    "what failed is no case": ((PASSES, "\ndef test_plain():\n    assert False\n"), 2),
    "nothing was tried": ((SKIPPED,), 3),
}


@pytest.mark.parametrize(("cases", "code"), EXITS.values(), ids=EXITS)
def test_the_exit_code_tells_how_the_run_came_out(run: Run, cases: tuple[str, ...], code: int) -> None:
    assert run(*cases).ret == code


def test_each_case_has_its_verdict_in_the_ledger_and_on_the_terminal(run: Run, platform: type[FakePlatform]) -> None:
    result = run(PASSES, FAILS, INCONCLUSIVE, SKIPPED, options=("-v",))
    assert verdicts() == {"PAS-01": "passed", "FAI-01": "failed", "INC-01": "inconclusive", "SKI-01": "skipped"}
    assert {case["area"] for case in ledger()["cases"]} == {"area"}
    assert result.parseoutcomes() == {"passed": 1, "failed": 1, "inconclusive": 1, "skipped": 1}
    result.stdout.fnmatch_lines(
        [
            "*test_fai_01 FAILED*",
            "FAI-01 failed: It MUST be so.",
            "it is not so*",
            "*inconclusive: area/test_cases.py::test_inc_01*",
            "INC-01 inconclusive: It MUST be so.",
            "client pod gone: 404",
        ]
    )
    assert platform.events == ["up", "finish"]


def test_a_skipped_case_says_what_it_needs(run: Run) -> None:
    run(SKIPPED)
    (case,) = ledger()["cases"]
    assert case["reason"] == "needs to install a second Istio revision; only a cluster of the suite's own allows it"


def test_the_environment_is_in_the_ledger(run: Run) -> None:
    run(PASSES)
    environment = ledger()["environment"]
    assert (environment["istio"], environment["data_plane"]["version"]) == ("1.31.0", "1.39.3")
    assert environment["escaped_packets"] == 0


def test_packets_that_left_the_cluster_spoil_a_run(run: Run, platform: type[FakePlatform]) -> None:
    platform.escaped = 3
    result = run(PASSES)
    assert result.ret == 1
    result.stdout.fnmatch_lines(["The run was not hermetic: 3 packets tried to leave the cluster*"])


def test_cases_run_mode_by_mode_and_those_that_flip_it_last(run: Run) -> None:
    run(
        written("AAA-01", more=", flips=True"),
        written("AAA-02"),
        written("AAA-03", more=", mode=Mode.ALLOW_ANY, flips=True"),
        written("AAA-04", more=", mode=Mode.ALLOW_ANY"),
        options=("--collect-only", "-q"),
    ).stdout.fnmatch_lines(["*test_aaa_04", "*test_aaa_03", "*test_aaa_02", "*test_aaa_01"])


def test_collecting_brings_nothing_up(run: Run, platform: type[FakePlatform]) -> None:
    assert run(PASSES, options=("--collect-only",)).ret == 0
    assert platform.events == []


def test_tests_that_are_no_cases_bring_nothing_up(run: Run, platform: type[FakePlatform]) -> None:
    assert run("\ndef test_plain():\n    pass\n").ret == 0
    assert platform.events == []
    assert not Path("reports").exists()


def test_where_nothing_is_run_the_users_input_was_wrong(run: Run, platform: type[FakePlatform]) -> None:
    assert run(PASSES, options=("-k", "nothing_of_that_name")).ret == 3
    assert platform.events == []


def test_what_the_user_can_mend_is_one_line_and_nothing_is_run(run: Run, platform: type[FakePlatform]) -> None:
    platform.up_raises = UserError("no context x", "name another")
    result = run(PASSES)
    assert result.ret == 3
    assert "no context x: name another" in said(result)
    assert platform.events == ["up", "finish"]
    assert not Path("reports").exists()


def test_a_platform_that_does_not_come_up_is_inconclusive(run: Run, platform: type[FakePlatform]) -> None:
    platform.up_raises = PlatformTrouble("Istio not installed", "timed out")
    result = run(PASSES)
    assert result.ret == 2
    assert "the platform did not come up: Istio not installed: timed out" in said(result)
    assert platform.events == ["up", "finish"]


def test_what_the_user_can_mend_may_show_in_a_case_and_ends_the_run(run: Run, platform: type[FakePlatform]) -> None:
    result = run(written("AAA-01", 'raise UserError("manifest a.yaml is bad", "mend it")'), PASSES)
    assert result.ret == 3
    assert "manifest a.yaml is bad: mend it" in said(result)
    assert platform.events == ["up", "finish"]


def test_ctrl_c_puts_everything_back(run: Run, platform: type[FakePlatform]) -> None:
    assert run(PASSES, written("STO-01", "raise KeyboardInterrupt")).ret == 2
    assert verdicts() == {"PAS-01": "passed"}
    assert platform.events == ["up", "finish"]


def test_the_cluster_is_removed_where_the_user_wants_that(run: Run, platform: type[FakePlatform]) -> None:
    run(PASSES, options=("--down",))
    assert platform.events == ["up", "finish", "down"]


def test_a_cluster_that_another_run_uses_is_not_removed(run: Run, platform: type[FakePlatform]) -> None:
    platform.up_raises = UserError("another run is using this cluster", "wait for it to end")
    run(PASSES, options=("--down",))
    assert platform.events == ["up", "finish"]


def test_a_test_that_uses_the_mesh_must_be_a_case(run: Run) -> None:
    result = run(PASSES, "\ndef test_plain(recorder):\n    pass\n")
    assert result.ret == 2
    result.stdout.fnmatch_lines(["*test_plain uses the mesh but is no case: put @case(...) above it*"])


def test_proving_turns_it_round(run: Run) -> None:
    subject = 'with recorder.subject():\n        assert recorder is None, "nothing is there"'
    result = run(written("AAA-01", subject), PASSES, options=("--prove",))
    assert verdicts() == {"AAA-01": "passed", "PAS-01": "failed"}
    assert {case["id"]: case["proof"] for case in ledger()["cases"]} == {"AAA-01": "proved", "PAS-01": "unproved"}
    assert result.parseoutcomes() == {"passed": 1, "failed": 1}
    assert result.ret == 1


def test_a_worker_that_does_not_come_up_makes_its_cases_inconclusive(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_worker(*_: object) -> Worker:
        raise PlatformTrouble("no sidecar", "Istio injected none")

    monkeypatch.setattr(plugin, "Worker", no_worker)
    assert run(PASSES).ret == 2
    (case,) = ledger()["cases"]
    assert (case["verdict"], case["reason"]) == ("inconclusive", "no sidecar: Istio injected none")


def test_a_configuration_that_was_rejected_fails_the_case_at_its_end(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    class Rejecting(PlainWorker):
        @contextmanager
        def hold(self, mode: Mode, *, alone: bool) -> Iterator[None]:
            self.counts = iter((0, 1))
            with super().hold(mode, alone=alone):
                yield

    monkeypatch.setattr(plugin, "Worker", Rejecting)
    assert run(PASSES).ret == 1
    (case,) = ledger()["cases"]
    assert case["verdict"] == "failed"
    assert case["reason"].startswith("configuration was rejected while the case ran")


def test_shards_run_all_cases_between_them(run: Run, pytester: pytest.Pytester) -> None:
    bodies = [written(f"PAS-{number:02}") for number in range(1, 6)]
    assert run(*bodies, options=("--shard", "1/2")).ret == 0
    first = ledger()
    arguments = ("-p", "egress_conformance.plugin", "-p", "no:xdist", "-p", "no:cacheprovider")
    assert pytester.runpytest_inprocess(*arguments, "--shard", "2/2").ret == 0
    second = ledger()
    assert (first["shard"], second["shard"]) == ("1/2", "2/2")
    assert [path.name[-7:] for path in sorted(Path("reports/runs").iterdir())] == ["-1-of-2", "-2-of-2"]
    ids = [[case["id"] for case in each["cases"]] for each in (first, second)]
    assert sorted(ids[0] + ids[1]) == [f"PAS-{number:02}" for number in range(1, 6)]
    assert min(map(len, ids)) == 2


def test_a_share_is_dealt_out_of_what_is_asked_for(run: Run) -> None:
    assert run(PASSES, FAILS, INCONCLUSIVE, options=("--shard", "1/1", "-k", "pas")).ret == 0
    assert [case["id"] for case in ledger()["cases"]] == ["PAS-01"]


def test_a_share_that_is_none_ends_the_run_before_anything_is_done(run: Run, platform: type[FakePlatform]) -> None:
    result = run(PASSES, options=("--shard", "3/2"))
    assert result.ret == 3
    assert "--shard 3/2 is no share of the cases: write 2/3 for the second of three" in "\n".join(
        result.outlines + result.errlines
    )
    assert platform.events == []


def test_a_worker_without_a_namespace_ends_the_run_before_anything_is_done(
    run: Run, pytester: pytest.Pytester, platform: type[FakePlatform], monkeypatch: pytest.MonkeyPatch
) -> None:
    given = ("--provider", "existing", "--namespaces", "w,c1")
    assert run(PASSES, options=given).ret == 0
    platform.events.clear()
    monkeypatch.setattr(plugin, "_workers", lambda _: 2)
    result = pytester.runpytest_inprocess("-p", "egress_conformance.plugin", "-p", "no:xdist", *given)
    assert result.ret == 3
    assert "2 workers need as many namespaces for clients; --namespaces has 1: name more, or use -n 1" in said(result)
    assert platform.events == []


def test_an_empty_share_is_nothing_tried(run: Run, platform: type[FakePlatform]) -> None:
    assert run(PASSES, options=("--shard", "2/2")).ret == 3
    assert "up" not in platform.events
