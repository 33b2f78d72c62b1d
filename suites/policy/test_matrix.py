"""What becomes of a request by mode, destination, declared protocol and what is really sent: a table of rows.

The table is matrix.yaml beside this file; it says what its words mean.
"""

import itertools
import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from egress_conformance.case import Mode, Row, case, rows
from egress_conformance.mesh.mesh import Mesh
from egress_conformance.traffic.by_proxy import Blocked
from egress_conformance.traffic.client import TCP_SECONDS, Client
from egress_conformance.traffic.expect import PASSTHROUGH
from egress_conformance.traffic.recorder import Recorder
from egress_conformance.traffic.request import Request
from egress_conformance.world.world import DOMAIN, Server, World

PORTS = {"http1": 8080, "http2": 8080, "tls": 8443, "tls-no-sni": 8443, "tcp": 9000, "server-first": 3306}
HANGS_SECONDS = 0.4
"""How long nothing must come for a connection to count as hanging; an answer takes some milliseconds."""

CLOSED = {
    "http1": Blocked.RESET,
    "http2": Blocked.HTTP2_RESET,
    "tls": Blocked.TLS_RESET,
    "tls-no-sni": Blocked.TLS_RESET,
}


@dataclass(frozen=True)
class MatrixRow(Row):
    """One row of the matrix.

    Attributes:
        declared: protocol of the port; `none` where no entry names it, `auto` where an entry names none.
        destination: registered, unregistered, address or vip.
        sent: what is really sent.
        outcome: what must become of it.
        why: the reason in words.
    """

    declared: str = ""
    destination: str = ""
    sent: str = ""
    outcome: str = ""
    why: str = ""

    @property
    def port(self) -> int:
        """The port that is dialled; the world's servers speak there what is sent."""
        return PORTS[self.sent]


def _rows() -> Iterator[MatrixRow]:
    groups: list[dict[str, Any]] = yaml.safe_load(Path(__file__).with_name("matrix.yaml").read_text(encoding="utf-8"))
    for group in groups:
        lists = (group["declared"], group["destination"], group["sent"])
        for mode, declared, destination, sent in itertools.product((Mode.REGISTRY_ONLY, Mode.ALLOW_ANY), *lists):
            words = (mode.replace("_", "-"), destination, declared, sent)
            yield MatrixRow(
                name="-".join(words).lower(),
                mode=mode,
                # Where both modes agree it is the entry that matters.
                subject_is_mode=group[Mode.REGISTRY_ONLY] != group[Mode.ALLOW_ANY],
                scene="" if declared == "none" else f"matrix {declared}",
                declared=declared,
                destination=destination,
                sent=sent,
                outcome=str(group[mode]),
                why=group["why"],
            )


@case("POL-12", source="TestPassthroughTraffic in sidecar_simulation_test.go, listener.go and tls.go of Istio's pilot")
@rows(_rows())
def test_matrix(mesh: Mesh, client: Client, world: World, recorder: Recorder, row: MatrixRow) -> None:
    """Each mode MUST pass, route or block a request by its destination, the declared protocol and what is sent."""
    alpha, beta, decoy = (world.servers[name] for name in ("alpha", "beta", "decoy"))
    recorder.observations["why"] = row.why
    # The entry's endpoint is alpha; what does not follow the entry arrives where the caller dialled.
    dialled = beta if row.destination == "vip" else decoy
    entry = {
        "host": f"{world.label}-{secrets.token_hex(3)}.{DOMAIN}",
        "protocol": "" if row.declared == "auto" else row.declared,
        "endpoint": alpha.address,
        "vip": beta.address,
    }
    with mesh.shared("policy/matrix.yaml", **entry) as values:
        host = values["host"]
        name = {"registered": host, "vip": f"vip-{host}"}.get(row.destination, f"other-{host}")
        request = _request(client, row, name, dialled)
        # By name where what is sent has one, and for the address of a registered host; else any entry on the port.
        owner = f"vip-{host}" if row.destination == "vip" else host
        _judge(request, row, f"outbound|{row.port}||{owner}", alpha, dialled)


def _request(client: Client, row: MatrixRow, name: str, dialled: Server) -> Request:
    http = {"http1": "1.1", "http2": "2"}.get(row.sent, "")
    if row.sent in {"tcp", "server-first"}:
        seconds = HANGS_SECONDS if row.outcome == "hangs" else TCP_SECONDS
        return client.tcp(dialled.address, row.port, server_first=row.sent == "server-first", seconds=seconds)
    if row.sent == "tls-no-sni":
        # A request by address has no SNI, and a certificate for no name.
        return client.request("GET", f"https://{dialled.address}:{row.port}/headers", options=["--insecure"])
    scheme = "https" if row.sent == "tls" else "http"
    if row.destination == "address":
        return client.request("GET", f"{scheme}://{dialled.address}:{row.port}/headers", http=http)
    return client.request("GET", f"{scheme}://{name}:{row.port}/headers", dial=dialled.address, http=http)


def _judge(request: Request, row: MatrixRow, cluster: str, endpoint: Server, dialled: Server) -> None:
    is_http = row.sent in {"http1", "http2"}
    proxied: dict[str, Any] = {"headers": {"server": "envoy"}}
    untouched: dict[str, Any] = {"headers": {"server": "world"}, "logged_code": 0} if is_http else {}
    match row.outcome:
        case "entry":
            seen = request.reaches(endpoint, cluster=cluster, **proxied)
            # The declared protocol decides what goes out; where none is declared, what came in.
            declared = {"HTTP": "HTTP/1.1", "HTTP2": "HTTP/2"}
            came_in = {"http1": "HTTP/1.1", "http2": "HTTP/2"}
            assert seen.last.requests[0].protocol == declared.get(row.declared, came_in[row.sent])
        case "entry-bytes":
            request.reaches(endpoint, cluster=cluster, **untouched)
        case "passed":
            request.reaches(dialled, cluster=PASSTHROUGH, **proxied)
        case "passed-bytes":
            request.reaches(dialled, cluster=PASSTHROUGH, **untouched)
        case "502":
            request.is_blocked(Blocked.BAD_GATEWAY)
        case "closed":
            request.is_blocked(CLOSED.get(row.sent, Blocked.TCP_CLOSED))
        case "hangs":
            request.is_blocked(Blocked.HANGS)
        case _:
            raise ValueError(f"matrix.yaml: no outcome is called {row.outcome!r}")
