"""`istioctl analyze`: what it finds in a namespace, typed.

Format: https://istio.io/latest/docs/reference/commands/istioctl/#istioctl-analyze with `--output json`; messages:
https://istio.io/latest/docs/reference/config/analysis/
"""

import json
import subprocess
from dataclasses import dataclass

from egress_conformance.cluster.provider import Cluster, IstioRelease
from egress_conformance.errors import PlatformTrouble

SECONDS = 60


@dataclass(frozen=True)
class Finding:
    """One message of the analysis.

    Attributes:
        code: e.g. ``IST0101``.
        level: Info, Warning or Error.
        origin: what it is about, e.g. ``ServiceEntry some-namespace/name``.
        message: in words.
    """

    code: str
    level: str
    origin: str
    message: str


def analyze(cluster: Cluster, release: IstioRelease, namespace: str) -> list[Finding]:
    """What this version's istioctl finds in a namespace.

    Args:
        cluster: where.
        release: whose istioctl.
        namespace: what is about another one, or about the whole cluster, is left out.

    Raises:
        PlatformTrouble: istioctl came to no result.
    """
    command = [str(release.istioctl), "analyze", "--namespace", namespace, "--output", "json"]
    command += ["--kubeconfig", str(cluster.kubeconfig), "--context", cluster.context]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, check=False)
    except subprocess.TimeoutExpired:
        raise PlatformTrouble("istioctl analyze silent", f"no end after {SECONDS} s") from None
    # Its exit code tells of errors found and of its own alike: whether there is a result decides.
    return parse_findings(done.stdout, done.stderr, namespace)


def parse_findings(text: str, errors: str, namespace: str) -> list[Finding]:
    """Parse the JSON of `istioctl analyze`.

    Args:
        text: its stdout.
        errors: its stderr, for the case that there is no JSON.
        namespace: whose findings to keep.

    Raises:
        PlatformTrouble: this is no result.
    """
    try:
        # What istioctl says beside its result may stand before it.
        rows, _ = json.JSONDecoder().raw_decode(text[text.index("[") :])
        found = [Finding(row["code"], row["level"], row.get("origin", ""), row["message"]) for row in rows]
    except (ValueError, TypeError, KeyError):
        said = f"{text.strip()[-500:]!r}, and beside it {errors.strip()[-500:]!r}"
        raise PlatformTrouble("istioctl analyze broken", f"it gave no result, but {said}") from None
    return sorted(
        (each for each in found if f" {namespace}/" in each.origin), key=lambda each: (each.code, each.origin)
    )
