"""What else a client can send: a WebSocket message, a large file."""

from dataclasses import dataclass, replace

from egress_conformance.traffic.client import Client
from egress_conformance.traffic.pods import CLIENT
from egress_conformance.traffic.request import Request

_SHORT_FRAME = 125
"""Bytes at most in a frame whose length fits into one byte (RFC 6455, 5.2)."""

_HANDSHAKE = {
    "Connection": "Upgrade",
    "Upgrade": "websocket",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": "ZWdyZXNzLWNvbmZvcm1hbg==",
    # Without a value curl leaves them out, and sends what it uploads as it is, behind the head.
    "Expect": "",
    "Transfer-Encoding": "",
}


@dataclass(frozen=True)
class File:
    """A file in the client container.

    Attributes:
        path: where it is.
        size: in bytes.
        sha256: of its content, in hexadecimal.
    """

    path: str
    size: int
    sha256: str


def random_file(client: Client, size: int) -> File:
    """Make a file of random bytes in the client container, for curl to send.

    Args:
        client: whose container.
        size: in bytes; the container's scratch space holds 64 MiB.
    """
    script = 'file=$TMPDIR/random-$0; head -c "$0" /dev/urandom >"$file" && sha256sum "$file"'
    said = client.kube.run(client.namespace, client.pod, CLIENT, ["bash", "-c", script, str(size)])
    digest, path = said.split()
    return File(path, size, digest)


def websocket(client: Client, url: str, message: str) -> Request:
    """A WebSocket handshake with one message behind it, not yet sent; a server of the world sends the message back.

    Args:
        client: who sends it.
        url: absolute http URL.
        message: text of at most 125 bytes.
    """
    options = ["--upload-file", "-", "--request", "GET"]
    request = client.request("GET", url, http="1.1", headers=_HANDSHAKE, options=options)
    return replace(request, stdin=frame(message, masked=True), description=f"WebSocket {url}")


def frame(message: str, *, masked: bool) -> bytes:
    """A final text frame (RFC 6455, 5.2); a client's is masked, here with zeros, which change nothing.

    Raises:
        ValueError: the message is too long.
    """
    text = message.encode()
    if len(text) > _SHORT_FRAME:
        raise ValueError(f"a message of {len(text)} bytes needs a longer frame")
    return bytes([0x81, 0x80 | len(text), 0, 0, 0, 0] if masked else [0x81, len(text)]) + text
