"""What is built of what, under which name, and what has to be built at all."""

import re
from pathlib import Path

import pytest

from egress_conformance.cluster import recipe as recipe_module
from egress_conformance.cluster.images import istio_images
from egress_conformance.cluster.recipe import HUB, IMAGES, Recipe, missing, missing_tools
from egress_conformance.cluster.recipes import fortio, recipes
from egress_conformance.cluster.versions import versions
from egress_conformance.errors import UserError


def every(wanted: Recipe) -> set[Recipe]:
    return {wanted}.union(*(every(need) for need in wanted.needs))


@pytest.fixture
def scripts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(recipe_module, "IMAGES", tmp_path)
    for name in ("compile", "pack", "source"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "build.sh").write_text("true")
    return tmp_path


def program(version: str = "1") -> Recipe:
    return Recipe("program", "", 1, "compile", inputs={"PROGRAM": version}, sources=("source",), tools=("go",))


def image(need: Recipe) -> Recipe:
    return Recipe("image", "", 1, "pack", needs=(need,), repositories=("image",), tools=("go", "docker"))


def test_a_key_changes_with_inputs_scripts_sources_and_needs(scripts: Path) -> None:
    keys = {image(program()).key, image(program("2")).key}
    for name in ("compile", "pack", "source"):
        (scripts / name / "build.sh").write_text("changed")
        keys.add(image(program()).key)
    assert len(keys) == 5
    assert image(program()).key == image(program()).key


def test_an_image_has_its_key_in_its_tag(scripts: Path) -> None:
    made = image(program())
    assert made.images == (f"localhost/istio-egress-conformance/image:{made.key}",)
    assert program().images == ()
    named = Recipe("istio-1.31", "", 1, "compile", inputs={"VERSION": "1.31.0"})
    assert named.tag == f"1.31.0-{named.key[:8]}"
    assert named.variable == "ISTIO"


def test_what_only_something_finished_needs_is_not_built(scripts: Path) -> None:
    need = program()
    wanted = image(need)
    assert missing(wanted, lambda recipe: recipe is wanted) == []
    assert missing(wanted, lambda recipe: recipe is need) == [wanted]
    assert missing(wanted, lambda _: False) == [need, wanted]


def test_what_two_need_is_built_once(scripts: Path) -> None:
    need = program()
    left, right = image(need), image(need)
    top = Recipe("top", "", 1, "pack", needs=(left, right))
    assert missing(top, lambda _: False) == [need, left, right, top]


def test_tools_are_those_of_what_is_built(scripts: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    need = program()
    there: set[str] = set()
    monkeypatch.setattr("shutil.which", lambda tool: tool if tool in there else None)
    assert missing_tools([need, image(need)]) == ["go", "docker"]
    there.add("go")
    assert missing_tools([need, image(need)]) == ["docker"]


@pytest.mark.parametrize("istio", versions().istio)
def test_every_recipe_has_a_script_that_finds_what_it_reads(istio: str) -> None:
    given = {"HERE", "IMAGE", "IMAGES", "OUT", "WORK", "PYTHON"}
    for recipe in every(recipes(versions(), istio).node):
        script = (IMAGES / recipe.script / "build.sh").read_text()
        needs = {need.variable for need in recipe.needs}
        assert len(needs) == len(recipe.needs)
        assert not needs & set(recipe.inputs), recipe.name
        variables = set(re.findall(r"\$\{?([A-Z][A-Z0-9_]+)", script))
        assert variables <= given | needs | set(recipe.inputs), recipe.name


def test_versions_of_istio_share_all_but_themselves() -> None:
    older, newer = (recipes(versions(), istio) for istio in ("1.29", "1.31"))
    assert older.base.key == newer.base.key
    assert older.world.key == newer.world.key
    assert older.istio.key != newer.istio.key
    assert older.node.key != newer.node.key


def test_images_of_istio_have_one_tag() -> None:
    pilot, proxy, cni = recipes(versions(), "1.31").istio_images.images
    assert [pilot.replace("/pilot:", f"/{name}:") for name in ("proxyv2", "install-cni")] == [proxy, cni]


def test_the_cni_node_agent_is_an_image_of_istio_where_it_is_asked_for() -> None:
    assert istio_images("hub", "1", cni=False) == ("hub/pilot:1", "hub/proxyv2:1")
    assert istio_images("hub", "1", cni=True) == ("hub/pilot:1", "hub/proxyv2:1", "hub/install-cni:1")


def test_no_node_has_the_cni_node_agent_before_it_is_asked_for() -> None:
    wanted = recipes(versions(), "1.31")
    preloaded = wanted.node.inputs["PRELOAD"].splitlines()
    assert preloaded == [
        *istio_images(HUB, wanted.istio_images.tag, cni=False),
        *wanted.client.images,
        *wanted.world.images,
    ]


def test_an_istio_nobody_knows_is_refused_with_those_that_exist() -> None:
    with pytest.raises(UserError, match=re.escape("Istio 1.4 cannot be built here: choose one of 1.28, 1.29, 1.31")):
        recipes(versions(), "1.4")
    assert versions().newest == "1.31"


def test_nothing_is_made_of_the_load_of_an_upgrade() -> None:
    """A change to it rebuilds no node and no Istio, which would take a quarter of an hour."""
    wanted = fortio(versions())
    assert wanted.images == (f"localhost/istio-egress-conformance/fortio:{wanted.key}",)
    for istio in versions().istio:
        for recipe in vars(recipes(versions(), istio)).values():
            assert "fortio" not in {each.script for each in every(recipe)}
            assert "fortio" not in {source for each in every(recipe) for source in each.sources}
