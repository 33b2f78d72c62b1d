"""Time-outs and retries towards an external host."""

import re
from typing import Any

from egress_conformance.case import case
from egress_conformance.mesh.mesh import Mesh
from egress_conformance.traffic.client import Client
from egress_conformance.traffic.recorder import Recorder
from egress_conformance.world.world import World

TIMEOUT_SECONDS = 1.0
"""timeout in the manifest: long enough for a request without delay on a machine that has much else to do; at 0.4 s one
took 0.5 s once."""

EARLY_SECONDS = 0.01
"""Envoy's timers count from the time its event loop last looked at the clock: seen up to 3 ms early."""

DELAY, DELAY_SECONDS = "/delay/2s", 2.0

REFUSED_PORT = 81
"""A port of a server of the world on which nobody listens."""

REFUSED_BODY = re.compile(rb"upstream connect error or disconnect/reset before headers.*")
REFUSED_FAILURE = "delayed_connect_error:_.*"

SPREAD = 60
"""Requests over two endpoints, a third of them to the one that refuses (see the manifest)."""


@case("RSL-03", source="VirtualService reference: HTTPRoute.timeout; Envoy response flag UT")
def test_route_timeout(mesh: Mesh, client: Client, world: World) -> None:
    """A request that takes longer than its route's timeout MUST be answered 504 by the proxy when that is over.

    The server has received the request and would have answered 200 after twice the timeout.
    """
    site = world.site()
    request = client.get(site.url(DELAY))
    cluster = f"outbound|80||{site.host}"
    with mesh.given("http/registered-host.yaml", host=site.host):
        request.reaches(site, cluster=cluster, at_least_seconds=DELAY_SECONDS)
        with mesh.apply("resilience/timeout.yaml", host=site.host):
            seen = request.is_answered(504, flags="UT", body=b"upstream request timeout", upstream=site, arrivals=1)
            # Not later either: by then the server would have answered 200.
            assert all(attempt.curl.seconds >= TIMEOUT_SECONDS - EARLY_SECONDS for attempt in seen.attempts)
            client.get(site.url()).reaches(site, cluster=cluster, at_most_seconds=TIMEOUT_SECONDS)
        request.reaches(site, cluster=cluster, at_least_seconds=DELAY_SECONDS)


@case(
    "RSL-04",
    source="Istio 1.24 release notes, releasenotes/notes/50506.yaml; pilot/pkg/networking/core/route/retry/retry.go",
)
def test_default_retries(mesh: Mesh, client: Client, world: World) -> None:
    """With no retries configured a refused connection MUST be tried elsewhere, and a 503 of the origin's MUST NOT.

    Two endpoints, one of which refuses connections: not one of many requests is lost. The origin's own 503 arrives
    once and comes back; until Istio 1.24 it was tried again, which is unsafe for requests that change something.
    """
    site, lonely = world.site("alpha"), world.site("beta")
    request, failing = client.get(site.url()), client.get(site.url("/status/503"))
    refused = client.get(lonely.url())
    cluster = f"outbound|80||{site.host}"
    request.is_blocked()
    beta = world.servers["beta"]
    with mesh.apply(
        "resilience/one-endpoint-refuses.yaml", host=site.host, refusing=beta.address, answering=site.address
    ):
        # Which endpoint is tried first, and so how many tries it takes, is chance.
        request.reaches(site, cluster=cluster, by_chance=("x-envoy-attempt-count",))
        request.never_fails(site, cluster=cluster, times=SPREAD)
        failing.reaches(site, cluster=cluster, status=503, by_chance=("x-envoy-attempt-count",))
    request.is_blocked()
    # That the refusals are there, and are tried again, shows where no other endpoint is left.
    with mesh.given("resilience/refusing-endpoint.yaml", host=lonely.host, refusing=beta.address):
        refusal: dict[str, Any] = {"upstream": lonely, "port": REFUSED_PORT, "failure": REFUSED_FAILURE}
        refused.is_answered(503, flags="URX,UF", body=REFUSED_BODY, **refusal)
        with mesh.given("resilience/no-retries.yaml", host=lonely.host):
            refused.is_answered(503, flags="UF", body=REFUSED_BODY, **refusal)


@case("RSL-05", source="VirtualService reference: HTTPRetry.attempts, retryOn")
def test_explicit_retries(mesh: Mesh, client: Client, world: World, recorder: Recorder) -> None:
    """With 3 retries on 503 a request MUST reach a server that goes on answering 503 four times, and another once."""
    site = world.site()
    failing = client.get(site.url("/status/503"))
    other = client.get(site.url("/status/500"))
    cluster = f"outbound|80||{site.host}"
    with mesh.given("http/registered-host.yaml", host=site.host):
        failing.reaches(site, cluster=cluster, status=503)
        with mesh.apply("resilience/retries.yaml", host=site.host):
            seen = failing.reaches(site, cluster=cluster, status=503, flags="URX", arrivals=4)
            other.reaches(site, cluster=cluster, status=500)
            received = seen.last.requests
            assert len({receipt.header("x-request-id") for receipt in received}) == 1, "another request id for a retry"
            recorder.observations["x-envoy-attempt-count"] = [
                receipt.header("x-envoy-attempt-count") for receipt in received
            ]
        failing.reaches(site, cluster=cluster, status=503)
