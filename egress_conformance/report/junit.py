"""junit.xml: the ledger for CI servers. A test suite for each area, a test case for each case."""

from pathlib import Path
from xml.etree import ElementTree as ET

from egress_conformance.report.ledger import CaseRecord, Check, Ledger, Verdict
from egress_conformance.report.words import milliseconds, reason, shown, started_at, value

_OUTCOME = {Verdict.FAILED: "failure", Verdict.INCONCLUSIVE: "error", Verdict.SKIPPED: "skipped"}


def write_junit(ledger: Ledger, path: Path) -> None:
    """Write the ledger as JUnit XML to `path`.

    A failed case is a failure, an inconclusive one an error of type ``inconclusive``. Emulated cases are
    counted like the others, as CI servers know no third kind, and carry the property ``emulated``.
    """
    root = ET.Element("testsuites", _totals(ledger.cases), name="istio-egress-conformance")
    for area in dict.fromkeys(case.area for case in ledger.cases):
        root.append(_suite(ledger, area, [case for case in ledger.cases if case.area == area]))
    ET.indent(root)
    ET.ElementTree(root).write(path, encoding="utf-8", xml_declaration=True)


def _totals(cases: list[CaseRecord]) -> dict[str, str]:
    verdicts = [case.verdict for case in cases]
    return {
        "tests": str(len(cases)),
        "failures": str(verdicts.count(Verdict.FAILED)),
        "errors": str(verdicts.count(Verdict.INCONCLUSIVE)),
        "skipped": str(verdicts.count(Verdict.SKIPPED)),
        "time": f"{sum(case.seconds for case in cases):.3f}",
    }


def _suite(ledger: Ledger, area: str, cases: list[CaseRecord]) -> ET.Element:
    suite = ET.Element("testsuite", _totals(cases), name=shown(area))
    if started := started_at(ledger.started):
        suite.set("timestamp", started.isoformat(timespec="seconds"))
    environment = ledger.environment
    facts = {
        "istio": environment.istio,
        "revision": environment.revision,
        "data plane": f"{environment.data_plane.kind} {environment.data_plane.version}",
        "kubernetes": environment.kubernetes,
        "provider": environment.provider,
        "mesh config": environment.mesh_config,
        "suite version": ledger.suite_version,
    }
    suite.append(_properties(facts))
    suite.extend(_case(case) for case in cases)
    return suite


def _case(case: CaseRecord) -> ET.Element:
    element = ET.Element(
        "testcase",
        classname=shown(case.area),
        name=shown(f"{case.id} {case.title}"),
        time=f"{case.seconds:.3f}",
    )
    facts = {"statement": case.statement, "source": case.source, "verdict": case.verdict.value}
    if case.emulated:
        facts["emulated"] = "true: kept out of the conformance count"
    if case.propagation_ms is not None:
        facts["propagation_ms"] = f"{case.propagation_ms:.1f}"
    facts |= {f"observation {name}": value(observed) for name, observed in case.observations.items()}
    facts |= {f"measurement {name}": value(measured) for name, measured in case.measurements.items()}
    element.append(_properties(facts))
    if outcome := _OUTCOME.get(case.verdict):
        told = ET.SubElement(element, outcome, message=reason(case.reason).gist)
        if case.verdict is not Verdict.SKIPPED:
            told.set("type", case.verdict.value)
            told.text = _why(case)
    return element


def _why(case: CaseRecord) -> str:
    """The reason, and each check; where one did not hold, its attempts instead of what the reason says of them."""
    why = reason(case.reason)
    parts = ["\n".join([why.lead, *(f"  - {point}" for point in why.points)])]
    if why.rest and all(check.held for check in case.witnesses):
        parts.append(why.rest)
    return "\n\n".join([*parts, *(shown(_told(check)) for check in case.witnesses)])


def _told(check: Check) -> str:
    """A check in words, with the witnesses of its attempts where it did not hold."""
    came_out = "held" if check.held else "did not hold"
    after = "" if check.convergence_ms is None else f" after {milliseconds(check.convergence_ms)}"
    lines = [f"{check.role}: {check.expected}: {came_out}{after}, {check.attempts_made} attempts"]
    for number, attempt in enumerate(() if check.held else check.attempts, start=1):
        lines.append(f"  attempt {number}")
        lines.append(f"    curl:   {attempt.curl}")
        lines += [f"    envoy:  {line}" for line in attempt.envoy or ["logged nothing"]]
        lines += [f"    server: {line}" for line in attempt.server or ["received nothing"]]
        lines += [f"    ! {problem}" for problem in attempt.problems]
    return "\n".join(lines)


def _properties(facts: dict[str, str]) -> ET.Element:
    properties = ET.Element("properties")
    for name, fact in facts.items():
        ET.SubElement(properties, "property", name=shown(name), value=shown(fact))
    return properties
