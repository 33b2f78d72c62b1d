"""The loop that sends many requests, run under this machine's bash and curl, at a server of the test's own."""

import os
import shutil
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib import resources
from pathlib import Path
from typing import IO

import pytest

from egress_conformance.traffic.many import Sent, parse_sent

SCRIPT = resources.files("egress_conformance.traffic").joinpath("many.sh").read_text(encoding="utf-8")

# The admin port is not there; all else is the real curl's to do.
CURL = r"""#!/bin/bash
case "$*" in
  *localhost:15000*) printf '%s\n' "$*" >>"$(dirname "$0")/told" ;;
  *) exec {curl} "$@" ;;
esac
"""


class Handler(BaseHTTPRequestHandler):
    """Answers everything, and remembers what it was asked for."""

    protocol_version = "HTTP/1.1"
    seen: list[str]

    def do_GET(self) -> None:
        self.seen.append(self.path)
        self.send_response(503 if "attempt=n1-2" in self.path else 200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"ok")

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[tuple[str, list[str]]]:
    """Its URL, and the paths it was asked for."""

    class Mine(Handler):
        seen: list[str] = []  # noqa: RUF012

    with ThreadingHTTPServer(("127.0.0.1", 0), Mine) as listening:
        thread = threading.Thread(target=listening.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{listening.server_address[1]}", Mine.seen
        listening.shutdown()
        thread.join()


class Loop:
    """many.sh while it runs."""

    def __init__(self, folder: Path, times: int, *arguments: str) -> None:
        self.folder = folder
        self.process = subprocess.Popen(
            ["bash", "-c", SCRIPT, "many", "n1", str(times), *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={**os.environ, "PATH": f"{folder}:{os.environ['PATH']}", "TMPDIR": str(folder / "tmp")},
        )
        assert self._open(self.process.stdout).readline() == b"started\n"

    @staticmethod
    def _open(stream: IO[bytes] | None) -> IO[bytes]:
        assert stream is not None
        return stream

    def say(self, text: str) -> None:
        self._open(self.process.stdin).write(text.encode())
        self._open(self.process.stdin).flush()

    def leave(self) -> None:
        """As when the connection breaks."""
        self._open(self.process.stdin).close()

    def end(self) -> tuple[list[Sent], str]:
        """What it says of each request, and of its end."""
        *lines, last = self._open(self.process.stdout).read().decode().splitlines()
        assert self.process.wait(10) == 0
        assert self._open(self.process.stderr).read() == b""
        assert list((self.folder / "tmp").iterdir()) == [], "it left its files behind"
        return [parse_sent(line) for line in lines], last

    def told(self) -> str:
        return (self.folder / "told").read_text()


Start = Callable[..., Loop]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    real = shutil.which("curl")
    if real is None:
        pytest.skip("this machine has no curl")
    curl = tmp_path / "curl"
    curl.write_text(CURL.replace("{curl}", real))
    curl.chmod(0o755)
    (tmp_path / "tmp").mkdir()
    started: list[Loop] = []

    def start(times: int, *arguments: str) -> Loop:
        started.append(Loop(tmp_path, times, *arguments))
        return started[-1]

    yield start
    for loop in started:
        with loop.process:
            loop.process.kill()


Server = tuple[str, list[str]]


def test_each_request_has_a_nonce_of_its_own_and_is_told_of_by_it(start: Start, server: Server) -> None:
    url, seen = server
    sent, last = start(4, f"{url}/headers?attempt={{nonce}}").end()
    assert seen == [f"/headers?attempt=n1-{n}" for n in (1, 2, 3, 4)]
    assert [(each.nonce, each.status, each.exit_code) for each in sent] == [
        ("n1-1", 200, 0),
        ("n1-2", 503, 0),
        ("n1-3", 200, 0),
        ("n1-4", 200, 0),
    ]
    assert last == "ended 0 "


def test_they_go_over_one_connection(start: Start, server: Server) -> None:
    sent, _ = start(3, f"{server[0]}/?attempt={{nonce}}").end()
    assert [each.connects for each in sent] == [1, 0, 0]
    assert all(0 < each.seconds < 5 for each in sent)


def test_they_carry_the_arguments_of_the_request(start: Start, server: Server) -> None:
    start(1, "--connect-to", f"a.test:80:{server[0].removeprefix('http://')}", "http://a.test/x?attempt={nonce}").end()
    assert server[1] == ["/x?attempt=n1-1"]


def test_at_the_end_the_log_is_flushed(start: Start, server: Server) -> None:
    loop = start(1, f"{server[0]}/?attempt={{nonce}}")
    loop.end()
    assert loop.told() == "-sS --max-time 5 -X POST http://localhost:15000/reopen_logs\n"


def until(seen: list[str], count: int) -> None:
    end = time.monotonic() + 10
    while len(seen) < count:
        assert time.monotonic() < end, f"{len(seen)} requests came"
        time.sleep(0.01)


@pytest.mark.parametrize("how", [lambda loop: loop.say("stop\n"), Loop.leave], ids=["told to stop", "left alone"])
def test_it_ends_early_and_tells_of_all_it_sent(start: Start, server: Server, how: Callable[[Loop], None]) -> None:
    url, seen = server
    loop = start(5000, "--rate", "100/s", f"{url}/?attempt={{nonce}}")
    until(seen, 5)
    how(loop)
    sent, last = loop.end()
    assert last == "ended 143 "
    # The one under way when curl was stopped may be lost, none before it.
    assert [each.nonce for each in sent] == [f"n1-{n}" for n in range(1, len(sent) + 1)]
    assert 5 <= len(sent) + 1 <= len(seen) + 1 < 1000
    asked = len(seen)
    time.sleep(0.05)
    assert len(seen) == asked


def test_a_request_that_fails_is_told_of_and_the_next_is_sent(start: Start) -> None:
    sent, last = start(2, "http://127.0.0.1:1/?attempt={nonce}").end()
    assert [(each.status, each.exit_code) for each in sent] == [(0, 7), (0, 7)]
    assert last.startswith("ended 7 curl: (7) Failed to connect to 127.0.0.1 port 1")


def test_curls_own_failure_is_told_of(start: Start) -> None:
    sent, last = start(2, "--no-such-option", "http://127.0.0.1:1/?attempt={nonce}").end()
    assert sent == []
    assert last.startswith("ended 2 curl: option --no-such-option: is unknown")
