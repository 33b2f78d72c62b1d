"""What the proxy answers after it tried in vain, and what the servers may have heard of that."""

import re
from dataclasses import replace

from egress_conformance.traffic.attempt import Attempt, parse_log, unaccounted
from egress_conformance.traffic.by_proxy import Answered
from tests.unit.fakes import ALPHA, CLIENT, curl_saw, log_line, receipt

TIMED_OUT = Answered(504, "UT", b"upstream request timeout", frozenset({f"{ALPHA.address}:80"}), arrivals=1)


def attempt() -> Attempt:
    """A request that alpha received and did not answer in time."""
    seen = curl_saw(status=504, body=b"upstream request timeout")
    lines = tuple(parse_log(log_line(code="504", flags="UT", details="response_timeout")))
    return Attempt(number=1, nonce="n1-1", sent=0, start_ms=0, curl=seen, logged=lines, received=(receipt(),))


def test_a_time_out_agrees() -> None:
    assert TIMED_OUT.problems(attempt()) == []


def test_a_time_out_that_no_server_heard_of() -> None:
    unheard = replace(attempt(), received=())
    assert TIMED_OUT.problems(unheard) == ["server: 0 receipts of the request, expected exactly one"]


def test_a_time_out_of_another_server() -> None:
    (line,) = attempt().logged
    elsewhere = replace(attempt(), logged=(replace(line, upstream_host="10.9.9.9:80"),))
    expected = f"envoy: sent it to 10.9.9.9:80, expected one of ['{ALPHA.address}:80']"
    assert TIMED_OUT.problems(elsewhere) == [expected]


def test_a_transport_failure_must_be_the_one_expected() -> None:
    refused = replace(TIMED_OUT, failure="TLS_error:.*")
    assert refused.problems(attempt()) == ["envoy: the transport failure is '-', expected 'TLS_error:.*'"]


def test_a_body_may_be_a_pattern() -> None:
    assert replace(TIMED_OUT, body=re.compile(rb"upstream .*")).problems(attempt()) == []
    assert len(replace(TIMED_OUT, body=re.compile(rb"downstream .*")).problems(attempt())) == 1


def test_traffic_beside_a_check_is_accounted_for_by_what_its_nonces_begin_with() -> None:
    beside = receipt(nonce="n9-1", remote=f"{CLIENT}:59999")
    connect = receipt(event="connect", nonce="", remote=f"{CLIENT}:59999")
    log = list(attempt().logged)
    assert unaccounted([attempt()], log, [connect, beside]) == [connect, beside]
    assert unaccounted([attempt()], log, [connect, beside], ("n9",)) == []


def test_a_connection_to_a_host_envoy_chose_and_gave_up_is_accounted_for() -> None:
    (line,) = attempt().logged
    overflow = replace(attempt(), logged=(replace(line, upstream_local="-"),))
    connect = receipt(event="connect", nonce="", remote=f"{CLIENT}:59999")
    assert unaccounted([overflow], list(overflow.logged), [connect]) == []
    elsewhere = replace(connect, port=443)
    assert unaccounted([overflow], list(overflow.logged), [elsewhere]) == [elsewhere]
