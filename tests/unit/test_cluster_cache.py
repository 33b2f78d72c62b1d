"""Keys that change with what they stand for, and artefacts that are whole or absent."""

import multiprocessing
import os
import signal
import time
from pathlib import Path

import pytest

from egress_conformance.cluster.cache import Store, cache_dir, key_of, tree_digest


def test_key_depends_on_names_and_values_and_not_on_order() -> None:
    assert key_of({"a": "1", "b": "2"}) == key_of({"b": "2", "a": "1"})
    assert key_of({"a": "1"}) != key_of({"a": "2"})
    assert key_of({"a": "1"}) != key_of({"b": "1"})
    assert key_of({"ab": "c"}) != key_of({"a": "bc"})


def test_tree_digest_sees_content_names_and_executable_bits(tmp_path: Path) -> None:
    script = tmp_path / "build.sh"
    script.write_text("true")
    digests = {tree_digest(tmp_path)}
    script.write_text("false")
    digests.add(tree_digest(tmp_path))
    script.chmod(0o755)
    digests.add(tree_digest(tmp_path))
    script.rename(tmp_path / "other.sh")
    digests.add(tree_digest(tmp_path))
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "empty").touch()
    digests.add(tree_digest(tmp_path))
    assert len(digests) == 5


def test_tree_digest_leaves_out_what_makes_no_difference(tmp_path: Path) -> None:
    (tmp_path / "main.go").touch()
    before = tree_digest(tmp_path, ("*_test.go",))
    (tmp_path / "main_test.go").touch()
    assert tree_digest(tmp_path, ("*_test.go",)) == before


def test_an_artefact_is_built_once(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    builds = []

    def build(directory: Path) -> None:
        builds.append(directory)
        (directory / "file").write_text("content")

    first = store.make("thing", "key", build)
    second = store.make("thing", "key", build)
    assert first == second == store.path("thing", "key")
    assert (first / "file").read_text() == "content"
    assert len(builds) == 1


def test_a_build_that_fails_leaves_nothing(tmp_path: Path) -> None:
    store = Store(tmp_path)

    def build(directory: Path) -> None:
        (directory / "half").touch()
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        store.make("thing", "key", build)
    assert [path for path in tmp_path.iterdir() if path.suffix != ".lock"] == []


def _build_for_ever(root: Path) -> None:
    def build(directory: Path) -> None:
        (directory / "half").touch()
        (root / "building").touch()
        time.sleep(60)

    Store(root).make("thing", "key", build)


def test_a_build_that_is_killed_leaves_no_artefact_and_the_next_one_cleans_up(tmp_path: Path) -> None:
    process = multiprocessing.get_context("fork").Process(target=_build_for_ever, args=(tmp_path,))
    process.start()
    deadline = time.monotonic() + 10
    while not (tmp_path / "building").exists():
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert process.pid is not None
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    store = Store(tmp_path)
    assert not store.path("thing", "key").exists()
    assert len(list(tmp_path.glob(".thing-key.part-*"))) == 1

    made = store.make("thing", "key", lambda directory: (directory / "whole").touch())
    assert [path.name for path in made.iterdir()] == ["whole"]
    assert list(tmp_path.glob(".thing-key.part-*")) == []


def _build_slowly(root: Path) -> None:
    def build(directory: Path) -> None:
        (root / "building").touch()
        time.sleep(0.5)
        (directory / "by").write_text("other")

    Store(root).make("thing", "key", build)


def test_a_build_of_another_process_is_waited_for(tmp_path: Path) -> None:
    process = multiprocessing.get_context("fork").Process(target=_build_slowly, args=(tmp_path,))
    process.start()
    deadline = time.monotonic() + 10
    while not (tmp_path / "building").exists():
        assert time.monotonic() < deadline
        time.sleep(0.01)
    waited = []
    made = Store(tmp_path).make(
        "thing", "key", lambda _: pytest.fail("built twice"), waiting=lambda: waited.append(True)
    )
    process.join()
    assert (made / "by").read_text() == "other"
    assert waited == [True]


def test_an_artefact_that_is_there_but_of_no_use_is_built_anew(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.make("image", "key", lambda directory: (directory / "old").touch())
    made = store.make("image", "key", lambda directory: (directory / "new").touch(), is_done=lambda _: False)
    assert [path.name for path in made.iterdir()] == ["new"]


def test_the_cache_can_be_elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EGRESS_CONFORMANCE_CACHE", str(tmp_path))
    assert cache_dir() == tmp_path
    monkeypatch.delenv("EGRESS_CONFORMANCE_CACHE")
    assert cache_dir().name == "istio-egress-conformance"
