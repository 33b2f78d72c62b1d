"""istiod's injection, kept and put back: so pods come up with the sidecars they had before istiod was upgraded.

istiod reads template and values from a ConfigMap and follows its changes. With those of the old version a pod that is
made under the new istiod is the pod that was made before it: old proxy, old template.
Source: pkg/kube/inject: NewConfigMapWatcher.
"""

from dataclasses import dataclass

from egress_conformance.cluster.kube import Doc, Kube
from egress_conformance.errors import PlatformTrouble
from egress_conformance.mesh.config import ISTIO_NAMESPACE
from egress_conformance.mesh.manifests import ROOT, fill
from egress_conformance.upgrade.in_force import INJECTOR, proxy_of
from egress_conformance.waiting import wait_for

SECONDS = 120


@dataclass(frozen=True)
class Injection:
    """What istiod injects.

    Attributes:
        data: of the ConfigMap.
        proxy: the version of the proxy that comes of it.
    """

    data: dict[str, str]
    proxy: str


class Injector:
    """The injection of the default revision.

    Args:
        kube: the cluster.
        namespace: one that is injected, where it is tried.
    """

    def __init__(self, kube: Kube, namespace: str) -> None:
        self._kube = kube
        self._namespace = namespace

    def now(self) -> Injection:
        """What is injected now."""
        found = self._kube.get("v1", "ConfigMap", INJECTOR, ISTIO_NAMESPACE)
        if found is None:
            raise PlatformTrouble("injection gone", f"no ConfigMap {INJECTOR} in {ISTIO_NAMESPACE}")
        return Injection(dict(found["data"]), self.proxy())

    def put(self, wanted: Injection) -> None:
        """Have istiod inject this, and wait until it does.

        Raises:
            Timeout: it does not, for instance because it cannot read an older template.
        """
        self._kube.patch(_config_map(), [{"op": "replace", "path": "/data", "value": wanted.data}])
        last = ""

        def look() -> bool | None:
            nonlocal last
            last = self.proxy()
            return True if last == wanted.proxy else None

        what = f"istiod to inject proxy {wanted.proxy}"
        hint = f"kubectl -n {ISTIO_NAMESPACE} logs deployment/istiod"
        wait_for(what, look, seconds=SECONDS, hint=hint, every=0.5, seen=lambda: last)

    def proxy(self) -> str:
        """The version of the proxy that a pod made now would have: a dry run of one tells."""
        (pod,) = fill(ROOT / "upgrade/injection-probe.yaml", {"namespace": self._namespace})
        return proxy_of(self._kube.apply(pod, dry_run=True))


def _config_map() -> Doc:
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": INJECTOR, "namespace": ISTIO_NAMESPACE},
    }
