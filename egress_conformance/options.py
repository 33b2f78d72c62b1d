"""What a user can choose. One table; the command line and pytest both offer it."""

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from egress_conformance.cluster.names import Names
from egress_conformance.errors import UserError


@dataclass(frozen=True)
class Option:
    """One option.

    Attributes:
        flag: as typed.
        help: what it does.
        choices: allowed values; empty for a flag or free text.
        default: value when it is not given; a bool makes it a flag.
        metavar: name of a free value.
    """

    flag: str
    help: str
    choices: tuple[str, ...] = ()
    default: str | bool | None = None
    metavar: str | None = None

    @property
    def name(self) -> str:
        """The field of `Options` it sets."""
        return self.flag.removeprefix("--").replace("-", "_")


OPTIONS = (
    Option("--istio", "Istio version to install, e.g. 1.31 (default: the newest known)", metavar="VERSION"),
    Option("--provider", "where Kubernetes comes from", ("kind", "existing"), "kind"),
    Option(
        "--images",
        "pull images from registries, build them from packages, or find out",
        ("auto", "pull", "build"),
        "auto",
    ),
    Option("--prove", "run each case with its subject withheld: it must fail, or it proves nothing", default=False),
    Option("--cases", "only the cases with these ids, e.g. 'RES-01 POL-*'", metavar="IDS"),
    Option("--shard", "only this share of the cases, e.g. 2/3: the second of three", metavar="I/N"),
    Option("--join", "with --shard: at once with the other shards of this name, on one cluster", metavar="NAME"),
    Option("--deadline", "seconds a check may take to converge", default="30", metavar="SECONDS"),
    Option("--wait", "wait for another run on the cluster to end (default: end with exit code 3)", default=False),
    Option("--cluster", "kind: name of the cluster (default: one for each version of Istio)", metavar="NAME"),
    Option("--nodes", "kind: how many nodes, the first for the control plane alone", default="1", metavar="N"),
    Option("--istio-cni", "kind: install Istio with its CNI node agent, instead of an init container", default=False),
    Option("--fresh", "kind: make the cluster anew", default=False),
    Option(
        "--down",
        "kind: remove the cluster after the run (default: it is kept for the next one)",
        default=False,
    ),
    Option("--no-install", "install nothing on this machine, not even a container engine", default=False),
    Option("--kubeconfig", "existing: the kubeconfig file (default: as kubectl)", metavar="FILE"),
    Option("--context", "existing: the context in it (default: the current one)", metavar="NAME"),
    Option(
        "--revision", "the Istio revision to test; kind: installed if need be (default: the default)", metavar="REV"
    ),
    Option(
        "--allow-mesh-changes",
        "existing: allow changes to mesh-wide settings; they are put back",
        default=False,
    ),
    Option(
        "--namespaces",
        "existing: make none, use these: one for the world, and one for the client of each worker",
        metavar="WORLD,CLIENT,...",
    ),
    Option("--client-image", "existing: image of the client, with bash and curl", metavar="IMAGE"),
    Option("--world-image", "existing: image of the world's servers", metavar="IMAGE"),
    Option(
        "--image-pull-secret",
        "existing: the Secret that nodes pull these two images with (default: none)",
        metavar="NAMESPACE/NAME",
    ),
)


@dataclass(frozen=True)
class Options:
    """The user's choices; see OPTIONS."""

    istio: str | None = None
    provider: str = "kind"
    images: str = "auto"
    prove: bool = False
    cases: str | None = None
    shard: str | None = None
    join: str | None = None
    deadline: str = "30"
    wait: bool = False
    cluster: str | None = None
    nodes: str = "1"
    istio_cni: bool = False
    fresh: bool = False
    down: bool = False
    no_install: bool = False
    kubeconfig: str | None = None
    context: str | None = None
    revision: str | None = None
    allow_mesh_changes: bool = False
    namespaces: str | None = None
    client_image: str | None = None
    world_image: str | None = None
    image_pull_secret: str | None = None

    @classmethod
    def of(cls, values: dict[str, Any]) -> "Options":
        """Options from parsed arguments."""
        return cls(**{field.name: values[field.name] for field in fields(cls)})

    def arguments(self) -> list[str]:
        """These choices as they are typed; what is as by default is left out."""
        words: list[str] = []
        for option in OPTIONS:
            value = getattr(self, option.name)
            if value is True:
                words.append(option.flag)
            elif value and value != option.default:
                words += [option.flag, str(value)]
        return words

    @property
    def names(self) -> Names:
        """What the suite's namespaces are called.

        Raises:
            UserError: that is no list of them, or the cluster is one of the suite's own.
        """
        if self.namespaces and self.provider != "existing":
            raise UserError("--namespaces is for an existing cluster", "--provider existing, or leave it out")
        return Names.parse(self.namespaces)

    @property
    def revision_name(self) -> str:
        """The revision as Istio names its own things by it: "" for the default one."""
        return "" if self.revision in {None, "default"} else str(self.revision)

    @property
    def node_count(self) -> int:
        """How many nodes a kind cluster has.

        Raises:
            UserError: that is no sensible number.
        """
        return _number("--nodes", self.nodes, of="nodes", highest=9)

    @property
    def deadline_seconds(self) -> int:
        """How long a check may take to converge.

        Raises:
            UserError: that is no sensible number.
        """
        return _number("--deadline", self.deadline, of="seconds", highest=600)

    @property
    def kubeconfig_path(self) -> Path | None:
        """The kubeconfig file, if one is named."""
        return Path(self.kubeconfig).expanduser() if self.kubeconfig else None


def _number(flag: str, typed: str, *, of: str, highest: int) -> int:
    """What was typed for an option, as a whole number from 1 to the highest."""
    if not typed.isdecimal() or not 1 <= int(typed) <= highest:
        (default,) = (option.default for option in OPTIONS if option.flag == flag)
        raise UserError(f"{flag} {typed} is no number of {of} from 1 to {highest}", f"leave it out for {default}")
    return int(typed)
