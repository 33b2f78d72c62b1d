"""A host that is registered, on a port its ServiceEntry does not list."""

from egress_conformance.case import Mode, case
from egress_conformance.mesh.mesh import Mesh
from egress_conformance.traffic.by_proxy import Blocked
from egress_conformance.traffic.client import Client
from egress_conformance.traffic.expect import PASSTHROUGH
from egress_conformance.world.world import World

SOURCE = "ServiceEntry reference: ports; a listener is made for each listed port alone (listener.go)"
ONE, BOTH = "policy/port-80.yaml", "policy/ports-80-and-8080.yaml"


@case("POL-09", source=SOURCE)
def test_registry_only_blocks_a_port_that_is_not_listed(mesh: Mesh, client: Client, world: World) -> None:
    """Under REGISTRY_ONLY a registered host MUST stay blocked on a port that its entry does not list."""
    site = world.site()
    listed, other = client.get(site.url()), client.get(site.url(port=8080))
    with mesh.given(ONE, host=site.host):
        listed.reaches(site, cluster=f"outbound|80||{site.host}")
        other.is_blocked(Blocked.RESET)
    with mesh.apply(BOTH, host=site.host):
        # First what the other manifest did not give: the entry is another one, and not there for a moment.
        other.reaches(site, cluster=f"outbound|8080||{site.host}")
        listed.reaches(site, cluster=f"outbound|80||{site.host}")
    with mesh.given(ONE, host=site.host):
        other.is_blocked(Blocked.RESET)
        listed.reaches(site, cluster=f"outbound|80||{site.host}")


@case("POL-09b", mode=Mode.ALLOW_ANY, source=SOURCE)
def test_allow_any_passes_a_port_that_is_not_listed(mesh: Mesh, client: Client, world: World) -> None:
    """Under ALLOW_ANY a registered host MUST be passed by PassthroughCluster on a port its entry does not list."""
    site = world.site()
    # The address decides on the unlisted port, the entry on the listed one: the decoy stands for the difference.
    listed = client.get(site.url(), dial=world.decoy.address)
    other = client.get(site.url(port=8080), dial=world.decoy.address)
    with mesh.given(ONE, host=site.host):
        listed.reaches(site, cluster=f"outbound|80||{site.host}")
        other.reaches(world.decoy, cluster=PASSTHROUGH, logged_code=0)
    with mesh.apply(BOTH, host=site.host):
        # First what the other manifest did not give: the entry is another one, and not there for a moment.
        other.reaches(site, cluster=f"outbound|8080||{site.host}")
        listed.reaches(site, cluster=f"outbound|80||{site.host}")
    with mesh.given(ONE, host=site.host):
        other.reaches(world.decoy, cluster=PASSTHROUGH, logged_code=0)
        listed.reaches(site, cluster=f"outbound|80||{site.host}")
