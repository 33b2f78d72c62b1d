"""Headers the mesh adds to requests that leave it."""

import base64

from google.protobuf.json_format import MessageToDict
from google.protobuf.struct_pb2 import Struct

from egress_conformance.case import Requirement, case
from egress_conformance.mesh.mesh import Mesh
from egress_conformance.traffic.client import Client
from egress_conformance.traffic.recorder import Recorder
from egress_conformance.world.world import World

EMULATION = "headers/peer-metadata.emulation.yaml"


@case("HDR-01", article=True, source="seed: X-Envoy-Peer-Metadata; EnvoyFilter metadata exchange in istio/proxy")
def test_peer_metadata(mesh: Mesh, client: Client, world: World, recorder: Recorder) -> None:
    """X-Envoy-Peer-Metadata MUST be a base64 protobuf Struct with the facts of the calling workload."""
    site = world.site()
    request = client.get(site.url())
    request.is_blocked()
    with mesh.emulating(EMULATION), mesh.apply("http/registered-host.yaml", host=site.host):
        base64_text = {"x-envoy-peer-metadata": "[A-Za-z0-9+/]+=*"}
        seen = request.reaches(site, cluster=f"outbound|80||{site.host}", received=base64_text)
    struct = Struct()
    struct.ParseFromString(base64.b64decode(seen.received("x-envoy-peer-metadata") or "", validate=True))
    facts = MessageToDict(struct)
    assert {key: facts.get(key) for key in ("NAME", "NAMESPACE", "SERVICE_ACCOUNT", "WORKLOAD_NAME")} == {
        "NAME": client.pod,
        "NAMESPACE": client.namespace,
        "SERVICE_ACCOUNT": "client",
        "WORKLOAD_NAME": "client",
    }
    assert client.address in facts.get("INSTANCE_IPS", "").split(",")
    recorder.observations["keys"] = sorted(facts)
    request.is_blocked()


@case("HDR-02", article=True, source="seed: X-Envoy-Peer-Metadata-Id; EnvoyFilter metadata exchange in istio/proxy")
def test_peer_metadata_id(mesh: Mesh, client: Client, world: World) -> None:
    """X-Envoy-Peer-Metadata-Id MUST be `sidecar~IP~pod.namespace~namespace.svc.cluster.local` of the caller."""
    site = world.site()
    request = client.get(site.url())
    request.is_blocked()
    with mesh.emulating(EMULATION), mesh.apply("http/registered-host.yaml", host=site.host):
        seen = request.reaches(
            site, cluster=f"outbound|80||{site.host}", received={"x-envoy-peer-metadata-id": "sidecar~.*"}
        )
    where = f"{client.pod}.{client.namespace}~{client.namespace}.svc.cluster.local"
    assert seen.received("x-envoy-peer-metadata-id") == f"sidecar~{client.address}~{where}"
    request.is_blocked()


@case("HDR-04", article=True, source="seed: X-Envoy-Decorator-Operation; Route.decorator in Envoy's API")
def test_decorator_operation(mesh: Mesh, client: Client, world: World) -> None:
    """X-Envoy-Decorator-Operation MUST be `host:80/*` towards a registered host."""
    site = world.site()
    request = client.get(site.url())
    request.is_blocked()
    with mesh.apply("http/registered-host.yaml", host=site.host):
        operation = rf"{site.host}:80/\*"
        received: dict[str, str | None] = {"x-envoy-decorator-operation": operation}
        request.reaches(site, cluster=f"outbound|80||{site.host}", received=received)
    request.is_blocked()


@case(
    "HDR-05",
    requires=(Requirement.TRACER,),
    article=True,
    source="seed: X-B3-*; Istio 1.22 upgrade notes: no default tracer any more",
)
def test_b3_headers_with_a_tracer(mesh: Mesh, client: Client, world: World) -> None:
    """With a zipkin tracer switched on X-B3-* MUST be sent, and none without."""
    site = world.site()
    request = client.get(site.url())
    cluster = f"outbound|80||{site.host}"
    none: dict[str, str | None] = {"x-b3-traceid": None, "x-b3-spanid": None, "x-b3-sampled": None}
    sampled: dict[str, str | None] = {
        "x-b3-traceid": "[0-9a-f]{16}([0-9a-f]{16})?",
        "x-b3-spanid": "[0-9a-f]{16}",
        "x-b3-sampled": "1",
    }
    with mesh.given("http/registered-host.yaml", host=site.host):
        request.reaches(site, cluster=cluster, received=none)
        with mesh.apply("headers/tracing.yaml"):
            request.reaches(site, cluster=cluster, received=sampled)
        request.reaches(site, cluster=cluster, received=none)
