"""Logs of containers, followed while they are written: a pod that goes takes nothing with it that was not read."""

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import kubernetes
import urllib3
from kubernetes.client.exceptions import ApiException

from egress_conformance.cluster.kube import Doc, Kube, Refused
from egress_conformance.errors import PlatformTrouble

LOOK_SECONDS = 0.5
"""Between two looks for new pods, and before a log that ended is opened again."""

SILENT_SECONDS = 30
"""After so long without a line a log is opened anew: the connection may be dead."""


@dataclass(frozen=True)
class Source:
    """A container whose log is followed."""

    namespace: str
    pod: str
    uid: str
    container: str


@dataclass(frozen=True)
class Line:
    """A line, and whose."""

    source: Source
    text: str


OpenLog = Callable[[Source, int | None], Iterator[str]]
"""Gives the lines of a log as they are written, from its beginning or from so many seconds ago."""


@dataclass(frozen=True)
class Watched:
    """Pods whose logs are followed, and which lines of them are kept."""

    namespace: str
    labels: str
    keep: Callable[[str, str], bool]


class Logs:
    """Follows the logs of pods, those that come later too.

    Args:
        kube: the cluster.
        open_log: opens a log; of the cluster's API server unless something else is given.
    """

    def __init__(self, kube: Kube, open_log: OpenLog | None = None) -> None:
        self._kube = kube
        self._open = open_log or _opener(kube)
        self._watched: list[Watched] = []
        self._followed: dict[Source, threading.Thread] = {}
        self._lines: list[Line] = []
        # A line that is read twice, because a log was opened again, is kept once.
        self._seen: dict[Source, set[str]] = {}
        self._stop = threading.Event()
        self._finder = threading.Thread(target=self._find_for_ever, name="find logs", daemon=True)

    def start(self) -> None:
        """Begin to look for pods."""
        self._finder.start()

    def watch(self, namespace: str, labels: str, keep: Callable[[str, str], bool]) -> None:
        """Follow the logs of pods.

        Args:
            namespace: theirs.
            labels: theirs.
            keep: whether a line is kept, by container and text.
        """
        self._watched.append(Watched(namespace, labels, keep))

    def lines(self, after: int = 0) -> list[Line]:
        """What was kept so far, less so many that came first; those of one container in the order of writing."""
        return self._lines[after:]

    def close(self, seconds: float) -> None:
        """Read what there is of pods that went, and follow nothing more.

        Args:
            seconds: how long the last lines of pods that went may take.
        """
        self._stop.set()
        until = time.monotonic() + seconds
        gone = [thread for source, thread in self._followed.items() if self._is_gone(source)]
        for thread in gone:
            thread.join(max(0.0, until - time.monotonic()))

    def _find_for_ever(self) -> None:
        while not self._stop.is_set():
            self.find()
            self._stop.wait(LOOK_SECONDS)

    def find(self) -> None:
        """Follow the containers that run and are not followed yet."""
        for watched in list(self._watched):
            try:
                pods = self._kube.find("v1", "Pod", watched.namespace, watched.labels)
            except (PlatformTrouble, Refused):
                continue  # the API server is away for a moment; look again
            for source in (source for pod in pods for source in _started(pod) if source not in self._followed):
                self._seen[source] = set()
                thread = threading.Thread(target=self._follow, args=(source, watched.keep), daemon=True)
                self._followed[source] = thread
                thread.start()

    def _follow(self, source: Source, keep: Callable[[str, str], bool]) -> None:
        last: float | None = None
        seen, pause = self._seen[source], LOOK_SECONDS
        while True:
            # A container that is done, like istio-init, has nothing more to say.
            pause = min(2 * pause, SILENT_SECONDS)
            since = None if last is None else int(time.monotonic() - last) + 2
            try:
                for text in self._open(source, since):
                    last, pause = time.monotonic(), LOOK_SECONDS
                    if text not in seen and keep(source.container, text):
                        seen.add(text)
                        self._lines.append(Line(source, text))
            except (urllib3.exceptions.HTTPError, OSError, ApiException):
                pause = LOOK_SECONDS  # silent for long, or the API server is away: open it again
            if self._is_gone(source) or self._stop.wait(pause):
                return

    def _is_gone(self, source: Source) -> bool:
        try:
            pod = self._kube.get("v1", "Pod", source.pod, source.namespace)
        except (PlatformTrouble, Refused):
            return False
        return pod is None or pod["metadata"]["uid"] != source.uid


def _started(pod: Doc) -> Iterator[Source]:
    """The containers of a pod that have a log."""
    metadata, status = pod["metadata"], pod.get("status", {})
    for container in [*status.get("initContainerStatuses", []), *status.get("containerStatuses", [])]:
        if container.get("state", {}).keys() & {"running", "terminated"}:
            yield Source(metadata["namespace"], metadata["name"], metadata["uid"], container["name"])


def _opener(kube: Kube) -> OpenLog:
    """Logs of a cluster, over connections of their own: each stays open."""
    api = kubernetes.config.new_client_from_config(config_file=str(kube.kubeconfig), context=kube.context)
    core = kubernetes.client.CoreV1Api(api)

    def open_log(source: Source, since: int | None) -> Iterator[str]:
        response: Any = core.read_namespaced_pod_log(
            source.pod,
            source.namespace,
            container=source.container,
            follow=True,
            since_seconds=since,
            _preload_content=False,
            _request_timeout=(10, SILENT_SECONDS),
        )
        try:
            yield from whole_lines(response.stream())
        finally:
            response.close()

    return open_log


def whole_lines(chunks: Iterator[bytes]) -> Iterator[str]:
    """Lines of a text that comes in chunks; one that has no end yet is given when the text ends."""
    rest = b""
    for chunk in chunks:
        *whole, rest = (rest + chunk).split(b"\n")
        yield from (line.decode(errors="replace") for line in whole)
    if rest:
        yield rest.decode(errors="replace")
