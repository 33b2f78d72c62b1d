"""What Pod Security must allow where sidecars are injected: that is up to how Istio has their traffic redirected."""

import json

from egress_conformance.cluster.kube import Kube
from egress_conformance.mesh.config import ISTIO_NAMESPACE


def level(kube: Kube, revision: str = "") -> str:
    """The strictest Pod Security Standard that the suite's pods satisfy once Istio has injected a sidecar.

    With istio-cni "restricted"; else "privileged", as the init container istio-init has NET_ADMIN and NET_RAW. So it is
    too where injection is configured elsewhere than in the cluster.

    Args:
        kube: the cluster.
        revision: revision of Istio, "" for the default one.

    Source: https://istio.io/latest/docs/setup/additional-setup/pod-security-admission/ ; injection-template.yaml:
    `.Values.pilot.cni.enabled`, in older ones `.Values.istio_cni.enabled`.
    """
    name = f"istio-sidecar-injector-{revision}" if revision else "istio-sidecar-injector"
    found = kube.get("v1", "ConfigMap", name, ISTIO_NAMESPACE)
    values = json.loads((found or {}).get("data", {}).get("values") or "{}")
    settings = (values.get("pilot", {}).get("cni"), values.get("istio_cni"))
    return "restricted" if any((each or {}).get("enabled") for each in settings) else "privileged"
