"""A run as it might have been: every verdict, emulated cases, witnesses that disagree, long and foreign text."""

from dataclasses import dataclass, field
from typing import Any, Literal

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
from tests.unit.data import sample_text as text

Role = Literal["control before", "subject", "control after", "check"]
P, F, S, I = Verdict.PASSED, Verdict.FAILED, Verdict.SKIPPED, Verdict.INCONCLUSIVE  # noqa: E741


def reached(host: str, *, by: str = "site-1", to: str = "10.244.0.21:80", curl: str = "") -> Attempt:
    """An attempt that came out as it should: 200 from the right server."""
    return Attempt(
        curl=curl or f"200, server: envoy, answered by {by}",
        envoy=[f"200, outbound|80||{host}, flags -, to {to}"],
        server=[f"{by}:80 request HTTP/1.1 /headers for {host} from 10.244.0.17"],
        agrees=True,
        problems=[],
    )


def blocked() -> Attempt:
    """An attempt that came out as it should: 502 from the proxy, silence in the world."""
    return Attempt(
        curl="502, server: envoy",
        envoy=["502, no cluster, flags NR, to nobody, direct_response"],
        server=[],
        agrees=True,
        problems=[],
    )


def check(
    role: Role,
    expected: str,
    attempts: list[Attempt],
    *,
    made: int = 3,
    ms: float | None = 212.0,
    counted: dict[str, int] | None = None,
) -> Check:
    """A check that held if all of its attempts agreed."""
    return Check(
        role=role,
        expected=expected,
        held=all(attempt.agrees for attempt in attempts),
        attempts_made=made,
        convergence_ms=ms,
        attempts=attempts,
        envoy_counted=counted or {},
    )


def controlled(host: str, subject: Check) -> list[Check]:
    """A subject between its two controls."""
    expected = f"GET http://{host}/headers is blocked: 502 from the proxy"
    before = check("control before", expected, [blocked()] * 3, ms=31.0)
    after = check("control after", expected, [blocked()] * 3, made=6, ms=388.0)
    return [before, subject, after]


def simple(host: str) -> list[Check]:
    """The checks of a case that went well."""
    counters = {f"cluster.outbound|80||{host}.upstream_rq_200": 3, "http.outbound.downstream_rq_2xx": 3}
    expected = f"GET http://{host}/headers reaches site by outbound|80||{host} with 200"
    attempts = [reached(host), reached(host, by="site-2", to="10.244.0.22:80"), reached(host)]
    return controlled(host, check("subject", expected, attempts, made=5, counted=counters))


@dataclass(frozen=True)
class Row:
    """A case in short; what it leaves out is made up by `record`."""

    id: str
    title: str
    statement: str
    verdict: Verdict = P
    propagation_ms: float | None = None
    reason: str = ""
    emulated: bool = False
    checks: list[Check] | None = None
    observations: dict[str, Any] = field(default_factory=dict)
    evidence: dict[str, str] = field(default_factory=dict)


AREAS = {
    "POL": "policy",
    "HTTP": "http",
    "TLS": "tls",
    "TCP": "tcp",
    "RES": "resolution",
    "RSL": "resilience",
    "HDR": "headers",
    "TEL": "telemetry",
    "DNS": "dns",
    "VAL": "validation",
    "SCP": "scope",
}


def record(row: Row) -> CaseRecord:
    """The case a row stands for."""
    host = f"{row.id.lower()}.world.test"
    ran = row.verdict is not S
    checks = row.checks if row.checks is not None else simple(host) if ran else []
    return CaseRecord(
        id=row.id,
        area=AREAS[row.id.split("-")[0]],
        title=row.title,
        statement=row.statement,
        source="seed: HTTP の外部サービスを登録する; istio.io ServiceEntry.Resolution",
        verdict=row.verdict,
        reason=row.reason,
        emulated=row.emulated,
        seconds=1.9 if ran else 0.0,
        propagation_ms=row.propagation_ms,
        observations=row.observations,
        witnesses=checks,
        applied=[text.SERVICE_ENTRY.format(host=host)] if ran else [],
        evidence=row.evidence,
    )


def sample() -> Ledger:
    """The whole run."""
    cases = [record(row) for row in (*well(), *badly(), *left_out())]
    counted = [case.verdict for case in cases if not case.emulated]
    return Ledger(
        started="2026-08-28T03:41:07Z",
        suite_version="0.1.0",
        environment=Environment(
            istio="1.31.0",
            revision="default",
            data_plane=DataPlane(kind="envoy", version="1.39.3"),
            kubernetes="v1.35.0",
            provider="kind",
            images={
                "pilot": "local/pilot:1.31.0@sha256:" + "3b7e91c4" * 8,
                "proxyv2": "local/proxyv2:1.31.0@sha256:" + "a04d22f9" * 8,
                "client": "local/client:1@sha256:" + "5511c0de" * 8,
                "world": "local/world:1@sha256:" + "77aa10b2" * 8,
            },
            mesh_config="9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
            emulations=["HDR-01", "HDR-02"],
            escaped_packets=0,
        ),
        summary=Summary(
            passed=counted.count(P),
            failed=counted.count(F),
            skipped=counted.count(S),
            inconclusive=counted.count(I),
            emulated=len(cases) - len(counted),
            seconds=74.6,
        ),
        cases=cases,
    )


def well() -> list[Row]:
    """The cases that passed."""
    return [
        Row("POL-01", "allow any passes unregistered http", text.POL_01, P, None),
        Row("POL-03", "registry only answers 502", text.POL_03),
        Row("POL-04", "registry only resets where the port is unknown", text.POL_04),
        Row("POL-06", "flip the live mesh both ways", text.POL_06, P, 2380.0,
            observations={"ALLOW_ANY to REGISTRY_ONLY ms": 2380, "REGISTRY_ONLY to ALLOW_ANY ms": 1874,
                          "existing connections": {"kept": 2, "reset": 0}}),
        Row("POL-07", "mode given at install", text.POL_07, P, None),
        Row("HTTP-01", "registered http", text.HTTP_01, P, 214.0,
            observations={"server": "envoy", "x-envoy-upstream-service-time": "3"}),
        Row("TLS-01", "tls by sni", text.TLS_01, P, 305.0),
        Row("TLS-02", "https by sni", text.TLS_02, P, 288.0),
        Row("TLS-03", "two hosts and two ports in one entry", text.TLS_03, P, 342.0),
        Row("TCP-01", "tcp by address", text.TCP_01, P, 189.0),
        Row("RES-01", "dns resolution", text.RES_01, P, 467.0,
            observations={"endpoints": ["10.244.0.21:80", "10.244.0.22:80"], "dialled": "10.244.0.99"}),
        Row("RES-05", "resolution none", text.RES_05, P, 231.0),
        Row("RSL-01", "fault abort", text.RSL_01, P, 160.0),
        Row("RSL-02", "fault delay", text.RSL_02, P, 172.0, observations={"delays ms": [2001, 2003, 2002]}),
        Row("HDR-01", "peer metadata", text.HDR_01, P, 251.0, emulated=True,
            observations={"metadata": {"NAME": "client-6b9", "NAMESPACE": "東京", "LABELS": {"app": "client"}}}),
        Row("HDR-04", "decorator operation", text.HDR_04, P, 219.0),
        Row("HDR-05", "b3 headers with a tracer", text.HDR_05, P, 733.0),
        Row("VAL-01", "endpoints and a selector together", text.VAL_01, P,
            checks=[], observations={"refused by": "CRD", "message": text.REFUSED}),
        Row("SCP-01", "export to own namespace", text.SCP_01, P, 198.0),
    ]  # fmt: skip


def badly() -> list[Row]:
    """The cases that failed or came to no verdict."""
    host = "res-04.world.test"
    decoy = reached(host, by="decoy", to="10.244.0.99:80").model_copy(
        update={
            "agrees": False,
            "problems": [
                "curl: answered by decoy, expected site",
                "envoy: sent it to 10.244.0.99:80, expected one of ['10.244.0.21:80', '10.244.0.22:80']",
            ],
        }
    )
    twice = Attempt(
        curl="503, server: envoy",
        envoy=[
            f"503, outbound|80||{host}, flags UF, to 10.244.0.21:80, "
            "upstream_reset_before_response_started{connection_timeout}",
            f"503, outbound|80||{host}, flags URX, to 10.244.0.21:80",
        ],
        server=[f"site-1:80 request HTTP/1.1 /headers for {host} from 10.244.0.17"] * 2,
        agrees=False,
        problems=[
            "curl: the status is 503, expected 200",
            "envoy: logged 2 lines of this attempt, expected exactly one",
            "server: 2 receipts (site-1), expected exactly one",
            "the counters of the cluster do not add up to the log",
        ],
    )
    counters = {
        f"cluster.outbound|80||{host}.upstream_rq_503": 4,
        f"cluster.outbound|80||{host}.upstream_rq_retry": 8,
        "http.outbound_0.0.0.0_80;.downstream_rq_5xx": 4,
    }
    expected = f"GET http://{host}/headers reaches site by outbound|80||{host} with 200"
    subject = check("subject", expected, [reached(host), decoy, twice], made=41, ms=None, counted=counters)
    leaked = reached("tls-05.world.test", curl="200, answered by site-1").model_copy(
        update={
            "envoy": ["0, PassthroughCluster, flags -, to 10.244.0.21:443, sni tls-05.world.test"],
            "server": [
                "site-1:443 hello ClientHello, sni tls-05.world.test from 10.244.0.17",
                "site-1:443 request HTTP/2 /headers for tls-05.world.test from 10.244.0.17",
            ],
            "agrees": False,
            "problems": [
                "curl: exit code is 0, expected 35 or 56",
                "envoy: the cluster is 'PassthroughCluster', expected 'BlackHoleCluster'",
                "server: 1 receipts (site-1), expected none",
            ],
        }
    )
    gone = Attempt(curl="exit 6 (Could not resolve host)", envoy=[], server=[], agrees=False, problems=[])
    tls = check("check", "HTTPS to tls-05.world.test is blocked: connection reset", [leaked] * 3, made=25, ms=None)
    tcp = check("control before", "TCP to 10.244.0.23:3306 is blocked: connection closed", [gone], made=1, ms=None)
    return [
        Row("RES-04", "static endpoints", text.RES_04, F, None, explained(subject),
            checks=controlled(host, subject),
            evidence={"the proxy's view": text.VIEW, "endpoints": text.ENDPOINTS, "istiod log": text.ISTIOD_LOG}),
        Row("TLS-05", "unlisted sni", text.TLS_05, F, None, explained(tls), checks=[tls],
            evidence={"the proxy's view": text.ENDPOINTS}),
        Row("HDR-02", "peer metadata id", text.HDR_02, F, 248.0, text.HDR_02_WHY, emulated=True),
        Row("TCP-05", "server speaks first", text.TCP_05, I, None, text.TCP_05_WHY, checks=[tcp],
            evidence={"events": "12s  Warning  Evicted  pod/client-6b9  The node was low on resource: memory."}),
    ]  # fmt: skip


def explained(broken: Check) -> str:
    """Why a check did not hold, as the suite words it: the expectation, the problems, the last attempts."""
    lines = [f"{broken.role}: it must be so that {broken.expected}; after {broken.attempts_made} attempts:"]
    lines += [f"  - {problem}" for problem in dict.fromkeys(p for one in broken.attempts for p in one.problems)]
    lines.append("the last attempts, by witness:")
    for number, attempt in enumerate(broken.attempts, start=1):
        lines.append(f"  #{number}  curl    {attempt.curl}")
        for name, said in (("envoy", attempt.envoy), ("server", attempt.server)):
            lines += [f"       {name:<7} {line}" for line in said or ["nothing"]]
    return "\n".join(lines)


def left_out() -> list[Row]:
    """The cases that were skipped."""
    build = "needs Istio's own proxy build; this data plane is upstream Envoy"
    tracer = "needs the tracing provider the suite's install configures; this mesh has none that leads to the world"
    return [
        Row("TEL-03", "metrics for the three destinations", text.TEL_03, S, reason=build),
        Row("HDR-03", "in mesh strips", text.HDR_03, S, reason=build),
        Row("HDR-09", "no context propagation", text.HDR_09, S, reason=tracer),
    ]
