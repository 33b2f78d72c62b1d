"""Sidecar: what of all that is exported to a namespace its clients import."""

from egress_conformance.case import Requirement, case
from egress_conformance.mesh.mesh import Mesh
from egress_conformance.traffic.by_proxy import Blocked
from egress_conformance.traffic.client import Client
from egress_conformance.world.world import World

REFERENCE = "Sidecar reference: IstioEgressListener.hosts"


@case("SCP-05", source=REFERENCE)
def test_egress_hosts(mesh: Mesh, client: Client, world: World) -> None:
    """With a Sidecar's egress hosts a client MUST reach the hosts they name, and no other, registered or not."""
    named, other = world.site(), world.site()
    first, second = client.get(named.url()), client.get(other.url())
    with (
        mesh.given("scope/entry.yaml", name="named", host=named.host),
        mesh.given("scope/entry.yaml", name="other", host=other.host),
    ):
        first.reaches(named, cluster=f"outbound|80||{named.host}")
        second.reaches(other, cluster=f"outbound|80||{other.host}")
        with mesh.apply("scope/sidecar.yaml", host=named.host):
            second.is_blocked()
            first.reaches(named, cluster=f"outbound|80||{named.host}")
            assert client.proxy.clusters(other.host) == {}
        second.reaches(other, cluster=f"outbound|80||{other.host}")


@case("SCP-05b", source=f"{REFERENCE}: `~/*`")
def test_nothing_is_imported(mesh: Mesh, client: Client, world: World) -> None:
    """With egress hosts `~/*` a client MUST import nothing: even its port 80 is no longer known as HTTP, and resets."""
    site = world.site()
    request = client.get(site.url())
    with mesh.given("scope/entry.yaml", name="entry", host=site.host):
        request.reaches(site, cluster=f"outbound|80||{site.host}")
        with mesh.apply("scope/sidecar-nothing.yaml"):
            request.is_blocked(Blocked.RESET)
        request.reaches(site, cluster=f"outbound|80||{site.host}")


@case(
    "SCP-06",
    since="1.31",
    requires=(Requirement.ADMISSION, Requirement.NAMESPACES),
    source=f"{REFERENCE}; release note 60139.yaml",
)
def test_namespace_is_excluded(mesh: Mesh, client: Client, world: World) -> None:
    """With egress hosts `*/*` and `~namespace/*` a client MUST reach what is registered anywhere but there."""
    inside, outside = world.site(), world.site()
    excluded, included = client.get(inside.url()), client.get(outside.url())
    where = mesh.further_namespace("a")
    with (
        mesh.given("scope/entry-in.yaml", where=where, host=inside.host, address=inside.address),
        mesh.given("scope/entry-in.yaml", where=mesh.namespace, host=outside.host, address=outside.address),
        mesh.given("scope/sidecar-all.yaml"),
    ):
        excluded.reaches(inside, cluster=f"outbound|80||{inside.host}")
        included.reaches(outside, cluster=f"outbound|80||{outside.host}")
        with mesh.apply("scope/sidecar-all-but.yaml", excluded=where):
            excluded.is_blocked()
            included.reaches(outside, cluster=f"outbound|80||{outside.host}")
        excluded.reaches(inside, cluster=f"outbound|80||{inside.host}")


@case(
    "SCP-06b",
    until="1.30",
    requires=(Requirement.ADMISSION,),
    source="pkg/config/validation/agent/validation.go: ValidateNamespaceSlashWildcardHostname",
)
def test_exclusion_is_refused(mesh: Mesh) -> None:
    """Before 1.31 a Sidecar that excludes a namespace MUST be refused: it would import what it is to keep out."""
    mesh.refuses(
        "scope/sidecar-all-but.yaml",
        twin="scope/sidecar-all.yaml",
        saying='invalid namespace value "~somewhere" in sidecar',
        excluded="somewhere",
    )
