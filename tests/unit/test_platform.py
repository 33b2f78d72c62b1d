"""The platform of a run: waited for where the user says so, installed anew only where it would come out otherwise."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from egress_conformance import platform as platform_module
from egress_conformance.cluster.kube import Doc, Kube, Refused
from egress_conformance.cluster.lease import RunLease
from egress_conformance.cluster.provider import Cluster, IstioRelease
from egress_conformance.errors import PlatformTrouble, Timeout, UserError
from egress_conformance.mesh import install
from egress_conformance.options import Options
from egress_conformance.platform import Platform
from tests.unit.fakes import Clock, FakeKube

RELEASE = IstioRelease(
    version="1.31", full_version="1.31.0", istioctl=Path("/x/istioctl"), hub="h", tag="1.31.0-1", upstream_envoy=True
)
MARK = ("ConfigMap", "egress-conformance", "installed-istio")


class OneCluster:
    """A provider of a cluster that is there."""

    name = "kind"

    def up(self) -> Cluster:
        return Cluster(Path("/nowhere"), "c", "client:1", "world:1", {}, release=RELEASE)

    def down(self) -> None:
        raise AssertionError("nobody asked for that")

    def escaped_packets(self) -> int | None:
        return None


class Lease(RunLease):
    """A lease that another run holds for a while.

    Args:
        held_by: who holds it, look by look; "" where the API server does not answer; or what it says instead.
        crashed: whom it is then taken from.
    """

    def __init__(self, *held_by: str | Refused, crashed: str | None = None) -> None:
        self.held_by = list(held_by)
        self.crashed = crashed

    def take(self) -> str | None:
        if self.held_by:
            run = self.held_by.pop(0)
            if isinstance(run, Refused):
                raise run
            if not run:
                raise PlatformTrouble("API server away", "refused")
            raise UserError(f"another run is using this cluster (run {run})", "wait for it to end")
        return self.crashed


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock().install(monkeypatch)


@pytest.fixture
def said() -> list[str]:
    return []


Make = Callable[..., Platform]


@pytest.fixture
def make(said: list[str], monkeypatch: pytest.MonkeyPatch) -> Make:
    def make(*, wait: bool = False) -> Platform:
        monkeypatch.setattr(platform_module, "make_provider", lambda _: OneCluster())
        return Platform(Options(wait=wait), said.append)

    return make


def test_without_wait_a_cluster_that_is_taken_is_not_waited_for(make: Make, clock: Clock, said: list[str]) -> None:
    start = clock.now
    with pytest.raises(UserError, match="another run is using this cluster"):
        make()._take(Lease("r1"))
    assert (clock.now, said) == (start, [])


def test_with_wait_it_is_taken_as_soon_as_it_is_free(make: Make, clock: Clock, said: list[str]) -> None:
    start = clock.now
    assert make(wait=True)._take(Lease(*["r1"] * 20, *["r2"] * 3)) is None
    assert clock.now - start == 23
    # Each of those it waits for is named once.
    assert said == [f"waiting: another run is using this cluster (run {run})" for run in ("r1", "r2")]


def test_what_the_other_run_does_to_the_cluster_does_not_end_the_wait(make: Make, clock: Clock) -> None:
    assert make(wait=True)._take(Lease("r1", "", "", "r1")) is None
    with pytest.raises(Timeout, match="last seen: API server away: refused"):
        make(wait=True)._take(Lease(*[""] * 10_000))
    with pytest.raises(PlatformTrouble, match="API server away"):
        make()._take(Lease(""))


def test_a_namespace_that_the_other_run_takes_with_it_is_made_anew(make: Make, clock: Clock) -> None:
    kube = FakeKube()
    platform = make(wait=True)
    platform._kube = kube
    gone = Refused(404, 'namespaces "egress-conformance" not found')
    assert platform._take(Lease("r1", gone)) is None
    assert kube.did == ["apply Namespace egress-conformance"]


@pytest.mark.parametrize("wait", [False, True])
def test_whose_it_was_that_crashed_is_told_either_way(make: Make, clock: Clock, said: list[str], wait: bool) -> None:
    assert make(wait=wait)._take(Lease(crashed="r1 4711 here")) == "r1 4711 here"
    assert said == []


def test_it_is_not_waited_for_for_ever(make: Make, clock: Clock) -> None:
    expected = r"waited 3600 s for the cluster to be free; last seen: another run is using this cluster \(run r1\)"
    with pytest.raises(Timeout, match=expected):
        make(wait=True)._take(Lease(*["r1"] * 10_000))


def deployment(tag: str = RELEASE.tag, ready: int = 1) -> Doc:
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "istiod", "namespace": "istio-system"},
        "spec": {"template": {"spec": {"containers": [{"image": f"h/pilot:{tag}"}]}}},
        "status": {"readyReplicas": ready},
    }


class Installs:
    """Stands in for istioctl: counts the installs, and does what it is told to meanwhile."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.done = 0
        self.fails = False
        monkeypatch.setattr(install, "install", self)

    def __call__(self, cluster: Cluster, release: IstioRelease, *, revision: str) -> None:
        assert (cluster.context, release, revision) == ("c", RELEASE, cluster.revision)
        self.done += 1
        if self.fails:
            raise PlatformTrouble("Istio not installed", "timed out")


@pytest.fixture
def installs(monkeypatch: pytest.MonkeyPatch) -> Installs:
    return Installs(monkeypatch)


def have_it(platform: Platform, kube: Kube) -> None:
    platform._cluster = OneCluster().up()
    platform._install(kube, RELEASE)


def test_istio_is_installed_where_it_is_not_and_marked(make: Make, installs: Installs, said: list[str]) -> None:
    kube = FakeKube()
    have_it(make(), kube)
    assert installs.done == 1
    assert kube.objects[MARK]["data"] == {"digest": install.wanted(RELEASE)}
    assert said == ["installing Istio 1.31.0"]


def test_one_that_is_as_it_should_be_is_left_alone(make: Make, installs: Installs, said: list[str]) -> None:
    kube = FakeKube().add(deployment())
    have_it(make(), kube)
    kube.did.clear()
    have_it(make(), kube)
    assert installs.done == 1
    assert kube.did == []
    assert said == ["installing Istio 1.31.0"]


def test_one_of_another_revision_is_installed_beside_it_and_marked(
    make: Make, installs: Installs, said: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    kube = FakeKube().add(deployment())
    have_it(make(), kube)
    platform = make()
    platform._cluster = replace(OneCluster().up(), revision="canary")
    platform._install(kube, RELEASE)
    assert installs.done == 2
    assert said[-1] == "installing Istio 1.31.0 as revision canary"
    mark = kube.objects["ConfigMap", "egress-conformance", "installed-istio-canary"]
    assert mark["data"] == {"digest": install.wanted(RELEASE, "canary")}
    assert install.wanted(RELEASE, "canary") != install.wanted(RELEASE)


def another_version(kube: FakeKube) -> None:
    kube.add(deployment("1.29.1-1"))


def not_ready(kube: FakeKube) -> None:
    kube.add(deployment(ready=0))


def another_profile(kube: FakeKube) -> None:
    kube.objects[MARK]["data"]["digest"] = "of the profile before"


def no_mark(kube: FakeKube) -> None:
    del kube.objects[MARK]


@pytest.mark.parametrize("change", [another_version, not_ready, another_profile, no_mark])
def test_one_that_would_come_out_otherwise_is_installed_anew(
    make: Make, installs: Installs, change: Callable[[FakeKube], None]
) -> None:
    kube = FakeKube().add(deployment())
    have_it(make(), kube)
    change(kube)
    have_it(make(), kube)
    assert installs.done == 2
    assert kube.objects[MARK]["data"] == {"digest": install.wanted(RELEASE)}


def test_an_install_that_fails_is_not_marked_as_done(make: Make, installs: Installs) -> None:
    kube = FakeKube()
    installs.fails = True
    with pytest.raises(PlatformTrouble, match="Istio not installed"):
        have_it(make(), kube)
    assert MARK not in kube.objects


def test_the_mark_tells_the_profile_and_the_images(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "platform"
    folder.mkdir()
    for name in ("istio", "istio-egress-gateway", "istio-upstream-envoy", "istio-cni"):
        (folder / f"{name}.yaml").write_text(f"# {name}\n")
    monkeypatch.setattr(install, "ROOT", tmp_path)
    digests = [install.wanted(RELEASE)]
    assert install.wanted(RELEASE) == digests[0]
    assert len(digests[0]) == 16
    changes = {"tag": "1.31.0-2"}, {"hub": "other"}, {"upstream_envoy": False}, {"cni": True}
    digests += [install.wanted(IstioRelease(**{**vars(RELEASE), **change})) for change in changes]
    (folder / "istio-egress-gateway.yaml").write_text("# changed\n")
    digests.append(install.wanted(RELEASE))
    assert len(set(digests)) == 6
    # A second revision has neither a gateway nor a node agent.
    of_revision = IstioRelease(**{**vars(RELEASE), "cni": True})
    digests = [install.wanted(of_revision, "second")]
    for name in ("istio-egress-gateway", "istio-cni", "istio"):
        (folder / f"{name}.yaml").write_text("# changed again\n")
        digests.append(install.wanted(of_revision, "second"))
    assert digests[0] == digests[1] == digests[2] != digests[3]
