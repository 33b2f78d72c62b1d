"""The turns of workers of several machines; why there are any: `mesh.turns`."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

from egress_conformance.cluster.board import Board, State, alive, until
from egress_conformance.mesh.turns import Turns
from egress_conformance.waiting import persist, wait_for

WAIT_SECONDS = 120
"""How long others may take over their changes; hundreds at once take seconds."""

_LOOK_SECONDS = 0.1


def asked(state: State, me: str) -> State | None:
    """The state in which it is the turn of `me`; None while it is another's."""
    holder = state.get("holder")
    if holder and holder["who"] != me and alive(holder):
        return None
    return {"last": state.get("last", ""), "holder": {"who": me, "until": until()}}


class SharedTurns(Turns):
    """The turns of one worker.

    Args:
        board: common to all workers.
        me: name of this worker, another one for each.
    """

    def __init__(self, board: Board, me: str) -> None:
        super().__init__()
        self._board = board
        self._me = me

    @contextmanager
    def _turn(self, *, quiet: float) -> Iterator[None]:
        state = wait_for(
            "a turn to change the mesh",
            self._take,
            seconds=WAIT_SECONDS,
            hint="egress-conformance status",
            every=_LOOK_SECONDS,
            seen=lambda: "another worker changes it",
        )
        with self._board.renewed(self._renewed):
            if state["last"] not in {"", self._me}:
                # When exactly the other one was done its own clock knows: the whole time, to be sure. Nobody changes
                # anything meanwhile.
                time.sleep(quiet)
            try:
                yield
            finally:
                persist(lambda: self._board.change(self._done))

    def _take(self) -> State | None:
        state = self._board.change(lambda now: asked(now, self._me))
        return state if (state.get("holder") or {}).get("who") == self._me else None

    def _renewed(self, state: State) -> State | None:
        return asked(state, self._me) if (state.get("holder") or {}).get("who") == self._me else None

    def _done(self, state: State) -> State:
        mine = (state.get("holder") or {}).get("who") == self._me
        return {"last": self._me, "holder": None if mine else state.get("holder")}
