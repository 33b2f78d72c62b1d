"""Breaks the mesh in one way after another, runs the suite in each, and says which cases noticed.

    python -m tests.broken.matrix [--istio VERSION] [--write] [MESH ...]

Each mesh is a YAML file in this folder that `kubectl apply` would take. Annotations of its first document say what
is broken (title), which cases must fail (caught-by), and which others may (touches; ids or patterns of ids). All
other cases must stay green. It ends with 1 if a mesh was missed or a case raised a false alarm.
"""

import argparse
import sys
from collections.abc import Iterator
from dataclasses import dataclass

import click

from egress_conformance.cluster.versions import versions
from egress_conformance.errors import UserError
from egress_conformance.report.ledger import Verdict
from egress_conformance.soak import run_suite
from tests.broken.meshes import FOLDER, BrokenMesh, meshes

ROOT = FOLDER.parents[1]
DOCUMENT = ROOT / "docs" / "broken-meshes.md"
DEADLINE = "10"
"""Seconds a check may take: most of them are to fail, and on a mesh that is well none takes as long."""


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


def rows(wanted: list[BrokenMesh], cases: list[str], arguments: list[str]) -> Iterator[Row]:
    """Break the mesh in one way after another and run the cases each time."""
    common = ["--deadline", DEADLINE, "--cases", " ".join(cases), *arguments]
    for mesh in wanted:
        _, ledger = run_suite([*common, "-p", "tests.broken.plugin", "--broken", mesh.name], ROOT)
        yield Row(mesh, {case.id: case.verdict for case in ledger.cases})


def told(row: Row) -> str:
    """A line about one broken mesh."""
    if row.missed:
        return f"MISSED       {row.mesh.name}: {' '.join(row.missed)} did not fail"
    if row.false_alarms:
        return f"FALSE ALARM  {row.mesh.name}: {' '.join(row.false_alarms)} did not pass"
    return f"caught       {row.mesh.name}: by {' '.join(row.caught)}"


def document(found: list[Row], environment: str, of: int) -> str:
    """The matrix mesh x case as Markdown.

    Args:
        found: what the cases said of each mesh.
        environment: where that was.
        of: how many meshes there are.
    """
    cases = sorted({case for row in found for case in row.verdicts})
    seen = [case for case in cases if any(row.verdicts.get(case) is Verdict.FAILED for row in found)]
    lines = [
        "# Broken meshes",
        "",
        "Each row is a mesh broken on purpose ([tests/broken](../tests/broken)), each column a case that ran in it.",
        "● the case had to fail and did; ○ it failed too, as it leans on what is broken; nothing: it passed;",
        "? it was skipped, or the platform got in the way. Made by `scripts/broken --write` on "
        + environment
        + ("." if len(found) == of else f"; {len(found)} of {of} were measured so far."),
        "",
        *_faults(found),
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


def _faults(found: list[Row]) -> list[str]:
    """What the matrix would have to be mended for, a line each."""
    missed = [f"- **missed**: {row.mesh.title}; {', '.join(row.missed)} did not fail." for row in found if row.missed]
    alarms = [
        f"- **false alarm**: {row.mesh.title}; {', '.join(row.false_alarms)} did not pass."
        for row in found
        if row.false_alarms
    ]
    return missed + alarms or ["No mesh is missed, and no case fails that the breakage does not touch."]


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
    wanted, every = meshes(names=given.mesh), meshes()
    cases = sorted({case for mesh in every for case in mesh.caught_by})
    where = [f"--{name}={value}" for name in ("istio", "cluster") if (value := getattr(given, name))]
    found = []
    for row in rows(wanted, cases, ["--wait", *where]):
        click.echo(told(row))
        found.append(row)
        if given.write:
            # After each of them: what was measured is not lost if the rest is not waited for.
            text = document(found, f"Istio {given.istio or versions().newest}", len(every))
            DOCUMENT.write_text(text, encoding="utf-8")
    return int(any(row.missed or row.false_alarms for row in found))


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except UserError as error:
        click.echo(str(error), err=True)
        sys.exit(3)
