"""One run at a time on a cluster: taken, held, lost, taken over, given back."""

import datetime
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from egress_conformance import platform as platform_module
from egress_conformance.cluster import lease as lease_module
from egress_conformance.cluster.kube import Doc, Refused
from egress_conformance.cluster.lease import OWN_NAMESPACE, RunLease
from egress_conformance.cluster.provider import Cluster
from egress_conformance.errors import PlatformTrouble, UserError
from egress_conformance.options import Options
from egress_conformance.platform import Platform
from tests.unit.fakes import FakeKube

PATH = "/apis/coordination.k8s.io/v1/namespaces/ns/leases"
KEY = ("Lease", "ns", "run")


class LeaseKube(FakeKube):
    """A cluster that keeps Leases as Kubernetes does: an update must name the version it is based on."""

    def __init__(self) -> None:
        super().__init__()
        self.raws = {f"POST {PATH}": self._create, f"PUT {PATH}/run": self._update}
        self.updated = threading.Event()
        self.away = False
        self._version = 0

    def _keep(self, doc: Doc) -> Doc:
        self._version += 1
        doc["metadata"]["resourceVersion"] = str(self._version)
        self.add(doc)
        return doc

    def _create(self, doc: Doc) -> Doc:
        if KEY in self.objects:
            raise Refused(409, 'leases "run" already exists')
        return self._keep(doc)

    def _update(self, doc: Doc) -> Doc:
        self.updated.set()
        if self.away:
            raise PlatformTrouble("API server away", "refused")
        there = self.objects.get(KEY)
        if "resourceVersion" not in doc["metadata"]:
            raise Refused(422, "metadata.resourceVersion: must be specified for an update")
        if there is None:
            raise Refused(404, "not found")
        if there["metadata"]["resourceVersion"] != doc["metadata"]["resourceVersion"]:
            raise Refused(409, "the object has been modified")
        return self._keep(doc)

    def _exists(self, _: Doc) -> Doc:
        raise Refused(409, 'leases "run" already exists')

    def hold(self, holder: str, *, seconds_ago: float = 0, namespace: str = "ns") -> None:
        """Let somebody hold the lease."""
        renewed = datetime.datetime.now(datetime.UTC) - datetime.timedelta(seconds=seconds_ago)
        spec = {
            "holderIdentity": holder,
            "leaseDurationSeconds": 30,
            "renewTime": renewed.strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
        }
        metadata = {"name": "run", "namespace": namespace}
        self._keep({"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": metadata, "spec": spec})

    def holder(self) -> str | None:
        return str(self.objects[KEY]["spec"]["holderIdentity"]) if KEY in self.objects else None


ME = f"mine {os.getpid()} {socket.gethostname()}"


@pytest.fixture
def kube() -> LeaseKube:
    return LeaseKube()


@pytest.fixture
def lease(kube: LeaseKube) -> RunLease:
    return RunLease(kube, "ns", "mine")


def dead_process() -> int:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def test_a_free_cluster_is_taken_and_given_back(kube: LeaseKube, lease: RunLease) -> None:
    assert lease.take() is None
    assert kube.holder() == ME
    lease.release()
    assert kube.holder() is None


HELD: dict[str, Callable[[], str]] = {
    "a process of this machine": lambda: f"other {os.getppid()} {socket.gethostname()}",
    "a process of another user": lambda: f"other 1 {socket.gethostname()}",
    "another machine": lambda: "other 4711 elsewhere",
}


@pytest.mark.parametrize("holder", HELD.values(), ids=HELD)
def test_a_cluster_in_use_is_not_taken_and_the_user_is_told_by_whom(
    kube: LeaseKube, lease: RunLease, holder: Callable[[], str]
) -> None:
    kube.hold(holder(), seconds_ago=20)
    run, pid, host = holder().split()
    with pytest.raises(UserError) as caught:
        lease.take()
    assert str(caught.value) == (
        f"another run is using this cluster (run {run}, process {pid} on {host}): wait for it to end, or stop it"
    )
    assert kube.holder() == holder()


def test_a_run_that_was_refused_gives_nothing_back(kube: LeaseKube, lease: RunLease) -> None:
    kube.hold("other 4711 elsewhere")
    with pytest.raises(UserError):
        lease.take()
    lease.release()
    assert kube.holder() == "other 4711 elsewhere"


def test_a_process_of_another_user_is_alive(kube: LeaseKube, lease: RunLease, monkeypatch: pytest.MonkeyPatch) -> None:
    def kill(pid: int, signal: int) -> None:
        assert (pid, signal) == (4711, 0)
        raise PermissionError

    monkeypatch.setattr(os, "kill", kill)
    kube.hold(f"other 4711 {socket.gethostname()}")
    with pytest.raises(UserError, match="process 4711"):
        lease.take()


def test_what_a_crashed_process_of_this_machine_held_is_taken_at_once(kube: LeaseKube, lease: RunLease) -> None:
    crashed = f"other {dead_process()} {socket.gethostname()}"
    kube.hold(crashed)
    assert lease.take() == crashed
    assert kube.holder() == ME
    lease.release()


def test_a_process_elsewhere_of_a_number_that_is_free_here_is_not_taken_for_crashed(
    kube: LeaseKube, lease: RunLease
) -> None:
    kube.hold(f"other {dead_process()} elsewhere")
    with pytest.raises(UserError):
        lease.take()


@pytest.mark.parametrize("host", ["elsewhere", socket.gethostname()])
def test_what_was_not_renewed_in_time_is_taken(kube: LeaseKube, lease: RunLease, host: str) -> None:
    holder = f"other {os.getppid()} {host}"
    kube.hold(holder, seconds_ago=31)
    assert lease.take() == holder
    assert kube.holder() == ME
    lease.release()


def test_of_two_runs_that_take_a_lost_lease_one_gets_it(kube: LeaseKube, lease: RunLease) -> None:
    kube.hold("crashed 4711 elsewhere", seconds_ago=60)
    update = kube.raws[f"PUT {PATH}/run"]

    def after_the_other(doc: Any) -> Any:  # noqa: ANN401
        kube.hold("faster 4712 elsewhere")
        return update(doc)

    kube.raws[f"PUT {PATH}/run"] = after_the_other
    with pytest.raises(UserError, match="another run took this cluster just now: wait for it to end"):
        lease.take()
    assert kube.holder() == "faster 4712 elsewhere"


def test_a_lease_given_back_just_now_is_taken(kube: LeaseKube, lease: RunLease) -> None:
    kube.hold("other 4711 elsewhere")
    create = kube.raws[f"POST {PATH}"]

    def just_before_the_end(doc: Any) -> Any:  # noqa: ANN401
        try:
            return create(doc)
        finally:
            kube.raws[f"POST {PATH}"] = create
            kube.objects.pop(KEY)

    kube.raws[f"POST {PATH}"] = just_before_the_end
    assert lease.take() is None
    assert kube.holder() == ME
    lease.release()


def test_a_cluster_that_allows_no_lease_says_so(kube: LeaseKube, lease: RunLease) -> None:
    def forbidden(_: object) -> object:
        raise Refused(403, "leases is forbidden")

    kube.raws[f"POST {PATH}"] = forbidden
    with pytest.raises(Refused, match="403: leases is forbidden"):
        lease.take()


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Renew every 10 ms."""
    monkeypatch.setattr(lease_module, "_SECONDS", 0.03)


def renewals(kube: LeaseKube, count: int) -> None:
    for _ in range(count):
        kube.updated.clear()
        assert kube.updated.wait(5), "it is not renewed"


@pytest.mark.usefixtures("quick")
def test_it_is_renewed_while_the_run_lasts(kube: LeaseKube, lease: RunLease) -> None:
    lease.take()
    first = kube.objects[KEY]["spec"]["renewTime"]
    renewals(kube, 3)
    assert kube.holder() == ME
    assert kube.objects[KEY]["spec"]["renewTime"] > first
    lease.release()
    assert kube.holder() is None
    kube.updated.clear()
    assert not kube.updated.wait(0.1), "it is renewed though it was given back"


@pytest.mark.usefixtures("quick")
def test_it_is_renewed_again_when_the_api_server_is_back(kube: LeaseKube, lease: RunLease) -> None:
    lease.take()
    kube.away = True
    renewals(kube, 2)
    kube.away = False
    first = kube.objects[KEY]["spec"]["renewTime"]
    renewals(kube, 2)
    assert kube.objects[KEY]["spec"]["renewTime"] > first
    lease.release()


@pytest.mark.usefixtures("quick")
def test_what_another_run_took_meanwhile_is_neither_renewed_nor_given_back(kube: LeaseKube, lease: RunLease) -> None:
    lease.take()
    renewals(kube, 1)
    kube.hold("other 4711 elsewhere")
    lease.release()
    assert kube.holder() == "other 4711 elsewhere"


class Nowhere:
    """A provider whose cluster is there."""

    name = "existing"

    def up(self) -> Cluster:
        return Cluster(Path("/nowhere"), "c", "client:1", "world:1", {}, release=None)

    def down(self) -> None:
        raise AssertionError("nobody asked for that")

    def escaped_packets(self) -> int | None:
        return None


def test_a_run_that_finds_the_cluster_taken_leaves_the_other_run_in_peace(
    kube: LeaseKube, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = {"name": OWN_NAMESPACE, "labels": {"app.kubernetes.io/managed-by": "istio-egress-conformance"}}
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "world-ca", "namespace": OWN_NAMESPACE}}
    saved = {"apiVersion": "v1", "kind": "ConfigMap", "data": {"name": "istio", "mesh": "x"}}
    kube.add(
        {"apiVersion": "v1", "kind": "Namespace", "metadata": own, "status": {"phase": "Active"}},
        secret,
        {**saved, "metadata": {"name": "saved-mesh-config", "namespace": OWN_NAMESPACE}},
    )
    kube.hold("other 4711 elsewhere", namespace=OWN_NAMESPACE)
    kube.raws[f"POST {PATH.replace('/ns/', f'/{OWN_NAMESPACE}/')}"] = kube._exists
    monkeypatch.setattr(platform_module, "make_provider", lambda _: Nowhere())
    monkeypatch.setattr(platform_module, "Kube", lambda *_: kube)
    platform = Platform(Options(), lambda line: pytest.fail(f"nothing is to be said, but: {line}"))
    with pytest.raises(UserError, match="another run is using this cluster"):
        platform.up()
    assert not platform.taken
    platform.finish()
    assert kube.did == ["close"]
    assert ("Lease", OWN_NAMESPACE, "run") in kube.objects
