"""The outboundTrafficPolicy for what is no plain HTTP: TLS and TCP that no ServiceEntry registers."""

from egress_conformance.case import Mode, case
from egress_conformance.mesh.mesh import Mesh
from egress_conformance.traffic.client import Client
from egress_conformance.traffic.expect import PASSTHROUGH
from egress_conformance.traffic.request import Request
from egress_conformance.world.world import Site, World

SOURCE = (
    "MeshConfig.OutboundTrafficPolicy.Mode reference; buildOutboundCatchAllNetworkFilterChains in listener_builder.go"
)


def _requests(client: Client, site: Site) -> tuple[Request, Request]:
    return client.get(site.url(scheme="https")), client.tcp(site.address, 9000)


@case("POL-02", flips=True, source=SOURCE)
def test_allow_any_passes_unregistered_tls_and_tcp(mesh: Mesh, client: Client, world: World) -> None:
    """Under ALLOW_ANY unregistered HTTPS and TCP MUST be passed untouched, the certificate being the origin's."""
    site = world.site()
    https, tcp = _requests(client, site)
    https.is_blocked()
    tcp.is_blocked()
    with mesh.outbound_traffic_policy(Mode.ALLOW_ANY):
        https.reaches(site, cluster=PASSTHROUGH)
        tcp.reaches(site, cluster=PASSTHROUGH)
    https.is_blocked()
    tcp.is_blocked()


@case("POL-05", mode=Mode.ALLOW_ANY, flips=True, source=f"the twin of POL-02; {SOURCE}")
def test_registry_only_resets_unregistered_tls_and_tcp(mesh: Mesh, client: Client, world: World) -> None:
    """Under REGISTRY_ONLY unregistered HTTPS and TCP MUST be closed with no byte of an answer, by BlackHoleCluster."""
    site = world.site()
    https, tcp = _requests(client, site)
    https.reaches(site, cluster=PASSTHROUGH)
    tcp.reaches(site, cluster=PASSTHROUGH)
    with mesh.outbound_traffic_policy(Mode.REGISTRY_ONLY):
        https.is_blocked()
        tcp.is_blocked()
    https.reaches(site, cluster=PASSTHROUGH)
    tcp.reaches(site, cluster=PASSTHROUGH)
