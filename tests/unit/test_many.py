"""Many requests: every one is asked for at all three witnesses, and one that is lost fails the check."""

from dataclasses import dataclass, field
from typing import Any

import pytest

from egress_conformance.cluster.execs import Exec
from egress_conformance.errors import PlatformTrouble
from egress_conformance.report import ledger
from egress_conformance.traffic.attempt import EnvoyLogged, Receipt, parse_log
from egress_conformance.traffic.client import Client
from egress_conformance.traffic.expect import PASSTHROUGH
from egress_conformance.traffic.many import Sent, parse_sent, problems_of_many
from egress_conformance.traffic.reaches import Reaches
from egress_conformance.traffic.recorder import CheckFailed, Recorder
from egress_conformance.traffic.request import Request
from tests.unit.fakes import ALPHA, BETA, CLIENT, DECOY, SITE, Clock, FakeExec, FakeKube, FakeWorld, log_line, receipt

CLUSTER = f"outbound|80||{SITE.host}"
EXPECTED = Reaches(
    name=SITE.host,
    instances={f"{each.address}:80": each.instance for each in (ALPHA, BETA)},
    servers={each.instance: each.name for each in (ALPHA, BETA)},
    cluster=CLUSTER,
)


def sent(nonce: str = "n1-1", **changes: Any) -> Sent:  # noqa: ANN401
    return Sent(**{"nonce": nonce, "status": 200, "exit_code": 0, "seconds": 0.01, "connects": 0, **changes})


def logged(nonce: str = "n1-1", **changes: str) -> EnvoyLogged:
    return parse_log(log_line(nonce, 40001, **changes))[0]


def problems(
    *, curl: list[Sent] | None = None, envoy: list[EnvoyLogged] | None = None, server: list[Receipt] | None = None
) -> dict[str, list[str]]:
    """Of one request that all three witnesses saw served, but for what is given here."""
    return problems_of_many(
        [sent()] if curl is None else curl,
        EXPECTED,
        [logged()] if envoy is None else envoy,
        [receipt()] if server is None else server,
    )


def test_what_all_three_saw_served_has_no_problem() -> None:
    assert problems() == {}
    three = [f"n1-{n}" for n in (1, 2, 3)]
    servers = (ALPHA, BETA, ALPHA)
    assert (
        problems(
            curl=[sent(nonce) for nonce in three],
            envoy=[logged(nonce) for nonce in reversed(three)],
            server=[receipt(server, nonce=nonce) for nonce, server in zip(three, servers, strict=True)],
        )
        == {}
    )


AT_CURL = {
    "another status": ([sent(status=503)], ["curl: exit code 0, status 503, expected 200"]),
    "no answer": ([sent(status=0, exit_code=52)], ["curl: exit code 52, status 0, expected 200"]),
    "an answer cut short": ([sent(exit_code=18)], ["curl: exit code 18, status 200, expected 200"]),
}
AT_ENVOY = {
    "no line": ([], ["envoy: logged 0 lines of it, expected exactly one"]),
    "two lines": ([logged(), logged()], ["envoy: logged 2 lines of it, expected exactly one"]),
    "another code": (
        [logged(code="503")],
        [f"envoy: 503, {CLUSTER}, flags -, to {ALPHA.address}:80, expected 200 by {CLUSTER}, flags -"],
    ),
    "another cluster": (
        [logged(cluster=PASSTHROUGH)],
        [f"envoy: 200, {PASSTHROUGH}, flags -, to {ALPHA.address}:80, expected 200 by {CLUSTER}, flags -"],
    ),
    "a flag": (
        [logged(flags="DC")],
        [f"envoy: 200, {CLUSTER}, flags DC, to {ALPHA.address}:80, expected 200 by {CLUSTER}, flags -"],
    ),
    "another request's line": ([logged("n1-2")], ["envoy: logged 0 lines of it, expected exactly one"]),
}
AT_THE_SERVER = {
    "no receipt": ([], ["server: 0 receipts, expected exactly one"]),
    "a connection alone": ([receipt(event="connect")], ["server: 0 receipts, expected exactly one"]),
    "two receipts, as of a retry": ([receipt(), receipt()], ["server: 2 receipts, expected exactly one"]),
    "a copy at the decoy": (
        [receipt(), receipt(DECOY)],
        [
            "server: 2 receipts, expected exactly one",
            f"server: received by decoy, expected {SITE.host}",
        ],
    ),
    "the decoy alone": ([receipt(DECOY)], [f"server: received by decoy, expected {SITE.host}"]),
    "a server that restarted in between": (
        [receipt(instance="instance-of-alpha-before")],
        [f"server: received by alpha, expected {SITE.host}"],
    ),
    "another request's receipt": ([receipt(nonce="n1-2")], ["server: 0 receipts, expected exactly one"]),
}


@pytest.mark.parametrize(("curl", "expected"), AT_CURL.values(), ids=AT_CURL)
def test_curl_may_be_the_one_that_disagrees(curl: list[Sent], expected: list[str]) -> None:
    assert problems(curl=curl) == {"n1-1": expected}


@pytest.mark.parametrize(("envoy", "expected"), AT_ENVOY.values(), ids=AT_ENVOY)
def test_envoy_may_be_the_one_that_disagrees(envoy: list[EnvoyLogged], expected: list[str]) -> None:
    assert problems(envoy=envoy) == {"n1-1": expected}


@pytest.mark.parametrize(("server", "expected"), AT_THE_SERVER.values(), ids=AT_THE_SERVER)
def test_the_server_may_be_the_one_that_disagrees(server: list[Receipt], expected: list[str]) -> None:
    assert problems(server=server) == {"n1-1": expected}


def test_only_the_requests_with_a_problem_are_named() -> None:
    found = problems(
        curl=[sent("n1-1"), sent("n1-2", status=503), sent("n1-3")],
        envoy=[logged("n1-1"), logged("n1-2", code="503"), logged("n1-3")],
        server=[receipt(nonce="n1-1"), receipt(nonce="n1-3")],
    )
    assert list(found) == ["n1-2"]
    assert [problem.partition(":")[0] for problem in found["n1-2"]] == ["curl", "envoy", "server"]


def test_nothing_sent_is_nothing_served() -> None:
    assert problems(curl=[], envoy=[], server=[]) == {"none": ["curl: sent nothing"]}


def test_a_line_of_the_loop_is_read() -> None:
    line = "200 0 0.012300 1 http://a.test/headers?x=1&attempt=n1-12"
    assert parse_sent(line) == Sent("n1-12", 200, 0, 0.0123, 1)


@pytest.mark.parametrize("line", ["", "200 0 0.1 1", "200 zero 0.1 1 http://a.test/", "bash: curl: command not found"])
def test_a_garbled_line_is_the_platforms_trouble(line: str) -> None:
    with pytest.raises(PlatformTrouble, match="client pod broken: the loop in the pod said"):
        parse_sent(line)


Outcome = tuple[str, dict[str, str] | None, bool]
"""What curl says of a request, how Envoy's line of it differs (None: there is none), whether the server received it."""

SERVED: Outcome = ("200 0 0.01", {}, True)
REFUSED: Outcome = ("503 0 0.01", {"code": "503", "flags": "UH", "upstream_host": "-"}, False)


@dataclass
class Pod:
    """The client pod as it is seen from outside, and the world it talks to."""

    outcomes: list[Outcome]
    end: str = "ended 0 "
    world: FakeWorld = field(default_factory=FakeWorld)
    lines: list[str] = field(default_factory=list)
    argv: list[str] = field(default_factory=list)
    loop: FakeExec = field(default_factory=FakeExec)
    started: str = "started"

    def exec(self, command: list[str]) -> Exec:
        if command[0] == "curl":
            raise PlatformTrouble("exec broke off", "no proxy's view here")
        self.argv = command
        said = [self.started]
        for number, (curl, line, reached) in enumerate(self.outcomes, start=1):
            nonce = f"{command[4]}-{number}"
            said.append(f"{curl} 0 {SITE.url()}?attempt={nonce}")
            if line is not None:
                self.lines.append(log_line(nonce, 40001, **line))
            if reached:
                self.world.received.append(receipt(nonce=nonce))
        self.loop = FakeExec(*said, *([self.end] if self.end else []))
        return self.loop

    def request(self) -> Request:
        kube = FakeKube(log=lambda: "\n".join(self.lines), execs=self.exec)
        return Client(kube, "ns", CLIENT, self.world, Recorder()).get(SITE.url())


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock().install(monkeypatch)


def checked(request: Request) -> ledger.Check:
    (check,) = request.client.recorder.checks
    return check


def test_a_burst_none_of_which_is_lost_holds() -> None:
    pod = Pod([SERVED] * 3)
    request = pod.request()
    request.never_fails(SITE, cluster=CLUSTER, times=3)
    check = checked(request)
    assert (check.held, check.attempts_made, check.attempts) == (True, 3, [])
    # It ran to its end by itself.
    assert (pod.loop.sent, pod.loop.closed) == ([], True)
    prefix = pod.argv[4]
    assert pod.world.asked == [[prefix]]


def test_the_loop_is_told_what_to_send_and_how_fast() -> None:
    pod = Pod([SERVED])
    with pod.request().steadily(SITE, cluster=CLUSTER, times=7, per_second=20):
        pass
    bash, option, script, name, _, times, rate, value, *curl = pod.argv
    assert (bash, option, name, times, rate, value) == ("bash", "-c", "many", "7", "--rate", "20/s")
    assert script.startswith("# Runs in the client container")
    assert curl[-1] == f"{SITE.url()}?attempt={{nonce}}"


def test_one_after_another_they_have_no_rate() -> None:
    pod = Pod([SERVED])
    pod.request().never_fails(SITE, cluster=CLUSTER, times=1)
    assert "--rate" not in pod.argv


def test_one_lost_of_many_fails_the_check_and_is_shown() -> None:
    pod = Pod([SERVED, REFUSED, SERVED])
    request = pod.request()
    with pytest.raises(CheckFailed) as caught:
        request.never_fails(SITE, cluster=CLUSTER, times=3)
    text = str(caught.value)
    assert "curl: exit code 0, status 503, expected 200" in text
    assert f"envoy: 503, {CLUSTER}, flags UH, to nobody, expected 200 by {CLUSTER}" in text
    assert "server: 0 receipts, expected exactly one" in text
    assert "3 requests sent, 1 of them not served as expected" in text
    check = checked(request)
    assert (check.held, check.attempts_made) == (False, 3)
    assert [row.curl for row in check.attempts] == [f"request {pod.argv[4]}-2"]
    assert request.client.recorder.evidence == {
        "the proxy's view": "not to be had: exec broke off: no proxy's view here"
    }


def test_of_many_that_are_lost_the_first_are_shown_and_all_are_counted() -> None:
    pod = Pod([REFUSED] * 40)
    request = pod.request()
    with pytest.raises(CheckFailed, match="40 requests sent, 40 of them not served as expected"):
        request.never_fails(SITE, cluster=CLUSTER, times=40)
    assert len(checked(request).attempts) == 5


def test_a_200_that_no_server_received_is_lost() -> None:
    pod = Pod([SERVED, ("200 0 0.01", {}, False)])
    with pytest.raises(CheckFailed, match="server: 0 receipts, expected exactly one") as caught:
        pod.request().never_fails(SITE, cluster=CLUSTER, times=2)
    assert "the witnesses disagree: curl and envoy saw what was expected, server did not" in str(caught.value)


def test_a_line_that_does_not_come_is_waited_for_and_then_missed(clock: Clock) -> None:
    pod = Pod([SERVED, ("200 0 0.01", None, True)])
    start = clock.now
    with pytest.raises(CheckFailed, match="envoy: logged 0 lines of it, expected exactly one"):
        pod.request().never_fails(SITE, cluster=CLUSTER, times=2)
    assert clock.now - start == pytest.approx(5, abs=1)


def test_an_api_server_that_is_away_is_no_missing_line() -> None:
    pod = Pod([SERVED])
    request = pod.request()

    def log() -> str:
        raise PlatformTrouble("API server away", "GET log: refused")

    request.client.kube.log = log  # type: ignore[attr-defined]
    with pytest.raises(PlatformTrouble, match="API server away"):
        request.never_fails(SITE, cluster=CLUSTER, times=1)


def test_something_else_may_happen_meanwhile_and_then_it_is_told_to_stop() -> None:
    pod = Pod([SERVED] * 2, end="ended 143 ")
    request = pod.request()
    with request.steadily(SITE, cluster=CLUSTER) as many:
        assert many.sent == []
        assert pod.loop.sent == []
    assert pod.loop.sent == ["stop"]
    assert [each.status for each in many.sent] == [200, 200]
    assert checked(request).held


def test_the_one_that_was_under_way_when_it_was_stopped_is_no_observation() -> None:
    pod = Pod([SERVED] * 2, end="ended 143 ")
    request = pod.request()
    with request.steadily(SITE, cluster=CLUSTER):
        interrupted = f"{pod.argv[4]}-3"
        pod.lines.append(log_line(interrupted, 40001, code="0", flags="DC"))
        pod.world.received.append(receipt(BETA, nonce=interrupted))
    observed = checked(request).observed
    assert (observed.envoy.code, observed.envoy.flags, observed.server.name) == (["200"], ["-"], ["alpha"])


def test_what_fails_meanwhile_ends_the_traffic_and_is_what_is_told() -> None:
    pod = Pod([SERVED, REFUSED])
    request = pod.request()
    with pytest.raises(RuntimeError, match="the upgrade failed"), request.steadily(SITE, cluster=CLUSTER):
        raise RuntimeError("the upgrade failed")
    assert (pod.loop.sent, pod.loop.closed) == (["stop"], True)
    assert not checked(request).held


def test_it_is_waited_for_that_some_more_arrive() -> None:
    pod = Pod([SERVED] * 2)
    asked: list[int] = []

    class Later(FakeWorld):
        def receipts(self, after: dict[str, int], match: list[str]) -> list[Receipt]:
            asked.append(len(self.received))
            found = super().receipts(after, match)
            self.received.append(receipt(nonce=f"{match[0]}-{len(self.received) + 1}"))
            return found

    pod.world = Later()
    with pod.request().steadily(SITE, cluster=CLUSTER) as many:
        pod.world.received.clear()
        many.arrive()
        assert asked == [0, 1]
        asked.clear()
        many.arrive(more=3)
        assert asked == [2, 3, 4, 5]
        pod.world.received[:] = [receipt(nonce=f"{pod.argv[4]}-{number}") for number in (1, 2)]


def burst(pod: Pod, *, more: int = 0) -> None:
    with pod.request().steadily(SITE, cluster=CLUSTER) as many:
        many.arrive(more=more)


def test_one_that_arrived_before_it_is_waited_for_has_arrived(clock: Clock) -> None:
    start = clock.now
    burst(Pod([SERVED]))
    assert clock.now == start


def test_of_those_that_do_not_arrive_it_is_told_what_became_of_them(clock: Clock) -> None:
    start = clock.now
    with pytest.raises(CheckFailed, match="status 503, expected 200"):
        burst(Pod([REFUSED]))
    assert clock.now - start == pytest.approx(10, abs=1)


def test_too_few_are_too_few_though_all_of_them_were_served() -> None:
    with pytest.raises(CheckFailed, match=r"4 requests of the burst to arrive.*last seen: 2 of them"):
        burst(Pod([SERVED] * 2), more=2)


TROUBLE: dict[str, tuple[dict[str, Any], str]] = {
    "it does not start": (
        {"started": "bash: mktemp: no space"},
        "client pod broken: the loop in the pod did not start",
    ),
    "it breaks off": ({"end": ""}, "exec broke off: the loop in the pod ended before its time"),
    "it says something else": ({"end": "Killed"}, "client pod broken: the loop in the pod said 'Killed'"),
    "it sends too few": (
        {"end": "ended 137 Killed"},
        "client pod broken: 2 of 3 requests were sent; curl ended 137 Killed",
    ),
    "curl cannot write": (
        {"outcomes": [SERVED, ("200 23 0.01", {}, True)]},
        "client pod broken: curl could not write: 200 23 .*is its disk full",
    ),
    "it stands still": (
        {"outcomes": [SERVED, ("0 28 21.5", {}, True)]},
        "client pod stood still: one request took 21.5 s; was its node paused",
    ),
}


@pytest.mark.parametrize(("how", "reason"), TROUBLE.values(), ids=TROUBLE)
def test_a_loop_that_breaks_is_the_platforms_trouble(how: dict[str, Any], reason: str) -> None:
    pod = Pod(**{"outcomes": [SERVED] * 2, **how})
    request = pod.request()
    with pytest.raises(PlatformTrouble, match=reason):
        request.never_fails(SITE, cluster=CLUSTER, times=3)
    assert pod.loop.closed
    assert not checked(request).held


@pytest.mark.parametrize("curl", ["0 28 5.01", "0 7 0.0", "0 52 0.1"])
def test_a_request_that_the_mesh_may_have_failed_is_no_trouble(curl: str) -> None:
    pod = Pod([SERVED, (curl, {"code": "0", "flags": "DC"}, False)])
    with pytest.raises(CheckFailed):
        pod.request().never_fails(SITE, cluster=CLUSTER, times=2)


BLOCKED: Outcome = (
    "502 0 0.01",
    {
        "code": "502",
        "details": "direct_response",
        "cluster": "-",
        "upstream_host": "-",
        "upstream_local": "-",
        "route": "block_all",
    },
    False,
)
TURNS = {
    "it never is": ([SERVED, SERVED], "curl: none was blocked"),
    "one is served again": ([SERVED, BLOCKED, SERVED], "curl: status 200, expected 502"),
    "a server answers 502": ([SERVED, ("502 0 0.01", {"code": "502"}, True)], "server: received it in spite of it"),
    "a line is missing": ([SERVED, ("502 0 0.01", None, False)], r"envoy: \[\], expected one 502 by block_all"),
}


def test_a_burst_may_be_blocked_from_some_request_on() -> None:
    pod = Pod([SERVED, SERVED, BLOCKED])
    with pod.request().steadily(SITE, cluster=CLUSTER, then_blocked=True) as many:
        many.stop()
        assert [each.status for each in many.sent] == [200, 200, 502]
    assert (pod.loop.sent, many.connections) == (["stop"], 0)


@pytest.mark.parametrize(("outcomes", "problem"), TURNS.values(), ids=TURNS)
def test_it_is_not_blocked_from_some_request_on_when(outcomes: list[Outcome], problem: str) -> None:
    with (
        pytest.raises(CheckFailed, match=problem),
        Pod(outcomes).request().steadily(SITE, cluster=CLUSTER, then_blocked=True),
    ):
        pass


def test_of_what_passes_as_bytes_the_connection_is_logged_and_not_the_request() -> None:
    pod = Pod([("200 0 0.01", None, True)] * 2)
    pod.lines = [log_line(code="0", request="- - -", upstream_local=receipt().remote)]
    pod.request().never_fails(SITE, cluster=CLUSTER, times=2, logged_code=0)
    pod.lines = [log_line(code="0", request="- - -", upstream_local=receipt().remote, cluster=PASSTHROUGH)]
    with pytest.raises(CheckFailed, match=f"envoy: 0, {PASSTHROUGH}.*, expected 0 by"):
        pod.request().never_fails(SITE, cluster=CLUSTER, times=2, logged_code=0)


def test_a_connection_to_another_port_that_had_the_same_end_is_not_theirs() -> None:
    pod = Pod([("200 0 0.01", None, True)] * 2)
    theirs = log_line(code="0", request="- - -", upstream_local=receipt().remote)
    before = log_line("n0-1", upstream_local=receipt().remote, upstream_host=f"{ALPHA.address}:8080")
    pod.lines = [before, theirs, before]
    pod.request().never_fails(SITE, cluster=CLUSTER, times=2, logged_code=0)


def test_the_log_is_read_no_further_back_than_they_go(monkeypatch: pytest.MonkeyPatch, clock: Clock) -> None:
    monkeypatch.setattr("egress_conformance.traffic.many.time", clock)
    pod = Pod([SERVED])
    request = pod.request()
    with request.steadily(SITE, cluster=CLUSTER):
        clock.sleep(7)
    kube = request.client.kube
    assert isinstance(kube, FakeKube)
    assert kube.read_back == [9]
