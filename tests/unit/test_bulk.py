"""What sets the scene: namespaces, a clock that moves on, hundreds of resources at once."""

from pathlib import Path

import pytest
from filelock import FileLock, Timeout

from egress_conformance.cluster.kube import Doc, Refused
from egress_conformance.mesh.bulk import all_applied, make_namespace, wait_for_next_second
from egress_conformance.mesh.turns import Turns
from tests.unit.fakes import FakeKube


def entry(name: str) -> Doc:
    metadata = {"name": name, "namespace": "ns"}
    return {"apiVersion": "networking.istio.io/v1", "kind": "ServiceEntry", "metadata": metadata}


def test_a_further_namespace_is_the_runs() -> None:
    kube = FakeKube()
    make_namespace(kube, "ns-a", "r1")
    labels = kube.objects["Namespace", "", "ns-a"]["metadata"]["labels"]
    assert labels == {"app.kubernetes.io/managed-by": "istio-egress-conformance", "egress-conformance/run": "r1"}


class Ticking(FakeKube):
    """A cluster whose clock moves on with every third look."""

    looks = 0

    def apply(self, doc: Doc, *, dry_run: bool = False) -> Doc:
        assert dry_run
        self.looks += 1
        return {**doc, "metadata": {**doc["metadata"], "creationTimestamp": f"10:00:0{self.looks // 3}"}}


def test_the_next_second_is_waited_for() -> None:
    kube = Ticking()
    wait_for_next_second(kube, "ns")
    assert kube.looks == 3


def test_many_are_there_and_gone_again() -> None:
    kube = FakeKube()
    docs = [entry(f"e{number}") for number in range(30)]
    with all_applied(kube, docs, Turns()):
        assert len(kube.objects) == 30
    assert kube.objects == {}


def test_nobody_else_changes_the_mesh_while_they_are_there(tmp_path: Path) -> None:
    with all_applied(FakeKube(), [entry("e1")], Turns(tmp_path, "gw0")), pytest.raises(Timeout):
        FileLock(tmp_path / "change.lock").acquire(blocking=False)
    with Turns(tmp_path, "gw1").change():
        pass


def test_where_one_is_refused_the_others_are_taken_back() -> None:
    kube = FakeKube()
    kube.refuses["apply ServiceEntry ns/e3"] = Refused(400, "no")
    entries = [entry(f"e{number}") for number in range(5)]
    with pytest.raises(Refused, match="no"), all_applied(kube, entries, Turns()):
        raise AssertionError
    assert kube.objects == {}
