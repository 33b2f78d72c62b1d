"""Breaks the mesh for the time of one run, once the cluster is this run's: `-p tests.broken.plugin --broken NAME`."""

from contextlib import AbstractContextManager

import pytest

from egress_conformance.cluster.lease import OWN_NAMESPACE
from egress_conformance.platform import Platform, PlatformInfo
from egress_conformance.world.world import find_servers
from tests.broken.meshes import broken, meshes
from tests.while_up import while_up


def pytest_addoption(parser: pytest.Parser) -> None:
    """Offer the option."""
    parser.addoption("--broken", required=True, metavar="NAME", help="a file in tests/broken, less its ending")


def pytest_configure(config: pytest.Config) -> None:
    """Break the mesh as soon as the platform is up; mend it before anything is put back."""
    name = str(config.getoption("--broken"))

    def breakage(platform: Platform, _: PlatformInfo) -> AbstractContextManager[None]:
        (mesh,) = meshes(find_servers(platform.kube, OWN_NAMESPACE)["decoy"].address, [name])
        return broken(platform.kube, mesh, platform.run)

    while_up(breakage)
