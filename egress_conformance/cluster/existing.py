"""A cluster that is there already, with Istio in it: looked at closely first, and nothing is installed."""

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from http import HTTPStatus
from pathlib import Path

from kubernetes.client.exceptions import ApiException

from egress_conformance.cluster.kube import MANAGED_LABEL, Doc, is_ours
from egress_conformance.cluster.kubeconfig import Api, choose_context, connect, kubeconfig_path
from egress_conformance.cluster.names import MADE, Names
from egress_conformance.cluster.provider import Cluster
from egress_conformance.errors import UserError

ISTIO_NAMESPACE = "istio-system"
ISTIO_GROUP = "networking.istio.io"
RBAC_GROUP = "rbac.authorization.k8s.io"


@dataclass(frozen=True)
class Right:
    """What the suite must be allowed to do, and what for."""

    resource: str
    verbs: str
    why: str
    group: str = ""
    namespace: str = ""
    mesh_wide: bool = False
    cluster_wide: bool = False  # not had in a namespace; done without where namespaces are given

    def __str__(self) -> str:
        where = f" in {self.namespace}" if self.namespace else ""
        return f"{self.resource}{'.' + self.group if self.group else ''}{where}"


_OBJECT = "create delete get list patch"
_CASES = "the cases apply and delete them"

# A right without a namespace is needed in all of them, as the suite makes its own, or in those it is given.
RIGHTS = (
    Right("namespaces", _OBJECT, "one for the world, one for each client", cluster_wide=True),
    Right("pods", _OBJECT, "clients, and the servers of the world"),
    Right("pods/exec", "create get", "curl, and the admin port of the client's proxy"),
    Right("pods/log", "get", "the access log of the client's proxy"),
    Right("pods/proxy", "create delete get update", "the control ports of the world"),
    Right("configmaps", _OBJECT, "the world's CA certificate, and what is saved before a change"),
    Right("secrets", _OBJECT, "the key of the world's CA"),
    Right("serviceaccounts", _OBJECT, "the client's identity"),
    Right("services", _OBJECT, "the world's DNS"),
    Right("leases", "create delete get update", "one run at a time", group="coordination.k8s.io"),
    Right("serviceentries", _OBJECT, _CASES, group=ISTIO_GROUP),
    Right("workloadentries", _OBJECT, _CASES, group=ISTIO_GROUP),
    Right("virtualservices", _OBJECT, _CASES, group=ISTIO_GROUP),
    Right("destinationrules", _OBJECT, _CASES, group=ISTIO_GROUP),
    Right("gateways", _OBJECT, _CASES, group=ISTIO_GROUP),
    Right("sidecars", _OBJECT, _CASES, group=ISTIO_GROUP),
    Right("envoyfilters", _OBJECT, _CASES, group=ISTIO_GROUP),
    Right("telemetries", _OBJECT, "access logging for the client", group="telemetry.istio.io"),
    Right("roles", _OBJECT, "a sidecar's leave to list the secrets of its namespace", group=RBAC_GROUP),
    Right("rolebindings", _OBJECT, "the same", group=RBAC_GROUP),
    Right(
        "validatingwebhookconfigurations",
        "list",
        "whether another revision votes on what is admitted",
        group="admissionregistration.k8s.io",
        cluster_wide=True,
    ),
    Right("deployments", "get list", "finding istiod", group="apps", namespace=ISTIO_NAMESPACE),
    Right("configmaps", "get", "reading the mesh config", namespace=ISTIO_NAMESPACE),
    Right("configmaps", "patch", "changing the mesh config", namespace=ISTIO_NAMESPACE, mesh_wide=True),
)

WITH_GIVEN_NAMESPACES = (
    Right("pods", "get list", "finding istiod's pods", namespace=ISTIO_NAMESPACE),
    Right("pods/log", "get", "whose configuration was rejected", namespace=ISTIO_NAMESPACE),
    Right("pods/proxy", "get", "istiod's metrics", namespace=ISTIO_NAMESPACE),
    Right("services", "list", "the cluster's DNS", namespace="kube-system"),
)
"""What a right in all namespaces comprises, and must be had beside those in the given ones."""

Told = Callable[[str, str], None]
"""Is told what was looked at, and what was found there."""


@dataclass(frozen=True)
class ExistingProvider:
    """A kubeconfig context with Istio already there.

    Args:
        kubeconfig: the file; None for $KUBECONFIG or ~/.kube/config.
        context: the context in it; None for its current one.
        revision: the revision of Istio; None for the default one.
        allow_mesh_changes: whether mesh-wide settings may be changed.
        client_image: image of the client pods, from where the cluster can pull it; "" is refused.
        world_image: image of the world's pods, likewise.
        further_rights: what is needed beyond what a run needs.
        namespaces: that are given; none if the suite is to make them.
    """

    kubeconfig: Path | None
    context: str | None
    revision: str | None
    allow_mesh_changes: bool
    client_image: str
    world_image: str
    name: str = "existing"
    further_rights: tuple[Right, ...] = ()
    namespaces: Names = MADE

    def up(self) -> Cluster:
        """Find the cluster, and in it an Istio that the suite can run against.

        Raises:
            UserError: the first thing that is not as the suite needs it.
        """
        return self.examine(lambda _what, _seen: None)

    def down(self) -> None:
        """Nothing: `up` makes nothing."""

    def escaped_packets(self) -> int | None:
        """None: nobody counts on somebody else's nodes."""
        return None

    def examine(self, told: Told) -> Cluster:
        """As `up`, telling of each thing that was found in order."""
        path = kubeconfig_path(self.kubeconfig)
        context = choose_context(path, self.context)
        told("kubeconfig", f"{path}, context {context}")
        with connect(path, context) as api:
            told("API server", f"{api.address}, Kubernetes {api.ask('/version')['gitVersion']}")
            _require(api, self.rights())
            told("rights", "all that the suite needs")
            istiod, digest = _istiod_image(api, self.revision or "default")
            told("Istio", f"revision {self.revision or 'default'}, {istiod}")
            if names := self.namespaces.given:
                for name in names:
                    wanted = "" if name == self.namespaces.own else self.revision or "default"
                    _see_that_it_is_given(name, _namespace(api, name), wanted)
                told("namespaces", f"{self.namespaces.own} for the world, {', '.join(names[1:])} for clients")
        ours = {"--client-image": self.client_image, "--world-image": self.world_image}
        if missing := [flag for flag, image in ours.items() if not image]:
            raise UserError(
                f"an existing cluster needs {' and '.join(missing)}",
                "build the images with `egress-conformance build` where there is a container engine, push them "
                "to a registry that this cluster pulls from, and name them",
            )
        told("images", f"client {self.client_image}, world {self.world_image}")
        return Cluster(
            kubeconfig=path,
            context=context,
            client_image=self.client_image,
            world_image=self.world_image,
            images={istiod: digest, self.client_image: "", self.world_image: ""},
            release=None,
            revision="" if self.revision == "default" else self.revision or "",
            may_change_mesh=self.allow_mesh_changes,
        )

    def rights(self) -> list[Right]:
        """What is asked for, in the namespaces where it is needed."""
        wanted = [right for right in (*RIGHTS, *self.further_rights) if self.allow_mesh_changes or not right.mesh_wide]
        if not self.namespaces.given:
            return wanted
        here = [right for right in wanted if not right.namespace and not right.cluster_wide]
        here.append(Right("namespaces", "get", "whether it is as it must be"))
        return [
            *(replace(right, namespace=name) for name in self.namespaces.given for right in here),
            *(right for right in wanted if right.namespace),
            *WITH_GIVEN_NAMESPACES,
        ]


def _namespace(api: Api, name: str) -> Doc:
    try:
        found: Doc = api.ask(f"/api/v1/namespaces/{name}")
    except ApiException as error:
        if error.status != HTTPStatus.NOT_FOUND:
            raise
        raise UserError(f"there is no namespace {name}", "make it, or name another with --namespaces") from None
    return found


def _see_that_it_is_given(name: str, namespace: Doc, revision: str) -> None:
    """See that a namespace is somebody else's and gets the sidecars it needs.

    Args:
        name: its name.
        namespace: as the cluster has it.
        revision: of Istio, whose sidecars it gets; "" if it must get none.

    Raises:
        UserError: it is the suite's own, on its way out, or gets other sidecars.
    """
    if is_ours(namespace):
        raise UserError(
            f"namespace {name} has the label of those that the suite makes, and removes",
            f"kubectl label namespace {name} {MANAGED_LABEL}-",
        )
    if namespace["status"]["phase"] != "Active":
        raise UserError(f"namespace {name} is {namespace['status']['phase']}", "name another with --namespaces")
    labels = namespace["metadata"].get("labels", {})
    injected = labels.get("istio.io/rev") or ("default" if labels.get("istio-injection") == "enabled" else "")
    if injected != revision:
        wanted = f"istio.io/rev={revision}" if revision else "istio.io/rev- istio-injection=disabled"
        raise UserError(
            f"namespace {name} gets {f'sidecars of revision {injected}' if injected else 'no sidecars'}",
            f"kubectl label --overwrite namespace {name} {wanted}",
        )


def _require(api: Api, rights: Iterable[Right]) -> None:
    """Ask the API server for each right.

    Raises:
        UserError: some are missing; every one is named.
    """
    asked = [(right, verb) for right in rights for verb in right.verbs.split()]
    with ThreadPoolExecutor(8) as pool:
        allowed = list(pool.map(lambda pair: _is_allowed(api, *pair), asked))
    missing: dict[Right, list[str]] = {}
    for (right, verb), may in zip(asked, allowed, strict=True):
        if not may:
            missing.setdefault(right, []).append(verb)
    if missing:
        listed = "; ".join(f"{' '.join(verbs)} {right} ({right.why})" for right, verbs in missing.items())
        raise UserError(f"missing rights: {listed}", "have a ClusterRole with them bound to this user")


def _is_allowed(api: Api, right: Right, verb: str) -> bool:
    resource, _, subresource = right.resource.partition("/")
    attributes = {
        "group": right.group,
        "resource": resource,
        "subresource": subresource,
        "namespace": right.namespace,
        "verb": verb,
    }
    review = {"spec": {"resourceAttributes": attributes}}
    answer = api.ask("/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", body=review)
    return bool(answer["status"]["allowed"])


def _istiod_image(api: Api, revision: str) -> tuple[str, str]:
    """The image of the istiod of a revision, and what its nodes say was pulled for it.

    Raises:
        UserError: there is no Istio, no such revision, or its istiod is not ready.
    """
    get_istio = "install Istio first, or leave --provider out and let the suite make a cluster of its own"
    groups = {group["name"]: group["versions"] for group in api.ask("/apis")["groups"]}
    served = [version["version"] for version in groups.get(ISTIO_GROUP, [])]
    if not served:
        raise UserError(f"there is no Istio in this cluster (no CRDs of {ISTIO_GROUP})", get_istio)
    if "v1" not in served:
        raise UserError(
            f"the Istio in this cluster is too old ({ISTIO_GROUP} is there as {', '.join(served)}, not v1)",
            "use Istio 1.22 or newer",
        )
    listed = api.ask(f"/apis/apps/v1/namespaces/{ISTIO_NAMESPACE}/deployments", labelSelector="app=istiod,istio.io/rev")
    found = {item["metadata"]["labels"]["istio.io/rev"]: item for item in listed["items"]}
    if not found:
        raise UserError(f"there is no Istio in this cluster (no istiod in namespace {ISTIO_NAMESPACE})", get_istio)
    if revision not in found:
        raise UserError(
            f"there is no revision {revision} of Istio in this cluster",
            f"--revision NAME; it has: {', '.join(sorted(found))}",
        )
    istiod = found[revision]
    if not istiod["status"].get("readyReplicas"):
        raise UserError(
            f"istiod of revision {revision} is not ready",
            f"kubectl describe deployment --namespace {ISTIO_NAMESPACE} {istiod['metadata']['name']}",
        )
    pods = api.ask(f"/api/v1/namespaces/{ISTIO_NAMESPACE}/pods", labelSelector=f"app=istiod,istio.io/rev={revision}")
    pulled = {status["imageID"] for pod in pods["items"] for status in pod["status"].get("containerStatuses", [])}
    return str(istiod["spec"]["template"]["spec"]["containers"][0]["image"]), " ".join(sorted(pulled))
