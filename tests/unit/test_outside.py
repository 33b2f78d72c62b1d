"""The world's pods as a worker leans on them: a change is noticed and told, and mended before the next case."""

# ruff: noqa: ARG002  (a stand-in takes what the real one takes)

import json
from collections.abc import Callable
from typing import Any

import pytest

from egress_conformance.cluster.kube import Doc
from egress_conformance.errors import PlatformTrouble, Timeout
from egress_conformance.world.outside import Outside
from tests.unit.fakes import Clock, FakeKube

KUBE_DNS: Doc = {
    "apiVersion": "v1",
    "kind": "Service",
    "metadata": {"name": "kube-dns", "namespace": "kube-system", "labels": {"k8s-app": "kube-dns"}},
    "spec": {"clusterIP": "10.96.0.10"},
}
DNS: Doc = {
    "apiVersion": "v1",
    "kind": "Service",
    "metadata": {"name": "dns", "namespace": "ns"},
    "spec": {"clusterIP": "10.96.0.53"},
}
CA: Doc = {
    "apiVersion": "v1",
    "kind": "Secret",
    "metadata": {"name": "world-ca", "namespace": "ns"},
    "data": {"tls.crt": "Y2E=", "tls.key": "a2V5"},
}


class WorldKube(FakeKube):
    """A cluster that runs the world: each pod it starts is another instance."""

    def __init__(self, *names: str) -> None:
        super().__init__()
        self.add(KUBE_DNS, DNS, CA)
        self.started = 0
        self.ready = True
        self.refusing = 0
        for name in names:
            spec = {"containers": [{"image": "world:1"}]}
            self.start({"metadata": {"name": name, "namespace": "ns", "labels": labels(name)}, "spec": spec})

    def start(self, doc: Doc) -> None:
        self.started += 1
        metadata = {**doc["metadata"], "uid": f"uid-{self.started}"}
        status = {
            "phase": "Running",
            "podIP": f"10.0.2.{self.started}",
            "conditions": [{"type": "Ready", "status": str(self.ready)}],
            "containerStatuses": [{"restartCount": 0}],
        }
        self.add({**doc, "apiVersion": "v1", "kind": "Pod", "metadata": metadata, "status": status})

    def apply(self, doc: Doc, *, dry_run: bool = False) -> Doc:
        there = self.get("v1", doc["kind"], doc["metadata"]["name"], "ns")
        super().apply(doc)
        if doc["kind"] == "Pod" and there is None:
            self.start(doc)
        elif there is not None:
            self.add(there)
        return doc

    def raw(self, method: str, path: str, **_: Any) -> bytes:  # noqa: ANN401
        pod = path.removeprefix("/api/v1/namespaces/ns/pods/").removesuffix(":8800/proxy/identity")
        assert (method, "/" in pod) == ("GET", False), path
        if self.refusing:
            self.refusing -= 1
            raise PlatformTrouble("pod does not answer", f"{pod}: connection refused")
        return json.dumps({"instance": f"instance of {self.pod(pod)['metadata']['uid']}"}).encode()

    def pod(self, name: str) -> Doc:
        return self.objects["Pod", "ns", name]


def labels(name: str) -> dict[str, str]:
    return {"app": "world", "world": "dns" if name == "dns" else "server"}


NAMES = ("dns", "alpha", "beta", "decoy")


@pytest.fixture
def kube() -> WorldKube:
    return WorldKube(*NAMES)


@pytest.fixture
def outside(kube: WorldKube) -> Outside:
    return Outside(kube, "ns", "world:1")


def test_it_knows_who_is_there_and_where_the_dns_is(outside: Outside) -> None:
    assert {name: server.instance for name, server in outside.servers.items()} == {
        "alpha": "instance of uid-2",
        "beta": "instance of uid-3",
        "decoy": "instance of uid-4",
    }
    assert outside.dns_address() == "10.96.0.53"
    assert outside.ca_certificate() == "Y2E="


def test_one_that_was_restarted_just_now_is_waited_for(kube: WorldKube, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock().install(monkeypatch)
    kube.refusing = 4
    assert list(Outside(kube, "ns", "world:1").servers) == ["alpha", "beta", "decoy"]
    assert clock.now == 1002
    kube.refusing = 10_000
    with pytest.raises(PlatformTrouble, match="pod does not answer: alpha: connection refused"):
        Outside(kube, "ns", "world:1")


def test_a_world_without_its_dns_or_its_ca_is_gone(outside: Outside, kube: WorldKube) -> None:
    del kube.objects["Service", "ns", "dns"]
    with pytest.raises(PlatformTrouble, match="world gone: the world's DNS Service is not there"):
        outside.dns_address()
    del kube.objects["Secret", "ns", "world-ca"]
    with pytest.raises(PlatformTrouble, match="world gone: the world's CA is not there"):
        outside.ca_certificate()


def test_while_nothing_happens_nothing_is_done(outside: Outside, kube: WorldKube) -> None:
    servers = outside.servers
    assert outside.problem() == ""
    outside.make_ready()
    assert kube.did == []
    assert outside.servers is servers


def gone(kube: WorldKube) -> None:
    del kube.objects["Pod", "ns", "alpha"]


def replaced(kube: WorldKube) -> None:
    kube.start(kube.pod("alpha"))


def restarted(kube: WorldKube) -> None:
    kube.pod("alpha")["status"]["containerStatuses"][0]["restartCount"] = 1


def being_deleted(kube: WorldKube) -> None:
    # It is ready for a moment yet.
    kube.pod("alpha")["metadata"]["deletionTimestamp"] = "2026-11-25T04:00:00Z"


def not_ready(kube: WorldKube) -> None:
    kube.pod("alpha")["status"]["conditions"] = []


CHANGES = {
    "it is gone": gone,
    "another is in its place": replaced,
    "its container was restarted": restarted,
    "it is being deleted": being_deleted,
    "it is not ready": not_ready,
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_what_became_of_a_pod_is_told(outside: Outside, kube: WorldKube, change: Callable[[WorldKube], None]) -> None:
    change(kube)
    assert outside.problem() == "world pod restarted: alpha"


def test_all_that_changed_are_named(outside: Outside, kube: WorldKube) -> None:
    for name in ("dns", "beta"):
        del kube.objects["Pod", "ns", name]
    assert outside.problem() == "world pod restarted: beta, dns"


def test_a_pod_that_is_gone_is_made_anew_and_known_by_its_new_secret(outside: Outside, kube: WorldKube) -> None:
    gone(kube)
    outside.make_ready()
    assert outside.problem() == ""
    assert outside.servers["alpha"].instance == "instance of uid-5"
    assert outside.servers["alpha"].address == "10.0.2.5"
    assert outside.servers["beta"].instance == "instance of uid-3"


def test_one_that_is_being_deleted_is_made_anew_when_it_is_gone(outside: Outside, kube: WorldKube) -> None:
    being_deleted(kube)
    outside.make_ready()
    assert kube.did[-4:] == ["delete Pod ns/alpha", "apply Pod ns/alpha", "apply Pod ns/beta", "apply Pod ns/decoy"]
    assert outside.servers["alpha"].instance == "instance of uid-5"


def test_one_that_came_back_by_itself_is_known_again(outside: Outside, kube: WorldKube) -> None:
    replaced(kube)
    outside.make_ready()
    assert outside.servers["alpha"].instance == "instance of uid-5"
    assert "delete Pod ns/alpha" not in kube.did


def test_one_that_does_not_become_ready_stays_a_problem(
    outside: Outside, kube: WorldKube, monkeypatch: pytest.MonkeyPatch
) -> None:
    Clock().install(monkeypatch)
    gone(kube)
    kube.ready = False
    with pytest.raises(Timeout, match="the pods app=world in ns to be ready; last seen: alpha Running"):
        outside.make_ready()
    assert outside.problem() == "world pod restarted: alpha"
