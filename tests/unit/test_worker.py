"""A worker between two cases: client, world and istiod are ready, or it says what is not."""

# ruff: noqa: ARG002  (a stand-in takes what the real one takes)

import datetime
from dataclasses import replace

import pytest

from egress_conformance.cluster.kube import Doc, Refused
from egress_conformance.errors import PlatformTrouble, Timeout
from egress_conformance.mesh.config import MeshConfig
from egress_conformance.mesh.istiod import Istiod
from egress_conformance.mesh.proxy import Proxy
from egress_conformance.traffic.pods import ClientPods, Pod
from egress_conformance.worker import READY_SECONDS, STILL_BROKEN_SECONDS, Worker
from egress_conformance.world.outside import Outside
from tests.unit.fakes import Clock, FakeKube
from tests.unit.test_case_run import info

START = datetime.datetime(2026, 11, 25, 4, tzinfo=datetime.UTC).timestamp()
"""When istiod's container was started."""


class World(Outside):
    """A world that comes back after so many looks."""

    def __init__(self) -> None:
        self.broken_for = 0
        self.trouble: Exception = PlatformTrouble("world pod gone", "alpha")

    def make_ready(self) -> None:
        if self.broken_for:
            self.broken_for -= 1
            raise self.trouble

    def problem(self) -> str:
        return "world pod restarted: alpha" if self.broken_for else ""


class Clients(ClientPods):
    """Clients that are ready."""

    def __init__(self) -> None:
        self.events: list[str] = []

    def next_case(self) -> None:
        self.events.append("next case")

    def ready(self, namespace: str, patch: object = None) -> Pod:
        self.events.append(f"ready {namespace}")
        return Pod(namespace, "client", "uid-1", "10.0.0.9")

    def problems(self) -> str:
        return ""


class Told(Proxy):
    """A proxy that hears of a new istiod after so many looks."""

    def __init__(self) -> None:
        self.away_for = 0
        self.asked = 0
        self.broken_for = 0

    def configured_at(self) -> float:
        self.asked += 1
        if self.asked <= self.broken_for:
            raise PlatformTrouble("exec failed", "container not found")
        return START

    def clusters(self, host: str = "") -> dict[str, str]:
        self.away_for -= 1
        return {} if self.away_for >= 0 else {f"outbound|80||{host}": "ORIGINAL_DST"}


class Between(Worker):
    """A worker of which only what happens between cases is real."""

    def __init__(self, kube: FakeKube) -> None:
        self.info = info()
        self.kube = kube
        self.istiod = Istiod(kube, "")
        self._namespace = "ns"
        self.outside = self._outside = World()
        self.clients = self._pods = Clients()
        self.proxy = Told()
        self._istiod = self._istiod_states()
        self._ready_seconds = READY_SECONDS

    def _proxy(self) -> Proxy:
        return self.proxy


def istiod(uid: str, *, ready: bool = True, rev: str = "default") -> Doc:
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": f"istiod-{uid}",
            "namespace": "istio-system",
            "uid": uid,
            "labels": {"app": "istiod", "istio.io/rev": rev},
        },
        "status": {
            "conditions": [{"type": "Ready", "status": str(ready)}],
            "containerStatuses": [
                {"restartCount": 0, "state": {"running": {"startedAt": "2026-11-25T04:00:00Z"}}},
            ],
        },
    }


@pytest.fixture
def kube() -> FakeKube:
    return FakeKube().add(istiod("a"))


@pytest.fixture
def worker(kube: FakeKube) -> Between:
    return Between(kube)


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock().install(monkeypatch)


def test_where_nothing_happened_it_is_ready_at_once(worker: Between, clock: Clock) -> None:
    worker.make_ready()
    assert clock.now == 1000
    assert worker.clients.events == ["next case", "ready ns"]
    assert worker.trouble() == ""


def test_after_trouble_a_client_is_ready_only_if_it_answers(worker: Between, clock: Clock) -> None:
    worker.make_ready()
    assert worker.proxy.asked == 0
    worker.is_in_doubt = True
    worker.proxy.broken_for = 10
    worker.make_ready()
    assert clock.now == pytest.approx(1002)
    # Then it is taken at its word again.
    asked = worker.proxy.asked
    worker.make_ready()
    assert worker.proxy.asked == asked == 11


@pytest.mark.parametrize("trouble", [PlatformTrouble("API server away", "refused"), Refused(404, "not found")])
def test_what_broke_is_waited_for(worker: Between, clock: Clock, trouble: Exception) -> None:
    worker.outside.broken_for, worker.outside.trouble = 50, trouble
    worker.make_ready()
    assert clock.now == pytest.approx(1000 + 50 * 0.2)


def test_what_does_not_become_ready_is_told(worker: Between) -> None:
    worker.outside.broken_for = 10_000
    expected = (
        "waited 120 s for client, world and istiod to be ready; last seen: world pod gone: alpha; "
        "try: egress-conformance status"
    )
    with pytest.raises(Timeout, match=expected):
        worker.make_ready()


def test_what_is_gone_for_good_is_not_waited_for_as_long_again(worker: Between, clock: Clock) -> None:
    worker.outside.broken_for = 10_000
    with pytest.raises(Timeout):
        worker.make_ready()
    start = clock.now
    with pytest.raises(Timeout, match=f"waited {STILL_BROKEN_SECONDS} s"):
        worker.make_ready()
    assert clock.now - start == pytest.approx(STILL_BROKEN_SECONDS, abs=1)
    # Once it is back, the next trouble has all of the time again.
    worker.outside.broken_for = 0
    worker.make_ready()
    worker.outside.broken_for = 10_000
    with pytest.raises(Timeout, match=f"waited {READY_SECONDS} s"):
        worker.make_ready()


def restarted(kube: FakeKube, *, ready: bool) -> None:
    kube.objects.pop(("Pod", "istio-system", "istiod-a"), None)
    kube.add(istiod("b", ready=ready))


def test_an_istiod_that_restarted_is_the_trouble_of_the_case_under_way(worker: Between, kube: FakeKube) -> None:
    restarted(kube, ready=True)
    assert worker.trouble() == "istiod restarted: it is not the one the case started with"
    worker.make_ready()
    assert worker.trouble() == ""


def test_one_that_is_being_deleted_is_so_too(worker: Between, kube: FakeKube) -> None:
    kube.objects["Pod", "istio-system", "istiod-a"]["metadata"]["deletionTimestamp"] = "2026-11-25T04:00:00Z"
    assert worker.trouble().startswith("istiod restarted")


def test_the_next_case_waits_until_istiod_is_ready_again(worker: Between, kube: FakeKube) -> None:
    restarted(kube, ready=False)
    with pytest.raises(Timeout, match="last seen: istiod is not ready: b restarted 0 times, not ready"):
        worker.make_ready()
    kube.objects.pop(("Pod", "istio-system", "istiod-b"))
    with pytest.raises(Timeout, match="last seen: istiod is not ready: no pod"):
        worker.make_ready()
    restarted(kube, ready=True)
    worker.make_ready()


def test_and_until_the_client_follows_it(worker: Between, kube: FakeKube, clock: Clock) -> None:
    restarted(kube, ready=True)
    worker.proxy.away_for = 5
    worker.make_ready()
    assert clock.now == pytest.approx(1001)
    assert kube.did[-2:] == ["apply ServiceEntry ns/propagation-probe", "delete ServiceEntry ns/propagation-probe"]
    worker.proxy.away_for = 10_000
    kube.add(istiod("c"))
    with pytest.raises(Timeout, match="last seen: the client's proxy does not follow istiod since"):
        worker.make_ready()


def test_a_second_istio_that_comes_and_goes_is_no_trouble(worker: Between, kube: FakeKube) -> None:
    kube.add(istiod("second", ready=False, rev="egress-second"))
    assert worker.trouble() == ""
    worker.make_ready()


def test_where_istiod_runs_elsewhere_it_is_not_waited_for() -> None:
    worker = Between(FakeKube())
    worker.make_ready()
    assert worker.trouble() == ""


def test_a_broken_world_is_trouble(worker: Between) -> None:
    worker.outside.broken_for = 1
    assert worker.trouble() == "world pod restarted: alpha"


def webhook(rev: str) -> Doc:
    metadata = {"name": f"istio-validator-{rev}-istio-system", "labels": {"istio.io/rev": rev}}
    return {"kind": "ValidatingWebhookConfiguration", "metadata": metadata}


def test_two_istiods_of_one_revision_are_one_istio(worker: Between, kube: FakeKube) -> None:
    kube.add(istiod("b"), webhook("default"))
    assert (worker.leads_alone(), worker.votes_alone()) == (True, True)


def test_another_revision_may_be_elected_and_votes(worker: Between, kube: FakeKube) -> None:
    kube.add(istiod("b", rev="canary"), webhook("default"), webhook("canary"))
    assert (worker.leads_alone(), worker.votes_alone()) == (False, False)


def test_an_istiod_that_is_going_leads_no_more(worker: Between, kube: FakeKube) -> None:
    going = istiod("b", rev="egress-second")
    going["metadata"]["deletionTimestamp"] = "2026-11-26T20:27:00Z"
    kube.add(going)
    assert worker.leads_alone()


def mesh_config(service: str) -> Doc:
    provider = f"{{name: egress-conformance-zipkin, zipkin: {{service: {service}, port: 9411}}}}"
    metadata = {"name": "istio", "namespace": "istio-system"}
    data = {"mesh": f"extensionProviders: [{provider}]"}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data}


def test_a_tracer_that_leads_to_another_world_is_none_of_this_run(worker: Between, kube: FakeKube) -> None:
    worker.config = MeshConfig(kube)
    kube.add(mesh_config("tracing.egress-conformance.svc.cluster.local"))
    assert worker.has_tracer()
    worker.info = replace(worker.info, namespaces=("egress-world", "egress-client-1"))
    assert not worker.has_tracer()
    kube.add(mesh_config("tracing.egress-world.svc.cluster.local"))
    assert worker.has_tracer()
