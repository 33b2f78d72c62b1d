"""Shards: every case in one of them, the same way each time, what belongs together in the same one."""

from dataclasses import replace

import pytest

from egress_conformance.case import Case, Mode
from egress_conformance.errors import UserError
from egress_conformance.shard import Shard
from tests.unit.fakes import some_case

(MARK,) = [mark for mark in some_case.pytestmark if mark.name == "case"]  # type: ignore[attr-defined]
SOME: Case = MARK.args[0]


def cases() -> list[Case]:
    """Two modes, cases that flip it, and a table whose rows share set-ups."""
    single = [
        replace(SOME, id=f"TST-{number:02}", mode=mode, flips=number % 7 == 0)
        for number, mode in enumerate([Mode.ALLOW_ANY, Mode.REGISTRY_ONLY] * 20, 1)
    ]
    table = [replace(SOME, id="TAB-01", row=f"row-{row}", scene=f"scene-{row // 8}") for row in range(48)]
    return single + table


def shares(count: int, *, withheld: bool = False, of: list[Case] | None = None) -> list[set[str]]:
    return [Shard(index, count).has(of or cases(), withheld=withheld) for index in range(1, count + 1)]


@pytest.mark.parametrize("count", [1, 2, 3, 7])
def test_each_case_is_in_one_shard(count: int) -> None:
    dealt = shares(count)
    assert sorted(key for share in dealt for key in share) == sorted(case.key for case in cases())


def test_the_order_in_which_they_were_found_makes_no_difference() -> None:
    assert shares(3, of=cases()[::-1]) == shares(3)
    assert shares(3, of=cases()[::2] + cases()[1::2]) == shares(3)


def test_rows_with_one_set_up_stay_together() -> None:
    for scene in {case.scene for case in cases() if case.scene}:
        keys = {case.key for case in cases() if case.scene == scene}
        assert len([share for share in shares(4) if share & keys]) == 1


def test_rows_whose_set_up_is_withheld_need_not() -> None:
    keys = {case.key for case in cases() if case.scene == "scene-0"}
    assert len([share for share in shares(4, withheld=True) if share & keys]) > 1


@pytest.mark.parametrize("mode", [Mode.ALLOW_ANY, Mode.REGISTRY_ONLY])
@pytest.mark.parametrize("flips", [False, True])
def test_each_mode_is_dealt_out_evenly(mode: Mode, *, flips: bool) -> None:
    of_mode = {case.key for case in cases() if (case.mode, case.flips, case.scene) == (mode, flips, "")}
    assert of_mode
    sizes = [len(share & of_mode) for share in shares(3, of=[case for case in cases() if case.key in of_mode])]
    assert max(sizes) - min(sizes) <= 1


def test_more_shards_than_cases_leave_some_empty() -> None:
    assert [len(share) for share in shares(3, of=[SOME])] == [1, 0, 0]


@pytest.mark.parametrize("text", ["", "2", "0/3", "4/3", "1/0", "a/b", "1/2/3", "-1/3", "1/101"])
def test_what_is_no_share(text: str) -> None:
    with pytest.raises(UserError, match="write 2/3 for the second of three"):
        Shard.parse(text)


def test_a_share_as_the_user_writes_it() -> None:
    assert str(Shard.parse("2/3")) == "2/3"
    assert Shard.parse("2/3") == Shard(2, 3)
