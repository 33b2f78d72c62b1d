"""The mode, flipped while requests to registered hosts are under way."""

from egress_conformance.case import Mode, case
from egress_conformance.mesh.mesh import Mesh
from egress_conformance.traffic.client import Client
from egress_conformance.traffic.expect import PASSTHROUGH
from egress_conformance.world.world import World

PER_SECOND = 50
FLIPS = 3


@case("LCY-05", flips=True, source="MeshConfig.OutboundTrafficPolicy.Mode reference: it is about unregistered hosts")
def test_flips_lose_nothing(mesh: Mesh, client: Client, world: World) -> None:
    """A flip of the mode, to and fro, MUST lose no request to a registered host, over new connections or kept ones."""
    site, stranger = world.site(), world.site()
    request, unregistered = client.get(site.url()), client.get(stranger.url())
    fresh = client.request("GET", site.url(), headers={"connection": "close"})
    cluster = f"outbound|80||{site.host}"
    with mesh.given("lifecycle/entry.yaml", name="entry", host=site.host, address=site.address):
        request.reaches(site, cluster=cluster)
        unregistered.is_blocked()
        with (
            request.steadily(site, cluster=cluster, per_second=PER_SECOND),
            fresh.steadily(site, cluster=cluster, per_second=PER_SECOND),
        ):
            for _ in range(FLIPS):
                with mesh.outbound_traffic_policy(Mode.ALLOW_ANY):
                    unregistered.reaches(stranger, cluster=PASSTHROUGH)
                unregistered.is_blocked()
