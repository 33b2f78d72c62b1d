"""The judge of a request that must end at the proxy: one fully agreeing attempt, of which one thing is changed."""

from dataclasses import replace
from typing import Any

import pytest

from egress_conformance.report.observed import BLACK_HOLE
from egress_conformance.traffic.attempt import Attempt
from egress_conformance.traffic.by_proxy import Answered, Blocked, IsBlocked
from egress_conformance.traffic.expect import PASSTHROUGH
from tests.unit.fakes import ALPHA, SITE, answer, curl_saw, receipt
from tests.unit.judged import (
    CLUSTER,
    Change,
    attempt,
    curl,
    envoy,
    logged,
    no_line,
    reaches,
    reported,
    tcp,
    tls,
    two_lines,
)

LOGGED = [kind for kind in Blocked if kind is not Blocked.HANGS]


def blocked(kind: Blocked) -> Attempt:
    """A request that is blocked in this way, as curl and Envoy tell it; no server tells of it."""
    black_hole = {"code": "0", "flags": "UH", "details": "-", "cluster": BLACK_HOLE, "request": "- - -"}
    proxy = {"server": "envoy"}
    nothing: dict[str, Any] = {"status": 0, "headers": {}, "body": b"", "http_version": "0"}
    told: dict[Blocked, tuple[dict[str, Any], dict[str, str]]] = {
        Blocked.BAD_GATEWAY: (
            {"status": 502, "headers": proxy, "body": b""},
            {"code": "502", "details": "direct_response", "cluster": "-", "route": "block_all"},
        ),
        Blocked.RESET: ({**nothing, "exit_code": 56, "error": "reset"}, black_hole),
        Blocked.TLS_RESET: ({**nothing, "exit_code": 35, "error": "reset"}, {**black_hole, "sni": SITE.host}),
        Blocked.TCP_CLOSED: (nothing, black_hole),
        Blocked.HTTP2_RESET: ({**nothing, "exit_code": 55, "error": "reset"}, black_hole),
        Blocked.UNAVAILABLE: (
            {"status": 503, "headers": proxy, "body": b"no healthy upstream"},
            {"code": "503", "flags": "UH", "details": "no_healthy_upstream"},
        ),
    }
    at_curl, at_envoy = told[kind]
    line = logged(**{"upstream_host": "-", "upstream_local": "-", **at_envoy})
    return attempt(curl=curl_saw(**at_curl), logged=(line,), received=())


def heard_by(**changes: object) -> Change:
    """Some server heard of it after all."""
    return lambda agreed: replace(agreed, received=(replace(receipt(), **changes),))  # type: ignore[arg-type]


ANY_BLOCK = {
    "curl could not connect": (
        curl(exit_code=7, error="refused", status=0, headers={}, body=b""),
        "curl: exit code is 7 (refused), expected",
    ),
    "curl got no answer in time": (
        curl(exit_code=28, error="timed out", status=0, headers={}, body=b""),
        "curl: exit code is 28 (timed out), expected",
    ),
    "curl could not resolve the host": (
        curl(exit_code=6, error="no such host", status=0, headers={}, body=b""),
        "curl: exit code is 6 (no such host), expected",
    ),
    "the server received the request": (heard_by(), "server: alpha:80 request"),
    "the decoy received the request": (heard_by(server="decoy"), "server: decoy:80 request"),
    "the server saw a connection": (heard_by(event="connect"), "server: alpha:80 connect"),
    "the server saw a handshake": (heard_by(event="hello", sni="x"), "server: alpha:80 hello ClientHello, sni x"),
    "envoy sent it to somebody": (
        envoy(upstream_host=f"{ALPHA.address}:80"),
        f"envoy: the upstream host is '{ALPHA.address}:80', expected '-'",
    ),
    "envoy gives another reason": (envoy(flags="UF"), "envoy: the response flags is 'UF', expected"),
    "envoy logged another code": (envoy(code=200), "envoy: the response code is 200, expected"),
    "envoy logged nothing": (no_line, "envoy: logged 0 lines"),
    "envoy logged it twice": (two_lines, "envoy: logged 2 lines"),
}


@pytest.mark.parametrize("kind", LOGGED)
@pytest.mark.parametrize(("change", "expected"), ANY_BLOCK.values(), ids=ANY_BLOCK)
def test_no_kind_of_being_blocked_holds_when(kind: Blocked, change: Change, expected: str) -> None:
    agreed = blocked(kind)
    assert IsBlocked(kind).problems(agreed) == []
    problems = IsBlocked(kind).problems(change(agreed))
    assert problems[0].startswith(expected)
    # A curl that fails in another way may show it in more than its exit code; the others have nothing to add.
    witness = expected.partition(":")[0]
    assert {problem.partition(":")[0] for problem in problems} == {witness}


BAD_GATEWAY = {
    "the request went through": (
        curl(status=200, body=answer()),
        ["curl: the status is 200, expected 502", "curl: the body is"],
    ),
    "somebody else than the proxy said 502": (
        curl(headers={"server": "world"}),
        ["curl: response header server is 'world', expected 'envoy'"],
    ),
    "nobody says who said 502": (curl(headers={}), ["curl: response header server is None, expected 'envoy'"]),
    "the 502 has a body": (curl(body=b"upstream connect error"), ["curl: the body is b'upstream connect error'"]),
    "the connection was reset instead": (
        curl(exit_code=56, error="reset", status=0, headers={}, body=b""),
        ["curl: exit code is 56 (reset), expected 0", "curl: the status is 0", "curl: response header server is None"],
    ),
    "a cluster said it, not the route": (
        envoy(cluster=BLACK_HOLE),
        [f"envoy: the cluster is {BLACK_HOLE!r}, expected ''"],
    ),
    "an upstream said it": (
        envoy(details="via_upstream"),
        ["envoy: the response code details is 'via_upstream', expected 'direct_response'"],
    ),
    "another route said it": (envoy(route="allow_any"), ["envoy: the route is 'allow_any', expected 'block_all'"]),
}


@pytest.mark.parametrize(("change", "expected"), BAD_GATEWAY.values(), ids=BAD_GATEWAY)
def test_it_is_not_blocked_by_a_502_when(change: Change, expected: list[str]) -> None:
    reported(IsBlocked(Blocked.BAD_GATEWAY), blocked(Blocked.BAD_GATEWAY), change, expected)


RESETS = {Blocked.RESET: {52, 56}, Blocked.TLS_RESET: {35}, Blocked.TCP_CLOSED: {0, 56}, Blocked.HTTP2_RESET: {55, 56}}


@pytest.mark.parametrize(("kind", "codes"), RESETS.items(), ids=RESETS)
def test_curl_tells_a_reset_by_its_exit_code(kind: Blocked, codes: set[int]) -> None:
    seen = blocked(kind).curl
    assert {code for code in range(100) if IsBlocked(kind).at_a_glance(replace(seen, exit_code=code))} == codes


BLACK_HOLED = {
    "some bytes came back first": (curl(body=b"HTTP/1.0 200"), ["curl: the body is b'HTTP/1.0 200', expected b''"]),
    "an answer came back first": (curl(status=200), ["curl: the status is 200, expected 0"]),
    "envoy passed it through": (envoy(cluster=PASSTHROUGH), [f"envoy: the cluster is {PASSTHROUGH!r}, expected"]),
    "a registered cluster had no endpoint": (envoy(cluster=CLUSTER), [f"envoy: the cluster is {CLUSTER!r}, expected"]),
}


@pytest.mark.parametrize("kind", RESETS)
@pytest.mark.parametrize(("change", "expected"), BLACK_HOLED.values(), ids=BLACK_HOLED)
def test_it_is_not_blocked_by_the_black_hole_when(kind: Blocked, change: Change, expected: list[str]) -> None:
    reported(IsBlocked(kind), blocked(kind), change, expected)


@pytest.mark.parametrize("kind", LOGGED)
@pytest.mark.parametrize("other", LOGGED)
def test_one_kind_of_being_blocked_is_not_another(kind: Blocked, other: Blocked) -> None:
    # To curl and Envoy a reset TCP connection may look like a reset HTTP request: which of them it was is the case's
    # own choice of request. A clean close, which only TCP can have, is not a reset.
    same = kind == other or (kind is Blocked.RESET and other in {Blocked.TCP_CLOSED, Blocked.HTTP2_RESET})
    assert (IsBlocked(other).problems(blocked(kind)) == []) == same


@pytest.mark.parametrize("kind", LOGGED)
def test_what_reaches_is_not_blocked_and_what_is_blocked_does_not_reach(kind: Blocked) -> None:
    for expectation, agreed in ((reaches(), attempt()), tls(), tcp()):
        assert expectation.problems(agreed) == []
        assert {problem.partition(":")[0] for problem in IsBlocked(kind).problems(agreed)} == {
            "curl",
            "envoy",
            "server",
        }
        assert {problem.partition(":")[0] for problem in expectation.problems(blocked(kind))} == {
            "curl",
            "envoy",
            "server",
        }


def test_what_hangs_ends_in_curls_time_out_and_nowhere_else() -> None:
    hangs = IsBlocked(Blocked.HANGS)
    nothing = curl_saw(exit_code=28, error="timed out", status=0, headers={}, body=b"")
    agreed = attempt(curl=nothing, logged=(), received=())
    assert (hangs.problems(agreed), hangs.is_logged()) == ([], False)
    assert hangs.problems(replace(agreed, received=(receipt(),)))[0].startswith("server: alpha:80 request")
    assert hangs.problems(replace(agreed, logged=(logged(),))) == [
        "envoy: logged 1 lines of this attempt, expected none"
    ]
    assert hangs.problems(replace(agreed, curl=replace(nothing, exit_code=56)))[0].startswith("curl: exit code is 56")
    assert hangs.problems(replace(agreed, curl=replace(nothing, body=b"hello")))[0].startswith("curl: the body")
    for kind in LOGGED:
        assert IsBlocked(kind).is_logged()
        assert hangs.problems(blocked(kind))


def fault() -> tuple[Answered, Attempt]:
    line = logged(
        code="418", flags="FI", details="fault_filter_abort", upstream_host="-", upstream_local="-", route="-"
    )
    saw = curl_saw(status=418, headers={"server": "envoy"}, body=b"fault filter abort")
    return Answered(418, "FI", b"fault filter abort"), attempt(curl=saw, logged=(line,), received=())


ANSWERED = {
    "curl failed": (curl(exit_code=56), ["curl: the exit code is 56, expected 0"]),
    "another status came back": (curl(status=200), ["curl: the status is 200, expected 418"]),
    "another body came back": (curl(body=b"I'm a teapot"), ['curl: the body is b"I\'m a teapot", expected']),
    "a server said it": (curl(headers={"server": "world"}), ["curl: response header server is 'world'"]),
    "envoy gives another reason": (envoy(flags="-"), ["envoy: the response flags is '-', expected 'FI'"]),
    "envoy logged another code": (envoy(code=200), ["envoy: the response code is 200, expected 418"]),
    "envoy sent it on all the same": (
        envoy(upstream_host=f"{ALPHA.address}:80"),
        [f"envoy: the upstream host is '{ALPHA.address}:80', expected '-'"],
    ),
    "envoy logged nothing": (no_line, ["envoy: logged 0 lines"]),
    "envoy logged it twice": (two_lines, ["envoy: logged 2 lines"]),
    "the server received it all the same": (
        heard_by(),
        [
            "server: alpha:80 request",
        ],
    ),
    "the server saw a connection": (heard_by(event="connect"), ["server: alpha:80 connect"]),
}


@pytest.mark.parametrize(("change", "expected"), ANSWERED.values(), ids=ANSWERED)
def test_the_proxy_does_not_answer_by_itself_when(change: Change, expected: list[str]) -> None:
    reported(*fault(), change, expected)


def test_expectations_say_what_they_are() -> None:
    assert str(reaches()) == f"reaches {SITE.host} by {CLUSTER} with 200"
    assert str(reaches(status=0)) == f"reaches {SITE.host} by {CLUSTER}"
    assert str(IsBlocked(Blocked.BAD_GATEWAY)) == "is blocked: 502 from the proxy"
    assert str(fault()[0]) == "is answered 418 by the proxy (flags FI)"
