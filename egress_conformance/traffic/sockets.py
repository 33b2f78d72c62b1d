"""The TCP sockets of a pod, as the kernel tells of them: all its containers share one network."""

_TIMER_KEEPALIVE = "02"
_TICKS = 100
"""Clock ticks a second in what /proc tells (USER_HZ)."""


def keepalive_seconds(table: str, local: str, remote: str) -> float | None:
    """When the next keepalive probe of a connection is due; None where it has no such timer.

    Args:
        table: /proc/net/tcp (https://docs.kernel.org/networking/proc_net_tcp.html).
        local: the connection's own end, `ip:port`; connections to other destinations may have the same.
        remote: its other end.

    Raises:
        ValueError: there is no such connection.
    """
    for line in table.splitlines()[1:]:
        words = line.split()
        if (_address(words[1]), _address(words[2])) == (local, remote):
            kind, _, when = words[5].partition(":")
            return int(when, 16) / _TICKS if kind == _TIMER_KEEPALIVE else None
    raise ValueError(f"no connection from {local} to {remote}")


_STATES = {
    "01": "ESTABLISHED",
    "02": "SYN_SENT",
    "03": "SYN_RECV",
    "04": "FIN_WAIT1",
    "05": "FIN_WAIT2",
    "07": "CLOSE",
    "08": "CLOSE_WAIT",
    "09": "LAST_ACK",
    "0B": "CLOSING",
}
"""Those of which something is still to come (include/net/tcp_states.h); not 06, TIME_WAIT, nor 0A, LISTEN."""


def open_connections(table: str) -> list[str]:
    """The connections that are not over, as `local -> remote STATE`.

    Args:
        table: /proc/net/tcp.
    """
    found = []
    for line in table.splitlines()[1:]:
        _, local, remote, state, *_ = line.split()
        if state in _STATES:
            found.append(f"{_address(local)} -> {_address(remote)} {_STATES[state]}")
    return sorted(found)


def _address(text: str) -> str:
    """`0A0200C0:C350` as `192.0.2.10:50000`: the address is written in the machine's (little-endian) byte order."""
    ip, _, port = text.partition(":")
    return ".".join(str(byte) for byte in reversed(bytes.fromhex(ip))) + f":{int(port, 16)}"
