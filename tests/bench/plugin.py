"""What a run that is measured does besides: `-p tests.bench.plugin`, with options of the benchmarks."""

import json
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from egress_conformance.cluster.lease import OWN_NAMESPACE
from egress_conformance.mesh.istiod import Istiod
from egress_conformance.platform import Platform, PlatformInfo
from egress_conformance.world.world import find_servers
from tests.bench.crowd import in_the_mesh
from tests.while_up import while_up


def pytest_addoption(parser: pytest.Parser) -> None:
    """Offer the options; write them with `=`, as the command line takes a path that stands alone for one of cases."""
    group = parser.getgroup("benchmarks")
    group.addoption("--bench-times", type=int, default=100, help="how many changes a case about propagation makes")
    group.addoption("--bench-entries", type=int, help="have so many ServiceEntries in the mesh from the start")
    group.addoption("--bench-marks", metavar="FILE", help="write down when the cases began and ended")


@pytest.fixture
def bench_times(request: pytest.FixtureRequest) -> int:
    """How many changes a case makes."""
    return int(request.config.getoption("--bench-times"))


class Marks:
    """When the first case's set-up began, the first case itself, and when the last one was over; epoch seconds.

    Args:
        file: where that is written, as JSON.
    """

    def __init__(self, file: Path) -> None:
        self._file = file
        self._marks: dict[str, float] = {}

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Take in a phase of a case."""
        if report.when in {"setup", "call"}:
            self._marks[report.when] = min(self._marks.get(report.when, report.start), report.start)
        self._marks["end"] = max(self._marks.get("end", report.stop), report.stop)

    def pytest_sessionfinish(self) -> None:
        """Write it down."""
        self._file.write_text(json.dumps(self._marks), encoding="utf-8")


def pytest_configure(config: pytest.Config) -> None:
    """Do what the options say, in the process that reports."""
    if hasattr(config, "workerinput"):
        return
    marks, count = config.getoption("--bench-marks"), config.getoption("--bench-entries")
    if marks is not None:
        config.pluginmanager.register(Marks(Path(marks)))
    if count is not None:
        _have_entries(count)


def _have_entries(count: int) -> None:
    """Put entries into the mesh as soon as the platform is up; take them away before anything is put back."""

    def crowd(platform: Platform, info: PlatformInfo) -> AbstractContextManager[None]:
        address = find_servers(platform.kube, OWN_NAMESPACE)["decoy"].address
        return in_the_mesh(platform.kube, Istiod(platform.kube, info.revision), info.run, count, address)

    while_up(crowd)
