"""Pulled or built: as asked, or as the cluster was that is there, or as the registry allows."""

from io import StringIO

import pytest
from rich.console import Console

from egress_conformance.cluster import pull
from egress_conformance.cluster.build import Builder
from egress_conformance.cluster.engine import Engine
from egress_conformance.cluster.recipes import recipes
from egress_conformance.cluster.source import Puller, Source, source_of
from egress_conformance.cluster.versions import versions


def choose(images: str, *, used: str | None = None, istio: str = "1.31") -> type[Source]:
    return type(source_of(images, istio, used, Engine({}, "20"), Console(file=StringIO()), install=False))


def registry(monkeypatch: pytest.MonkeyPatch, *, answers: bool | None) -> None:
    monkeypatch.setattr(pull, "registry_answers", lambda: pytest.fail("it was asked") if answers is None else answers)


def test_what_is_asked_for_is_done_without_asking_the_registry(monkeypatch: pytest.MonkeyPatch) -> None:
    registry(monkeypatch, answers=None)
    assert choose("pull") is Puller
    assert choose("build") is Builder


@pytest.mark.parametrize(("answers", "source"), [(True, Puller), (False, Builder)])
def test_auto_pulls_where_the_registry_answers(
    monkeypatch: pytest.MonkeyPatch, answers: bool, source: type[Source]
) -> None:
    registry(monkeypatch, answers=answers)
    assert choose("auto") is source
    assert choose("auto", used="of inputs that have changed") is source
    assert choose("auto", used="of another release", istio="1.27.3") is source


def test_auto_stays_with_what_the_cluster_is_made_of(monkeypatch: pytest.MonkeyPatch) -> None:
    registry(monkeypatch, answers=None)
    assert choose("auto", used=pull.Sites.from_env().node_image) is Puller
    assert choose("auto", used=recipes(versions(), "1.31").base.images[0]) is Builder
