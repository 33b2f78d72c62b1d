"""Address ranges in a ServiceEntry's `addresses`."""

from collections.abc import Callable
from ipaddress import ip_address, ip_network

from egress_conformance.case import case
from egress_conformance.errors import PlatformTrouble
from egress_conformance.mesh.mesh import Mesh
from egress_conformance.traffic.client import Client
from egress_conformance.traffic.recorder import Recorder
from egress_conformance.world.world import Server, World


def servers_by_range(world: World, recorder: Recorder) -> tuple[Server, str, Server]:
    """A server, a range of two addresses or more that holds it and not the decoy, and the other server.

    Which of the two it is goes by their addresses, which differ from run to run.
    """
    decoy = int(ip_address(world.decoy.address))
    # How many of the last bits a range must fix to tell a server from the decoy; the farther apart, the fewer.
    differ = {name: (int(ip_address(world.servers[name].address)) ^ decoy).bit_length() for name in ("alpha", "beta")}
    name = max(differ, key=lambda name: differ[name])
    server, other = world.servers[name], world.servers["beta" if name == "alpha" else "alpha"]
    recorder.stable.call(server.name, "in-range")
    recorder.stable.call(other.name, "other")
    return server, str(ip_network(f"{server.address}/{33 - differ[name]}", strict=False)), other


@case("TCP-02", source="ServiceEntry.addresses: IP addresses or CIDR prefixes; outboundListener destinationCIDRs")
def test_cidr(mesh: Mesh, client: Client, world: World, recorder: Recorder) -> None:
    """TCP to an address within a listed CIDR MUST be passed on, and to any address outside it stay blocked."""
    server, cidr, _ = servers_by_range(world, recorder)
    site = world.site(server.name)
    inside = client.tcp(server.address, 9000)
    outside = client.tcp(world.decoy.address, 9000)
    inside.is_blocked()
    with mesh.apply("tcp/cidr.yaml", host=site.host, cidr=cidr):
        inside.reaches(site, cluster=f"outbound|9000||{site.host}")
        outside.is_blocked()
    inside.is_blocked()


@case("TCP-03", source="ServiceEntry.addresses; istio/istio#52944")
def test_address_and_cidr_in_one_entry(
    mesh: Mesh, client: Client, clients: Callable[..., Client], world: World, recorder: Recorder
) -> None:
    """An entry that lists an IP address beside a CIDR MUST open both, and not keep a new pod from becoming Ready."""
    server, cidr, other = servers_by_range(world, recorder)
    site = world.site(server.name, other.name)
    by_cidr = client.tcp(server.address, 9000)
    by_address = client.tcp(world.decoy.address, 9000)
    by_cidr.is_blocked()
    by_address.is_blocked()
    with mesh.apply("tcp/address-and-cidr.yaml", host=site.host, address=world.decoy.address, cidr=cidr):
        cluster = f"outbound|9000||{site.host}"
        by_cidr.reaches(site, cluster=cluster)
        by_address.reaches(world.decoy, cluster=cluster)
        seen = "it does"
        try:
            newcomer = clients("tcp/newcomer.yaml")
        except PlatformTrouble as trouble:
            seen = str(trouble)
        recorder.fact("a pod that starts meanwhile becomes Ready", seen, held=seen == "it does")
        newcomer.tcp(server.address, 9000).reaches(site, cluster=cluster)
    by_cidr.is_blocked()
    by_address.is_blocked()
