"""Whose word counts in a cluster, what becomes another there, and what is injected."""

import json
from typing import Any

import pytest

from egress_conformance.cluster.kube import Doc, NoRight
from egress_conformance.errors import PlatformTrouble, Timeout
from egress_conformance.upgrade import in_force as in_force_module
from egress_conformance.upgrade.in_force import CRDS, in_force, is_of, rejections, risen, tag
from egress_conformance.upgrade.injector import Injection, Injector
from egress_conformance.upgrade.watch import Watch, states
from tests.unit.fakes import Clock, FakeKube

OLD, NEW = "1.29.1-0123abcd", "1.31-20260827-89abcdef"
READY = {"conditions": [{"type": "Ready", "status": "True"}]}


def doc(kind: str, name: str, namespace: str = "", labels: dict[str, str] | None = None, **rest: Any) -> Doc:  # noqa: ANN401
    metadata = {"name": name, "labels": labels or {}} | ({"namespace": namespace} if namespace else {})
    return {"apiVersion": "v1", "kind": kind, "metadata": metadata, **rest}


def istiod(name: str, version: str) -> Doc:
    template = {"spec": {"containers": [{"image": f"hub/pilot:{version}"}]}}
    return doc("Deployment", name, "istio-system", {"app": "istiod"}, spec={"template": template})


def webhook(name: str, service: str) -> Doc:
    return doc("ValidatingWebhookConfiguration", name, webhooks=[{"clientConfig": {"service": {"name": service}}}])


def client(name: str, version: str) -> Doc:
    proxy = {"name": "istio-proxy", "image": f"hub/proxyv2:{version}"}
    return doc(
        "Pod", name, "egress-load", {"app": "load"}, spec={"containers": [], "initContainers": [proxy]}, status=READY
    )


def injector(version: str) -> Doc:
    values = json.dumps({"global": {"tag": version}})
    return doc("ConfigMap", "istio-sidecar-injector", "istio-system", data={"config": "template", "values": values})


def crd(name: str, version: str, **spec: str) -> Doc:
    metadata = {"name": name, "labels": {"operator.istio.io/version": version}}
    return {"metadata": metadata, "spec": {"group": name.partition(".")[2], **spec}}


def cluster(*crds: Doc) -> FakeKube:
    kube = FakeKube().add(
        istiod("istiod", OLD),
        istiod("istiod-canary", NEW),
        webhook("istio-validator-istio-system", "istiod"),
        webhook("istio-validator-canary-istio-system", "istiod-canary"),
        webhook("somebody-else", "other"),
        injector(OLD),
        client("load-1", OLD),
        client("load-2", OLD),
        client("load-3", NEW),
    )
    kube.raws[f"GET {CRDS}"] = lambda _: {"items": list(crds)}
    return kube


SE = "serviceentries.networking.istio.io"


def test_it_says_whose_word_counts() -> None:
    found = in_force(cluster(crd(SE, "1.31-20260827"), crd("gateways.gateway.networking.k8s.io", "x")))
    assert found.control_planes == {"istiod": OLD, "istiod-canary": NEW}
    assert found.crds.startswith("1.31-20260827 (sha256 ")
    assert found.admission == {
        "istio-validator-istio-system": f"istiod {OLD}",
        "istio-validator-canary-istio-system": f"istiod-canary {NEW}",
    }
    assert found.injection == {"istio-sidecar-injector": OLD}
    assert found.proxies == {OLD: 2, NEW: 1}


def test_crds_are_told_apart_by_what_they_are_whatever_they_say_they_are_of() -> None:
    one, same, other = (
        in_force(cluster(*crds)).crds
        for crds in (
            [crd(SE, "1.31", x="1"), crd("sidecars.networking.istio.io", "1.31")],
            [crd("sidecars.networking.istio.io", "1.31"), crd(SE, "1.31", x="1")],
            [crd(SE, "1.31", x="2"), crd("sidecars.networking.istio.io", "1.31")],
        )
    )
    assert one == same != other
    assert in_force(cluster()).crds.startswith("none (")


def test_where_one_may_not_look_that_is_said() -> None:
    kube = cluster()

    def refuse(_: object) -> object:
        raise NoRight("missing right", "customresourcedefinitions is forbidden")

    kube.raws[f"GET {CRDS}"] = refuse
    assert in_force(kube).crds == "not allowed to look"


def metrics(count: int) -> bytes:
    return f'pilot_xds 3\npilot_total_xds_rejects{{type="rds"}} {count}\n'.encode()


def test_rejections_are_counted_by_pod_and_a_new_one_counts_from_nothing() -> None:
    kube = FakeKube().add(*(doc("Pod", name, "istio-system", {"app": "istiod"}, status=READY) for name in ("a", "b")))
    kube.add(doc("Pod", "starting", "istio-system", {"app": "istiod"}, status={}))
    for name, count in {"a": 2, "b": 5}.items():
        path = f"GET /api/v1/namespaces/istio-system/pods/{name}:15014/proxy/metrics"
        kube.raws[path] = lambda _, count=count: metrics(count)  # type: ignore[misc]
    now = rejections(kube)
    assert now == {"a": 2, "b": 5}
    assert risen({"a": 1, "gone": 9}, now) == 6


@pytest.mark.parametrize(
    ("image", "version"),
    {"hub/pilot:1.29.1": "1.29.1", "h:5000/pilot:1@sha256:ab": "1", "pilot@sha256:ab": "pilot@sha256:ab"}.items(),
)
def test_the_version_is_the_tag(image: str, version: str) -> None:
    assert tag(image) == version


def test_the_tag_of_what_was_built_has_a_key_behind_the_version() -> None:
    assert is_of(OLD, "1.29.1")
    assert is_of("1.29.1", "1.29.1")
    assert is_of(NEW, "1.31-20260827")
    assert not is_of("1.29.10", "1.29.1")
    assert not is_of("1.31-20260827-89abcdef", "1.31")


def test_what_becomes_another_is_noted_once() -> None:
    kube = FakeKube().add(client("load-1", OLD))
    watch = Watch(kube, started=100)
    watch.look(states(kube), 100)
    watch.look(states(kube), 101)
    kube.objects.clear()
    kube.add(client("load-2", NEW))
    watch.look(states(kube), 102)
    assert [(event.at, event.what) for event in watch.events] == [
        (2, "load-1: gone"),
        (2, f"load-2: proxy {NEW} ready"),
    ]
    watch.stop()


class Injects(FakeKube):
    """An istiod that injects what its ConfigMap says, from the third look on."""

    looks = 0

    def apply(self, doc: Doc, *, dry_run: bool = False) -> Doc:
        assert dry_run
        self.looks += 1
        values = json.loads(self.objects["ConfigMap", "istio-system", "istio-sidecar-injector"]["data"]["values"])
        version = values["global"]["tag"] if self.looks > 2 else OLD
        proxy = {"name": "istio-proxy", "image": f"hub/proxyv2:{version}"}
        return {**doc, "spec": {"containers": [*doc["spec"]["containers"], proxy]}}


def test_an_injection_is_put_back_and_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    Clock().install(monkeypatch)
    kube = Injects()
    kube.add(injector(OLD))
    inject = Injector(kube, "egress-load")
    before = inject.now()
    assert before.proxy == OLD
    inject.put(Injection(injector(NEW)["data"], NEW))
    assert inject.proxy() == NEW
    kube.looks = 0
    inject.put(before)
    assert kube.objects["ConfigMap", "istio-system", "istio-sidecar-injector"]["data"] == injector(OLD)["data"]


def test_an_injection_that_istiod_does_not_take_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    Clock().install(monkeypatch)
    kube = Injects()
    kube.add(injector(OLD))
    with pytest.raises(Timeout, match=f"istiod to inject proxy other; last seen: {OLD}"):
        Injector(kube, "egress-load").put(Injection(injector(OLD)["data"], "other"))
    with pytest.raises(PlatformTrouble, match="no ConfigMap istio-sidecar-injector in istio-system"):
        Injector(FakeKube(), "egress-load").now()
    assert in_force_module.NONE == "none"
