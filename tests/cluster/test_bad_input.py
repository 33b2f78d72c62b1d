"""What a user can get wrong: one clear line, exit code 3, and everything as it was."""

import base64
import json
from pathlib import Path

import pytest
import yaml

from egress_conformance.cluster.lease import OWN_NAMESPACE, RunLease
from tests.cluster.conftest import Ended, Found, command


def refused(ended: Ended, *words: str) -> None:
    """It ended with exit code 3, and one line says these words; no traceback."""
    assert ended.code == 3, ended.said
    assert "Traceback" not in ended.said
    lines = [line for line in ended.said.splitlines() if all(word in line for word in words)]
    assert len(lines) == 1, ended.said


def test_second_run_at_the_same_time(cluster: Found, suite: Path) -> None:
    lease = RunLease(cluster.kube, OWN_NAMESPACE, "rother")
    lease.take()
    try:
        refused(command("run", "-n", "0", str(suite / "suites")), "another run is using this cluster", "rother")
    finally:
        lease.release()
    assert cluster.leftovers() == []


@pytest.mark.parametrize("workers", ["0", "2"])
def test_placeholder_without_a_value(cluster: Found, suite: Path, workers: str) -> None:
    entry = suite / "manifests" / "entry.yaml"
    entry.write_text(entry.read_text().replace("${host}", "${hots}"), encoding="utf-8")
    before = cluster.config.text()
    refused(command("run", "-n", workers, str(suite / "suites")), "entry.yaml", "${hots}")
    assert cluster.config.text() == before
    assert cluster.leftovers() == []


def test_manifest_with_bad_yaml(cluster: Found, suite: Path) -> None:
    (suite / "manifests" / "entry.yaml").write_text("spec: [1, 2\nkind: x\n", encoding="utf-8")
    refused(command("run", "-n", "0", str(suite / "suites")), "entry.yaml", "bad YAML")
    assert cluster.leftovers() == []


def test_nothing_to_run(cluster: Found, suite: Path) -> None:
    assert command("run", "-n", "0", "-k", "nosuchcase", str(suite / "suites")).code == 3
    assert cluster.leftovers() == []


def test_unknown_istio_version() -> None:
    refused(command("run", "--istio", "1.2"), "1.2", "1.31")


def test_no_engine_and_no_right_to_install_one(tmp_path: Path) -> None:
    env = {"DOCKER_HOST": f"unix://{tmp_path}/none", "EGRESS_CONFORMANCE_CACHE": str(tmp_path), "PATH": "/usr/bin:/bin"}
    refused(command("run", "--no-install", env=env), "container engine")


def existing(kubeconfig: Path, context: str, *arguments: str) -> Ended:
    images = ("--client-image", "client", "--world-image", "world")
    where = ("--provider", "existing", "--kubeconfig", str(kubeconfig), "--context", context)
    return command("run", *where, *images, *arguments)


def test_existing_unknown_context(cluster: Found) -> None:
    refused(existing(Path(cluster.info.kubeconfig), "nowhere"), "nowhere", cluster.info.context)


def test_existing_unreachable_api_server(cluster: Found, tmp_path: Path) -> None:
    config = yaml.safe_load(Path(cluster.info.kubeconfig).read_text())
    config["clusters"][0]["cluster"]["server"] = "https://127.0.0.1:1"
    (tmp_path / "kubeconfig").write_text(yaml.safe_dump(config))
    refused(existing(tmp_path / "kubeconfig", cluster.info.context), "127.0.0.1:1")


def test_existing_without_rights(cluster: Found, tmp_path: Path) -> None:
    path = f"/api/v1/namespaces/{OWN_NAMESPACE}/serviceaccounts/default/token"
    token = json.loads(cluster.kube.raw("POST", path, body={"spec": {"expirationSeconds": 600}}))["status"]["token"]
    config = yaml.safe_load(Path(cluster.info.kubeconfig).read_text())
    config["users"][0]["user"] = {"token": token}
    (tmp_path / "kubeconfig").write_text(yaml.safe_dump(config))
    ended = existing(tmp_path / "kubeconfig", cluster.info.context)
    refused(ended, "serviceentries", "pods/exec")
    assert token not in ended.said
    assert base64.b64encode(token.encode()).decode() not in ended.said
