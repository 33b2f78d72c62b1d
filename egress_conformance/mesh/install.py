"""Istio: installed and removed by version and revision, with istioctl."""

import subprocess
from pathlib import Path

from egress_conformance.cluster.cache import key_of
from egress_conformance.cluster.kube import Kube
from egress_conformance.cluster.provider import Cluster, IstioRelease
from egress_conformance.errors import PlatformTrouble
from egress_conformance.mesh.config import ISTIO_NAMESPACE
from egress_conformance.mesh.manifests import ROOT

INSTALL_SECONDS = 240


def _istioctl(cluster: Cluster, release: IstioRelease, *arguments: str) -> str:
    command = [
        str(release.istioctl),
        *arguments,
        "--kubeconfig",
        str(cluster.kubeconfig),
        "--context",
        cluster.context,
    ]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=INSTALL_SECONDS, check=False)
    except subprocess.TimeoutExpired as error:
        raise PlatformTrouble(
            "Istio not installed", f"istioctl {arguments[0]}: no end after {error.timeout} s"
        ) from None
    if done.returncode != 0:
        raise PlatformTrouble("Istio not installed", f"istioctl {arguments[0]}: {done.stderr.strip()[-2000:]}")
    return done.stdout


def _files(release: IstioRelease, revision: str) -> list[Path]:
    platform = ROOT / "platform"
    files = [platform / "istio.yaml"]
    if not revision:
        files.append(platform / "istio-egress-gateway.yaml")
        if release.cni:
            files.append(platform / "istio-cni.yaml")
    if release.upstream_envoy:
        files.append(platform / "istio-upstream-envoy.yaml")
    return files


def wanted(release: IstioRelease, revision: str = "") -> str:
    """What `install` makes of a cluster, by its content: 16 hexadecimal digits."""
    files = {path.name: path.read_text(encoding="utf-8") for path in _files(release, revision)}
    return key_of({**files, "tag": release.tag, "hub": release.hub})


def installed(kube: Kube, revision: str = "") -> str | None:
    """The image tag of the istiod of a revision, or None where it is not installed."""
    name = f"istiod-{revision}" if revision else "istiod"
    found = kube.get("apps/v1", "Deployment", name, ISTIO_NAMESPACE)
    if found is None or found.get("status", {}).get("readyReplicas", 0) < 1:
        return None
    image = str(found["spec"]["template"]["spec"]["containers"][0]["image"])
    return image.rpartition(":")[2]


def install(
    cluster: Cluster, release: IstioRelease, *, revision: str = "", values: dict[str, str] | None = None
) -> None:
    """Install Istio with the suite's profile (manifests/platform/istio.yaml).

    Args:
        cluster: where to.
        release: which Istio.
        revision: install as this revision; "" for the default one.
        values: further `--set` settings.

    Raises:
        PlatformTrouble: istioctl failed; its last words are in the message.
    """
    arguments = ["install", "--skip-confirmation", "--readiness-timeout", f"{INSTALL_SECONDS - 20}s"]
    for file in _files(release, revision):
        arguments += ["--filename", str(file)]
    settings = {"hub": release.hub, "tag": release.tag, **(values or {})}
    if revision:
        settings["revision"] = revision
    for key, value in settings.items():
        arguments += ["--set", f"{key}={value}"]
    _istioctl(cluster, release, *arguments)


def uninstall(cluster: Cluster, release: IstioRelease, revision: str) -> None:
    """Remove one revision of Istio."""
    _istioctl(cluster, release, "uninstall", "--skip-confirmation", "--revision", revision)
