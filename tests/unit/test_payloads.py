"""What a client can send beyond text."""

from typing import cast

import pytest

from egress_conformance.cluster.kube import Kube
from egress_conformance.traffic.client import Client
from egress_conformance.traffic.payloads import File, frame, random_file, websocket
from egress_conformance.traffic.recorder import Recorder
from tests.unit.fakes import CLIENT, FakeWorld


class Pod:
    """The client container: makes the file it is asked for."""

    def run(self, *where: object) -> str:
        assert where[:3] == ("ns", "client", "client")
        return f"abc123  /scratch/random-{where[3][-1]}\n"  # type: ignore[index]


def client() -> Client:
    return Client(cast(Kube, Pod()), "ns", CLIENT, FakeWorld(), Recorder())


def test_a_file_is_told_with_its_digest() -> None:
    assert random_file(client(), 42) == File("/scratch/random-42", 42, "abc123")


def test_a_client_masks_its_frame_and_a_server_does_not() -> None:
    assert frame("hello", masked=True) == b"\x81\x85\0\0\0\0hello"
    assert frame("hello", masked=False) == b"\x81\x05hello"


def test_a_long_message_is_refused() -> None:
    frame("x" * 125, masked=True)
    with pytest.raises(ValueError, match="126 bytes"):
        frame("x" * 126, masked=True)


def test_a_websocket_is_a_get_whose_upload_is_sent_as_it_is() -> None:
    request = websocket(client(), "http://a.test/", "hello")
    assert request.description == "WebSocket http://a.test/"
    assert request.stdin == b"\x81\x85\0\0\0\0hello"
    assert request.arguments[-5:] == ["--upload-file", "-", "--request", "GET", "http://a.test/?attempt={nonce}"]
    assert {"Upgrade: websocket", "Transfer-Encoding: ", "--http1.1"} <= set(request.arguments)
