"""The client pods of one worker: made when a case asks for one, looked after between cases, made anew when broken."""

from dataclasses import dataclass
from pathlib import Path

from egress_conformance.cluster.kube import Doc, Kube, Refused, describe
from egress_conformance.errors import PlatformTrouble
from egress_conformance.mesh.manifests import ROOT, fill, merge
from egress_conformance.mesh.turns import Turns
from egress_conformance.waiting import wait_for
from egress_conformance.world.image_pull import copies
from egress_conformance.world.pods import SECONDS, is_going, is_ready, why_not_ready

CLIENT = "client"
"""Name of the pod every case has, and of the container that sends requests in any client pod."""


@dataclass(frozen=True)
class Pod:
    """A client pod as it was when it became ready."""

    namespace: str
    name: str
    uid: str
    address: str


class ClientPods:
    """Client pods in namespaces of one revision of Istio.

    Args:
        kube: the cluster.
        values: what the client's manifests want, less `namespace`, and what its image is pulled with (`image_pull`).
        turns: when the mesh may be changed: with a namespace comes a ServiceEntry.
        given: whether the namespaces themselves are somebody else's: only what is in them is made.
    """

    def __init__(self, kube: Kube, values: dict[str, str], turns: Turns | None = None, *, given: bool = False) -> None:
        self._kube = kube
        self._turns = turns or Turns()
        self._values = values
        self._given = given
        self._namespaces: set[str] = set()
        self._pods: dict[tuple[str, Path | None], Pod] = {}
        self._in_use: set[tuple[str, Path | None]] = set()
        self._seen_ready: set[str] = set()

    def next_case(self) -> None:
        """From here on only those count that are asked for anew."""
        self._in_use.clear()
        self._seen_ready.clear()

    def ready(self, namespace: str, patch: Path | None = None) -> Pod:
        """A client that is ready: the one there is, or a new one in its place.

        Args:
            namespace: where; made if it is not there.
            patch: a manifest laid over the client's own (manifests/platform/client.yaml), as kustomize does.

        Raises:
            PlatformTrouble: it does not become ready, or has no sidecar.
        """
        there = self._pods.get((namespace, patch))
        if there is not None and patch is None and namespace in self._seen_ready:
            # What became of it since it was seen in this case is for `problems` to tell.
            return there
        self._in_use.add((namespace, patch))
        if there is not None and self.problem(there) == "":
            if patch is None:
                self._seen_ready.add(namespace)
            return there
        if namespace not in self._namespaces:
            with self._turns.change():
                docs = fill(ROOT / "platform/client-namespace.yaml", {**self._values, "namespace": namespace})
                for doc in docs + copies(namespace, self._values):
                    if not (self._given and doc["kind"] == "Namespace"):
                        self._apply(doc)
            self._namespaces.add(namespace)
        doc = client_doc({**self._values, "namespace": namespace}, patch)
        if there is not None:
            self._remove(doc)
        self._apply(doc)
        pod = self._wait(doc)
        self._pods[namespace, patch] = pod
        return pod

    def problem(self, pod: Pod) -> str:
        """What is wrong with a client, "" if nothing."""
        found = self._kube.get("v1", "Pod", pod.name, pod.namespace)
        if found is None or found["metadata"]["uid"] != pod.uid or found["status"].get("phase") != "Running":
            why = (found or {}).get("status", {}).get("message") or "it is not the pod the case started with"
            return f"client pod gone: {why}"
        if is_going(found):
            return "client pod gone: it is being deleted"
        return "" if is_ready(found) else "client pod not ready"

    def in_use(self) -> list[Pod]:
        """The clients the case asked for."""
        return [pod for key, pod in self._pods.items() if key in self._in_use]

    def problems(self) -> str:
        """What is wrong with any of the clients the case asked for, "" if nothing."""
        return next((problem for pod in self.in_use() if (problem := self.problem(pod))), "")

    def _apply(self, doc: Doc) -> None:
        """Apply a document, with patience for webhooks: istiod is ready some moments before its Service leads to it."""
        last = ""

        def look() -> bool | None:
            nonlocal last
            try:
                self._kube.apply(doc)
            except PlatformTrouble as trouble:
                if "failed calling webhook" not in trouble.detail:
                    raise
                last = trouble.detail
                return None
            except Refused as refused:
                # Pod Security, a quota, a policy engine: nothing that the case is about.
                raise PlatformTrouble("client not admitted", f"{describe(doc)}: {refused.message}") from None
            return True

        wait_for(
            "istiod's webhook to answer",
            look,
            seconds=SECONDS,
            hint="kubectl -n istio-system get pods",
            seen=lambda: last,
        )

    def _remove(self, doc: Doc) -> None:
        self._kube.delete(doc)
        metadata = doc["metadata"]
        wait_for(
            f"client pod {metadata['name']} to go",
            lambda: None if self._kube.get("v1", "Pod", metadata["name"], metadata["namespace"]) else True,
            seconds=SECONDS,
            hint=f"kubectl -n {metadata['namespace']} describe pod {metadata['name']}",
        )

    def _wait(self, doc: Doc) -> Pod:
        name, namespace = doc["metadata"]["name"], doc["metadata"]["namespace"]
        last = ""

        def look() -> Doc | None:
            nonlocal last
            pod = self._kube.get("v1", "Pod", name, namespace)
            last = why_not_ready(pod) if pod else "not there"
            return pod if pod is not None and is_ready(pod) else None

        hint = f"kubectl -n {namespace} describe pod {name}"
        seconds = SECONDS
        pod = wait_for(f"client pod {name}", look, seconds=seconds, hint=hint, every=0.1, seen=lambda: last)
        if not has_sidecar(pod):
            revision = self._values["revision"]
            raise PlatformTrouble(
                "no sidecar", f"Istio injected none into {namespace}: is revision {revision!r} there?"
            )
        return Pod(namespace, name, str(pod["metadata"]["uid"]), str(pod["status"]["podIP"]))


def client_doc(values: dict[str, str], patch: Path | None) -> Doc:
    """The client's manifest, with a patch laid over it.

    Args:
        values: a value for each `${name}`.
        patch: mappings are merged, anything else replaces what is there; None: no patch.
    """
    (doc,) = fill(ROOT / "platform/client.yaml", values)
    if patch is None:
        return doc
    (changes,) = fill(patch, values)
    merged: Doc = merge(doc, changes)
    return merged


def has_sidecar(pod: Doc) -> bool:
    """Whether a pod has a sidecar, as a container or as an init container that stays."""
    spec = pod["spec"]
    return any(c["name"] == "istio-proxy" for c in spec["containers"] + spec.get("initContainers", []))
