"""istiod away for a while."""

from collections.abc import Callable
from contextlib import ExitStack

from egress_conformance.case import Requirement, case
from egress_conformance.errors import PlatformTrouble
from egress_conformance.mesh.mesh import Mesh
from egress_conformance.traffic.client import Client
from egress_conformance.traffic.recorder import Recorder
from egress_conformance.world.world import World

ENTRY = "lifecycle/entry.yaml"
LATE = "lifecycle/late-client.yaml"
PER_SECOND = 20
FROZEN = 60
"""Attempts in a row, 20 ms apart, that a deleted entry goes on serving: a push would have reached the proxy by then."""


def refusal(mesh: Mesh, manifest: str) -> str:
    """Why the API server did not create something, "" if it did: without its webhook it answers 500."""
    try:
        with mesh.given(manifest):
            return ""
    except PlatformTrouble as trouble:
        return str(trouble)


@case(
    "LCY-06",
    flips=True,
    requires=(Requirement.CONTROL_PLANE,),
    source="https://istio.io/latest/docs/ops/deployment/architecture/; failurePolicy Fail of the injection webhook",
)
def test_istiod_away(
    mesh: Mesh, client: Client, clients: Callable[..., Client], world: World, recorder: Recorder
) -> None:
    """While istiod is away registered hosts MUST be served as before, no pod start without a sidecar, and all catch up.

    No entry is admitted meanwhile, but one can be deleted, as no webhook is asked: it is obeyed when istiod is back.
    """
    kept, gone = world.site(), world.site("beta")
    request, stale = client.get(kept.url()), client.get(gone.url())
    by_kept, by_gone = f"outbound|80||{kept.host}", f"outbound|80||{gone.host}"
    with mesh.given(ENTRY, name="kept", host=kept.host, address=kept.address), ExitStack() as entry:
        entry.enter_context(mesh.given(ENTRY, name="gone", host=gone.host, address=gone.address))
        request.reaches(kept, cluster=by_kept)
        stale.reaches(gone, cluster=by_gone)
        with request.steadily(kept, cluster=by_kept, per_second=PER_SECOND):
            with mesh.without_istiod():
                entry.close()
                stale.reaches(gone, cluster=by_gone, times=FROZEN)
                assert "failed calling webhook" in refusal(mesh, "lifecycle/unborn-pod.yaml"), "a pod was created"
            stale.is_blocked()
        late = clients(LATE)
        recorder.changes_now()
        late.get(kept.url()).reaches(kept, cluster=by_kept)
