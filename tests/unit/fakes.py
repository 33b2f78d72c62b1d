"""Stand-ins for what the core talks to. Each refuses what it was not told of."""
# ruff: noqa: ARG002  (a stand-in takes what the real one takes)

import base64
import copy
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from egress_conformance.case import Mode, case
from egress_conformance.cluster.execs import Exec
from egress_conformance.cluster.kube import Doc, Kube, Refused, describe
from egress_conformance.traffic.attempt import CurlSaw, Receipt
from egress_conformance.world.world import Server, Site, World

ALPHA = Server("alpha", "10.0.0.1", "instance-of-alpha")
BETA = Server("beta", "10.0.0.2", "instance-of-beta")
DECOY = Server("decoy", "10.0.0.3", "instance-of-decoy")
SITE = Site("site.world.test", (ALPHA,))
CLIENT = "10.0.0.9"


def answer(server: Server = ALPHA, nonce: str = "n1-1", **changes: object) -> bytes:
    """What a server of the world answers."""
    headers = [["Host", SITE.host], ["X-Forwarded-Proto", "http"]]
    said = {"server": server.name, "instance": server.instance, "nonce": nonce, "headers": headers, **changes}
    return json.dumps(said).encode() + b"\n"


def curl_saw(**changes: Any) -> CurlSaw:  # noqa: ANN401
    """A curl that got a 200 from alpha through Envoy."""
    saw: dict[str, Any] = {
        "exit_code": 0,
        "error": "",
        "status": 200,
        "headers": {"server": "envoy", "x-envoy-upstream-service-time": "1"},
        "body": answer(),
        "local_port": 40001,
        "http_version": "1.1",
        "seconds": 0.01,
    }
    return CurlSaw(**{**saw, **changes})


def receipt(server: Server = ALPHA, **changes: Any) -> Receipt:  # noqa: ANN401
    """A request that a server received from the client's Envoy."""
    doc = {
        "server": server.name,
        "instance": server.instance,
        "port": 80,
        "event": "request",
        "remote": f"{CLIENT}:50001",
        "nonce": "n1-1",
        "host": SITE.host,
        "path": "/headers?attempt=n1-1",
        "protocol": "HTTP/1.1",
        "headers": [["Host", SITE.host], ["X-Forwarded-Proto", "http"]],
    }
    return Receipt.parse({**doc, **changes})


def log_line(nonce: str = "n1-1", port: int = 40001, **changes: Any) -> str:  # noqa: ANN401
    """A line of Envoy's log in Istio's default text format: a request that alpha answered."""
    words = {
        "time": "2026-08-28T03:41:07.000Z",
        "request": f"GET /headers?attempt={nonce} HTTP/1.1",
        "code": "200",
        "flags": "-",
        "details": "via_upstream",
        "termination": "-",
        "upstream_host": f"{ALPHA.address}:80",
        "cluster": f"outbound|80||{SITE.host}",
        "upstream_local": f"{CLIENT}:50001",
        "downstream_local": f"{ALPHA.address}:80",
        "downstream_remote": f"{CLIENT}:{port}",
        "sni": "-",
        "route": "default",
        **changes,
    }
    return (
        '[{time}] "{request}" {code} {flags} {details} {termination} "-" 0 512 3 2 "-" "curl/7.88.1" '
        '"7d8e8e3c-3d3f-9d8e-8f0c-2f6c5a0f9d1b" "{authority}" "{upstream_host}" {cluster} {upstream_local} '
        "{downstream_local} {downstream_remote} {sni} {route}"
    ).format(**{"authority": SITE.host, **words})


def b64(data: bytes | str) -> str:
    """As attempts.sh writes it."""
    return base64.b64encode(data.encode() if isinstance(data, str) else data).decode()


def attempt_line(
    number: int,
    nonce: str,
    *,
    start: int = 0,
    code: int = 0,
    body: bytes = b"",
    headers: str = "",
    took: float = 0.005,
    **curl: Any,  # noqa: ANN401
) -> str:
    """An `attempt` line of attempts.sh; `curl` is what curl wrote out."""
    end = start + int(took * 1e6)
    written = json.dumps({"curl": {"local_port": 40000 + number, "http_code": 200, **curl}, "certs": ""})
    escaped = headers.replace("\\", "\\\\").replace("\t", "\\t").replace("\n", "\\n")
    words = ["attempt", str(number), nonce, str(start), str(end), str(code), written, escaped]
    return "\t".join([*words, b64(body)])


Key = tuple[str, str, str]


def key(doc: Doc) -> Key:
    """What tells one object from another."""
    return doc["kind"], doc["metadata"].get("namespace") or "", doc["metadata"]["name"]


def _has(labels: dict[str, str], name: str, equals: str, value: str) -> bool:
    return name in labels and (not equals or labels[name] == value)


@dataclass
class FakeKube(Kube):
    """A cluster of plain dictionaries.

    Attributes:
        objects: what is in it.
        did: what was done to it, in order.
        refuses: what it refuses, by what would be in `did`.
        keeps: objects that survive their deletion, as with a finalizer.
        log: the log of any container.
        execs: gives the command a container runs, from its command line; None: no exec is expected.
        raws: answers to raw requests, by method and path.
        read_back: how many seconds back logs were read.
    """

    objects: dict[Key, Doc] = field(default_factory=dict)
    did: list[str] = field(default_factory=list)
    refuses: dict[str, Refused] = field(default_factory=dict)
    keeps: set[str] = field(default_factory=set)
    log: Callable[[], str] | None = None
    execs: Callable[[list[str]], Exec] | None = None
    raws: dict[str, Callable[[Any], Any]] = field(default_factory=dict)
    read_back: list[float | None] = field(default_factory=list)

    def add(self, *docs: Doc) -> "FakeKube":
        """Put objects into the cluster."""
        self.objects.update({key(doc): copy.deepcopy(doc) for doc in docs})
        return self

    def _do(self, what: str) -> None:
        self.did.append(what)
        if what in self.refuses:
            raise self.refuses[what]

    def close(self) -> None:
        self.did.append("close")

    def get(self, api_version: str, kind: str, name: str, namespace: str | None = None) -> Doc | None:
        return copy.deepcopy(self.objects.get((kind, namespace or "", name)))

    def find(self, api_version: str, kind: str, namespace: str | None = None, labels: str | None = None) -> list[Doc]:
        wanted = [pair.partition("=") for pair in (labels or "").split(",") if pair]
        return [
            copy.deepcopy(doc)
            for (its_kind, its_namespace, _), doc in self.objects.items()
            if its_kind == kind
            and namespace in {None, its_namespace}
            and all(_has(doc["metadata"].get("labels", {}), *pair) for pair in wanted)
        ]

    def apply(self, doc: Doc, *, dry_run: bool = False) -> Doc:
        self._do(f"apply {describe(doc)}")
        self.add(doc)
        return doc

    def delete(self, doc: Doc, *, grace: int | None = None) -> None:
        self._do(f"delete {describe(doc)}")
        if describe(doc) not in self.keeps:
            self.objects.pop(key(doc), None)

    def patch(self, doc: Doc, operations: list[Doc]) -> None:
        self._do(f"patch {describe(doc)}")
        for operation in operations:
            assert operation["op"] == "replace"
            *path, last = (step.replace("~1", "/") for step in operation["path"].strip("/").split("/"))
            place = self.objects[key(doc)]
            for step in path:
                place = place[step]
            assert last in place, "JSON patch replaces only what is there"
            place[last] = operation["value"]

    def logs(self, namespace: str, pod: str, container: str, *, since: float | None = None) -> str:
        assert self.log is not None, "nobody said there would be a log"
        self.read_back.append(since)
        return self.log()

    def exec(self, namespace: str, pod: str, container: str, command: list[str], *, bash: bool = False) -> Exec:
        assert self.execs is not None, f"nobody said that {command[0]} would be run"
        return self.execs(command)

    def raw(
        self,
        method: str,
        path: str,
        *,
        query: dict[str, str | list[str]] | None = None,
        body: object = None,
        seconds: float = 10,
    ) -> bytes:
        assert f"{method} {path}" in self.raws, f"nobody said that {method} {path} would be asked"
        said = self.raws[f"{method} {path}"](body if body is not None else query)
        return said if isinstance(said, bytes) else json.dumps(said).encode()


def no_kube() -> Kube:
    """A cluster that must not be asked for anything."""
    return FakeKube()


class FakeExec(Exec):
    """A command that prints these lines, whatever it is told, and ends."""

    def __init__(self, *lines: str) -> None:
        self._lines = list(lines)
        self.sent: list[str] = []
        self.closed = False

    def __exit__(self, *_: object) -> None:
        self.closed = True

    def line(self, seconds: float) -> str | None:
        return self._lines.pop(0) if self._lines else None

    def send(self, line: str) -> None:
        self.sent.append(line)

    def output(self, seconds: float) -> str:
        return "\n".join(self._lines)


@dataclass
class FakeWorld(World):
    """A world whose servers have received what a test says."""

    kube: Kube = field(default_factory=no_kube)
    namespace: str = "egress-conformance"
    servers: dict[str, Server] = field(default_factory=lambda: {"alpha": ALPHA, "beta": BETA, "decoy": DECOY})
    label: str = "case-01"
    received: list[Receipt] = field(default_factory=list)
    asked: list[list[str]] = field(default_factory=list)

    def mark(self) -> dict[str, int]:
        return dict.fromkeys(self.servers, 0)

    def receipts(self, after: dict[str, int], match: list[str]) -> list[Receipt]:
        self.asked.append(match)
        return list(self.received)


@case("TST-01", source="nowhere", mode=Mode.REGISTRY_ONLY)
def some_case() -> None:
    """A case MUST be declared."""


SUITE = Path(__file__).resolve().parents[2]


class Clock:
    """Time that passes only when somebody waits; put in the place of module `time`."""

    def __init__(self, now: float = 1000.0) -> None:
        self.now = now

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds

    def install(self, monkeypatch: pytest.MonkeyPatch) -> "Clock":
        """Let waits and records take it for the time."""
        for module in ("tenacity", "tenacity.nap", "egress_conformance.traffic.recorder"):
            monkeypatch.setattr(f"{module}.time", self)
        return self
