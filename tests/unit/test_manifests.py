"""Manifests: filled and parsed, and a broken one named in one line."""

from pathlib import Path

import pytest
import yaml

from egress_conformance.errors import UserError
from egress_conformance.mesh.manifests import ROOT, check, dump, fill

ENTRY = """# a comment
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata:
  name: a
spec:
  hosts: [${host}]
"""


def written(folder: Path, text: str | bytes) -> Path:
    path = folder / "case.yaml"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def test_placeholders_are_filled(tmp_path: Path) -> None:
    (doc,) = fill(written(tmp_path, ENTRY), {"host": "a.test", "unused": "x"})
    assert doc == {
        "apiVersion": "networking.istio.io/v1",
        "kind": "ServiceEntry",
        "metadata": {"name": "a"},
        "spec": {"hosts": ["a.test"]},
    }


def test_a_file_may_hold_several_documents_and_empty_ones(tmp_path: Path) -> None:
    docs = fill(written(tmp_path, f"---\n{ENTRY}---\n# nothing\n---\n{ENTRY}"), {"host": "a.test"})
    assert [doc["kind"] for doc in docs] == ["ServiceEntry", "ServiceEntry"]


def test_two_dollars_are_one(tmp_path: Path) -> None:
    (doc,) = fill(written(tmp_path, ENTRY.replace("${host}", '"$${HOST}"')), {})
    assert doc["spec"]["hosts"] == ["${HOST}"]


SPOILT = {
    "a placeholder without a value": (
        ENTRY.replace("name: a", "name: ${name}"),
        "manifest case.yaml has the placeholder ${name} and the case gives no value for it: pass name=... to",
    ),
    "a placeholder that is no name": (
        ENTRY.replace("${host}", "${a-host}"),
        r"manifest case.yaml: Invalid placeholder in string: line 7, col 11: write $$ for a dollar sign in ",
    ),
    "a dollar alone": (ENTRY.replace("${host}", "'$'"), "manifest case.yaml: Invalid placeholder in string: line 7"),
    "bad YAML": (
        ENTRY.replace("metadata:", "metadata: ["),
        "manifest case.yaml line 6 is bad YAML (expected ',' or ']', but got ':'): mend ",
    ),
    "a tab": (ENTRY.replace("  name: a", "\tname: a"), "manifest case.yaml line 5 is bad YAML (found character"),
    "what YAML cannot hold": (ENTRY + "\x00", "manifest case.yaml is bad YAML"),
    "a list": ("- a\n- b\n", "manifest case.yaml holds something that is no Kubernetes object: give every document"),
    "plain text": ("just text\n", "manifest case.yaml holds something that is no Kubernetes object"),
    "no kind": (ENTRY.replace("kind:", "kinda:"), "manifest case.yaml holds something that is no Kubernetes object"),
    "no metadata": (
        ENTRY.replace("metadata:\n  name: a\n", ""),
        "manifest case.yaml holds something that is no Kubernetes object",
    ),
    "empty metadata": (
        ENTRY.replace("  name: a\n", ""),
        "manifest case.yaml holds something that is no Kubernetes object",
    ),
    "bytes that are no text": (b"\xff\xfe\x00", "manifest case.yaml cannot be read"),
}


@pytest.mark.parametrize(("text", "problem"), SPOILT.values(), ids=SPOILT)
def test_a_broken_manifest_is_named_in_one_line(tmp_path: Path, text: str | bytes, problem: str) -> None:
    with pytest.raises(UserError) as caught:
        fill(written(tmp_path, text), {"host": "a.test"})
    assert str(caught.value).startswith(problem)
    assert "\n" not in str(caught.value)


def test_a_manifest_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"manifest b\.yaml cannot be read \(No such file or directory\): check /"):
        fill(tmp_path / "b.yaml", {})


def test_all_of_a_folder_is_checked_before_anything_is_changed(tmp_path: Path) -> None:
    (tmp_path / "area").mkdir()
    good = tmp_path / "area" / "good.yaml"
    good.write_text(ENTRY)
    check(tmp_path)
    (tmp_path / "area" / "z-broken.yaml").write_text(ENTRY.replace("metadata:", "metadata: ["))
    with pytest.raises(UserError, match=r"manifest z-broken\.yaml line 6 is bad YAML"):
        check(tmp_path)


def test_the_suites_own_manifests_are_sound() -> None:
    check(ROOT)
    assert (ROOT / "platform" / "client.yaml").is_file()


def test_what_is_reported_can_be_applied_again(tmp_path: Path) -> None:
    docs = fill(written(tmp_path, f"{ENTRY}---\n{ENTRY}"), {"host": "a.test"})
    assert list(yaml.safe_load_all(dump(docs))) == docs
