"""Which entry an HTTP request belongs to: its Host header decides."""

import re

from egress_conformance.case import case
from egress_conformance.mesh.mesh import Mesh
from egress_conformance.traffic.client import Client
from egress_conformance.world.world import World


@case("HTTP-02", source="Traffic management, protocol selection and routing of HTTP by Host; ServiceEntry.hosts")
def test_host_picks_the_entry(mesh: Mesh, client: Client, world: World) -> None:
    """Of several entries on one port the Host header MUST pick the one, whatever address the caller dialled."""
    first, second, unlisted = world.site("alpha"), world.site("beta"), world.site("alpha")
    to_first = client.get(first.url(), dial=second.address)
    to_second = client.get(second.url(), dial=first.address)
    to_unlisted = client.get(unlisted.url())
    to_first.is_blocked()
    to_second.is_blocked()
    with mesh.apply("http/two-entries.yaml", first=first.host, second=second.host):
        to_first.reaches(first, cluster=f"outbound|80||{first.host}")
        to_second.reaches(second, cluster=f"outbound|80||{second.host}")
        to_unlisted.is_blocked()
    to_first.is_blocked()
    to_second.is_blocked()


@case("HTTP-03", source="ServiceEntry reference: ports.targetPort")
def test_target_port(mesh: Mesh, client: Client, world: World) -> None:
    """HTTP to a port of an entry MUST be sent to its targetPort at the endpoint, and without one to the same port."""
    site, twin = world.site(), world.site()
    request, as_it_is = client.get(site.url()), client.get(twin.url())
    with mesh.given("http/registered-host.yaml", host=twin.host):
        as_it_is.reaches(twin, cluster=f"outbound|80||{twin.host}", port=80)
        request.is_blocked()
        with mesh.apply("http/target-port.yaml", host=site.host):
            request.reaches(site, cluster=f"outbound|80||{site.host}", port=8080)
        request.is_blocked()


@case("HTTP-04a", source="RouteConfiguration.ignore_port_in_host_matching, set by httproute.go buildSidecarOutbound...")
def test_host_with_a_port(mesh: Mesh, client: Client, world: World) -> None:
    """A Host header that names a port MUST be routed as one that does not, and arrive as it was sent."""
    site = world.site()
    requests = {host: client.get(site.url(), headers={"Host": host}) for host in (f"{site.host}:80", f"{site.host}:81")}
    for request in requests.values():
        request.is_blocked()
    with mesh.apply("http/registered-host.yaml", host=site.host):
        for host, request in requests.items():
            request.reaches(site, cluster=f"outbound|80||{site.host}", received={"host": re.escape(host)})
    for request in requests.values():
        request.is_blocked()


@case("HTTP-04b", since="1.27", source="releasenotes fix-enable-absolute-fqdn-domain-vhost.yaml; istio/istio#56007")
def test_absolute_host(mesh: Mesh, client: Client, world: World) -> None:
    """A Host header with a trailing dot MUST be routed as one without, with or without a port behind it."""
    site = world.site()
    absolute = f"{site.host}."
    requests = [client.get(f"http://{absolute}/headers")]
    requests += [client.get(site.url(), headers={"Host": f"{absolute}:80"})]
    for request in requests:
        request.is_blocked()
    with mesh.apply("http/registered-host.yaml", host=site.host):
        for request in requests:
            seen = request.reaches(site, cluster=f"outbound|80||{site.host}")
            assert seen.last.requests[0].host.removesuffix(":80") == absolute
    for request in requests:
        request.is_blocked()
