"""allure-results/: the ledger in the shape Allure reads, so that its report says what the others say.

Written from the ledger, not by the pytest plugin, with Allure's own models and writer.
"""

import hashlib
import html
import uuid
from pathlib import Path

from allure_commons.logger import AllureFileLogger
from allure_commons.model2 import (
    Attachment,
    Label,
    Parameter,
    Status,
    StatusDetails,
    TestResult,
    TestStepResult,
)
from allure_commons.types import AttachmentType, LabelType

from egress_conformance.report.ledger import Attempt, CaseRecord, Check, Ledger, Verdict
from egress_conformance.report.words import milliseconds, reason, shown, started_at, value

_STATUS = {
    Verdict.PASSED: Status.PASSED,
    Verdict.FAILED: Status.FAILED,
    Verdict.SKIPPED: Status.SKIPPED,
    # Allure's word for a test that could not come to a verdict.
    Verdict.INCONCLUSIVE: Status.BROKEN,
}


def write_allure(ledger: Ledger, directory: Path) -> None:
    """Write the ledger to `directory`, which is emptied first: Allure takes every file it finds for a result."""
    writer = AllureFileLogger(directory, clean=True)  # type: ignore[no-untyped-call]
    started = started_at(ledger.started)
    start = round(started.timestamp() * 1000) if started else 0
    for case in ledger.cases:
        # A ledger knows how long a case took, not when it started: they are laid end to end, in its order.
        stop = start + round(case.seconds * 1000)
        result = _result(ledger, case, writer)
        result.start, result.stop = start, stop
        start = stop
        writer.report_result(result)  # type: ignore[no-untyped-call]
    (directory / "environment.properties").write_text(_environment(ledger), encoding="utf-8")


def _result(ledger: Ledger, case: CaseRecord, writer: AllureFileLogger) -> TestResult:
    plane = ledger.environment.data_plane
    parameters = {"istio": ledger.environment.istio, "data plane": f"{plane.kind} {plane.version}"}
    # One history for each version, or results of two versions side by side would count as retries.
    history = "\0".join([case.id, *parameters.values(), str(case.emulated)])
    labels = {
        LabelType.PARENT_SUITE: f"Istio {ledger.environment.istio}",
        LabelType.SUITE: case.area,
        LabelType.FEATURE: case.area,
        LabelType.ID: case.id,
        LabelType.TAG: case.id,
        LabelType.FRAMEWORK: "istio-egress-conformance",
    }
    tags = [Label(name=name, value=shown(text)) for name, text in labels.items()]
    if case.emulated:
        tags.append(Label(name=LabelType.TAG, value="emulated"))
    return TestResult(
        uuid=str(uuid.uuid4()),
        historyId=_digest(history),
        testCaseId=_digest(case.id),
        fullName=shown(f"{case.area}.{case.id}"),
        name=shown(f"{case.id} {case.title}" + (" (emulated)" if case.emulated else "")),
        description=shown(case.statement),
        # Wins over the description, which Allure would take for Markdown.
        descriptionHtml=_description(case),
        status=_STATUS[case.verdict],
        statusDetails=StatusDetails(message=reason(case.reason).gist, trace=shown(case.reason))
        if case.reason
        else None,
        stage="finished",
        labels=tags,
        parameters=[Parameter(name=name, value=shown(text)) for name, text in parameters.items()]
        + [
            Parameter(name=shown(name), value=shown(value(observed)), excluded=True)
            for name, observed in [*case.observations.items(), *case.measurements.items()]
        ],
        steps=[_check(check) for check in case.witnesses],
        attachments=_attachments(case, writer),
    )


def _description(case: CaseRecord) -> str:
    statement, source = html.escape(shown(case.statement)), html.escape(shown(case.source))
    apart = "<p>From an emulation: kept out of the conformance count.</p>" if case.emulated else ""
    return f"<p>{statement}</p><p>Source: {source}</p>{apart}"


def _check(check: Check) -> TestStepResult:
    took = f"{check.attempts_made} made"
    if check.convergence_ms is not None:
        took += f", converged in {milliseconds(check.convergence_ms)}"
    counters = [Parameter(name=shown(name), value=f"{delta:+d}") for name, delta in check.envoy_counted.items()]
    return TestStepResult(
        name=shown(f"{check.role}: {check.expected}"),
        status=Status.PASSED if check.held else Status.FAILED,
        stage="finished",
        parameters=[Parameter(name="attempts", value=took), *counters],
        steps=[_attempt(number, attempt) for number, attempt in enumerate(check.attempts, start=1)],
    )


def _attempt(number: int, attempt: Attempt) -> TestStepResult:
    witnesses = {
        "curl": attempt.curl,
        "caller's Envoy": "\n".join(attempt.envoy) or "logged nothing",
        "server in the world": "\n".join(attempt.server) or "received nothing",
    }
    return TestStepResult(
        name=f"attempt {number}",
        status=Status.PASSED if attempt.agrees else Status.FAILED,
        stage="finished",
        statusDetails=StatusDetails(message=shown("\n".join(attempt.problems))) if attempt.problems else None,
        parameters=[Parameter(name=name, value=shown(text)) for name, text in witnesses.items()],
    )


def _attachments(case: CaseRecord, writer: AllureFileLogger) -> list[Attachment]:
    dumps = [(f"applied {number}", text, AttachmentType.YAML) for number, text in enumerate(case.applied, 1)]
    dumps += [(name, text, AttachmentType.TEXT) for name, text in case.evidence.items()]
    attachments = []
    for name, text, kind in dumps:
        # Named by us, never by the ledger's text: a name could be a path.
        source = f"{uuid.uuid4()}-attachment.{kind.extension}"
        writer.report_attached_data(text, source)  # type: ignore[no-untyped-call]
        attachments.append(Attachment(name=shown(name), source=source, type=kind.mime_type))
    return attachments


def _environment(ledger: Ledger) -> str:
    environment = ledger.environment
    facts = {
        "Istio": environment.istio,
        "Revision": environment.revision,
        "Data.plane": f"{environment.data_plane.kind} {environment.data_plane.version}",
        "Kubernetes": environment.kubernetes,
        "Provider": environment.provider,
        "Mesh.config": environment.mesh_config,
        "Suite.version": ledger.suite_version,
        "Started": ledger.started,
    }
    return "".join(f"{name} = {_property(fact)}\n" for name, fact in facts.items())


def _property(fact: str) -> str:
    """A value of a Java properties file: on one line, backslashes doubled."""
    return shown(fact).replace("\\", "\\\\").replace("\n", "\\n")


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8")).hexdigest()[:32]
