"""What the logs say, and what of it belongs to a request that was lost."""

from datetime import UTC, datetime

from egress_conformance.upgrade.evidence import Evidence, Said, kept_of_client, kept_of_istiod, kept_past_the_mesh
from egress_conformance.upgrade.logs import Line, Logs, Source
from tests.unit.fakes import FakeKube

AT = datetime(2026, 8, 28, 3, 41, 7, tzinfo=UTC).timestamp()


def stamp(offset: float) -> str:
    return datetime.fromtimestamp(AT + offset, UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def fortio(offset: float, *, ok: bool = True) -> str:
    said = "true" if ok else "false"
    when = round((AT + offset) * 1e9)
    return f'{{"latency":0.5,"timestamp":{when},"thread":0,"iter":1,"ok":{said},"details":"-1"}}'


def error(offset: float, level: str = "err") -> str:
    said = '"r":21,"msg":"Unable to connect","err":"connection refused"'
    return f'{{"ts":{AT + offset:.6f},"level":"{level}",{said}}}'


def line(text: str, pod: str = "load-1", container: str = "http-registered", namespace: str = "egress-load") -> Line:
    return Line(Source(namespace, pod, "u", container), text)


def evidence(*lines: Line) -> Evidence:
    logs = Logs(FakeKube(), lambda _source, _since: iter([]))
    logs._lines += lines
    return Evidence(logs).read()


def envoy(offset: float, pod: str = "load-1") -> Line:
    return line(f'[{stamp(offset)}] "GET / HTTP/1.1" 503 UF', pod, "istio-proxy")


def listener(offset: float, name: str) -> Line:
    said = f"info\tenvoy upstream lds_api.cc:109\tlds: add/update listener '{name}'\tthread=16"
    return line(f"{stamp(offset)}\t{said}", "load-1", "istio-proxy")


def istiod(offset: float, text: str) -> Line:
    return line(f"{stamp(offset)}\tinfo\tads\t{text}", "istiod-1", "discovery", "istio-system")


def test_lines_begin_with_a_time_or_are_none() -> None:
    for text in ("[2026-08-28T03:41:07.250Z] GET", "2026-08-28T03:41:07.250000123Z\tinfo", "2026-08-28T03:41:07.25Z x"):
        said = Said.of(line(text))
        assert said is not None
        assert round(said.at - AT, 3) == 0.25
    assert Said.of(line("goroutine 7 [running]:")) is None


def test_the_access_log_of_a_connection_has_its_begin_and_is_written_at_its_end() -> None:
    said = Said.of(
        line(
            f'[{stamp(2)}] "- - -" 0 - - - "-" 2976 2952 50269 - "-" "-" "-" "-" "10.244.0.12:9001" PassthroughCluster '
            "10.244.0.15:57196 10.244.0.12:9001 10.244.0.15:57182 - -"
        )
    )
    assert said is not None
    assert round(said.at - AT, 3) == 52.269


def test_requests_envoy_and_istiod_are_told_apart_and_read_on() -> None:
    found = evidence(line(fortio(0)), envoy(0), istiod(0, "x"))
    assert [len(each) for each in (found.requests, found.envoy, found.istiod)] == [1, 1, 1]
    found.logs._lines.append(line(fortio(1)))
    assert len(found.read().requests) == 2
    assert len(found.read().requests) == 2
    assert len(found.between(AT, AT + 1)) == 1


def test_a_lost_request_has_beside_it_what_was_logged_about_then_and_about_its_client() -> None:
    found = evidence(
        line(fortio(10, ok=False)),
        line(error(10.2)),
        line(error(12)),
        line(error(10.2), container="tls-registered"),
        envoy(9.5),
        envoy(20),
        envoy(10, pod="load-2"),
        istiod(10.4, "ADS: new connection for node:load-1.egress-load-7"),
        istiod(10.4, "ADS: new connection for node:load-2.egress-load-8"),
    )
    spans = [("control plane", AT, AT + 5), ("skew", AT + 5, float("inf"))]
    lost = found.lost(found.requests[0], spans, AT)
    assert (lost.at, lost.segment, lost.destination, lost.client) == (10, "skew", "http-registered", "load-1")
    assert (lost.ms, lost.outcome) == (500, "-1")
    assert lost.fortio == ["Unable to connect: connection refused"]
    assert [text.partition("]")[0][1:] for text in lost.envoy] == [stamp(9.5)]
    assert [text.partition("node:")[2] for text in lost.istiod] == ["load-1.egress-load-7"]


def test_a_lost_request_has_beside_it_which_listeners_became_others_while_their_connections_may_be_drained() -> None:
    lines = [listener(at, f"at {at}") for at in (10, 54, 99.5, 110)]
    assert all(kept_of_client("istio-proxy", each.text) for each in lines)
    found = evidence(line(fortio(100, ok=False)), envoy(100), *lines)
    lost = found.lost(found.requests[0], [("before", AT, float("inf"))], AT)
    assert [text.split("\t")[-2] for text in lost.envoy[1:]] == [
        f"lds: add/update listener 'at {at}'" for at in (54, 99.5)
    ]


def test_a_request_past_the_mesh_that_was_slow_tells_that_the_machine_stood_still() -> None:
    def past(offset: float, seconds: float) -> Line:
        text = fortio(offset).replace('"latency":0.5', f'"latency":{seconds}')
        assert kept_past_the_mesh("past-the-mesh", text)
        return line(text, "echo", "past-the-mesh", "egress-load-world")

    asked = [line(fortio(at)) for at in (1, 10, 12.5, 20)]  # each takes half a second
    found = evidence(*asked, past(0.9, 0.8), past(9, 3), past(10, 1.2))
    assert [found.stalled_ms(each) for each in found.requests] == [None, 3000, None, None]
    assert not kept_past_the_mesh("port-9000", fortio(1))


def test_rejections_of_the_loads_clients_are_found_in_istiods_log() -> None:
    text = "ADS:LDS: ACK ERROR load-1.egress-load-7 Internal:Error adding/updating listener"
    found = evidence(istiod(3, text), istiod(3, "ADS:LDS: ACK load-1.egress-load-7"))
    assert [each.partition("\tads\t")[2] for each in found.rejected(AT, AT + 5)] == [text]
    assert found.rejected(AT + 5, AT + 9) == []


def test_of_the_logs_only_that_is_kept() -> None:
    assert kept_of_client("http-registered", fortio(0))
    assert kept_of_client("http-registered", error(0))
    assert not kept_of_client("http-registered", error(0, "info"))
    assert not kept_of_client("http-registered", "Starting at 5 qps")
    assert kept_of_client("istio-proxy", "[2026-08-28T03:41:07.000Z] GET")
    assert not kept_of_client("istio-proxy", "2026-08-28T03:41:07.000000Z\tinfo\txdsproxy\tconnected")
    assert kept_of_istiod("discovery", "ADS: x load-1.egress-load-7")
    assert not kept_of_istiod("discovery", "ADS: x client.egress-r1-gw0-7")
