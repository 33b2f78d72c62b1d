"""What no case can do without: an exec in the client's container."""

import time

from egress_conformance.case import Mode, case
from egress_conformance.traffic.client import Client
from egress_conformance.traffic.pods import CLIENT
from egress_conformance.traffic.recorder import Recorder
from tests.bench.cost import EXEC_MS

TIMES = 20


# In this mode, and no case that flips it, so that it comes first and the client's start is counted with it.
@case("BEN-01", mode=Mode.ALLOW_ANY, source="Kubernetes: pods/exec")
def test_exec(client: Client, recorder: Recorder) -> None:
    """A command that does nothing MUST run in the client's container, by an exec of its own."""
    took = []
    for _ in range(TIMES):
        began = time.monotonic()
        client.kube.run(client.namespace, client.pod, CLIENT, ["true"])
        took.append(round(1000 * (time.monotonic() - began), 1))
    recorder.measurements[EXEC_MS] = took
