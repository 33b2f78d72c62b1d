"""A Sidecar resource with an outboundTrafficPolicy of its own: for a namespace, and for one workload of it."""

from collections.abc import Callable

import pytest

from egress_conformance.case import Mode, Requirement, case
from egress_conformance.mesh.mesh import Mesh
from egress_conformance.traffic.client import Client
from egress_conformance.traffic.expect import PASSTHROUGH
from egress_conformance.world.world import World

SOURCE = "Sidecar reference: outboundTrafficPolicy; convertToSidecarScope in pilot/pkg/model/sidecar.go"
NAMESPACE = "policy/sidecar-namespace.yaml"
WORKLOAD = "policy/sidecar-workload.yaml"
pytestmark = pytest.mark.xdist_group("elsewhere")


@case("POL-08", requires=(Requirement.NAMESPACES,), source=SOURCE)
def test_sidecar_opens_a_namespace(mesh: Mesh, client: Client, clients: Callable[..., Client], world: World) -> None:
    """A Sidecar with ALLOW_ANY MUST open its namespace, and no other, in a mesh that is REGISTRY_ONLY."""
    site = world.site()
    request, elsewhere = client.get(site.url()), clients(elsewhere=True).get(site.url())
    request.is_blocked()
    with mesh.apply(NAMESPACE, mode=Mode.ALLOW_ANY):
        request.reaches(site, cluster=PASSTHROUGH)
        elsewhere.is_blocked()
    request.is_blocked()


@case("POL-08b", mode=Mode.ALLOW_ANY, requires=(Requirement.NAMESPACES,), source=SOURCE)
def test_sidecar_closes_a_namespace(mesh: Mesh, client: Client, clients: Callable[..., Client], world: World) -> None:
    """A Sidecar with REGISTRY_ONLY MUST close its namespace, and no other, in a mesh that is ALLOW_ANY."""
    site = world.site()
    request, elsewhere = client.get(site.url()), clients(elsewhere=True).get(site.url())
    request.reaches(site, cluster=PASSTHROUGH)
    with mesh.apply(NAMESPACE, mode=Mode.REGISTRY_ONLY):
        request.is_blocked()
        elsewhere.reaches(site, cluster=PASSTHROUGH)
    request.reaches(site, cluster=PASSTHROUGH)


@case("POL-08c", source=f"{SOURCE}; a Sidecar with a workloadSelector comes before one without")
def test_sidecar_of_a_workload_comes_first(
    mesh: Mesh, client: Client, clients: Callable[..., Client], world: World
) -> None:
    """A Sidecar that selects a workload MUST override its namespace's, in both directions, for that workload alone."""
    site = world.site()
    request, selected = client.get(site.url()), clients("policy/selected-client.yaml").get(site.url())
    request.is_blocked()
    selected.is_blocked()
    with mesh.apply(WORKLOAD, mode=Mode.ALLOW_ANY):
        selected.reaches(site, cluster=PASSTHROUGH)
        request.is_blocked()
    selected.is_blocked()
    with mesh.given(NAMESPACE, mode=Mode.ALLOW_ANY):
        selected.reaches(site, cluster=PASSTHROUGH)
        with mesh.apply(WORKLOAD, mode=Mode.REGISTRY_ONLY):
            selected.is_blocked()
            request.reaches(site, cluster=PASSTHROUGH)
        selected.reaches(site, cluster=PASSTHROUGH)
