"""WebSocket to a registered host."""

from typing import Any

from egress_conformance.case import case
from egress_conformance.mesh.mesh import Mesh
from egress_conformance.traffic.client import Client
from egress_conformance.traffic.payloads import frame, websocket
from egress_conformance.world.world import World

UPSTREAM_CLOSED = "UC"
"""Response flag of an upgraded connection that the server ends, as the world does after its message."""

SLOW_SECONDS = 2.0
"""In the URLs below; twice the time-out in the manifest, within which a busy machine still shakes hands at once."""


@case("HTTP-07a", source="listener_builder.go buildHTTPConnectionManager: UpgradeType websocket")
def test_websocket(mesh: Mesh, client: Client, world: World) -> None:
    """A WebSocket to a registered host MUST be accepted, and carry messages in both directions."""
    site = world.site()
    request = websocket(client, site.url(), "hello")
    request.is_blocked()
    with mesh.apply("http/registered-host.yaml", host=site.host):
        seen = request.reaches(site, cluster=f"outbound|80||{site.host}", status=101, flags=UPSTREAM_CLOSED)
        assert seen.last.curl.headers["sec-websocket-accept"]
        assert seen.last.curl.body == frame("hello", masked=False)
    request.is_blocked()


@case(
    "HTTP-07b",
    since="1.28",
    source="Envoy 1.36 release notes: websocket_enable_timeout_on_upgrade_response; VirtualService HTTPRoute.timeout",
)
def test_timeout_of_a_websocket(mesh: Mesh, client: Client, world: World) -> None:
    """A route time-out MUST end a WebSocket that is not accepted in time, and leave one alone that is.

    The time-out is for the answer to the handshake: once there is a 101, the connection may last.
    """
    site = world.site()
    late = websocket(client, site.url("/delay/2s"), "hello")
    lasting = websocket(client, site.url("/pause/2s"), "hello")
    cluster = f"outbound|80||{site.host}"
    accepted: dict[str, Any] = {"status": 101, "flags": UPSTREAM_CLOSED, "at_least_seconds": SLOW_SECONDS}
    with mesh.given("http/registered-host.yaml", host=site.host):
        late.reaches(site, cluster=cluster, **accepted)
        with mesh.apply("resilience/timeout.yaml", host=site.host):
            late.is_answered(504, flags="UT", body=b"upstream request timeout", upstream=site, arrivals=1)
            seen = lasting.reaches(site, cluster=cluster, **accepted)
            assert seen.last.curl.body == frame("hello", masked=False)
        late.reaches(site, cluster=cluster, **accepted)
