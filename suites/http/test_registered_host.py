"""HTTP to hosts that a ServiceEntry registers."""

from egress_conformance.case import case
from egress_conformance.mesh.mesh import Mesh
from egress_conformance.traffic.client import Client
from egress_conformance.world.world import World

SOON = 0.35
"""Seconds within which a server beside the client answers; the proxy adds some milliseconds."""


@case("HTTP-01", article=True, source="seed: registering an HTTP service; ServiceEntry reference")
def test_registered_host_is_routed(mesh: Mesh, client: Client, world: World) -> None:
    """HTTP to a registered host MUST be routed to it, and the answer bear the proxy's `server` and service time.

    Not one in three hundred may be lost, nor held back.
    """
    site = world.site()
    request = client.get(site.url())
    request.is_blocked()
    with mesh.apply("http/registered-host.yaml", host=site.host):
        cluster = f"outbound|80||{site.host}"
        proxied = {"server": "envoy", "x-envoy-upstream-service-time": "*"}
        request.reaches(site, cluster=cluster, headers=proxied, at_most_seconds=SOON)
        request.never_fails(site, cluster=cluster)
    request.is_blocked()
