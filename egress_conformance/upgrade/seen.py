"""What the cases of an upgrade judge: its time line, its diffs, and where they fall short."""

from collections.abc import Sequence
from dataclasses import dataclass

from egress_conformance.errors import ExitCode, PlatformTrouble
from egress_conformance.report.upgrade import Comparison, Compatibility, InForce, Segment, Sent
from egress_conformance.report.words import several
from egress_conformance.upgrade.in_force import is_of

SHOWN = 5
"""Changes that are told with a verdict; the diff has all of them."""


def _lost(name: str, sent: Sent, count: int) -> str:
    return f"{count} of {several(sent.requests, 'request')} to {sent.destination} in {name}"


class NotTried(Exception):  # noqa: N818  (a verdict, not an error)
    """The route a case is about was not taken: it is skipped."""


@dataclass(frozen=True)
class Seen:
    """One upgrade.

    Attributes:
        old: the version of Istio before, as the tags of images have it.
        new: the one after.
        routes: that were to be taken.
        segments: what was done.
        comparisons: ledgers held against each other.
        control: why the load would not have noticed a loss; nothing if it would.
        compatibility: what the compatibility version brought back.
        trouble: what ended the upgrade early; "" if nothing.
    """

    old: str
    new: str
    routes: Sequence[str]
    segments: Sequence[Segment]
    comparisons: Sequence[Comparison]
    control: Sequence[str]
    compatibility: Compatibility | None
    trouble: str

    def take(self, *routes: str) -> None:
        """See that one of these routes was to be taken.

        Raises:
            NotTried: none was.
        """
        if not any(route in self.routes for route in routes):
            raise NotTried(f"route {' or '.join(routes)} was not taken")

    def named(self, name: str) -> Segment:
        """A step or a station that was done.

        Raises:
            PlatformTrouble: it was not, or not to its end.
        """
        segment = next((each for each in self.segments if each.name == name), None)
        if segment is None:
            raise PlatformTrouble("not reached", f"{name}: {self.trouble or 'it was not done'}")
        if segment.problem:
            raise PlatformTrouble("not done", f"{name}: {segment.problem}")
        return segment

    def cluster_at(self, name: str) -> InForce:
        """How the cluster stood at the end of a step or a station."""
        found = self.named(name).in_force
        if found is None:
            raise PlatformTrouble("not looked", f"nobody saw how the cluster stood at the end of {name}")
        return found

    def loses_nothing(self, *names: str) -> None:
        """No request is lost in these steps and stations.

        Raises:
            AssertionError: some were.
            PlatformTrouble: one of them was not done, a loss would not have been noticed, or the machine stood still.
        """
        if self.control:
            raise PlatformTrouble("control failed", "; ".join(self.control))
        found = [self.named(name) for name in names]
        counted = [(segment.name, each, each.lost - each.stalled) for segment in found for each in segment.sent]
        lost = [_lost(name, each, count) for name, each, count in counted if count]
        assert not lost, f"lost: {', '.join(lost)}"  # noqa: S101
        stalled = [_lost(name, each, each.stalled) for name, each, _ in counted if each.stalled]
        if stalled:
            raise PlatformTrouble("machine stood still", f"requests past the mesh were slow too: {', '.join(stalled)}")
        if not all(each.requests for segment in found for each in segment.sent):
            raise PlatformTrouble("nothing sent", f"not every destination was sent to in {', '.join(names)}")

    def rejects_nothing(self, name: str) -> None:
        """No client of the load rejects configuration in a step or a station."""
        rejected = self.named(name).rejected_by_load
        assert not rejected, f"rejected in {name}: {rejected[0]}"  # noqa: S101

    def has_proxies(self, name: str, version: str) -> None:
        """All clients have the proxy of a version at the end of a step or a station."""
        proxies = self.cluster_at(name).proxies
        others = [each for each in proxies if not is_of(each, version)]
        assert proxies and not others, f"after {name} the proxies are {proxies}, not all {version}"  # noqa: PT018, S101

    def is_explained(self, old: str, new: str) -> None:
        """Nothing changes between two stations that nobody explains.

        Raises:
            AssertionError: something does.
            PlatformTrouble: one of them was not reached, or the two cannot be compared.
        """
        found = next((each for each in self.comparisons if (each.old, each.new) == (old, new)), None)
        if found is None:
            for name in (old, new):
                self.named(name)
            raise PlatformTrouble("not comparable", f"{old} and {new}: there is no ledger")
        if found.exit_code not in {ExitCode.PASSED, ExitCode.FAILED}:
            raise PlatformTrouble("not comparable", f"{old} and {new}: {found.outcome}")
        red = [change for change in found.changes if change.endswith("unexplained)")]
        more = f", and {len(red) - SHOWN} more" if len(red) > SHOWN else ""
        told = f"from {old} to {new}: {found.outcome}: {'; '.join(red[:SHOWN])}{more}"
        assert found.exit_code == ExitCode.PASSED, told  # noqa: S101
