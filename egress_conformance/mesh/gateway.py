"""The egress gateway: a fourth witness of what passes through it."""

from collections.abc import Iterable
from dataclasses import dataclass

from egress_conformance.cluster.kube import Kube
from egress_conformance.errors import PlatformTrouble, Timeout
from egress_conformance.mesh.proxy import Proxy
from egress_conformance.traffic.attempt import Attempt, EnvoyLogged, nonce_of, parse_log
from egress_conformance.traffic.recorder import Recorder
from egress_conformance.waiting import wait_for

LOG_SECONDS = 60
_LINE_SECONDS = 5
"""How long a line may take to be in the pod's log once the access log is flushed."""


@dataclass(frozen=True)
class Gateway:
    """One gateway pod.

    Args:
        kube: the cluster.
        namespace: where it is.
        pod: its name.
    """

    kube: Kube
    namespace: str
    pod: str

    @property
    def proxy(self) -> Proxy:
        """Its Envoy."""
        return Proxy(self._admin)

    @property
    def address(self) -> str:
        """The pod's IP."""
        pod = self.kube.get("v1", "Pod", self.pod, self.namespace)
        if pod is None:
            raise PlatformTrouble("egress gateway gone", f"{self.namespace}/{self.pod}")
        return str(pod["status"]["podIP"])

    def _admin(self, path: str, method: str = "GET") -> str:
        command = ["pilot-agent", "request", method, path]
        return self.kube.run(self.namespace, self.pod, "istio-proxy", command)

    def log(self) -> str:
        """What it logged of late, flushed first (`POST /reopen_logs`)."""
        self._admin("reopen_logs", "POST")
        return self.kube.logs(self.namespace, self.pod, "istio-proxy", since=LOG_SECONDS)

    def lines(self, attempts: Iterable[Attempt], *, expected: bool = True) -> dict[str, list[EnvoyLogged]]:
        """What it logged of some attempts, by nonce.

        Args:
            attempts: what a check saw.
            expected: wait until there is a line of each; else what is there once the log is flushed.
        """
        attempts = list(attempts)
        seen: dict[str, list[EnvoyLogged]] = {}

        def look() -> dict[str, list[EnvoyLogged]] | None:
            nonlocal seen
            seen = of_attempts(attempts, parse_log(self.log()))
            return seen if all(seen.values()) or not expected else None

        try:
            return wait_for("the gateway's access log", look, seconds=_LINE_SECONDS, hint="is it on?", every=0.1)
        except Timeout:
            # A missing line is for the judge to report.
            return seen

    def carried(self, attempts: list[Attempt], cluster: str, recorder: Recorder) -> dict[str, list[EnvoyLogged]]:
        """See that each attempt passed this gateway once, by a cluster, on the connection its server received it on.

        Args:
            attempts: what a check saw.
            cluster: the gateway's Envoy cluster that must have carried them.
            recorder: keeps what was seen.

        Raises:
            CheckFailed: the gateway does not bear it out.
        """
        lines = self.lines(attempts)
        problems = [problem for attempt in attempts for problem in _problems(attempt, lines[attempt.nonce], cluster)]
        last = lines[attempts[-1].nonce] if attempts else []
        seen = "; ".join(dict.fromkeys(problems)) or f"{len(attempts)} of them, e.g. {', '.join(map(str, last))}"
        recorder.fact(f"the gateway logs each attempt once, by {cluster}", seen, held=not problems and bool(attempts))
        return lines

    def is_silent(self, attempts: list[Attempt], recorder: Recorder) -> None:
        """See that none of the attempts passed this gateway.

        Raises:
            CheckFailed: one of them did.
        """
        lines = [line for found in self.lines(attempts, expected=False).values() for line in found]
        seen = ", ".join(map(str, lines)) or "nothing"
        recorder.fact("the gateway logs nothing of it", seen, held=not lines)


def of_attempts(attempts: Iterable[Attempt], log: list[EnvoyLogged]) -> dict[str, list[EnvoyLogged]]:
    """A gateway's lines of some attempts, by nonce.

    They are found by the nonce in the path; where the gateway cannot read one, by the connection: the caller's Envoy
    logs its own end of it as upstream local address, and the gateway as downstream remote address.
    """
    found = {}
    for attempt in attempts:
        ends = {entry.upstream_local for entry in attempt.logged} - {"-"}
        found[attempt.nonce] = [
            entry
            for entry in log
            if nonce_of(entry.path) == attempt.nonce
            or (nonce_of(entry.path) is None and entry.downstream_remote in ends and entry.started > attempt.sent - 1)
        ]
    return found


def _problems(attempt: Attempt, lines: list[EnvoyLogged], cluster: str) -> list[str]:
    """Where the gateway does not bear out that it carried an attempt."""
    if len(lines) != 1:
        return [f"it logged {len(lines)} lines of an attempt, expected exactly one"]
    (line,) = lines
    problems = []
    if line.cluster != cluster:
        problems.append(f"its cluster is {line.cluster!r}, expected {cluster!r}")
    if line.flags != "-":
        problems.append(f"its response flags are {line.flags}, expected -")
    remotes = {receipt.remote for receipt in attempt.requests}
    if remotes != {line.upstream_local}:
        problems.append(f"it sent from {line.upstream_local}, but the server received from {sorted(remotes)}")
    return problems
