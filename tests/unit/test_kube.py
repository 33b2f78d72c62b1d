"""What the API server says, or does not say, in errors of the project's own."""

import json
from pathlib import Path
from typing import Any

import pytest
import urllib3
import yaml
from kubernetes.client.exceptions import ApiException

from egress_conformance.cluster.kube import Kube, Refused, _api_errors
from egress_conformance.errors import PlatformTrouble


def answered(status: int, message: str) -> ApiException:
    error = ApiException(status=status, reason="reason")
    error.body = json.dumps({"kind": "Status", "message": message})
    return error


REFUSED = {
    "admission": answered(400, 'admission webhook "x" denied the request: no'),
    "a policy": answered(403, 'pods "client" is forbidden: violates PodSecurity "restricted:latest": runAsNonRoot'),
    "a namespace that goes": answered(403, "forbidden: unable to create new content in namespace x"),
    "not there": answered(404, "not found"),
    "a conflict": answered(409, "already exists"),
    "validation": answered(422, "spec.hosts: Invalid value"),
}


@pytest.mark.parametrize("error", REFUSED.values(), ids=REFUSED)
def test_what_the_api_server_refuses_is_its_answer(error: ApiException) -> None:
    with pytest.raises(Refused) as caught, _api_errors("apply x"):
        raise error
    assert caught.value.status == error.status
    assert caught.value.message == json.loads(str(error.body))["message"]


TROUBLE: dict[str, tuple[Exception, str]] = {
    "it has too much to do": (answered(429, "too many requests"), "API server away: apply x: 429 too many requests"),
    "it has an error": (answered(500, "etcdserver: leader changed"), "API server away: apply x: 500 etcdserver"),
    "nobody answers": (urllib3.exceptions.ReadTimeoutError(urllib3.HTTPConnectionPool("h"), "/", "timed out"), "API"),
    "the connection breaks": (ConnectionResetError("reset"), "API server away: apply x: reset"),
    "the webhook is away": (
        answered(500, 'Internal error occurred: failed calling webhook "rev.validation.istio.io": connection refused'),
        "admission webhook away: apply x: 500 Internal error occurred: failed calling webhook",
    ),
    "this user may not": (
        answered(403, 'pods is forbidden: User "ci" cannot list resource "pods" in API group "" in the namespace "x"'),
        'missing right: apply x: pods is forbidden: User "ci" cannot list resource "pods"',
    ),
    "a pod does not answer": (
        answered(503, "error trying to reach service: dial tcp 10.244.0.67:8800: connect: connection refused"),
        "pod does not answer: apply x: 503 error trying to reach service",
    ),
}


@pytest.mark.parametrize(("error", "reason"), TROUBLE.values(), ids=TROUBLE)
def test_what_it_cannot_answer_is_the_platforms_trouble(error: Exception, reason: str) -> None:
    with pytest.raises(PlatformTrouble) as caught, _api_errors("apply x"):
        raise error
    assert str(caught.value).startswith(reason)


def test_an_api_server_that_is_away_at_the_beginning_is_so_too(tmp_path: Path) -> None:
    server = {"server": "http://127.0.0.1:1"}
    config: dict[str, Any] = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "c", "cluster": server}],
        "users": [{"name": "u", "user": {}}],
        "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
        "current-context": "c",
    }
    path = tmp_path / "kubeconfig"
    path.write_text(yaml.safe_dump(config), encoding="utf-8")
    with pytest.raises(PlatformTrouble, match=r"API server away: connect: .*127\.0\.0\.1"):
        Kube(path, "c")
