"""A DNS question: what goes over the wire, what comes back, and what the three witnesses must say."""

import base64
import os
import socket
import subprocess
import threading
from collections.abc import Iterator
from importlib import resources
from pathlib import Path
from typing import Any

import dns.message
import dns.rcode
import dns.rrset
import pytest

from egress_conformance.errors import PlatformTrouble
from egress_conformance.traffic.client import Client
from egress_conformance.traffic.lookup import By, Lookup, Told, problems, told
from egress_conformance.traffic.recorder import CheckFailed, Recorder
from egress_conformance.world.world import Query
from tests.unit.fakes import CLIENT, Clock, FakeExec, FakeKube, FakeWorld

HOST = "dns-01.world.test"
SCRIPT = resources.files("egress_conformance.traffic").joinpath("ask.sh").read_text(encoding="utf-8")
REQUESTS, FORWARDED = "istio_agent_dns_requests_total", "istio_agent_dns_upstream_requests_total"


def answer(question: bytes, *addresses: str, rcode: str = "NOERROR") -> bytes:
    response = dns.message.make_response(dns.message.from_wire(question))
    response.set_rcode(dns.rcode.from_text(rcode))
    if addresses:
        response.answer.append(dns.rrset.from_text(f"{HOST}.", 1, "IN", "A", *addresses))
    return response.to_wire()


QUESTION = dns.message.make_query(HOST, "A").to_wire()


def query(**changes: Any) -> Query:  # noqa: ANN401
    doc = {"remote": f"{CLIENT}:5", "transport": "udp", "name": HOST, "type": "A", "rcode": "NOERROR"}
    return Query.parse({**doc, "answers": ["10.0.0.1"], **changes})


def test_what_the_client_was_told_is_read_off_the_wire() -> None:
    seen = told(answer(QUESTION, "10.0.0.2", "10.0.0.1"), {REQUESTS: 4}, {REQUESTS: 5, FORWARDED: 1})
    assert seen == Told("NOERROR", ("10.0.0.1", "10.0.0.2"), 1, 1)
    assert str(seen) == "NOERROR, 10.0.0.1, 10.0.0.2"
    assert str(told(answer(QUESTION, rcode="NXDOMAIN"), {}, {})) == "NXDOMAIN, no address"
    assert str(told(b"", {}, {})) == "no answer, no address"


WANTED = ("NOERROR", ("10.0.0.1",))


@pytest.mark.parametrize(
    ("by", "seen", "queries"),
    [
        (By.PROXY, Told(*WANTED, 1, 0), []),
        (By.FORWARDED, Told(*WANTED, 1, 1), [query()]),
        (By.WORLD, Told(*WANTED, 0, 0), [query()]),
    ],
)
def test_the_three_witnesses_tell_who_answered(by: By, seen: Told, queries: list[Query]) -> None:
    assert problems(seen, queries, by, WANTED, "udp") == []
    for other in By:
        if other != by:
            assert problems(seen, queries, other, WANTED, "udp") != []


def test_each_witness_can_speak_against_an_answer() -> None:
    seen = Told("NXDOMAIN", (), 2, 1)
    assert problems(seen, [query(transport="tcp")], By.PROXY, WANTED, "udp") == [
        "client: told NXDOMAIN, no address",
        "DNS proxy: asked 2 times, forwarded 1, expected (1, 0)",
        f"world's DNS: asked for A {HOST} over tcp from {CLIENT}:5: NOERROR, 10.0.0.1 in spite of it",
    ]
    right = Told(*WANTED, 1, 1)
    assert problems(right, [], By.FORWARDED, WANTED, "udp") == ["world's DNS: asked 0 times, expected exactly once"]
    for wrong in (query(transport="tcp"), query(rcode="SERVFAIL"), query(answers=[])):
        assert problems(right, [wrong], By.FORWARDED, WANTED, "udp") == [f"world's DNS: asked for {wrong}"]


class World(FakeWorld):
    """A world whose DNS was asked what a test says."""

    asked_for: list[Query]

    def queries_mark(self) -> int:
        return 7

    def queries(self, after: int, host: str, *, type: str = "A") -> list[Query]:  # noqa: A002
        assert (after, host, type) == (7, HOST, "A")
        return self.asked_for


def client(said: str, asked_for: list[Query]) -> Client:
    """A client in whose pod the script says this."""
    kube = FakeKube(execs=lambda _: FakeExec(*said.split("\n")))
    world = World()
    world.asked_for = asked_for
    return Client(kube, "ns", CLIENT, world, Recorder(seconds=1))


def test_a_question_is_asked_until_the_witnesses_agree(monkeypatch: pytest.MonkeyPatch) -> None:
    Clock().install(monkeypatch)
    wire = base64.b64encode(answer(QUESTION, "10.0.0.1")).decode()
    asking = client(f"{REQUESTS} 1 {FORWARDED} 0 \n{wire}\n{REQUESTS} 2 {FORWARDED} 1 \n", [query()])
    assert Lookup(asking, HOST).is_answered(By.FORWARDED, ["10.0.0.1"]) == Told(*WANTED, 1, 1)
    (check,) = asking.recorder.checks
    assert check.expected == f"A {HOST} over udp is told NOERROR, 10.0.0.1 by {By.FORWARDED}"
    assert check.attempts[0].envoy == ["DNS proxy: 1 asked, 1 forwarded"]
    assert check.attempts[0].server == [str(query())]
    with pytest.raises(CheckFailed, match="is told NOERROR, no address by the sidecar's DNS proxy, of its own"):
        Lookup(asking, HOST).is_answered(By.PROXY, [])


@pytest.mark.parametrize("said", ["", "a b\nc", "x 1\nnot base64!\nx 1\n", "x 1\nAAAA\nx 1\n"])
def test_what_is_no_answer_of_a_dns_is_the_platforms_trouble(said: str) -> None:
    with pytest.raises(PlatformTrouble, match="client pod broken"):
        Lookup(client(said, []), HOST).ask()


@pytest.fixture
def server() -> Iterator[int]:
    """A DNS on this machine that knows one host."""
    with socket.create_server(("127.0.0.1", 0)) as tcp, socket.socket(type=socket.SOCK_DGRAM) as udp:
        port = tcp.getsockname()[1]
        udp.bind(("127.0.0.1", port))

        def datagram() -> None:
            question, remote = udp.recvfrom(4096)
            udp.sendto(answer(question, "10.0.0.1"), remote)

        def stream() -> None:
            connection, _ = tcp.accept()
            with connection:
                question = connection.recv(4096)[2:]
                said = answer(question, *(f"10.0.{n}.1" for n in range(100)))
                connection.sendall(len(said).to_bytes(2, "big") + said)

        for each in (datagram, stream):
            threading.Thread(target=each, daemon=True).start()
        yield port


@pytest.mark.parametrize(("transport", "known"), [("udp", 1), ("tcp", 100)])
def test_the_script_asks_and_counts(server: int, tmp_path: Path, transport: str, known: int) -> None:
    curl = tmp_path / "curl"
    curl.write_text(f"#!/bin/bash\nprintf 'other 1\\n{REQUESTS} 3\\n{FORWARDED} 2\\n'\n")
    curl.chmod(0o755)
    (tmp_path / "resolv.conf").write_text("search a b\nnameserver 127.0.0.1\nnameserver 127.0.0.2\n")
    script = SCRIPT.replace("/etc/resolv.conf", str(tmp_path / "resolv.conf")).replace("/53", f"/{server}")
    wire = dns.message.make_query(HOST, "A").to_wire(prepend_length=transport == "tcp")
    process = subprocess.run(
        ["bash", "-c", script, "ask", transport, "3", base64.b64encode(wire).decode()],
        env={**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        check=True,
    )
    before, said, after, end = process.stdout.split("\n")
    assert before == after == f"{REQUESTS} 3 {FORWARDED} 2 "
    assert end == process.stderr == ""
    assert len(told(base64.b64decode(said), {}, {}).addresses) == known


def test_the_script_says_so_when_no_answer_comes(tmp_path: Path) -> None:
    (tmp_path / "curl").write_text("#!/bin/bash\n")
    (tmp_path / "curl").chmod(0o755)
    (tmp_path / "resolv.conf").write_text("nameserver 127.0.0.1\n")
    with socket.socket(type=socket.SOCK_DGRAM) as silent:
        silent.bind(("127.0.0.1", 0))
        port = silent.getsockname()[1]
        script = SCRIPT.replace("/etc/resolv.conf", str(tmp_path / "resolv.conf")).replace("/53", f"/{port}")
        process = subprocess.run(
            ["bash", "-c", script, "ask", "udp", "1", base64.b64encode(QUESTION).decode()],
            env={**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"},
            capture_output=True,
            text=True,
            check=True,
        )
    assert process.stdout == "\n\n\n"
