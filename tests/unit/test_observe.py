"""What a check observed: the same in each run, whatever chance had a hand in."""

from dataclasses import replace
from typing import Any

import pytest

from egress_conformance.report.observed import Observed
from egress_conformance.traffic.attempt import Attempt, parse_log
from egress_conformance.traffic.by_proxy import Answered, Blocked, IsBlocked
from egress_conformance.traffic.expect import Expectation
from egress_conformance.traffic.observe import observe, observe_many
from egress_conformance.traffic.reaches import Reaches
from egress_conformance.traffic.stable import Stable
from tests.unit.fakes import ALPHA, BETA, CLIENT, SITE, answer, curl_saw, log_line, receipt

NAMES = {ALPHA.address: "alpha", BETA.address: "beta", CLIENT: "client"}
CLUSTER = f"outbound|80||{SITE.host}"


def reaches(*servers: Any, **changes: Any) -> Reaches:  # noqa: ANN401
    return Reaches(
        name=SITE.host,
        instances={f"{server.address}:80": server.instance for server in servers},
        servers={server.instance: server.name for server in servers},
        cluster=CLUSTER,
        **changes,
    )


def attempt(number: int = 1, **changes: Any) -> Attempt:  # noqa: ANN401
    """One that alpha answered; `log`, `curl` and `received` change what the witnesses saw."""
    nonce = f"n0123456789-{number}"
    curl = curl_saw(body=answer(nonce=nonce), **changes.get("curl", {}))
    logged = tuple(parse_log(log_line(nonce, **changes.get("log", {}))))
    got = receipt(nonce=nonce, path=f"/headers?attempt={nonce}", **changes.get("received", {}))
    return Attempt(number, nonce, 0, 0, curl, logged, (got,))


def observed(*attempts: Attempt, expectation: Expectation | None = None) -> Observed:
    return observe(f"GET {SITE.url()}", expectation or reaches(ALPHA), list(attempts), Stable(NAMES))


def blocked(exit_code: int, **curl: Any) -> Attempt:  # noqa: ANN401
    saw = curl_saw(exit_code=exit_code, status=0, body=b"", headers={}, http_version="0", **curl)
    line = log_line(code="0", flags="UH", details="-", upstream_host="-", cluster="BlackHoleCluster", route="-")
    return Attempt(1, "n1-1", 0, 0, saw, tuple(parse_log(line)))


def test_what_the_three_witnesses_saw_is_kept_by_name() -> None:
    assert observed(attempt(1), attempt(2)).flat() == {
        "expected": f"reaches {SITE.host} by {CLUSTER} with 200",
        "curl.outcome": "200",
        "curl.http_version": "1.1",
        "curl.answered_by": "alpha",
        "curl.headers.server": "envoy",
        # Its value is a duration.
        "curl.headers.x-envoy-upstream-service-time": "*",
        "envoy.lines": "1",
        "envoy.code": "200",
        "envoy.flags": "-",
        "envoy.details": "via_upstream",
        "envoy.termination": "-",
        "envoy.failure": "-",
        "envoy.cluster": CLUSTER,
        "envoy.route": "default",
        "envoy.upstream": "alpha:80",
        "envoy.authority": SITE.host,
        "envoy.sni": "-",
        "server.arrivals": "1",
        "server.name": "alpha",
        "server.port": "80",
        "server.protocol": "HTTP/1.1",
        "server.host": SITE.host,
        "server.path": "/headers?attempt=<nonce>",
        "server.headers.Host": SITE.host,
        "server.headers.X-Forwarded-Proto": "http",
        "server.sni": "-",
        "server.alpn": "-",
        "server.tls_version": "-",
        "server.client_certificate": "-",
    }


def test_which_of_several_servers_answers_is_chance() -> None:
    of_beta = attempt(
        2,
        log={"upstream_host": f"{BETA.address}:80"},
        received={"server": BETA},
    )
    of_beta = replace(of_beta, curl=replace(of_beta.curl, body=answer(BETA)))
    seen = [
        observed(*attempts, expectation=reaches(ALPHA, BETA))
        for attempts in ([attempt(1)], [of_beta], [attempt(1), of_beta])
    ]
    assert seen[0] == seen[1] == seen[2]
    assert (seen[0].server.name, seen[0].envoy.upstream) == (["alpha or beta"], ["alpha:80 or beta:80"])
    assert seen[0].curl.answered_by == ["alpha or beta"]
    # Where only one may, the other is told apart.
    assert observed(of_beta).server.name == ["beta"]


def test_so_is_which_of_two_clusters_of_a_split_route_carries_it() -> None:
    either = reaches(ALPHA, or_cluster="another")
    seen = [observed(attempt(log={"cluster": cluster}), expectation=either) for cluster in (CLUSTER, "another")]
    assert seen[0] == seen[1]


def test_and_of_the_servers_that_were_asked_in_vain() -> None:
    upstream = frozenset(f"{server.address}:80" for server in (ALPHA, BETA))
    expectation = Answered(503, "UF", b"", upstream)
    seen = [
        observed(attempt(log={"upstream_host": f"{server.address}:80"}), expectation=expectation)
        for server in (ALPHA, BETA)
    ]
    assert seen[0].envoy == seen[1].envoy


def test_and_how_many_tries_it_took_where_the_case_says_so() -> None:
    tries = [attempt(received={"headers": [["x-envoy-attempt-count", count]]}) for count in ("1", "2")]
    chance = reaches(ALPHA, by_chance=("x-envoy-attempt-count",))
    assert observed(tries[0], expectation=chance) == observed(*tries, expectation=chance)
    assert observed(tries[0]) != observed(*tries)


@pytest.mark.parametrize("exit_code", [52, 55, 56, 0])
def test_a_connection_closed_without_an_answer_is_one_outcome(exit_code: int) -> None:
    seen = observed(blocked(exit_code), expectation=IsBlocked(Blocked.RESET))
    assert seen.curl.outcome == ["closed without an answer"]
    assert (seen.curl.http_version, seen.curl.headers, seen.server.name) == ([], {}, [])
    assert (seen.server.arrivals, seen.envoy.cluster) == (["0"], ["BlackHoleCluster"])


@pytest.mark.parametrize(
    ("exit_code", "told"), {28: "no answer in time", 35: "TLS handshake failed", 92: "curl's exit code 92"}.items()
)
def test_other_ends_are_told_apart(exit_code: int, told: str) -> None:
    assert observed(blocked(exit_code)).curl.outcome == [told]


def test_an_answer_without_a_status_is_one() -> None:
    tcp = attempt(curl={"status": 0, "http_version": "0", "headers": {}})
    assert observed(tcp).curl.outcome == ["answered"]


def test_framing_and_what_the_world_says_of_itself_are_no_observation() -> None:
    headers = {"Connection": "close", "content-length": "512", "x-world-instance": "1", "date": "today"}
    assert observed(attempt(curl={"headers": headers})).curl.headers == {"date": ["*"]}


def test_a_header_that_was_not_always_there_says_so() -> None:
    with_it = attempt(2, received={"headers": [["Host", SITE.host], ["x-envoy-attempt-count", "2"]]})
    assert observed(attempt(1), with_it).server.headers == {
        "Host": [SITE.host],
        "X-Forwarded-Proto": ["-", "http"],
        "x-envoy-attempt-count": ["-", "2"],
    }


def test_of_many_requests_only_what_their_number_does_not_change() -> None:
    log = [line for nonce in ("n1-1", "n1-2") for line in parse_log(log_line(nonce))]
    seen = [
        observe_many("GET /", reaches(ALPHA, BETA), outcomes=["200"], log=log[:n], receipts=got, stable=Stable(NAMES))
        for n, got in ((1, [receipt()]), (2, [receipt(), receipt(BETA, nonce="n1-2")]))
    ]
    assert seen[0] == seen[1]
    assert seen[0].flat() == {
        "expected": f"reaches {SITE.host} by {CLUSTER} with 200, every single one",
        "curl.outcome": "200",
        "envoy.code": "200",
        "envoy.flags": "-",
        "envoy.cluster": CLUSTER,
        "server.name": "alpha or beta",
        "server.port": "80",
        "server.protocol": "HTTP/1.1",
    }
