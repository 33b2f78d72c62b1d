"""What the mesh refuses and how it is configured, as a case sees it: the subject put in place and taken back."""

from collections.abc import Callable
from pathlib import Path

import pytest

from egress_conformance.case import Case, Mode
from egress_conformance.cluster.kube import Doc, Refused
from egress_conformance.errors import UserError
from egress_conformance.mesh.config import MeshConfig
from egress_conformance.mesh.mesh import Mesh
from egress_conformance.mesh.proxy import Proxy
from egress_conformance.traffic.recorder import CheckFailed, Recorder
from tests.unit.fakes import FakeKube

ENTRY = """apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: NAME}
spec: {hosts: ["${host}"]}
"""
OPERATOR = """apiVersion: install.istio.io/v1alpha1
kind: IstioOperator
metadata: {name: proxy-protocol}
spec:
  meshConfig:
    outboundTrafficPolicy: {mode: ${mode}}
    defaultConfig: {holdApplicationUntilProxyStarts: true}
"""
MESH = "defaultConfig: {concurrency: 2}  # kept by hand\noutboundTrafficPolicy: {mode: REGISTRY_ONLY}\n"
CONFIG_MAP: Doc = {
    "apiVersion": "v1",
    "kind": "ConfigMap",
    "metadata": {"name": "istio", "namespace": "istio-system"},
    "data": {"mesh": MESH},
}
GOOD, BAD = "ServiceEntry ns/good", "ServiceEntry ns/bad"
REFUSED = Refused(400, "admission webhook denied the request: no address")


@pytest.fixture
def kube() -> FakeKube:
    return FakeKube(refuses={f"apply {BAD}": REFUSED}).add(CONFIG_MAP)


Make = Callable[..., Mesh]


@pytest.fixture
def make(kube: FakeKube, tmp_path: Path) -> Make:
    for name in ("good", "bad"):
        (tmp_path / f"{name}.yaml").write_text(ENTRY.replace("NAME", name))
    (tmp_path / "operator.yaml").write_text(OPERATOR)

    def no_proxy(path: str) -> str:
        raise AssertionError(f"nobody said that {path} would be asked")

    def make(*, flips: bool = False, withheld: bool = False) -> Mesh:
        case = Case("TST-01", "x", Mode.REGISTRY_ONLY, flips, (), "t", "It MUST be so.")
        recorder = Recorder(withheld=withheld, evidence={"the proxy's view": "not asked for"})
        return Mesh(kube, MeshConfig(kube), "ns", "r1", tmp_path, case, Proxy(no_proxy), recorder)

    return make


def facts(mesh: Mesh) -> list[tuple[str, str, bool]]:
    return [(check.role, check.expected, check.held) for check in mesh.recorder.final_checks()]


def refuses(mesh: Mesh, saying: str = "no address") -> str:
    return mesh.refuses("bad.yaml", twin="good.yaml", saying=saying, host="a.test")


def test_it_is_refused_and_its_twin_is_admitted_before_and_after(make: Make, kube: FakeKube) -> None:
    mesh = make()
    assert refuses(mesh) == "admission webhook denied the request: no address"
    assert facts(mesh) == [
        ("control before", "good.yaml is admitted", True),
        ("subject", "bad.yaml is refused, saying 'no address', and not stored", True),
        ("control after", "good.yaml is admitted", True),
    ]
    assert kube.did == [f"{what} {which}" for which in (GOOD, BAD, GOOD) for what in ("apply", "delete")]
    assert [text.splitlines()[0] for text in mesh.recorder.applied] == ["# good.yaml", "# bad.yaml", "# good.yaml"]


def test_what_is_admitted_is_not_refused(make: Make, kube: FakeKube) -> None:
    kube.refuses.clear()
    mesh = make()
    with pytest.raises(CheckFailed, match=r"subject: bad.yaml is refused, .*; but: admitted"):
        refuses(mesh)
    assert mesh.recorder.failed_in_subject
    assert facts(mesh)[-1][2] is False
    assert [key for key in kube.objects if key[0] == "ServiceEntry"] == []


def test_a_refusal_with_other_words_is_another_refusal(make: Make) -> None:
    mesh = make()
    expected = r"subject: bad.yaml is refused, saying 'port \[0-9\]\+', and not stored; but: refused: admission webhook"
    with pytest.raises(CheckFailed, match=expected):
        refuses(mesh, saying="port [0-9]+")


def test_a_word_that_only_the_suite_says_is_no_refusal(make: Make, kube: FakeKube) -> None:
    kube.refuses.clear()
    with pytest.raises(CheckFailed, match="but: admitted"):
        refuses(make(), saying="admitted")


def test_what_is_stored_in_spite_of_its_refusal_is_found_and_removed(make: Make, kube: FakeKube) -> None:
    kube.add({"apiVersion": "v1", "kind": "ServiceEntry", "metadata": {"namespace": "ns", "name": "bad"}})
    with pytest.raises(CheckFailed, match="but: stored in spite of being refused: admission webhook"):
        refuses(make())
    assert [key for key in kube.objects if key[0] == "ServiceEntry"] == []


def test_of_several_documents_those_before_the_refused_one_are_taken_back(
    make: Make, kube: FakeKube, tmp_path: Path
) -> None:
    (tmp_path / "bad.yaml").write_text("---\n".join(ENTRY.replace("NAME", name) for name in ("first", "bad", "never")))
    mesh = make()
    refuses(mesh)
    assert "apply ServiceEntry ns/first" in kube.did
    assert "apply ServiceEntry ns/never" not in kube.did
    assert [key for key in kube.objects if key[0] == "ServiceEntry"] == []


def test_where_the_twin_is_refused_the_refusal_proves_nothing(make: Make, kube: FakeKube) -> None:
    kube.refuses[f"apply {GOOD}"] = Refused(500, "the webhook refuses everything")
    mesh = make()
    expected = "control before: good.yaml is admitted; but: refused: the webhook refuses everything"
    with pytest.raises(CheckFailed, match=expected):
        refuses(mesh)
    assert not mesh.recorder.failed_in_subject
    assert f"apply {BAD}" not in kube.did


def test_withheld_the_fault_is_left_out_so_that_it_cannot_be_refused(make: Make, kube: FakeKube) -> None:
    mesh = make(withheld=True)
    with pytest.raises(CheckFailed, match=r"subject: good.yaml is refused, .*; but: admitted"):
        refuses(mesh)
    assert mesh.recorder.failed_in_subject
    assert f"apply {BAD}" not in kube.did


def test_a_manifest_that_lacks_a_value_is_the_users_to_mend_and_no_refusal(make: Make) -> None:
    with pytest.raises(UserError, match=r"\$\{host\}"):
        make().refuses("bad.yaml", twin="good.yaml", saying="no address")


def mesh_of(kube: FakeKube) -> str:
    return str(kube.objects["ConfigMap", "istio-system", "istio"]["data"]["mesh"])


def test_settings_are_laid_over_the_mesh_config_and_taken_back(make: Make, kube: FakeKube) -> None:
    mesh = make(flips=True)
    with mesh.configured("operator.yaml", mode="ALLOW_ANY"):
        assert mesh.config.parsed() == {
            "defaultConfig": {"concurrency": 2, "holdApplicationUntilProxyStarts": True},
            "outboundTrafficPolicy": {"mode": "ALLOW_ANY"},
        }
        with mesh.recorder.check("x", "y") as draft:  # type: ignore[arg-type]
            assert draft.role == "subject"
    assert mesh_of(kube) == MESH
    (applied,) = mesh.recorder.applied
    assert applied.startswith("# operator.yaml, in ConfigMap istio-system/istio\napiVersion: install.istio.io/v1alpha1")
    # Kept by then, for the next run to find after a crash.
    assert kube.did[0] == "apply ConfigMap egress-conformance/saved-mesh-config"


@pytest.mark.parametrize("error", [RuntimeError, AssertionError, KeyboardInterrupt])
def test_they_are_taken_back_however_the_case_ends(make: Make, kube: FakeKube, error: type[BaseException]) -> None:
    with pytest.raises(error), make(flips=True).configured("operator.yaml", mode="ALLOW_ANY"):
        raise error
    assert mesh_of(kube) == MESH


def test_within_one_another_each_takes_back_its_own(make: Make, kube: FakeKube) -> None:
    mesh = make(flips=True)
    with mesh.outbound_traffic_policy(Mode.ALLOW_ANY):
        before = mesh_of(kube)
        with mesh.configured("operator.yaml", mode="REGISTRY_ONLY"):
            assert mesh.config.mode() == Mode.REGISTRY_ONLY
        assert mesh_of(kube) == before
    assert mesh.config.mode() == Mode.REGISTRY_ONLY


def test_only_a_case_that_says_so_may_change_the_mesh_config(make: Make, kube: FakeKube) -> None:
    refused = pytest.raises(ValueError, match=r"TST-01 changes the mesh config: declare it with @case\(..., flips=True")
    with refused, make().configured("operator.yaml", mode="ALLOW_ANY"):
        raise AssertionError
    assert kube.did == []


def test_withheld_the_mesh_config_stays_as_it_is(make: Make, kube: FakeKube) -> None:
    mesh = make(flips=True, withheld=True)
    with mesh.configured("operator.yaml", mode="ALLOW_ANY"), mesh.recorder.check("x", "y") as draft:  # type: ignore[arg-type]
        assert draft.role == "subject"
    assert kube.did == []


def test_settings_that_lack_a_value_change_nothing(make: Make, kube: FakeKube) -> None:
    with pytest.raises(UserError, match=r"\$\{mode\}"), make(flips=True).configured("operator.yaml"):
        raise AssertionError
    assert kube.did == []
