"""Breaks the mesh for the time of one run, once the cluster is this run's: `-p tests.broken.plugin --broken NAME`."""

from contextlib import ExitStack

import pytest

from egress_conformance.cluster.lease import OWN_NAMESPACE
from egress_conformance.platform import Platform, PlatformInfo
from egress_conformance.world.world import find_servers
from tests.broken.meshes import broken, meshes

_STACK = ExitStack()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Offer the option."""
    parser.addoption("--broken", required=True, metavar="NAME", help="a file in tests/broken, less its ending")


def pytest_configure(config: pytest.Config) -> None:
    """Break the mesh as soon as the platform is up; mend it before anything is put back."""
    name = str(config.getoption("--broken"))
    up, finish = Platform.up, Platform.finish

    def up_and_broken(self: Platform) -> PlatformInfo:
        info = up(self)
        (mesh,) = meshes(find_servers(self.kube, OWN_NAMESPACE)["decoy"].address, [name])
        _STACK.enter_context(broken(self.kube, mesh, self.run))
        return info

    def mended_and_finished(self: Platform) -> None:
        try:
            _STACK.close()
        finally:
            finish(self)

    Platform.up, Platform.finish = up_and_broken, mended_and_finished  # type: ignore[method-assign]
