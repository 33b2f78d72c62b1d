"""Platform trouble is not Istio's failure: what breaks under a case makes it inconclusive, and the run goes on.

Each test breaks one thing while a case keeps checking, and sees that the next case of the same run passes.
"""

import json
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from egress_conformance.cluster.cache import held
from egress_conformance.cluster.kube import Doc
from egress_conformance.cluster.lease import OWN_NAMESPACE
from egress_conformance.mesh.config import ISTIO_NAMESPACE
from egress_conformance.mesh.mesh import OWNER_LABEL
from tests.cluster.conftest import Found, UnderWay, start, write_suite
from tests.cluster.forwarder import Forwarder

PAUSE_SECONDS = 20

# The first case checks, one check of many attempts after the other, until it is told that what is to break has broken,
# and for some seconds on, as it may take a while to show. The second one only has to work.
CASES = '''\
import pathlib
import time

from egress_conformance.case import case

IN_PLACE, BROKEN = pathlib.Path("{folder}/in-place"), pathlib.Path("{folder}/broken")


@case("MINE-01", source="a test")
def test_under_way(mesh, client, world):
    """Under a broken platform a case MUST be inconclusive."""
    site = world.site()
    request = client.get(site.url())
    cluster = f"outbound|80||{{site.host}}"
    with mesh.apply("entry.yaml", host=site.host):
        request.reaches(site, cluster=cluster)
        IN_PLACE.touch()
        end = time.monotonic() + 60
        while time.monotonic() < end and not BROKEN.exists():
            request.reaches(site, cluster=cluster, times=30)
        end = time.monotonic() + {more}
        while time.monotonic() < end:
            request.reaches(site, cluster=cluster, times=30)
    request.is_blocked()


@case("MINE-02", source="a test")
def test_next(mesh, client, world):
    """The next case MUST pass."""
    site = world.site()
    request = client.get(site.url())
    request.is_blocked()
    with mesh.apply("entry.yaml", host=site.host):
        request.reaches(site, cluster=f"outbound|80||{{site.host}}")
    request.is_blocked()
'''

Cases = dict[str, dict[str, Any]]


class Struck:
    """A run whose first case keeps checking while something is broken.

    Args:
        cluster: the cluster.
        folder: of the suite, where the two tell each other how far they are.
        run: the run.
    """

    def __init__(self, cluster: Found, folder: Path, run: UnderWay) -> None:
        self.cluster = cluster
        self._folder = folder
        self._run = run
        # It may have to wait for another run to end.
        run.wait_for(folder / "in-place", seconds=600)
        (self._namespace,) = self._namespaces(OWNER_LABEL)

    def _namespaces(self, labels: str) -> list[Doc]:
        found = self.cluster.kube.find("v1", "Namespace", labels=labels)
        return [namespace for namespace in found if namespace["status"]["phase"] != "Terminating"]

    @property
    def client(self) -> Doc:
        """The run's client pod."""
        return pod(self._namespace["metadata"]["name"], "client")

    def came_to(self) -> Cases:
        """The cases as the ledger keeps them, once the run has ended; nothing was left."""
        (self._folder / "broken").touch()
        ended = self._run.ended(180)
        (said,) = [line for line in ended.out.splitlines() if line.startswith("report: ")]
        report = Path(said.removeprefix("report: "))
        ledger = json.loads(report.with_name("ledger.json").read_text(encoding="utf-8"))
        # Another run may have begun by now: it is asked for what this one left.
        run = self._namespace["metadata"]["labels"][OWNER_LABEL]
        assert self._namespaces(f"{OWNER_LABEL}={run}") == []
        cases = {case["id"]: case for case in ledger["cases"]}
        assert cases["MINE-02"]["verdict"] == "passed", ended.said
        assert ended.code == {"passed": 0, "inconclusive": 2}[cases["MINE-01"]["verdict"]], ended.said
        return cases


def pod(namespace: str, name: str) -> Doc:
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"namespace": namespace, "name": name}}


Strike = Callable[..., Struck]


@pytest.fixture
def strike(cluster: Found, tmp_path: Path) -> Iterator[Strike]:
    """Start a run, and give it when its first case is under way."""
    cases = write_suite(tmp_path, "")
    runs: list[UnderWay] = []

    def begin(*, more: int = 0, env: dict[str, str] | None = None) -> Struck:
        cases.write_text(CASES.format(folder=tmp_path, more=more), encoding="utf-8")
        words = ("run", "--wait", "-n", "0", "--deadline", "8", str(tmp_path / "suites"))
        runs.append(start(tmp_path / "log", *words, env=env))
        return Struck(cluster, tmp_path, runs[-1])

    yield begin
    for run in runs:
        if run.process.poll() is None:
            run.kill()


def inconclusive(cases: Cases, *reasons: str) -> None:
    """The first case is inconclusive for one of these reasons."""
    mine = cases["MINE-01"]
    assert mine["verdict"] == "inconclusive"
    assert mine["reason"].startswith(reasons), mine["reason"]


def test_the_client_pod_is_deleted(strike: Strike) -> None:
    struck = strike(more=30)
    struck.cluster.kube.delete(struck.client)
    inconclusive(struck.came_to(), "client pod gone: ")


@pytest.mark.parametrize("name", ["alpha", "dns"])
def test_a_pod_of_the_world_is_deleted(strike: Strike, name: str) -> None:
    struck = strike(more=30)
    struck.cluster.kube.delete(pod(OWN_NAMESPACE, name))
    # alpha is the one that is asked for the receipts of all.
    inconclusive(struck.came_to(), f"world pod restarted: {name}", f"world pod gone: {OWN_NAMESPACE}/{name}")


def test_istiod_is_restarted(strike: Strike) -> None:
    struck = strike()
    for each in struck.cluster.kube.find("v1", "Pod", ISTIO_NAMESPACE, "app=istiod"):
        struck.cluster.kube.delete(each)
    cases = struck.came_to()
    # The proxy has yet to be told that the entry is gone: that takes as long as istiod does, or longer than a check.
    if cases["MINE-01"]["verdict"] != "passed":
        inconclusive(cases, "istiod restarted: ")


def test_the_clients_disk_is_full(strike: Strike) -> None:
    struck = strike(more=120)
    client = struck.client["metadata"]
    fill = ["dd", "if=/dev/zero", "of=/scratch/full", "bs=1M", "count=80"]
    struck.cluster.kube.run(client["namespace"], "client", "client", fill)
    # The kubelet measures volumes every 10 s (volumeStatsAggPeriod, images/cluster/kind.yaml).
    inconclusive(struck.came_to(), "client pod gone: Usage of EmptyDir volume")


def test_the_node_stands_still(strike: Strike) -> None:
    struck = strike(more=30)
    node = struck.cluster.control_plane()
    # A run that starts meanwhile must not take the cluster for dead and make it anew.
    with held(struck.cluster.home / "lock", lambda: None):
        node.engine.docker("pause", node.container)
        try:
            threading.Event().wait(PAUSE_SECONDS)
        finally:
            node.engine.docker("unpause", node.container)
    inconclusive(struck.came_to(), "exec silent: ", "client pod stood still: ", "API server away: ", "exec broke off: ")


@pytest.fixture
def forwarder(cluster: Found) -> Iterator[Forwarder]:
    """In front of the API server."""
    config = yaml.safe_load(Path(cluster.info.kubeconfig).read_text(encoding="utf-8"))
    host, _, port = config["clusters"][0]["cluster"]["server"].removeprefix("https://").partition(":")
    with Forwarder(host, int(port)) as forwarder:
        yield forwarder


def test_the_api_server_is_away_for_a_while(
    cluster: Found, strike: Strike, forwarder: Forwarder, tmp_path: Path
) -> None:
    struck = strike(more=30, env=behind(forwarder, cluster, tmp_path / "cache"))
    assert forwarder.connections
    forwarder.cut()
    time.sleep(3)
    forwarder.restore()
    inconclusive(struck.came_to(), "exec broke off: ", "API server away: ")


def behind(forwarder: Forwarder, cluster: Found, cache: Path) -> dict[str, str]:
    """The environment of a run that reaches the cluster through the forwarder and shares all else with this one."""
    kubeconfig = Path(cluster.info.kubeconfig)
    home, real = kubeconfig.parent, kubeconfig.parents[2]
    ours = cache / "clusters" / home.name
    ours.mkdir(parents=True)
    for path in [*real.iterdir(), *home.iterdir()]:
        # A lock is never opened through a link.
        if path.name not in {"clusters", "kubeconfig", "lock"}:
            (ours if path.parent == home else cache).joinpath(path.name).symlink_to(path)
    config = yaml.safe_load(kubeconfig.read_text(encoding="utf-8"))
    config["clusters"][0]["cluster"]["server"] = f"https://127.0.0.1:{forwarder.port}"
    (ours / "kubeconfig").write_text(yaml.safe_dump(config), encoding="utf-8")
    return {"EGRESS_CONFORMANCE_CACHE": str(cache), **cluster.control_plane().engine.env}
