"""The suite's own namespace in a cluster, with the world and the certificate authority it trusts."""

import base64

from egress_conformance.cluster.kube import Doc, Kube
from egress_conformance.cluster.lease import OWN_NAMESPACE
from egress_conformance.errors import UserError
from egress_conformance.mesh.manifests import ROOT, fill
from egress_conformance.waiting import wait_for
from egress_conformance.world.certs import make_ca
from egress_conformance.world.pods import SECONDS

MANAGED = "app.kubernetes.io/managed-by=istio-egress-conformance"


def have_namespace(kube: Kube) -> None:
    """Make the namespace, unless it is there.

    Raises:
        UserError: the cluster has another one of that name.
        PlatformTrouble: that of an earlier run does not go.
    """
    namespace = kube.get("v1", "Namespace", OWN_NAMESPACE)
    if namespace is not None:
        key, _, value = MANAGED.partition("=")
        if namespace["metadata"].get("labels", {}).get(key) != value:
            raise UserError(
                f"the cluster has a namespace {OWN_NAMESPACE} that is not the suite's",
                "rename it, or use another cluster",
            )
        if not _is_going(namespace):
            return
        wait_for(
            f"namespace {OWN_NAMESPACE} of an earlier run to go",
            lambda: None if _is_going(kube.get("v1", "Namespace", OWN_NAMESPACE)) else True,
            seconds=SECONDS,
            hint=f"kubectl get namespace {OWN_NAMESPACE} -o yaml",
        )
    kube.apply(_own("Namespace"))


def _is_going(namespace: Doc | None) -> bool:
    return namespace is not None and namespace["status"]["phase"] == "Terminating"


def have_ca(kube: Kube) -> None:
    """Make the world's certificate authority, unless it is there: by who holds the lease, as two would not do."""
    if kube.get("v1", "Secret", "world-ca", OWN_NAMESPACE) is None:
        certificate, key = (base64.b64encode(pem).decode() for pem in make_ca())
        kube.apply(_own("Secret", ca_certificate=certificate, ca_key=key))


def _own(kind: str, **values: str) -> Doc:
    given = {"namespace": OWN_NAMESPACE, "ca_certificate": "", "ca_key": "", **values}
    (doc,) = [doc for doc in fill(ROOT / "platform/world-namespace.yaml", given) if doc["kind"] == kind]
    return doc
