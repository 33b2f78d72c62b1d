"""`istioctl analyze`: mistakes that admission lets through."""

from collections.abc import Callable

from egress_conformance.case import Requirement, case
from egress_conformance.mesh.analyze import Finding
from egress_conformance.mesh.mesh import Mesh
from egress_conformance.world.world import World

REFERENCE = "https://istio.io/latest/docs/reference/config/analysis/"
Analyze = Callable[[], list[Finding]]


def told(findings: list[Finding]) -> list[tuple[str, str]]:
    """Code and origin's name of each."""
    return [(finding.code, finding.origin.rpartition("/")[2]) for finding in findings]


@case("VAL-09", requires=(Requirement.ISTIOCTL,), source=f"{REFERENCE}: IST0101, IST0128, IST0134")
def test_analyze(mesh: Mesh, world: World, analyze: Analyze) -> None:
    """`istioctl analyze` MUST name a missing destination, an unverified server and a TCP port without an address.

    All three are admitted. No analyzer of any version looks for an exportTo that nobody uses, as is sometimes expected.
    """
    host = world.site().host
    assert analyze() == []
    with mesh.apply("validation/analyzed.yaml", host=host):
        assert told(analyze()) == [
            ("IST0101", "destination-missing"),
            ("IST0128", "server-not-verified"),
            ("IST0134", "tcp-without-address"),
        ]
    assert analyze() == []


@case("VAL-09b", since="1.31", requires=(Requirement.ISTIOCTL,), source=f"{REFERENCE}: IST0177")
def test_analyze_conflicting_protocols(mesh: Mesh, world: World, analyze: Analyze) -> None:
    """`istioctl analyze` MUST name entries that give one port of one host different protocols."""
    host = world.site().host
    assert analyze() == []
    with mesh.apply("validation/conflicting-protocols.yaml", host=host):
        findings = analyze()
        assert told(findings) == [("IST0177", "port-as-http"), ("IST0177", "port-as-tls")]
        assert all(f'host "{host}" and port 9000' in finding.message for finding in findings)
    assert analyze() == []
