"""The loop in the pod, run under this machine's bash; a script in the place of curl writes down what it was told."""

import os
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib import resources
from pathlib import Path
from typing import IO

import pytest

from egress_conformance.mesh.proxy import parse_stats
from egress_conformance.traffic.attempt import Attempt, parse_attempt, unescaped
from egress_conformance.traffic.convergence import escaped
from tests.unit.fakes import answer

SCRIPT = resources.files("egress_conformance.traffic").joinpath("attempts.sh").read_text(encoding="utf-8")
BODY = b"\x00\xff\r\n\t" + answer()

STATS = {"cluster.a.upstream_rq_total": 7, "cluster.b.upstream_rq_total": 12}

# Says of each request what a server would say.
CURL = r"""#!/bin/bash
here=$(dirname "$0")
printf '%s\n' "$*" >>"$here/told"
while (($#)); do
  case $1 in
    --dump-header) printf 'HTTP/1.1 200 OK\r\nserver: envoy\r\n\r\n' >"$2"; shift ;;
    --output) cat "$here/body" >"$2"; shift ;;
    --write-out) out=$2; shift ;;
  esac
  shift
done
cat >>"$here/stdin"
size=$(wc -c <"$here/body")
out=${out/"%{json}"/"{\"http_code\": 200, \"local_port\": 40001, \"size_download\":$size}"}
printf '%s' "${out/"%{certs}"/}"
echo 'curl: (52) a word of warning' >&2
exit 52
"""


class Admin(ThreadingHTTPServer):
    """Envoy's admin port: it answers in chunks."""

    def __init__(self, status: int = 200) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.status = status
        self.told: list[str] = []


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Admin

    def do_GET(self) -> None:
        self.server.told.append(f"{self.command} {self.path}")
        lines = [f"{name}: {value}\n" for name, value in STATS.items()] if "/stats" in self.path else ["OK\n"]
        self.send_response(self.server.status)
        self.send_header("transfer-encoding", "chunked")
        self.end_headers()
        for line in [*lines, ""]:
            self.wfile.write(f"{len(line):x}\r\n{line}\r\n".encode())

    do_POST = do_GET  # noqa: N815  (as http.server wants it)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def admin() -> Iterator[Admin]:
    with Admin() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


class Loop:
    """attempts.sh while it runs."""

    def __init__(
        self, folder: Path, port: int, *arguments: str, lifetime: float = 20, interval: int = 10, stdin: str = ""
    ) -> None:
        self.folder = folder
        self.process = subprocess.Popen(
            ["bash", "-c", SCRIPT, "attempts", "n1", str(lifetime), str(interval), "250", "a.*b", stdin, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={
                **os.environ,
                "PATH": f"{folder}:{os.environ['PATH']}",
                "TMPDIR": str(folder / "tmp"),
                "ADMIN_PORT": str(port),
            },
        )

    @staticmethod
    def _open(stream: IO[bytes] | None) -> IO[bytes]:
        assert stream is not None
        return stream

    def words(self) -> list[str]:
        """The next line."""
        return self._open(self.process.stdout).readline().decode().rstrip("\n").split("\t")

    def attempt(self) -> Attempt:
        word, *words = self.words()
        assert word == "attempt"
        return parse_attempt(words, 0)

    def rest(self) -> list[str]:
        """First words of the lines until it ends."""
        return [line.split("\t")[0] for line in self._open(self.process.stdout).read().decode().splitlines()]

    def say(self, text: str) -> None:
        self._open(self.process.stdin).write(text.encode())
        self._open(self.process.stdin).flush()

    def leave(self) -> None:
        """As when the connection breaks."""
        self._open(self.process.stdin).close()

    def end(self) -> int:
        code = self.process.wait(10)
        assert self._open(self.process.stderr).read() == b""
        assert {path.name for path in (self.folder / "tmp").iterdir()} <= {"ports"}, "it left its files behind"
        return code

    def ports(self) -> list[int]:
        """The first source port that each call of curl was told to try."""
        return [int(line.split()[line.split().index("--local-port") + 1].partition("-")[0]) for line in self.told()]

    def told(self) -> list[str]:
        """What curl was told, call by call."""
        return (self.folder / "told").read_text().splitlines()


@pytest.fixture
def start(tmp_path: Path, admin: Admin) -> Iterator[Callable[..., Loop]]:
    curl = tmp_path / "curl"
    curl.write_text(CURL)
    curl.chmod(0o755)
    (tmp_path / "body").write_bytes(BODY)
    (tmp_path / "tmp").mkdir()
    started: list[Loop] = []

    def start(*arguments: str, lifetime: float = 20, interval: int = 10, stdin: str = "") -> Loop:
        started.append(Loop(tmp_path, admin.server_port, *arguments, lifetime=lifetime, interval=interval, stdin=stdin))
        return started[-1]

    yield start
    for loop in started:
        with loop.process:
            loop.process.kill()


Start = Callable[..., Loop]


def test_it_says_when_it_is_ready_and_what_envoy_had_counted(start: Start, admin: Admin) -> None:
    loop = start("http://a.test/?attempt={nonce}")
    word, ready, stats = loop.words()
    assert word == "ready"
    assert abs(int(ready) / 1e6 - time.time()) < 10
    assert parse_stats(unescaped(stats)) == STATS
    assert admin.told == ["GET /stats?filter=a.*b"]


def test_where_the_admin_port_refuses_there_are_no_counts(start: Start, admin: Admin) -> None:
    admin.status = 503
    assert start("http://a.test/").words()[2] == ""


def test_where_nobody_listens_there_are_no_counts(start: Start, admin: Admin) -> None:
    admin.server_close()
    assert start("http://a.test/").words()[2] == ""


def test_it_sends_one_attempt_after_another_each_with_its_nonce(start: Start) -> None:
    loop = start("--header", "X-A: b c", "http://a.test/{nonce}?attempt={nonce}", stdin="{nonce} and {nonce}\n")
    loop.words()
    first, second = loop.attempt(), loop.attempt()
    assert [(each.number, each.nonce) for each in (first, second)] == [(1, "n1-1"), (2, "n1-2")]
    assert first.sent < second.sent
    told = [line.partition("%{certs}")[2] for line in loop.told()[:2]]
    assert told == [f'"}} --header X-A: b c http://a.test/n1-{n}?attempt=n1-{n}' for n in (1, 2)]
    loop.leave()
    loop.rest()
    assert (loop.folder / "stdin").read_text().startswith("n1-1 and n1-1\nn1-2 and n1-2\n")


def test_no_two_attempts_of_a_pod_have_the_same_source_port_until_they_come_round(start: Start, tmp_path: Path) -> None:
    for _ in range(2):
        loop = start("http://a.test/", interval=1)
        loop.words()
        for _ in range(20):
            loop.attempt()
        loop.leave()
        loop.rest()
    ports = loop.ports()
    assert len(ports) == len(set(ports)) >= 40
    assert {16000, 16015, 16016} <= set(ports)
    (tmp_path / "tmp" / "ports").write_text("32000\n")
    (tmp_path / "told").unlink()
    loop = start("http://a.test/")
    loop.words()
    loop.attempt()
    assert loop.ports()[0] == 16000


def test_a_client_can_wait_for_the_server_to_speak(start: Start) -> None:
    loop = start("telnet://10.0.0.1:3306", stdin="{greeting}{nonce}\n")
    loop.words()
    assert loop.attempt().curl.body == BODY
    loop.leave()
    loop.rest()
    assert (loop.folder / "stdin").read_text().startswith("n1-1\n")


def test_it_says_nothing_to_a_server_that_does_not_speak(start: Start, tmp_path: Path) -> None:
    (tmp_path / "body").write_bytes(b"")
    loop = start("telnet://10.0.0.1:3306", stdin="{greeting}{nonce}\n")
    loop.words()
    # The stand-in reads to the end of what it is told, which comes when the patience of two seconds is over.
    assert loop.attempt().took > 1.9
    assert (loop.folder / "stdin").read_text() == ""


def test_what_curl_reads_may_be_any_bytes(start: Start) -> None:
    sent = bytes(range(256)) + b"\\n %d \\0101 {nonce}"
    loop = start("http://a.test/", stdin=escaped(sent))
    loop.words()
    loop.attempt()
    loop.leave()
    loop.rest()
    assert (loop.folder / "stdin").read_bytes().startswith(sent.replace(b"{nonce}", b"n1-1"))


def test_what_curl_saw_arrives_byte_for_byte(start: Start) -> None:
    loop = start("http://a.test/")
    loop.words()
    seen = loop.attempt().curl
    assert (seen.exit_code, seen.status, seen.local_port) == (52, 200, 40001)
    assert seen.headers == {"server": "envoy"}
    assert seen.body == BODY


@pytest.mark.parametrize("body", [b"", b"plain\ntext\\n \n\n", b"a\ttab", "Grüße".encode(), b"no line break", b"=\n"])
def test_a_body_arrives_byte_for_byte_whatever_is_in_it(start: Start, tmp_path: Path, body: bytes) -> None:
    (tmp_path / "body").write_bytes(body)
    loop = start("http://a.test/")
    loop.words()
    assert loop.attempt().curl.body == body


def test_a_long_body_is_cut(start: Start, tmp_path: Path) -> None:
    (tmp_path / "body").write_bytes(b"x" * 120_000)
    loop = start("http://a.test/")
    loop.words()
    assert loop.attempt().curl.body == b"x" * 65_536


def settled(loop: Loop) -> int:
    """Tell it to settle; how many attempts it still made."""
    loop.say("settle\n")
    attempts = 0
    while (words := loop.words())[0] == "attempt":
        attempts += 1
    assert words[0] == "settled"
    assert parse_stats(unescaped(words[1])) == STATS
    return attempts


def test_settled_it_has_flushed_the_log_and_stands_still_until_told_to_go_on(start: Start, admin: Admin) -> None:
    loop = start("http://a.test/")
    loop.words()
    last = loop.attempt().number + settled(loop)
    assert admin.told[1:] == ["POST /reopen_logs", "GET /stats?filter=a.*b"]
    asked = len(loop.told())
    time.sleep(0.1)  # ten intervals, in any of which it would have gone on
    assert len(loop.told()) == asked
    loop.say("go\n")
    assert loop.attempt().number == last + 1
    settled(loop)


@pytest.mark.parametrize("word", ["quit\n", "anything else\n"])
def test_settled_it_ends_unless_told_to_go_on(start: Start, word: str) -> None:
    loop = start("http://a.test/")
    settled_after = loop.words()
    assert settled_after[0] == "ready"
    settled(loop)
    loop.say(word)
    assert loop.rest() == []
    assert loop.end() == 0


def test_it_quits_at_once_when_told_to(start: Start) -> None:
    loop = start("http://a.test/")
    loop.say("quit\n")
    assert loop.rest() == ["ready", "attempt"]
    assert loop.end() == 0


def test_a_command_that_comes_in_pieces_is_one_command(start: Start) -> None:
    loop = start("http://a.test/")
    loop.words()
    for piece in ("set", "t", "le"):
        loop.say(piece)
        # The interval ends between the pieces.
        loop.attempt()
        loop.attempt()
    loop.say("\n")
    while (words := loop.words())[0] == "attempt":
        pass
    assert words[0] == "settled"


@pytest.mark.parametrize("settling", [False, True], ids=["between attempts", "settled"])
def test_it_ends_when_nobody_is_there_any_more(start: Start, settling: bool) -> None:
    loop = start("http://a.test/")
    loop.words()
    if settling:
        settled(loop)
    loop.leave()
    assert set(loop.rest()) <= {"attempt"}
    assert loop.end() == 0


def test_it_ends_when_its_time_is_spent(start: Start) -> None:
    loop = start("http://a.test/", lifetime=1)
    *attempts, last = loop.rest()
    assert last == "spent"
    assert set(attempts) == {"ready", "attempt"}
    assert len(attempts) > 2
    assert loop.end() == 0


def test_without_time_it_sends_nothing(start: Start) -> None:
    loop = start("http://a.test/", lifetime=0)
    assert loop.rest() == ["ready", "spent"]
    assert loop.end() == 0


def test_it_waits_its_interval_between_attempts(start: Start) -> None:
    loop = start("http://a.test/", interval=300)
    loop.words()
    first, second = loop.attempt(), loop.attempt()
    assert second.sent - first.sent >= 0.3


def test_the_longer_nothing_changes_the_longer_it_waits(start: Start) -> None:
    loop = start("http://a.test/", interval=1)
    loop.words()
    sent = [loop.attempt().sent]
    while sent[-1] - sent[0] < 1:
        sent.append(loop.attempt().sent)
    assert 0.09 < sent[-1] - sent[-2] < 0.3
    assert len(sent) < 60
