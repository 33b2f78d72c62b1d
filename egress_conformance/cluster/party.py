"""The lease of a run that several processes share: shards, on one machine or on many, at once on one cluster.

The first one that comes brings the platform up and the last one that goes puts everything back, whichever they are.
"""

from contextlib import ExitStack, suppress

from egress_conformance.cluster.board import HOLD_SECONDS, Board, State, alive, silent, state_of, until
from egress_conformance.cluster.kube import Doc, Kube
from egress_conformance.cluster.lease import RunLease, holder_of, lost, refuse_taken
from egress_conformance.errors import Timeout, UserError
from egress_conformance.waiting import wait_for

COMING, UP, GOING = "coming up", "up", "being put back"


class PartyLease(RunLease):
    """The right to use a cluster, held by all processes of a party: by one as by all.

    Args:
        kube: the cluster.
        namespace: where the Lease is.
        run: id of the run, if this one is the first.
        name: what the party calls itself.
        member: name of this process, another one for each.
    """

    def __init__(self, kube: Kube, namespace: str, run: str, name: str, member: str) -> None:
        self._kube = kube
        self._namespace = namespace
        self._run = run
        self._name = name
        self._member = member
        self._renewing = ExitStack()
        self._is_last = False
        self._board = Board(kube, namespace, "run", holder_of(run))

    def take(self) -> str | None:
        """Take the lease, or a share of it, and keep renewing that.

        Returns:
            The holder it was taken from, if that one crashed.

        Raises:
            UserError: others hold it, or it cannot be joined just now.
        """
        held = self._board.lease()
        if held is not None and not lost(held):
            self._join(held)
            previous = None
        else:
            self._board.holder = holder_of(self._run)  # not that of a run that could not be joined
            mine = {"party": self._name, "run": self._run, "state": COMING, "members": self._me()}
            if not self._board.put(mine, held):
                raise UserError("another run took this cluster just now", "wait for it to end")
            previous = None if held is None else str(held["spec"]["holderIdentity"])
        self._renewing.enter_context(self._board.renewed(self._renewed))
        return previous

    def _join(self, held: Doc) -> None:
        state = state_of(held)
        if state.get("party") != self._name:
            refuse_taken(self._kube, self._namespace)
            raise UserError("another run had this cluster until now", "try again")
        if state["state"] != UP:
            raise UserError(f"the platform of {self._name} is {state['state']}", "wait for it")
        self._board.holder = holder_of(state["run"])
        if not self._board.put({**state, "members": state["members"] | self._me()}, held):
            raise UserError(f"others join {self._name} just now", "try again")
        self.joined, self.mesh_config = str(state["run"]), str(state["mesh config"])

    def _me(self) -> State:
        return {self._member: {"until": until()}}

    def _renewed(self, state: State) -> State | None:
        return {**state, "members": state["members"] | self._me()} if self._has(state) else None

    def opened(self, mesh_config: str) -> None:
        """The platform is up: others may join."""
        up = {"state": UP, "mesh config": mesh_config}
        self._board.change(lambda state: state | up if self._has(state) else None)

    def leave(self) -> bool:
        """Be done with the cluster; whether all others are, so that it must be put back. Nobody joins from then on.

        One that was killed just now puts nothing back: if another was not heard of for a while, that is waited for
        until it is clear which it is.
        """
        hint = "egress-conformance status"
        with suppress(Timeout):  # then it comes and goes: it is there
            wait_for("the other shards to be heard of", self._all_heard_of, seconds=HOLD_SECONDS, hint=hint, every=1)

        def leave(state: State) -> State | None:
            if not self._has(state):
                return None
            others = self._others(state)
            return {**state, "members": others} if others else {**state, "state": GOING, "members": self._me()}

        state = self._board.change(leave)
        self._is_last = self._has(state)
        return self._is_last

    def _all_heard_of(self) -> bool | None:
        others = self._others(state_of(self._board.lease()))
        return None if any(map(silent, others.values())) else True

    def _others(self, state: State) -> State:
        """The other members that are alive, as far as is known."""
        members = state.get("members", {})
        return {name: held for name, held in members.items() if name != self._member and alive(held)}

    def _has(self, state: State) -> bool:
        return self._member in state.get("members", {})

    def release(self) -> None:
        """Stop renewing; the last one removes the Lease."""
        self._renewing.close()
        held = self._board.lease()
        if self._is_last and held is not None and self._has(state_of(held)):
            self._board.remove()
