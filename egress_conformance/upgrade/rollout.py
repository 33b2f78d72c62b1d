"""Whether a Deployment has come to rest."""

from collections.abc import Sequence

from egress_conformance.cluster.kube import Doc
from egress_conformance.world.pods import is_ready


def rollout(deployment: Doc, pods: Sequence[Doc]) -> str:
    """What a rollout lacks; "" if nothing: each pod is of the newest template and ready, and no other is there.

    Args:
        deployment: as it is; empty while it is not there.
        pods: its pods, old ones too.
    """
    wanted = deployment.get("spec", {}).get("replicas", 0)
    status = deployment.get("status", {})
    if status.get("observedGeneration", 0) < deployment.get("metadata", {}).get("generation", 1):
        return "the Deployment was not looked at yet"
    updated, ready = status.get("updatedReplicas", 0), sum(is_ready(pod) for pod in pods)
    if (updated, ready, len(pods)) == (wanted, wanted, wanted):
        return ""
    return f"{updated} of {wanted} are new, {ready} of {len(pods)} pods are ready"
