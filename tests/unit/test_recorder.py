"""What a case did and saw: roles of its checks, how long a change took, and a failure in words."""

from dataclasses import replace

import pytest

from egress_conformance.report import ledger
from egress_conformance.report.observed import Observed
from egress_conformance.traffic.attempt import Attempt, parse_log
from egress_conformance.traffic.by_proxy import Blocked, IsBlocked
from egress_conformance.traffic.recorder import (
    DEADLINE_SECONDS,
    PROOF_SECONDS,
    STILL_PROOF_SECONDS,
    CheckDraft,
    CheckFailed,
    Recorder,
    disagreement,
)
from tests.unit.fakes import CLIENT, SITE, Clock, curl_saw, log_line, receipt

EXPECTED = IsBlocked(Blocked.BAD_GATEWAY)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock().install(monkeypatch)


def attempt(number: int, *, status: int = 200, start_ms: float = 0) -> Attempt:
    """An attempt that came through, or was answered otherwise."""
    curl = curl_saw(status=status) if status == 200 else curl_saw(status=status, body=b"")
    logged = tuple(parse_log(log_line()))
    return Attempt(number, f"n-{number}", 0, start_ms, curl, logged, (receipt(),))


def check(recorder: Recorder, *attempts: Attempt) -> ledger.Check:
    """A check that holds with these attempts, as it was recorded."""
    made = list(attempts) or [attempt(1)]
    with recorder.check("GET /", EXPECTED) as draft:
        draft.loop_is_ready()
        draft.judged(made, made, [[] for _ in made])
    return recorder.checks[-1]


def test_a_check_is_a_control_before_the_subject_the_subject_or_a_control_after_it(clock: Clock) -> None:
    recorder = Recorder()
    check(recorder)
    with recorder.subject():
        check(recorder)
        with recorder.subject():
            check(recorder)
        check(recorder)
    check(recorder)
    with recorder.subject():
        check(recorder)
    roles = [each.role for each in recorder.final_checks()]
    assert roles == ["control before", "subject", "subject", "subject", "control after", "subject"]


def test_where_nothing_is_changed_there_are_no_controls(clock: Clock) -> None:
    recorder = Recorder()
    check(recorder)
    assert [each.role for each in recorder.final_checks()] == ["check"]
    assert recorder.propagation_ms is None


def test_the_subject_ends_even_when_the_case_fails(clock: Clock) -> None:
    recorder = Recorder()
    with pytest.raises(RuntimeError), recorder.subject():
        raise RuntimeError
    check(recorder)
    assert recorder.checks[0].role == "control after"
    assert not recorder.failed_in_subject


def test_an_assertion_that_fails_with_the_subject_in_place_is_remembered(clock: Clock) -> None:
    recorder = Recorder()
    with pytest.raises(AssertionError), recorder.subject():
        raise AssertionError
    assert recorder.failed_in_subject


def test_propagation_counts_from_the_change_to_the_first_of_the_agreeing_attempts(clock: Clock) -> None:
    recorder = Recorder()
    with recorder.subject():
        clock.sleep(0.250)  # the exec of the loop
        with recorder.check("GET /", EXPECTED) as draft:
            draft.loop_is_ready()
            attempts = [attempt(n, start_ms=100.0 * n) for n in range(1, 6)]
            clock.sleep(3)  # the word of the other two witnesses
            draft.judged(attempts, attempts[-3:], [[], [], []])
        clock.sleep(60)
        check(recorder, attempt(1, start_ms=5))
    assert recorder.checks[0].convergence_ms == 250 + 300
    assert recorder.checks[0].attempts_made == 5
    # The second check tells how long it took since the same change, but the first one is the measure.
    assert recorder.propagation_ms == 550


def test_a_control_counts_from_its_own_start_before_anything_changed(clock: Clock) -> None:
    recorder = Recorder()
    clock.sleep(5)
    found = check(recorder, attempt(1, start_ms=12.34))
    assert (found.convergence_ms, found.sending_ms) == (12.3, 12.3)


def test_a_control_after_the_subject_counts_from_its_removal(clock: Clock) -> None:
    recorder = Recorder()
    with recorder.subject():
        clock.sleep(30)
    clock.sleep(0.5)
    assert check(recorder, attempt(1, start_ms=20)).convergence_ms == 520


def test_a_check_that_broke_off_is_recorded_as_far_as_it_came(clock: Clock) -> None:
    recorder = Recorder()
    with pytest.raises(RuntimeError), recorder.check("GET /", EXPECTED):
        raise RuntimeError
    (found,) = recorder.checks
    assert (found.held, found.attempts_made, found.convergence_ms, found.attempts) == (False, 0, None, [])
    assert found.expected == "GET / is blocked: 502 from the proxy"


def test_a_check_keeps_what_the_witnesses_said(clock: Clock) -> None:
    draft = CheckDraft("GET /", EXPECTED, "check", None)
    assert not draft.judged([attempt(1)], [attempt(1)], [["curl: the status is 200, expected 502"]])
    (row,) = draft.finished().attempts
    assert row.curl == "200, server: envoy, answered by alpha"
    assert row.envoy == [f"200, outbound|80||{SITE.host}, flags -, to 10.0.0.1:80"]
    assert row.server == [f"alpha:80 request HTTP/1.1 /headers?attempt=n1-1 for {SITE.host} from {CLIENT}:50001"]
    assert (row.agrees, row.problems) == (False, ["curl: the status is 200, expected 502"])


def failed() -> CheckFailed:
    draft = CheckDraft(f"GET {SITE.url()}", EXPECTED, "control after", None)
    early = [attempt(n, status=503, start_ms=20.0 * n) for n in range(1, 101)]
    late = [attempt(n, start_ms=20.0 * n) for n in range(101, 104)]
    problem = "curl: the status is 200, expected 502"
    draft.judged(early, early[-1:], [["curl: the status is 503, expected 502"]])
    silent = replace(late[-1], logged=(), received=())
    draft.counted = {"cluster.a.upstream_rq_total": 103}
    draft.judged([*early, *late], [*late[:2], silent], [[problem], [problem], [problem, "envoy: logged 0 lines"]])
    return draft.failure()


def test_a_failure_says_what_was_expected_and_who_disagrees() -> None:
    assert failed().gist == (
        f"control after: GET {SITE.url()} must be so that it is blocked: 502 from the proxy; after 103 attempts:\n"
        "  - curl: the status is 200, expected 502\n"
        "  - envoy: logged 0 lines\n"
        "the witnesses disagree: server saw what was expected, curl and envoy did not\n"
        "what curl saw, over time: 0.0 s: 503, server: envoy (100 times); "
        "2.0 s: 200, server: envoy, answered by alpha (3 times)"
    )


def test_a_failure_shows_the_last_attempts_by_witness() -> None:
    text = str(failed())
    assert text.startswith(failed().gist)
    assert text.removeprefix(failed().gist).splitlines()[1:] == [
        "when all three were asked, over time: 2.0 s: curl: the status is 503, expected 502 (once); "
        "2.1 s: curl: the status is 200, expected 502 (once)",
        "the last attempts, by witness:",
        *[
            line
            for number in (101, 102)
            for line in (
                f"  #{number}  curl    200, server: envoy, answered by alpha",
                f"       envoy   200, outbound|80||{SITE.host}, flags -, to 10.0.0.1:80",
                f"       server  alpha:80 request HTTP/1.1 /headers?attempt=n1-1 for {SITE.host} from {CLIENT}:50001",
            )
        ],
        "  #103  curl    200, server: envoy, answered by alpha",
        "       envoy   nothing",
        "       server  nothing",
        "envoy counted meanwhile: cluster.a.upstream_rq_total +103",
    ]


def test_equal_doubts_are_told_once_with_their_number() -> None:
    draft = CheckDraft("GET /", EXPECTED, "check", None)
    attempts = [attempt(n, start_ms=100.0 * n) for n in range(1, 301)]
    for one in attempts:
        problem = "envoy: logged 0 lines" if one.number <= 200 else "server: alpha:80 request in spite of it"
        draft.judged(attempts[: one.number], [one], [[problem, "and more"]])
    (line,) = [line for line in str(draft.failure()).splitlines() if line.startswith("when all three were asked")]
    assert line == (
        "when all three were asked, over time: 0.1 s: envoy: logged 0 lines (200 times); "
        "20.1 s: server: alpha:80 request in spite of it (100 times)"
    )


def test_doubts_that_keep_changing_are_cut_to_the_last() -> None:
    draft = CheckDraft("GET /", EXPECTED, "check", None)
    for number in range(1, 101):
        draft.judged([attempt(number)], [attempt(number, start_ms=1000.0 * number)], [[f"server: {number}"]])
    (line,) = [line for line in str(draft.failure()).splitlines() if line.startswith("when all three were asked")]
    assert line.startswith("when all three were asked, over time: 93.0 s: server: 93 (once); ")
    assert line.endswith("100.0 s: server: 100 (once)")


def test_a_failure_is_a_failed_assertion() -> None:
    assert isinstance(failed(), AssertionError)


def test_a_long_history_is_cut_to_its_end() -> None:
    draft = CheckDraft("GET /", EXPECTED, "check", None)
    attempts = [attempt(n, status=200 + n % 2, start_ms=1000.0 * n) for n in range(1, 21)]
    draft.judged(attempts, attempts[-1:], [["curl: x"]])
    history = draft.failure().gist.splitlines()[-1]
    assert history.count("(once)") == 8
    assert history.startswith("what curl saw, over time: 13.0 s: ")


DISAGREEMENTS = {
    (): "",
    ("curl",): "the witnesses disagree: envoy and server saw what was expected, curl did not",
    ("envoy",): "the witnesses disagree: curl and server saw what was expected, envoy did not",
    ("server",): "the witnesses disagree: curl and envoy saw what was expected, server did not",
    ("curl", "envoy"): "the witnesses disagree: server saw what was expected, curl and envoy did not",
    ("curl", "server"): "the witnesses disagree: envoy saw what was expected, curl and server did not",
    ("envoy", "server"): "the witnesses disagree: curl saw what was expected, envoy and server did not",
    ("curl", "envoy", "server"): "",
}


@pytest.mark.parametrize(("against", "said"), DISAGREEMENTS.items(), ids=map(" and ".join, DISAGREEMENTS))
def test_that_the_witnesses_disagree_is_said(against: tuple[str, ...], said: str) -> None:
    # In any order, and however much each has to say.
    problems = [f"{witness}: {n}" for n in (1, 2) for witness in reversed(against)]
    assert disagreement(problems) == said


def test_what_is_no_witnesss_problem_is_no_disagreement() -> None:
    assert disagreement(["configuration was rejected", "the server received x"]) == ""


def test_a_stray_after_convergence_is_told_and_does_not_hold() -> None:
    draft = CheckDraft("GET /", EXPECTED, "check", None)
    made = [attempt(1, status=502), attempt(2)]
    # The others agree with curl's last attempt, so that nothing else speaks against it.
    assert draft.judged(made, made[:1], [[]])
    draft.stray(made[-1])
    assert not draft.finished().held
    expected = "attempt #2 came out otherwise after the expectation had been met: 200, server: envoy, answered by alpha"
    assert expected in draft.failure().gist.splitlines()


LATE = {4999.0: [], 5000.0: ["subject: GET / is blocked: 502 from the proxy only after 5.0 s"]}


@pytest.mark.parametrize(("after", "said"), LATE.items())
def test_what_converged_late_is_a_measurement(clock: Clock, after: float, said: list[str]) -> None:
    recorder = Recorder()
    with recorder.subject():
        check(recorder, attempt(1, start_ms=after))
    assert recorder.measurements.get("converged late", []) == said


def test_each_late_convergence_is_told_with_its_role(clock: Clock) -> None:
    recorder = Recorder()
    check(recorder, attempt(1, start_ms=6000))
    with recorder.subject():
        check(recorder, attempt(1, start_ms=10))
    check(recorder, attempt(1, start_ms=7250))
    assert recorder.measurements == {
        "converged late": [
            "control before: GET / is blocked: 502 from the proxy only after 6.0 s",
            "control after: GET / is blocked: 502 from the proxy only after 7.2 s",
        ],
    }


def test_what_never_converged_is_not_late(clock: Clock) -> None:
    recorder = Recorder()
    late = attempt(1, start_ms=29_000)
    with recorder.check("GET /", EXPECTED) as draft:
        draft.judged([late], [late], [["curl: no"]])
    assert recorder.observations == {}


def test_a_fact_is_a_check_with_one_witness(clock: Clock) -> None:
    recorder = Recorder()
    recorder.fact("a.yaml is admitted", "admitted", held=True)
    with recorder.subject():
        recorder.fact("b.yaml is refused", "refused: no", held=True)
    before, subject = recorder.checks
    assert (before.role, subject.role) == ("control before", "subject")
    assert (subject.expected, subject.held, subject.attempts_made) == ("b.yaml is refused", True, 1)
    assert (subject.convergence_ms, subject.envoy_counted) == (None, {})
    (row,) = subject.attempts
    assert (row.curl, row.envoy, row.server, row.agrees, row.problems) == ("refused: no", [], [], True, [])


def test_a_fact_that_does_not_hold_fails_the_case_and_is_kept(clock: Clock) -> None:
    recorder = Recorder()
    with pytest.raises(CheckFailed) as caught, recorder.subject():
        recorder.fact("b.yaml is refused", "admitted", held=False)
    assert caught.value.gist == "subject: b.yaml is refused; but: admitted"
    assert recorder.failed_in_subject
    (kept,) = recorder.checks
    assert (kept.held, kept.attempts[0].agrees, kept.attempts[0].problems) == (False, False, ["admitted"])


def test_of_many_requests_the_check_keeps_how_many_and_those_that_were_lost(clock: Clock) -> None:
    recorder = Recorder()
    lost = ledger.Attempt(curl="request n-7", envoy=[], server=[], agrees=False, problems=["server: 0 receipts"])
    with recorder.check("GET /", EXPECTED) as draft:
        draft.judged_many(300, 1, [lost], Observed())
    (kept,) = recorder.checks
    assert (kept.held, kept.attempts_made, kept.convergence_ms, kept.attempts) == (False, 300, None, [lost])
    text = str(draft.failure())
    assert "after 300 attempts:" in text
    assert "  - server: 0 receipts" in text
    assert "what curl saw, over time: 300 requests sent, 1 of them not served as expected" in text
    with recorder.check("GET /", EXPECTED) as draft:
        draft.judged_many(300, 0, [], Observed())
    assert recorder.checks[-1].held


def test_a_subject_that_was_there_all_along_has_no_controls_and_no_propagation(clock: Clock) -> None:
    recorder = Recorder()
    with recorder.subject_throughout():
        check(recorder, attempt(1, start_ms=40))
        with recorder.subject():
            check(recorder)
        check(recorder)
    assert [each.role for each in recorder.checks] == ["subject"] * 3
    # It counts from the check's own start, as nothing was changed before it.
    assert recorder.checks[0].convergence_ms == 40


def test_withheld_a_subject_that_was_there_all_along_need_not_be_waited_for(clock: Clock) -> None:
    recorder = Recorder(withheld=True)
    assert recorder.deadline == DEADLINE_SECONDS
    with recorder.subject_throughout():
        assert recorder.deadline == STILL_PROOF_SECONDS
    assert recorder.deadline == DEADLINE_SECONDS


def test_the_subject_there_all_along_ends_even_when_the_case_fails(clock: Clock) -> None:
    recorder = Recorder()
    with pytest.raises(RuntimeError), recorder.subject_throughout():
        raise RuntimeError
    check(recorder)
    assert recorder.checks[0].role == "control before"


def test_how_long_a_check_may_take_is_the_users_choice(clock: Clock) -> None:
    recorder = Recorder(seconds=7)
    with recorder.subject():
        assert recorder.deadline == 7


def test_a_check_without_its_subject_need_not_wait_as_long(clock: Clock) -> None:
    withheld, given = Recorder(withheld=True), Recorder()
    assert (withheld.deadline, given.deadline) == (DEADLINE_SECONDS, DEADLINE_SECONDS)
    with withheld.subject(), given.subject():
        assert (withheld.deadline, given.deadline) == (PROOF_SECONDS, DEADLINE_SECONDS)
