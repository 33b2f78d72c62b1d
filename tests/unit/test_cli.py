"""The command line: what it makes of its arguments for pytest."""

from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from egress_conformance import cli
from egress_conformance.cluster.build import Builder
from egress_conformance.cluster.engine import Engine
from egress_conformance.options import OPTIONS

SUITES = str(cli.ROOT / "suites")
PLUGIN = ["-p", "egress_conformance.plugin"]
FIXED = ["--rootdir", str(cli.ROOT), "-c", str(cli.ROOT / "pyproject.toml"), "--no-header", *PLUGIN]


class Pytest:
    """Stands in for pytest.main."""

    def __init__(self) -> None:
        self.arguments: list[str] = []

    def main(self, arguments: list[str]) -> int:
        assert not self.arguments, "it is run once"
        self.arguments = arguments
        return 7


@pytest.fixture
def ran(monkeypatch: pytest.MonkeyPatch) -> Pytest:
    stands_in = Pytest()
    monkeypatch.setattr("egress_conformance.cli.pytest.main", stands_in.main)
    return stands_in


def invoke(*arguments: str) -> Result:
    return CliRunner().invoke(cli.cli, arguments)


def given(ran: Pytest, *arguments: str) -> list[str]:
    """What pytest was given after what it always is."""
    result = invoke(*arguments)
    # It ends as pytest did.
    assert result.exit_code == 7, result.output
    assert ran.arguments[: len(FIXED)] == FIXED
    return ran.arguments[len(FIXED) :]


def test_run_runs_the_suites_with_four_workers(ran: Pytest) -> None:
    assert given(ran, "run") == ["-n", "4", SUITES]


def test_prove_is_run_with_the_subject_withheld(ran: Pytest) -> None:
    assert given(ran, "prove") == ["--prove", "-n", "4", SUITES]


@pytest.mark.parametrize("command", ["run", "prove"])
def test_a_command_line_that_pytest_does_not_understand_is_the_users_error(
    monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    monkeypatch.setattr("egress_conformance.cli.pytest.main", lambda _: pytest.ExitCode.USAGE_ERROR)
    assert invoke(command, "--no-such-option").exit_code == 3


def test_prove_is_the_same_as_run_prove(monkeypatch: pytest.MonkeyPatch) -> None:
    words = ("--wait", "--istio", "1.29", "-n", "0", "-k", "target_port")
    both: list[list[str]] = []
    for command in (("prove",), ("run", "--prove")):
        stands_in = Pytest()
        monkeypatch.setattr("egress_conformance.cli.pytest.main", stands_in.main)
        both.append(given(stands_in, *command, *words))
    assert both[0] == both[1]
    assert both[0] == ["--istio", "1.29", "--prove", "--wait", "-n", "0", "-k", "target_port", SUITES]


def test_prove_may_be_said_twice(ran: Pytest) -> None:
    assert given(ran, "prove", "--prove").count("--prove") == 1


@pytest.mark.parametrize("command", ["run", "prove"])
def test_what_runs_cases_offers_every_option(command: str) -> None:
    said = invoke(command, "--help").output
    assert [option.flag for option in OPTIONS if option.flag not in said] == []


@pytest.mark.parametrize("command", ["up", "down", "status", "doctor"])
def test_what_is_about_a_place_takes_all_that_says_where_and_shows_what_matters_to_it(command: str) -> None:
    taken = {parameter.name for parameter in cli.cli.commands[command].params}
    assert {*cli.PLACE} <= taken <= {*cli.PLACE, "wait", "fresh"}
    shown = invoke(command, "--help").output
    assert "--namespaces" in shown
    assert ("--image-pull-secret" in shown) == (command == "up")


PASSED_ON: dict[tuple[str, ...], list[str]] = {
    ("--deadline", "5"): ["--deadline", "5", "-n", "4", SUITES],
    # What is the default anyway need not be said.
    ("--deadline", "30", "--images", "auto"): ["-n", "4", SUITES],
    ("-n", "0"): ["-n", "0", SUITES],
    ("--provider", "existing", "--namespaces", "w,c1,c2"): [
        *("--provider", "existing", "--namespaces", "w,c1,c2", "-n", "2", SUITES),
    ],
    ("-n0", "-x"): ["-n0", "-x", SUITES],
    ("-k", "headers or tls"): ["-n", "4", "-k", "headers or tls", SUITES],
    ("--provider", "existing", "--context", "staging"): [
        "--provider",
        "existing",
        "--context",
        "staging",
        "-n",
        "4",
        SUITES,
    ],
    ("--fresh", "--down"): ["--fresh", "--down", "-n", "4", SUITES],
    ("--down", "--keep"): ["-n", "4", SUITES],
}


@pytest.mark.parametrize(("words", "expected"), PASSED_ON.items(), ids=map(" ".join, PASSED_ON))
def test_options_and_pytests_own_arguments_are_passed_on(
    ran: Pytest, words: tuple[str, ...], expected: list[str]
) -> None:
    assert given(ran, "run", *words) == expected


@pytest.mark.parametrize("command", ["run", "prove"])
def test_cases_that_are_named_are_run_instead(ran: Pytest, command: str, tmp_path: Path) -> None:
    mine = tmp_path / "test_mine.py"
    mine.touch()
    for name in (str(mine), f"{mine}::test_mine"):
        ran.arguments = []
        assert given(ran, command, name)[-1] == name
        assert SUITES not in ran.arguments


def test_a_choice_that_is_none_is_refused(ran: Pytest) -> None:
    result = invoke("prove", "--provider", "minikube")
    assert result.exit_code == 2
    assert "'minikube' is not one of 'kind', 'existing'" in result.output
    assert ran.arguments == []


def test_the_sentence_of_each_command_is_its_help() -> None:
    said = {name: command.help or "" for name, command in cli.cli.commands.items()}
    assert all(said.values())
    assert "withheld" in said["prove"]


def test_build_prints_the_images_for_an_existing_cluster(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[bool] = []

    def engine(_: object, *, install: bool) -> Engine:
        asked.append(install)
        return Engine({}, "")

    monkeypatch.setattr(cli, "ensure_engine", engine)
    monkeypatch.setattr(Builder, "for_existing", lambda _: {"client": "hub/client:1", "suite": "hub/suite:2"})
    assert invoke("build", "--no-install").output == "client hub/client:1\nsuite hub/suite:2\n"
    assert asked == [False]
