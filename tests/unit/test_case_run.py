"""From what pytest saw of a case to its verdict: failed is only what says something about Istio."""

# ruff: noqa: ARG002  (a stand-in takes what the real one takes)

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, NoReturn

import pytest

from egress_conformance.case import Case, Mode, Requirement
from egress_conformance.case_run import CAUSE_SECONDS, CaseRun
from egress_conformance.cluster.kube import Refused
from egress_conformance.errors import PlatformTrouble, Timeout, UserError
from egress_conformance.mesh.config import MeshConfig
from egress_conformance.mesh.gateway import Gateway
from egress_conformance.mesh.proxy import Proxy
from egress_conformance.platform import PlatformInfo
from egress_conformance.report.ledger import DataPlane, Verdict
from egress_conformance.traffic.client import Client
from egress_conformance.traffic.recorder import CheckFailed, Recorder
from egress_conformance.worker import Worker
from egress_conformance.world.world import World
from tests.unit.fakes import ALPHA, CLIENT, Clock, FakeKube, FakeWorld


def info(**changes: Any) -> PlatformInfo:  # noqa: ANN401
    given: dict[str, Any] = {
        "run": "r1",
        "provider": "kind",
        "kubeconfig": "/nowhere",
        "context": "c",
        "revision": "",
        "client_image": "client:1",
        "may_change_mesh": True,
        "world_image": "world:1",
        "prove": False,
        "deadline": 30,
        "istio_version": "1.31.0",
        "kubernetes_version": "v1.35.0",
        "release": None,
        "images": {},
    }
    return PlatformInfo(**{**given, **changes})


class FakeConfig(MeshConfig):
    """A mesh in a mode."""

    def __init__(self, mode: Mode) -> None:
        self._mode = mode

    def mode(self) -> Mode:
        return self._mode


class FakeWorker(Worker):
    """A worker on a platform that a test describes."""

    def __init__(self, *, mode: Mode = Mode.REGISTRY_ONLY, **facts: Any) -> None:  # noqa: ANN401
        self.info = info(**facts)
        self.config = FakeConfig(mode)
        self.data_plane = DataPlane(kind="envoy", version="1.39.3")
        self.tracer = False
        self.says: Callable[[], str] = lambda: ""
        self.counts = iter(range(0))
        self.pushed: str | None = "CDS: PUSH for node:client.ns"
        self.events: list[str] = []

    def trouble(self) -> str:
        return self.says()

    def has_tracer(self) -> bool:
        return self.tracer

    @contextmanager
    def hold(self, mode: Mode, *, alone: bool) -> Iterator[None]:
        self.events.append(f"hold {mode}")
        try:
            yield
        finally:
            self.events.append("let go")

    def world(self, label: str) -> World:
        worker = self

        class Forgetful(FakeWorld):
            def forget(self) -> None:
                worker.events.append(f"forget {label}")

        return Forgetful()

    def make_ready(self) -> None:
        pass

    def leave_scene(self, *, unless: str) -> None:
        pass

    def egress_gateway(self) -> Gateway | None:
        return Gateway(FakeKube(), "istio-system", "istio-egressgateway-1") if self.tracer else None

    def votes_alone(self) -> bool:
        return self.tracer

    def leads_alone(self) -> bool:
        return self.tracer

    def client(self, world: World, recorder: Recorder, *, patch: Path | None = None, elsewhere: bool = False) -> Client:
        worker = self

        class Counting(Client):
            @property
            def proxy(self) -> Proxy:
                stats = f"cluster_manager.cds.update_rejected: {next(worker.counts, 0)}\n"
                return Proxy(lambda _: stats)

        return Counting(FakeKube(), "ns", CLIENT, world, recorder)

    def rejections(self) -> int:
        return 3

    def pushes(self, seconds: float) -> str:
        if self.pushed is None:
            raise PlatformTrouble("API server away", "refused")
        return self.pushed


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock().install(monkeypatch)


CASE = Case("TST-01", "there", Mode.REGISTRY_ONLY, False, (), "this", "It MUST be so.")


def case(**changes: Any) -> Case:  # noqa: ANN401
    return replace(CASE, **changes)


def phase(run: CaseRun, what: Callable[[], None], *, when: str = "call") -> None:
    """Let pytest see this, and the run take it in."""
    run.phase(pytest.CallInfo.from_call(what, when=when))  # type: ignore[arg-type]


def raising(error: BaseException) -> Callable[[], NoReturn]:
    def raise_it() -> NoReturn:
        raise error

    return raise_it


def nothing() -> None:
    pass


def came_to(*errors: BaseException, says: Callable[[], str] = lambda: "") -> tuple[Verdict, str]:
    worker = FakeWorker()
    worker.says = says
    run = CaseRun(CASE, worker)
    for error in errors:
        phase(run, raising(error))
    return run.verdict()


def test_a_case_that_nothing_happened_to_passed() -> None:
    run = CaseRun(CASE, FakeWorker())
    for when in ("setup", "call", "teardown"):
        phase(run, nothing, when=when)
    assert run.verdict() == (Verdict.PASSED, "")


FAILED = {
    "an assertion": (AssertionError("a is not b"), "a is not b"),
    "a check, by its gist": (CheckFailed("curl: no", "the attempts"), "curl: no"),
    "what the API server refused": (Refused(400, "admission webhook: no"), "400: admission webhook: no"),
    "pytest.fail": (pytest.fail.Exception("DID NOT RAISE"), "DID NOT RAISE"),
}


@pytest.mark.parametrize(("error", "reason"), FAILED.values(), ids=FAILED)
def test_what_fails_a_case(error: BaseException, reason: str) -> None:
    assert came_to(error) == (Verdict.FAILED, reason)


def test_a_case_may_fail_for_several_reasons() -> None:
    assert came_to(AssertionError("first"), AssertionError("second")) == (Verdict.FAILED, "first\nsecond")


INCONCLUSIVE = {
    "trouble with the platform": (PlatformTrouble("client pod gone", "404"), "client pod gone: 404"),
    "a wait that ran out": (
        Timeout("the mode", 30, "mode None", "look"),
        "timed out: waited 30 s for the mode; last seen: mode None; try: look",
    ),
    "a mistake in the case": (KeyError("host"), "error in the suite: KeyError: 'host'"),
    "a value nobody thought of": (ValueError("no mode X"), "error in the suite: ValueError: no mode X"),
    "a manifest that lacks a value": (
        UserError("no host", "give one"),
        "error in the suite: UserError: no host: give one",
    ),
}


@pytest.mark.parametrize(("error", "reason"), INCONCLUSIVE.values(), ids=INCONCLUSIVE)
def test_what_says_nothing_about_istio(error: BaseException, reason: str) -> None:
    assert came_to(error) == (Verdict.INCONCLUSIVE, reason)


def test_trouble_outweighs_a_failed_assertion_whichever_came_first() -> None:
    trouble, failure = PlatformTrouble("API server away", "refused"), AssertionError("no answer")
    expected = (Verdict.INCONCLUSIVE, "API server away: refused")
    assert came_to(trouble, failure) == expected
    assert came_to(failure, trouble) == expected


def test_a_failure_on_a_broken_platform_says_nothing() -> None:
    assert came_to(AssertionError("no answer"), says=lambda: "client pod not ready") == (
        Verdict.INCONCLUSIVE,
        "client pod not ready",
    )


def test_what_became_of_the_pods_is_the_reason_and_how_it_showed_stands_beside_it() -> None:
    trouble = PlatformTrouble("exec broke off", "the loop ended before its time")
    assert came_to(trouble, says=lambda: "client pod gone: Evicted") == (
        Verdict.INCONCLUSIVE,
        "client pod gone: Evicted (exec broke off: the loop ended before its time)",
    )


def test_kubernetes_may_say_a_moment_later_what_broke(clock: Clock) -> None:
    says = iter(["", "", "client pod gone: Evicted"])
    broke = PlatformTrouble("exec broke off", "x")
    assert came_to(broke, says=lambda: next(says))[1] == "client pod gone: Evicted (exec broke off: x)"
    assert clock.now == pytest.approx(1000.4)
    # It need not say anything.
    assert came_to(broke) == (Verdict.INCONCLUSIVE, "exec broke off: x")
    assert clock.now == pytest.approx(1000.4 + CAUSE_SECONDS, abs=0.5)


def test_what_fails_for_its_own_sake_is_not_waited_for(clock: Clock) -> None:
    assert came_to(AssertionError("no answer")) == (Verdict.FAILED, "no answer")
    assert clock.now == 1000


@pytest.mark.parametrize("error", [AssertionError("no"), PlatformTrouble("exec broke off", "x"), KeyError("host")])
def test_after_an_error_nothing_is_taken_at_its_word(error: Exception) -> None:
    worker = FakeWorker()
    phase(CaseRun(CASE, worker), nothing)
    assert not worker.is_in_doubt
    phase(CaseRun(CASE, worker), raising(error))
    assert worker.is_in_doubt


def test_with_a_failed_check_goes_what_istiod_pushed_meanwhile() -> None:
    worker = FakeWorker()
    kept = {}
    for pushes in (worker.pushed, None):
        worker.pushed = pushes
        run = CaseRun(CASE, worker)
        phase(run, raising(CheckFailed("no answer", "")))
        kept[pushes] = run.recorder.evidence["what istiod pushed"]
    assert kept == {
        "CDS: PUSH for node:client.ns": "CDS: PUSH for node:client.ns",
        None: "not to be had: API server away: refused",
    }


def test_a_case_that_hung_says_nothing() -> None:
    hung = pytest.fail.Exception("Timeout (>300.0s) from pytest-timeout.")
    assert came_to(hung) == (Verdict.INCONCLUSIVE, "the case hung: Timeout (>300.0s) from pytest-timeout.")


@pytest.mark.parametrize("error", [PlatformTrouble("API server away", "refused"), Refused(404, "pods not found")])
def test_a_failure_where_the_platform_cannot_be_asked_says_nothing(error: Exception) -> None:
    verdict, reason = came_to(AssertionError("no answer"), says=raising(error))
    assert (verdict, reason) == (Verdict.INCONCLUSIVE, str(error))


def test_the_platform_is_asked_when_the_failure_happens_and_not_later() -> None:
    worker = FakeWorker()
    run = CaseRun(CASE, worker)
    phase(run, raising(AssertionError("no answer")))
    worker.says = lambda: "the pod was removed at the end"
    assert run.verdict() == (Verdict.FAILED, "no answer")


def test_a_case_without_a_worker_is_inconclusive() -> None:
    run = CaseRun(CASE, None)
    phase(run, raising(AssertionError("no worker")), when="setup")
    assert run.verdict() == (Verdict.INCONCLUSIVE, "the worker did not come up")
    assert run.data_plane is None


def test_a_skipped_case_says_why() -> None:
    run = CaseRun(CASE, FakeWorker())
    phase(run, lambda: pytest.skip(str(Requirement.TRACER)), when="setup")
    assert run.verdict() == (Verdict.SKIPPED, str(Requirement.TRACER))


def test_a_skipped_case_whose_end_fails_is_no_skipped_case() -> None:
    run = CaseRun(CASE, FakeWorker())
    phase(run, lambda: pytest.skip("no"), when="setup")
    phase(run, raising(AssertionError("leftover")), when="teardown")
    assert run.verdict() == (Verdict.FAILED, "leftover")


MISSING = {
    "nothing": ({}, {}, ""),
    "Istio's own build": ({"requires": (Requirement.ISTIO_PROXY,)}, {}, str(Requirement.ISTIO_PROXY)),
    "leave to put something beside a gateway": (
        {"requires": (Requirement.EGRESS_GATEWAY,)},
        {"may_change_mesh": False},
        str(Requirement.EGRESS_GATEWAY),
    ),
    "a right": ({"requires": (Requirement.MESH_CHANGES,)}, {"may_change_mesh": False}, str(Requirement.MESH_CHANGES)),
    "the right to flip the mode": ({"flips": True}, {"may_change_mesh": False}, str(Requirement.MESH_CHANGES)),
    "the right to set its mode": (
        {"mode": Mode.ALLOW_ANY},
        {"may_change_mesh": False},
        str(Requirement.MESH_CHANGES),
    ),
    "no right, as the mesh is in its mode": ({}, {"may_change_mesh": False}, ""),
    "a right that is given": ({"flips": True, "mode": Mode.ALLOW_ANY}, {}, ""),
    "an Istio to install": ({"requires": (Requirement.INSTALL,)}, {}, str(Requirement.INSTALL)),
    "a tracer": ({"requires": (Requirement.TRACER,)}, {}, str(Requirement.TRACER)),
    "a namespace where all are given": (
        {"requires": (Requirement.NAMESPACES,)},
        {"namespaces": ("w", "c")},
        str(Requirement.NAMESPACES),
    ),
    "no namespace where they are made": ({"requires": (Requirement.NAMESPACES,)}, {}, ""),
    "leave to put something beside a gateway that is elsewhere": (
        {"requires": (Requirement.EGRESS_GATEWAY,)},
        {"namespaces": ("w", "c")},
        str(Requirement.EGRESS_GATEWAY),
    ),
    "several things: the first is named": (
        {"requires": (Requirement.INSTALL, Requirement.TRACER)},
        {},
        str(Requirement.INSTALL),
    ),
}


@pytest.mark.parametrize(("declared", "facts", "reason"), MISSING.values(), ids=MISSING)
def test_what_a_case_lacks(declared: dict[str, Any], facts: dict[str, Any], reason: str) -> None:
    run = CaseRun(case(**declared), FakeWorker(**facts))
    assert (run.missing() or run.outnumbered()) == reason


@pytest.mark.parametrize(
    ("asked", "need"), [("votes_alone", Requirement.ADMISSION), ("leads_alone", Requirement.LEADER)]
)
def test_a_second_istio_that_may_be_another_workers_counts_when_the_mesh_is_held(
    monkeypatch: pytest.MonkeyPatch, asked: str, need: Requirement
) -> None:
    monkeypatch.setattr(FakeWorker, asked, lambda _: False)
    run = CaseRun(case(requires=(need,)), FakeWorker())
    assert (run.missing(), run.outnumbered()) == ("", str(need))
    run = CaseRun(case(), FakeWorker())
    assert (run.missing(), run.outnumbered()) == ("", "")


RANGES = {
    "promised later": ({"since": "1.32"}, "promised since Istio 1.32; this is 1.31.0"),
    "promised no more": ({"until": "1.30"}, "promised until Istio 1.30; this is 1.31.0"),
    "promised": ({"since": "1.31", "until": "1.31"}, ""),
    "promised later, and something is missing": (
        {"since": "1.32", "requires": (Requirement.TRACER,)},
        "promised since Istio 1.32; this is 1.31.0",
    ),
}


@pytest.mark.parametrize("prove", [False, True])
@pytest.mark.parametrize(("declared", "reason"), RANGES.values(), ids=RANGES)
def test_a_case_is_skipped_where_its_version_promises_nothing(
    declared: dict[str, Any], reason: str, prove: bool
) -> None:
    assert CaseRun(case(**declared), FakeWorker(prove=prove)).missing() == reason


def test_what_is_expected_depends_on_the_version_that_runs() -> None:
    run = CaseRun(case(by_version={"1.28": "empty", "1.31": "gone"}), FakeWorker())
    assert run.expected == "gone"
    run = CaseRun(case(by_version={"1.28": "empty", "1.31": "gone"}), FakeWorker(istio_version="1.29.1"))
    assert run.expected == "empty"


def test_old_proxies_under_a_new_istiod_count_where_it_is_envoy_that_behaves_differently() -> None:
    worker = FakeWorker()
    worker.data_plane = DataPlane(kind="envoy", version="1.37.0", istio="1.29.1")
    table = {"1.28": "accepted", "1.30": "refused"}
    assert CaseRun(case(by_version=table, of_proxy=True), worker).expected == "accepted"
    assert CaseRun(case(by_version=table), worker).expected == "refused"
    late = CaseRun(case(since="1.30", of_proxy=True), worker)
    assert late.missing() == "promised since Istio 1.30; this proxy is of 1.29.1"
    assert CaseRun(case(since="1.30"), worker).missing() == ""
    # One that does not say which Istio it belongs to is taken for istiod's.
    assert CaseRun(case(by_version=table, of_proxy=True), FakeWorker()).expected == "refused"


def test_where_nothing_is_expected_of_a_version_that_is_the_suites_mistake() -> None:
    run = CaseRun(case(by_version={"1.32": "gone"}), FakeWorker())

    def look() -> None:
        assert run.expected == "gone"

    phase(run, look)
    verdict, reason = run.verdict()
    assert verdict == Verdict.INCONCLUSIVE
    assert "error in the suite: KeyError: 'TST-01 says nothing of Istio 1.31.0: its table begins later'" in reason


def test_checks_may_take_as_long_as_the_user_says() -> None:
    assert CaseRun(CASE, FakeWorker(deadline=7)).recorder.deadline == 7


def test_what_is_there_is_not_missing() -> None:
    release = {"version": "1.31", "full_version": "1.31.0", "istioctl": "/x", "hub": "h", "tag": "t"}
    worker = FakeWorker(release={**release, "upstream_envoy": False})
    worker.data_plane = DataPlane(kind="istio-proxy", version="1.39.3")
    worker.tracer = True
    run = CaseRun(case(requires=tuple(Requirement)), worker)
    assert (run.missing(), run.outnumbered()) == ("", "")


def test_a_case_holds_the_mesh_and_leaves_nothing() -> None:
    worker = FakeWorker()
    run = CaseRun(CASE, worker)
    with run.in_place():
        worker.events.append("the case")
        assert run.world.servers
        assert run.client.address == CLIENT
    assert worker.events == ["hold REGISTRY_ONLY", "the case", "forget TST-01", "let go"]


def test_a_rejected_configuration_fails_the_case_even_so_nothing_is_left() -> None:
    worker = FakeWorker()
    worker.counts = iter((2, 3))
    run = CaseRun(CASE, worker)
    with (
        pytest.raises(
            AssertionError, match=r"rejected while the case ran: \{'cluster_manager.cds.update_rejected': 1\}"
        ),
        run.in_place(),
    ):
        pass
    assert worker.events[1:] == ["forget TST-01", "let go"]


def test_a_case_may_have_configuration_rejected_on_purpose() -> None:
    worker = FakeWorker()
    worker.counts = iter((2, 3))
    run = CaseRun(CASE, worker)
    with run.in_place():
        run.recorder.rejects_on_purpose = True


def test_counters_that_began_anew_are_no_rejection() -> None:
    worker = FakeWorker()
    worker.counts = iter((2, 0))
    with CaseRun(CASE, worker).in_place():
        pass


def test_a_record_tells_the_whole_case() -> None:
    run = CaseRun(CASE, FakeWorker())
    run.recorder.observations["keys"] = ["a"]
    run.recorder.applied.append("kind: X")
    run.recorder.emulated = True
    phase(run, nothing)
    record = run.record("area")
    assert (record.id, record.area, record.title, record.statement) == ("TST-01", "area", "this", "It MUST be so.")
    assert (record.source, record.verdict, record.reason, record.emulated) == ("there", Verdict.PASSED, "", True)
    assert (record.observations, record.applied, record.proof) == ({"keys": ["a"]}, ["kind: X"], None)
    assert record.seconds >= 0


def test_what_differs_from_run_to_run_has_words_of_its_own() -> None:
    run = CaseRun(case(since="1.28", by_version={"1.28": {"b", "a"}}), FakeWorker())
    with run.in_place():
        run.recorder.observations["asked"] = [f"tst-01-a1b2c3.world.test at {ALPHA.address} by {CLIENT}"]
        run.recorder.measurements["seconds"] = 1.5
        run.recorder.fact("it is there", f"it is, at {ALPHA.address}", held=True)
    record = run.record("area")
    assert record.observations == {"asked": ["tst-01.world.test at alpha by client"]}
    assert record.measurements == {"seconds": 1.5}
    assert (record.since, record.until, record.by_version) == ("1.28", "", {"1.28": ["a", "b"]})
    assert record.witnesses[0].observed.flat() == {"expected": "it is there", "seen": "it is, at alpha"}
    # What the witnesses said stays as it was.
    assert record.witnesses[0].attempts[0].curl == f"it is, at {ALPHA.address}"


def test_a_reason_is_plain_text() -> None:
    run = CaseRun(CASE, FakeWorker())
    phase(run, raising(AssertionError("\x1b[31ma\x1b[0m is not b")))
    assert run.record("area").reason == "a is not b"


def test_a_failed_case_is_explained_with_all_there_is() -> None:
    run = CaseRun(CASE, FakeWorker())
    run.recorder.evidence["the proxy's view"] = "host a.test\n"
    run.recorder.applied.append("# a.yaml\nkind: X\n")
    phase(run, raising(CheckFailed("curl: no", "the attempts")))
    assert run.explain() == (
        "TST-01 failed: It MUST be so.\n\ncurl: no\nthe attempts\n\nthe proxy's view:\nhost a.test\n\n"
        "what istiod pushed:\nCDS: PUSH for node:client.ns\n\napplied:\n# a.yaml\nkind: X\n\nsource: there"
    )


def test_a_mistake_in_the_suite_is_explained_with_where_it_is() -> None:
    run = CaseRun(CASE, FakeWorker())
    phase(run, raising(KeyError("host")))
    assert run.explain().startswith("TST-01 inconclusive: It MUST be so.\n\nerror in the suite: KeyError: 'host'\n")
    assert "raise_it" in run.explain()


def test_what_made_one_case_inconclusive_is_not_told_again_of_the_next() -> None:
    told: dict[str, str] = {}
    for key, trouble in (("TST-01", "away"), ("TST-02", "away"), ("TST-03", "gone")):
        run = CaseRun(replace(CASE, id=key), None)
        phase(run, raising(PlatformTrouble(trouble, "really")), when="setup")
        said = run.explain(told)
        assert run.explain(told) == said  # set-up and tear-down may both fail
        whole = f"{key} inconclusive: It MUST be so."
        assert said.startswith(whole) if key != "TST-02" else said == "TST-02 inconclusive, as TST-01: away: really"


def proving(error: BaseException | None = None, *, in_subject: bool = True) -> CaseRun:
    run = CaseRun(CASE, FakeWorker(prove=True))
    run.recorder.failed_in_subject = in_subject
    phase(run, nothing if error is None else raising(error))
    return run


def test_a_case_that_fails_without_its_subject_is_proved() -> None:
    run = proving(CheckFailed("curl: the status is 502", "the attempts"))
    assert run.verdict() == (Verdict.PASSED, "")
    record = run.record("area")
    assert record.proof == "proved"
    assert record.observations == {"with its subject withheld": "curl: the status is 502"}


@pytest.mark.parametrize("withheld", [False, True])
def test_a_patched_client_is_the_subject_and_is_withheld_like_any(withheld: bool, tmp_path: Path) -> None:
    patch = tmp_path / "patch.yaml"
    patch.write_text("metadata: {name: other}\n")
    run = CaseRun(CASE, FakeWorker(prove=withheld))
    seen: list[Client] = []

    def fails(client: Client) -> NoReturn:
        seen.append(client)
        raise CheckFailed("no", "")

    with run.in_place():
        with pytest.raises(CheckFailed), run.patched_client(patch, elsewhere=False) as patched:
            fails(patched)
        assert (seen[0] is run.client) == withheld
        assert run.recorder.failed_in_subject
        assert run.recorder.applied == ["# patch.yaml, laid over the client\nmetadata: {name: other}\n"]


def test_a_case_that_passes_without_its_subject_proves_nothing() -> None:
    run = proving(in_subject=False)
    assert run.verdict() == (
        Verdict.FAILED,
        "unproved: it passed with its subject withheld, so it proves nothing",
    )
    assert run.record("area").proof == "unproved"


def test_a_case_whose_control_failed_is_not_proved_by_that() -> None:
    run = proving(AssertionError("no"), in_subject=False)
    verdict, reason = run.verdict()
    assert verdict == Verdict.INCONCLUSIVE
    assert reason == "its control failed before the subject could be withheld: no"
    assert run.record("area").proof is None


def test_nor_is_a_case_that_the_platform_failed() -> None:
    run = proving(PlatformTrouble("exec broke off", "x"))
    assert run.verdict() == (Verdict.INCONCLUSIVE, "exec broke off: x")
    assert run.record("area").proof is None


def test_a_case_that_cannot_be_proved_is_skipped_with_its_reason() -> None:
    run = CaseRun(case(unprovable="there is nothing to withhold"), FakeWorker(prove=True))
    assert run.missing() == "not provable: there is nothing to withhold"
    phase(run, lambda: pytest.skip(run.missing()), when="setup")
    assert run.verdict() == (Verdict.SKIPPED, "not provable: there is nothing to withhold")
    assert run.record("area").proof == "not_provable"


def test_one_that_is_skipped_for_another_reason_is_neither_proved_nor_not_provable() -> None:
    run = CaseRun(CASE, FakeWorker(prove=True))
    phase(run, lambda: pytest.skip(str(Requirement.TRACER)), when="setup")
    assert run.record("area").proof is None


def test_a_case_that_cannot_be_proved_runs_like_any_other() -> None:
    run = CaseRun(case(unprovable="there is nothing to withhold"), FakeWorker())
    assert run.missing() == ""
    phase(run, nothing)
    record = run.record("area")
    assert (record.verdict, record.proof) == (Verdict.PASSED, None)


MODES = [
    (Mode.REGISTRY_ONLY, False, Mode.REGISTRY_ONLY),
    (Mode.REGISTRY_ONLY, True, Mode.ALLOW_ANY),
    (Mode.ALLOW_ANY, True, Mode.REGISTRY_ONLY),
    (Mode.ALLOW_ANY_DYNAMIC_DNS, True, Mode.REGISTRY_ONLY),
]


@pytest.mark.parametrize(("mode", "prove", "held"), MODES)
def test_where_the_mode_is_the_subject_it_is_withheld_by_the_other_one(mode: Mode, prove: bool, held: Mode) -> None:
    worker = FakeWorker(prove=prove)
    run = CaseRun(case(mode=mode, subject_is_mode=True), worker)
    with run.in_place():
        check(run)
    assert worker.events[0] == f"hold {held}"
    # Nothing is put in place and taken away: every check is about the mode.
    assert [each.role for each in run.recorder.checks] == ["subject"]


def check(run: CaseRun, *, held: bool = True) -> None:
    run.recorder.fact("it is blocked", "200", held=held)


def test_where_it_is_not_the_mode_stays_when_the_subject_is_withheld() -> None:
    worker = FakeWorker(prove=True)
    with CaseRun(CASE, worker).in_place():
        pass
    assert worker.events[0] == "hold REGISTRY_ONLY"


def test_a_case_about_its_mode_is_proved_by_failing_in_the_other_one() -> None:
    run = CaseRun(case(subject_is_mode=True), FakeWorker(prove=True))
    with run.in_place():
        phase(run, lambda: check(run, held=False))
    assert run.verdict() == (Verdict.PASSED, "")
    assert run.record("area").proof == "proved"


def test_one_that_passes_in_the_other_mode_proves_nothing() -> None:
    run = CaseRun(case(subject_is_mode=True), FakeWorker(prove=True))
    with run.in_place():
        phase(run, lambda: check(run))
    assert run.record("area").proof == "unproved"


def test_nor_is_it_proved_by_what_fails_before_or_after_it() -> None:
    for when in ("setup", "teardown"):
        run = CaseRun(case(subject_is_mode=True), FakeWorker(prove=True))
        phase(run, raising(AssertionError("configuration was rejected")), when=when)
        assert run.verdict()[0] == Verdict.INCONCLUSIVE
        assert run.record("area").proof is None
