"""The versions that are built here, from images/versions.yaml."""

from functools import cache

import yaml
from pydantic import BaseModel, ConfigDict

from egress_conformance.cluster.recipe import IMAGES
from egress_conformance.errors import UserError


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class IstioRow(_Model):
    """One version of Istio that can be built; the comments in the file say what each field means."""

    version: str
    module: str
    requires: list[str]
    envoy: str
    envoy_sha256: str


class Versions(_Model):
    """The whole file."""

    go: str
    debian: str
    kind: str
    kubernetes: str
    etcd: str
    etcd_image: str
    coredns: str
    pause: str
    istio: dict[str, IstioRow]

    @property
    def newest(self) -> str:
        """The Istio that is taken when the user names none."""
        return list(self.istio)[-1]

    def row(self, istio: str) -> IstioRow:
        """The row of an Istio version.

        Raises:
            UserError: it cannot be built here.
        """
        try:
            return self.istio[istio]
        except KeyError:
            raise UserError(f"Istio {istio} cannot be built here", f"choose one of {', '.join(self.istio)}") from None


@cache
def versions() -> Versions:
    """Read the file."""
    return Versions.model_validate(yaml.safe_load((IMAGES / "versions.yaml").read_text(encoding="utf-8")))
