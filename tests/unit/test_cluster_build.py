"""What is checked before a build, how a script is run, and what is said when it fails."""

from collections import namedtuple
from collections.abc import Callable, Mapping, Sequence
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from egress_conformance.cluster.build import Builder, check_disk, check_go, disk_needed
from egress_conformance.cluster.cache import Store
from egress_conformance.cluster.commands import CommandFailed
from egress_conformance.cluster.engine import Engine
from egress_conformance.cluster.recipe import Recipe
from egress_conformance.cluster.recipes import recipes
from egress_conformance.cluster.suite_image import suite_image
from egress_conformance.cluster.versions import versions
from egress_conformance.errors import UserError

Usage = namedtuple("Usage", "total used free")


class Machine:
    """Runs nothing: answers the commands it was told of, and refuses the rest."""

    def __init__(self, **answers: str | Callable[[Mapping[str, str]], str]) -> None:
        self.answers = answers
        self.ran: list[tuple[str, ...]] = []
        self.images: set[str] = set()

    def __call__(self, argv: Sequence[str], *, env: Mapping[str, str] | None = None, **_: object) -> str:
        self.ran.append(tuple(argv))
        if argv[:3] == ("docker", "image", "inspect"):
            if argv[-1] in self.images:
                return "sha256:1\n"
            raise CommandFailed(argv, 1, f"Error: No such image: {argv[-1]}")
        answer = self.answers.get(argv[0])
        if answer is None:
            raise CommandFailed(argv, 127, f"{argv[0]} not found")
        return answer if isinstance(answer, str) else answer(env or {})


class Bench:
    """A builder with nothing real around it."""

    def __init__(self, root: Path, machine: Machine, *, install: bool = False) -> None:
        self.said = StringIO()
        self.machine = machine
        console = Console(file=self.said, width=200)
        engine = Engine({"DOCKER_HOST": "unix:///x"}, "20", machine)
        self.builder = Builder(engine, console, install=install, store=Store(root / "artefacts"), runner=machine)


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("EGRESS_CONFORMANCE_CACHE", str(tmp_path))
    return tmp_path


def program() -> Recipe:
    return Recipe("program", "compile the program", 1, "pause", inputs={"LEVEL": "9"}, tools=("go",))


def image(need: Recipe) -> Recipe:
    return Recipe("image", "make the image", 1, "client", needs=(need,), repositories=("client",))


def test_a_script_gets_its_inputs_and_what_it_needs(cache: Path) -> None:
    seen: dict[str, Mapping[str, str]] = {}

    def script(env: Mapping[str, str]) -> str:
        seen[Path(env["HERE"]).name] = env
        if env["IMAGE"]:
            machine.images.add(env["IMAGE"])
        else:
            (Path(env["OUT"]) / "binary").touch()
        return ""

    machine = Machine(bash=script, go="go1.26.8")
    bench = Bench(cache, machine)
    need = program()
    wanted = image(need)
    bench.builder.build(wanted)

    assert seen["pause"]["LEVEL"] == "9"
    assert seen["pause"]["CGO_ENABLED"] == "0"
    assert seen["client"]["PROGRAM"] == str(bench.builder.path(need))
    assert seen["client"]["IMAGE"] == wanted.images[0]
    assert seen["client"]["DOCKER_HOST"] == "unix:///x"
    assert (bench.builder.path(need) / "binary").exists()
    assert not Path(seen["client"]["WORK"]).exists()
    assert "step 1 of 2: compile the program (typically 1 s)" in bench.said.getvalue()
    assert "step 2 of 2: make the image: done in 0 s" in bench.said.getvalue()

    machine.ran.clear()
    bench.builder.build(wanted)
    assert all(argv[0] == "docker" for argv in machine.ran)


def test_an_engine_that_lost_its_images_gets_them_again_without_compiling(cache: Path) -> None:
    scripts = []

    def script(env: Mapping[str, str]) -> str:
        scripts.append(Path(env["HERE"]).name)
        machine.images.update([env["IMAGE"]] if env["IMAGE"] else [])
        return ""

    machine = Machine(bash=script, go="go1.26.8")
    wanted = image(program())
    Bench(cache, machine).builder.build(wanted)
    machine.images.clear()
    Bench(cache, machine).builder.build(wanted)
    assert scripts == ["pause", "client", "client"]


def test_a_failed_build_says_its_last_words_and_where_the_rest_is(cache: Path) -> None:
    def script(env: Mapping[str, str]) -> str:
        raise CommandFailed(("bash", "build.sh"), 2, "compiling\nmain.go:3: no such thing")

    bench = Bench(cache, Machine(bash=script, go="go1.26.8"))
    with pytest.raises(UserError, match=r"could not compile the program: .* all of it in .*/logs/build-.*\.log"):
        bench.builder.build(program())
    assert "main.go:3: no such thing" in bench.said.getvalue()
    assert not bench.builder.path(program()).exists()


def test_a_missing_go_is_said_before_anything_is_built(cache: Path) -> None:
    bench = Bench(cache, Machine(bash=""))
    with pytest.raises(UserError, match=r"^Go is missing and a build is needed: install Go >= 1\.26$"):
        bench.builder.build(program())
    assert not any(argv[0] == "bash" for argv in bench.machine.ran)


def test_nothing_to_build_needs_no_go(cache: Path) -> None:
    bench = Bench(cache, Machine())
    wanted = image(program())
    bench.machine.images.update(wanted.images)
    bench.builder.build(wanted)


@pytest.mark.parametrize(
    ("found", "enough"), [("go1.26.8", True), ("go1.27rc1", True), ("go2.0", True), ("go1.25.9", False)]
)
def test_go_has_to_be_new_enough(found: str, enough: bool) -> None:
    if enough:
        check_go("1.26", Machine(go=f"{found}\n"))
    else:
        with pytest.raises(
            UserError, match=r"Go is too old for the build that is needed: go1\.25\.9: install Go >= 1\.26"
        ):
            check_go("1.26", Machine(go=f"{found}\n"))


def test_a_disk_nearly_full_is_said_before_anything_is_built(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.disk_usage", lambda _path: Usage(0, 0, 3_000_000_000))
    check_disk(tmp_path / "not" / "there", 2)
    with pytest.raises(
        UserError, match=r"the disk is nearly full: 3.0 GB free at .*, a build takes up to 20 GB: free some"
    ):
        check_disk(tmp_path / "not" / "there", 20)


def test_a_small_change_takes_little_disk() -> None:
    wanted = recipes(versions(), "1.31")
    assert disk_needed([wanted.world, wanted.node]) == 4
    assert disk_needed([wanted.istio, wanted.node]) == 20


def test_only_one_processor_can_be_built_for(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("platform.machine", lambda: "aarch64")
    with pytest.raises(UserError, match="on x86_64 only, not on aarch64: use --images pull"):
        Bench(cache, Machine(go="go1.26.8")).builder.build(program())


def rootfs() -> Recipe:
    return Recipe("rootfs", "install Debian", 1, "debian", tools=("mmdebstrap",), repositories=("debian",))


def test_missing_tools_are_not_installed_unasked(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.which", lambda _tool: None)
    with pytest.raises(UserError, match="--no-install forbids installing it: install mmdebstrap"):
        Bench(cache, Machine(bash="")).builder.build(rootfs())


def test_missing_tools_are_installed_by_root_who_is_told(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    there = {"apt-get"}
    monkeypatch.setattr("shutil.which", lambda tool: tool if tool in there else None)
    monkeypatch.setattr("os.geteuid", lambda: 0)
    machine = Machine(bash="", **{"apt-get": ""})
    bench = Bench(cache, machine, install=True)
    bench.builder.build(rootfs())
    apt = [argv for argv in machine.ran if argv[0] == "apt-get"]
    assert [argv[1] for argv in apt] == ["update", "install"]
    assert {"mmdebstrap", "debian-archive-keyring"} <= set(apt[1])
    assert "installing mmdebstrap debian-archive-keyring with apt-get" in bench.said.getvalue()


def test_who_is_not_root_is_told_what_to_install(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.which", lambda tool: tool if tool == "apt-get" else None)
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    with pytest.raises(UserError, match="only root may install it: install mmdebstrap"):
        Bench(cache, Machine(bash=""), install=True).builder.build(rootfs())


def test_images_for_an_existing_cluster(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.which", lambda tool: tool)

    def script(env: Mapping[str, str]) -> str:
        machine.images.add(env["IMAGE"])
        return ""

    machine = Machine(bash=script, go="go1.26.1")
    named = Bench(cache, machine).builder.for_existing()
    assert list(named) == ["client", "world", "fortio", "suite"]
    assert set(named.values()) <= machine.images
    made = {argv[-1].split("/")[-2] for argv in machine.ran if argv[0] == "bash"}
    assert made == {"debian", "client", "world-image", "fortio", "suite"}, "nothing of a cluster is built for it"


def test_the_suite_is_built_for_the_python_of_its_debian(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.which", lambda tool: tool)
    seen: list[Mapping[str, str]] = []

    def script(env: Mapping[str, str]) -> str:
        seen.append(env)
        machine.images.add(env["IMAGE"])
        return ""

    machine = Machine(bash=script)
    Bench(cache, machine).builder.build(suite_image(versions()))
    python, suite = seen
    assert "python3" in python["PACKAGES"].split(",")
    assert (suite["DEBIAN_PYTHON"], suite["PYTHON_VERSION"]) == (python["IMAGE"], "3.11")
