"""Client and world as Pod Security "restricted" wants them, less what Istio injects.

https://kubernetes.io/docs/concepts/security/pod-security-standards/#restricted
"""

from pathlib import Path

import pytest

from egress_conformance.cluster.kube import Doc
from egress_conformance.mesh import pod_security
from egress_conformance.mesh.manifests import ROOT, fill
from egress_conformance.traffic.pods import client_doc
from tests.unit.fakes import FakeKube
from tests.unit.test_client_pods import VALUES

PLATFORM = {"namespace": "ns", "world_image": "world:1", "name": "alpha", "cluster_dns": "10.0.0.1"}
SAFE_SYSCTLS = {"net.ipv4.ip_unprivileged_port_start"}
VOLUMES = {"configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "persistentVolumeClaim", "projected", "secret"}
HOST = {"hostNetwork", "hostPID", "hostIPC"}


def clients() -> dict[str, Doc]:
    """The client, and with each patch that a case lays over it."""
    values = {**VALUES, "namespace": "ns"}
    patches = [path for path in ROOT.rglob("*.yaml") if "\nkind: Pod\n" in f"\n{path.read_text()}"]
    laid = {
        path.stem: client_doc(values, path)
        for path in patches
        # The unborn one must not come into being, and would run nothing.
        if path.parent.name not in {"platform", "upgrade"} and path.stem != "unborn-pod"
    }
    return {"client": client_doc(values, None), **laid}


def world() -> dict[str, Doc]:
    values = {**PLATFORM, "image_pull_secrets": "[]"}
    docs = [doc for name in ("world", "world-server") for doc in fill(ROOT / f"platform/{name}.yaml", values)]
    return {doc["metadata"]["name"]: doc for doc in docs if doc["kind"] == "Pod"}


PODS = {**clients(), **world()}


def test_they_are_all_there() -> None:
    assert {"client", "dns", "alpha"} < PODS.keys()
    assert len(clients()) > 5


@pytest.mark.parametrize("doc", PODS.values(), ids=PODS)
def test_restricted(doc: Doc) -> None:
    spec = doc["spec"]
    of_pod = spec.get("securityContext", {})
    assert not HOST & spec.keys()
    assert {sysctl["name"] for sysctl in of_pod.get("sysctls", [])} <= SAFE_SYSCTLS
    assert {kind for volume in spec.get("volumes", []) for kind in volume if kind != "name"} <= VOLUMES
    # The sidecar is injected without a profile: the pod's must hold for it.
    assert of_pod["seccompProfile"] == {"type": "RuntimeDefault"}
    for container in spec["containers"]:
        own = container.get("securityContext")
        if container["name"] == "istio-proxy" and own is None:
            continue  # settings for the one that is injected
        together = {**of_pod, **own}
        assert together["runAsNonRoot"] is True
        assert together["runAsUser"] > 0
        assert own["allowPrivilegeEscalation"] is False
        assert own["capabilities"] == {"drop": ["ALL"]}
        assert not own.get("privileged")
        assert not [port for port in container.get("ports", []) if "hostPort" in port]


@pytest.mark.parametrize("doc", PODS.values(), ids=PODS)
def test_no_token_and_bounded_resources(doc: Doc) -> None:
    assert doc["spec"]["automountServiceAccountToken"] is False
    for container in doc["spec"]["containers"]:
        if container["name"] == "istio-proxy":
            continue
        resources = container["resources"]
        assert resources["requests"].keys() == {"cpu", "memory"}
        assert "memory" in resources["limits"]


def test_the_namespace_of_the_world_enforces_it() -> None:
    path: Path = ROOT / "platform/world-namespace.yaml"
    namespace, _ = fill(path, {"namespace": "ns", "ca_certificate": "", "ca_key": ""})
    assert namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"


def injector(values: str, name: str = "istio-sidecar-injector") -> FakeKube:
    metadata = {"name": name, "namespace": "istio-system"}
    return FakeKube().add({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"values": values}})


@pytest.mark.parametrize(
    ("values", "level"),
    [
        ('{"pilot": {"cni": {"enabled": true}}}', "restricted"),
        ('{"istio_cni": {"enabled": true}}', "restricted"),
        ('{"pilot": {"cni": {"enabled": false}}}', "privileged"),
        ('{"pilot": {"cni": null}, "istio_cni": null}', "privileged"),
        ("{}", "privileged"),
    ],
)
def test_how_istio_redirects_traffic_decides_what_the_client_s_namespace_enforces(values: str, level: str) -> None:
    assert pod_security.level(injector(values)) == level
    kube = injector(values, "istio-sidecar-injector-canary")
    assert pod_security.level(kube, "canary") == level


def test_nothing_is_known_of_an_injection_that_is_configured_elsewhere() -> None:
    assert pod_security.level(FakeKube()) == "privileged"


def test_the_client_s_namespace_enforces_what_it_is_told() -> None:
    namespace, *_ = fill(ROOT / "platform/client-namespace.yaml", {**VALUES, "namespace": "ns"})
    assert namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == VALUES["pod_security"]
