"""The digest of what the cases of a run were."""

from pathlib import Path

from egress_conformance.content import digest


def checkout(root: Path, case: str = "a case") -> Path:
    (root / "suites" / "policy" / "__pycache__").mkdir(parents=True)
    (root / "suites" / "policy" / "test_one.py").write_text(case)
    (root / "docs").mkdir()
    return root


def test_the_same_cases_have_the_same_digest_wherever_they_lie(tmp_path: Path) -> None:
    one, other = checkout(tmp_path / "one"), checkout(tmp_path / "other")
    (other / "docs" / "diff.md").write_text("other words")
    (other / "suites" / "policy" / "__pycache__" / "test_one.pyc").write_text("compiled")
    assert digest(one) == digest(other) != ""


def test_the_load_of_an_upgrade_is_no_part_of_it(tmp_path: Path) -> None:
    one, other = checkout(tmp_path / "one"), checkout(tmp_path / "other")
    (other / "manifests" / "upgrade").mkdir(parents=True)
    (other / "manifests" / "upgrade" / "load.yaml").write_text("kind: Deployment")
    assert digest(one) == digest(other)


def test_another_case_has_another(tmp_path: Path) -> None:
    one, other = checkout(tmp_path / "one"), checkout(tmp_path / "other", "another case")
    assert digest(one) != digest(other)
    (one / "suites" / "policy" / "test_one.py").rename(one / "suites" / "policy" / "test_two.py")
    assert digest(one) != digest(checkout(tmp_path / "three"))


def test_where_there_are_none_there_is_no_digest(tmp_path: Path) -> None:
    assert digest(tmp_path) == ""
