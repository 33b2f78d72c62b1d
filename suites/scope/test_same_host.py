"""The same host in several entries: which of them serves, and what becomes of the others."""

from contextlib import ExitStack

from egress_conformance.case import Requirement, case
from egress_conformance.mesh.mesh import Mesh
from egress_conformance.traffic.by_proxy import Blocked
from egress_conformance.traffic.client import Client
from egress_conformance.world.world import World

SIDECAR = "pilot/pkg/model/sidecar.go"
ENTRY = "scope/duplicate-static.yaml"
"""STATIC, as in the issue: istiod keeps its endpoints by host, so that those of two entries may be confused."""
BURST = 100
"""Requests a second while an entry is deleted."""


@case(
    "SCP-03",
    by_version={"1.28": "the alphabetically first namespace", "1.30": "the oldest"},
    requires=(Requirement.NAMESPACES,),
    source=f"release note sidecar-pick-best-service-namespace.yaml; {SIDECAR}: SidecarScope.collectImportedServices",
)
def test_two_namespaces_behind_a_virtual_service(mesh: Mesh, client: Client, world: World, expected: str) -> None:
    """A VirtualService's destination known in two namespaces MUST be the oldest's since 1.30, the first by name before.

    This is about hosts the client does not import by itself, but through a VirtualService it does import. Where it
    imports them, the rule is that of SCP-03b on all versions.
    """
    site = world.site()
    alpha, beta = world.servers["alpha"], world.servers["beta"]
    a, z = mesh.further_namespace("a"), mesh.further_namespace("z")
    request = client.get(site.url())
    cluster = f"outbound|80||{site.host}"
    with mesh.given("scope/sidecar-own-namespace.yaml"):
        with mesh.given("scope/entry-in.yaml", where=z, host=site.host, address=alpha.address):
            mesh.next_second()
            with mesh.given("scope/entry-in.yaml", where=a, host=site.host, address=beta.address):
                request.is_blocked()
                with mesh.apply("scope/virtual-service.yaml", host=site.host):
                    request.reaches(alpha if expected == "the oldest" else beta, cluster=cluster)
                request.is_blocked()
        # The other way round both rules come to the same.
        with mesh.given("scope/entry-in.yaml", where=a, host=site.host, address=beta.address):
            mesh.next_second()
            with (
                mesh.given("scope/entry-in.yaml", where=z, host=site.host, address=alpha.address),
                mesh.apply("scope/virtual-service.yaml", host=site.host),
            ):
                request.reaches(beta, cluster=cluster)


@case(
    "SCP-03b",
    requires=(Requirement.NAMESPACES,),
    source=f"{SIDECAR}: IstioEgressListenerWrapper.selectServices; SortServicesByCreationTime",
)
def test_two_namespaces(mesh: Mesh, client: Client, world: World) -> None:
    """Of entries for one host in two other namespaces the oldest MUST serve, but one of the client's own before any."""
    site = world.site()
    alpha, beta = world.servers["alpha"], world.servers["beta"]
    a, z = mesh.further_namespace("a"), mesh.further_namespace("z")
    request = client.get(site.url())
    cluster = f"outbound|80||{site.host}"
    request.is_blocked()
    with mesh.apply("scope/entry-in.yaml", where=z, host=site.host, address=alpha.address):
        request.reaches(alpha, cluster=cluster)
        mesh.next_second()
        with mesh.given("scope/entry-in.yaml", where=a, host=site.host, address=world.decoy.address):
            request.reaches(alpha, cluster=cluster)
            with mesh.apply("scope/entry-in.yaml", where=mesh.namespace, host=site.host, address=beta.address):
                request.reaches(beta, cluster=cluster)
            request.reaches(alpha, cluster=cluster)
    request.is_blocked()


@case("SCP-04", source=f"{SIDECAR}: SidecarScope.appendSidecarServices; release note 49489.yaml (istio/istio#49489)")
def test_ports_are_merged(mesh: Mesh, client: Client, world: World) -> None:
    """Two entries of a namespace for one host with different ports MUST serve both ports, each with its endpoints."""
    site = world.site("alpha", "beta")
    first, second = client.get(site.url()), client.get(site.url(port=8080))
    first.is_blocked()
    second.is_blocked(Blocked.RESET)
    with mesh.apply("scope/port.yaml", host=site.host, port="80"):
        first.reaches(site, cluster=f"outbound|80||{site.host}")
        second.is_blocked(Blocked.RESET)
        with mesh.apply("scope/port.yaml", host=site.host, port="8080"):
            second.reaches(site, cluster=f"outbound|8080||{site.host}")
            first.reaches(site, cluster=f"outbound|80||{site.host}")
            assert sorted(f"{each.address}:{each.port}" for each in client.proxy.endpoints(site.host)) == sorted(
                f"{address}:{port}" for address in site.addresses for port in (80, 8080)
            )
        first.reaches(site, cluster=f"outbound|80||{site.host}")
        second.is_blocked(Blocked.RESET)
    first.is_blocked()


@case("SCP-08", source="istio/istio#51212")
def test_duplicate_is_deleted(mesh: Mesh, client: Client, world: World) -> None:
    """Where one of two equal entries is deleted, the older or the younger, the other MUST serve on and lose nothing."""
    site = world.site()
    request = client.get(site.url())
    cluster = f"outbound|80||{site.host}"
    request.is_blocked()
    for gone in ("older", "younger"):
        with ExitStack() as older, ExitStack() as younger:
            older.enter_context(mesh.apply(ENTRY, name="older", host=site.host, address=site.address))
            request.reaches(site, cluster=cluster)
            mesh.next_second()
            younger.enter_context(mesh.apply(ENTRY, name="younger", host=site.host, address=site.address))
            request.reaches(site, cluster=cluster)
            with request.steadily(site, cluster=cluster, per_second=BURST):
                (older if gone == "older" else younger).close()
                request.reaches(site, cluster=cluster)
    request.is_blocked()
