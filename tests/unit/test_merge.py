"""`egress-conformance merge`: one ledger of those of all shards, or a refusal."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from egress_conformance import cli
from egress_conformance.errors import UserError
from egress_conformance.report.ledger import DataPlane, Ledger, Verdict
from egress_conformance.report.merge import merge
from tests.unit.data.two_ledgers import ledger, record


def shard(index: int, *names: str, verdict: Verdict = Verdict.PASSED, **changes: object) -> Ledger:
    """The ledger of one shard of two, with cases of these names; `changes` are of its environment."""
    made = ledger("1.31.0")
    cases = [record(name, verdict) for name in names]
    environment = made.environment.model_copy(update=changes)
    begun = f"2026-11-26T03:0{index}:00+00:00"
    return made.model_copy(update={"cases": cases, "shard": f"{index}/2", "environment": environment, "started": begun})


def merged(*ledgers: Ledger) -> Ledger:
    return merge(ledgers, [f"{number}.json" for number, _ in enumerate(ledgers, 1)])


def refusal(*ledgers: Ledger) -> str:
    with pytest.raises(UserError) as caught:
        merged(*ledgers)
    assert "\n" not in str(caught.value)
    return str(caught.value)


ONE, TWO = shard(1, "RSL-02", "RSL-01"), shard(2, "RSL-04", "RSL-03", verdict=Verdict.FAILED)


def test_all_cases_are_in_it_and_counted() -> None:
    made = merged(TWO, ONE)
    assert [case.id for case in made.cases] == ["RSL-01", "RSL-02", "RSL-03", "RSL-04"]
    assert (made.summary.passed, made.summary.failed) == (2, 2)
    assert made.shard == ""
    assert made.suite_content == ONE.suite_content
    assert made.environment.istio == "1.31.0"


def test_it_lasts_from_the_first_start_to_the_last_end() -> None:
    made = merged(TWO, ONE)
    assert made.started == ONE.started
    assert made.summary.seconds == 60 + TWO.summary.seconds


def test_one_ledger_is_merged_into_itself() -> None:
    whole = ledger("1.31.0")
    assert merged(whole).cases == whole.cases


DIFFERENT = {
    "suite": lambda: TWO.model_copy(update={"suite_version": "9"}),
    "cases (suite_content)": lambda: TWO.model_copy(update={"suite_content": "f" * 64}),
    "Istio": lambda: shard(2, "RSL-03", istio="1.29.1"),
    "revision": lambda: shard(2, "RSL-03", revision="canary"),
    "data plane": lambda: shard(2, "RSL-03", data_plane=DataPlane(kind="istio-proxy", version="1.31.0")),
}


@pytest.mark.parametrize("what", DIFFERENT)
def test_ledgers_that_do_not_belong_together(what: str) -> None:
    said = refusal(ONE, DIFFERENT[what]())
    assert said.startswith(f"these ledgers are not of one run: {what} ")
    assert "in 1.json" in said
    assert "in 2.json: merge only those of one suite on one Istio" in said


def test_subjects_that_were_withheld_in_one() -> None:
    withheld = [case.model_copy(update={"proof": "proved"}) for case in TWO.cases]
    assert "subjects in place in 1.json, withheld in 2.json" in refusal(ONE, TWO.model_copy(update={"cases": withheld}))


def test_a_shard_in_which_no_client_came_up_has_no_data_plane_to_disagree() -> None:
    nobody = shard(1, "RSL-01", data_plane=DataPlane(kind="unknown", version="no client came up"))
    assert merged(nobody, TWO).environment.data_plane == TWO.environment.data_plane
    assert merged(nobody.model_copy(update={"shard": ""})).environment.data_plane.kind == "unknown"


def test_a_case_that_ran_twice() -> None:
    assert refusal(ONE, shard(2, "RSL-01")).startswith("RSL-01: in 1.json and 2.json: a case that ran twice")
    assert refusal(ONE, ONE).startswith("RSL-01, RSL-02: in ")
    many = shard(1, *[f"RSL-{number:02}" for number in range(1, 9)])
    assert refusal(many, many.model_copy(update={"shard": "2/2"})).startswith(
        "RSL-01, RSL-02, RSL-03, RSL-04, RSL-05 and 3 more: in "
    )


def test_a_shard_that_is_missing() -> None:
    assert refusal(ONE) == "the ledger of shard 2/2 is missing: name those of all shards of one run"
    other = TWO.model_copy(update={"shard": "2/3"})
    assert refusal(ONE, other).startswith("the ledger of shard 1/3, 2/2, 3/3 is missing")


def test_ledgers_without_shards_are_merged_by_their_cases_alone() -> None:
    parts = [each.model_copy(update={"shard": ""}) for each in (ONE, TWO)]
    assert len(merged(*parts).cases) == 4


def test_what_differs_in_the_environment_is_told() -> None:
    made = merged(
        shard(1, "RSL-01", images={"client:1": "a", "pilot": "p"}, kubernetes="v1.35.0", emulations=["HDR-02"]),
        shard(2, "RSL-02", images={"client:1": "b"}, kubernetes="v1.34.0", emulations=["HDR-01"]),
    ).environment
    assert made.images == {"client:1": "a, b", "pilot": "p"}
    assert made.kubernetes == "v1.35.0, v1.34.0"
    assert made.emulations == ["HDR-01", "HDR-02"]


@pytest.mark.parametrize(
    ("counts", "expected"), [((0, 0), 0), ((1, 2), 3), ((None, 0), None), ((None, 2), 2), ((None, None), None)]
)
def test_packets_that_left(counts: tuple[int | None, int | None], expected: int | None) -> None:
    first, second = counts
    made = merged(shard(1, "RSL-01", escaped_packets=first), shard(2, "RSL-02", escaped_packets=second))
    assert made.environment.escaped_packets == expected


def test_another_commit_of_the_same_cases() -> None:
    assert merged(ONE, TWO).suite_commit == ONE.suite_commit
    assert merged(ONE, TWO.model_copy(update={"suite_commit": "f" * 40})).suite_commit == ""


def invoke(*arguments: str | Path) -> Result:
    return CliRunner().invoke(cli.cli, ["merge", *map(str, arguments)], env={"COLUMNS": "200"})


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    paths = [tmp_path / "one.json", tmp_path / "two.json"]
    for each, path in zip((ONE, TWO), paths, strict=True):
        each.write(path)
    return paths


def test_the_command_writes_every_report_and_ends_as_a_run_would(files: list[Path], tmp_path: Path) -> None:
    folder = tmp_path / "all" / "of them"
    done = invoke(*files, "--into", folder)
    assert done.exit_code == 1
    assert "2 failed, 2 of 4 cases passed" in done.output
    assert sorted(path.name for path in folder.iterdir()) == [
        "allure-results",
        "junit.xml",
        "ledger.json",
        "report.html",
    ]
    assert len(json.loads((folder / "ledger.json").read_text())["cases"]) == 4
    # It can be merged, compared and read as any other.
    assert invoke(folder, "--into", tmp_path / "again").exit_code == 1


def test_without_a_folder_it_is_the_latest_run(
    files: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cli, "ROOT", tmp_path)
    assert invoke(*files).exit_code == 1
    assert (tmp_path / "reports/latest").resolve().name == "20261126T030100Z-1.31.0-merged"


def test_what_the_user_can_mend(files: list[Path], tmp_path: Path) -> None:
    refusals: list[tuple[list[str | Path], str]] = [
        ([], "no ledger was named: "),
        ([tmp_path / "none.json"], "none.json cannot be read (No such file or directory)"),
        ([*files, "--into", files[0]], "cannot be written ("),
    ]
    for arguments, said in refusals:
        error = invoke(*arguments).exception
        assert isinstance(error, UserError)
        assert said in str(error)
