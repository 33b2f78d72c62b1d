"""What the ServiceEntry CRD's own rules refuse: the API server answers by itself, no webhook is asked."""

from egress_conformance.case import case
from egress_conformance.mesh.mesh import Mesh
from egress_conformance.world.world import World

CRD = "ServiceEntry CRD (manifests/charts/base/files/crd-all.gen.yaml)"


@case("VAL-01", source=f"{CRD}: rule `only one of WorkloadSelector or Endpoints can be set`")
def test_endpoints_with_a_selector(mesh: Mesh, world: World) -> None:
    """An entry with both endpoints and a workloadSelector MUST be refused, by a message that names the two."""
    mesh.refuses(
        "validation/endpoints-and-selector.yaml",
        twin="validation/endpoints-alone.yaml",
        saying="spec: Invalid value: .*only one of WorkloadSelector or Endpoints can be set",
        host=world.site().host,
    )


@case("VAL-02", source=f"{CRD}: rule `CIDR addresses are allowed only for NONE/STATIC resolution types`")
def test_cidr_with_dns(mesh: Mesh, world: World) -> None:
    """An entry with a CIDR address and resolution DNS MUST be refused, by a message that names the two."""
    mesh.refuses(
        "validation/cidr-dns.yaml",
        twin="validation/cidr-none.yaml",
        saying="spec: Invalid value: .*CIDR addresses are allowed only for NONE/STATIC resolution types",
        host=world.site().host,
    )


@case("VAL-03", source=f"{CRD}: rule `port number cannot be duplicated`")
def test_same_port_twice(mesh: Mesh, world: World) -> None:
    """An entry with the same port number twice MUST be refused, by a message that names spec.ports."""
    mesh.refuses(
        "validation/same-port-twice.yaml",
        twin="validation/two-ports.yaml",
        saying=r"spec\.ports: Invalid value: .*port number cannot be duplicated",
        host=world.site().host,
    )


@case("VAL-04", source=f"{CRD}: rule `hostname cannot be wildcard`")
def test_any_host(mesh: Mesh, world: World) -> None:
    """An entry for host `*` MUST be refused, by a message that names the host; one for `*.name` is admitted."""
    mesh.refuses(
        "validation/host-any.yaml",
        twin="validation/host-wildcard.yaml",
        saying=r"spec\.hosts\[0\]: Invalid value: .*hostname cannot be wildcard",
        host=world.site().host,
    )


@case("VAL-05", source=f"{CRD}: maxItems of spec.hosts, since 1.24")
def test_too_many_hosts(mesh: Mesh, world: World) -> None:
    """An entry with more than 256 hosts MUST be refused, by a message that names spec.hosts and the limit."""
    mesh.refuses(
        "validation/hosts-257.yaml",
        twin="validation/hosts-256.yaml",
        saying=r"spec\.hosts: Too many: 257: must have at most 256 items",
        host=world.site().host,
    )
