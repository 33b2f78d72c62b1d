"""istiod's own word: whose configuration was rejected, and what it sent."""

import pytest

from egress_conformance.mesh.istiod import Istiod, by_others
from tests.unit.fakes import FakeKube

LOG = """info ads Push debounce stable[7] 1 for config ServiceEntry/ns/host: full=true
info ads CDS: PUSH for node:client.ns-7 resources:20
info ads CDS: PUSH for node:client.ns-other-7 resources:20
info ads CDS: PUSH for node:client.elsewhere-8 resources:20
warn delta ADS:CDS: ACK ERROR client.ns-7 Internal:no
info validation something else"""


@pytest.fixture
def istiod(monkeypatch: pytest.MonkeyPatch) -> Istiod:
    labels = {"app": "istiod", "istio.io/rev": "default"}
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "i", "namespace": "istio-system", "labels": labels}}
    other = {**pod, "metadata": {"name": "j", "namespace": "istio-system", "labels": {**labels, "istio.io/rev": "x"}}}
    metrics = b'pilot_total_xds_rejects{type="cds"} 2\npilot_total_xds_rejects{type="rds"} 1\npilot_xds 7\n'
    path = "GET /api/v1/namespaces/istio-system/pods/i:15014/proxy/metrics"
    kube = FakeKube(raws={path: lambda _: metrics}).add(pod, other)
    monkeypatch.setattr(kube, "logs", lambda _, pod, __, since: LOG if (pod, since) == ("i", 9) else "")
    return Istiod(kube, "")


def test_what_it_counts_and_logs(istiod: Istiod) -> None:
    assert istiod.rejections() == 3
    assert istiod.rejected(9) == ["warn delta ADS:CDS: ACK ERROR client.ns-7 Internal:no"]
    assert istiod.pushes(9, "ns").splitlines() == [*LOG.splitlines()[:3], LOG.splitlines()[4]]
    assert Istiod(istiod.kube, "none").rejections() == 0


def test_whose_configuration_was_rejected() -> None:
    said = [
        "warn delta ADS:RDS: ACK ERROR client.egress-r1-gw1-7 Internal:mine",
        "warn delta ADS:RDS: ACK ERROR client.egress-r1-gw1-other-8 Internal:mine, elsewhere",
        "warn delta ADS:CDS: ACK ERROR client.egress-r1-gw10-7 Internal:another worker's",
        "warn delta ADS:CDS: ACK ERROR istio-egressgateway-1.istio-system-3 Internal:the gateway's",
        "warn delta ADS:CDS: ACK ERROR old-fashioned.egress-r1-gw1-9 Internal:mine, but not in use",
    ]
    mine = {"client.egress-r1-gw1", "client.egress-r1-gw1-other"}
    assert by_others(said, ("egress-r1-",), mine) == ([said[2], said[4]], [said[0], said[1], said[3]])
    assert by_others([], ("egress-r1-",), mine) == ([], [])
    given = ("egress-r1-gw10", "egress-r1-gw1")
    assert by_others(said, given, {"client.egress-r1-gw10"}) == ([said[0], said[1], said[4]], [said[2], said[3]])
