"""exportTo: which namespaces know of an entry."""

from collections.abc import Callable

from egress_conformance.case import case
from egress_conformance.mesh.mesh import Mesh
from egress_conformance.traffic.client import Client
from egress_conformance.world.world import World

REFERENCE = "ServiceEntry reference: exportTo"


@case("SCP-01", source=REFERENCE)
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
        here.reaches(site, cluster=cluster)
        elsewhere.reaches(site, cluster=cluster)
    here.is_blocked()
    elsewhere.is_blocked()
