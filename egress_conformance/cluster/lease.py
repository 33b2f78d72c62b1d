"""One run at a time on a cluster: a Kubernetes Lease that a crashed holder loses.

https://kubernetes.io/docs/concepts/architecture/leases/
"""

import datetime
import os
import socket
import threading

from egress_conformance.cluster.board import API, TIME_FORMAT, state_of
from egress_conformance.cluster.kube import Doc, Kube, Refused
from egress_conformance.errors import PlatformTrouble, UserError

OWN_NAMESPACE = "egress-conformance"
"""Namespace of what the suite keeps in a cluster: the world, its lock, the saved mesh config."""

_SECONDS = 30


def holder_of(run: str) -> str:
    """How a Lease names this process as the holder for a run."""
    return f"{run} {os.getpid()} {socket.gethostname()}"


def refuse_taken(kube: Kube, namespace: str) -> None:
    """See that no run is using a cluster.

    Args:
        kube: the cluster.
        namespace: where the Lease is.

    Raises:
        UserError: one is.
    """
    held = kube.get(API, "Lease", "run", namespace)
    if held is not None and not lost(held):
        run, pid, host = str(held["spec"]["holderIdentity"]).split()
        raise UserError(
            f"another run is using this cluster (run {run}, process {pid} on {host})",
            "wait for it to end, or stop it",
        )


class RunLease:
    """The right to use a cluster, held by one run.

    Args:
        kube: the cluster.
        namespace: where the Lease is.
        run: id of the run.

    Attributes:
        joined: the run that was under way and was joined; "" for one of its own.
        mesh_config: digest of the mesh config that run found.
    """

    joined = ""
    mesh_config = ""

    def __init__(self, kube: Kube, namespace: str, run: str) -> None:
        self._kube = kube
        self._path = f"/apis/{API}/namespaces/{namespace}/leases"
        self._namespace = namespace
        self._holder = holder_of(run)
        self._stop = threading.Event()
        self._renewer = threading.Thread(target=self._renew, name="run lease", daemon=True)

    def _doc(self, version: str | None = None) -> Doc:
        now = datetime.datetime.now(datetime.UTC).strftime(TIME_FORMAT)
        metadata = {"name": "run", "namespace": self._namespace}
        if version is not None:
            metadata["resourceVersion"] = version
        spec = {"holderIdentity": self._holder, "leaseDurationSeconds": _SECONDS, "renewTime": now}
        return {"apiVersion": API, "kind": "Lease", "metadata": metadata, "spec": spec}

    def take(self) -> str | None:
        """Take the lease and keep renewing it.

        Returns:
            The holder it was taken from, if that one crashed.

        Raises:
            UserError: another run holds it.
        """
        previous = self._take()
        self._renewer.start()
        return previous

    def _take(self) -> str | None:
        try:
            self._kube.raw("POST", self._path, body=self._doc())
        except Refused as refused:
            if refused.status != 409:
                raise
        else:
            return None
        refuse_taken(self._kube, self._namespace)
        held = self._kube.get(API, "Lease", "run", self._namespace)
        if held is None:
            return self._take()
        holder = str(held["spec"]["holderIdentity"])
        try:
            self._kube.raw("PUT", f"{self._path}/run", body=self._doc(held["metadata"]["resourceVersion"]))
        except Refused:
            raise UserError("another run took this cluster just now", "wait for it to end") from None
        return holder

    def _version(self) -> str | None:
        """The resource version of the Lease; None where it is another run's by now, or gone."""
        held = self._kube.get(API, "Lease", "run", self._namespace)
        ours = held is not None and held["spec"]["holderIdentity"] == self._holder
        return str(held["metadata"]["resourceVersion"]) if held is not None and ours else None

    def _renew(self) -> None:
        while not self._stop.wait(_SECONDS / 3):
            try:
                version = self._version()
                if version is None:
                    return
                # Kubernetes takes no update of a Lease without the version it is based on.
                self._kube.raw("PUT", f"{self._path}/run", body=self._doc(version))
            except (Refused, PlatformTrouble):
                # The API server is away for a moment, or for good: the cases will say so; try again.
                continue

    def opened(self, mesh_config: str) -> None:
        """The platform is up: others may join, where this is a lease for several.

        Args:
            mesh_config: digest of the mesh config that was found.
        """

    def leave(self) -> bool:
        """Be done with the cluster; whether nobody else is at work on it, so that it must be put back."""
        return True

    def release(self) -> None:
        """Give the lease back, unless another run took it meanwhile."""
        self._stop.set()
        if self._renewer.is_alive():
            self._renewer.join(_SECONDS)
        if self._version() is not None:
            self._kube.delete(self._doc())


def lost(held: Doc) -> bool:
    """Whether the holder is gone: its time ran out, or it was a process of this machine that is no more."""
    spec = held["spec"]
    renewed = datetime.datetime.strptime(str(spec["renewTime"]), TIME_FORMAT).replace(tzinfo=datetime.UTC)
    if datetime.datetime.now(datetime.UTC) - renewed > datetime.timedelta(seconds=spec["leaseDurationSeconds"]):
        return True
    _, pid, host = str(spec["holderIdentity"]).split()
    if host != socket.gethostname() or state_of(held):  # one shard's process may be gone, and others at work
        return False
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        return False
    return False
