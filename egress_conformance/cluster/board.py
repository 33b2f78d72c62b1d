"""A small JSON value in a cluster that several machines change, each change made on what is really there.

It lies in an annotation of a Lease. The API server takes an update only if nobody else made one since the value was
read; else it is read and changed again (https://kubernetes.io/docs/reference/using-api/api-concepts/, resource
versions). Who holds something on it says until when: what a process that crashed held is nobody's after that. Machines
must agree on the time to within some seconds, as nodes of a cluster do.
"""

import datetime
import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from egress_conformance.cluster.kube import Doc, Kube, Refused
from egress_conformance.errors import PlatformTrouble
from egress_conformance.waiting import wait_for

API = "coordination.k8s.io/v1"
ANNOTATION = "egress-conformance/state"

MODE_BOARD, TURNS_BOARD = "mode", "turns"
"""Boards of the shards of a run: who holds the mesh in which mode, and whose turn it is to change it."""

HOLD_SECONDS = 30
"""How long what is held stays held without a word from its holder."""

RENEWALS = 3
"""How often it is renewed within that time."""

_CHANGE_SECONDS = 20
_CONFLICT_SECONDS = 0.02
TIME_FORMAT = "%Y-%m-%dT%H:%M:%S.%fZ"
"""How a Lease has its times (MicroTime)."""

State = dict[str, Any]
Update = Callable[[State], State | None]
"""Makes a new value of the old one, which it leaves as it is; None where nothing is to change. May be called again."""


def until() -> float:
    """What is held from now on is held until then, in seconds since 1970."""
    return time.time() + HOLD_SECONDS


def alive(held: State) -> bool:
    """Whether the time of something that is held has not run out."""
    return bool(held["until"] > time.time())


def silent(held: State) -> bool:
    """Whether the holder of something missed a renewal: it may be gone, which is certain when its time has run out."""
    return bool(held["until"] - time.time() < HOLD_SECONDS * (1 - 1.5 / RENEWALS))


class Board:
    """A value that several machines share.

    Args:
        kube: the cluster.
        namespace: where its Lease is.
        name: of the Lease.
        holder: who changes it, for people that look at the Lease.

    Attributes:
        holder: see above.
    """

    def __init__(self, kube: Kube, namespace: str, name: str, holder: str) -> None:
        self._kube = kube
        self._path = f"/apis/{API}/namespaces/{namespace}/leases"
        self._namespace = namespace
        self._name = name
        self.holder = holder

    def _doc(self, state: State, version: str | None) -> Doc:
        metadata: Doc = {
            "name": self._name,
            "namespace": self._namespace,
            "annotations": {ANNOTATION: json.dumps(state)},
        }
        if version is not None:
            metadata["resourceVersion"] = version
        now = datetime.datetime.now(datetime.UTC).strftime(TIME_FORMAT)
        spec = {"holderIdentity": self.holder, "leaseDurationSeconds": HOLD_SECONDS, "renewTime": now}
        return {"apiVersion": API, "kind": "Lease", "metadata": metadata, "spec": spec}

    def lease(self) -> Doc | None:
        """The Lease as it is; None where there is none."""
        return self._kube.get(API, "Lease", self._name, self._namespace)

    def change(self, update: Update) -> State:
        """Change the value.

        Returns:
            What it is now.

        Raises:
            PlatformTrouble: the API server does not answer, or others were faster each time.
        """
        return wait_for(
            f"a turn to change Lease {self._namespace}/{self._name}",
            lambda: self._try(update),
            seconds=_CHANGE_SECONDS,
            hint=f"kubectl -n {self._namespace} get lease {self._name} -o yaml",
            every=_CONFLICT_SECONDS,
            seen=lambda: "others changed it first",
        )

    def _try(self, update: Update) -> State | None:
        lease = self.lease()
        old = state_of(lease)
        new = update(old)
        if new is None:
            return old
        return new if self.put(new, lease) else None

    def put(self, state: State, instead_of: Doc | None) -> bool:
        """Put a value in the place of what was read; False where that has changed or gone meanwhile."""
        try:
            if instead_of is None:
                self._kube.raw("POST", self._path, body=self._doc(state, None))
            else:
                version = str(instead_of["metadata"]["resourceVersion"])
                self._kube.raw("PUT", f"{self._path}/{self._name}", body=self._doc(state, version))
        except Refused as refused:
            if refused.status in {404, 409}:
                return False
            raise
        return True

    def remove(self) -> None:
        """Remove the value, and its Lease."""
        self._kube.delete(self._doc({}, None))

    @contextmanager
    def renewed(self, renew: Update) -> Iterator[None]:
        """Renew what is held, again and again, as long as the `with` block lasts.

        Args:
            renew: makes the value in which it is held anew; None once it is lost.
        """
        stop = threading.Event()

        def keep() -> None:
            while not stop.wait(HOLD_SECONDS / RENEWALS):
                try:
                    self.change(renew)
                except (Refused, PlatformTrouble):
                    continue  # away for a moment, or for good: the cases will say so

        thread = threading.Thread(target=keep, name=f"renew {self._name}", daemon=True)
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join(HOLD_SECONDS)


def state_of(lease: Doc | None) -> State:
    """The value in a Lease; {} where it has none, or there is no Lease."""
    if lease is None:
        return {}
    state: State = json.loads((lease["metadata"].get("annotations") or {}).get(ANNOTATION, "{}"))
    return state
