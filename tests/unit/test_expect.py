"""The judge: one fully agreeing attempt, of which one thing is changed, and who disagrees then."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from egress_conformance.traffic.attempt import Attempt, EnvoyLogged, parse_log
from egress_conformance.traffic.by_proxy import Answered, Blocked, IsBlocked
from egress_conformance.traffic.expect import BLACK_HOLE, PASSTHROUGH, Expectation
from egress_conformance.traffic.reaches import Reaches
from tests.unit.fakes import ALPHA, BETA, DECOY, SITE, answer, curl_saw, log_line, receipt

Change = Callable[[Attempt], Attempt]

CLUSTER = f"outbound|80||{SITE.host}"


def logged(**changes: str) -> EnvoyLogged:
    return parse_log(log_line("n1-1", 40001, **changes))[0]


def attempt(**changes: Any) -> Attempt:  # noqa: ANN401
    """An HTTP request that alpha answered, as all three witnesses tell it."""
    connect = receipt(event="connect", nonce="", host="", path="", headers=[])
    agreed: dict[str, Any] = {"curl": curl_saw(), "logged": (logged(),), "received": (connect, receipt())}
    return Attempt(number=1, nonce="n1-1", sent=0, start_ms=0, **{**agreed, **changes})


def curl(**changes: object) -> Change:
    return lambda agreed: replace(agreed, curl=replace(agreed.curl, **changes))  # type: ignore[arg-type]


def envoy(**changes: object) -> Change:
    return lambda agreed: replace(agreed, logged=(replace(agreed.logged[0], **changes),))  # type: ignore[arg-type]


def server(**changes: object) -> Change:
    """The last receipt, which is the request's."""
    return lambda agreed: replace(
        agreed,
        received=(*agreed.received[:-1], replace(agreed.received[-1], **changes)),  # type: ignore[arg-type]
    )


def no_line(agreed: Attempt) -> Attempt:
    return replace(agreed, logged=())


def two_lines(agreed: Attempt) -> Attempt:
    return replace(agreed, logged=agreed.logged * 2)


def no_receipt(agreed: Attempt) -> Attempt:
    return replace(agreed, received=agreed.received[:-1])


def two_receipts(agreed: Attempt) -> Attempt:
    return replace(agreed, received=(*agreed.received, agreed.received[-1]))


def a_copy_at_the_decoy(agreed: Attempt) -> Attempt:
    return replace(agreed, received=(*agreed.received, receipt(DECOY)))


def reported(expectation: Expectation, agreed: Attempt, change: Change, expected: list[str]) -> None:
    """What was agreed on has no problem; what was changed has exactly these, in this order."""
    assert expectation.problems(agreed) == []
    assert expectation.at_a_glance(agreed.curl)
    changed = change(agreed)
    problems = expectation.problems(changed)
    assert [problem[: len(start)] for problem, start in zip(problems, expected, strict=False)] == expected
    assert len(problems) == len(expected), problems
    # What is seen at a glance is what curl alone can tell: all but the nonce, which is the judge's to compare.
    of_curl = [problem for problem in problems if problem.startswith("curl") and "nonce" not in problem]
    assert expectation.at_a_glance(changed.curl) == (not of_curl)


def reaches(**changes: Any) -> Reaches:  # noqa: ANN401
    given: dict[str, Any] = {
        "name": SITE.host,
        "instances": {f"{each.address}:80": each.instance for each in (ALPHA, BETA)},
        "servers": {each.instance: each.name for each in (ALPHA, BETA)},
        "cluster": CLUSTER,
    }
    return Reaches(**{**given, **changes})


def test_a_mirrored_request_is_received_twice_and_logged_once() -> None:
    expectation = reaches(mirrored={DECOY.instance: "decoy"})
    copy = receipt(DECOY, remote="10.0.0.9:50002")
    mirrored = attempt(received=(receipt(), copy))
    assert expectation.problems(mirrored) == []
    assert expectation.accounts_for(copy)
    assert not expectation.accounts_for(receipt())
    assert expectation.problems(attempt()) == ["server: the number of copies decoy received is 0, expected 1"]
    lost = attempt(received=(copy,))
    assert expectation.problems(lost) == ["server: 0 receipts (nobody), expected exactly one"]


def test_a_route_that_is_split_may_take_either_of_two_clusters() -> None:
    expectation = reaches(cluster="outbound|80||other.test", or_cluster=CLUSTER)
    assert expectation.problems(attempt()) == []
    astray = attempt(logged=(logged(cluster="third"),))
    assert expectation.problems(astray) == ["envoy: the cluster is 'third', expected 'outbound|80||other.test'"]


AT_CURL = {
    "curl got another status": (curl(status=503), ["curl: the status is 503, expected 200"]),
    "curl got no answer in time": (
        curl(exit_code=28, error="timed out"),
        ["curl: exit code is 28 (timed out), expected 0"],
    ),
    "curl got a 200 that no server of the world sent": (
        curl(body=b"<html>welcome</html>"),
        [
            f"curl: answered by somebody unknown to the world, expected {SITE.host}",
            "curl: the nonce that came back is None, expected 'n1-1'",
        ],
    ),
    "curl got a 200 from the decoy": (
        curl(body=answer(DECOY)),
        [
            f"curl: answered by decoy, expected {SITE.host}",
        ],
    ),
    "curl got a 200 from the decoy, which received it": (
        lambda agreed: server(server=DECOY.name, instance=DECOY.instance)(curl(body=answer(DECOY))(agreed)),
        [f"curl: answered by decoy, expected {SITE.host}", f"server: received by decoy, expected {SITE.host}"],
    ),
    "another server of the site answered than the one it was sent to": (
        curl(body=answer(BETA)),
        [
            f"envoy: sent it to {ALPHA.address}:80, but another server answered",
            "server: received by alpha, but the answer is another server's",
        ],
    ),
    "somebody answers that it is alpha but does not know alpha's secret": (
        curl(body=answer(ALPHA, instance="guessed")),
        [
            f"curl: answered by alpha, expected {SITE.host}",
        ],
    ),
    "the answer to another attempt came back": (
        curl(body=answer(nonce="n1-2")),
        ["curl: the nonce that came back is 'n1-2', expected 'n1-1'"],
    ),
    "an echo of the nonce without the rest": (
        curl(body=b'{"nonce": "n1-1"}'),
        [
            "curl: answered by somebody unknown",
            "curl: the nonce that came back is None",
        ],
    ),
    "the answer came later than it may": (
        curl(seconds=5.2),
        ["curl: answered after 5.200 s, expected 0 to 5 s"],
    ),
}

AT_ENVOY = {
    "envoy used another cluster": (
        envoy(cluster=PASSTHROUGH),
        [f"envoy: the cluster is {PASSTHROUGH!r}, expected {CLUSTER!r}"],
    ),
    "envoy used no cluster": (envoy(cluster=""), [f"envoy: the cluster is '', expected {CLUSTER!r}"]),
    "envoy logged another code": (envoy(code=503), ["envoy: the response code is 503, expected 200"]),
    "envoy passed it on as TCP": (envoy(code=0), ["envoy: the response code is 0, expected 200"]),
    "envoy flagged it": (envoy(flags="UF,URX"), ["envoy: the response flags is 'UF,URX', expected '-'"]),
    "envoy sent it to a server that is not of the site": (
        envoy(upstream_host=f"{DECOY.address}:80"),
        [f"envoy: sent it to {DECOY.address}:80, expected one of"],
    ),
    "envoy sent it to the right address on another port": (
        envoy(upstream_host=f"{ALPHA.address}:8080"),
        [f"envoy: sent it to {ALPHA.address}:8080, expected one of"],
    ),
    "envoy sent it to nobody": (envoy(upstream_host="-"), ["envoy: sent it to -, expected one of"]),
    "envoy sent it to another server of the site than the one that answered": (
        envoy(upstream_host=f"{BETA.address}:80"),
        [f"envoy: sent it to {BETA.address}:80, but another server answered"],
    ),
    "envoy logged nothing": (no_line, ["envoy: logged 0 lines of this attempt, expected exactly one"]),
    "envoy logged it twice": (two_lines, ["envoy: logged 2 lines of this attempt, expected exactly one"]),
}

AT_THE_SERVER = {
    "no server received it": (no_receipt, ["server: 0 receipts (nobody), expected exactly one"]),
    "the server received it twice": (two_receipts, ["server: 2 receipts (alpha), expected exactly one"]),
    "the decoy received a copy": (
        a_copy_at_the_decoy,
        [
            "server: 2 receipts (alpha, decoy), expected exactly one",
            f"server: received by decoy, expected {SITE.host}",
        ],
    ),
    "another server received it than the one that answered": (
        server(server=BETA.name, instance=BETA.instance),
        ["server: received by beta, but the answer is another server's"],
    ),
    "the server restarted in between": (
        server(instance="instance-of-alpha-before"),
        [f"server: received by alpha, expected {SITE.host}"],
    ),
}


@pytest.mark.parametrize(("change", "expected"), AT_CURL.values(), ids=AT_CURL)
def test_an_http_request_does_not_reach_its_site_when_curl_disagrees(change: Change, expected: list[str]) -> None:
    reported(reaches(), attempt(), change, expected)


@pytest.mark.parametrize(("change", "expected"), AT_ENVOY.values(), ids=AT_ENVOY)
def test_an_http_request_does_not_reach_its_site_when_envoy_disagrees(change: Change, expected: list[str]) -> None:
    reported(reaches(), attempt(), change, expected)


@pytest.mark.parametrize(("change", "expected"), AT_THE_SERVER.values(), ids=AT_THE_SERVER)
def test_an_http_request_does_not_reach_its_site_when_the_server_disagrees(change: Change, expected: list[str]) -> None:
    reported(reaches(), attempt(), change, expected)


def test_a_receipt_of_the_connection_is_no_receipt_of_the_request() -> None:
    agreed = attempt()
    assert [each.event for each in agreed.received] == ["connect", "request"]
    reported(reaches(), agreed, lambda agreed: replace(agreed, received=agreed.received[1:]), [])


RESPONSE_HEADERS = {
    "a header that must be there is not": (
        curl(headers={"x-envoy-upstream-service-time": "1"}),
        ["curl: response header server is None, expected 'envoy'"],
    ),
    "a header has another value": (
        curl(headers={"server": "world", "x-envoy-upstream-service-time": "1"}),
        ["curl: response header server is 'world', expected 'envoy'"],
    ),
    "a header comes twice with different values": (
        curl(headers={"server": "world,envoy", "x-envoy-upstream-service-time": "1"}),
        ["curl: response header server is 'world,envoy', expected 'envoy'"],
    ),
    "a header of any value is not there": (
        curl(headers={"server": "envoy"}),
        ["curl: no response header x-envoy-upstream-service-time, expected one"],
    ),
    "a header is there that must not be": (
        curl(headers={"server": "envoy", "x-envoy-upstream-service-time": "1", "x-unwanted": ""}),
        ["curl: response header x-unwanted is '', expected None"],
    ),
}


@pytest.mark.parametrize(("change", "expected"), RESPONSE_HEADERS.values(), ids=RESPONSE_HEADERS)
def test_response_headers(change: Change, expected: list[str]) -> None:
    wanted = {"server": "envoy", "x-envoy-upstream-service-time": "*", "x-unwanted": None}
    reported(reaches(headers=wanted), attempt(), change, expected)


def received_headers(*pairs: tuple[str, str]) -> Change:
    """The server received these headers; the answer, which repeats them, says nothing of it."""
    return server(headers=pairs)


REQUEST_HEADERS = {
    "the server received none": (
        received_headers(("Host", SITE.host)),
        ["server: the server received x-forwarded-proto: None, expected 'https?'"],
    ),
    "the server received another value": (
        received_headers(("x-forwarded-proto", "ftp")),
        ["server: the server received x-forwarded-proto: 'ftp', expected 'https?'"],
    ),
    "the value only begins as expected": (
        received_headers(("x-forwarded-proto", "https, spoofed")),
        ["server: the server received x-forwarded-proto: 'https, spoofed', expected 'https?'"],
    ),
    "the server received it twice": (
        received_headers(("X-Forwarded-Proto", "spoofed"), ("x-forwarded-proto", "http")),
        ["server: the server received x-forwarded-proto: 'spoofed,http', expected 'https?'"],
    ),
    "the server received a header that must not be there": (
        received_headers(("X-Forwarded-Proto", "http"), ("X-Unwanted", "")),
        ["server: the server received x-unwanted: '', expected none"],
    ),
    "the answer tells of another header than the receipt": (
        curl(body=answer(headers=[["X-Forwarded-Proto", "ftp"]])),
        ["curl: the server received x-forwarded-proto: 'ftp', expected 'https?'"],
    ),
    "the answer tells of no headers": (
        curl(body=answer(headers=None)),
        ["curl: the server received x-forwarded-proto: None, expected 'https?'"],
    ),
}


@pytest.mark.parametrize(("change", "expected"), REQUEST_HEADERS.values(), ids=REQUEST_HEADERS)
def test_request_headers(change: Change, expected: list[str]) -> None:
    reported(reaches(received={"x-forwarded-proto": "https?", "x-unwanted": None}), attempt(), change, expected)


def test_an_answer_may_not_come_before_its_time() -> None:
    late = attempt(curl=curl_saw(seconds=1.004))
    expectation = reaches(at_least_seconds=1, at_most_seconds=2)
    reported(expectation, late, curl(seconds=0.98), ["curl: answered after 0.980 s, expected 1 to 2 s"])
    reported(expectation, late, curl(seconds=2.2), ["curl: answered after 2.200 s, expected 1 to 2 s"])


def test_a_site_with_several_servers_may_be_reached_at_any() -> None:
    at_beta = attempt(
        curl=curl_saw(body=answer(BETA)),
        logged=(logged(upstream_host=f"{BETA.address}:80"),),
        received=(receipt(BETA),),
    )
    assert reaches().problems(at_beta) == []


def tls() -> tuple[Reaches, Attempt]:
    cluster = f"outbound|443||{SITE.host}"
    expectation = reaches(
        instances={f"{ALPHA.address}:443": ALPHA.instance},
        servers={ALPHA.instance: ALPHA.name},
        cluster=cluster,
        tls=True,
        logged_code=0,
    )
    line = logged(
        request="- - -", code="0", details="-", upstream_host=f"{ALPHA.address}:443", cluster=cluster, sni=SITE.host
    )
    saw = curl_saw(headers={"server": "world"}, http_version="2", certificate_organization="alpha")
    hello = receipt(event="hello", port=443, nonce="", sni=SITE.host)
    return expectation, attempt(curl=saw, logged=(line,), received=(hello, receipt(port=443, protocol="HTTP/2")))


TLS = {
    "the certificate is another server's": (
        curl(certificate_organization="beta"),
        ["curl: the certificate's owner is 'beta', expected 'alpha'"],
    ),
    "the certificate names nobody": (
        curl(certificate_organization=""),
        ["curl: the certificate's owner is '', expected 'alpha'"],
    ),
    "envoy saw an HTTP request inside": (envoy(code=200), ["envoy: the response code is 200, expected 0"]),
    "envoy passed it through for want of a match": (
        envoy(cluster=PASSTHROUGH),
        [f"envoy: the cluster is {PASSTHROUGH!r}, expected"],
    ),
    "the server got no further than the handshake": (no_receipt, ["server: 0 receipts (nobody)"]),
    "the handshake failed": (
        curl(exit_code=35, error="reset"),
        ["curl: exit code is 35 (reset), expected 0"],
    ),
}


@pytest.mark.parametrize(("change", "expected"), TLS.values(), ids=TLS)
def test_tls_does_not_reach_its_site(change: Change, expected: list[str]) -> None:
    reported(*tls(), change, expected)


def tcp() -> tuple[Reaches, Attempt]:
    cluster = f"outbound|9000||{SITE.host}"
    expectation = reaches(instances={f"{ALPHA.address}:9000": ALPHA.instance}, cluster=cluster, status=0, logged_code=0)
    line = logged(request="- - -", code="0", details="-", upstream_host=f"{ALPHA.address}:9000", cluster=cluster)
    saw = curl_saw(status=0, headers={}, http_version="0")
    return expectation, attempt(curl=saw, logged=(line,), received=(receipt(port=9000, event="payload"),))


TCP = {
    "nothing came back": (
        curl(body=b""),
        ["curl: answered by somebody unknown", "curl: the nonce"],
    ),
    "the connection was reset": (
        curl(exit_code=56, error="reset"),
        ["curl: exit code is 56 (reset), expected 0"],
    ),
    "an HTTP status came back": (curl(status=400), ["curl: the status is 400, expected 0"]),
    "the payload was received twice": (two_receipts, ["server: 2 receipts (alpha), expected exactly one"]),
    "envoy sent it into the black hole": (
        envoy(cluster=BLACK_HOLE, flags="UH", upstream_host="-"),
        ["envoy: the cluster is", "envoy: the response flags is 'UH'", "envoy: sent it to -"],
    ),
}


@pytest.mark.parametrize(("change", "expected"), TCP.values(), ids=TCP)
def test_tcp_does_not_reach_its_site(change: Change, expected: list[str]) -> None:
    reported(*tcp(), change, expected)


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


def test_a_request_that_arrives_under_another_host_or_path_is_not_the_one_that_was_sent() -> None:
    expected = reaches(host=SITE.host, path="/headers?attempt={nonce}")
    assert expected.problems(attempt()) == []
    rewritten = receipt(host="elsewhere.test", path="/other?attempt=n1-1")
    assert expected.problems(replace(attempt(), received=(rewritten,))) == [
        f"server: the host it received is 'elsewhere.test', expected '{SITE.host}'",
        "server: the path is '/other?attempt=n1-1', expected '/headers?attempt=n1-1'",
    ]
