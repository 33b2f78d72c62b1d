"""istiod stopped and started: it is back whatever happens, and its proxies with it."""

from collections.abc import Callable

import pytest

from egress_conformance.cluster.kube import Doc
from egress_conformance.errors import PlatformTrouble
from egress_conformance.mesh import control_plane
from egress_conformance.mesh.control_plane import ControlPlane
from egress_conformance.mesh.istiod import value
from tests.unit.fakes import FakeKube

METRICS = """# TYPE pilot_xds gauge
pilot_xds{version="1.31"} 3
pilot_xds{version="1.29"} 1
pilot_xds_pushes{type="cds"} 7
pilot_services 12
"""


class Istiod(FakeKube):
    """A cluster whose istiod comes and goes as its Deployment says."""

    def patch(self, doc: Doc, operations: list[Doc]) -> None:
        super().patch(doc, operations)
        self.settle()

    def settle(self) -> "Istiod":
        deployment = self.objects["Deployment", "istio-system", "istiod"]
        replicas = deployment["spec"]["replicas"]
        deployment["status"] = {"readyReplicas": replicas} if replicas else {}
        pod = {"name": "istiod-x", "namespace": "istio-system", "labels": {"app": "istiod", "istio.io/rev": "default"}}
        self.objects.pop(("Pod", "istio-system", "istiod-x"), None)
        if replicas:
            self.add({"apiVersion": "v1", "kind": "Pod", "metadata": pod})
        return self

    def apply(self, doc: Doc, *, dry_run: bool = False) -> Doc:
        assert dry_run
        if not self.find("v1", "Pod", "istio-system"):
            raise PlatformTrouble("API server away", "failed calling webhook")
        self.did.append("asked the webhook")
        return doc

    def raw(self, method: str, path: str, **_: object) -> bytes:
        assert (method, path.rpartition(":")[2]) == ("GET", "15014/proxy/metrics")
        return METRICS.encode()


@pytest.fixture
def kube() -> Istiod:
    metadata = {"name": "istiod", "namespace": "istio-system"}
    kube = Istiod()
    kube.add({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata, "spec": {"replicas": 2}})
    return kube.settle()


def replicas(kube: FakeKube) -> int:
    return int(kube.objects["Deployment", "istio-system", "istiod"]["spec"]["replicas"])


def test_istiod_is_away_and_then_back_as_it_was(kube: Istiod) -> None:
    with ControlPlane(kube).away():
        assert replicas(kube) == 0
        assert kube.find("v1", "Pod", "istio-system") == []
    assert replicas(kube) == 2
    assert kube.did[-1] == "asked the webhook"


@pytest.mark.parametrize("error", [AssertionError, RuntimeError, KeyboardInterrupt])
def test_it_comes_back_however_the_case_ends(kube: Istiod, error: type[BaseException]) -> None:
    with pytest.raises(error), ControlPlane(kube).away():
        raise error
    assert replicas(kube) == 2


def test_where_there_is_none_nothing_is_touched() -> None:
    kube = FakeKube()
    with pytest.raises(PlatformTrouble, match="no Deployment istiod-canary"), ControlPlane(kube, "canary").away():
        raise AssertionError
    assert kube.did == []


def test_one_that_does_not_go_is_scaled_back(kube: Istiod, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(control_plane, "SECONDS", 0.1)
    stuck: Callable[[], Istiod] = lambda: kube  # noqa: E731
    monkeypatch.setattr(kube, "settle", stuck)
    kube.keeps.add("Pod istio-system/istiod-x")
    with pytest.raises(PlatformTrouble, match="istiod to go"), ControlPlane(kube).away():
        raise AssertionError
    assert replicas(kube) == 2


def test_a_metric_is_summed_over_its_labels_and_not_taken_for_a_longer_name() -> None:
    assert value(METRICS, "pilot_xds") == 4
    assert value(METRICS, "pilot_services") == 12
    assert value("", "pilot_xds") == 0
