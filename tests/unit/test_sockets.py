"""What the kernel tells of a pod's connections."""

import pytest

from egress_conformance.traffic.sockets import keepalive_seconds, open_connections

TABLE = """\
  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0B00F40A:8460 0400F40A:0050 01 00000000:00000000 02:00001388 00000000  1337        0 41 2 0000000000000000
   1: 0B00F40A:8462 0400F40A:0050 01 00000000:00000000 00:00000000 00000000  1337        0 42 2 0000000000000000
"""


@pytest.mark.parametrize(("local", "seconds"), [("10.244.0.11:33888", 50.0), ("10.244.0.11:33890", None)])
def test_when_the_next_keepalive_probe_is_due(local: str, seconds: float | None) -> None:
    assert keepalive_seconds(TABLE, local, "10.244.0.4:80") == seconds


def test_of_two_connections_with_the_same_end_the_one_that_is_asked_for() -> None:
    shared = TABLE.replace("0B00F40A:8462 0400F40A:0050", "0B00F40A:8460 0500F40A:0050")
    assert keepalive_seconds(shared, "10.244.0.11:33888", "10.244.0.4:80") == 50
    assert keepalive_seconds(shared, "10.244.0.11:33888", "10.244.0.5:80") is None


def test_a_connection_that_is_gone() -> None:
    with pytest.raises(ValueError, match=r"no connection from 10\.244\.0\.11:1 to 10\.244\.0\.4:80"):
        keepalive_seconds(TABLE, "10.244.0.11:1", "10.244.0.4:80")


def test_what_is_not_over() -> None:
    closing = TABLE.replace("0B00F40A:8462 0400F40A:0050 01", "0B00F40A:8462 0400F40A:0050 05")
    assert open_connections(closing) == [
        "10.244.0.11:33888 -> 10.244.0.4:80 ESTABLISHED",
        "10.244.0.11:33890 -> 10.244.0.4:80 FIN_WAIT2",
    ]
    for state in ("06", "0A"):
        assert open_connections(TABLE.replace(":0050 01 ", f":0050 {state} ")) == []
