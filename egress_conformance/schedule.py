"""Which case comes when, and on which worker: mode by mode, and those that share a client together."""

import json
from functools import cached_property
from pathlib import Path
from typing import Any

import pytest
from xdist.scheduler import LoadScopeScheduling  # type: ignore[import-untyped]

from egress_conformance.case import Case, declared

GROUPS = "groups.json"
"""In the folder common to all workers: the group of each test that is in one, by its node id."""


def order(items: list[pytest.Item], *, withheld: bool) -> None:
    """Sort by the mesh's mode, so that it is flipped a handful of times a run.

    Args:
        items: first come those that are no case, then mode by mode, those that flip it last; groups first; rows by the
            set-up they share.
        withheld: each case runs without its subject.
    """
    items.sort(key=lambda item: _place(declared(item), _marked(item), withheld=withheld))


def _place(case: Case | None, group: str, *, withheld: bool) -> tuple[bool, str, bool, bool, str, str]:
    if case is None:
        return (False, "", False, False, "", "")
    scene = case.scene_in_force(withheld=withheld)
    return (True, case.mode_in_force(withheld=withheld), case.flips, not group, group, scene)


def _marked(item: pytest.Item) -> str:
    """What `@pytest.mark.xdist_group("name")` says, "" where it is not there."""
    mark = item.get_closest_marker("xdist_group")
    return str(mark.args[0]) if mark else ""


def write_groups(items: list[pytest.Item], folder: Path, worker: str, *, withheld: bool) -> None:
    """Tell the process that hands out the cases which of them are to go to one worker.

    Args:
        items: all that are run, in order.
        folder: common to all workers; each of them writes the same.
        worker: name of this one.
        withheld: each case runs without its subject.
    """
    groups = {}
    for item in items:
        case = declared(item)
        if case and (name := _marked(item)):
            # A group in two modes would go back to the first one when the others are in the second.
            groups[item.nodeid] = f"{name} {case.mode_in_force(withheld=withheld)} {case.flips}"
    file = folder / GROUPS
    mine = file.with_suffix(f".{worker}")
    mine.write_text(json.dumps(groups), encoding="utf-8")
    mine.replace(file)


class GroupScheduling(LoadScopeScheduling):  # type: ignore[misc]
    """Hands out cases in their order, one at a time, those of a group together.

    As `--dist loadgroup` does, which puts the group into the node id (pytest-xdist documentation, "Running tests across
    multiple CPUs").

    Args:
        config: pytest's.
        log: xdist's.
        folder: common to all workers.
    """

    def __init__(self, config: pytest.Config, log: Any, folder: Path) -> None:  # noqa: ANN401  (xdist has no types)
        super().__init__(config, log)
        config.option.loadscopereorder = False
        self._folder = folder

    @cached_property
    def _groups(self) -> dict[str, str]:
        """As the workers wrote them; asked for when all of them have collected."""
        found: dict[str, str] = json.loads((self._folder / GROUPS).read_text(encoding="utf-8"))
        return found

    def _split_scope(self, nodeid: str) -> str:
        return self._groups.get(nodeid, nodeid)
