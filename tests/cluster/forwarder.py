"""A TCP forwarder in front of a server, whose connections can be cut."""

import selectors
import socket
import threading
from contextlib import suppress
from types import TracebackType
from typing import Self


class Forwarder:
    """Forwards each connection to a server, until it is cut.

    Args:
        host: of the server.
        port: of the server.

    Attributes:
        port: where it listens, on 127.0.0.1.
        connections: how many there were.
    """

    def __init__(self, host: str, port: int) -> None:
        self._server = (host, port)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        self.connections = 0
        self._pairs: set[tuple[socket.socket, socket.socket]] = set()
        self._is_cut = False
        self._threads = [threading.Thread(target=self._accept, daemon=True)]

    def __enter__(self) -> Self:
        self._threads[0].start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.cut()
        # Closing alone does not wake accept().
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for thread in self._threads:
            thread.join(10)

    def cut(self) -> None:
        """Close all connections, and each new one at once."""
        self._is_cut = True
        for pair in list(self._pairs):
            for end in pair:
                # One that is being closed just now has lost its other end or its descriptor already.
                with suppress(OSError):
                    end.shutdown(socket.SHUT_RDWR)

    def restore(self) -> None:
        """Forward again."""
        self._is_cut = False

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            if self._is_cut:
                client.close()
                continue
            self.connections += 1
            pair = (client, socket.create_connection(self._server))
            self._pairs.add(pair)
            thread = threading.Thread(target=self._forward, args=(pair,), daemon=True)
            self._threads.append(thread)
            thread.start()

    def _forward(self, pair: tuple[socket.socket, socket.socket]) -> None:
        client, server = pair
        with client, server, selectors.DefaultSelector() as selector:
            selector.register(client, selectors.EVENT_READ, server)
            selector.register(server, selectors.EVENT_READ, client)
            try:
                while all(self._pass_on(key) for key, _ in selector.select()):
                    pass
            except OSError:
                pass
            finally:
                self._pairs.discard(pair)

    @staticmethod
    def _pass_on(key: selectors.SelectorKey) -> bool:
        source = key.fileobj
        assert isinstance(source, socket.socket)
        data = source.recv(65536)
        key.data.sendall(data)
        return bool(data)
