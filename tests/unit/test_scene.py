"""What rows of a table share: applied by the first, kept for the next, gone before a case that does not share it."""

from pathlib import Path

import pytest

from egress_conformance.case import Case, Mode
from egress_conformance.mesh.config import MeshConfig
from egress_conformance.mesh.mesh import Mesh
from egress_conformance.mesh.proxy import Proxy
from egress_conformance.mesh.scene import Scene
from egress_conformance.mesh.turns import Turns
from egress_conformance.traffic.recorder import Recorder
from egress_conformance.worker import Worker
from tests.unit.fakes import FakeKube

ENTRY = """apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata:
  name: entry
spec:
  hosts: ["${host}"]
  ports: [{number: 80, name: http, protocol: HTTP}]
"""
APPLIED, GONE = "apply ServiceEntry ns/entry", "delete ServiceEntry ns/entry"


class Knowing(Proxy):
    """A proxy that knows any host named a.test."""

    def __init__(self) -> None:
        pass

    def destinations(self) -> set[str]:
        return {"outbound|80||a.test"}


class Leaving(Worker):
    """A worker of which only the scene is real."""

    def __init__(self, folder: Path) -> None:
        self.kube: FakeKube = FakeKube()
        self.scene = self._scene = Scene()
        self._turns = Turns(folder, "gw0")


def row(kube: FakeKube, folder: Path, scene: Scene, *, withheld: bool = False, mode: bool = False) -> Mesh:
    (folder / "entry.yaml").write_text(ENTRY)
    case = Case("TST-01", "x", Mode.ALLOW_ANY, False, (), "t", "It MUST.", subject_is_mode=mode, row="r", scene="s")
    recorder = Recorder(withheld=withheld)
    return Mesh(kube, MeshConfig(kube), "ns", "run", folder, case, Knowing(), recorder, scene)


def test_the_first_row_applies_it_and_the_next_finds_it(tmp_path: Path) -> None:
    kube, scene = FakeKube(), Scene()
    first, second = row(kube, tmp_path, scene), row(kube, tmp_path, scene)
    with first.shared("entry.yaml", host="a.test") as values:
        assert values == {"host": "a.test"}
    with second.shared("entry.yaml", host="b.test") as values:
        assert values == {"host": "a.test"}
    assert kube.did == [APPLIED]
    assert first.recorder.applied == second.recorder.applied
    assert "a.test" in first.recorder.applied[0]


def test_it_is_gone_before_a_case_that_does_not_share_it(tmp_path: Path) -> None:
    worker = Leaving(tmp_path)
    with row(worker.kube, tmp_path, worker.scene).shared("entry.yaml", host="a.test"):
        pass
    for scene in ("s", "", ""):
        worker.leave_scene(unless=scene)
    assert worker.kube.did == [APPLIED, GONE]


def test_withheld_it_is_not_applied_unless_the_row_is_about_its_mode(tmp_path: Path) -> None:
    kube = FakeKube()
    with row(kube, tmp_path, Scene(), withheld=True).shared("entry.yaml", host="a.test") as values:
        assert values == {"host": "a.test"}
    assert kube.did == []
    with row(kube, tmp_path, Scene(), withheld=True, mode=True).shared("entry.yaml", host="a.test"):
        pass
    assert kube.did == [APPLIED]


def test_a_row_that_fails_with_it_in_place_fails_in_its_subject(tmp_path: Path) -> None:
    mesh = row(FakeKube(), tmp_path, Scene())
    with pytest.raises(AssertionError), mesh.shared("entry.yaml", host="a.test"):
        raise AssertionError
    assert mesh.recorder.failed_in_subject
