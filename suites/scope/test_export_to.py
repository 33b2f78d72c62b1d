"""exportTo: which namespaces know of an entry."""

from collections.abc import Callable

import pytest

from egress_conformance.case import Requirement, case
from egress_conformance.mesh.mesh import Mesh
from egress_conformance.traffic.client import Client
from egress_conformance.world.world import World

REFERENCE = "ServiceEntry reference: exportTo"
DEFAULT = "MeshConfig reference: defaultServiceExportTo"
pytestmark = pytest.mark.xdist_group("elsewhere")


@case("SCP-01", requires=(Requirement.NAMESPACES,), source=REFERENCE)
def test_private_entry(mesh: Mesh, client: Client, clients: Callable[..., Client], world: World) -> None:
    """An entry exported to `.` MUST be hidden from other namespaces, and one exported to `*` be known in all."""
    site = world.site()
    here, elsewhere = client.get(site.url()), clients(elsewhere=True).get(site.url())
    cluster = f"outbound|80||{site.host}"
    here.is_blocked()
    elsewhere.is_blocked()
    with mesh.apply("scope/exported.yaml", host=site.host, to="."):
        here.reaches(site, cluster=cluster)
        elsewhere.is_blocked()
    with mesh.apply("scope/exported.yaml", host=site.host, to="*"):
        # First what the other entry did not give: this is another one, and none is there for a moment.
        elsewhere.reaches(site, cluster=cluster)
        here.reaches(site, cluster=cluster)
    here.is_blocked()
    elsewhere.is_blocked()


@case("SCP-02", requires=(Requirement.NAMESPACES,), source=REFERENCE)
def test_list_of_namespaces(mesh: Mesh, client: Client, clients: Callable[..., Client], world: World) -> None:
    """An entry exported to a list of namespaces MUST be known in each of them, and in no other, not even its own."""
    site = world.site()
    other = clients(elsewhere=True)
    here, elsewhere = client.get(site.url()), other.get(site.url())
    cluster = f"outbound|80||{site.host}"
    here.is_blocked()
    elsewhere.is_blocked()
    with mesh.apply("scope/exported-to-list.yaml", host=site.host, first=other.namespace, second="nobody-lives-here"):
        elsewhere.reaches(site, cluster=cluster)
        here.is_blocked()
    with mesh.apply("scope/exported-to-list.yaml", host=site.host, first=".", second=other.namespace):
        # First what the other list did not give.
        here.reaches(site, cluster=cluster)
        elsewhere.reaches(site, cluster=cluster)
    here.is_blocked()
    elsewhere.is_blocked()


@case("SCP-07", flips=True, requires=(Requirement.NAMESPACES,), source=DEFAULT)
def test_private_by_default(mesh: Mesh, client: Client, clients: Callable[..., Client], world: World) -> None:
    """With defaultServiceExportTo `.` an entry that says nothing of exportTo MUST be hidden from other namespaces."""
    site = world.site()
    here, elsewhere = client.get(site.url()), clients(elsewhere=True).get(site.url())
    cluster = f"outbound|80||{site.host}"
    with mesh.given("scope/exported-by-default.yaml", host=site.host, where=mesh.namespace):
        here.reaches(site, cluster=cluster)
        elsewhere.reaches(site, cluster=cluster)
        with mesh.configured("scope/default-export-private.yaml"):
            elsewhere.is_blocked()
            here.reaches(site, cluster=cluster)
        elsewhere.reaches(site, cluster=cluster)


@case(
    "SCP-07b",
    flips=True,
    by_version={"1.28": "hidden", "1.30.3": "known"},
    requires=(Requirement.NAMESPACES,),
    source=f"{DEFAULT}; release note 60560.yaml",
)
def test_list_by_default(
    mesh: Mesh, client: Client, clients: Callable[..., Client], world: World, expected: str
) -> None:
    """A defaultServiceExportTo of `.` and a namespace MUST hide entries from others; that one knows them since 1.30.3.

    Before, a list with `.` in it was taken for `.` alone: whoever relied on that opens entries with the upgrade.
    """
    site = world.site()
    other = clients(elsewhere=True)
    unlisted, listed = client.get(site.url()), other.get(site.url())
    cluster = f"outbound|80||{site.host}"
    where = mesh.further_namespace("entries")
    with mesh.given("scope/exported-by-default.yaml", host=site.host, where=where):
        unlisted.reaches(site, cluster=cluster)
        listed.reaches(site, cluster=cluster)
        with mesh.configured("scope/default-export-list.yaml", other=other.namespace):
            unlisted.is_blocked()
            if expected == "hidden":
                listed.is_blocked()
            else:
                listed.reaches(site, cluster=cluster)
        unlisted.reaches(site, cluster=cluster)
        listed.reaches(site, cluster=cluster)
