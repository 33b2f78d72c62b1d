"""What a request says of itself and gives to curl."""

from typing import Any

import pytest

from egress_conformance.traffic.client import CURL_SECONDS, TCP_SECONDS, Client
from egress_conformance.traffic.reaches import Reaches
from egress_conformance.traffic.recorder import Recorder
from egress_conformance.traffic.request import Request
from tests.unit.fakes import ALPHA, BETA, CLIENT, SITE, FakeKube, FakeWorld


def client() -> Client:
    return Client(FakeKube(), "ns", CLIENT, FakeWorld(), Recorder())


def request(method: str = "GET", url: str = "http://a.test/x", **how: Any) -> Request:  # noqa: ANN401
    return client().request(method, url, **how)


BASE = ["--cacert", "/world/ca.crt", "--max-time", str(CURL_SECONDS)]
URL = "http://a.test/x?attempt={nonce}"
ARGUMENTS: dict[str, tuple[dict[str, Any], list[str]]] = {
    "a GET": ({}, [*BASE, URL]),
    "another method": ({"method": "DELETE"}, [*BASE, "--request", "DELETE", URL]),
    # With --request HEAD curl would wait for a body that never comes.
    "a HEAD": ({"method": "HEAD"}, [*BASE, "--head", URL]),
    "HTTP/1.0": ({"http": "1.0"}, [*BASE, "--http1.0", URL]),
    "HTTP/1.1": ({"http": "1.1"}, [*BASE, "--http1.1", URL]),
    "HTTP/2 with prior knowledge": ({"http": "2"}, [*BASE, "--http2-prior-knowledge", URL]),
    "a body": ({"method": "POST", "body": "x"}, [*BASE, "--request", "POST", "--data-binary", "@-", URL]),
    "an empty body": ({"method": "POST", "body": ""}, [*BASE, "--request", "POST", "--data-binary", "@-", URL]),
    "another time-out": ({"seconds": 9}, [*BASE[:-1], "9", URL]),
    "an address to dial": ({"dial": "10.0.0.3"}, [*BASE, "--resolve", "a.test:80:10.0.0.3", URL]),
    "headers": ({"headers": {"X-A": "1", "X-B": ""}}, [*BASE, "--header", "X-A: 1", "--header", "X-B: ", URL]),
    "options of curl": ({"options": ["--tcp-nodelay"]}, [*BASE, "--tcp-nodelay", URL]),
}


@pytest.mark.parametrize(("how", "arguments"), ARGUMENTS.values(), ids=ARGUMENTS)
def test_what_curl_is_given(how: dict[str, Any], arguments: list[str]) -> None:
    assert request(**how).arguments == arguments


def test_a_body_goes_in_by_stdin_with_its_nonce() -> None:
    assert request("POST", body="{nonce} and more").stdin == "{nonce} and more"
    assert request().stdin == ""


def test_the_loop_waits_as_long_as_curl_may_take() -> None:
    assert (request().seconds, request(seconds=9).seconds) == (CURL_SECONDS, 9)
    assert client().tcp("10.0.0.1", 9000).seconds == TCP_SECONDS


def test_a_request_is_described_as_a_person_would() -> None:
    assert request().description == "GET http://a.test/x"
    assert request("PUT", http="2", dial="10.0.0.3").description == "PUT http://a.test/x by HTTP/2 dialling 10.0.0.3"


def test_a_version_that_is_none_is_a_mistake() -> None:
    with pytest.raises(KeyError):
        request(http="3")


def expected(sent: Request, **how: Any) -> Reaches:  # noqa: ANN401
    return sent._reaches(SITE, "c", how.pop("port", None), how)


EXPECTED: dict[str, tuple[Request, dict[str, Any]]] = {
    "http": (request(), {"port": 80, "tls": False, "status": 200, "logged_code": None}),
    "http on a port": (request(url="http://a.test:8080/"), {"port": 8080, "tls": False, "status": 200}),
    "https": (request(url="https://a.test/"), {"port": 443, "tls": True, "status": 200, "logged_code": 0}),
    "tcp": (client().tcp("10.0.0.1", 9000), {"port": 9000, "tls": False, "status": 0, "logged_code": 0}),
}


@pytest.mark.parametrize(("sent", "facts"), EXPECTED.values(), ids=EXPECTED)
def test_what_is_expected_follows_from_the_protocol(sent: Request, facts: dict[str, Any]) -> None:
    found = expected(sent)
    port = facts.pop("port")
    assert found.instances == {f"{ALPHA.address}:{port}": ALPHA.instance}
    assert {name: getattr(found, name) for name in facts} == facts


def test_a_case_may_expect_something_else() -> None:
    found = expected(request(), port=8080, status=204, logged_code=204, flags="URX")
    assert found.instances == {f"{ALPHA.address}:8080": ALPHA.instance}
    assert (found.status, found.logged_code, found.flags) == (204, 204, "URX")


def test_a_single_server_may_be_the_target() -> None:
    found = request()._reaches(BETA, "c", None, {})
    assert (found.name, found.servers) == ("beta", {BETA.instance: "beta"})
