"""The suite's own namespaces in a cluster, each with a world and the certificate authority that is trusted there."""

import base64

from egress_conformance.cluster.kube import FIELD_MANAGER, MANAGED_LABEL, Doc, Kube, is_ours
from egress_conformance.cluster.lease import OWN_NAMESPACE
from egress_conformance.errors import UserError
from egress_conformance.mesh.manifests import ROOT, fill
from egress_conformance.waiting import wait_for
from egress_conformance.world.certs import make_ca
from egress_conformance.world.pods import SECONDS

MANAGED = f"{MANAGED_LABEL}={FIELD_MANAGER}"
"""Selects what is the suite's."""


def the_suites(kube: Kube, name: str) -> Doc | None:
    """A namespace that is the suite's; None where there is none of that name.

    Raises:
        UserError: the one of that name is somebody else's.
    """
    namespace = kube.get("v1", "Namespace", name)
    if namespace is not None and not is_ours(namespace):
        raise UserError(
            f"the cluster has a namespace {name} that is not the suite's", "rename it, or use another cluster"
        )
    return namespace


def have_namespace(kube: Kube, name: str = OWN_NAMESPACE) -> None:
    """Make a namespace of the suite's with a world in it, unless it is there.

    Raises:
        UserError: the cluster has another one of that name.
        PlatformTrouble: that of an earlier run does not go.
    """
    namespace = the_suites(kube, name)
    if namespace is not None:
        if not _is_going(namespace):
            return
        wait_for(
            f"namespace {name} of an earlier run to go",
            lambda: None if _is_going(kube.get("v1", "Namespace", name)) else True,
            seconds=SECONDS,
            hint=f"kubectl get namespace {name} -o yaml",
        )
    kube.apply(_own(name, "Namespace"))


def _is_going(namespace: Doc | None) -> bool:
    return namespace is not None and namespace["status"]["phase"] == "Terminating"


def have_ca(kube: Kube, name: str = OWN_NAMESPACE) -> None:
    """Make the certificate authority of its world, unless it is there: by who holds the lease, as two would not do."""
    if kube.get("v1", "Secret", "world-ca", name) is None:
        certificate, key = (base64.b64encode(pem).decode() for pem in make_ca())
        kube.apply(_own(name, "Secret", ca_certificate=certificate, ca_key=key))


def _own(name: str, kind: str, **values: str) -> Doc:
    given = {"namespace": name, "ca_certificate": "", "ca_key": "", **values}
    (doc,) = [doc for doc in fill(ROOT / "platform/world-namespace.yaml", given) if doc["kind"] == kind]
    return doc
