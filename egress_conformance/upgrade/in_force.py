"""Whose word counts in the cluster: control planes, CRDs, admission webhooks, injection, and what proxies rejected."""

import hashlib
import json
import re
from collections import Counter
from collections.abc import Callable
from typing import Any, TypeVar

from egress_conformance.cluster.kube import Doc, Kube, NoRight, Refused
from egress_conformance.mesh.config import ISTIO_NAMESPACE
from egress_conformance.mesh.istiod import REJECTS, counted
from egress_conformance.report.upgrade import InForce
from egress_conformance.upgrade.evidence import NAMESPACE, PROXY
from egress_conformance.world.pods import is_ready

T = TypeVar("T")

CRDS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
VERSION_LABELS = ("operator.istio.io/version", "app.kubernetes.io/version", "helm.sh/chart")
"""By which a CRD says what it is of; istioctl and Helm set different ones."""

INJECTOR = "istio-sidecar-injector"
NOT_ALLOWED = "not allowed to look"
NONE = "none"
"""The version of the proxy of a pod that has none."""


def in_force(kube: Kube) -> InForce:
    """Whose word counts now.

    Raises:
        PlatformTrouble: the API server is away.
    """
    istiods = control_planes(kube)
    return InForce(
        control_planes=istiods,
        crds=_allowed(lambda: crds(kube), NOT_ALLOWED),
        admission=_allowed(lambda: admission(kube, istiods), {NOT_ALLOWED: ""}),
        injection=_allowed(lambda: injection(kube), {NOT_ALLOWED: ""}),
        proxies=proxies(kube),
    )


def _allowed(look: Callable[[], T], otherwise: T) -> T:
    """What is seen; in a cluster that is somebody else's one may not be allowed to look."""
    try:
        return look()
    except NoRight:
        return otherwise


def tag(image: str) -> str:
    """The tag of an image, which is the version of what is in it."""
    return image.partition("@")[0].rpartition("/")[2].partition(":")[2] or image


def control_planes(kube: Kube) -> dict[str, str]:
    """The version of each istiod, by Deployment."""
    found = kube.find("apps/v1", "Deployment", ISTIO_NAMESPACE, "app=istiod")
    return {each["metadata"]["name"]: tag(each["spec"]["template"]["spec"]["containers"][0]["image"]) for each in found}


def crds(kube: Kube) -> str:
    """What Istio's CRDs say they are of, and 12 digits of a digest of what they are."""
    items = json.loads(kube.raw("GET", CRDS, seconds=30))["items"]
    ours = [item for item in items if item["spec"]["group"].endswith(".istio.io")]
    labels = [item["metadata"].get("labels", {}) for item in ours]
    named = {next((each[name] for name in VERSION_LABELS if name in each), "no version") for each in labels}
    specs = [[item["metadata"]["name"], item["spec"]] for item in ours]
    digest = hashlib.sha256(json.dumps(sorted(specs, key=lambda spec: str(spec[0])), sort_keys=True).encode())
    return f"{', '.join(sorted(named)) or 'none'} (sha256 {digest.hexdigest()[:12]})"


def admission(kube: Kube, istiods: dict[str, str]) -> dict[str, str]:
    """The istiod that validates resources, by webhook configuration."""
    hooks = kube.find("admissionregistration.k8s.io/v1", "ValidatingWebhookConfiguration")
    found = {}
    for hook in hooks:
        services = {each["clientConfig"].get("service", {}).get("name", "") for each in hook.get("webhooks", [])}
        named = sorted(name for name in services if name.startswith("istiod"))
        if named:
            # A Service of istiod is called like its Deployment; a tag's, like no Deployment, is named as it is.
            said = [f"{name} {istiods[name]}" if name in istiods else name for name in named]
            found[hook["metadata"]["name"]] = ", ".join(said)
    return found


def injection(kube: Kube) -> dict[str, str]:
    """The version of the proxies that are injected, by the ConfigMap that says so."""
    found = {}
    for each in kube.find("v1", "ConfigMap", ISTIO_NAMESPACE):
        name = each["metadata"]["name"]
        if name.startswith(INJECTOR):
            values: dict[str, Any] = json.loads(each["data"].get("values", "{}"))
            found[name] = str(values.get("global", {}).get("tag", "unknown"))
    return found


def proxies(kube: Kube) -> dict[str, int]:
    """The clients of the load, by the version of their proxy."""
    return dict(Counter(proxy_of(pod) for pod in kube.find("v1", "Pod", NAMESPACE, "app=load")))


def proxy_of(pod: Doc) -> str:
    """The version of a pod's proxy; NONE where it has none."""
    containers = [*pod["spec"]["containers"], *pod["spec"].get("initContainers", [])]
    return next((tag(each["image"]) for each in containers if each["name"] == PROXY), NONE)


def rejections(kube: Kube) -> dict[str, int]:
    """Configurations that proxies rejected so far (`pilot_total_xds_rejects`), by pod of istiod that is ready.

    Raises:
        PlatformTrouble: a pod does not answer, or the API server is away.
    """
    counts = {}
    for pod in kube.find("v1", "Pod", ISTIO_NAMESPACE, "app=istiod"):
        if not is_ready(pod):
            continue
        name = pod["metadata"]["name"]
        try:
            counts[name] = counted(kube, name, REJECTS)
        except Refused:
            continue  # it went just now
    return counts


def risen(before: dict[str, int], after: dict[str, int]) -> int:
    """By how much counters rose; a pod that came since counts from nothing."""
    return sum(max(count - before.get(name, 0), 0) for name, count in after.items())


def is_of(image_tag: str, version: str) -> bool:
    """Whether the tag of an image is that of a version: built ones have a key behind it."""
    return re.fullmatch(re.escape(version) + r"(-[0-9a-f]{8})?", image_tag) is not None
