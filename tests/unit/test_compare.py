"""Two ledgers held against each other: what is a change, of which kind, and what a gate does with it."""

from typing import Any

import pytest

from egress_conformance.errors import ExitCode
from egress_conformance.report.compare import compare, speed
from egress_conformance.report.diff import Diff, Kind, grouped
from egress_conformance.report.explain import Explanation, Explanations
from egress_conformance.report.ledger import DataPlane, Ledger, Verdict
from egress_conformance.report.observed import EnvoyObserved, Observed
from tests.unit.data.sample_ledger import sample
from tests.unit.data.two_ledgers import HEADERS, fact, ledger, reaches, record

P, F, S, I = Verdict.PASSED, Verdict.FAILED, Verdict.SKIPPED, Verdict.INCONCLUSIVE  # noqa: E741

FEWER = {name: values for name, values in HEADERS.items() if name != "x-envoy-attempt-count"}


def diff(old: Ledger, new: Ledger, *reviewed: Explanation) -> Diff:
    return compare(old, new, Explanations(reviewed))


def changes(found: Diff) -> list[tuple[str, str, str]]:
    return [(change.observation, change.old, change.new) for case in found.cases for change in case.changes]


@pytest.mark.parametrize("run", [ledger(), ledger("1.31", record(observations={"a": {"b": [1]}}), record("POL-12[x]"))])
def test_two_equal_runs_differ_in_nothing(run: Ledger) -> None:
    found = diff(run, run)
    assert (found.exit_code, found.cases, found.environment, found.propagation) == (ExitCode.PASSED, [], [], [])
    assert found.outcome == "no change"


def test_what_differs_from_run_to_run_is_no_change() -> None:
    check = reaches()
    attempt = check.attempts[0].model_copy(update={"server": ["alpha:80 request from 10.244.0.99:50001"]})
    again = check.model_copy(
        update={"attempts": [attempt], "attempts_made": 7, "convergence_ms": 900.0, "envoy_counted": {"x": 1}}
    )
    slow = record(witnesses=[again], seconds=99.0, measurements={"converged late": ["7 s"]}, evidence={"x": "y"})
    assert diff(ledger(), ledger("1.29.1", slow, started="2026-09-01T00:00:00Z")).cases == []


@pytest.mark.parametrize(
    ("doctored", "observation", "old", "new"),
    [
        (reaches(flags="UH"), "envoy.flags", "-", "UH"),
        (reaches(name="decoy"), "server.name", "alpha", "decoy"),
        (
            reaches(headers={**HEADERS, "x-envoy-attempt-count": ["2"]}),
            "server.headers.x-envoy-attempt-count",
            "1",
            "2",
        ),
        (reaches(headers={**HEADERS, "x-new": ["*"]}), "server.headers.x-new", "-", "*"),
        (
            reaches(headers=FEWER),
            *("server.headers.x-envoy-attempt-count", "1", "-"),
        ),
        (reaches(expected="reaches it elsewhere"), "expected", "reaches rsl-01.world.test", "reaches it elsewhere"),
    ],
)
def test_one_observation_that_is_another_shuts_the_gate(doctored: Any, observation: str, old: str, new: str) -> None:  # noqa: ANN401
    found = diff(ledger(), ledger("1.29.1", record(witnesses=[doctored])))
    assert changes(found) == [(observation, old, new)]
    assert (found.exit_code, found.cases[0].kind) == (ExitCode.FAILED, Kind.CHANGED)
    assert found.outcome == "1 unexplained change, 0 explained; cases: 1 changed behaviour"


def test_what_a_case_notes_is_an_observation() -> None:
    old = record(observations={"headers added": ["a"], "log": {"blocked": "UH", "passed": "-"}, "gone": True})
    new = record(observations={"headers added": ["a", "b"], "log": {"blocked": "NR", "passed": "-"}, "come": 1})
    assert changes(diff(ledger("1.29.1", old), ledger("1.29.1", new))) == [
        ("noted.headers added", '["a"]', '["a", "b"]'),
        ("noted.log.blocked", "UH", "NR"),
        ("noted.come", "-", "1"),
        ("noted.gone", "true", "-"),
    ]


def test_what_shows_in_several_checks_alike_is_told_once() -> None:
    old = record(witnesses=[reaches(role="control before"), reaches(), reaches(role="control after")])
    new = record(
        witnesses=[reaches(role="control before", flags="UH"), reaches(), reaches(role="control after", flags="UH")]
    )
    (case,) = diff(ledger("1.29.1", old), ledger("1.29.1", new)).cases
    (change,) = case.changes
    request = "GET http://rsl-01.world.test/headers"
    assert change.checks == [f"control before: {request}", f"control after: {request}"]


def test_a_check_that_only_one_run_made_does_not_push_the_others_out_of_step() -> None:
    old = record(witnesses=[fact("a is admitted", "admitted"), fact("c is admitted", "admitted")])
    more = [fact("a is admitted", "admitted"), fact("b is refused", "no"), fact("c is admitted", "admitted")]
    found = diff(ledger("1.29.1", old), ledger("1.29.1", record(witnesses=more)))
    assert changes(found) == [("check", "-", "b is refused")]
    assert changes(diff(ledger("1.29.1", record(witnesses=more)), ledger("1.29.1", old))) == [
        ("check", "b is refused", "-")
    ]


def test_checks_that_send_the_same_are_held_against_each_other_whatever_they_expect() -> None:
    old = record(witnesses=[reaches(expected="is blocked"), reaches("GET /other")])
    new = record(witnesses=[reaches(expected="is known", flags="UH"), reaches("GET /other")])
    assert changes(diff(ledger("1.29.1", old), ledger("1.29.1", new))) == [
        ("expected", "is blocked", "is known"),
        ("envoy.flags", "-", "UH"),
    ]


KINDS = [
    (P, F, Kind.REGRESSION, ExitCode.FAILED),
    (S, F, Kind.REGRESSION, ExitCode.FAILED),
    (None, F, Kind.REGRESSION, ExitCode.FAILED),
    (P, S, Kind.GONE, ExitCode.FAILED),
    (P, None, Kind.GONE, ExitCode.FAILED),
    (F, S, Kind.GONE, ExitCode.FAILED),
    (F, P, Kind.NEW, ExitCode.PASSED),
    (S, P, Kind.NEW, ExitCode.PASSED),
    (None, P, Kind.NEW, ExitCode.PASSED),
    (F, F, Kind.FAILING, ExitCode.PASSED),
    (P, I, Kind.INCONCLUSIVE, ExitCode.INCONCLUSIVE),
    (I, P, Kind.INCONCLUSIVE, ExitCode.INCONCLUSIVE),
    (I, F, Kind.INCONCLUSIVE, ExitCode.INCONCLUSIVE),
    (S, S, None, ExitCode.PASSED),
    (S, None, None, ExitCode.PASSED),
]


@pytest.mark.parametrize(("was", "now", "kind", "code"), KINDS)
def test_what_became_of_a_case(was: Verdict | None, now: Verdict | None, kind: Kind | None, code: ExitCode) -> None:
    other = record("POL-01")
    old, new = ([other, record(verdict=verdict)] if verdict else [other] for verdict in (was, now))
    found = diff(ledger("1.29.1", *old), ledger("1.29.1", *new))
    assert [case.kind for case in found.cases] == ([kind] if kind else [])
    assert found.exit_code == code


def test_a_regression_says_why_it_failed() -> None:
    (case,) = diff(ledger(), ledger("1.29.1", record(verdict=F, reason="subject: x\n  - curl: y\nlong"))).cases
    assert case.reason == "subject: x curl: y"
    assert (case.changes[0].old, case.changes[0].new) == ("passed", "failed")


def test_what_no_version_promises_any_more_is_a_change_that_the_case_explains() -> None:
    old, new = record(until="1.30"), record(until="1.30", verdict=S, reason="promised until Istio 1.30; this is 1.31")
    found = diff(ledger("1.29.1", old), ledger("1.31", new))
    assert (found.exit_code, found.cases[0].kind) == (ExitCode.PASSED, Kind.CHANGED)
    explained = found.cases[0].changes[0].explained
    assert explained is not None
    assert (explained.by, explained.source) == ("the case", "source of RSL-01")
    assert found.outcome == "0 unexplained changes, 1 explained; cases: 1 changed behaviour"


def test_what_is_promised_since_is_newly_supported_and_the_case_says_why() -> None:
    old, new = record(since="1.31", verdict=S), record(since="1.31")
    found = diff(ledger("1.29.1", old), ledger("1.31", new))
    assert (found.exit_code, found.cases[0].kind) == (ExitCode.PASSED, Kind.NEW)
    assert found.cases[0].changes[0].explained is not None
    # The way back it is a change, and explained as well.
    back = diff(ledger("1.31", new), ledger("1.29.1", old))
    assert (back.exit_code, back.cases[0].kind) == (ExitCode.PASSED, Kind.CHANGED)


def test_a_promise_that_is_not_kept_is_a_regression_whatever_the_case_declares() -> None:
    found = diff(ledger("1.29.1", record(since="1.31", verdict=S)), ledger("1.31", record(since="1.31", verdict=F)))
    assert (found.exit_code, found.cases[0].kind) == (ExitCode.FAILED, Kind.REGRESSION)
    assert found.cases[0].changes[0].explained is None


def test_a_case_left_out_for_another_reason_is_not_explained_by_its_versions() -> None:
    old = record(since="1.28")
    found = diff(ledger("1.29.1", old), ledger("1.31", record(since="1.28", verdict=S, reason="needs a tracer")))
    assert (found.exit_code, found.cases[0].kind) == (ExitCode.FAILED, Kind.GONE)


def test_a_version_table_of_a_case_is_found_by_itself_and_explained_where_somebody_says_where_it_shows() -> None:
    table = {"1.28": ["x-envoy-attempt-count"], "1.29": []}
    old = ledger("1.28.2", record(by_version=table))
    removed = reaches(headers=FEWER)
    new = ledger("1.29.1", record(by_version=table, witnesses=[removed]))
    where = Explanation(case="RSL-01", observation="server.headers.x-envoy-attempt-count")
    assert changes(diff(old, new)) == [
        ("by_version", '["x-envoy-attempt-count"]', "[]"),
        ("server.headers.x-envoy-attempt-count", "1", "-"),
    ]
    assert (diff(old, new).exit_code, diff(old, new, where).exit_code) == (ExitCode.FAILED, ExitCode.PASSED)
    # Another observation of the same case is still nobody's word.
    doctored = removed.model_copy(update={"observed": reaches(flags="UH").observed})
    other = ledger("1.29.1", record(by_version=table, witnesses=[doctored]))
    assert diff(old, other, where).exit_code == ExitCode.FAILED
    # And between versions for which the case expects the same it explains nothing.
    assert diff(ledger("1.29.1", record(by_version=table)), new, where).exit_code == ExitCode.FAILED


def test_a_version_of_the_proxy_is_the_proxys() -> None:
    """In an upgrade old proxies work under a new istiod: what Envoy does by itself is the same, and no change."""
    plane = {"data_plane": DataPlane(kind="envoy", version="1.37.0", istio="1.29.1")}
    table = {"1.28": "accepted", "1.30": "refused"}
    for of_proxy, told in ((True, []), (False, [("by_version", "accepted", "refused")])):
        case = record(by_version=table, of_proxy=of_proxy)
        assert changes(diff(ledger("1.29.1", case), ledger("1.31", case, environment=plane))) == told
    reason = "promised since Istio 1.30; this proxy is of 1.29.1"
    left_out = record(since="1.30", of_proxy=True, verdict=S, reason=reason)
    assert changes(diff(ledger("1.29.1", left_out), ledger("1.31", left_out, environment=plane))) == []


OBSTACLES = [
    ({"suite_version": "0.2.0"}, "suite 0.1.0 and suite 0.2.0"),
    (
        {"suite_content": "another", "suite_commit": "0123456789abcdef"},
        "other cases: the suite at 958a309a0b1c and at 0123456789ab",
    ),
    (
        {"suite_content": "another", "suite_commit": ""},
        "other cases: the suite at 958a309a0b1c and at an unknown commit",
    ),
    (
        {"environment": {"data_plane": DataPlane(kind="istio-proxy", version="1.29.1")}},
        "data planes envoy and istio-proxy",
    ),
]


@pytest.mark.parametrize(("change", "why"), OBSTACLES)
def test_what_cannot_be_compared_says_why(change: dict[str, Any], why: str) -> None:
    found = diff(ledger(), ledger("1.29.1", record(verdict=F), **change))
    assert (found.exit_code, found.not_comparable) == (ExitCode.INCONCLUSIVE, [why])
    assert found.outcome == f"not comparable: {why}"


def test_another_commit_with_the_same_cases_is_comparable() -> None:
    assert diff(ledger(), ledger(suite_commit="0123456789abcdef")).exit_code == ExitCode.PASSED


def test_a_run_that_withheld_its_subjects_compares_with_nothing() -> None:
    (why,) = diff(ledger(), ledger("1.29.1", record(proof="proved"))).not_comparable
    assert why == "the new run withheld the subjects of its cases (--prove)"


def test_nor_does_one_that_tried_nothing() -> None:
    found = diff(ledger(cases=[record(verdict=S)]), ledger())
    assert (found.exit_code, found.not_comparable) == (ExitCode.INCONCLUSIVE, ["no case was tried in the old run"])


def test_an_inconclusive_case_is_named_and_does_not_hide_a_regression() -> None:
    old = ledger("1.29.1", record(), record("POL-01"))
    found = diff(old, ledger("1.29.1", record(verdict=I), record("POL-01")))
    assert found.outcome == "not comparable: RSL-01 inconclusive; no change; cases: 1 inconclusive"
    assert diff(old, ledger("1.29.1", record(verdict=I), record("POL-01", F))).exit_code == ExitCode.FAILED


def test_the_environment_is_told_and_shuts_no_gate() -> None:
    images = {name: digest.replace("3b", "ff") for name, digest in sample().environment.images.items()}
    found = diff(ledger(), ledger("1.31", environment={"kubernetes": "v1.36.0", "images": images}))
    assert found.exit_code == ExitCode.PASSED
    assert [(fact.name, fact.old, fact.new) for fact in found.environment][:2] == [
        ("Istio", "1.29.1", "1.31"),
        ("Kubernetes", "v1.35.0", "v1.36.0"),
    ]
    assert "image pilot" in [fact.name for fact in found.environment]


def test_how_fast_something_took_effect_is_told_and_shuts_no_gate() -> None:
    found = diff(ledger(), ledger("1.29.1", record(propagation_ms=7000.0)))
    assert (found.exit_code, found.cases) == (ExitCode.PASSED, [])
    (moved,) = found.propagation
    assert (moved.id, moved.old, moved.new) == ("RSL-01", "within 1 s", "late")
    assert diff(ledger(), ledger("1.29.1", record(propagation_ms=900.0))).propagation == []


def test_the_classes_of_propagation() -> None:
    assert [speed(ms) for ms in (99, 100, 999, 1000, 4999, 5000)] == [
        "at once",
        "within 1 s",
        "within 1 s",
        "within 5 s",
        "within 5 s",
        "late",
    ]


def test_rows_of_a_table_of_which_the_same_became_are_one_group() -> None:
    rows = [f"POL-12[row-{number}]" for number in range(5)]
    old = ledger("1.29.1", *(record(row) for row in rows))
    flags = ["UH", "UH", "NR", "UH", "-"]
    new = ledger(
        "1.29.1", *(record(row, witnesses=[reaches(flags=flag)]) for row, flag in zip(rows, flags, strict=True))
    )
    groups = grouped(diff(old, new).cases)
    assert [[case.id for case in group] for group in groups] == [[rows[0], rows[1], rows[3]], [rows[2]]]
    # Why they failed is said of each in other words.
    failed = [record(row, F, reason=f"{row} did not arrive") for row in rows]
    assert len(grouped(diff(old, ledger("1.29.1", *failed)).cases)) == 1


def test_a_shard_is_compared_with_the_same_shard_alone() -> None:
    whole = ledger()
    second = whole.model_copy(update={"shard": "2/3"})
    (why,) = diff(whole, second).not_comparable
    assert why == "all cases and shard 2/3: merge the shards first"
    assert diff(second, second).not_comparable == []


def test_the_server_name_of_what_goes_nowhere_is_chance() -> None:
    lost = Observed(envoy=EnvoyObserved(cluster=["BlackHoleCluster"], sni=["-", "a.test"]))
    assert lost.flat() == {"envoy.cluster": "BlackHoleCluster"}
    passed = Observed(envoy=EnvoyObserved(cluster=["PassthroughCluster"], sni=["a.test"]))
    assert passed.flat()["envoy.sni"] == "a.test"
