"""Configuration that a proxy rejects: that this case sees it is why every other case can say that there was none."""

from collections.abc import Callable

from egress_conformance.case import case
from egress_conformance.mesh.mesh import Mesh
from egress_conformance.traffic.client import Client
from egress_conformance.traffic.eventually import becomes
from egress_conformance.traffic.recorder import Recorder
from egress_conformance.world.world import World

ISTIOD = "istiod pilot_total_xds_rejects"
REJECTED = {
    "telemetry/rejected-cluster.yaml": {"cluster_manager.cds.update_rejected", ISTIOD},
    "telemetry/rejected-listener.yaml": {"listener_manager.lds.update_rejected", ISTIOD},
    # Istio's bootstrap leaves the counters of route configurations out: only istiod tells.
    "telemetry/rejected-route.yaml": {ISTIOD},
}


@case(
    "TEL-05",
    flips=True,
    source="Envoy: update_rejected of CDS and LDS; pilot_total_xds_rejects in xds/monitoring.go",
)
def test_rejected_configuration_is_counted(
    mesh: Mesh, client: Client, world: World, recorder: Recorder, rejections: Callable[[], dict[str, int]]
) -> None:
    """Configuration that a proxy rejects MUST be counted, by kind, while the last good one stays in force.

    After every case of the suite these counters must stand where they stood before it. This case moves them, and so
    needs the mesh alone.
    """
    recorder.rejects_on_purpose = True
    site = world.site()
    request = client.get(site.url())
    cluster = f"outbound|80||{site.host}"
    with mesh.given("http/registered-host.yaml", host=site.host):
        request.reaches(site, cluster=cluster)
        for manifest, counters in REJECTED.items():
            before = rejections()

            def risen(before: dict[str, int] = before) -> list[str]:
                return sorted(name for name, count in rejections().items() if count > before[name])

            with mesh.apply(manifest, host=site.host):
                becomes(recorder, f"with {manifest} the counters that rise", risen, sorted(counters))
                request.reaches(site, cluster=cluster)
        request.reaches(site, cluster=cluster)
