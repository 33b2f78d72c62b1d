"""Changes of the mesh, one after another: how long each takes until requests show it.

The ledger has it with each check whose role is `subject`: `convergence_ms`, from the API server's answer to the first
agreeing attempt.
"""

import pytest

from egress_conformance.case import Mode, case
from egress_conformance.mesh.mesh import Mesh
from egress_conformance.traffic.client import Client
from egress_conformance.traffic.expect import PASSTHROUGH
from egress_conformance.world.world import World

SOURCE = "pilot-discovery reference: PILOT_DEBOUNCE_AFTER"
pytestmark = pytest.mark.timeout(3600)


@case("BEN-02", source=SOURCE)
def test_service_entry(mesh: Mesh, client: Client, world: World, bench_times: int) -> None:
    """A ServiceEntry MUST be obeyed each time it is applied."""
    site = world.site()
    request = client.get(site.url())
    request.is_blocked()
    for _ in range(bench_times):
        with mesh.apply("entry.yaml", name="entry", host=site.host, export_to=".", address=site.address):
            request.reaches(site, cluster=f"outbound|80||{site.host}")
        request.is_blocked()


@case("BEN-03", mode=Mode.ALLOW_ANY, flips=True, source=SOURCE)
def test_flip_to_registry_only(mesh: Mesh, client: Client, world: World, bench_times: int) -> None:
    """A flip of the mode to REGISTRY_ONLY MUST be obeyed each time."""
    site = world.site()
    request = client.get(site.url())
    request.reaches(site, cluster=PASSTHROUGH)
    for _ in range(bench_times):
        with mesh.outbound_traffic_policy(Mode.REGISTRY_ONLY):
            request.is_blocked()
        request.reaches(site, cluster=PASSTHROUGH)


@case("BEN-04", flips=True, source=SOURCE)
def test_flip_to_allow_any(mesh: Mesh, client: Client, world: World, bench_times: int) -> None:
    """A flip of the mode to ALLOW_ANY MUST be obeyed each time."""
    site = world.site()
    request = client.get(site.url())
    request.is_blocked()
    for _ in range(bench_times):
        with mesh.outbound_traffic_policy(Mode.ALLOW_ANY):
            request.reaches(site, cluster=PASSTHROUGH)
        request.is_blocked()
