"""What becomes another in the cluster while nobody asks: control planes and clients, seen once a second."""

import threading
import time

from egress_conformance.cluster.kube import Kube, Refused
from egress_conformance.errors import PlatformTrouble
from egress_conformance.mesh.config import ISTIO_NAMESPACE
from egress_conformance.report.upgrade import Event
from egress_conformance.upgrade.evidence import NAMESPACE
from egress_conformance.upgrade.in_force import proxy_of, tag
from egress_conformance.world.pods import is_going, is_ready

LOOK_SECONDS = 1


class Watch:
    """Notes each change, with its time.

    Args:
        kube: the cluster.
        started: when the time line begins, in seconds since 1970.
    """

    def __init__(self, kube: Kube, started: float) -> None:
        self._kube = kube
        self._started = started
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._look_for_ever, name="watch", daemon=True)
        self._last: dict[str, str] | None = None
        self.events: list[Event] = []

    def start(self) -> None:
        """Begin to look."""
        self._thread.start()

    def stop(self) -> None:
        """Look no more."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()

    def _look_for_ever(self) -> None:
        while not self._stop.wait(LOOK_SECONDS):
            try:
                self.look(states(self._kube), time.time())
            except (PlatformTrouble, Refused) as trouble:
                self._note(time.time(), f"the API server does not answer: {trouble}")

    def look(self, now: dict[str, str], at: float) -> None:
        """Take in how things are."""
        before = now if self._last is None else self._last
        self._last = now
        for name in sorted(before.keys() | now.keys()):
            if before.get(name) != now.get(name):
                self._note(at, f"{name}: {now.get(name, 'gone')}")

    def _note(self, at: float, what: str) -> None:
        if not self.events or self.events[-1].what != what:
            self.events.append(Event(at=round(at - self._started, 1), what=what))


def states(kube: Kube) -> dict[str, str]:
    """How control planes and clients stand, by pod."""
    found = {}
    for pod in kube.find("v1", "Pod", ISTIO_NAMESPACE, "app=istiod"):
        image = tag(pod["spec"]["containers"][0]["image"])
        found[pod["metadata"]["name"]] = f"istiod {image} {_state(pod)}"
    for pod in kube.find("v1", "Pod", NAMESPACE, "app=load"):
        found[pod["metadata"]["name"]] = f"proxy {proxy_of(pod)} {_state(pod)}"
    return found


def _state(pod: dict[str, object]) -> str:
    if is_going(pod):
        return "on its way out"
    return "ready" if is_ready(pod) else "not ready"
