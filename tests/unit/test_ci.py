"""What is there to paste for CI: it parses, and what it calls and asks for is there."""

import re
import shlex
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import click
import kubernetes
import pytest
import yaml

from egress_conformance import cli
from egress_conformance.cluster.existing import RIGHTS, ExistingProvider
from egress_conformance.cluster.names import Names
from egress_conformance.cluster.recipe import Recipe
from egress_conformance.cluster.recipes import recipes
from egress_conformance.cluster.suite_image import suite_image
from egress_conformance.cluster.versions import versions
from egress_conformance.options import OPTIONS
from tests.unit.fakes import SUITE

CI = SUITE / "docs/ci"
FILES = sorted(path.relative_to(CI).as_posix() for path in CI.rglob("*.yaml"))
JOBS = ["kubernetes/job.yaml", "kubernetes/shards.yaml"]
PIPELINES = [name for name in FILES if name.startswith("git")]
TOKENS = "/var/run/secrets/kubernetes.io/serviceaccount"

Doc = dict[str, Any]


def docs(name: str) -> list[Doc]:
    return list(yaml.safe_load_all((CI / name).read_text(encoding="utf-8")))


def rbac(kind: str) -> Doc:
    (found,) = [doc for doc in docs("kubernetes/rbac.yaml") if doc["kind"] == kind]
    return found


def strings(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for each in value.values() if isinstance(value, dict) else value:
            yield from strings(each)


def commands(text: str) -> Iterator[list[str]]:
    """Words of each line that calls something of the project's."""
    for line in text.splitlines():
        called = re.search(r"(?<!\S)(\./scripts/|(\.venv/bin/)?egress-conformance )[^|;#&`]*", line)
        if called:
            yield shlex.split(called[0])


def refused(words: list[str]) -> list[str]:
    """What of a command line the command does not know."""
    program, *arguments = words
    if program.startswith("./scripts/"):
        script = SUITE / program
        assert script.is_file(), f"there is no {program}"
        if script.name not in {"run", "gate"}:
            return []
        command = cli.cli.commands["run"]
    else:
        command = cli.cli.commands[arguments.pop(0)]
    known = {flag for parameter in command.params if isinstance(parameter, click.Option) for flag in parameter.opts}
    flags = [word.partition("=")[0] for word in arguments if word.startswith("--")]
    return [flag for flag in flags if flag not in known | {"--help", "--numprocesses"}]


def test_there_are_the_files_that_were_promised() -> None:
    assert PIPELINES == ["github-gate.yaml", "github-nightly.yaml", "gitlab-gate.yaml", "gitlab-nightly.yaml"]
    assert "kubernetes/job.yaml" in JOBS


@pytest.mark.parametrize("name", PIPELINES)
def test_a_pipeline_calls_what_is_there(name: str) -> None:
    (pipeline,) = docs(name)
    called = [words for text in strings(pipeline) for words in commands(text)]
    assert called, "it calls nothing"
    assert [refused(words) for words in called] == [[]] * len(called)


@pytest.mark.parametrize("page", ["docs/ci/README.md", "docs/diff.md", "docs/existing-cluster.md"])
def test_a_page_calls_what_is_there(page: str) -> None:
    blocks = re.findall(r"```sh\n(.*?)```", (SUITE / page).read_text(encoding="utf-8"), re.DOTALL)
    called = [words for block in blocks for words in commands(block.replace("\\\n", " "))]
    assert called
    assert [refused(words) for words in called] == [[]] * len(called)


def test_an_option_that_is_none_is_noticed() -> None:
    (words,) = commands("sudo env ./scripts/run --istio 1.31 --nightly  # comment")
    assert refused(words) == ["--nightly"]


def test_versions_in_pipelines_can_be_built() -> None:
    for name in PIPELINES:
        text = (CI / name).read_text(encoding="utf-8")
        for version in re.findall(r'"(1\.\d\d)"', text.replace(f'go-version: "{versions().go}"', "")):
            assert versions().row(version)
        if name.startswith("github"):
            assert f'go-version: "{versions().go}"' in text


def granted(kind: str) -> set[tuple[str, str, str, str]]:
    role = rbac(kind)
    return {
        (group, resource, role["metadata"].get("namespace", ""), verb)
        for rule in role["rules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }


def test_the_rights_of_the_job_are_those_that_doctor_asks_for() -> None:
    asked = {(right.group, right.resource, right.namespace, verb) for right in RIGHTS for verb in right.verbs.split()}
    # What is granted in all namespaces need not be granted in one.
    needed = {right for right in asked if not right[2] or (right[0], right[1], "", right[3]) not in asked}
    assert granted("ClusterRole") | granted("Role") == needed


def granted_in(namespace: str) -> set[tuple[str, str, str]]:
    """What the account of the Job may do in a namespace, where namespaces are given: by its bindings there."""
    found = docs("kubernetes/namespaces.yaml")
    roles = {(each["kind"], each["metadata"].get("namespace"), each["metadata"]["name"]): each for each in found}
    return {
        (group, resource, verb)
        for binding in found
        if binding["kind"] == "RoleBinding" and binding["metadata"]["namespace"] == namespace
        for kind in [binding["roleRef"]["kind"]]
        for rule in roles[kind, namespace if kind == "Role" else None, binding["roleRef"]["name"]]["rules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }


def test_where_namespaces_are_given_the_rights_are_those_that_doctor_asks_for_there() -> None:
    found = docs("kubernetes/namespaces.yaml")
    assert {each["kind"] for each in found}.isdisjoint({"ClusterRoleBinding"})
    names = [each["metadata"]["name"] for each in found if each["kind"] == "Namespace"][1:]
    provider = ExistingProvider(None, None, None, allow_mesh_changes=False, client_image="", world_image="")
    asked = replace(provider, namespaces=Names(tuple(names))).rights()
    for namespace in [*names, "istio-system", "kube-system"]:
        here = [right for right in asked if right.namespace == namespace]
        wanted = {(right.group, right.resource, verb) for right in here for verb in right.verbs.split()}
        assert granted_in(namespace) == wanted, namespace
    assert all(right.namespace for right in asked)


@pytest.mark.parametrize("kind", ["Namespace", "ServiceAccount", "ConfigMap"])
def test_the_job_is_the_same_where_namespaces_are_given(kind: str) -> None:
    found = docs("kubernetes/namespaces.yaml")
    assert next(each for each in found if each["kind"] == kind) == rbac(kind)


@pytest.mark.parametrize(("binding", "role"), [("ClusterRoleBinding", "ClusterRole"), ("RoleBinding", "Role")])
def test_they_are_bound_to_the_account_of_the_job(binding: str, role: str) -> None:
    bound, account = rbac(binding), rbac("ServiceAccount")["metadata"]
    assert bound["roleRef"] == {
        "apiGroup": "rbac.authorization.k8s.io",
        "kind": role,
        "name": rbac(role)["metadata"]["name"],
    }
    assert bound["subjects"] == [{"kind": "ServiceAccount", **account}]
    assert bound["metadata"].get("namespace") == rbac(role)["metadata"].get("namespace")


PLURALS = {"ServiceEntry": "serviceentries", "WorkloadEntry": "workloadentries", "Telemetry": "telemetries"}
OBJECT = re.compile(r"^apiVersion: (?:(?P<group>[^/\n]+)/)?v\w+\nkind: (?P<kind>\w+)$", re.MULTILINE)


def test_cases_apply_nothing_that_there_is_no_right_to() -> None:
    rights = {(right.group, right.resource) for right in RIGHTS}
    for path in sorted((SUITE / "manifests").rglob("*.yaml")):
        for found in OBJECT.finditer(path.read_text(encoding="utf-8")):
            if found["kind"] == "IstioOperator":
                continue  # for istioctl, where the suite installs Istio itself
            resource = PLURALS.get(found["kind"], f"{found['kind'].lower()}s")
            assert (found["group"] or "", resource) in rights, f"{path.name}: {found['kind']}"


@pytest.mark.parametrize("name", JOBS)
def test_a_job_can_run(name: str) -> None:
    (job,) = docs(name)
    assert (job["apiVersion"], job["kind"]) == ("batch/v1", "Job")
    account = rbac("ServiceAccount")["metadata"]
    assert job["metadata"]["namespace"] == account["namespace"]
    pod = job["spec"]["template"]["spec"]
    assert pod["serviceAccountName"] == account["name"]
    assert pod["restartPolicy"] == "Never"
    (container,) = pod["containers"]
    assert container["command"] == ["/suite/job.sh"]
    assert refused(["./scripts/run", *container["args"]]) == []
    given = dict(argument.removeprefix("--").partition("=")[::2] for argument in container["args"])
    assert given["provider"] == "existing"
    options = {option.flag[2:] for option in OPTIONS} | {"numprocesses"}
    assert {"client-image", "world-image", "wait"} <= given.keys() <= options
    mounted = {mount["name"]: mount["mountPath"] for mount in container["volumeMounts"]}
    assert mounted.keys() == {volume["name"] for volume in pod["volumes"]}
    assert given["kubeconfig"] == f"{mounted['kubeconfig']}/kubeconfig"
    assert mounted["reports"] == "/suite/reports"


def test_shards_are_of_one_run_and_as_many_as_pods() -> None:
    (job,) = docs("kubernetes/shards.yaml")
    assert job["spec"]["completionMode"] == "Indexed"
    assert job["spec"]["backoffLimitPerIndex"] == 0
    (container,) = job["spec"]["template"]["spec"]["containers"]
    env = {each["name"]: each for each in container["env"]}
    assert env["SHARDS"]["value"] == str(job["spec"]["completions"]) == str(job["spec"]["parallelism"])
    assert "--join=$(PARTY)" in container["args"]
    assert env["PARTY"]["valueFrom"]["fieldRef"]["fieldPath"] == "metadata.labels['batch.kubernetes.io/controller-uid']"


def test_both_jobs_run_the_same_way() -> None:
    alone, sharded = (docs(f"kubernetes/{name}.yaml")[0]["spec"]["template"]["spec"] for name in ("job", "shards"))
    for pod in (alone, sharded):
        (container,) = pod["containers"]
        container.pop("env", None)
        container["args"] = [each for each in container["args"] if not each.startswith(("--join", "--numprocesses"))]
    assert alone == sharded


@pytest.mark.parametrize("name", JOBS)
def test_a_job_is_as_pod_security_restricted_wants_it(name: str) -> None:
    """https://kubernetes.io/docs/concepts/security/pod-security-standards/#restricted."""
    assert rbac("Namespace")["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"
    (job,) = docs(name)
    pod = job["spec"]["template"]["spec"]
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    (container,) = pod["containers"]
    assert container["securityContext"]["allowPrivilegeEscalation"] is False
    assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
    assert container["resources"].keys() == {"requests", "limits"}
    assert {volume for each in pod["volumes"] for volume in each if volume != "name"} <= {"configMap", "emptyDir"}


def test_the_namespace_of_the_job_is_none_that_a_run_removes() -> None:
    labels = rbac("Namespace")["metadata"]["labels"]
    assert labels.get("app.kubernetes.io/managed-by") is None
    assert labels["istio-injection"] == "disabled"


def test_the_kubeconfig_of_the_job_takes_the_token_of_the_pod(tmp_path: Path) -> None:
    text = rbac("ConfigMap")["data"]["kubeconfig"]
    assert text.count(TOKENS) == 2
    (tmp_path / "token").write_text("token of the pod")
    (tmp_path / "ca.crt").write_text("a certificate")
    path = tmp_path / "kubeconfig"
    path.write_text(text.replace(TOKENS, str(tmp_path)))
    configuration = kubernetes.client.Configuration()
    kubernetes.config.load_kube_config(str(path), client_configuration=configuration)
    assert configuration.host == "https://kubernetes.default.svc"
    assert configuration.auth_settings()["BearerToken"]["value"] == "Bearer token of the pod"
    assert configuration.ssl_ca_cert == str(tmp_path / "ca.crt")


def every(wanted: Recipe) -> set[Recipe]:
    return {wanted}.union(*(every(need) for need in wanted.needs))


def test_nothing_a_cluster_is_made_of_depends_on_the_image_of_the_suite() -> None:
    built = recipes(versions(), versions().newest)
    of_clusters = every(built.node) | every(built.client) | every(built.world) | every(built.kind) | every(built.istio)
    suite = suite_image(versions())
    assert not {suite.name, *(need.name for need in suite.needs)} & {recipe.name for recipe in of_clusters}
    assert "suite" not in {script for recipe in of_clusters for script in (recipe.script, *recipe.sources)}


def test_the_image_of_the_suite_changes_with_what_is_in_it() -> None:
    assert {"requirements.lock", "suites", "manifests", "egress_conformance"} <= suite_image(versions()).inputs.keys()
    assert suite_image(versions()).key == suite_image(versions()).key
