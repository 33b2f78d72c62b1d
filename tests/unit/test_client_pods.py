"""The client pods of a worker: made when asked for, kept while they are sound, made anew when they are not."""

# ruff: noqa: ARG002  (a stand-in takes what the real one takes)

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from egress_conformance.cluster.kube import Doc, Refused
from egress_conformance.errors import PlatformTrouble, Timeout, UserError
from egress_conformance.traffic.client import Client
from egress_conformance.traffic.pods import ClientPods, Pod, client_doc
from egress_conformance.traffic.recorder import Recorder
from egress_conformance.world.image_pull import NOTHING
from tests.unit.fakes import Clock, FakeKube, FakeWorld

VALUES = {
    **NOTHING,
    "run": "r1",
    "revision": "default",
    "pod_security": "restricted",
    "ca_certificate": "Y2E=",
    "client_image": "client:1",
    "dns": "10.96.0.53",
}
PATCH = """apiVersion: v1
kind: Pod
metadata:
  name: bare
  labels: {app: bare}
spec:
  terminationGracePeriodSeconds: 0
"""


class Kubelet(FakeKube):
    """A cluster that runs the pods it is given, and injects a sidecar into each."""

    def __init__(self) -> None:
        super().__init__()
        self.started = 0
        self.sidecar = "containers"
        self.ready = True
        self.looks: list[Callable[[], object]] = []

    def apply(self, doc: Doc, *, dry_run: bool = False) -> Doc:
        super().apply(doc)
        if doc["kind"] == "Pod":
            self.started += 1
            there = self.objects["Pod", doc["metadata"]["namespace"], doc["metadata"]["name"]]
            there["metadata"]["uid"] = f"uid-{self.started}"
            there["status"] = {
                "phase": "Running",
                "podIP": f"10.0.1.{self.started}",
                "conditions": [{"type": "Ready", "status": str(self.ready)}],
            }
            if self.sidecar:
                there["spec"].setdefault(self.sidecar, []).append({"name": "istio-proxy"})
        return doc

    def get(self, api_version: str, kind: str, name: str, namespace: str | None = None) -> Doc | None:
        if self.looks:
            self.looks.pop(0)()
        return super().get(api_version, kind, name, namespace)

    def pod(self, name: str = "client") -> Doc:
        return self.objects["Pod", "ns", name]


@pytest.fixture
def kube() -> Kubelet:
    return Kubelet()


@pytest.fixture
def pods(kube: Kubelet) -> ClientPods:
    return ClientPods(kube, VALUES)


@pytest.fixture
def patch(tmp_path: Path) -> Path:
    path = tmp_path / "bare.yaml"
    path.write_text(PATCH, encoding="utf-8")
    return path


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock().install(monkeypatch)


NAMESPACE = [
    "apply Namespace ns",
    "apply ConfigMap ns/world-ca",
    "apply ServiceAccount ns/client",
    "apply Telemetry ns/access-log",
    "apply ServiceEntry ns/port-80-is-http",
]


def test_the_first_client_comes_with_its_namespace(pods: ClientPods, kube: Kubelet) -> None:
    assert pods.ready("ns") == Pod("ns", "client", "uid-1", "10.0.1.1")
    assert kube.did == [*NAMESPACE, "apply Pod ns/client"]
    assert kube.objects["Namespace", "", "ns"]["metadata"]["labels"]["egress-conformance/run"] == "r1"


def test_one_that_is_sound_is_kept(pods: ClientPods, kube: Kubelet) -> None:
    first = pods.ready("ns")
    done = list(kube.did)
    assert pods.ready("ns") == first
    assert kube.did == done


def test_each_namespace_and_each_patch_has_its_own(pods: ClientPods, kube: Kubelet, patch: Path) -> None:
    found = [pods.ready("ns"), pods.ready("other"), pods.ready("ns", patch)]
    assert [(each.namespace, each.name) for each in found] == [("ns", "client"), ("other", "client"), ("ns", "bare")]
    assert kube.did.count("apply Namespace ns") == 1
    assert [pods.ready("ns"), pods.ready("other"), pods.ready("ns", patch)] == found
    assert kube.started == 3


def gone(kube: Kubelet) -> None:
    del kube.objects["Pod", "ns", "client"]


def another(kube: Kubelet) -> None:
    kube.pod()["metadata"]["uid"] = "uid-of-another"


def evicted(kube: Kubelet) -> None:
    kube.pod()["status"] = {"phase": "Failed", "reason": "Evicted", "message": "Usage of EmptyDir exceeds the limit"}


def pending(kube: Kubelet) -> None:
    kube.pod()["status"]["phase"] = "Pending"


def being_deleted(kube: Kubelet) -> None:
    # It is ready for a moment yet.
    kube.pod()["metadata"]["deletionTimestamp"] = "2026-11-25T04:00:00Z"


def not_ready(kube: Kubelet) -> None:
    kube.pod()["status"]["conditions"] = [{"type": "Ready", "status": "False"}]


BROKEN = {
    "it is gone": (gone, "client pod gone: it is not the pod the case started with"),
    "another is in its place": (another, "client pod gone: it is not the pod the case started with"),
    "it was evicted": (evicted, "client pod gone: Usage of EmptyDir exceeds the limit"),
    "it does not run": (pending, "client pod gone: it is not the pod the case started with"),
    "it is being deleted": (being_deleted, "client pod gone: it is being deleted"),
    "it is not ready": (not_ready, "client pod not ready"),
}


@pytest.mark.parametrize(("breaks", "problem"), BROKEN.values(), ids=BROKEN)
def test_one_that_broke_is_told_why_and_made_anew(
    pods: ClientPods, kube: Kubelet, breaks: Callable[[Kubelet], None], problem: str
) -> None:
    first = pods.ready("ns")
    assert pods.problem(first) == pods.problems() == ""
    breaks(kube)
    assert pods.problem(first) == pods.problems() == problem
    done = len(kube.did)
    second = pods.ready("ns")
    assert (second.uid, second.address) == ("uid-2", "10.0.1.2")
    # The namespace is there already.
    assert kube.did[done:] == ["delete Pod ns/client", "apply Pod ns/client"]
    assert pods.problems() == ""


def test_a_client_that_an_earlier_case_had_is_no_trouble_of_this_one(
    pods: ClientPods, kube: Kubelet, patch: Path
) -> None:
    pods.ready("ns")
    pods.ready("ns", patch)
    del kube.objects["Pod", "ns", "bare"]
    assert pods.problems() == "client pod gone: it is not the pod the case started with"
    pods.next_case()
    pods.ready("ns")
    assert pods.problems() == ""
    # Asked for again it is made anew.
    assert pods.ready("ns", patch).uid == "uid-3"
    assert pods.problems() == ""


def test_a_new_one_is_made_only_when_the_broken_one_is_gone(pods: ClientPods, kube: Kubelet, clock: Clock) -> None:
    pods.ready("ns")
    evicted(kube)
    kube.keeps.add("Pod ns/client")
    # It is looked at once to see what is wrong, and then until it has gone.
    kube.looks = [lambda: None, lambda: None, lambda: None, lambda: gone(kube)]
    assert pods.ready("ns").uid == "uid-2"
    assert clock.now > 1000


def test_one_that_does_not_go_is_the_platforms_trouble(pods: ClientPods, kube: Kubelet, clock: Clock) -> None:
    pods.ready("ns")
    evicted(kube)
    kube.keeps.add("Pod ns/client")
    with pytest.raises(Timeout, match=r"90 s for client pod client to go.*kubectl -n ns describe pod client"):
        pods.ready("ns")
    assert kube.started == 1


def test_one_that_does_not_become_ready_is_the_platforms_trouble(pods: ClientPods, kube: Kubelet, clock: Clock) -> None:
    kube.ready = False
    with pytest.raises(Timeout, match="90 s for client pod client; last seen: client Running; try: kubectl -n ns"):
        pods.ready("ns")
    # It was never a client: the next one is not kept from its work by it.
    assert pods.problems() == ""


def test_a_client_without_a_sidecar_is_none(pods: ClientPods, kube: Kubelet) -> None:
    kube.sidecar = ""
    with pytest.raises(PlatformTrouble, match="no sidecar: Istio injected none into ns: is revision 'default' there"):
        pods.ready("ns")


def test_a_sidecar_may_be_an_init_container_that_stays(pods: ClientPods, kube: Kubelet) -> None:
    kube.sidecar = "initContainers"
    assert pods.ready("ns").name == "client"


def test_a_patch_is_laid_over_the_clients_manifest(patch: Path) -> None:
    plain = client_doc({**VALUES, "namespace": "ns"}, None)
    doc = client_doc({**VALUES, "namespace": "ns"}, patch)
    assert doc["metadata"] == {
        **plain["metadata"],
        "name": "bare",
        "labels": {**plain["metadata"]["labels"], "app": "bare"},
    }
    assert doc["spec"] == {**plain["spec"], "terminationGracePeriodSeconds": 0}


def test_a_patch_may_lack_a_value(patch: Path) -> None:
    patch.write_text(PATCH + "  nodeName: ${node}\n", encoding="utf-8")
    with pytest.raises(UserError, match=r"\$\{node\}"):
        client_doc({**VALUES, "namespace": "ns"}, patch)


def test_a_client_that_was_deleted_is_made_anew_when_asked_for() -> None:
    kube = Kubelet()
    pods = ClientPods(kube, VALUES)
    before = pods.ready("ns")
    Client(kube, before.namespace, before.address, FakeWorld(), Recorder(), before.name).delete()
    after = pods.ready("ns")
    assert (after.name, after.namespace) == (before.name, before.namespace)
    assert after.uid != before.uid


def test_one_that_is_not_admitted_is_no_failure_of_istio(pods: ClientPods, kube: Kubelet) -> None:
    words = 'pods "client" is forbidden: violates PodSecurity "restricted:latest"'
    kube.refuses["apply Pod ns/client"] = Refused(403, words)
    with pytest.raises(PlatformTrouble, match=re.escape(f"client not admitted: Pod ns/client: {words}")):
        pods.ready("ns")


def test_what_a_client_waits_for_is_said(pods: ClientPods, kube: Kubelet, clock: Clock) -> None:
    waiting = {"reason": "ImagePullBackOff", "message": "Back-off pulling image client:1"}

    def never_pulled() -> None:
        status = kube.pod()["status"]
        status["phase"] = "Pending"
        status["containerStatuses"] = [{"name": "client", "state": {"waiting": waiting}}]

    kube.ready = False
    kube.looks = [never_pulled]
    with pytest.raises(Timeout, match="last seen: client Pending client: ImagePullBackOff Back-off pulling image"):
        pods.ready("ns")
