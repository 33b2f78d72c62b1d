"""What is ours, listed: clusters in whatever state they are."""

import json
from pathlib import Path

import pytest
from filelock import FileLock

from egress_conformance import ours
from egress_conformance.cluster.engine import Engine
from egress_conformance.cluster.kind import Container, KindProvider
from egress_conformance.cluster.kube import Doc
from egress_conformance.errors import PlatformTrouble, UserError
from egress_conformance.options import Options
from tests.unit.fakes import FakeKube
from tests.unit.test_party import Existing

NAME = "istio-egress-1-31"
NODE = f"{NAME}-control-plane"


class Machine:
    """A machine with a cluster of ours, or what there is of it."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.home = folder / "clusters" / NAME
        self.home.mkdir(parents=True)
        (self.home / "record.json").write_text(json.dumps({"base": "x", "containers": []}))
        self.nodes = [Container("1", NODE, "running")]
        self.engine: Engine | None = Engine({}, "20.10")
        self.kube = FakeKube()
        self.away = ""
        monkeypatch.setattr(ours, "cache_dir", lambda: folder)
        monkeypatch.setattr(ours, "engine_that_answers", lambda: self.engine)
        monkeypatch.setattr(ours, "nodes_of", lambda _, name: self.nodes if name == NAME else [])
        monkeypatch.setattr(ours, "Kube", self._connect)
        self.lock = FileLock(folder / "clusters" / f"{NAME}.lock")
        self.removed: list[str] = []
        self.taken_by = ""
        monkeypatch.setattr(ours, "upgrade_lock", lambda _: FileLock(self.lock.lock_file))
        monkeypatch.setattr(KindProvider, "down", lambda provider: self.removed.append(provider.cluster_name))
        monkeypatch.setattr(KindProvider, "refuse_taken", self._refuse_taken)

    def _refuse_taken(self, _: KindProvider | None = None) -> None:
        if self.taken_by:
            raise UserError(self.taken_by, "wait for it to end, or stop it")

    def _connect(self, kubeconfig: Path, context: str) -> FakeKube:
        assert (kubeconfig, context) == (self.home / "kubeconfig", f"kind-{NAME}")
        if self.away:
            raise PlatformTrouble("API server away", self.away)
        return self.kube

    def is_up(self) -> None:
        (self.home / "kubeconfig").write_text("{}")

    def listed(self) -> list[str]:
        return list(ours.listed(Options()))


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    return Machine(tmp_path, monkeypatch)


def test_a_cluster_that_is_being_made_has_nothing_in_it_yet(machine: Machine) -> None:
    assert machine.listed() == [
        f"cluster {NAME}: {NODE} running",
        "  it is being made, or the last time it was not finished",
    ]


def test_nor_has_one_whose_nodes_are_not_there_yet(machine: Machine) -> None:
    machine.nodes = []
    assert machine.listed() == [
        f"cluster {NAME}: no node",
        "  it is being made, or the last time it was not finished",
    ]


def test_without_an_engine_nothing_runs(machine: Machine) -> None:
    machine.is_up()
    machine.engine = None
    assert machine.listed() == [f"cluster {NAME}: not running: no container engine answers"]


def test_one_that_stopped_is_not_asked(machine: Machine) -> None:
    machine.is_up()
    machine.nodes = [Container("1", NODE, "exited")]
    assert machine.listed() == [f"cluster {NAME}: {NODE} exited"]


def test_one_whose_api_server_is_away_is_told_so(machine: Machine) -> None:
    machine.is_up()
    machine.away = "connect: refused"
    assert machine.listed()[-1] == "  its API server does not answer: API server away: connect: refused"


def namespace(name: str, **labels: str) -> Doc:
    managed = {"app.kubernetes.io/managed-by": "istio-egress-conformance"}
    metadata = {"name": name, "labels": {**managed, **labels}}
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": metadata, "status": {"phase": "Active"}}


def test_one_that_runs_is_listed_with_what_is_in_it(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    machine.is_up()
    found = [namespace("egress-conformance"), namespace("egress-r1-gw0", **{"egress-conformance/run": "r1"})]
    monkeypatch.setattr(machine.kube, "find", lambda *_, **__: found)
    machine.kube.add(
        {
            "kind": "Lease",
            "metadata": {"namespace": "egress-conformance", "name": "run"},
            "spec": {"holderIdentity": "r1 4711 here", "renewTime": "now"},
        }
    )
    assert machine.listed() == [
        f"cluster {NAME}: {NODE} running",
        f"  KUBECONFIG={machine.home / 'kubeconfig'} kubectl --context kind-{NAME} ...",
        "  namespace egress-conformance (Active): the world",
        "  namespace egress-r1-gw0 (Active): of run r1",
        "  a run holds it, or crashed: r1 4711 here at now",
    ]
    assert machine.kube.did == ["close"]


def test_a_cluster_that_is_being_upgraded_is_not_removed(machine: Machine) -> None:
    with machine.lock, pytest.raises(UserError, match=f"an upgrade is under way on {NAME}: wait for it"):
        list(ours.remove(Options()))
    assert machine.removed == []


def test_nor_is_one_with_a_run_on_it(machine: Machine) -> None:
    machine.taken_by = "another run is using this cluster (run r1, process 1 on h)"
    with pytest.raises(UserError, match="another run is using this cluster"):
        list(ours.remove(Options()))
    assert machine.removed == []


def test_one_that_nobody_uses_is_removed(machine: Machine) -> None:
    machine.lock.acquire()
    machine.lock.release()
    assert list(ours.remove(Options())) == [f"cluster {NAME} removed"]
    assert machine.removed == [NAME]


@pytest.fixture
def somebodys(monkeypatch: pytest.MonkeyPatch) -> FakeKube:
    kube = FakeKube()
    monkeypatch.setattr(ours, "make_provider", lambda _: Existing())
    monkeypatch.setattr(ours, "Kube", lambda *_: kube)
    return kube


def put(kind: str, where: str, name: str, **labels: str) -> Doc:
    metadata = {"namespace": where, "name": name, "labels": labels}
    return {
        "apiVersion": "v1",
        "kind": kind,
        "metadata": metadata,
        "spec": {"holderIdentity": "r1 1 h", "renewTime": "t"},
    }


RUN = {"egress-conformance/run": "r1"}
OURS = {"app.kubernetes.io/managed-by": "istio-egress-conformance"}


def test_from_a_cluster_of_somebody_else_all_that_is_ours_is_removed_and_nothing_else(somebodys: FakeKube) -> None:
    somebodys.add(
        namespace("egress-conformance"),
        namespace("egress-r1-gw0", **RUN),
        put("Secret", "istio-system", "client-credential", **RUN),
        put("Secret", "istio-system", "istio-ca-secret"),
        put("Secret", "egress-r1-gw0", "goes-with-its-namespace", **RUN),
    )
    assert list(ours.remove(Options(provider="existing"))) == [
        "namespace egress-conformance removed",
        "namespace egress-r1-gw0 removed",
        "Secret istio-system/client-credential removed",
    ]
    assert ("Secret", "istio-system", "istio-ca-secret") in somebodys.objects


def test_what_is_in_namespaces_that_were_given_is_listed_and_removed(somebodys: FakeKube) -> None:
    somebodys.add(
        put("Pod", "c1", "client", **OURS),
        put("Pod", "c1", "theirs"),
        put("Lease", "w", "run"),
        put("Pod", "x", "y", **OURS),
    )
    options = Options(provider="existing", namespaces="w,c1")
    assert list(ours.listed(options)) == [
        "namespace w: nothing of ours",
        "namespace c1: 1 objects of ours, the first Pod c1/client",
        "a run holds it, or crashed: r1 1 h at t",
    ]
    assert list(ours.remove(options)) == ["namespace w emptied of what is ours", "namespace c1 emptied of what is ours"]
    assert sorted(somebodys.objects) == [("Lease", "w", "run"), ("Pod", "c1", "theirs"), ("Pod", "x", "y")]


def test_where_there_is_none_that_is_said(machine: Machine) -> None:
    (machine.home / "record.json").unlink()
    assert machine.listed() == ["no cluster of ours"]
