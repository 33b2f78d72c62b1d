"""What admission lets in: a corpus of valid entries, and settings that not every version takes."""

from egress_conformance.case import Requirement, case
from egress_conformance.mesh.mesh import Mesh
from egress_conformance.world.world import World

VALIDATION = "pkg/config/validation/validation.go"
DYNAMIC_DNS = {
    "HTTP": "validation/dynamic-dns-http.yaml",
    "TLS": "validation/dynamic-dns-tls.yaml",
    "GRPC": "validation/dynamic-dns-grpc.yaml",
    "HTTP2": "validation/dynamic-dns-http2.yaml",
    "HTTPS": "validation/dynamic-dns-https.yaml",
    "TCP": "validation/dynamic-dns-tcp.yaml",
}
"""An entry with DYNAMIC_DNS for each protocol."""


@case(
    "VAL-06",
    requires=(Requirement.ADMISSION,),
    by_version={"1.28": {"HTTP"}, "1.29": {"HTTP", "TLS"}, "1.30": {"HTTP", "TLS", "GRPC", "HTTP2"}},
    source=f"{VALIDATION}: ValidateServiceEntry; release notes se-wildcard-host.yaml, se-wildcard-host-sidecar.yaml",
)
def test_dynamic_dns_by_protocol(mesh: Mesh, world: World, expected: set[str]) -> None:
    """DYNAMIC_DNS MUST be admitted with the protocols this version serves, and refused with any other."""
    host = world.site().host
    for protocol, manifest in DYNAMIC_DNS.items():
        if protocol in expected:
            mesh.admits(manifest, host=host)
        else:
            saying = "supported for resolution type DYNAMIC_DNS"
            mesh.refuses(manifest, twin=DYNAMIC_DNS["HTTP"], saying=saying, host=host)


@case("VAL-07", requires=(Requirement.ADMISSION,), source="ServiceEntry reference: its fields and examples")
def test_corpus_of_valid_entries(mesh: Mesh, world: World) -> None:
    """Each entry of the corpus, which together use every field of a ServiceEntry, MUST be admitted and stored."""
    site = world.site()
    for manifest in mesh.folder("validation/valid"):
        mesh.admits(manifest, host=site.host, address=site.address)


@case(
    "VAL-08",
    requires=(Requirement.ADMISSION,),
    source=f"release note retry-budget-validation.yaml; {VALIDATION}: validateTrafficPolicy",
)
def test_retry_budget_alone(mesh: Mesh, world: World) -> None:
    """A trafficPolicy of nothing but a retryBudget MUST be admitted, and one of nothing at all be refused."""
    host = world.site().host
    mesh.admits("validation/retry-budget.yaml", host=host)
    mesh.refuses(
        "validation/empty-traffic-policy.yaml",
        twin="validation/retry-budget.yaml",
        saying="traffic policy must have at least one field",
        host=host,
    )
