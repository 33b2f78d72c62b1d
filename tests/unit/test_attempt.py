"""Reading what the witnesses say, and joining it: log lines as Istio's sidecars wrote them, attempts, receipts."""

import datetime
import json
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from egress_conformance.traffic.attempt import Attempt, Receipt, join, parse_attempt, parse_log, unaccounted
from tests.unit.fakes import ALPHA, CLIENT, DECOY, SITE, answer, attempt_line, curl_saw, log_line, receipt

# Lines of a client's sidecar (Istio 1.31, Envoy 1.39.3), as they stood in the pod's log.
ROUTED = (
    '[2026-11-24T05:00:13.561Z] "GET /headers?attempt=nd010f6e2be-1 HTTP/1.1" 200 - via_upstream - "-" 0 668 8 2 "-" '
    '"curl/7.88.1" "b0f5faca-cc73-4c86-ac14-2747fe031d1e" "rsl-02-9e1eb3.world.test" "10.244.0.4:80" '
    "outbound|80||rsl-02-9e1eb3.world.test 10.244.0.11:33888 10.244.0.4:80 10.244.0.11:33874 - default"
)
BAD_GATEWAY = (
    '[2026-11-24T04:59:19.276Z] "GET /headers?attempt=naab5c20bb1-1 HTTP/1.1" 502 - direct_response - "-" 0 0 1 - "-" '
    '"curl/7.88.1" "9bab2510-95d4-461c-ac5a-ce2dfe841e2f" "pol-06-75a5b0.world.test" "-" - - 10.244.0.4:80 '
    "10.244.0.11:55082 - block_all"
)
BLACK_HOLE = (
    '[2026-11-24T05:00:38.373Z] "- - -" 0 UH - - "-" 0 0 0 - "-" "-" "-" "-" "-" BlackHoleCluster - 10.244.0.4:443 '
    "10.244.0.10:37724 - -"
)
PASSED_THROUGH = (
    '[2026-11-24T04:59:15.870Z] "- - -" 0 - - - "-" 122 699 10 - "-" "-" "-" "-" "10.244.0.4:8080" PassthroughCluster '
    "10.244.0.8:38224 10.244.0.4:8080 10.244.0.8:38208 - -"
)
BY_SNI = (
    '[2026-11-24T05:00:33.097Z] "- - -" 0 - - - "-" 819 2102 24 - "-" "-" "-" "-" "10.244.0.4:443" '
    "outbound|443||tls-01-e0ff6b.world.test 10.244.0.8:43910 10.244.0.4:443 10.244.0.8:43896 tls-01-e0ff6b.world.test -"
)
FAULT = (
    '[2026-11-24T05:00:24.244Z] "GET /headers?attempt=nca8ca5b86d-1 HTTP/1.1" 418 FI fault_filter_abort - "-" 0 18 2 - '
    '"-" "curl/7.88.1" "2ec0406a-ee90-41a1-a564-f394066e2a24" "rsl-01-5e6cb4.world.test" "-" '
    "outbound|80||rsl-01-5e6cb4.world.test - 10.244.0.4:80 10.244.0.8:35132 - -"
)
NO_LOG_LINES = """
2026-11-24T05:01:45.678472Z\twarn\tAborting proxy
2026-11-24T05:01:22.123456Z\twarning\tenvoy main external/envoy/source/server/server.cc:1001\tthere is no log\tthread=18
[2026-11-24T05:00:33.097Z] "GET /cut-o
[2026-11-24T05:00:33.097Z] but not a log line

"""


def test_a_routed_request_is_read_from_the_log() -> None:
    (line,) = parse_log(ROUTED)
    assert line.started == datetime.datetime(2026, 11, 24, 5, 0, 13, 561000, datetime.UTC).timestamp()
    assert (line.method, line.path, line.code) == ("GET", "/headers?attempt=nd010f6e2be-1", 200)
    assert (line.flags, line.details, line.connection_termination_details) == ("-", "via_upstream", "-")
    assert (line.transport_failure, line.duration_ms) == ("-", 8)
    assert line.request_id == "b0f5faca-cc73-4c86-ac14-2747fe031d1e"
    assert line.authority == "rsl-02-9e1eb3.world.test"
    assert (line.upstream_host, line.cluster) == ("10.244.0.4:80", "outbound|80||rsl-02-9e1eb3.world.test")
    assert (line.upstream_local, line.downstream_remote) == ("10.244.0.11:33888", "10.244.0.11:33874")
    assert (line.sni, line.route, line.line) == ("-", "default", ROUTED)


SAID = {
    ROUTED: "200, outbound|80||rsl-02-9e1eb3.world.test, flags -, to 10.244.0.4:80",
    BAD_GATEWAY: "502, no cluster, flags -, to nobody, direct_response",
    BLACK_HOLE: "0, BlackHoleCluster, flags UH, to nobody",
    PASSED_THROUGH: "0, PassthroughCluster, flags -, to 10.244.0.4:8080",
    BY_SNI: ("0, outbound|443||tls-01-e0ff6b.world.test, flags -, to 10.244.0.4:443, sni tls-01-e0ff6b.world.test"),
    FAULT: "418, outbound|80||rsl-01-5e6cb4.world.test, flags FI, to nobody, fault_filter_abort",
}
IDS = ("routed", "502 from the proxy", "black hole", "passthrough of TCP", "TLS by SNI", "fault")


@pytest.mark.parametrize(("line", "said"), SAID.items(), ids=IDS)
def test_a_line_of_the_log_in_words(line: str, said: str) -> None:
    assert [str(entry) for entry in parse_log(line)] == [said]


def test_what_is_no_access_log_is_passed_over() -> None:
    text = f"{NO_LOG_LINES}{ROUTED}\n{NO_LOG_LINES}{BLACK_HOLE}"
    assert [entry.line for entry in parse_log(text)] == [ROUTED, BLACK_HOLE]
    assert parse_log(NO_LOG_LINES) == []


TERMINATIONS = [
    "rbac_access_denied_matched_policy[none]",
    "early data rejected by the peer",
    'closed: "no match" at the listener',
    '"-"',
]


@pytest.mark.parametrize("details", TERMINATIONS)
def test_connection_termination_details_may_be_of_several_words(details: str) -> None:
    (line,) = parse_log(log_line(termination=details, flags="UH", code="0"))
    assert line.connection_termination_details == details
    assert (line.flags, line.upstream_host, line.route) == ("UH", f"{ALPHA.address}:80", "default")


def test_a_transport_failure_of_several_words_is_read() -> None:
    failure = "TLS_error:|268435581:SSL routines:OPENSSL_internal:CERTIFICATE_VERIFY_FAILED:TLS_error_end"
    (line,) = parse_log(log_line().replace('- "-" 0 512', f'- "{failure}" 0 512'))
    assert line.transport_failure == failure


def parsed(line: str, ready: int = 0) -> Attempt:
    word, *words = line.split("\t")
    assert word == "attempt"
    return parse_attempt(words, ready)


def test_an_attempt_is_read_from_the_loop() -> None:
    headers = "HTTP/1.1 200 OK\r\nServer: envoy\r\nX-Envoy-Upstream-Service-Time: 1\r\n\r\n"
    facts: dict[str, Any] = {"local_port": 40001, "http_version": "1.1", "time_total": 0.0123, "errormsg": None}
    line = attempt_line(3, "n1-3", start=1_700_000_002_500_000, body=answer(nonce="n1-3"), headers=headers, **facts)
    seen = parsed(line, ready=1_700_000_000_000_000)
    assert (seen.number, seen.nonce, seen.sent, seen.start_ms) == (3, "n1-3", 1_700_000_002.5, 2500)
    assert (seen.curl.exit_code, seen.curl.error, seen.curl.status) == (0, "", 200)
    assert seen.curl.headers == {"server": "envoy", "x-envoy-upstream-service-time": "1"}
    assert (seen.curl.local_port, seen.curl.http_version, seen.curl.seconds) == (40001, "1.1", 0.0123)
    assert seen.curl.answer["instance"] == ALPHA.instance
    assert str(seen.curl) == "200, server: envoy, answered by alpha"


def test_a_failed_attempt_is_read_from_the_loop() -> None:
    facts: dict[str, Any] = {"http_code": 0, "local_port": 0, "errormsg": "Could not resolve host: x"}
    seen = parsed(attempt_line(1, "n1-1", code=6, **facts))
    assert (seen.curl.exit_code, seen.curl.status, seen.curl.body) == (6, 0, b"")
    assert str(seen.curl) == "exit 6 (Could not resolve host: x)"


@pytest.mark.parametrize("code", ["137", "0"], ids=["killed", "on a full disk"])
def test_a_curl_that_wrote_nothing_out_is_no_attempt(code: str) -> None:
    with pytest.raises(KeyError):
        parse_attempt(["1", "n1-1", "0", "5000", code, "", "", ""], 0)


def test_of_several_responses_the_last_ones_headers_count() -> None:
    headers = "HTTP/1.1 100 Continue\r\nX-Interim: 1\r\n\r\nHTTP/1.1 200 OK\r\nA: 1\r\na: 2\r\n\r\n"
    assert parsed(attempt_line(1, "n", headers=headers)).curl.headers == {"a": "1,2"}


def test_trailers_count_as_headers() -> None:
    headers = "HTTP/2 200 \r\ncontent-type: application/grpc\r\n\r\ngrpc-status: 0\r\n\r\n"
    assert parsed(attempt_line(1, "n", headers=headers)).curl.headers["grpc-status"] == "0"


def certificate(*organizations: str) -> str:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.ORGANIZATION_NAME, text) for text in organizations])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(x509.Name([]))
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now)
        .not_valid_after(now + datetime.timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    return made.public_bytes(serialization.Encoding.PEM).decode()


def with_certificates(text: str) -> Attempt:
    # curl puts the certificates into the string as they are: the loop makes JSON's own of their line breaks.
    out = '{"curl": {"local_port": 1}, "certs": "' + text.replace("\n", "\\n") + '"}'
    return parse_attempt(["1", "n", "0", "0", "0", out, "", ""], 0)


def test_the_servers_own_certificate_tells_who_it_is() -> None:
    chain = f"Subject:O = alpha\n{certificate('alpha')}Subject:CN = CA\n{certificate('the CA')}"
    assert with_certificates(chain).curl.certificate_organization == "alpha"
    assert with_certificates(certificate()).curl.certificate_organization == ""
    assert with_certificates("").curl.certificate_organization == ""


BODIES = {
    "no answer": b"",
    "a page": b"<html>\n</html>",
    "JSON of somebody else": b'{"nonce": "n1-1"}',
    "JSON that is no object": b'["instance"]',
    "bytes": b"\xff\x00\xfe",
}


@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES)
def test_only_a_server_of_the_world_gives_an_answer(body: bytes) -> None:
    assert curl_saw(body=body).answer == {}


def test_a_server_of_the_world_tells_of_itself_in_headers_where_the_body_is_no_json() -> None:
    told = {"x-world-server": "alpha", "x-world-instance": ALPHA.instance, "x-world-nonce": "n1-1"}
    seen = curl_saw(body=b"\0\0\0\0\x02\x08\x01", headers=told)
    assert seen.answer == {"server": "alpha", "instance": ALPHA.instance, "nonce": "n1-1"}


def test_a_greeting_may_come_before_the_answer() -> None:
    greeting = json.dumps({"server": "alpha", "instance": "x", "greeting": "hello"}).encode()
    assert curl_saw(body=greeting + b"\n" + answer()).answer["nonce"] == "n1-1"


def test_a_receipt_is_read_as_the_world_writes_it() -> None:
    seen = receipt(headers=[["Host", "a"], ["X-A", "1"], ["x-a", "2"]])
    assert (seen.server, seen.port, seen.event) == ("alpha", 80, "request")
    assert (seen.header("HOST"), seen.header("x-A"), seen.header("x-b")) == ("a", "1,2", None)
    assert str(seen) == f"alpha:80 request HTTP/1.1 /headers?attempt=n1-1 for {SITE.host} from {CLIENT}:50001"
    # What says nothing is left out of the JSON.
    bare = Receipt.parse({"server": "a", "instance": "i", "port": 443, "event": "hello", "remote": "r:1", "sni": "s"})
    assert str(bare) == "a:443 hello ClientHello, sni s from r:1"
    assert (bare.nonce, bare.headers) == ("", ())
    assert str(receipt(event="connect", port=9000)) == f"alpha:9000 connect from {CLIENT}:50001"


SENT = datetime.datetime(2026, 8, 28, 3, 41, 7, tzinfo=datetime.UTC).timestamp()


def attempted(nonce: str = "n1-1", port: int = 40001) -> Attempt:
    return Attempt(number=1, nonce=nonce, sent=SENT, start_ms=0, curl=curl_saw(local_port=port))


NO_PATH: dict[str, Any] = {"request": "- - -"}
LINES = {
    "its nonce and its port": (log_line(), True),
    "its nonce, by another connection": (log_line(port=40002), True),
    "its nonce among other parameters": (log_line(request="GET /?a=1&attempt=n1-1&b=2 HTTP/1.1"), True),
    "its connection, with nothing to read in it": (log_line(**NO_PATH), True),
    "another connection": (log_line("", 40002, **NO_PATH), False),
    "another attempt's nonce": (log_line("n1-2", 40002), False),
    "a nonce that its own is the beginning of": (log_line("n1-11", 40002), False),
    "its nonce in another parameter": (log_line("", 40002, request="GET /?xattempt=n1-1 HTTP/1.1"), False),
    "a port that ends like its own": (log_line("", 40001, **NO_PATH, downstream_remote=f"{CLIENT}:140001"), False),
    "its port, a minute before": (log_line("", 40001, **NO_PATH, time="2026-08-28T03:40:07.000Z"), False),
    "its port, a moment later": (log_line("", 40001, **NO_PATH, time="2026-08-28T03:41:07.900Z"), False),
    "its port, as the clocks differ by some milliseconds": (
        log_line("", 40001, **NO_PATH, time="2026-08-28T03:41:06.950Z"),
        True,
    ),
}


@pytest.mark.parametrize(("line", "is_its_own"), LINES.values(), ids=LINES)
def test_a_line_of_the_log_is_an_attempts_by(line: str, is_its_own: bool) -> None:
    log = parse_log(line)
    assert len(log) == 1
    assert join(attempted(), log, []).logged == (tuple(log) if is_its_own else ())


def test_what_the_kernel_gave_another_port_is_found_by_the_connection_the_server_got_it_on() -> None:
    log = parse_log("\n".join([log_line("", 55555, **NO_PATH), log_line("", 40001, **NO_PATH, upstream_local="x:1")]))
    mine, anothers = receipt(), receipt(nonce="n1-2", remote="x:1")
    assert join(attempted(), log, [mine, anothers]).logged == (log[0],)
    # Also where the connection brought another's request, too.
    assert join(attempted(), log[:1], [mine, receipt(nonce="n1-2")]).logged == (log[0],)
    # Where no server got it, nothing but the port tells.
    assert join(attempted(), log, []).logged == (log[1],)


def test_an_attempt_that_never_connected_owns_no_line() -> None:
    assert join(attempted("n2-1", port=0), parse_log(log_line("n1-1", 40000)), []).logged == ()


RECEIPTS = {
    "its nonce": (receipt(), True),
    "its nonce, at another server": (receipt(DECOY, remote="10.9.9.9:1"), True),
    "its connection's handshake": (receipt(event="hello", nonce=""), True),
    "its connection": (receipt(event="connect", nonce=""), True),
    "another attempt's nonce on its connection": (receipt(nonce="n1-2"), False),
    "another connection": (receipt(event="connect", nonce="", remote=f"{CLIENT}:50002"), False),
}


@pytest.mark.parametrize(("seen", "is_its_own"), RECEIPTS.values(), ids=RECEIPTS)
def test_a_receipt_is_an_attempts_by(seen: Receipt, is_its_own: bool) -> None:
    joined = join(attempted(), parse_log(log_line()), [seen])
    assert joined.received == ((seen,) if is_its_own else ())
    assert joined.requests == ([seen] if is_its_own and seen.event == "request" else [])


def test_a_blocked_attempt_has_no_connection_that_could_account_for_a_receipt() -> None:
    log = parse_log(log_line(upstream_local="-", upstream_host="-"))
    nobody = receipt(event="connect", nonce="", remote="-")
    assert join(attempted(), log, [nobody]).received == ()


STRAYS = {
    "an attempt's request": (receipt(), False),
    "an attempt's connection": (receipt(event="connect", nonce=""), False),
    "the close of a connection nobody knows": (receipt(event="close", nonce="", remote=f"{CLIENT}:1"), False),
    "a request with another nonce": (receipt(nonce="n9-9"), True),
    "a request without one": (receipt(nonce=""), True),
    "a payload nobody sent": (receipt(event="payload", nonce="garbage"), True),
    "a connection Envoy does not know of": (receipt(event="connect", nonce="", remote=f"{CLIENT}:1"), True),
    "a connection at the decoy": (receipt(DECOY, event="connect", nonce="", remote=f"{CLIENT}:1"), True),
}


@pytest.mark.parametrize(("seen", "stray"), STRAYS.values(), ids=STRAYS)
def test_neither_curl_nor_envoy_accounts_for(seen: Receipt, stray: bool) -> None:
    found = unaccounted([attempted()], parse_log(log_line()), [seen])
    assert found == ([seen] if stray else [])


def test_a_connection_is_accounted_for_by_the_line_of_any_attempt() -> None:
    log = parse_log(log_line() + "\n" + log_line("n0-9", 40009, upstream_local=f"{CLIENT}:50009"))
    assert unaccounted([attempted()], log, [receipt(event="connect", nonce="", remote=f"{CLIENT}:50009")]) == []
