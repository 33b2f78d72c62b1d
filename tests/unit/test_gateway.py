"""The egress gateway: asked through its own agent, as its container has no curl."""

import pytest

from egress_conformance.cluster.execs import Exec
from egress_conformance.cluster.kube import Doc
from egress_conformance.errors import PlatformTrouble
from egress_conformance.mesh.gateway import LOG_SECONDS, Gateway
from egress_conformance.worker import Worker
from tests.unit.fakes import FakeExec, FakeKube


class GatewayKube(FakeKube):
    """A cluster with a gateway pod that answers as its agent does."""

    def __init__(self, **answers: str) -> None:
        super().__init__()
        self.answers = answers
        self.asked: list[tuple[str, ...]] = []

    def exec(self, namespace: str, pod: str, container: str, command: list[str], *, bash: bool = False) -> Exec:
        assert not bash, "not every proxy's image has one"
        self.asked.append((namespace, pod, container, *command))
        agent, request, method, path = command
        assert (agent, request) == ("pilot-agent", "request")
        name = f"{method}_{path.partition('?')[0].strip('/')}"
        if name not in self.answers:
            raise PlatformTrouble("exec failed", f"nobody said that {name} would be asked")
        return FakeExec(self.answers[name])

    def logs(self, namespace: str, pod: str, container: str, *, since: float | None = None) -> str:
        self.asked.append((namespace, pod, container, f"log of {since} s"))
        return "a line"


WHERE = ("istio-system", "gateway-1", "istio-proxy")


def test_its_envoy_is_asked_through_its_agent() -> None:
    kube = GatewayKube(GET_stats="cluster.a.upstream_rq_total: 7\n")
    gateway = Gateway(kube, "istio-system", "gateway-1")
    assert gateway.proxy.stats("a.*") == {"cluster.a.upstream_rq_total": 7}
    assert kube.asked == [(*WHERE, "pilot-agent", "request", "GET", "/stats?filter=a.*")]


def test_its_log_is_flushed_before_it_is_read() -> None:
    kube = GatewayKube(POST_reopen_logs="OK")
    assert Gateway(kube, "istio-system", "gateway-1").log() == "a line"
    assert kube.asked == [
        (*WHERE, "pilot-agent", "request", "POST", "reopen_logs"),
        (*WHERE, f"log of {LOG_SECONDS} s"),
    ]


def test_a_gateway_that_does_not_answer_is_the_platforms_trouble() -> None:
    with pytest.raises(PlatformTrouble, match="exec failed"):
        Gateway(GatewayKube(), "istio-system", "gateway-1").log()


def pod(name: str, *, ready: bool = True, istio: str = "egressgateway") -> Doc:
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": "istio-system", "labels": {"istio": istio}},
        "status": {"conditions": [{"type": "Ready", "status": str(ready)}]},
    }


THERE: dict[str, tuple[list[Doc], str | None]] = {
    "one": ([pod("a"), pod("in", istio="ingressgateway")], "a"),
    "none": ([pod("in", istio="ingressgateway")], None),
    "one that is not ready": ([pod("a", ready=False)], None),
    "one that takes the place of another": ([pod("a", ready=False), pod("b")], "b"),
    # Which of them a request passes is not known beforehand.
    "two": ([pod("a"), pod("b")], None),
}


@pytest.mark.parametrize(("pods", "found"), THERE.values(), ids=THERE)
def test_the_gateway_is_the_one_that_is_ready(pods: list[Doc], found: str | None) -> None:
    class JustKube(Worker):
        def __init__(self) -> None:
            self.kube = FakeKube().add(*pods)

    gateway = JustKube().egress_gateway()
    assert (gateway and gateway.pod) == found
