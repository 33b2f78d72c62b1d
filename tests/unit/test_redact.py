"""A canary in every place a case may keep something: it reaches no report, and not the terminal."""

import base64
from pathlib import Path

import pytest

from egress_conformance.case_run import CaseRun
from egress_conformance.cluster.kube import Refused
from egress_conformance.mesh.manifests import dump
from egress_conformance.report import redact, write_reports
from egress_conformance.report.ledger import CaseRecord
from egress_conformance.world.certs import Issuer, make_ca
from tests.unit.data.sample_ledger import sample
from tests.unit.test_case_run import CASE, FakeWorker, phase

CANARY = "canary-4711"
BODY = base64.b64encode(CANARY.encode() * 9).decode()
PEM = f"-----BEGIN RSA PRIVATE KEY-----\n{BODY}\n-----END RSA PRIVATE KEY-----\n"
PACKED = base64.b64encode(PEM.encode()).decode()
CLAIMS = base64.urlsafe_b64encode(f'{{"sub": "{CANARY}"}}'.encode()).decode().rstrip("=")
TOKEN = f"eyJhbGciOiJSUzI1NiJ9.{CLAIMS}.c2lnbmF0dXJl"
SECRET = {
    "apiVersion": "v1",
    "kind": "Secret",
    "metadata": {"name": "password"},
    "data": {"password": base64.b64encode(CANARY.encode()).decode()},
    "stringData": {"user": CANARY},
}
CERTIFICATE = base64.b64encode(make_ca()[0]).decode()

HIDDEN = {
    "PEM": PEM,
    "PEM in base64": PACKED,
    "token": TOKEN,
    "PEM cut short": PEM[:90],
    "base64 cut short": PACKED[:91],
}
TRACES = {CANARY, BODY, BODY[:30], PACKED[:80], CLAIMS, SECRET["data"]["password"]}  # type: ignore[index]


@pytest.mark.parametrize("hidden", HIDDEN.values(), ids=HIDDEN)
@pytest.mark.parametrize("around", ["{}", "tls.key: {}", '"key": "{}", "more": 1', "Authorization: Bearer {}"])
def test_it_is_taken_out_wherever_it_stands(hidden: str, around: str) -> None:
    said = redact.text(around.format(hidden))
    assert not [trace for trace in TRACES if trace in said]
    assert redact.KEY in said or redact.TOKEN in said


def test_what_is_public_stays() -> None:
    for said in (CERTIFICATE, make_ca()[0].decode(), "status 200, token: none", "", "eyJhbGciOiJSUzI1NiJ9", "a.b.c"):
        assert redact.text(said) == said


def test_a_secret_shows_its_names_alone() -> None:
    plain = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "x"}, "data": {"ca": "as it is"}}
    said = redact.applied(f"# tls/secret.yaml\n{dump([SECRET, plain])}")
    assert said.startswith("# tls/secret.yaml\napiVersion: v1\nkind: Secret\n")
    assert f"password: {redact.SECRET}" in said.replace("'", "")
    assert f"user: {redact.SECRET}" in said.replace("'", "")
    assert "ca: as it is" in said
    assert not [trace for trace in TRACES if trace in said]


def test_a_manifest_without_a_secret_is_left_as_it_was_sent() -> None:
    sent = "# a.yaml\nkind: ServiceEntry\nspec: {hosts: [a.test]}  # as written\n"
    assert redact.applied(sent) == sent
    assert redact.applied("# Secret\n{not: [yaml") == "# Secret\n{not: [yaml"


def test_the_keys_the_world_makes_are_found() -> None:
    certificate, key = (base64.b64encode(pem).decode() for pem in make_ca())
    _, client_key = Issuer(certificate, key).rsa_server("a.test", digital_signature=True)
    for each in (key, client_key):
        assert redact.text(f"tls.key: {each}") == f"tls.key: {redact.KEY}"


def full_of_it() -> CaseRun:
    """A case that failed and kept the canary wherever it can."""
    run = CaseRun(CASE, FakeWorker())
    every = "\n".join(HIDDEN.values())
    run.recorder.applied += [f"# a.yaml\n{dump([SECRET])}", every]
    run.recorder.evidence["log"] = every
    run.recorder.observations["seen"] = {TOKEN: [every]}
    run.recorder.measurements["late"] = every

    def fails() -> None:
        raise AssertionError(every)

    phase(run, fails)
    return run


def test_no_canary_reaches_a_report(tmp_path: Path) -> None:
    record = full_of_it().record("tls")
    write_reports(sample().model_copy(update={"cases": [record]}), tmp_path)
    written = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert {path.name for path in written} >= {"ledger.json", "junit.xml", "report.html"}
    for path in written:
        said = path.read_text(encoding="utf-8")
        assert not [trace for trace in TRACES if trace in said], path.name
    assert record.evidence["log"].count(redact.KEY) >= 2


def test_no_canary_reaches_the_terminal() -> None:
    said = full_of_it().explain()
    assert not [trace for trace in TRACES if trace in said]


def test_nor_does_what_the_api_server_says() -> None:
    run = CaseRun(CASE, FakeWorker())

    def refused() -> None:
        raise Refused(422, f'Secret "x" is invalid: data[tls.key]: Invalid value: "{PEM}"')

    phase(run, refused)
    assert CANARY not in run.explain()
    assert BODY not in run.record("tls").model_dump_json() + run.explain()


def test_all_else_of_a_record_stays_as_it_is() -> None:
    for case in sample().cases:
        assert redact.record(case) == CaseRecord.model_validate(case.model_dump(mode="json"))
