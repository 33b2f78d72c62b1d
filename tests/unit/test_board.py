"""What shards of a run share in the cluster: each change seen whole, and nothing held by who is gone."""

import copy
import itertools
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import Any

import pytest

from egress_conformance import shared_mode, shared_turns
from egress_conformance.case import Mode
from egress_conformance.cluster import board as board_module
from egress_conformance.cluster.board import HOLD_SECONDS, Board, State
from egress_conformance.cluster.kube import Doc, Refused
from egress_conformance.errors import PlatformTrouble, Timeout
from egress_conformance.mesh.config import MeshConfig
from egress_conformance.shared_mode import SharedModeLease, asked, left
from egress_conformance.shared_turns import SharedTurns
from tests.unit.fakes import FakeKube, key
from tests.unit.test_mesh_config import config_map

PATH = "/apis/coordination.k8s.io/v1/namespaces/ns/leases"


class Leases(FakeKube):
    """A cluster that keeps Leases as Kubernetes does, for many at once."""

    def __init__(self, *names: str) -> None:
        super().__init__()
        self._lock = threading.Lock()
        self._versions = itertools.count(1)
        self.away = False
        self.writes = 0
        for name in names:
            self.raws[f"PUT {PATH}/{name}"] = self._update
        self.raws[f"POST {PATH}"] = self._create

    def _keep(self, doc: Doc) -> Doc:
        doc = copy.deepcopy(doc)
        doc["metadata"]["resourceVersion"] = str(next(self._versions))
        self.writes += 1
        self.add(doc)
        return doc

    def _create(self, doc: Doc) -> Doc:
        with self._lock:
            if key(doc) in self.objects:
                raise Refused(409, "already exists")
            return self._keep(doc)

    def _update(self, doc: Doc) -> Doc:
        with self._lock:
            there = self.objects.get(key(doc))
            if there is None:
                raise Refused(404, "not found")
            if there["metadata"]["resourceVersion"] != doc["metadata"]["resourceVersion"]:
                raise Refused(409, "the object has been modified")
            return self._keep(doc)

    def raw(self, method: str, path: str, **rest: Any) -> bytes:  # noqa: ANN401
        if self.away:
            raise PlatformTrouble("API server away", "refused")
        return super().raw(method, path, **rest)


class Time:
    """The time of day, which a test sets."""

    def __init__(self) -> None:
        self.now = 1_000_000.0

    def time(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Time:
    clock = Time()
    monkeypatch.setattr(board_module, "time", clock)
    return clock


@pytest.fixture
def kube() -> Leases:
    return Leases("mode", "turns", "count")


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(board_module, "_CONFLICT_SECONDS", 0.001)
    for module in (shared_mode, shared_turns):
        monkeypatch.setattr(module, "_LOOK_SECONDS", 0.005)


def test_no_change_is_lost_when_many_change_it_at_once(kube: Leases) -> None:
    def count(_: int) -> State:
        board = Board(kube, "ns", "count", "me")
        return board.change(lambda state: {"count": state.get("count", 0) + 1})

    with ThreadPoolExecutor(8) as pool:
        seen = sorted(state["count"] for state in pool.map(count, range(40)))
    assert seen == list(range(1, 41))


def test_what_is_to_stay_is_not_written(kube: Leases) -> None:
    board = Board(kube, "ns", "count", "me")
    assert board.change(lambda _: None) == {}
    assert kube.writes == 0
    board.change(lambda _: {"a": 1})
    assert board.change(lambda _: None) == {"a": 1}
    assert kube.writes == 1


def test_who_is_always_too_late_gives_up(kube: Leases, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(board_module, "_CHANGE_SECONDS", 0.05)

    def conflict(_: object) -> object:
        raise Refused(409, "the object has been modified")

    kube.raws[f"POST {PATH}"] = conflict
    with pytest.raises(Timeout, match="a turn to change Lease ns/count; last seen: others changed it first"):
        Board(kube, "ns", "count", "me").change(lambda state: state)


def test_what_is_forbidden_is_told(kube: Leases) -> None:
    def forbidden(_: object) -> object:
        raise Refused(403, "leases is forbidden")

    kube.raws[f"POST {PATH}"] = forbidden
    with pytest.raises(Refused, match="leases is forbidden"):
        Board(kube, "ns", "count", "me").change(lambda state: state)


def test_what_is_held_is_renewed_also_after_the_api_server_was_away(
    kube: Leases, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(board_module, "HOLD_SECONDS", 0.03)
    board = Board(kube, "ns", "count", "me")
    renewals = [threading.Event() for _ in range(4)]
    upcoming = iter(renewals)

    def renew(state: State) -> State:
        next(upcoming, renewals[-1]).set()
        return {"count": state.get("count", 0) + 1}

    with board.renewed(renew):
        assert renewals[1].wait(5)
        kube.away = True
        assert renewals[2].wait(5)
        kube.away = False
        assert renewals[3].wait(5)
    writes = kube.writes
    assert not threading.Event().wait(0.05)
    assert kube.writes == writes, "it is renewed though it was let go"


A, R = Mode.ALLOW_ANY, Mode.REGISTRY_ONLY


def after(*wishes: tuple[str, Mode] | tuple[str, Mode, str], state: State | None = None) -> State:
    """The state after these asked one after the other; a third word makes one alone."""
    state = state or {}
    for who, mode, *alone in wishes:
        state = asked(state, who, mode, alone=bool(alone)) or state
    return state


def let_in(state: State) -> State:
    """The first has set the mode."""
    return {**state, "holders": {who: {**held, "alone": False} for who, held in state["holders"].items()}}


@pytest.mark.usefixtures("clock")
class TestOrder:
    """Who gets the mesh."""

    def test_the_first_is_alone_until_the_mode_is_set(self) -> None:
        state = after(("one", A), ("two", A))
        assert list(state["holders"]) == ["one"]
        assert sorted(after(("two", A), state=let_in(state))["holders"]) == ["one", "two"]

    def test_the_mode_that_is_set_already_is_joined_at_once(self) -> None:
        state = left(let_in(after(("one", A))), "one")
        assert after(("two", A), state=state)["holders"]["two"]["alone"] is False

    def test_another_mode_waits_for_all_and_nobody_comes_before_it(self) -> None:
        state = after(("two", A), state=let_in(after(("one", A))))
        state = after(("three", R), ("four", A), state=state)
        assert sorted(state["holders"]) == ["one", "two"]
        assert [wish["who"] for wish in state["queue"]] == ["three", "four"]
        state = left(left(state, "one"), "two")
        assert after(("four", A), state=state)["holders"] == {}, "it is not the turn of that one"
        state = after(("three", R), state=state)
        assert (list(state["holders"]), state["mode"]) == (["three"], R)
        assert [wish["who"] for wish in state["queue"]] == ["four"]

    def test_who_flips_the_mode_is_alone(self) -> None:
        state = after(("flips", A, "alone"), state=let_in(after(("one", A))))
        assert list(state["holders"]) == ["one"]
        state = after(("flips", A, "alone"), ("two", A), state=left(state, "one"))
        assert list(state["holders"]) == ["flips"]

    def test_what_a_process_that_is_gone_held_or_waited_for_is_free_after_a_while(self, clock: Time) -> None:
        state = after(("crashed", A, "alone"), ("crashed too", R, "alone"), ("one", A))
        clock.now += HOLD_SECONDS - 1
        state = after(("one", A), state=state)
        assert list(state["holders"]) == ["crashed"]
        clock.now += 2
        state = after(("one", A), state=state)
        assert list(state["holders"]) == ["one"]
        assert state["queue"] == []

    def test_waiting_costs_a_change_only_now_and_then(self, clock: Time) -> None:
        state = after(("holds", A, "alone"), ("waits", A))
        assert asked(state, "waits", A, alone=False) is None
        clock.now += HOLD_SECONDS * 0.6
        renewed = asked(state, "waits", A, alone=False)
        assert renewed is not None
        assert [wish["who"] for wish in renewed["queue"]] == ["waits"]

    def test_who_does_not_want_it_any_more_is_out_of_the_queue(self) -> None:
        state = left(after(("holds", A, "alone"), ("waits", A)), "waits")
        assert state["queue"] == []
        assert list(state["holders"]) == ["holds"]


@pytest.fixture
def mesh(kube: Leases) -> Leases:
    kube.add(config_map())
    return kube


def lease(kube: Leases, me: str) -> SharedModeLease:
    return SharedModeLease(MeshConfig(kube), Board(kube, "ns", "mode", me), me)


def holders(kube: Leases) -> State:
    return Board(kube, "ns", "mode", "x").change(lambda _: None).get("holders", {})  # type: ignore[no-any-return]


def test_workers_of_several_machines_hold_one_mode_together(mesh: Leases) -> None:
    with ExitStack() as stack:
        for me in ("one", "two", "three"):
            stack.enter_context(lease(mesh, me).hold(R, alone=False))
        assert sorted(holders(mesh)) == ["one", "three", "two"]
        assert MeshConfig(mesh).mode() == R
    assert holders(mesh) == {}
    assert mesh.did.count("patch ConfigMap istio-system/istio") == 1


def test_who_flips_waits_for_the_others_and_they_for_it(mesh: Leases) -> None:
    flipping, done = threading.Event(), threading.Event()

    def flip() -> None:
        with lease(mesh, "flips").hold(A, alone=True):
            flipping.set()
            assert done.wait(5)

    with ThreadPoolExecutor(2) as pool:
        with lease(mesh, "one").hold(R, alone=False):
            flips = pool.submit(flip)
            assert not flipping.wait(0.1)
            assert MeshConfig(mesh).mode() == R
        assert flipping.wait(5)
        late = pool.submit(lambda: holders(mesh))
        assert list(late.result()) == ["flips"]
        done.set()
        flips.result()
    with lease(mesh, "one").hold(R, alone=False):
        assert MeshConfig(mesh).mode() == R


def test_many_with_different_wishes_all_get_their_mode(mesh: Leases) -> None:
    """What each sees while it holds the mesh is its mode, and who is alone sees nobody else."""

    def work(number: int) -> int:
        wanted, alone = ((A, False), (R, False), (R, True))[number % 3]
        with lease(mesh, f"w{number}").hold(wanted, alone=alone):
            assert MeshConfig(mesh).mode() == wanted
            there = holders(mesh)
            assert f"w{number}" in there
            assert not alone or list(there) == [f"w{number}"]
        return number

    with ThreadPoolExecutor(6) as pool:
        assert sorted(pool.map(work, range(18))) == list(range(18))
    assert holders(mesh) == {}


def test_a_mode_that_somebody_put_back_is_set_again(mesh: Leases) -> None:
    with lease(mesh, "one").hold(R, alone=False):
        pass
    MeshConfig(mesh).set_mode(A)
    with lease(mesh, "two").hold(R, alone=False):
        assert MeshConfig(mesh).mode() == R


def test_a_mode_that_is_put_back_again_and_again_is_trouble(mesh: Leases, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(MeshConfig, "set_mode", lambda *_: None)
    with pytest.raises(PlatformTrouble, match="mesh config changed by others: mode REGISTRY_ONLY was set 10 times"):
        lease(mesh, "one").hold(R, alone=False).__enter__()
    assert holders(mesh) == {}


def test_who_waits_too_long_says_for_whom_and_is_out_of_the_queue(
    mesh: Leases, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shared_mode, "WAIT_SECONDS", 0.05)
    with lease(mesh, "one").hold(R, alone=True):
        with pytest.raises(Timeout, match="the mesh in mode ALLOW_ANY; last seen: in mode REGISTRY_ONLY, held by one"):
            lease(mesh, "two").hold(A, alone=False).__enter__()
        assert list(holders(mesh)) == ["one"]
        assert Board(mesh, "ns", "mode", "x").change(lambda _: None)["queue"] == []


def test_who_stood_still_while_others_went_on_has_seen_nothing(mesh: Leases) -> None:
    with pytest.raises(PlatformTrouble, match="mode lease lost"), lease(mesh, "one").hold(R, alone=False):
        # Its time ran out, and another one asked.
        Board(mesh, "ns", "mode", "x").change(lambda state: {**state, "holders": {}})


@pytest.fixture
def slept(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    slept: list[float] = []

    class Sleep:
        sleep = staticmethod(slept.append)

    monkeypatch.setattr(shared_turns, "time", Sleep)
    return slept


def turns(kube: Leases, me: str) -> SharedTurns:
    return SharedTurns(Board(kube, "ns", "turns", me), me)


def test_a_removal_waits_after_anothers_change_and_not_after_its_own(kube: Leases, slept: list[float]) -> None:
    with turns(kube, "one").change(), pytest.raises(AssertionError):
        raise AssertionError
    with turns(kube, "one").removal():
        assert slept == []
    with turns(kube, "two").change():
        assert slept == [0]
    with turns(kube, "one").removal():
        assert slept == [0, 0.3]


def test_one_at_a_time(kube: Leases, slept: list[float]) -> None:
    busy = threading.Lock()

    def work(number: int) -> None:
        with turns(kube, f"w{number}").removal():
            assert busy.acquire(blocking=False), "two at a time"
            busy.release()

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(work, range(18)))
    assert len(slept) == 17


def test_the_turn_of_a_process_that_is_gone_is_free_after_a_while(
    kube: Leases, clock: Time, slept: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shared_turns, "WAIT_SECONDS", 0.05)
    crashed = turns(kube, "crashed")
    assert crashed._take() is not None
    with pytest.raises(Timeout, match="a turn to change the mesh"), turns(kube, "one").change():
        pass
    clock.now += HOLD_SECONDS + 1
    with turns(kube, "one").change():
        assert crashed._take() is None


@pytest.fixture(autouse=True)
def _no_thread_is_left() -> Iterator[None]:
    yield
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("renew ")]
