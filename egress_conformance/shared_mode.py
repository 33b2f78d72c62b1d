"""The mesh's mode, shared by workers of several machines: many in one mode, or one that flips it.

They line up on a board in the cluster. Whoever comes is let in with those that are there if nobody waits before them
and all want the same; else they wait, in the order in which they came.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import takewhile

from egress_conformance.case import Mode
from egress_conformance.cluster.board import HOLD_SECONDS, Board, State, alive, until
from egress_conformance.errors import PlatformTrouble
from egress_conformance.mesh.config import MeshConfig
from egress_conformance.waiting import persist, wait_for

WAIT_SECONDS = 240
"""How long others may keep the mesh in another mode; a case as a whole has 300 s."""

_LOOK_SECONDS = 0.2
_TRIES = 10
"""How often somebody else may put the mesh config back."""


def asked(state: State, me: str, mode: str, *, alone: bool) -> State | None:
    """The state once `me` asked for the mesh: among its holders, or in the queue. None: it is as it was."""
    holders = {who: held for who, held in state.get("holders", {}).items() if alive(held)}
    queue = [wish for wish in state.get("queue", []) if alive(wish)]
    before_me = list(takewhile(lambda wish: wish["who"] != me, queue))
    together = not alone and state.get("mode") == mode and not any(held["alone"] for held in holders.values())
    if not before_me and (not holders or together):
        # The mode must be set before others come in.
        holders[me] = {"alone": alone or state.get("mode") != mode, "until": until()}
        return {"mode": mode, "holders": holders, "queue": [wish for wish in queue if wish["who"] != me]}
    mine = next((wish for wish in queue if wish["who"] == me), None)
    if mine and mine["until"] > until() - HOLD_SECONDS / 2:
        return None  # waiting costs a look, not a change
    wish = {"who": me, "mode": mode, "alone": alone, "until": until()}
    queue = [wish if each["who"] == me else each for each in queue] if mine else [*queue, wish]
    return {"mode": state.get("mode", ""), "holders": holders, "queue": queue}


def renewed(state: State, me: str) -> State | None:
    """The state in which `me` holds what it holds for longer; None: it holds nothing any more."""
    held = state.get("holders", {}).get(me)
    return {**state, "holders": {**state["holders"], me: {**held, "until": until()}}} if held else None


def left(state: State, me: str) -> State:
    """The state without `me`."""
    holders = {who: held for who, held in state.get("holders", {}).items() if who != me}
    return {**state, "holders": holders, "queue": [wish for wish in state.get("queue", []) if wish["who"] != me]}


class SharedModeLease:
    """A worker's share of the mesh's mode; see `mesh.mode_lease.ModeLease`, which is for the workers of one machine.

    Args:
        config: the mesh config.
        board: where all workers line up.
        me: name of this worker, another one for each.
    """

    def __init__(self, config: MeshConfig, board: Board, me: str) -> None:
        self._config = config
        self._board = board
        self._me = me

    @contextmanager
    def hold(self, mode: Mode, *, alone: bool) -> Iterator[None]:
        """Hold the mesh in a mode, with others or alone; the mode is set if it is another.

        Raises:
            PlatformTrouble: the others do not let go of it, or it was lost meanwhile, or the mode does not stay.
        """
        for _ in range(_TRIES):
            with self._among_the_holders(mode, alone=alone) as is_first:
                if is_first and self._config.mode() != mode:
                    self._config.set_mode(mode)
                if is_first and not alone:
                    self._board.change(self._let_others_in)
                if self._config.mode() == mode:
                    yield
                    return
                # The next one to come sets it again.
                self._board.change(lambda state: {**state, "mode": ""})
        raise PlatformTrouble("mesh config changed by others", f"mode {mode} was set {_TRIES} times and did not stay")

    def _let_others_in(self, state: State) -> State | None:
        held = state.get("holders", {}).get(self._me)
        return {**state, "holders": {**state["holders"], self._me: {**held, "alone": False}}} if held else None

    @contextmanager
    def _among_the_holders(self, mode: Mode, *, alone: bool) -> Iterator[bool]:
        """Hold it; whether nobody else does, so that the mode can be set."""
        state: State = {}

        def look() -> bool | None:
            nonlocal state
            state = self._board.change(lambda now: asked(now, self._me, mode, alone=alone))
            held = state.get("holders", {}).get(self._me)
            return None if held is None else bool(held["alone"])

        was_let_in = False
        try:
            is_first = wait_for(
                f"the mesh in mode {mode}{' alone' if alone else ''}",
                look,
                seconds=WAIT_SECONDS,
                hint="egress-conformance status",
                every=_LOOK_SECONDS,
                seen=lambda: f"in mode {state.get('mode')}, held by {', '.join(state.get('holders', {})) or 'nobody'}",
            )
            was_let_in = True
            with self._board.renewed(lambda now: renewed(now, self._me)):
                yield is_first
        finally:
            # What was seen meanwhile says nothing: the mesh may have been in another mode.
            if not persist(self._leave) and was_let_in:
                raise PlatformTrouble("mode lease lost", f"not renewed for {HOLD_SECONDS} s, and others went on")

    def _leave(self) -> bool:
        """Let go of it; whether it was held until now."""
        was_there = False

        def leave(state: State) -> State:
            nonlocal was_there
            was_there = self._me in state.get("holders", {})
            return left(state, self._me)

        self._board.change(leave)
        return was_there
