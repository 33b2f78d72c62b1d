"""The time line of an upgrade: steps and stations, and how the cluster stood at the end of each."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from egress_conformance.cluster.kube import Kube
from egress_conformance.errors import PlatformTrouble
from egress_conformance.report import headline
from egress_conformance.report.find import read_ledger
from egress_conformance.report.ledger import Ledger
from egress_conformance.report.upgrade import InForce, Segment
from egress_conformance.upgrade.evidence import Evidence
from egress_conformance.upgrade.in_force import in_force, rejections, risen
from egress_conformance.upgrade.load import Load
from egress_conformance.upgrade.sent import sent
from egress_conformance.waiting import persist

DRAIN_SECONDS = 60
"""A proxy closes the connections of a listener that was replaced after 45 s (ProxyConfig.drainDuration)."""

Say = Callable[[str], None]


@dataclass
class Part:
    """A step or a station while it is under way; times in seconds since 1970."""

    name: str
    kind: Literal["step", "station"]
    route: str
    what: str
    begins: float
    ends: float = 0
    problem: str = ""
    rejected: int = 0
    in_force: InForce | None = None
    ledger: str = ""
    exit_code: int | None = None


class Timeline:
    """What was done and when.

    Args:
        kube: the cluster.
        load: what is sent meanwhile.
        folder: of the report.
        say: tells the user what goes on.
    """

    def __init__(self, kube: Kube, load: Load, folder: Path, say: Say) -> None:
        self._kube = kube
        self._load = load
        self._folder = folder
        self._say = say
        self.started = time.time()
        self.parts: list[Part] = []
        self.ledgers: dict[str, Ledger] = {}

    @contextmanager
    def step(self, name: str, route: str, what: str, *, drain: bool = False) -> Iterator[None]:
        """Something that is done; the step ends when every client has sent some more.

        Args:
            name: of the step.
            route: it belongs to.
            what: is done.
            drain: wait until proxies have closed the connections of listeners that were replaced.

        Raises:
            PlatformTrouble: it could not be done; that is noted too.
        """
        with self._part(Part(name, "step", route, what, time.time())):
            yield
            self._load.settle(DRAIN_SECONDS if drain else 0)

    def station(self, name: str, route: str, what: str, suite: Callable[[Path], int]) -> None:
        """A run of the suite. One that comes to no result is noted, and the upgrade goes on.

        Args:
            name: of the station.
            route: it belongs to.
            what: where the cluster stands.
            suite: runs the suite, leaves what it made in the folder it is given, and returns its exit code.
        """
        with suppress(PlatformTrouble), self._part(Part(name, "station", route, what, time.time())) as part:
            part.ledger = f"stations/{name.replace(' ', '-')}/ledger.json"
            path = self._folder / part.ledger
            part.exit_code = suite(path.parent)
            self.ledgers[name] = read_ledger(path)
            self._say(f"  exit code {part.exit_code}, {headline(self.ledgers[name])}")

    @contextmanager
    def _part(self, part: Part) -> Iterator[Part]:
        self._say(f"{part.kind} {part.name}: {part.what}")
        before = persist(lambda: rejections(self._kube))
        try:
            yield part
        except PlatformTrouble as trouble:
            part.problem = str(trouble)
            self._say(f"  not done: {trouble}")
            raise
        finally:
            part.ends = time.time()
            self.parts.append(part)
        part.rejected = risen(before, persist(lambda: rejections(self._kube)))
        part.in_force = persist(lambda: in_force(self._kube))

    def spans(self) -> list[tuple[str, float, float]]:
        """Names, begins and ends; each lasts until the next one begins."""
        ends = [part.begins for part in self.parts[1:]] + [float("inf")]
        return [(part.name, part.begins, end) for part, end in zip(self.parts, ends, strict=True)]

    def segments(self, evidence: Evidence) -> list[Segment]:
        """The parts as the report has them, with what was sent in each."""
        found = []
        for part, (_, begins, ends) in zip(self.parts, self.spans(), strict=True):
            segment = Segment(
                name=part.name,
                kind=part.kind,
                route=part.route,
                what=part.what,
                begins=round(begins - self.started, 1),
                ends=round(part.ends - self.started, 1),
                problem=part.problem,
                sent=sent(evidence.between(begins, ends), self._load.destinations, evidence.stalled_ms),
                rejected=part.rejected,
                rejected_by_load=evidence.rejected(begins, ends),
                in_force=part.in_force,
                ledger=part.ledger if part.name in self.ledgers else "",
                exit_code=part.exit_code,
            )
            found.append(segment)
        return found
