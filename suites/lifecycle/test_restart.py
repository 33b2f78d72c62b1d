"""Pods that are made anew."""

from collections.abc import Callable

from egress_conformance.case import case
from egress_conformance.mesh.mesh import Mesh
from egress_conformance.traffic.client import Client
from egress_conformance.traffic.recorder import Recorder
from egress_conformance.world.world import World

CLIENT = "lifecycle/restarted-client.yaml"


@case(
    "LCY-08", source="https://istio.io/latest/docs/ops/deployment/architecture/: a proxy's readiness waits for istiod"
)
def test_client_is_made_anew(mesh: Mesh, clients: Callable[..., Client], world: World, recorder: Recorder) -> None:
    """A client that is made anew MUST reach registered hosts, and no other, from the moment it is ready."""
    site, stranger = world.site(), world.site()
    cluster = f"outbound|80||{site.host}"
    clients(CLIENT).get(site.url()).is_blocked()
    with mesh.apply("lifecycle/entry.yaml", name="entry", host=site.host, address=site.address):
        before = clients(CLIENT)
        before.get(site.url()).reaches(site, cluster=cluster)
        before.delete()
        after = clients(CLIENT)
        recorder.changes_now()
        # No waiting for convergence: what is lost now is lost to a user too.
        after.get(site.url()).never_fails(site, cluster=cluster, times=20)
        after.get(stranger.url()).is_blocked()
    clients(CLIENT).get(site.url()).is_blocked()
