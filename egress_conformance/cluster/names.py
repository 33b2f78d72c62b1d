"""What the suite's namespaces in a cluster are called."""

from dataclasses import dataclass

from egress_conformance.cluster.lease import OWN_NAMESPACE
from egress_conformance.errors import PlatformTrouble, UserError


def prefix(run: str, member: str = "") -> str:
    """What the names of all namespaces begin with that a run makes for its clients.

    Args:
        run: its id.
        member: of the shards that share the cluster: of that one alone.
    """
    return "-".join(["egress", run, *([member] if member else []), ""])


@dataclass(frozen=True)
class Names:
    """What the namespaces are called.

    Args:
        given: the world's, and one for the client of each worker; () where they are made.
    """

    given: tuple[str, ...] = ()

    @classmethod
    def parse(cls, typed: str | None) -> "Names":
        """From what was typed for `--namespaces`.

        Raises:
            UserError: there are less than two, or one twice.
        """
        if typed is None:
            return cls()
        names = tuple(typed.split(","))
        if len(names) < 2 or "" in names or len(set(names)) < len(names):
            raise UserError(
                f"--namespaces {typed} does not name one namespace for the world and others for clients",
                "--namespaces egress-world,egress-client-1,egress-client-2",
            )
        return cls(names)

    @property
    def own(self) -> str:
        """The world's, where the run's Lease and the saved mesh config are too."""
        return self.given[0] if self.given else OWN_NAMESPACE

    @property
    def clients(self) -> tuple[str, ...]:
        """Those that were given for clients."""
        return self.given[1:]

    def of_run(self, run: str) -> tuple[str, ...]:
        """What the names of those with clients of a run begin with."""
        return self.clients or (prefix(run),)

    def of_worker(self, run: str, member: str, worker: str) -> str:
        """Where the client of a worker is.

        Args:
            run: id of the run.
            member: of the shards that share the cluster; "" where it is this run's alone.
            worker: its name; those of xdist end in a number, from 0 on.

        Raises:
            PlatformTrouble: the given ones are in use, as a worker crashed and this one is in its place.
        """
        if not self.given:
            return prefix(run, member) + worker
        number = int(worker.removeprefix("gw")) if worker.startswith("gw") else 0
        if number >= len(self.clients):
            raise PlatformTrouble("no namespace", f"{len(self.clients)} were given, and none is left for {worker}")
        return self.clients[number]


MADE = Names()
"""None is given: the suite makes its own."""
