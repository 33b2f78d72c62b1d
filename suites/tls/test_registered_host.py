"""TLS from the application itself, passed on by SNI."""

from egress_conformance.case import case
from egress_conformance.mesh.mesh import Mesh
from egress_conformance.traffic.client import Client
from egress_conformance.world.world import World


@case("TLS-01", article=True, source="seed: registering an HTTPS service, protocol TLS; ServiceEntry reference")
def test_protocol_tls(mesh: Mesh, client: Client, world: World) -> None:
    """TLS to a host registered with protocol TLS MUST be passed on by SNI, the certificate being the origin's."""
    site = world.site()
    request = client.get(site.url(scheme="https"))
    request.is_blocked()
    with mesh.apply("tls/registered-host-tls.yaml", host=site.host):
        request.reaches(site, cluster=f"outbound|443||{site.host}")
    request.is_blocked()


@case("TLS-02", article=True, source="seed: protocol HTTPS works too; istio/istio#19188")
def test_protocol_https(mesh: Mesh, client: Client, world: World) -> None:
    """TLS to a host registered with protocol HTTPS MUST be passed on just as with protocol TLS."""
    site = world.site()
    request = client.get(site.url(scheme="https"))
    request.is_blocked()
    with mesh.apply("tls/registered-host-https.yaml", host=site.host):
        request.reaches(site, cluster=f"outbound|443||{site.host}")
    request.is_blocked()


@case("TLS-03", article=True, source="seed: httpbin.org and www.google.com merged into one entry")
def test_two_hosts_and_two_ports_in_one_entry(mesh: Mesh, client: Client, world: World) -> None:
    """An entry with two hosts and ports 80 and 443 MUST register each host on each port."""
    first, second = world.site("alpha"), world.site("beta")
    plain = [(site, client.get(site.url())) for site in (first, second)]
    tls = [(site, client.get(site.url(scheme="https"))) for site in (first, second)]
    for _, request in plain + tls:
        request.is_blocked()
    with mesh.apply("tls/two-hosts-two-ports.yaml", first=first.host, second=second.host):
        for site, request in plain:
            request.reaches(site, cluster=f"outbound|80||{site.host}")
        for site, request in tls:
            request.reaches(site, cluster=f"outbound|443||{site.host}")
    for _, request in plain + tls:
        request.is_blocked()
