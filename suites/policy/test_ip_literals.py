"""Requests for an address instead of a host name."""

from egress_conformance.case import Mode, case
from egress_conformance.mesh.mesh import Mesh
from egress_conformance.traffic.client import Client
from egress_conformance.traffic.expect import PASSTHROUGH
from egress_conformance.traffic.request import Request
from egress_conformance.world.world import World

SOURCE = "MeshConfig.OutboundTrafficPolicy.Mode reference"


def _by_address(client: Client, address: str) -> tuple[Request, Request, Request]:
    """HTTP, HTTPS (which then has no SNI, and a certificate for no name) and TCP."""
    https = client.request("GET", f"https://{address}/headers", options=["--insecure"])
    return client.get(f"http://{address}/headers"), https, client.tcp(address, 9000)


@case("POL-13", flips=True, source=SOURCE)
def test_requests_by_address(mesh: Mesh, client: Client, world: World) -> None:
    """Requests for an unregistered address MUST be blocked under REGISTRY_ONLY and passed under ALLOW_ANY."""
    alpha = world.servers["alpha"]
    requests = _by_address(client, alpha.address)
    for request in requests:
        request.is_blocked()
    with mesh.outbound_traffic_policy(Mode.ALLOW_ANY):
        for request in requests:
            request.reaches(alpha, cluster=PASSTHROUGH)
    for request in requests:
        request.is_blocked()


@case("POL-13b", source="ServiceEntry reference: addresses; getVirtualHostDomains in httproute.go")
def test_http_by_a_registered_address(mesh: Mesh, client: Client, world: World) -> None:
    """Under REGISTRY_ONLY HTTP for an address that an entry lists MUST be routed to it, and to no other address."""
    site = world.site("alpha")
    listed, other = client.get(f"http://{site.address}/headers"), client.get(f"http://{world.decoy.address}/headers")
    listed.is_blocked()
    with mesh.apply("policy/http-address.yaml", host=site.host, address=site.address):
        listed.reaches(site, cluster=f"outbound|80||{site.host}")
        other.is_blocked()
    listed.is_blocked()
