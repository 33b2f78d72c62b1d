"""HTTP to hosts that a ServiceEntry registers."""

from egress_conformance.case import case
from egress_conformance.mesh.mesh import Mesh
from egress_conformance.traffic.client import Client
from egress_conformance.world.world import World


@case("HTTP-01", article=True, source="seed: registering an HTTP service; ServiceEntry reference")
def test_registered_host_is_routed(mesh: Mesh, client: Client, world: World) -> None:
    """HTTP to a registered host MUST be routed to it, and the answer bear the proxy's `server` and service time."""
    site = world.site()
    request = client.get(site.url())
    request.is_blocked()
    with mesh.apply("http/registered-host.yaml", host=site.host):
        proxied = {"server": "envoy", "x-envoy-upstream-service-time": "*"}
        request.reaches(site, cluster=f"outbound|80||{site.host}", headers=proxied)
    request.is_blocked()
