"""Tests on the real thing: a kind cluster with the newest Istio, shared by all of them."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from egress_conformance.cluster.engine import engine_that_answers
from egress_conformance.cluster.kube import Kube
from egress_conformance.cluster.lease import OWN_NAMESPACE
from egress_conformance.cluster.node import Node
from egress_conformance.mesh.config import MeshConfig
from egress_conformance.mesh.mesh import OWNER_LABEL
from egress_conformance.options import Options
from egress_conformance.own_namespace import MANAGED
from egress_conformance.platform import Platform, PlatformInfo
from egress_conformance.waiting import wait_for

COMMAND = [str(Path(sys.executable).with_name("egress-conformance"))]
RUN_SECONDS = 240


@dataclass(frozen=True)
class Ended:
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def said(self) -> str:
        return self.out + self.err


def command(*arguments: str, env: dict[str, str] | None = None, seconds: float = RUN_SECONDS) -> Ended:
    """Run `egress-conformance` to its end."""
    done = subprocess.run(
        [*COMMAND, *arguments],
        capture_output=True,
        text=True,
        timeout=seconds,
        check=False,
        env={**os.environ, **(env or {})},
    )
    return Ended(done.returncode, done.stdout, done.stderr)


@dataclass(frozen=True)
class UnderWay:
    """A run under way, in a process group of its own, as a terminal would start it."""

    process: subprocess.Popen[str]
    log: Path

    def wait_for(self, marker: Path, seconds: float = 120) -> None:
        """Wait until the run has come to where it makes this file."""

        self._wait(f"the run to make {marker.name}", marker.exists, seconds)

    def wait_for_line(self, words: str, seconds: float = 120) -> None:
        """Wait until the run has printed these words."""

        self._wait(f"the run to say {words!r}", lambda: words in self.log.read_text(), seconds)

    def _wait(self, what: str, is_so: Callable[[], bool], seconds: float) -> None:
        def look() -> bool | None:
            assert self.process.poll() is None, f"it ended early:\n{self.log.read_text()}"
            return True if is_so() else None

        wait_for(what, look, seconds=seconds, hint=str(self.log), every=0.05)

    def send(self, number: signal.Signals) -> None:
        """Send a signal the way it comes: Ctrl-C to the whole group, others to the one process."""
        if number == signal.SIGINT:
            os.killpg(self.process.pid, number)
        else:
            self.process.send_signal(number)

    def ended(self, seconds: float = 90) -> Ended:
        self.process.wait(seconds)
        return Ended(self.process.returncode, self.log.read_text(), "")

    def kill(self) -> None:
        """End every process of the group at once, as a machine that goes down does."""
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(30)


def start(log: Path, *arguments: str, env: dict[str, str] | None = None) -> UnderWay:
    with log.open("w", encoding="utf-8") as file:
        process = subprocess.Popen(
            [*COMMAND, *arguments],
            stdout=file,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
            env={**os.environ, **(env or {})},
        )
    return UnderWay(process, log)


@dataclass(frozen=True)
class Found:
    """The cluster as the tests found it."""

    info: PlatformInfo
    kube: Kube
    config: MeshConfig

    @property
    def home(self) -> Path:
        """Where the suite keeps what it knows of the cluster."""
        return Path(self.info.kubeconfig).parent

    def control_plane(self) -> Node:
        """The node that has the control plane."""
        engine = engine_that_answers()
        assert engine is not None
        return Node(engine, f"{self.home.name}-control-plane")

    def existing(self, kubeconfig: Path | None = None) -> list[str]:
        """Options of a command to which this is somebody else's cluster, with the suite's images on its nodes.

        Args:
            kubeconfig: with other credentials than the suite's own.
        """
        where = ["--kubeconfig", str(kubeconfig or self.info.kubeconfig), "--context", self.info.context]
        images = ["--client-image", self.info.client_image, "--world-image", self.info.world_image]
        return ["--provider", "existing", *where, *images, "--allow-mesh-changes"]

    def leftovers(self) -> list[str]:
        """What a run left that it should have removed; namespaces on their way out do not count."""
        namespaces = self.kube.find("v1", "Namespace", labels=f"{MANAGED},{OWNER_LABEL}")
        left = [
            f"namespace {namespace['metadata']['name']}"
            for namespace in namespaces
            if namespace["status"]["phase"] != "Terminating"
        ]
        for api, kind, name in (
            ("v1", "ConfigMap", "saved-mesh-config"),
            ("coordination.k8s.io/v1", "Lease", "run"),
        ):
            if self.kube.get(api, kind, name, OWN_NAMESPACE) is not None:
                left.append(f"{kind} {name}")
        return left


@contextmanager
def brought_up(options: Options) -> Iterator[Found]:
    """A cluster, up; it stays."""
    platform = Platform(options, print)
    try:
        info = platform.up()
    finally:
        platform.finish()
    kube = info.kube()
    yield Found(info, kube, MeshConfig(kube))
    kube.close()


@pytest.fixture(scope="session")
def cluster() -> Iterator[Found]:
    """The cluster, up; it is kept for the next run."""
    with brought_up(Options(wait=True)) as found:
        yield found


def write_suite(folder: Path, cases: str) -> Path:
    """A team's own suite in a folder: cases, and a manifest for them; the file with the cases."""
    area = folder / "suites" / "mine"
    area.mkdir(parents=True)
    (folder / "manifests").mkdir()
    (folder / "manifests" / "entry.yaml").write_text(ENTRY, encoding="utf-8")
    file = area / "test_mine.py"
    file.write_text(cases, encoding="utf-8")
    return file


@pytest.fixture
def suite(tmp_path: Path) -> Path:
    """A team's own suite: one case that applies an entry, flips the mode, says so and then takes its time."""
    write_suite(tmp_path, CASE.format(marker=tmp_path / "in-place"))
    return tmp_path


ENTRY = """\
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata:
  name: mine
spec:
  hosts: ["${host}"]
  exportTo: ["."]
  location: MESH_EXTERNAL
  ports:
    - {number: 80, name: http, protocol: HTTP}
  resolution: DNS
"""

CASE = '''\
import pathlib
import time

from egress_conformance.case import Mode, case


@case("MINE-01", mode=Mode.ALLOW_ANY, flips=True, source="a test")
def test_mine(mesh, client, world):
    """A team's own case MUST run with ours."""
    site = world.site()
    with mesh.given("entry.yaml", host=site.host), mesh.outbound_traffic_policy(Mode.REGISTRY_ONLY):
        client.get(site.url()).reaches(site, cluster=f"outbound|80||{{site.host}}")
        pathlib.Path("{marker}").touch()
        time.sleep(pathlib.Path("{marker}-seconds").exists() and 120)
'''
"""The case sleeps as the thing under test: a run that is interrupted in the middle of a case."""


def seconds_since(start_: float) -> float:
    return time.monotonic() - start_
