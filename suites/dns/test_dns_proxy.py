"""The sidecar's DNS proxy: what it answers of its own knowledge, and what it passes on."""

from collections.abc import Callable

import pytest

from egress_conformance.case import case
from egress_conformance.mesh.mesh import Mesh
from egress_conformance.traffic.client import Client
from egress_conformance.traffic.lookup import By, Lookup
from egress_conformance.world.world import Site, World

CAPTURING = "dns/capturing-client.yaml"
pytestmark = pytest.mark.xdist_group("capturing-client")


@case(
    "DNS-01", source="Istio operations, DNS proxying: ISTIO_META_DNS_CAPTURE; istio/istio#30282: all of the addresses"
)
def test_addresses(mesh: Mesh, client: Client, clients: Callable[..., Client], world: World) -> None:
    """A host's `addresses` MUST be answered by the DNS proxy where capture is on, and nowhere else."""
    site = world.site("alpha", "beta")
    first, second = site.addresses
    world.answer(site.host, [world.decoy.address])
    capturing = clients(CAPTURING)
    captured, plain = Lookup(capturing, site.host), Lookup(client, site.host)
    request, by_dns = capturing.get(site.url()), client.get(site.url())
    cluster = f"outbound|80||{site.host}"
    captured.is_answered(By.FORWARDED, [world.decoy.address])
    request.is_blocked()
    with mesh.apply("dns/addresses.yaml", host=site.host, first=first, second=second):
        captured.is_answered(By.PROXY, [first, second])
        plain.is_answered(By.WORLD, [world.decoy.address])
        # Resolution NONE: where the caller was led to, the request goes.
        request.reaches(site, cluster=cluster)
        by_dns.reaches(world.decoy, cluster=cluster)
    captured.is_answered(By.FORWARDED, [world.decoy.address])
    request.is_blocked()


@case("DNS-06", source="pkg/dns/client LocalDNSServer.ServeDNS and upstream; TCP as well as UDP")
def test_unknown_names(mesh: Mesh, clients: Callable[..., Client], world: World) -> None:
    """The DNS proxy MUST pass on what the mesh does not know, NXDOMAIN included, by UDP as by TCP."""
    known, unknown = world.site("alpha"), world.site("beta")
    nobody = Site(f"nobody.{unknown.host}", ())
    world.answer(known.host, [world.decoy.address])
    capturing = clients(CAPTURING)
    for transport in ("udp", "tcp"):
        Lookup(capturing, known.host, transport=transport).is_answered(By.FORWARDED, [world.decoy.address])
    with mesh.apply("dns/addresses.yaml", host=known.host, first=known.address, second=world.servers["beta"].address):
        wanted = [known.address, world.servers["beta"].address]
        for transport in ("udp", "tcp"):
            Lookup(capturing, known.host, transport=transport).is_answered(By.PROXY, wanted)
            Lookup(capturing, unknown.host, transport=transport).is_answered(By.FORWARDED, unknown.addresses)
            Lookup(capturing, nobody.host, transport=transport).is_answered(By.FORWARDED, [], rcode="NXDOMAIN")
        # A name the mesh knows has no NXDOMAIN for the kind of address it lacks.
        Lookup(capturing, known.host, type="AAAA").is_answered(By.PROXY, [])
