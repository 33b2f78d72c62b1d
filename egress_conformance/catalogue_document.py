"""docs/catalogue.md, generated from the cases."""

from collections.abc import Sequence
from itertools import groupby

from egress_conformance.case import plain
from egress_conformance.catalogue import Entry
from egress_conformance.report.words import several

_HEAD = """\
# Catalogue

Generated from the cases by `egress-conformance catalogue --write`; do not edit. {cases} in {areas}.

- **controls**: checks that must come out the other way before, beside or after the subject is in place; a *twin* is
  the same manifest without its fault. Each case can also be shown to fail (`egress-conformance prove`).
- **runs**: the mode of the mesh; *alone* if no other case may run meanwhile; what else is needed. Where something is
  missing the case is skipped and says so. Cases of another command name it; `run`
  and `prove` do not know them.
- **Istio**: the versions that promise it; nothing: all. A table of expectations reads `from version: expected`.
  *Of the proxy*: where the client's proxy is of another version than istiod, as in an upgrade, the proxy's counts.
"""


def render(entries: Sequence[Entry]) -> str:
    """The document.

    Args:
        entries: all cases, sorted by area.
    """
    areas = [(area, list(members)) for area, members in groupby(entries, key=lambda entry: entry.area)]
    ids = {entry.case.id for entry in entries}
    lines = [_HEAD.format(cases=several(len(ids), "case"), areas=several(len(areas), "area"))]
    for area, members in areas:
        lines += [f"## {area}", "", "| id | the mesh | controls | runs | Istio | source |", "| --- " * 6 + "|"]
        lines += [_row(entry) for entry in members]
        lines.append("")
    return "\n".join(lines)


def _text(expected: object) -> str:
    value = plain(expected)
    return (", ".join(map(str, value)) or "none") if isinstance(value, list) else str(value)


def _row(entry: Entry) -> str:
    case = entry.case
    runs = [str(case.mode), *(["alone"] if case.flips else []), *(need.name.lower() for need in case.requires)]
    if entry.command != "run":
        runs = [f"`egress-conformance {entry.command}`"]
    versions = [f"since {case.since}"] if case.since else []
    versions += [f"until {case.until}"] if case.until else []
    versions += [f"from {first}: {_text(expected)}" for first, expected in case.by_version.items()]
    versions += ["of the proxy"] if case.of_proxy else []
    controls = "the other mode" if case.subject_is_mode else entry.controls
    if case.unprovable:
        controls += f"; not provable: {case.unprovable}"
    name = f"{case.id} ★" if entry.article else case.id
    cells = (name, case.statement, controls, ", ".join(runs), "; ".join(versions), case.source)
    return "| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in cells) + " |"
