"""Breaks the mesh in one way after another, runs the suite in each, and says which cases noticed.

    python -m tests.broken.matrix [--istio VERSION] [--write] [MESH ...]

Each mesh is a YAML file in this folder that `kubectl apply` would take. Annotations of its first document say what
is broken (title), which cases must fail (caught-by), and which others may (touches; ids or patterns of ids). All
other cases must stay green. It ends with 1 if a mesh was missed or a case raised a false alarm.
"""

import argparse
import fnmatch
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import click

from egress_conformance.cluster.kube import Doc, Kube, describe
from egress_conformance.errors import UserError
from egress_conformance.mesh.config import OWN_NAMESPACE
from egress_conformance.mesh.manifests import fill
from egress_conformance.options import Options
from egress_conformance.platform import Platform
from egress_conformance.report.ledger import Verdict
from egress_conformance.soak import run_suite
from egress_conformance.world.world import find_servers

FOLDER = Path(__file__).resolve().parent
ROOT = FOLDER.parents[1]
DOCUMENT = ROOT / "docs" / "broken-meshes.md"
MARK = "egress-conformance/broken"
"""Label of everything that breaks a mesh, so that a crashed run's is found and taken away."""

DEADLINE = "10"
"""Seconds a check may take: most of them are to fail, and on a mesh that is well none takes as long."""

_PREFIX = "egress-conformance/"
_KINDS = (
    ("networking.istio.io/v1alpha3", "EnvoyFilter"),
    ("telemetry.istio.io/v1", "Telemetry"),
    ("admissionregistration.k8s.io/v1beta1", "MutatingAdmissionPolicyBinding"),
    ("admissionregistration.k8s.io/v1beta1", "MutatingAdmissionPolicy"),
)


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


@dataclass(frozen=True)
class Row:
    """What the cases said of one broken mesh."""

    mesh: BrokenMesh
    verdicts: dict[str, Verdict]

    @property
    def missed(self) -> list[str]:
        """Cases that should have failed and did not."""
        return [case for case in self.mesh.caught_by if self.verdicts.get(case) is not Verdict.FAILED]

    @property
    def false_alarms(self) -> list[str]:
        """Cases that did not pass, though the breakage does not touch them."""
        bad = (Verdict.FAILED, Verdict.INCONCLUSIVE)
        return [case for case, verdict in self.verdicts.items() if verdict in bad and not self.mesh.may_fail(case)]

    @property
    def caught(self) -> list[str]:
        """Cases that failed."""
        return [case for case, verdict in self.verdicts.items() if verdict is Verdict.FAILED]


def meshes(values: dict[str, str], names: list[str] | None = None) -> list[BrokenMesh]:
    """The meshes of this folder, or those of these names.

    Raises:
        UserError: there is none of that name.
    """
    there = {path.stem: path for path in sorted(FOLDER.glob("*.yaml"))}
    unknown = [name for name in names or [] if name not in there]
    if unknown:
        raise UserError(f"no broken mesh {unknown[0]}", f"there are {', '.join(there)}")
    return [BrokenMesh.read(there[name], values) for name in names or there]


@contextmanager
def broken(kube: Kube, mesh: BrokenMesh) -> Iterator[None]:
    """The mesh broken in this way; whole again afterwards."""
    with ExitStack() as stack:
        for doc in mesh.docs:
            if doc["metadata"].get("annotations", {}).get(f"{_PREFIX}absent"):
                stack.enter_context(_absent(kube, doc))
                continue
            doc["metadata"].setdefault("labels", {})[MARK] = mesh.name
            stack.callback(kube.delete, doc)
            kube.apply(doc)
        yield


@contextmanager
def _absent(kube: Kube, doc: Doc) -> Iterator[None]:
    there = kube.get(doc["apiVersion"], doc["kind"], doc["metadata"]["name"], doc["metadata"].get("namespace"))
    if there is None:
        yield
        return
    there["metadata"] = {key: there["metadata"][key] for key in ("name", "labels") if key in there["metadata"]}
    kube.delete(doc)
    try:
        yield
    finally:
        kube.apply(there)


def mend(kube: Kube) -> list[str]:
    """Take away what a run that crashed left broken."""
    left = [doc for api, kind in _KINDS for doc in kube.find(api, kind, labels=MARK)]
    for doc in left:
        kube.delete(doc)
    return [describe(doc) for doc in left]


def rows(kube: Kube, wanted: list[BrokenMesh], cases: list[str], arguments: list[str]) -> Iterator[Row]:
    """Break the mesh in one way after another and run the cases each time."""
    for mesh in wanted:
        with broken(kube, mesh):
            _, ledger = run_suite(["--deadline", DEADLINE, "--cases", " ".join(cases), *arguments], ROOT)
        yield Row(mesh, {case.id: case.verdict for case in ledger.cases})


def told(row: Row) -> str:
    """A line about one broken mesh."""
    if row.missed:
        return f"MISSED       {row.mesh.name}: {' '.join(row.missed)} did not fail"
    if row.false_alarms:
        return f"FALSE ALARM  {row.mesh.name}: {' '.join(row.false_alarms)} did not pass"
    return f"caught       {row.mesh.name}: by {' '.join(row.caught)}"


def document(found: list[Row], environment: str) -> str:
    """The matrix mesh x case as Markdown."""
    cases = sorted({case for row in found for case in row.verdicts})
    seen = [case for case in cases if any(row.verdicts.get(case) is Verdict.FAILED for row in found)]
    lines = [
        "# Broken meshes",
        "",
        "Each row is a mesh broken on purpose ([tests/broken](../tests/broken)), each column a case that ran in it.",
        "● the case had to fail and did; ○ it failed too, as it leans on what is broken; nothing: it passed;",
        "? it was skipped, or the platform got in the way. No mesh is missed, and no case fails that the breakage does",
        f"not touch. Made by `scripts/broken --write` on {environment}.",
        "",
        "| broken | " + " | ".join(seen) + " |",
        "| --- |" + " :-: |" * len(seen),
    ]
    for row in found:
        cells = [_cell(row, case) for case in seen]
        lines.append(f"| [{row.mesh.title}](../tests/broken/{row.mesh.name}.yaml) | " + " | ".join(cells) + " |")
    never = [case for case in cases if case not in seen]
    lines += ["", f"Ran each time and failed in none of them: {', '.join(never) or 'none'}.", ""]
    return "\n".join(lines)


def _cell(row: Row, case: str) -> str:
    verdict = row.verdicts.get(case)
    if verdict is Verdict.FAILED:
        return "●" if case in row.mesh.caught_by else "○"
    return " " if verdict is Verdict.PASSED else "?"


def main(arguments: list[str]) -> int:
    """Run the matrix; see the module's docstring."""
    parser = argparse.ArgumentParser(prog="scripts/broken", description="break the mesh and see which cases notice")
    parser.add_argument("mesh", nargs="*", help="names of files in tests/broken, all of them if none is named")
    parser.add_argument("--istio", help="version of Istio")
    parser.add_argument("--cluster", help="name of the kind cluster")
    parser.add_argument("--write", action="store_true", help="write docs/broken-meshes.md")
    given = parser.parse_args(arguments)
    platform = Platform(Options(istio=given.istio, cluster=given.cluster, wait=True), click.echo)
    try:
        info = platform.up()
    finally:
        platform.finish()
    kube = info.kube()
    try:
        for what in mend(kube):
            click.echo(f"taken away, left by a run that crashed: {what}")
        values = {"decoy": find_servers(kube, OWN_NAMESPACE)["decoy"].address}
        wanted = meshes(values, given.mesh)
        cases = sorted({case for mesh in meshes(values) for case in mesh.caught_by})
        where = [f"--{name}={value}" for name in ("istio", "cluster") if (value := getattr(given, name))]
        found = []
        for row in rows(kube, wanted, cases, ["--wait", *where]):
            click.echo(told(row))
            found.append(row)
    finally:
        kube.close()
    if given.write:
        DOCUMENT.write_text(document(found, f"Istio {info.istio_version}"), encoding="utf-8")
    return int(any(row.missed or row.false_alarms for row in found))


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except UserError as error:
        click.echo(str(error), err=True)
        sys.exit(3)
