"""The cases of an upgrade: what makes each of them fail, and what keeps it from being judged."""

from typing import Any

import pytest

from egress_conformance.errors import ExitCode
from egress_conformance.report.ledger import Verdict
from egress_conformance.report.upgrade import Segment, judged
from egress_conformance.upgrade import names
from egress_conformance.upgrade.cases import CASES, CONTROLS, declared, entries, judge
from tests.unit.data.an_upgrade import (
    NEW,
    OLD,
    PAIRS,
    comparison,
    compatibility,
    in_force,
    seen,
    segment,
    segments,
    sent,
)

P, F, S, I = Verdict.PASSED, Verdict.FAILED, Verdict.SKIPPED, Verdict.INCONCLUSIVE  # noqa: E741


def verdicts(**changes: Any) -> dict[str, Verdict]:  # noqa: ANN401
    return {case.id: case.verdict for case in judge(seen(**changes))}


def reason(name: str, **changes: Any) -> str:  # noqa: ANN401
    return next(case.reason for case in judge(seen(**changes)) if case.id == name)


def red(old: str, new: str, code: int = 1) -> list[Any]:
    changes = ("RES-01 envoy.flags: - → UH (changed behaviour; unexplained)", "RES-02 x: 1 → 2 (changed behaviour)")
    return [comparison(*pair, code if pair == (old, new) else 0, changes) for pair in PAIRS]


def test_where_all_went_well_all_pass() -> None:
    found = judge(seen())
    assert {case.verdict for case in found} == {P}
    assert [case.reason for case in found] == [""] * 6
    assert [case.id for case in found] == [f"UPG-0{number}" for number in range(1, 7)]
    assert all(" MUST " in case.statement and case.source for case in found)


WRONG: dict[str, tuple[dict[str, Any], set[str]]] = {
    "lost in place": ({"segments": segments(segment(names.CONTROL_PLANE, lost=1))}, {"UPG-01"}),
    "lost at the restart": ({"segments": segments(segment(names.RESTART, lost=1))}, {"UPG-01"}),
    "lost in the skew": ({"segments": segments(segment(names.SKEW, lost=1))}, {"UPG-02"}),
    "lost on the move": ({"segments": segments(segment(names.MOVE, lost=1))}, {"UPG-04"}),
    "lost on the way back": ({"segments": segments(segment(names.ROLL_BACK, lost=1))}, {"UPG-04"}),
    "rejected in the skew": (
        {"segments": segments(segment(names.SKEW, rejected_by_load=["ADS:LDS: ACK ERROR"]))},
        {"UPG-02"},
    ),
    "proxies did not move": ({"segments": segments(segment(names.MOVE, in_force=in_force(OLD)))}, {"UPG-04"}),
    "proxies did not come back": ({"segments": segments(segment(names.ROLL_BACK, in_force=in_force(NEW)))}, {"UPG-04"}),
    "proxies were not restarted": ({"segments": segments(segment(names.RESTART, in_force=in_force(OLD)))}, {"UPG-01"}),
    "the upgrade changed something": ({"comparisons": red(names.BEFORE, names.AFTER)}, {"UPG-06"}),
    "the skew changed something": ({"comparisons": red(names.BEFORE, names.SKEW)}, {"UPG-02"}),
    "the old revision changed": ({"comparisons": red(names.BEFORE, names.BESIDE)}, {"UPG-03"}),
    "the new revision differs": ({"comparisons": red(names.AFTER, names.CANARY_STATION)}, {"UPG-03"}),
    "compatibilityVersion changed more": ({"compatibility": compatibility("RES-02")}, {"UPG-05"}),
}


@pytest.mark.parametrize(("changes", "failed"), WRONG.values(), ids=WRONG)
def test_each_fails_by_what_it_is_about_and_by_nothing_else(changes: dict[str, Any], failed: set[str]) -> None:
    found = verdicts(**changes)
    assert {name for name, verdict in found.items() if verdict is F} == failed
    assert {verdict for name, verdict in found.items() if name not in failed} == {P}


def test_it_says_what_was_lost_and_where() -> None:
    told = reason("UPG-01", segments=segments(segment(names.RESTART, lost=3)))
    assert told == "lost: 3 of 100 requests to http-registered in restart proxies"


def test_it_says_which_changes_nobody_explains() -> None:
    told = reason("UPG-06", comparisons=red(names.BEFORE, names.AFTER))
    assert told.startswith("from before to after: 1 unexplained change: RES-01 envoy.flags: - → UH")
    assert "RES-02" not in told


def test_what_was_lost_while_the_machine_ran_is_not_excused_by_what_was_lost_while_it_stood_still() -> None:
    told = reason("UPG-04", segments=segments(segment(names.MOVE, sent=[sent("a", lost=3, stalled=2)])))
    assert told == "lost: 1 of 100 requests to a in move to canary"


NOT_JUDGED: dict[str, tuple[dict[str, Any], set[str]]] = {
    "a loss would not be noticed": ({"control": ["http-unregistered was served"]}, {"UPG-01", "UPG-02", "UPG-04"}),
    "the upgrade in place failed": (
        {"segments": segments(segment(names.CONTROL_PLANE, problem="istioctl failed"))},
        {"UPG-01", "UPG-02"},
    ),
    "the ledgers cannot be compared": ({"comparisons": red(names.BEFORE, names.AFTER, 2)}, {"UPG-06"}),
    "nobody looked": ({"segments": segments(segment(names.SKEW, in_force=None))}, {"UPG-02"}),
    "nothing was sent": (
        {"segments": segments(segment(names.MOVE, sent=[sent("a").model_copy(update={"requests": 0})]))},
        {"UPG-04"},
    ),
    "the machine stood still": (
        {"segments": segments(segment(names.MOVE, sent=[sent("a", lost=2, stalled=2)]))},
        {"UPG-04"},
    ),
    "compatibilityVersion is not known": ({"compatibility": None}, {"UPG-05"}),
}


@pytest.mark.parametrize(("changes", "names_of"), NOT_JUDGED.values(), ids=NOT_JUDGED)
def test_what_cannot_be_told_is_inconclusive(changes: dict[str, Any], names_of: set[str]) -> None:
    found = verdicts(**changes)
    assert {name for name, verdict in found.items() if verdict is I} == names_of
    assert F not in found.values()


def test_what_ended_an_upgrade_early_is_the_reason() -> None:
    early = [each for each in segments() if each.route in {"", names.CANARY}]
    told = reason("UPG-01", segments=early, trouble="Istio not installed: timed out")
    assert told == "not reached: control plane: Istio not installed: timed out"


SKIPPED: dict[tuple[str, ...], set[str]] = {
    (names.CANARY,): {"UPG-01", "UPG-02", "UPG-03", "UPG-05", "UPG-06"},
    (names.IN_PLACE,): {"UPG-03", "UPG-04", "UPG-05"},
    (names.CANARY, names.IN_PLACE): {"UPG-05"},
}


@pytest.mark.parametrize(("routes", "skipped"), SKIPPED.items(), ids=map(" ".join, SKIPPED))
def test_a_case_of_a_route_that_was_not_taken_is_skipped(routes: tuple[str, ...], skipped: set[str]) -> None:
    found = verdicts(routes=routes)
    assert {name for name, verdict in found.items() if verdict is S} == skipped


def change(**changes: Any) -> Segment:  # noqa: ANN401
    return segment(names.CONTROL_PLANE, route=names.EXISTING, **changes).model_copy(update={"name": names.CHANGE})


@pytest.mark.parametrize(("lost", "verdict"), [(0, P), (2, F)])
def test_on_an_existing_cluster_the_change_and_the_ledgers_are_judged(lost: int, verdict: Verdict) -> None:
    only = [comparison(names.BEFORE, names.AFTER)]
    found = verdicts(routes=[names.EXISTING], segments=[change(lost=lost)], comparisons=only)
    assert found == {"UPG-01": verdict, "UPG-02": S, "UPG-03": S, "UPG-04": S, "UPG-05": S, "UPG-06": P}


CODES = {(P, S): 0, (P, F, I): 1, (P, I): 2, (S,): 3, (): 3}


@pytest.mark.parametrize(("found", "code"), CODES.items(), ids=str)
def test_an_upgrade_ends_with_the_worst_of_its_verdicts(found: tuple[Verdict, ...], code: int) -> None:
    cases = [judge(seen())[0].model_copy(update={"verdict": verdict}) for verdict in found]
    ended, told = judged(cases, 2, 1000)
    assert ended == ExitCode(code)
    assert told.endswith("; 2 of 1000 requests lost")


def test_the_catalogue_lists_them_and_which_command_tries_them() -> None:
    listed = entries()
    assert [entry.case.id for entry in listed] == [declared(function).id for function in CASES]
    assert {(entry.area, entry.command) for entry in listed} == {("upgrade", "upgrade")}
    assert [entry.case.id for entry in listed if entry.controls == CONTROLS] == ["UPG-01", "UPG-02", "UPG-04"]
