"""What the load sent: lines of Fortio, counted by destination and over time."""

from egress_conformance.upgrade.sent import Request, is_registered, is_request, lacking, parse, sent, series

LINE = '{"latency":0.001234,"timestamp":1787888467500000000,"thread":1,"iter":7,"ok":true,"details":"200"}'


def request(at: float = 0, ms: float = 1, *, ok: bool = True, client: str = "a", destination: str = "x") -> Request:
    return Request(at, ms, ok, "200" if ok else "-1", client, destination)


def test_a_line_of_fortios_access_log_is_a_request() -> None:
    assert is_request(LINE)
    found = parse(LINE, "load-1", "http-registered")
    assert found == Request(1787888467.5, 1.234, ok=True, outcome="200", client="load-1", destination="http-registered")
    lost = parse(LINE.replace("true", "false").replace('"200"', '"read: \\"short\\""'), "load-1", "tcp-registered")
    assert (lost.ok, lost.outcome) == (False, 'read: "short"')


def test_what_else_fortio_says_is_none() -> None:
    assert not is_request('{"ts":1787888467.5,"level":"info","msg":"Starting"}')
    assert not is_request("Starting at 5 qps with 2 thread(s)")


def test_whether_a_destination_is_registered_is_told_by_its_name() -> None:
    assert is_registered("tls-registered")
    assert not is_registered("tcp-unregistered")


def test_requests_are_counted_by_destination_and_one_without_any_is_told_too() -> None:
    requests = [request(ms=5), request(ms=1500), request(ok=False, ms=5000), request(ok=False, ms=1)]
    counted = sent(requests, ["x", "y"], lambda each: each.ms if each.ms > 1 else None)
    assert [
        (each.destination, each.requests, each.lost, each.stalled, each.slow, each.slowest_ms) for each in counted
    ] == [("x", 4, 2, 1, 1, 1500), ("y", 0, 0, 0, 0, None)]


def test_over_time_the_slowest_and_the_lost_of_each_bucket_are_kept() -> None:
    requests = [request(100.2, 3), request(100.9, 7), request(101.5, 5000, ok=False), request(103.9, 2)]
    length, (found,) = series(requests, ["x"], 100, 104)
    assert length == 1
    assert found.slowest_ms == [7, None, None, 2]
    assert found.lost == [0, 1, 0, 0]


def test_a_long_time_line_has_no_more_buckets_than_can_be_drawn() -> None:
    length, (found,) = series([request(3599.9)], ["x"], 0, 3600)
    assert length == 15
    assert len(found.lost) == 240
    assert found.slowest_ms[-1] == 1


def test_what_lies_beyond_the_ends_counts_in_the_first_and_the_last_bucket() -> None:
    _, (found,) = series([request(-5, ok=False), request(99, ok=False)], ["x"], 0, 10)
    assert (found.lost[0], found.lost[-1], sum(found.lost)) == (1, 1, 2)


def test_each_client_must_have_sent_enough_to_each_destination() -> None:
    requests = [request(client="a"), request(client="a"), request(client="b"), request(client="b", ok=False)]
    pairs = [("a", "x"), ("b", "x"), ("b", "y")]
    assert lacking(requests, pairs, 2, served=False) == ["b to y (0)"]
    assert lacking(requests, pairs, 2, served=True) == ["b to x (1)", "b to y (0)"]
