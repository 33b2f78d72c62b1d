"""Resolution DYNAMIC_DNS: wildcard hosts, resolved by the name each request asks for."""

from egress_conformance.case import case
from egress_conformance.mesh.mesh import Mesh
from egress_conformance.traffic.by_proxy import Blocked
from egress_conformance.traffic.client import Client
from egress_conformance.world.world import Site, World


def below(world: World, site: Site, name: str) -> Site:
    """A host below a site's, with a server behind it."""
    found = Site(f"{name}.{site.host}", (world.servers[name],))
    world.answer(found.host, found.addresses)
    return found


@case("RES-07", since="1.30", source="Istio release note se-wildcard-host-sidecar (#58244)")
def test_dynamic_dns(mesh: Mesh, client: Client, world: World) -> None:
    """With DYNAMIC_DNS a wildcard entry MUST send each request where its own Host resolves to."""
    parent = world.site()
    first, second = below(world, parent, "alpha"), below(world, parent, "beta")
    requests = [(site, client.get(site.url(), dial=world.decoy.address)) for site in (first, second)]
    itself = client.get(parent.url(), dial=world.decoy.address)
    for _, request in requests:
        request.is_blocked()
    with mesh.apply("resolution/dynamic-dns.yaml", host=parent.host):
        for site, request in requests:
            request.reaches(site, cluster=f"outbound|80||*.{parent.host}")
        itself.is_blocked()
    for _, request in requests:
        request.is_blocked()


@case("RES-07a", since="1.30", source="Istio release note se-wildcard-host-sidecar (#58244): TLS routing by SNI")
def test_dynamic_dns_tls(mesh: Mesh, client: Client, world: World) -> None:
    """With DYNAMIC_DNS and protocol TLS a wildcard entry MUST send each connection where its SNI resolves to."""
    parent = world.site()
    first, second = below(world, parent, "alpha"), below(world, parent, "beta")
    requests = [(site, client.get(site.url(scheme="https"), dial=world.decoy.address)) for site in (first, second)]
    itself = client.get(parent.url(scheme="https"), dial=world.decoy.address)
    for _, request in requests:
        request.is_blocked()
    with mesh.apply("resolution/dynamic-dns-tls.yaml", host=parent.host):
        for site, request in requests:
            request.reaches(site, cluster=f"outbound|443||*.{parent.host}")
        itself.is_blocked(Blocked.TLS_RESET)
    for _, request in requests:
        request.is_blocked()


@case("RES-07b", until="1.29", source="Istio release note se-wildcard-host (#54540): requires ambient and a waypoint")
def test_dynamic_dns_before_sidecars(mesh: Mesh, client: Client, world: World) -> None:
    """Before sidecars knew DYNAMIC_DNS, an entry with it MUST NOT open anything: its requests end at the proxy.

    They find a route and no cluster, so that the answer is a 503 and no longer the 502 of an unregistered host.
    """
    parent = world.site()
    site = below(world, parent, "alpha")
    request = client.get(site.url())
    request.is_blocked()
    with mesh.apply("resolution/dynamic-dns.yaml", host=parent.host):
        request.is_answered(503, flags="NC", body=b"")
    request.is_blocked()
