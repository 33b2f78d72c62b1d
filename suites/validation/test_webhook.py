"""What only Istio's validation webhook refuses: the CRDs' own rules say nothing of it."""

from egress_conformance.case import Requirement, case
from egress_conformance.mesh.mesh import Mesh
from egress_conformance.world.world import World

DENIED = "admission webhook .* denied the request: configuration is invalid: "
VALIDATION = "pkg/config/validation/validation.go"


@case(
    "VAL-10",
    requires=(Requirement.ADMISSION,),
    source=f"{VALIDATION}: ValidateServiceEntry, validateWorkloadEntry; the ServiceEntry CRD has no rule for either",
)
def test_only_the_webhook_refuses(mesh: Mesh, world: World) -> None:
    """Istio's webhook MUST refuse a STATIC endpoint that is no IP address, and DYNAMIC_DNS on a TCP port."""
    host = world.site().host
    mesh.refuses(
        "validation/endpoint-no-address.yaml",
        twin="validation/endpoint-address.yaml",
        saying=rf'{DENIED}endpoint address "no-address\.{host}" is not a valid IP address',
        host=host,
    )
    mesh.refuses(
        "validation/dynamic-dns-tcp.yaml",
        twin="validation/dynamic-dns-http.yaml",
        saying=rf"{DENIED}only HTTP\b.* supported for resolution type DYNAMIC_DNS",
        host=host,
    )
