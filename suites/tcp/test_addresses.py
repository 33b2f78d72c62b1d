"""TCP has no host name: the address the caller dialled is matched against the entry's `addresses`."""

from egress_conformance.case import case
from egress_conformance.mesh.mesh import Mesh
from egress_conformance.traffic.client import Client
from egress_conformance.world.world import World


@case("TCP-01", article=True, source="seed: protocols other than HTTP match by addresses; ServiceEntry.addresses")
def test_single_address(mesh: Mesh, client: Client, world: World) -> None:
    """TCP to an address that an entry lists MUST be passed on, and to any other address stay blocked."""
    site = world.site("alpha")
    listed = client.tcp(site.address, 9000)
    other = client.tcp(world.decoy.address, 9000)
    listed.is_blocked()
    with mesh.apply("tcp/single-address.yaml", host=site.host, address=site.address):
        listed.reaches(site, cluster=f"outbound|9000||{site.host}")
        other.is_blocked()
    listed.is_blocked()
