"""A run whose every field that takes text says the same thing: something a report must show and not obey."""

from egress_conformance.report.ledger import (
    Attempt,
    CaseRecord,
    Check,
    DataPlane,
    Environment,
    Ledger,
    Summary,
    Verdict,
)
from egress_conformance.report.observed import CurlObserved, EnvoyObserved, Observed, ServerObserved

HOSTILE = (
    "<script>alert(1)</script>",
    "</script><img src=x onerror=alert(1)>",
    '" onmouseover="alert(1)" \'',
    "]]><!-- & &amp; <!DOCTYPE x>",
    "\x1b[31mred\x1b[0m \x1b]8;;http://x.test\x07link",
    "".join(map(chr, range(0x20))) + "\x7f\x80\x85\x9f",
    "\ufffe\uffff \u2028 \u202etxt.exe",
    "{{ 7 * 7 }} {% raw %} [bold]markup[/bold] [/] :smile:",
    "../../../etc/passwd",
    "日本語" * 400,
    "",
)


def hostile(text: str, verdict: Verdict = Verdict.FAILED) -> Ledger:
    """A run of one case with `text` in every field, key and list that takes any."""
    attempt = Attempt(curl=text, envoy=[text], server=[text], agrees=False, problems=[text, f"curl: {text}"])
    observed = Observed(
        request=text,
        expected=text,
        curl=CurlObserved(outcome=[text], headers={text: [text]}),
        envoy=EnvoyObserved(cluster=[text]),
        server=ServerObserved(headers={text: [text]}),
        seen=[text],
    )
    case = CaseRecord(
        id=text,
        area=text,
        title=text,
        statement=text,
        source=text,
        verdict=verdict,
        reason=text,
        emulated=True,
        seconds=1.0,
        propagation_ms=10.0,
        observations={text: text, f"nested {text}": {text: [text, None, 1]}},
        measurements={text: text},
        since=text,
        until=text,
        by_version={text: [text]},
        witnesses=[
            Check(
                role="subject",
                expected=text,
                held=False,
                attempts_made=1,
                convergence_ms=None,
                attempts=[attempt],
                envoy_counted={text: 1},
                observed=observed,
            )
        ],
        applied=[text],
        evidence={text: text},
    )
    return Ledger(
        started=text,
        suite_version=text,
        suite_commit=text,
        suite_content=text,
        environment=Environment(
            istio=text,
            revision=text,
            data_plane=DataPlane(kind="envoy", version=text),
            kubernetes=text,
            provider=text,
            images={text: text},
            mesh_config=text,
            emulations=[text],
            escaped_packets=3,
        ),
        summary=Summary(passed=0, failed=0, skipped=0, inconclusive=0, emulated=1, seconds=1.0),
        cases=[case, case.model_copy(update={"emulated": False})],
    )
