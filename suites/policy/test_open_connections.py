"""Connections that are open while the mode is flipped."""

from contextlib import ExitStack

from egress_conformance.case import Mode, case
from egress_conformance.mesh.mesh import Mesh
from egress_conformance.traffic.by_proxy import Blocked
from egress_conformance.traffic.client import Client
from egress_conformance.traffic.eventually import Look, becomes, eventually
from egress_conformance.traffic.expect import PASSTHROUGH
from egress_conformance.traffic.recorder import Recorder
from egress_conformance.world.world import World

PER_SECOND = 50


@case("POL-06b", mode=Mode.ALLOW_ANY, flips=True, source="seed: kubectl replace of ConfigMap istio; Envoy: RDS")
def test_open_http_connection_obeys_the_new_mode(mesh: Mesh, client: Client, world: World, recorder: Recorder) -> None:
    """A connection opened before the flip MUST obey the new mode with its next request, on a port known as HTTP."""
    site = world.site()
    request = client.get(site.url())
    request.reaches(site, cluster=PASSTHROUGH)
    with ExitStack() as flipped:
        with request.steadily(site, cluster=PASSTHROUGH, per_second=PER_SECOND, then_blocked=True) as many:
            many.arrive()
            flipped.enter_context(mesh.outbound_traffic_policy(Mode.REGISTRY_ONLY))
            becomes(
                recorder, "the proxy's catch-all routes for port 80", lambda: _catch_all(client), ["80: block_all -> *"]
            )
            # Takes longer than the 20 ms between two of the others: some of them are sent after the flip took effect.
            request.is_blocked()
            many.stop()
        assert many.connections == 1, "the connection was opened anew"
    request.reaches(site, cluster=PASSTHROUGH)


@case("POL-06c", mode=Mode.ALLOW_ANY, flips=True, source="Envoy: draining of changed filter chains; drainDuration")
def test_open_tcp_connection_is_left_to_drain(mesh: Mesh, client: Client, world: World, recorder: Recorder) -> None:
    """A connection opened before the flip MUST be served on while it drains, where it passes as TCP; a new one not.

    Istio's drainDuration is 45 s; what becomes of the connection then is not waited for.
    """
    site = world.site()
    # HTTP, so that there is more than one request to a connection, on a port that the mesh does not know as HTTP.
    request = client.get(site.url(port=8080))
    request.reaches(site, cluster=PASSTHROUGH, logged_code=0)
    with ExitStack() as flipped:
        with request.steadily(site, cluster=PASSTHROUGH, logged_code=0, per_second=PER_SECOND) as many:
            many.arrive()
            flipped.enter_context(mesh.outbound_traffic_policy(Mode.REGISTRY_ONLY))
            eventually(recorder, "the proxy obeys REGISTRY_ONLY", lambda: _mode(client))
            request.is_blocked(Blocked.RESET)
            many.stop()
        assert many.connections == 1, "the connection was opened anew"
    request.reaches(site, cluster=PASSTHROUGH, logged_code=0)


def _catch_all(client: Client) -> list[str]:
    return [route for route in client.proxy.routes("*") if route.startswith("80: ") and route.endswith(" -> *")]


def _mode(client: Client) -> Look:
    mode = client.proxy.mode()
    return Look(f"mode {mode}", [] if mode is Mode.REGISTRY_ONLY else ["not yet"])
