"""The mesh config: ConfigMap `istio`, read and changed the way the article does it, and put back byte for byte."""

import hashlib
from typing import Any

import yaml

from egress_conformance.case import Mode
from egress_conformance.cluster.kube import Doc, Kube, Refused
from egress_conformance.cluster.lease import OWN_NAMESPACE
from egress_conformance.errors import PlatformTrouble, UserError
from egress_conformance.mesh.manifests import merge

ISTIO_NAMESPACE = "istio-system"

_SAVED = "saved-mesh-config"


class MeshConfig:
    """The mesh config of one Istio revision.

    Args:
        kube: the cluster.
        revision: revision of Istio, "" for the default one.
        own: the suite's namespace, where the original is kept.

    Attributes:
        version: resourceVersion of the ConfigMap when it was last read; it changes with each write.
    """

    def __init__(self, kube: Kube, revision: str = "", own: str = OWN_NAMESPACE) -> None:
        self._kube = kube
        self._own = own
        self.revision = revision
        self.name = f"istio-{revision}" if revision else "istio"
        self.version = ""

    def _config_map(self, name: str, namespace: str) -> Doc:
        return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "namespace": namespace}}

    def text(self) -> str:
        """The mesh config as it stands in the ConfigMap.

        Raises:
            UserError: there is none: Istio is not installed, or keeps its mesh config elsewhere.
        """
        found = self._kube.get("v1", "ConfigMap", self.name, ISTIO_NAMESPACE)
        if found is None or "mesh" not in found.get("data", {}):
            raise UserError(
                f"no mesh config in ConfigMap {ISTIO_NAMESPACE}/{self.name}",
                "install Istio, or name its revision with --revision",
            )
        self.version = str(found["metadata"].get("resourceVersion", ""))
        return str(found["data"]["mesh"])

    def parsed(self) -> dict[str, Any]:
        """The mesh config as values."""
        return yaml.safe_load(self.text()) or {}

    def digest(self) -> str:
        """SHA-256 of the mesh config."""
        return hashlib.sha256(self.text().encode()).hexdigest()

    def mode(self) -> Mode:
        """`outboundTrafficPolicy.mode`; ALLOW_ANY where nothing is said (Istio's default)."""
        policy = self.parsed().get("outboundTrafficPolicy") or {}
        return Mode(policy.get("mode", Mode.ALLOW_ANY))

    def set_mode(self, mode: Mode) -> None:
        """Change the mode; the original is saved in the cluster first."""
        self.change({"outboundTrafficPolicy": {"mode": str(mode)}})

    def change(self, values: dict[str, Any]) -> None:
        """Lay values over the mesh config; the original is saved in the cluster first.

        Args:
            values: mappings are merged, anything else replaces what is there.
        """
        self.save()
        self.write(yaml.safe_dump(merge(self.parsed(), values), sort_keys=False))

    def write(self, text: str) -> None:
        """Put a text in the place of the mesh config."""
        operation = {"op": "replace", "path": "/data/mesh", "value": text}
        self._kube.patch(self._config_map(self.name, ISTIO_NAMESPACE), [operation])

    def save(self) -> None:
        """Keep the original in the suite's own namespace, unless it is kept already."""
        if self._kube.get("v1", "ConfigMap", _SAVED, self._own) is not None:
            return
        saved = self._config_map(_SAVED, self._own)
        saved["data"] = {"name": self.name, "mesh": self.text()}
        self._kube.apply(saved)

    def restore(self) -> bool:
        """Put the saved original back, byte for byte, and forget it.

        Returns:
            Whether there was one that differed from what is there now.

        Raises:
            PlatformTrouble: it could not be put back; the saved one is kept.
        """
        saved = self._kube.get("v1", "ConfigMap", _SAVED, self._own)
        if saved is None:
            return False
        owner = MeshConfig(self._kube)
        owner.name = saved["data"]["name"]
        changed: bool = owner.text() != saved["data"]["mesh"]
        if changed:
            try:
                owner.write(saved["data"]["mesh"])
            except Refused as refused:
                raise PlatformTrouble("mesh config not restored", refused.message) from None
        self._kube.delete(self._config_map(_SAVED, self._own))
        return changed
