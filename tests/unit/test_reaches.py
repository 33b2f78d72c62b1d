"""The judge of a request that must arrive: one fully agreeing attempt, of which one thing is changed."""

from dataclasses import replace

import pytest

from egress_conformance.report.observed import BLACK_HOLE
from egress_conformance.traffic.expect import PASSTHROUGH
from tests.unit.fakes import ALPHA, BETA, DECOY, SITE, answer, curl_saw, receipt
from tests.unit.judged import (
    CLUSTER,
    Change,
    a_copy_at_the_decoy,
    attempt,
    curl,
    envoy,
    logged,
    no_line,
    no_receipt,
    reaches,
    reported,
    server,
    tcp,
    tls,
    two_lines,
    two_receipts,
)


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


def test_a_request_that_arrives_under_another_host_or_path_is_not_the_one_that_was_sent() -> None:
    expected = reaches(host=SITE.host, path="/headers?attempt={nonce}")
    assert expected.problems(attempt()) == []
    rewritten = receipt(host="elsewhere.test", path="/other?attempt=n1-1")
    assert expected.problems(replace(attempt(), received=(rewritten,))) == [
        f"server: the host it received is 'elsewhere.test', expected '{SITE.host}'",
        "server: the path is '/other?attempt=n1-1', expected '/headers?attempt=n1-1'",
    ]
