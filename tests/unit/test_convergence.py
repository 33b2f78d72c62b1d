"""A check watched from here: the loop in the pod, Envoy's log and the servers are played by the test."""

from dataclasses import replace

import pytest

from egress_conformance.errors import PlatformTrouble
from egress_conformance.traffic.attempt import Receipt
from egress_conformance.traffic.by_proxy import Blocked
from egress_conformance.traffic.client import CURL_SECONDS, Client
from egress_conformance.traffic.expect import PASSTHROUGH
from egress_conformance.traffic.recorder import CheckFailed, Recorder
from tests.unit.fakes import (
    ALPHA,
    CLIENT,
    DECOY,
    SITE,
    Clock,
    FakeExec,
    FakeKube,
    FakeWorld,
    attempt_line,
    receipt,
)
from tests.unit.loops import BLOCKED, CLUSTER, DISK_FULL, PASSED_THROUGH, REACHED, START, UNLOGGED, Pod, always, then


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(START).install(monkeypatch)


def test_it_holds_when_three_attempts_in_a_row_agree(clock: Clock) -> None:
    pod = Pod(always(REACHED), clock)
    seen = pod.request().reaches(SITE, cluster=CLUSTER)
    # The third agreeing attempt makes it ask the other two; the fourth is sent meanwhile at most.
    assert [attempt.number for attempt in seen.attempts] == [1, 2, 3]
    assert seen.last.requests[0].server == "alpha"
    assert seen.received("X-Forwarded-Proto") == "http"
    assert pod.commands == ["settle", "quit"]
    assert pod.loop is not None
    assert pod.loop.closed


def test_the_loop_is_told_what_to_send_and_for_how_long(clock: Clock) -> None:
    pod = Pod(always(REACHED), clock)
    request = pod.request()
    request.reaches(SITE, cluster=CLUSTER)
    bash, option, script, name, prefix, lifetime, interval, longest, stats, stdin, *curl = pod.argv
    assert (bash, option, name, stdin) == ("bash", "-c", "attempts", "")
    assert script.startswith("# Runs in the client container")
    assert (float(lifetime), interval, longest) == (request.client.recorder.deadline, "20", "250")
    assert "upstream_rq_total" in stats
    assert curl[-1] == f"http://{SITE.host}/headers?attempt={{nonce}}"
    # Receipts are asked for by what marks this check alone, by host, and by whose connections they came.
    assert pod.world.asked == [[prefix, SITE.host, CLIENT]]


def test_many_attempts_that_are_to_come_out_alike_keep_their_pace(clock: Clock) -> None:
    pod = Pod(always(REACHED), clock)
    pod.request().reaches(SITE, cluster=CLUSTER, times=30)
    assert pod.argv[6:8] == ["20", "20"]


def test_it_waits_for_a_change_to_arrive(clock: Clock) -> None:
    pod = Pod(then((5, BLOCKED), (1, REACHED)), clock)
    request = pod.request()
    seen = request.reaches(SITE, cluster=CLUSTER)
    assert [attempt.number for attempt in seen.attempts] == [6, 7, 8]
    (check,) = request.client.recorder.checks
    assert (check.held, check.attempts_made) == (True, 8)
    assert [attempt.agrees for attempt in check.attempts] == [True, True, True]


def test_agreement_that_does_not_last_counts_for_nothing(clock: Clock) -> None:
    pod = Pod(then((2, REACHED), (1, BLOCKED), (2, REACHED), (1, BLOCKED), (1, REACHED)), clock)
    seen = pod.request().reaches(SITE, cluster=CLUSTER)
    assert [attempt.number for attempt in seen.attempts] == [7, 8, 9]
    assert pod.commands == ["settle", "quit"]


def test_as_many_must_agree_as_the_case_asks_for(clock: Clock) -> None:
    pod = Pod(always(REACHED), clock)
    assert len(pod.request().reaches(SITE, cluster=CLUSTER, times=7).attempts) == 7


def test_once_it_has_converged_a_single_stray_fails_it_at_once(clock: Clock) -> None:
    # Ten in a row are asked for; three are enough to say that the change has arrived.
    pod = Pod(then((2, BLOCKED), (4, REACHED), (1, BLOCKED), (100, REACHED)), clock)
    request = pod.request()
    start = clock.now
    with pytest.raises(CheckFailed) as caught:
        request.reaches(SITE, cluster=CLUSTER, times=10)
    assert "attempt #7 came out otherwise after the expectation had been met: 502, server: envoy" in caught.value.gist
    assert clock.now - start < 10
    assert pod.commands == []
    assert pod.loop is not None
    assert pod.loop.closed
    (check,) = request.client.recorder.checks
    assert (check.held, check.attempts_made) == (False, 7)
    # What the other two say of it is told too.
    assert check.attempts[-1].envoy == ["502, no cluster, flags -, to nobody, direct_response"]


def test_a_stray_while_the_other_two_are_asked_fails_it_too(clock: Clock) -> None:
    # The loop sends one more before it hears that it is to settle.
    pod = Pod(then((3, REACHED), (1, BLOCKED), (100, REACHED)), clock, slow=(1,))
    with pytest.raises(CheckFailed, match="attempt #4 came out otherwise after the expectation had been met: 502"):
        pod.request().reaches(SITE, cluster=CLUSTER)
    assert pod.commands == ["settle"]


def test_what_comes_out_otherwise_before_the_others_agreed_is_no_stray(clock: Clock) -> None:
    # Curl took the old way for the new one, three times; the next attempt fell into the change.
    pod = Pod(then((3, PASSED_THROUGH), (1, BLOCKED), (1, REACHED)), clock, slow=(1,))
    seen = pod.request().reaches(SITE, cluster=CLUSTER)
    assert [attempt.number for attempt in seen.attempts] == [5, 6, 7]
    assert pod.commands == ["settle", "go", "settle", "quit"]


def test_one_that_was_merely_slow_is_no_stray(clock: Clock) -> None:
    late = replace(REACHED, curl={**REACHED.curl, "time_total": 0.4})
    pod = Pod(then((3, REACHED), (1, late), (1, REACHED)), clock, slow=(1,))
    seen = pod.request().reaches(SITE, cluster=CLUSTER, at_most_seconds=0.35)
    assert [attempt.number for attempt in seen.attempts] == [5, 6, 7]


def test_one_that_was_slow_and_something_else_is_a_stray(clock: Clock) -> None:
    late = replace(BLOCKED, curl={**BLOCKED.curl, "time_total": 0.4})
    pod = Pod(then((3, REACHED), (1, late), (1, REACHED)), clock, slow=(1,))
    with pytest.raises(CheckFailed, match="attempt #4 came out otherwise"):
        pod.request().reaches(SITE, cluster=CLUSTER, at_most_seconds=0.35)


def test_where_chance_may_have_it_so_before_it_has_converged_when_all_agree(clock: Clock) -> None:
    outcomes = [(2, BLOCKED), (4, REACHED), (1, BLOCKED), (100, REACHED)]
    seen = Pod(then(*outcomes), clock).request().reaches(SITE, cluster=CLUSTER, times=10, chance_before=True)
    assert [seen.attempts[0].number, seen.last.number] == [8, 17]
    pod = Pod(then((10, REACHED), (1, BLOCKED), (100, REACHED)), clock, slow=(1,))
    with pytest.raises(CheckFailed, match="attempt #11 came out otherwise"):
        pod.request().reaches(SITE, cluster=CLUSTER, times=10, chance_before=True)


def test_a_stray_that_says_something_about_the_pod_is_no_stray(clock: Clock) -> None:
    pod = Pod(then((4, REACHED), (1, DISK_FULL)), clock)
    with pytest.raises(PlatformTrouble, match="client pod broken: curl could not write"):
        pod.request().reaches(SITE, cluster=CLUSTER, times=10)


def test_the_doubt_of_the_others_means_that_it_has_not_converged(clock: Clock) -> None:
    # Envoy still sends it through; so what curl sees may still change, and a 502 on the way is no stray.
    pod = Pod(then((4, PASSED_THROUGH), (2, BLOCKED), (1, REACHED)), clock, slow=(1,))
    request = pod.request()
    seen = request.reaches(SITE, cluster=CLUSTER)
    assert [attempt.number for attempt in seen.attempts] == [7, 8, 9]
    assert pod.commands == ["settle", "go", "settle", "quit"]
    assert request.client.recorder.checks[0].held


def test_one_more_that_agrees_after_their_doubt_is_no_convergence_either(clock: Clock) -> None:
    # They doubt after the third; the fourth makes it ask again; the fifth is sent before it hears of that.
    pod = Pod(then((4, PASSED_THROUGH), (2, BLOCKED), (1, REACHED)), clock, slow=(0, 1))
    seen = pod.request().reaches(SITE, cluster=CLUSTER)
    assert [attempt.number for attempt in seen.attempts] == [7, 8, 9]
    assert pod.commands == ["settle", "go", "settle", "go", "settle", "quit"]


LOCAL = {2: "curl could not start", 23: "curl could not write", 26: "curl could not read", 27: "out of memory"}


@pytest.mark.parametrize(("code", "why"), LOCAL.items())
def test_a_curl_that_fails_for_want_of_something_in_its_pod_says_nothing(clock: Clock, code: int, why: str) -> None:
    pod = Pod(then((1, BLOCKED), (1, replace(REACHED, curl={"code": code, "errormsg": "Failure"}))), clock)
    request = pod.request()
    with pytest.raises(PlatformTrouble, match=rf"client pod broken: {why}: exit {code} \(Failure\); is its disk full"):
        request.is_blocked()
    assert pod.loop is not None
    assert pod.loop.closed
    assert not request.client.recorder.checks[0].held


@pytest.mark.parametrize("code", [6, 7, 28, 35, 52, 56])
def test_a_curl_that_the_mesh_may_have_failed_is_for_the_judge(clock: Clock, code: int) -> None:
    pod = Pod(always(replace(BLOCKED, curl={"code": code, "http_code": 0})), clock)
    with pytest.raises(CheckFailed, match=f"curl: exit code is {code}"):
        pod.request().is_blocked()


def test_an_attempt_that_stood_still_says_nothing(clock: Clock) -> None:
    frozen = replace(BLOCKED, curl={"code": 28, "http_code": 0, "took": 21.25})
    pod = Pod(then((2, BLOCKED), (1, frozen)), clock)
    with pytest.raises(PlatformTrouble, match=r"client pod stood still: one request took 21.2 s; was its node paused"):
        pod.request().is_blocked()


def test_a_loop_that_stood_still_between_two_attempts_says_nothing(clock: Clock) -> None:
    pod = Pod(then((100, BLOCKED)), clock, pauses={2: 5.0})
    with pytest.raises(
        PlatformTrouble, match=r"client pod stood still: nothing was sent for 6.0 s; was its node paused"
    ):
        pod.request().reaches(SITE, cluster=CLUSTER)


def test_a_loop_that_stood_still_because_it_was_told_to_is_no_trouble(clock: Clock) -> None:
    # Settled after the third, it waits for the word of the other two.
    pod = Pod(then((4, PASSED_THROUGH), (1, REACHED)), clock, pauses={3: 5.0})
    assert pod.request().reaches(SITE, cluster=CLUSTER).attempts


def test_an_attempt_that_took_all_of_curls_time_is_for_the_judge(clock: Clock) -> None:
    slow = replace(BLOCKED, curl={"code": 28, "http_code": 0, "took": CURL_SECONDS + 1.5})
    with pytest.raises(CheckFailed, match="curl: exit code is 28"):
        Pod(always(slow), clock).request().is_blocked()


def test_where_envoy_still_disagrees_it_goes_on_until_it_agrees(clock: Clock) -> None:
    pod = Pod(then((5, PASSED_THROUGH), (1, REACHED)), clock)
    seen = pod.request().reaches(SITE, cluster=CLUSTER)
    assert [attempt.number for attempt in seen.attempts] == [6, 7, 8]
    assert pod.commands[0:2] == ["settle", "go"]
    assert pod.commands[-2:] == ["settle", "quit"]


def test_curl_alone_does_not_make_it_hold(clock: Clock) -> None:
    pod = Pod(always(PASSED_THROUGH), clock)
    request = pod.request()
    with pytest.raises(CheckFailed, match=f"envoy: the cluster is '{PASSTHROUGH}'") as caught:
        request.reaches(SITE, cluster=CLUSTER)
    assert "curl:" not in caught.value.gist
    assert set(pod.commands) == {"settle", "go"}
    # The loop has ended; how the proxy saw the host was asked for at once.
    assert request.client.recorder.evidence == {
        "the proxy's view": "not to be had: exec broke off: no proxy's view here"
    }


def test_it_fails_at_the_deadline_with_all_three_witnesses(clock: Clock) -> None:
    pod = Pod(then((4, REACHED), (1, BLOCKED)), clock)
    request = pod.request()
    start = clock.now
    with pytest.raises(CheckFailed) as caught:
        request.reaches(SITE, cluster="outbound|80||other")
    assert clock.now - start == pytest.approx(request.client.recorder.deadline, abs=2)
    text = str(caught.value)
    assert text.startswith(
        f"control before: GET {SITE.url()} must be so that it reaches {SITE.host} by outbound|80||other with 200; "
    )
    assert "  - curl: the status is 502, expected 200" in text
    assert "  - envoy: the cluster is '', expected 'outbound|80||other'" in text
    assert "  - server: 0 receipts (nobody), expected exactly one" in text
    assert "0.0 s: 200, answered by alpha (4 times); 4.0 s: 502, server: envoy (" in text
    assert "curl    502, server: envoy" in text
    assert "envoy   502, no cluster, flags -, to nobody, direct_response" in text
    assert "server  nothing" in text
    (check,) = request.client.recorder.checks
    assert not check.held
    assert check.convergence_ms is None


def test_it_holds_if_all_three_agree_when_the_time_is_spent(clock: Clock) -> None:
    # The third agreeing attempt is the last one: the loop is not there any more to be told to settle.
    pod = Pod(iter([BLOCKED, REACHED, REACHED, REACHED]), clock, deaf=True)
    assert [attempt.number for attempt in pod.request().reaches(SITE, cluster=CLUSTER).attempts] == [2, 3, 4]
    assert pod.commands == ["settle"]


def test_too_few_agreeing_attempts_at_the_deadline_do_not_hold(clock: Clock) -> None:
    pod = Pod(iter([BLOCKED, REACHED, REACHED]), clock)
    with pytest.raises(CheckFailed, match="curl: the status is 502"):
        pod.request().reaches(SITE, cluster=CLUSTER)


def test_a_line_that_is_missing_from_the_log_is_envoys_problem(clock: Clock) -> None:
    pod = Pod(always(UNLOGGED), clock)
    with pytest.raises(CheckFailed, match="envoy: logged 0 lines of this attempt, expected exactly one"):
        pod.request().reaches(SITE, cluster=CLUSTER)


def test_a_line_that_comes_late_is_waited_for(clock: Clock) -> None:
    pod = Pod(always(REACHED), clock)
    looks = 0

    def log() -> str:
        nonlocal looks
        looks += 1
        return "\n".join(pod.lines[: looks - 5] if looks > 5 else [])

    request = pod.request()
    request.client.kube.log = log  # type: ignore[attr-defined]
    assert len(request.reaches(SITE, cluster=CLUSTER).attempts) == 3
    assert looks == 8
    assert pod.commands == ["settle", "quit"]


def test_where_the_log_is_off_there_must_be_no_line(clock: Clock) -> None:
    assert Pod(always(UNLOGGED), clock).request().reaches(SITE, cluster=CLUSTER, logged=False)
    with pytest.raises(CheckFailed, match="envoy: logged 1 lines of this attempt, expected none"):
        Pod(always(REACHED), clock).request().reaches(SITE, cluster=CLUSTER, logged=False)


def test_an_api_server_that_is_away_is_no_missing_line(clock: Clock) -> None:
    pod = Pod(always(REACHED), clock)

    def log() -> str:
        raise PlatformTrouble("API server away", "GET log: refused")

    request = pod.request()
    request.client.kube.log = log  # type: ignore[attr-defined]
    with pytest.raises(PlatformTrouble, match="API server away"):
        request.reaches(SITE, cluster=CLUSTER)


LEAKS = {
    "a mirrored copy": receipt(DECOY, nonce="n9-1"),
    "a connection around the proxy": receipt(DECOY, event="connect", nonce="", remote=f"{CLIENT}:6000"),
}


@pytest.mark.parametrize("leak", LEAKS.values(), ids=LEAKS)
def test_what_nobody_accounts_for_fails_a_check(clock: Clock, leak: Receipt) -> None:
    pod = Pod(always(BLOCKED), clock)
    pod.world.received.append(leak)
    with pytest.raises(CheckFailed, match=r"server: decoy:80 .*, which neither curl nor Envoy accounts for"):
        pod.request().is_blocked()


def test_a_burst_under_way_is_left_alone_and_nothing_else_is(clock: Clock) -> None:
    pod = Pod(always(BLOCKED), clock)
    pod.world.received.append(receipt(ALPHA, nonce="nburst-17"))
    request = pod.request()
    request.client.recorder.bursts.append("nburst-")
    request.is_blocked()
    pod.world.received.append(receipt(ALPHA, nonce="nother-1"))
    with pytest.raises(CheckFailed, match=r"server: alpha:80 .*, which neither curl nor Envoy accounts for"):
        request.is_blocked()


def test_counters_are_told_by_how_far_they_moved(clock: Clock) -> None:
    pod = Pod(always(REACHED), clock)
    request = pod.request()
    request.reaches(SITE, cluster=CLUSTER)
    assert request.client.recorder.checks[0].envoy_counted == {"cluster.a.upstream_rq_total": 3}


GARBLED = {
    "a word it does not know": ["hello\tworld"],
    "a shell's error": ["bash: base64: command not found"],
    "ready without a time": ["ready"],
    "ready with something else": ["ready\tsoon\t"],
    "an attempt cut short": ["ready\t0\t", "attempt\t1\tn-1"],
    "an attempt that is no base64": ["ready\t0\t", "attempt\t1\tn-1\t0\t0\t0\tabc\t\t"],
    "an attempt that is no JSON": ["ready\t0\t", "attempt\t1\tn-1\t0\t0\t0\t{\t\t"],
    "settled without stats": ["ready\t0\t", "settled"],
}


@pytest.mark.parametrize("lines", GARBLED.values(), ids=GARBLED)
def test_a_loop_that_garbles_its_lines_is_the_platforms_trouble(clock: Clock, lines: list[str]) -> None:
    kube = FakeKube(execs=lambda _: FakeExec(*lines))
    request = Client(kube, "ns", CLIENT, FakeWorld(), Recorder()).get(SITE.url())
    with pytest.raises(PlatformTrouble, match="client pod broken: the loop in the pod said"):
        request.is_blocked()


def test_a_loop_that_breaks_off_is_the_platforms_trouble(clock: Clock) -> None:
    kube = FakeKube(execs=lambda _: FakeExec("ready\t0\t", attempt_line(1, "n-1")))
    request = Client(kube, "ns", CLIENT, FakeWorld(), Recorder()).get(SITE.url())
    with pytest.raises(PlatformTrouble, match="exec broke off: the loop in the pod ended before its time"):
        request.is_blocked()
    # What it made of the case so far is kept.
    assert [check.held for check in request.client.recorder.checks] == [False]


def test_a_loop_that_sends_nothing_is_the_platforms_trouble(clock: Clock) -> None:
    kube = FakeKube(execs=lambda _: FakeExec("ready\t0\t", "spent"))
    request = Client(kube, "ns", CLIENT, FakeWorld(), Recorder()).get(SITE.url())
    with pytest.raises(PlatformTrouble, match="the loop in the pod sent nothing"):
        request.is_blocked()


def client() -> Client:
    return Client(FakeKube(), "ns", CLIENT, FakeWorld(), Recorder())


def test_a_request_says_what_it_sends() -> None:
    request = client().get("http://a.test:8080/x?y=1", dial="10.0.0.3", headers={"X-A": "1"})
    assert request.description == "GET http://a.test:8080/x?y=1 dialling 10.0.0.3"
    assert request.arguments[-5:] == [
        "--resolve",
        "a.test:8080:10.0.0.3",
        "--header",
        "X-A: 1",
        "http://a.test:8080/x?y=1&attempt={nonce}",
    ]
    assert (request.stdin, request.host, request.blocked) == ("", "a.test", Blocked.BAD_GATEWAY)
    assert client().get("https://a.test/").blocked == Blocked.TLS_RESET
    assert client().get("https://a.test/", dial="10.0.0.3").arguments[-2] == "a.test:443:10.0.0.3"


def test_a_tcp_connection_sends_its_nonce_as_a_line() -> None:
    request = client().tcp(ALPHA.address, 9000)
    assert request.arguments[-1] == f"telnet://{ALPHA.address}:9000"
    assert (request.stdin, request.host, request.blocked) == ("{nonce}\n", ALPHA.address, Blocked.TCP_CLOSED)
