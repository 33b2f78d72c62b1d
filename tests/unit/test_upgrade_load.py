"""The load: its manifests, and what is done to its clients."""

import re

import pytest

from egress_conformance.case import Mode
from egress_conformance.cluster.kube import Doc
from egress_conformance.cluster.recipe import IMAGES
from egress_conformance.errors import PlatformTrouble, Timeout, UserError
from egress_conformance.mesh.manifests import ROOT, fill
from egress_conformance.mesh.mesh import OWNER_LABEL
from egress_conformance.upgrade.evidence import NAMESPACE, Evidence
from egress_conformance.upgrade.load import TIMEOUT_SECONDS, WORLD, Load, Settings
from egress_conformance.upgrade.rollout import rollout
from egress_conformance.upgrade.sent import Request
from egress_conformance.world.world import DOMAIN
from tests.unit.fakes import Clock, FakeKube

VALUES = {
    "namespace": NAMESPACE,
    "revision": "default",
    "ca_certificate": "MQ==",
    "echo_address": "10.0.0.7",
    "load_image": "fortio:1",
    "clients": "3",
    "qps": "5",
    "until": "1787888467",
    "dns": "10.0.0.8",
    "mode": "ALLOW_ANY",
}


def filled(name: str) -> list[Doc]:
    return fill(ROOT / "upgrade" / name, VALUES)


def containers() -> list[Doc]:
    (deployment,) = filled("load.yaml")
    found: list[Doc] = deployment["spec"]["template"]["spec"]["containers"]
    return found


def entries() -> dict[str, Doc]:
    return {doc["metadata"]["name"]: doc for doc in filled("load-namespace.yaml") if doc["kind"] == "ServiceEntry"}


def test_a_container_is_called_like_the_destination_it_sends_to() -> None:
    for container in containers():
        (host,) = re.findall(r"://([^:/]+)", container["args"][-1])
        assert host == f"{container['name']}.{DOMAIN}"


def test_the_mesh_knows_the_registered_destinations_and_no_other() -> None:
    names = [container["name"] for container in containers()]
    assert sorted(entries()) == sorted(name for name in names if not name.endswith("-unregistered"))
    for name, entry in entries().items():
        assert entry["spec"]["hosts"] == [f"{name}.{DOMAIN}"]
        assert entry["spec"]["exportTo"] == ["."]


def test_http_tls_and_tcp_are_sent_to_both_kinds() -> None:
    names = {container["name"] for container in containers()}
    assert {"http-registered", "http-unregistered", "tls-registered", "tcp-registered", "tcp-unregistered"} <= names


def test_a_run_of_the_suite_does_not_take_it_for_what_an_earlier_one_left() -> None:
    for name in ("load-namespace.yaml", "load.yaml", "load-sidecar.yaml", "load-server.yaml"):
        assert all(OWNER_LABEL not in doc["metadata"].get("labels", {}) for doc in filled(name))


def test_it_is_bounded_in_time_and_waits_as_long_as_the_report_says() -> None:
    script = (IMAGES / "fortio" / "load").read_text(encoding="utf-8")
    assert f"-timeout {TIMEOUT_SECONDS}s" in script
    assert "exec sleep infinity" in script
    assert all(container["args"][:2] == [VALUES["until"], VALUES["qps"]] for container in containers())


def deployment(generation: int = 2, observed: int = 2, updated: int = 2) -> Doc:
    metadata = {"name": "load", "namespace": NAMESPACE, "generation": generation}
    template = {"metadata": {"annotations": {"kubectl.kubernetes.io/restartedAt": ""}}}
    status = {"observedGeneration": observed, "updatedReplicas": updated}
    spec = {"replicas": 2, "template": template}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata, "spec": spec, "status": status}


def pod(name: str, ready: str = "True", *, sidecar: bool = True) -> Doc:
    metadata = {"name": name, "namespace": NAMESPACE, "labels": {"app": "load"}, "uid": name}
    names = ["http-registered", *(["istio-proxy"] if sidecar else [])]
    spec = {"containers": [{"name": each, "image": f"{each}:1"} for each in names]}
    status = {"conditions": [{"type": "Ready", "status": ready}]}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec, "status": status}


ROLLOUTS: dict[str, tuple[Doc, list[Doc], str]] = {
    "done": (deployment(), [pod("a"), pod("b")], ""),
    "not looked at": (deployment(observed=1), [pod("a"), pod("b")], "the Deployment was not looked at yet"),
    "not there": ({}, [], "the Deployment was not looked at yet"),
    "half new": (deployment(updated=1), [pod("a"), pod("b")], "1 of 2 are new, 2 of 2 pods are ready"),
    "an old one ends": (deployment(), [pod("a"), pod("b"), pod("c", "False")], "2 of 2 are new, 2 of 3 pods are ready"),
    "not ready": (deployment(), [pod("a"), pod("b", "False")], "2 of 2 are new, 1 of 2 pods are ready"),
}


@pytest.mark.parametrize(("found", "pods", "lacks"), ROLLOUTS.values(), ids=ROLLOUTS)
def test_a_rollout_is_over_when_only_new_pods_are_there_and_ready(found: Doc, pods: list[Doc], lacks: str) -> None:
    assert rollout(found, pods) == lacks


@pytest.fixture
def kube() -> FakeKube:
    namespace = {"name": NAMESPACE, "labels": {"istio.io/rev": "default"}}
    return FakeKube().add(
        {"apiVersion": "v1", "kind": "Namespace", "metadata": namespace, "status": {"phase": "Active"}},
        deployment(),
        pod("a"),
        pod("b"),
    )


@pytest.fixture
def load(kube: FakeKube, monkeypatch: pytest.MonkeyPatch) -> Load:
    Clock().install(monkeypatch)
    monkeypatch.setattr("egress_conformance.upgrade.logs._opener", lambda _: lambda _source, _since: iter([]))
    return Load(kube, Settings("hub/fortio:1", "world:1", clients=2, qps=5), "", "r1")


def test_it_is_restarted_as_kubectl_does_it(kube: FakeKube, load: Load) -> None:
    load.restart()
    template = kube.objects["Deployment", NAMESPACE, "load"]["spec"]["template"]
    assert template["metadata"]["annotations"]["kubectl.kubernetes.io/restartedAt"]


def test_it_is_moved_by_the_namespaces_label(kube: FakeKube, load: Load) -> None:
    for revision, label in (("canary", "canary"), ("", "default")):
        load.move(revision)
        assert kube.objects["Namespace", "", NAMESPACE]["metadata"]["labels"]["istio.io/rev"] == label


def test_pods_without_a_sidecar_are_no_clients(kube: FakeKube, load: Load) -> None:
    kube.add(pod("b", sidecar=False))
    with pytest.raises(PlatformTrouble, match="Istio injected none into b: is there a revision"):
        load.restart()


def test_a_rollout_that_does_not_end_says_what_it_lacks(kube: FakeKube, load: Load) -> None:
    kube.add(pod("b", "False"))
    with pytest.raises(Timeout, match="the clients of the load; last seen: 2 of 2 are new, 1 of 2 pods are ready"):
        load.restart()


def test_its_mode_is_its_own(kube: FakeKube, load: Load) -> None:
    load.mode(Mode.REGISTRY_ONLY)
    sidecar = kube.objects["Sidecar", NAMESPACE, "default"]
    assert sidecar["spec"]["outboundTrafficPolicy"] == {"mode": "REGISTRY_ONLY"}


def test_somebody_elses_namespace_is_left_alone(kube: FakeKube, load: Load) -> None:
    with pytest.raises(UserError, match=f"a namespace {NAMESPACE} that is not the suite's"):
        load.start()
    load.stop()
    assert kube.did == []


def test_its_clients_end_before_what_the_mesh_knows_of_their_destinations_goes(kube: FakeKube, load: Load) -> None:
    kube.objects = {where: doc for where, doc in kube.objects.items() if where[0] != "Pod"}
    load._is_ours = True
    load.stop()
    gone = [each.split()[1] for each in kube.did if each.startswith("delete")]
    assert gone[:2] == ["Deployment", "Namespace"]


def test_what_was_sent_by_is_told(load: Load) -> None:
    facts = load.facts()
    assert (facts.generator, facts.clients, facts.requests_per_second) == ("Fortio (fortio:1)", 2, 5)
    assert WORLD != NAMESPACE


def request_log(load: Load, *lost: str, monkeypatch: pytest.MonkeyPatch) -> list[Mode]:
    """Let requests to these destinations be lost in REGISTRY_ONLY."""
    modes: list[Mode] = []
    monkeypatch.setattr(load, "settle", lambda **_: None)
    monkeypatch.setattr(load, "mode", modes.append)

    def read() -> Evidence:
        if modes == [Mode.REGISTRY_ONLY]:
            load.evidence.requests += [Request(2e9, 1, ok=False, outcome="", client="a", destination=x) for x in lost]
        return load.evidence

    monkeypatch.setattr(load.evidence, "read", read)
    return modes


def test_the_control_holds_where_what_is_unregistered_is_lost_and_nothing_else(
    load: Load, monkeypatch: pytest.MonkeyPatch
) -> None:
    modes = request_log(load, "http-unregistered", monkeypatch=monkeypatch)
    assert load.control() == []
    assert modes == [Mode.REGISTRY_ONLY, Mode.ALLOW_ANY]


def test_the_control_fails_where_nothing_is_lost(load: Load, monkeypatch: pytest.MonkeyPatch) -> None:
    modes = request_log(load, monkeypatch=monkeypatch)
    (problem,) = load.control()
    assert "http-unregistered to be lost in REGISTRY_ONLY; last seen: lost: none" in problem
    assert modes[-1] is Mode.ALLOW_ANY


def test_the_control_fails_where_something_registered_is_lost(load: Load, monkeypatch: pytest.MonkeyPatch) -> None:
    request_log(load, "http-unregistered", "tls-registered", monkeypatch=monkeypatch)
    assert load.control() == ["tls-registered was lost in REGISTRY_ONLY"]
