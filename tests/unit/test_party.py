"""Shards that share a cluster: the first brings it up, the last puts it back, and others keep out."""

import os
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from egress_conformance import platform as platform_module
from egress_conformance.case import Mode
from egress_conformance.cluster import board as board_module
from egress_conformance.cluster.board import HOLD_SECONDS, Board, State, state_of
from egress_conformance.cluster.existing import RIGHTS
from egress_conformance.cluster.kube import Doc
from egress_conformance.cluster.lease import OWN_NAMESPACE, RunLease, lost
from egress_conformance.cluster.party import PartyLease
from egress_conformance.cluster.provider import Cluster
from egress_conformance.errors import UserError
from egress_conformance.mesh import install
from egress_conformance.mesh.config import MeshConfig
from egress_conformance.namespaces import SWEPT
from egress_conformance.options import Options
from egress_conformance.platform import Platform, PlatformInfo
from tests.unit.fakes import Clock
from tests.unit.test_board import PATH, Leases, Time
from tests.unit.test_mesh_config import ORIGINAL, config_map, mesh_of

KEY = ("Lease", "ns", "run")


@pytest.fixture
def kube() -> Leases:
    return Leases("run")


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Time:
    clock = Time()
    monkeypatch.setattr(board_module, "time", clock)
    return clock


Make = Callable[..., PartyLease]


@pytest.fixture
def make(kube: Leases) -> Iterator[Make]:
    made: list[PartyLease] = []

    def make(member: str, party: str = "nightly") -> PartyLease:
        made.append(PartyLease(kube, "ns", f"r-{member}", party, member))
        return made[-1]

    yield make
    for lease in made:
        lease._renewing.close()


def state(kube: Leases) -> State:
    return state_of(kube.objects[KEY])


def refusal(lease: RunLease) -> str:
    with pytest.raises(UserError) as caught:
        lease.take()
    return str(caught.value)


def test_the_first_brings_it_up_and_the_others_join_then(kube: Leases, make: Make) -> None:
    first, second = make("one"), make("two")
    assert first.take() is None
    assert first.joined == ""
    assert refusal(second) == "the platform of nightly is coming up: wait for it"
    first.opened("sha")
    assert second.take() is None
    assert (second.joined, second.mesh_config) == ("r-one", "sha")
    assert sorted(state(kube)["members"]) == ["one", "two"]
    assert kube.objects[KEY]["spec"]["holderIdentity"].startswith("r-one ")


def test_only_the_last_is_told_to_put_back_whoever_that_is(kube: Leases, make: Make) -> None:
    first, second = make("one"), make("two")
    first.take()
    first.opened("sha")
    second.take()
    assert not first.leave()
    first.release()
    assert list(state(kube)["members"]) == ["two"]
    assert second.leave()
    assert refusal(make("three")) == "the platform of nightly is being put back: wait for it"
    second.release()
    assert KEY not in kube.objects


def test_one_that_comes_when_all_have_gone_is_the_first_again(kube: Leases, make: Make) -> None:
    first, second = make("one"), make("two")
    first.take()
    first.opened("sha")
    assert first.leave()
    first.release()
    assert second.take() is None
    assert second.joined == ""


def test_another_party_and_a_run_of_its_own_keep_out(kube: Leases, make: Make) -> None:
    first = make("one")
    first.take()
    first.opened("sha")
    said = f"another run is using this cluster (run r-one, process {os.getpid()} on {socket.gethostname()})"
    assert refusal(make("two", "another")).startswith(said)
    kube.raws[f"POST {PATH}"] = kube._create
    assert refusal(RunLease(kube, "ns", "r2")).startswith(said)


def test_a_party_keeps_out_of_a_run_that_has_the_cluster_for_itself(kube: Leases, make: Make) -> None:
    alone = RunLease(kube, "ns", "r2")
    alone.take()
    assert refusal(make("one")).startswith("another run is using this cluster (run r2, ")
    alone.release()
    assert make("one").take() is None


def test_a_shard_that_crashed_is_not_waited_for(kube: Leases, make: Make, clock: Time) -> None:
    crashed, last = make("one"), make("two")
    crashed.take()
    crashed.opened("sha")
    last.take()
    crashed._renewing.close()
    clock.now += HOLD_SECONDS - 1
    Board(kube, "ns", "run", "r-one 1 x").change(last._renewed)
    clock.now += 2
    assert last.leave(), "nobody else is alive"


def test_one_that_was_killed_just_now_is_waited_for_until_that_is_clear(
    kube: Leases, make: Make, clock: Time, monkeypatch: pytest.MonkeyPatch
) -> None:
    passes = Clock(clock.now).install(monkeypatch)
    monkeypatch.setattr(clock, "time", lambda: passes.now)
    killed, last = make("one"), make("two")
    killed.take()
    killed.opened("sha")
    last.take()
    killed._renewing.close()
    passes.now += HOLD_SECONDS * 2 / 3
    Board(kube, "ns", "run", "r-one 1 x").change(last._renewed)
    begun = passes.now
    assert last.leave(), "its time has run out"
    assert HOLD_SECONDS / 3 <= passes.now - begun <= HOLD_SECONDS / 3 + 2


def test_one_that_is_at_work_is_not_waited_for(
    kube: Leases, make: Make, clock: Time, monkeypatch: pytest.MonkeyPatch
) -> None:
    passes = Clock(clock.now).install(monkeypatch)
    first, second = make("one"), make("two")
    first.take()
    first.opened("sha")
    second.take()
    begun = passes.now
    assert not second.leave()
    assert passes.now == begun


def test_a_party_of_which_nobody_is_left_is_taken_over(
    kube: Leases, make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    crashed = make("one")
    crashed.take()
    crashed._renewing.close()
    assert not lost(kube.objects[KEY]), "a process of this machine may have gone while others are at work"
    monkeypatch.setattr(os, "kill", lambda *_: pytest.fail("nobody asks for the process"))
    kube.objects[KEY]["spec"]["renewTime"] = "2026-11-26T00:00:00.000000Z"
    kube.objects[KEY]["spec"]["leaseDurationSeconds"] = 1
    previous = make("two").take()
    assert previous is not None
    assert previous.startswith("r-one ")
    assert list(state(kube)["members"]) == ["two"]


def test_of_two_that_come_first_one_waits(kube: Leases, make: Make) -> None:
    first, second = make("one"), make("two")
    get = kube.get
    seen: list[Doc | None] = []

    def just_before_the_other(*arguments: str) -> Doc | None:
        found = get(*arguments)
        if not seen:
            seen.append(found)
            first.take()
        return found

    kube.get = just_before_the_other  # type: ignore[assignment]
    assert refusal(second) == "another run took this cluster just now: wait for it to end"
    assert list(state(kube)["members"]) == ["one"]


class Existing:
    """A provider whose cluster, somebody else's, is there."""

    name = "existing"
    may_change_mesh = True

    def up(self) -> Cluster:
        may = self.may_change_mesh
        return Cluster(Path("/nowhere"), "c", "client:1", "world:1", {}, release=None, may_change_mesh=may)

    def down(self) -> None:
        raise AssertionError("nobody asked for that")

    def escaped_packets(self) -> int | None:
        return None


@pytest.fixture
def own(monkeypatch: pytest.MonkeyPatch) -> Leases:
    """A cluster with Istio in it, for platforms whose world comes up by itself."""
    kube = Leases()
    path = PATH.replace("/ns/", f"/{OWN_NAMESPACE}/")
    kube.raws[f"POST {path}"] = kube._create
    for name in ("run", "mode", "turns"):
        kube.raws[f"PUT {path}/{name}"] = kube._update
    kube.add(config_map())
    monkeypatch.setattr(kube, "version", lambda: "v1.35.0", raising=False)
    monkeypatch.setattr(platform_module, "make_provider", lambda _: Existing())
    monkeypatch.setattr(platform_module, "Kube", lambda *_: kube)
    monkeypatch.setattr(platform_module, "make_world", lambda *_: None)
    monkeypatch.setattr(platform_module, "wait_for_pods", lambda *_: None)
    monkeypatch.setattr(install, "installed", lambda *_: "1.31.0")
    return kube


def _create_anywhere(kube: Leases) -> None:
    """Namespaces are there once they are applied."""
    apply = kube.apply

    def applied(doc: Doc, *, dry_run: bool = False) -> Doc:
        return apply({**doc, "status": {"phase": "Active"}} if doc["kind"] == "Namespace" else doc, dry_run=dry_run)

    kube.apply = applied  # type: ignore[method-assign]


def platform(index: int, said: list[str]) -> Platform:
    return Platform(Options(provider="existing", shard=f"{index}/2", join="nightly"), said.append)


def namespace_of(info: PlatformInfo, name: str) -> Doc:
    labels = {"app.kubernetes.io/managed-by": "istio-egress-conformance", "egress-conformance/run": info.run}
    metadata = {"name": f"egress-{info.run}-{info.member}-{name}", "labels": labels}
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": metadata, "status": {"phase": "Active"}}


def test_two_shards_share_world_and_run_and_the_last_puts_back(own: Leases) -> None:
    _create_anywhere(own)
    said: list[str] = []
    one, two = platform(1, said), platform(2, said)
    first, second = one.up(), two.up()
    assert first.run == second.run
    assert first.member != second.member
    assert (first.member[:2], second.member[:2]) == ("s1", "s2")
    assert one.mesh_config_digest == two.mesh_config_digest != ""
    assert said == [f"joining run {first.run}"]
    assert own.did.count("apply Secret egress-conformance/world-ca") == 1
    config = MeshConfig(own)
    config.set_mode(Mode.REGISTRY_ONLY)
    own.add(namespace_of(first, "gw0"), namespace_of(second, "gw0"))
    one.finish()
    assert one.others_are_at_work
    assert ("Namespace", "", f"egress-{first.run}-{first.member}-gw0") not in own.objects
    assert ("Namespace", "", f"egress-{second.run}-{second.member}-gw0") in own.objects
    assert mesh_of(own) != ORIGINAL
    assert ("Namespace", "", OWN_NAMESPACE) in own.objects
    two.finish()
    assert not two.others_are_at_work
    assert mesh_of(own) == ORIGINAL
    assert not [key for key in own.objects if key[0] == "Namespace"]


def test_to_join_one_must_be_a_shard(own: Leases) -> None:
    with pytest.raises(UserError, match="--join is for shards: say which one: --shard 1/3"):
        Platform(Options(join="nightly"), lambda _: None)


def test_in_a_cluster_of_somebody_else_the_lease_is_given_back_after_the_namespace(own: Leases) -> None:
    """Else the next run would begin in a namespace that is about to go."""
    _create_anywhere(own)
    alone = Platform(Options(provider="existing"), lambda _: None)
    alone.up()
    own.did.clear()
    alone.finish()
    ends = [what for what in own.did if OWN_NAMESPACE in what]
    assert ends.index(f"delete Namespace {OWN_NAMESPACE}") < ends.index(f"delete Lease {OWN_NAMESPACE}/run")


def beside_the_gateway(kind: str, run: str) -> Doc:
    version = "v1" if kind == "Secret" else "telemetry.istio.io/v1"
    metadata = {"name": "left", "namespace": "istio-system", "labels": {"egress-conformance/run": run}}
    return {"apiVersion": version, "kind": kind, "metadata": metadata}


@pytest.mark.parametrize("may", [True, False])
def test_what_a_killed_run_left_beside_a_gateway_is_removed_where_the_mesh_may_be_changed(
    own: Leases, monkeypatch: pytest.MonkeyPatch, *, may: bool
) -> None:
    monkeypatch.setattr(Existing, "may_change_mesh", may)
    _create_anywhere(own)
    own.add(beside_the_gateway("Secret", "r1"), beside_the_gateway("Telemetry", "r1"))
    foreign = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "theirs", "namespace": "istio-system"}}
    own.add(foreign)
    Platform(Options(provider="existing"), lambda _: None).up()
    left = sorted(kind for kind, namespace, name in own.objects if (namespace, name) == ("istio-system", "left"))
    assert left == ([] if may else ["Secret", "Telemetry"])
    assert ("Secret", "istio-system", "theirs") in own.objects


def test_nothing_is_looked_for_there_that_there_is_no_right_to() -> None:
    rights = {right.resource for right in RIGHTS}
    plurals = {"Telemetry": "telemetries", "ServiceEntry": "serviceentries"}
    for _, kind in SWEPT:
        assert plurals.get(kind, f"{kind.lower()}s") in rights
