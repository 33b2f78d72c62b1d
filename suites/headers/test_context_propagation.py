"""Trace context in requests that leave the mesh, apart from whether spans are reported."""

from egress_conformance.case import Requirement, case
from egress_conformance.mesh.mesh import Mesh
from egress_conformance.traffic.client import Client
from egress_conformance.waiting import wait_for
from egress_conformance.world.world import World

FLUSHED = 10
"""Requests after which the zipkin tracer has sent its spans: each of the sidecar's two threads sends them by fives."""


@case(
    "HDR-09",
    since="1.30",
    of_proxy=True,
    requires=(Requirement.TRACER,),
    source="releasenotes 58871.yaml; Telemetry Tracing.disableContextPropagation; tracing.go configureTracing",
)
def test_context_is_not_propagated(mesh: Mesh, client: Client, world: World) -> None:
    """With disableContextPropagation no X-B3-* header MUST be sent, and spans still be reported."""
    site = world.site()
    request = client.get(site.url())
    cluster = f"outbound|80||{site.host}"
    sent: dict[str, str | None] = {"x-b3-traceid": "[0-9a-f]{16,32}", "x-b3-sampled": "1"}
    none: dict[str, str | None] = dict.fromkeys(("x-b3-traceid", "x-b3-spanid", "x-b3-sampled", "traceparent"))
    with mesh.given("http/registered-host.yaml", host=site.host):
        with mesh.given("headers/tracing.yaml"):
            request.reaches(site, cluster=cluster, received=sent)
            with mesh.apply("headers/no-context-propagation.yaml"):
                request.reaches(site, cluster=cluster, received=none)
                mark = world.mark()
                request.reaches(site, cluster=cluster, received=none, times=FLUSHED)
                wait_for(
                    "spans at the collector",
                    lambda: world.spans(mark, client.address) or None,
                    seconds=15,
                    hint="is the Service tracing there, and does its collector answer?",
                )
        with mesh.given("headers/tracing.yaml"):
            request.reaches(site, cluster=cluster, received=sent)
