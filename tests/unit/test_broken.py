"""The broken meshes: what their files say, and what a matrix makes of verdicts."""

import pytest

from egress_conformance.catalogue import collect
from egress_conformance.cli import ROOT
from egress_conformance.cluster.kube import Doc
from egress_conformance.cluster.lease import OWN_NAMESPACE
from egress_conformance.errors import UserError
from egress_conformance.mesh.mesh import OWNER_LABEL
from egress_conformance.platform import INSTALLED
from egress_conformance.report.ledger import Verdict
from tests.broken.matrix import Row, document, told
from tests.broken.meshes import BrokenMesh, broken, meshes
from tests.unit.fakes import FakeKube

PASSED, FAILED, SKIPPED, INCONCLUSIVE = Verdict.PASSED, Verdict.FAILED, Verdict.SKIPPED, Verdict.INCONCLUSIVE
MESH = BrokenMesh("leaks", "it leaks", ("A-01",), ("B-*",), ())


def row(**verdicts: Verdict) -> Row:
    return Row(MESH, {name.replace("_", "-"): verdict for name, verdict in verdicts.items()})


@pytest.fixture(scope="module")
def ids() -> set[str]:
    return {entry.case.id for entry in collect(ROOT, ROOT / "suites")}


def test_there_are_enough_of_them_and_each_names_cases_that_exist(ids: set[str]) -> None:
    found = meshes()
    assert len(found) >= 25
    assert {case for mesh in found for case in mesh.caught_by} <= ids
    assert all(mesh.title and mesh.caught_by for mesh in found)


def test_an_unknown_one_is_named() -> None:
    with pytest.raises(UserError, match=r"no broken mesh nonsense: there are .*502-becomes-503"):
        meshes(names=["nonsense"])


@pytest.mark.parametrize(
    ("verdicts", "line"),
    [
        ({"A_01": FAILED, "B_01": FAILED, "C_01": PASSED}, "caught       leaks: by A-01 B-01"),
        ({"A_01": PASSED, "B_01": FAILED}, "MISSED       leaks: A-01 did not fail"),
        ({"A_01": INCONCLUSIVE}, "MISSED       leaks: A-01 did not fail"),
        ({"B_01": FAILED}, "MISSED       leaks: A-01 did not fail"),
        ({"A_01": FAILED, "C_01": FAILED}, "FALSE ALARM  leaks: C-01 did not pass"),
        ({"A_01": FAILED, "C_01": INCONCLUSIVE}, "FALSE ALARM  leaks: C-01 did not pass"),
        ({"A_01": FAILED, "C_01": SKIPPED}, "caught       leaks: by A-01"),
    ],
)
def test_what_is_said_of_one(verdicts: dict[str, Verdict], line: str) -> None:
    assert told(row(**verdicts)) == line


def test_the_matrix() -> None:
    found = [row(A_01=FAILED, B_01=FAILED, C_01=PASSED, D_01=SKIPPED)]
    text = document(found, "Istio 1.31", 1)
    assert "| broken | A-01 | B-01 |" in text
    assert "| [it leaks](../tests/broken/leaks.yaml) | ● | ○ |" in text
    assert "failed in none of them: C-01, D-01." in text
    assert "on Istio 1.31.\n" in text
    assert "on Istio 1.31; 1 of 32 were measured so far." in document(found, "Istio 1.31", 32)
    assert "No mesh is missed" in text


def test_the_matrix_says_what_is_wrong_with_it() -> None:
    found = [row(A_01=PASSED, B_01=FAILED), row(A_01=FAILED, C_01=INCONCLUSIVE)]
    text = document(found, "Istio 1.31", 2)
    assert "- **missed**: it leaks; A-01 did not fail.\n- **false alarm**: it leaks; C-01 did not pass.\n" in text
    assert "No mesh is missed" not in text


def doc(kind: str, name: str, **metadata: object) -> Doc:
    return {"apiVersion": "v1", "kind": kind, "metadata": {"name": name, **metadata}}


def test_the_mesh_is_whole_again_afterwards() -> None:
    kube = FakeKube().add(doc("Webhook", "w"), doc("ConfigMap", INSTALLED, namespace=OWN_NAMESPACE))
    gone = doc("Webhook", "w", annotations={"egress-conformance/absent": "true"})
    mesh = BrokenMesh("x", "x", ("A-01",), (), (doc("EnvoyFilter", "e"), gone))
    with broken(kube, mesh, "r1"):
        assert {kind for kind, _, _ in kube.objects} == {"EnvoyFilter"}
        assert kube.objects["EnvoyFilter", "", "e"]["metadata"]["labels"] == {OWNER_LABEL: "r1"}
    assert {kind for kind, _, _ in kube.objects} == {"Webhook", "ConfigMap"}
