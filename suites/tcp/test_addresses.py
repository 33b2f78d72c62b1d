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


@case("TCP-04", source="ServiceEntry.addresses; istio/istio#54990")
def test_overlapping_addresses(mesh: Mesh, client: Client, world: World) -> None:
    """An address MUST be reachable that an entry lists beside addresses which other entries of the host list too."""
    site = world.site("alpha", "beta")
    first, second = site.servers
    third = world.decoy
    requests = [(server, client.tcp(server.address, 9000)) for server in (first, second, third)]
    for _, request in requests:
        request.is_blocked()
    addresses = {"first": first.address, "second": second.address, "third": third.address}
    with mesh.apply("tcp/overlapping-addresses.yaml", host=site.host, **addresses):
        for server, request in requests:
            request.reaches(server, cluster=f"outbound|9000||{site.host}")
    for _, request in requests:
        request.is_blocked()


@case("TCP-06", source="ServiceEntry.addresses: required to tell TCP services on one port apart")
def test_two_entries_on_one_port(mesh: Mesh, client: Client, world: World) -> None:
    """Two TCP entries on one port MUST be kept apart by their addresses, each going to its own endpoints."""
    first, second = world.site("alpha"), world.site("beta")
    # Crossed: the address that is dialled is not the one of the endpoint, so that only the entry can have led there.
    to_first, to_second = client.tcp(second.address, 9000), client.tcp(first.address, 9000)
    neither = client.tcp(world.decoy.address, 9000)
    to_first.is_blocked()
    to_second.is_blocked()
    values = {
        "first": first.host,
        "first_address": second.address,
        "first_endpoint": first.address,
        "second": second.host,
        "second_address": first.address,
        "second_endpoint": second.address,
    }
    with mesh.apply("tcp/two-on-one-port.yaml", **values):
        to_first.reaches(first, cluster=f"outbound|9000||{first.host}")
        to_second.reaches(second, cluster=f"outbound|9000||{second.host}")
        neither.is_blocked()
    to_first.is_blocked()
    to_second.is_blocked()


@case("TCP-07", source="ServiceEntry.addresses: if empty, traffic is identified solely by the destination port")
def test_without_addresses(mesh: Mesh, client: Client, world: World) -> None:
    """A TCP entry without addresses MUST take its port whatever address is dialled, and no other port.

    With resolution NONE that opens the port to the whole outside; with STATIC all of it leads to the endpoints.
    """
    site = world.site("alpha")
    named = client.tcp(site.address, 9000)
    stranger = client.tcp(world.decoy.address, 9000)
    other_port = client.tcp(site.address, 3306)
    cluster = f"outbound|9000||{site.host}"
    for request in (named, stranger, other_port):
        request.is_blocked()
    with mesh.apply("tcp/no-address.yaml", host=site.host):
        named.reaches(site, cluster=cluster)
        stranger.reaches(world.decoy, cluster=cluster)
        other_port.is_blocked()
    named.is_blocked()
    with mesh.apply("tcp/no-address-static.yaml", host=site.host, endpoint=site.address):
        stranger.reaches(site, cluster=cluster)
        other_port.is_blocked()
    stranger.is_blocked()
