"""The order of the cases, and which of them share a worker, with real workers of pytest-xdist."""

from pathlib import Path

import pytest

pytest_plugins = ["pytester"]

CONFTEST = """
import os
from pathlib import Path
import pytest
from egress_conformance import schedule

FOLDER = Path({folder!r})

def pytest_configure(config):
    config.addinivalue_line("markers", "case(declared): a case")

def pytest_collection_modifyitems(config, items):
    schedule.order(items, withheld=False)
    if "PYTEST_XDIST_WORKER" in os.environ:
        schedule.write_groups(items, FOLDER, os.environ["PYTEST_XDIST_WORKER"], withheld=False)

def pytest_xdist_make_scheduler(config, log):
    return schedule.GroupScheduling(config, log, FOLDER)

@pytest.fixture(autouse=True)
def told(request):
    with (FOLDER / "ran").open("a") as file:
        file.write(f"{{request.node.name}} {{os.environ.get('PYTEST_XDIST_WORKER', 'main')}}\\n")
"""

HEAD = """
import time
import pytest
from egress_conformance.case import Mode, case
"""


def written(name: str, more: str = "", group: str = "") -> str:
    mark = f'@pytest.mark.xdist_group("{group}")\n' if group else ""
    id_ = name.upper().replace("_", "-")
    return f'''
{mark}@case("{id_}", source="x"{more})
def test_{name}():
    """It MUST be so."""
    time.sleep(0.05)
'''


ALLOW_ANY = ", mode=Mode.ALLOW_ANY"
FLIPS = ", flips=True"


@pytest.fixture
def ran(pytester: pytest.Pytester, tmp_path: Path) -> list[tuple[str, str]]:
    pytester.makeconftest(CONFTEST.format(folder=str(tmp_path)))
    cases = [written(f"aaa_{number:02}") for number in range(1, 9)]
    cases += [written(f"bbb_{number:02}", group="shared") for number in range(1, 5)]
    cases += [written(f"bbb_{number:02}", ALLOW_ANY, group="shared") for number in range(5, 8)]
    cases += [written("bbb_08", FLIPS, group="shared"), written("ccc_01", FLIPS), written("ccc_02", ALLOW_ANY)]
    pytester.makepyfile(test_all=HEAD + "".join(cases) + "\ndef test_plain():\n    pass\n")
    assert pytester.runpytest_subprocess("-n", "2", "-p", "no:cacheprovider").ret == 0
    lines = (tmp_path / "ran").read_text(encoding="utf-8").splitlines()
    return [(line.split()[0], line.split()[1]) for line in lines]


def test_a_group_in_one_mode_is_on_one_worker_and_the_rest_is_on_both(ran: list[tuple[str, str]]) -> None:
    by_worker = dict(ran)
    assert len(ran) == len(by_worker) == 19
    for group in (("bbb_01", "bbb_02", "bbb_03", "bbb_04"), ("bbb_05", "bbb_06", "bbb_07")):
        assert len({by_worker[f"test_{name}"] for name in group}) == 1, group
    assert set(by_worker.values()) == {"gw0", "gw1"}


def test_what_is_no_case_comes_first_then_mode_by_mode_groups_first_and_flips_last(
    pytester: pytest.Pytester, tmp_path: Path
) -> None:
    pytester.makeconftest(CONFTEST.format(folder=str(tmp_path)))
    cases = [
        written("aaa_01", FLIPS),
        written("aaa_02"),
        written("aaa_03", group="shared"),
        written("aaa_04", ALLOW_ANY),
    ]
    pytester.makepyfile(test_all=HEAD + "".join(cases) + "\ndef test_plain():\n    pass\n")
    assert pytester.runpytest_subprocess("-p", "no:cacheprovider").ret == 0
    names = [line.split()[0] for line in (tmp_path / "ran").read_text(encoding="utf-8").splitlines()]
    assert names == ["test_plain", "test_aaa_04", "test_aaa_03", "test_aaa_02", "test_aaa_01"]
