"""The broken meshes: each a YAML file in this folder that `kubectl apply` would take."""

import fnmatch
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from egress_conformance.cluster.kube import Doc, Kube
from egress_conformance.cluster.lease import OWN_NAMESPACE
from egress_conformance.errors import UserError
from egress_conformance.mesh.manifests import fill
from egress_conformance.mesh.mesh import OWNER_LABEL
from egress_conformance.platform import INSTALLED

FOLDER = Path(__file__).resolve().parent
_PREFIX = "egress-conformance/"


@dataclass(frozen=True)
class BrokenMesh:
    """One way to break a mesh.

    Attributes:
        name: of its file.
        title: what is broken.
        caught_by: ids of the cases that must fail.
        touches: patterns of the ids of those that may.
        docs: what to apply, or to take away.
    """

    name: str
    title: str
    caught_by: tuple[str, ...]
    touches: tuple[str, ...]
    docs: tuple[Doc, ...]

    @classmethod
    def read(cls, path: Path, values: dict[str, str]) -> "BrokenMesh":
        """Read a file of this folder.

        Args:
            path: the file.
            values: a value for each `${name}`.
        """
        docs = fill(path, values)
        said = {key.removeprefix(_PREFIX): value for key, value in docs[0]["metadata"]["annotations"].items()}
        caught_by, touches = said["caught-by"].split(), said["touches"].split()
        return cls(path.stem, said["title"], tuple(caught_by), tuple(touches), tuple(docs))

    def may_fail(self, case: str) -> bool:
        """Whether a case is among those the breakage touches."""
        return case in self.caught_by or any(fnmatch.fnmatch(case, pattern) for pattern in self.touches)


def meshes(decoy: str = "decoy", names: list[str] | None = None) -> list[BrokenMesh]:
    """The meshes of this folder, or those of these names.

    Args:
        decoy: address of the world's decoy.
        names: of files, all of them if none is named.

    Raises:
        UserError: there is none of that name.
    """
    there = {path.stem: path for path in sorted(FOLDER.glob("*.yaml"))}
    unknown = [name for name in names or [] if name not in there]
    if unknown:
        raise UserError(f"no broken mesh {unknown[0]}", f"there are {', '.join(there)}")
    return [BrokenMesh.read(there[name], {"decoy": decoy}) for name in names or there]


@contextmanager
def broken(kube: Kube, mesh: BrokenMesh, run: str) -> Iterator[None]:
    """The mesh broken in this way; whole again afterwards.

    Args:
        kube: the cluster, which must be this run's.
        mesh: how it is broken.
        run: id of the run, by which the next one finds what a crash left.
    """
    with ExitStack() as stack:
        for doc in mesh.docs:
            if doc["metadata"].get("annotations", {}).get(f"{_PREFIX}absent"):
                stack.enter_context(_absent(kube, doc))
                continue
            doc["metadata"].setdefault("labels", {})[OWNER_LABEL] = run
            stack.callback(kube.delete, doc)
            kube.apply(doc)
        yield


@contextmanager
def _absent(kube: Kube, doc: Doc) -> Iterator[None]:
    """Something of Istio's install taken away; without its mark, a run after a crash installs Istio anew."""
    there = kube.get(doc["apiVersion"], doc["kind"], doc["metadata"]["name"], doc["metadata"].get("namespace"))
    if there is None:
        yield
        return
    there["metadata"] = {key: there["metadata"][key] for key in ("name", "labels") if key in there["metadata"]}
    mark = kube.get("v1", "ConfigMap", INSTALLED, OWN_NAMESPACE)
    if mark is not None:
        kube.delete(mark)
    kube.delete(doc)
    try:
        yield
    finally:
        kube.apply(there)
        if mark is not None:
            mark["metadata"] = {"name": INSTALLED, "namespace": OWN_NAMESPACE}
            kube.apply(mark)
