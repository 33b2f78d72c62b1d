"""HTTP versions, and how requests and bodies are framed, to a registered host."""

import hashlib
from collections.abc import Callable

import pytest

from egress_conformance.case import Mode, case
from egress_conformance.mesh.mesh import Mesh
from egress_conformance.traffic.by_proxy import Blocked
from egress_conformance.traffic.client import Client
from egress_conformance.traffic.expect import PASSTHROUGH
from egress_conformance.traffic.payloads import random_file
from egress_conformance.world.world import World

TEN_MEGABYTES = 10 * 1024 * 1024
GRPC_UNAVAILABLE = "14"
SERVING = b"\0\0\0\0\x02\x08\x01"
"""grpc.health.v1.HealthCheckResponse with status SERVING, framed."""


@case("HTTP-05a", source="Protocol selection: http2; cluster_builder.go setUpstreamProtocol")
def test_http2_with_prior_knowledge(mesh: Mesh, client: Client, world: World) -> None:
    """HTTP/2 to a port of protocol HTTP2 MUST be carried as HTTP/2, and to one of protocol HTTP as HTTP/1.1."""
    site, twin = world.site(), world.site()
    request = client.request("GET", site.url(), http="2")
    other = client.request("GET", twin.url(), http="2")
    with mesh.given("http/registered-host.yaml", host=twin.host):
        seen = other.reaches(twin, cluster=f"outbound|80||{twin.host}")
        assert {receipt.protocol for receipt in seen.last.requests} == {"HTTP/1.1"}
        request.is_blocked()
        with mesh.apply("http/http2.yaml", host=site.host):
            seen = request.reaches(site, cluster=f"outbound|80||{site.host}")
            assert {receipt.protocol for receipt in seen.last.requests} == {"HTTP/2"}
            assert seen.last.curl.http_version == "2"
        request.is_blocked()


@case("HTTP-05b", source="Protocol selection: grpc; Envoy: local replies to gRPC requests are gRPC's")
def test_grpc(mesh: Mesh, client: Client, world: World) -> None:
    """A gRPC call MUST reach a registered host and its status come back; unregistered, it MUST fail as UNAVAILABLE."""
    site = world.site()
    headers = {"Content-Type": "application/grpc", "TE": "trailers"}
    empty_message = bytes(5)
    url = site.url("/grpc.health.v1.Health/Check")
    request = client.request("POST", url, http="2", headers=headers, body=empty_message)
    # Refused, it has no body: Envoy answers before one has come and resets the stream (RFC 9113, 8.1), which curl takes
    # for an error (exit code 92) where it comes while curl still sends.
    unregistered = client.request("POST", url, http="2", headers=headers)
    refused = unregistered.is_answered(200, flags="-", body=b"")
    assert refused.last.curl.headers["grpc-status"] == GRPC_UNAVAILABLE
    with mesh.apply("http/grpc.yaml", host=site.host):
        seen = request.reaches(site, cluster=f"outbound|80||{site.host}", headers={"grpc-status": "0"})
        assert seen.last.curl.body == SERVING
        assert {receipt.protocol for receipt in seen.last.requests} == {"HTTP/2"}
    refused = unregistered.is_answered(200, flags="-", body=b"")
    assert refused.last.curl.headers["grpc-status"] == GRPC_UNAVAILABLE


@pytest.mark.xdist_group("old-fashioned-client")
@case(
    "HTTP-08a",
    subject_is_mode=True,
    source="listener.go plaintextHTTPALPNs: HTTP/1.0 is matched only where istiod has PILOT_HTTP10; istio/istio#36707",
)
def test_http_1_0_is_reset(mesh: Mesh, client: Client, world: World, clients: Callable[[str], Client]) -> None:
    """Under REGISTRY_ONLY HTTP/1.0 MUST be taken for TCP and reset, even to a host registered as HTTP.

    ISTIO_META_HTTP10 on the sidecar makes no difference: its listener takes HTTP/1.0 for TCP before that is asked.
    """
    site = world.site()
    with mesh.given("http/registered-host.yaml", host=site.host):
        for caller in (client, clients("http/old-fashioned-client.yaml")):
            caller.request("GET", site.url(), http="1.1").reaches(site, cluster=f"outbound|80||{site.host}")
            caller.request("GET", site.url(), http="1.0").is_blocked(Blocked.RESET)


@case(
    "HTTP-08g",
    mode=Mode.ALLOW_ANY,
    subject_is_mode=True,
    source="listener.go plaintextHTTPALPNs: HTTP/1.0 is matched only where istiod has PILOT_HTTP10; istio/istio#36707",
)
def test_http_1_0_is_passed_as_tcp(mesh: Mesh, client: Client, world: World) -> None:
    """Under ALLOW_ANY HTTP/1.0 MUST be passed on as TCP, no byte of it changed, even to a host registered as HTTP."""
    site = world.site()
    request = client.request("GET", site.url(), http="1.0")
    with mesh.given("http/registered-host.yaml", host=site.host):
        untouched = {"server": "world", "x-envoy-upstream-service-time": None}
        unknown: dict[str, str | None] = {"x-request-id": None, "x-forwarded-proto": None}
        seen = request.reaches(site, cluster=PASSTHROUGH, logged_code=0, headers=untouched, received=unknown)
        assert {receipt.protocol for receipt in seen.last.requests} == {"HTTP/1.0"}


@case("HTTP-08b", source="Envoy: HTTP connection management; HTTP/1.1 keep-alive, RFC 9112, 9.3")
def test_keep_alive(mesh: Mesh, client: Client, world: World) -> None:
    """Many requests over one connection of the caller's MUST each be served, and the connection not be closed."""
    site = world.site()
    request = client.request("GET", site.url(), http="1.1")
    cluster = f"outbound|80||{site.host}"
    request.is_blocked()
    with mesh.apply("http/registered-host.yaml", host=site.host):
        request.reaches(site, cluster=cluster)
        with request.steadily(site, cluster=cluster, times=100) as many:
            many.wait()
        assert [sent.connects for sent in many.sent] == [1] + 99 * [0]
    request.is_blocked()


@case("HTTP-08c", source="feature ENABLE_100_CONTINUE_HEADERS; HttpConnectionManager.proxy_100_continue")
def test_expect_continue(mesh: Mesh, client: Client, world: World) -> None:
    """Expect: 100-continue MUST be passed on, and the 100 come back before the body is sent."""
    site = world.site()
    body, patience = "x" * 1000, 4
    # Without a 100 curl sends the body only when its patience is at an end.
    options = ["--expect100-timeout", str(patience)]
    request = client.request("POST", site.url(), headers={"Expect": "100-continue"}, body=body, options=options)
    request.is_blocked()
    with mesh.apply("http/registered-host.yaml", host=site.host):
        expected: dict[str, str | None] = {"expect": "100-continue"}
        seen = request.reaches(
            site, cluster=f"outbound|80||{site.host}", received=expected, at_most_seconds=patience / 2
        )
        assert seen.last.curl.answer["body_sha256"] == hashlib.sha256(body.encode()).hexdigest()
    request.is_blocked()


@case("HTTP-08d", source="RFC 9112, 7.1: a proxy that frames a body anew keeps its content")
def test_chunked_body(mesh: Mesh, client: Client, world: World) -> None:
    """A chunked request body MUST arrive whole, and chunked, as its length is not known."""
    site = world.site()
    body = "chunk by chunk " * 1000
    request = client.request("POST", site.url(), headers={"Transfer-Encoding": "chunked"}, body=body)
    request.is_blocked()
    with mesh.apply("http/registered-host.yaml", host=site.host):
        framing: dict[str, str | None] = {"transfer-encoding": "chunked", "content-length": None}
        seen = request.reaches(site, cluster=f"outbound|80||{site.host}", received=framing)
        assert seen.last.curl.answer["body_sha256"] == hashlib.sha256(body.encode()).hexdigest()
    request.is_blocked()


@case("HTTP-08e", source="Envoy: bodies are streamed, not bounded by per_connection_buffer_limit_bytes")
def test_large_request_body(mesh: Mesh, client: Client, world: World) -> None:
    """A request body of 10 MB MUST arrive whole and unchanged."""
    site = world.site()
    file = random_file(client, TEN_MEGABYTES)
    # Without Expect, so that the body follows the head at once.
    options = ["--data-binary", f"@{file.path}"]
    request = client.request("POST", site.url(), headers={"Expect": ""}, options=options)
    request.is_blocked()
    with mesh.apply("http/registered-host.yaml", host=site.host):
        length: dict[str, str | None] = {"content-length": str(file.size)}
        seen = request.reaches(site, cluster=f"outbound|80||{site.host}", received=length)
        answers = [attempt.curl.answer for attempt in seen.attempts]
        arrived = [(answer["body_bytes"], answer["body_sha256"]) for answer in answers]
        assert arrived == [(file.size, file.sha256)] * len(answers)
    request.is_blocked()


@case("HTTP-08f", source="Envoy: bodies are streamed, not bounded by per_connection_buffer_limit_bytes")
def test_large_response_body(mesh: Mesh, client: Client, world: World) -> None:
    """A response body of 10 MB MUST come back whole."""
    site = world.site()
    request = client.get(site.url(f"/bytes/{TEN_MEGABYTES}"))
    request.is_blocked()
    with mesh.apply("http/registered-host.yaml", host=site.host):
        seen = request.reaches(site, cluster=f"outbound|80||{site.host}")
        assert [attempt.curl.body_bytes for attempt in seen.attempts] == [TEN_MEGABYTES] * len(seen.attempts)
        assert not any(seen.last.curl.body)
    request.is_blocked()
