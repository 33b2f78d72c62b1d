"""What client and world are pulled with, where their registry wants to know by whom."""

from collections.abc import Mapping

from egress_conformance.cluster.kube import Doc, Kube
from egress_conformance.errors import UserError
from egress_conformance.mesh.manifests import ROOT, fill

TYPE, KEY = "kubernetes.io/dockerconfigjson", ".dockerconfigjson"

NOTHING: Mapping[str, str] = {"image_pull_secrets": "[]", "docker_config": ""}
"""What the manifests of pods want where no Secret is needed."""


def image_pull(kube: Kube, name: str) -> Mapping[str, str]:
    """What the manifests of pods want, for a Secret of the user's.

    Args:
        kube: the cluster.
        name: ``namespace/name`` of the Secret; "" for none.

    Raises:
        UserError: there is no such Secret, or it is of another type.
    """
    if not name:
        return NOTHING
    namespace, _, secret = name.partition("/")
    found = kube.get("v1", "Secret", secret, namespace) if secret else None
    if found is None or found.get("type") != TYPE or KEY not in found.get("data", {}):
        raise UserError(
            f"there is no Secret {name} of type {TYPE}",
            "name one as NAMESPACE/NAME; kubectl create secret docker-registry makes it",
        )
    return {"image_pull_secrets": "[{name: image-pull}]", "docker_config": str(found["data"][KEY])}


def copies(namespace: str, values: Mapping[str, str]) -> list[Doc]:
    """The Secret as it must be in a namespace of ours, as pods name Secrets of their own alone; [] for none."""
    if not values["docker_config"]:
        return []
    return fill(ROOT / "platform/image-pull.yaml", {"namespace": namespace, "docker_config": values["docker_config"]})
