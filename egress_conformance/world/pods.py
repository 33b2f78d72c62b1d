"""The world's pods: started, replaced when their image changed, waited for."""

from collections.abc import Mapping

from egress_conformance.cluster.kube import Doc, Kube, Refused
from egress_conformance.errors import UserError
from egress_conformance.mesh.manifests import ROOT, fill
from egress_conformance.waiting import wait_for
from egress_conformance.world.image_pull import NOTHING, copies

SECONDS = 90
"""How long pods may take to come and go."""


def make_world(kube: Kube, namespace: str, image: str, pull: Mapping[str, str] = NOTHING) -> None:
    """Start the world's pods and Services; those of another image are replaced.

    Args:
        kube: the cluster.
        namespace: where.
        image: of the pods.
        pull: what it is pulled with, of `image_pull`.
    """
    services = kube.find("v1", "Service", "kube-system", "k8s-app=kube-dns")
    if not services:
        raise UserError("the cluster has no DNS Service (k8s-app=kube-dns in kube-system)", "install a cluster DNS")
    values = {"namespace": namespace, "world_image": image, "cluster_dns": services[0]["spec"]["clusterIP"]}
    values["image_pull_secrets"] = pull["image_pull_secrets"]
    platform = ROOT / "platform"
    docs = copies(namespace, pull) + fill(platform / "world.yaml", values)
    for name in ("alpha", "beta", "decoy"):
        docs += fill(platform / "world-server.yaml", {**values, "name": name})
    for doc in docs:
        _apply_or_replace(kube, namespace, doc)


def _apply_or_replace(kube: Kube, namespace: str, doc: Doc) -> None:
    """Apply a document; a pod that ended, is going, or differs in what no pod can change or in its image, is made anew.

    A pod's image can be changed, but its container then restarts while the pod still counts as ready.
    """
    name = doc["metadata"]["name"]
    there = kube.get(doc["apiVersion"], doc["kind"], name, namespace) if doc["kind"] == "Pod" else None
    if there is None or _may_stay(there, doc):
        try:
            kube.apply(doc)
        except Refused as refused:
            if there is None or refused.status != 422:
                raise
        else:
            return
    kube.delete(doc)
    wait_for(
        f"world pod {name} to go",
        lambda: True if kube.get("v1", "Pod", name, namespace) is None else None,
        seconds=SECONDS,
        hint=f"kubectl -n {namespace} describe pod {name}",
    )
    kube.apply(doc)


def _may_stay(there: Doc, wanted: Doc) -> bool:
    """Whether a pod runs and needs no restart: with another image it would be called ready until it is restarted."""
    images = [
        [container["image"] for container in pod.get("spec", {}).get("containers", [])] for pod in (there, wanted)
    ]
    runs = there["status"].get("phase") in {"Pending", "Running"} and not is_going(there)
    return runs and images[0] == images[1]


def wait_for_pods(kube: Kube, namespace: str, labels: str) -> list[Doc]:
    """Wait until the pods with these labels are there and ready, and return them.

    Raises:
        Timeout: they are not; it names each that is not ready and why.
    """
    last: list[str] = []

    def look() -> list[Doc] | None:
        pods = kube.find("v1", "Pod", namespace, labels)
        last[:] = [why_not_ready(pod) for pod in pods if not is_ready(pod)] or ["no pods"]
        return pods if pods and all(is_ready(pod) for pod in pods) else None

    return wait_for(
        f"the pods {labels} in {namespace} to be ready",
        look,
        seconds=SECONDS,
        hint=f"kubectl -n {namespace} describe pods",
        every=0.1,
        seen=lambda: "; ".join(last),
    )


def is_ready(pod: Doc) -> bool:
    """Whether a pod is ready, and stays: one that is being deleted answers for a moment yet."""
    if is_going(pod):
        return False
    conditions = pod.get("status", {}).get("conditions", [])
    return any(c["type"] == "Ready" and c["status"] == "True" for c in conditions)


def is_going(pod: Doc) -> bool:
    """Whether a pod is being deleted."""
    return "deletionTimestamp" in pod.get("metadata", {})


def pod_states(kube: Kube, namespace: str, labels: str) -> dict[str, str]:
    """What tells pods from their successors, by name: it changes when one is replaced or a container is restarted."""
    return {pod["metadata"]["name"]: pod_state(pod) for pod in kube.find("v1", "Pod", namespace, labels)}


def pod_state(pod: Doc) -> str:
    """What tells a pod from its successor and from itself after a restart."""
    restarts = sum(status["restartCount"] for status in pod["status"].get("containerStatuses", []))
    return f"{pod['metadata']['uid']} restarted {restarts} times, {'ready' if is_ready(pod) else 'not ready'}"


def why_not_ready(pod: Doc) -> str:
    """A pod's name and phase, and what its containers wait for."""
    statuses = pod["status"].get("containerStatuses", []) + pod["status"].get("initContainerStatuses", [])
    waiting = [
        f"{status['name']}: {status['state']['waiting'].get('reason')} {status['state']['waiting'].get('message', '')}"
        for status in statuses
        if "waiting" in status.get("state", {})
    ]
    return f"{pod['metadata']['name']} {pod['status'].get('phase')} {', '.join(waiting)}".strip()
