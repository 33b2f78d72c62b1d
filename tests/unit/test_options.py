"""The table of options, what the command line and pytest make of it, and the values agree."""

import re
from dataclasses import fields
from pathlib import Path

import pytest

from egress_conformance.errors import UserError
from egress_conformance.options import OPTIONS, Option, Options
from egress_conformance.plugin import pytest_addoption
from egress_conformance.traffic.recorder import DEADLINE_SECONDS, Recorder

NAMES = [option.name for option in OPTIONS]


def test_each_option_has_its_field_and_each_field_its_option() -> None:
    assert sorted(NAMES) == sorted(field.name for field in fields(Options))
    assert len(set(NAMES)) == len(NAMES)


@pytest.mark.parametrize("option", OPTIONS, ids=NAMES)
def test_the_default_is_the_same_in_both(option: Option) -> None:
    assert getattr(Options(), option.name) == option.default


@pytest.mark.parametrize("option", OPTIONS, ids=NAMES)
def test_an_option_is_a_flag_a_choice_or_names_its_value(option: Option) -> None:
    is_flag = isinstance(option.default, bool)
    assert [is_flag, bool(option.choices), option.metavar is not None].count(True) == 1
    assert not option.choices or option.default in option.choices
    assert option.flag == option.flag.lower()
    assert option.help


def test_options_are_made_of_what_was_parsed_and_of_nothing_else() -> None:
    values = {**{name: getattr(Options(), name) for name in NAMES}, "istio": "1.29", "fresh": True, "verbose": 2}
    assert Options.of(values) == Options(istio="1.29", fresh=True)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (Options(), []),
        (Options(istio="1.29", fresh=True), ["--istio", "1.29", "--fresh"]),
        (Options(deadline="30", provider="kind", images="build"), ["--images", "build"]),
    ],
)
def test_they_are_typed_as_they_were_and_a_default_is_not(options: Options, words: list[str]) -> None:
    assert options.arguments() == words
    assert Options.of(vars(parser().parse(words))) == options


@pytest.mark.parametrize(("revision", "name"), [(None, ""), ("default", ""), ("canary", "canary")])
def test_the_default_revision_has_no_name(revision: str | None, name: str) -> None:
    assert Options(revision=revision).revision_name == name


def test_a_kubeconfig_may_be_in_the_home_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/me")
    assert Options(kubeconfig="~/staging").kubeconfig_path == Path("/home/me/staging")
    assert Options().kubeconfig_path is None


def parser() -> pytest.Parser:
    parser = pytest.Parser(_ispytest=True)
    pytest_addoption(parser)
    return parser


def test_pytest_offers_them_with_the_same_defaults() -> None:
    assert Options.of(vars(parser().parse([]))) == Options()


@pytest.mark.parametrize("option", OPTIONS, ids=NAMES)
def test_pytest_takes_each(option: Option) -> None:
    value: str | bool = True
    words = [option.flag]
    if not isinstance(option.default, bool):
        value = option.choices[-1] if option.choices else "something"
        words.append(value)
    assert getattr(Options.of(vars(parser().parse(words))), option.name) == value


@pytest.mark.parametrize(("text", "seconds"), [("30", 30), ("1", 1), ("600", 600), ("007", 7)])
def test_a_deadline_is_a_number_of_seconds(text: str, seconds: int) -> None:
    assert Options(deadline=text).deadline_seconds == seconds


@pytest.mark.parametrize("text", ["", "0", "601", "-1", "+5", "1.5", "30s", "soon", " 30", "9" * 30])
def test_another_deadline_is_the_users_to_mend(text: str) -> None:
    with pytest.raises(UserError, match=re.escape(f"--deadline {text} is no number of seconds from 1 to 600: leave")):
        _ = Options(deadline=text).deadline_seconds


def test_by_default_a_check_has_as_long_as_the_recorder_says() -> None:
    assert Options().deadline_seconds == DEADLINE_SECONDS == Recorder().seconds
