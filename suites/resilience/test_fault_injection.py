"""Faults injected by a VirtualService on an external host."""

from egress_conformance.case import case
from egress_conformance.mesh.mesh import Mesh
from egress_conformance.traffic.client import Client
from egress_conformance.world.world import World

DELAY_SECONDS = 1.0
"""fixedDelay in the manifest; without the fault an answer takes some milliseconds."""


@case("RSL-01", article=True, source="seed: its next part, fault injection; VirtualService HTTPFaultInjection.Abort")
def test_abort(mesh: Mesh, client: Client, world: World) -> None:
    """A fault abort on an external host MUST be answered by the proxy with that status, and not be sent on."""
    site = world.site()
    request = client.get(site.url())
    cluster = f"outbound|80||{site.host}"
    with mesh.given("http/registered-host.yaml", host=site.host):
        request.reaches(site, cluster=cluster)
        with mesh.apply("resilience/fault-abort.yaml", host=site.host):
            request.is_answered(418, flags="FI", body=b"fault filter abort")
        request.reaches(site, cluster=cluster)


@case("RSL-02", article=True, source="seed: its next part, fault injection; VirtualService HTTPFaultInjection.Delay")
def test_delay(mesh: Mesh, client: Client, world: World) -> None:
    """A fault delay on an external host MUST hold the request back that long, and then send it on."""
    site = world.site()
    request = client.get(site.url())
    cluster = f"outbound|80||{site.host}"
    with mesh.given("http/registered-host.yaml", host=site.host):
        request.reaches(site, cluster=cluster, at_most_seconds=DELAY_SECONDS / 2)
        with mesh.apply("resilience/fault-delay.yaml", host=site.host):
            late = DELAY_SECONDS + 1
            request.reaches(site, cluster=cluster, flags="DI", at_least_seconds=DELAY_SECONDS, at_most_seconds=late)
        request.reaches(site, cluster=cluster, at_most_seconds=DELAY_SECONDS / 2)
