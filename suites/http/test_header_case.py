"""The case of header names: HTTP/1.1 does not care, some old servers do."""

from collections.abc import Callable
from contextlib import AbstractContextManager

import pytest

from egress_conformance.case import Mode, case
from egress_conformance.mesh.mesh import Mesh
from egress_conformance.traffic.client import Client
from egress_conformance.traffic.expect import PASSTHROUGH
from egress_conformance.traffic.request import Seen
from egress_conformance.world.world import World

PATCH = "http/old-fashioned-client.yaml"
pytestmark = pytest.mark.xdist_group("old-fashioned-client")
MIXED = {"X-MiXed-CaSe": "1"}


def names(seen: Seen) -> set[str]:
    """Headers the server received, as they were written, of those the case sent."""
    return {name for receipt in seen.last.requests for name, _ in receipt.headers if name.lower() == "x-mixed-case"}


@case(
    "HTTP-10a", source="ProxyConfig.ProxyHeaders.preserveHttp1HeaderCase; releasenotes preserve-http1-header-case.yaml"
)
def test_registered_host(
    mesh: Mesh, client: Client, world: World, patched_client: Callable[..., AbstractContextManager[Client]]
) -> None:
    """With preserveHttp1HeaderCase headers MUST reach a registered host as the caller wrote them, else lower."""
    site = world.site()
    cluster = f"outbound|80||{site.host}"
    with mesh.given("http/registered-host.yaml", host=site.host):
        assert names(client.get(site.url(), headers=MIXED).reaches(site, cluster=cluster)) == {"x-mixed-case"}
        with patched_client(PATCH) as patched:
            assert names(patched.get(site.url(), headers=MIXED).reaches(site, cluster=cluster)) == set(MIXED)
        assert names(client.get(site.url(), headers=MIXED).reaches(site, cluster=cluster)) == {"x-mixed-case"}


@case(
    "HTTP-10b",
    mode=Mode.ALLOW_ANY,
    since="1.28",
    source="ProxyConfig.ProxyHeaders.preserveHttp1HeaderCase; cluster_builder.go buildDefaultPassthroughCluster",
)
def test_passthrough(
    client: Client, world: World, patched_client: Callable[..., AbstractContextManager[Client]]
) -> None:
    """With preserveHttp1HeaderCase headers MUST reach an unregistered host too as the caller wrote them."""
    site = world.site()
    assert names(client.get(site.url(), headers=MIXED).reaches(site, cluster=PASSTHROUGH)) == {"x-mixed-case"}
    with patched_client(PATCH) as patched:
        assert names(patched.get(site.url(), headers=MIXED).reaches(site, cluster=PASSTHROUGH)) == set(MIXED)
    assert names(client.get(site.url(), headers=MIXED).reaches(site, cluster=PASSTHROUGH)) == {"x-mixed-case"}
