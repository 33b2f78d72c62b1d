"""What a case did and saw: roles of its checks, how long a change took, and a failure in words."""

from dataclasses import replace

import pytest

from egress_conformance.report import ledger
from egress_conformance.traffic.attempt import Attempt, parse_log
from egress_conformance.traffic.expect import Blocked, IsBlocked
from egress_conformance.traffic.recorder import (
    DEADLINE_SECONDS,
    PROOF_SECONDS,
    CheckDraft,
    CheckFailed,
    Recorder,
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
    assert check(recorder, attempt(1, start_ms=12.34)).convergence_ms == 12.3


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
    draft = CheckDraft("GET /", str(EXPECTED), "check", None)
    assert not draft.judged([attempt(1)], [attempt(1)], [["curl: the status is 200, expected 502"]])
    (row,) = draft.finished().attempts
    assert row.curl == "200, server: envoy, answered by alpha"
    assert row.envoy == [f"200, outbound|80||{SITE.host}, flags -, to 10.0.0.1:80"]
    assert row.server == [f"alpha:80 request HTTP/1.1 /headers?attempt=n1-1 for {SITE.host} from {CLIENT}:50001"]
    assert (row.agrees, row.problems) == (False, ["curl: the status is 200, expected 502"])


def failed() -> CheckFailed:
    draft = CheckDraft(f"GET {SITE.url()}", str(EXPECTED), "control after", None)
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
        "when all three were asked, over time: 2.0 s: curl: the status is 503, expected 502; "
        "2.1 s: curl: the status is 200, expected 502",
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


def test_a_failure_is_a_failed_assertion() -> None:
    assert isinstance(failed(), AssertionError)


def test_a_long_history_is_cut_to_its_end() -> None:
    draft = CheckDraft("GET /", str(EXPECTED), "check", None)
    attempts = [attempt(n, status=200 + n % 2, start_ms=1000.0 * n) for n in range(1, 21)]
    draft.judged(attempts, attempts[-1:], [["curl: x"]])
    history = draft.failure().gist.splitlines()[-1]
    assert history.count("times") == 8
    assert history.startswith("what curl saw, over time: 13.0 s: ")


def test_a_check_without_its_subject_need_not_wait_as_long(clock: Clock) -> None:
    withheld, given = Recorder(withheld=True), Recorder()
    assert (withheld.deadline, given.deadline) == (DEADLINE_SECONDS, DEADLINE_SECONDS)
    with withheld.subject(), given.subject():
        assert (withheld.deadline, given.deadline) == (PROOF_SECONDS, DEADLINE_SECONDS)
