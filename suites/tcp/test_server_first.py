"""Protocols in which the server speaks first, as MySQL's does."""

from egress_conformance.case import case
from egress_conformance.mesh.mesh import Mesh
from egress_conformance.traffic.client import Client
from egress_conformance.world.world import World

AT_ONCE_SECONDS = 1.0
"""A proxy that waits for the client to speak, to tell the protocol, would hold the greeting back until it gives up."""


@case("TCP-05", source="Istio application requirements: server first protocols, with protocol TCP declared explicitly")
def test_server_first(mesh: Mesh, client: Client, world: World) -> None:
    """A server that speaks first MUST be heard at once by a client that says nothing before, on a port declared TCP."""
    site = world.site("alpha")
    request = client.tcp(site.address, 3306, server_first=True)
    request.is_blocked()
    with mesh.apply("tcp/server-first.yaml", host=site.host, address=site.address):
        request.reaches(site, cluster=f"outbound|3306||{site.host}", at_most_seconds=AT_ONCE_SECONDS)
    request.is_blocked()
