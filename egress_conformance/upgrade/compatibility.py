"""What `compatibilityVersion` did: which settings it changed, and which behaviours it brought back.

Source: https://istio.io/latest/docs/setup/additional-setup/compatibility-versions/
"""

from collections.abc import Iterator
from typing import Any

import yaml

from egress_conformance.cluster.kube import Kube
from egress_conformance.errors import PlatformTrouble
from egress_conformance.mesh.config import ISTIO_NAMESPACE, MeshConfig
from egress_conformance.report.compare import compare
from egress_conformance.report.diff import WANT_REASONS, Diff, Kind
from egress_conformance.report.explain import Explanations
from egress_conformance.report.ledger import CaseRecord, Ledger
from egress_conformance.report.pairs import paired
from egress_conformance.report.upgrade import Compatibility

_CHANGED = (*WANT_REASONS, Kind.NEW)


def settings(kube: Kube) -> dict[str, str]:
    """The settings of the default istiod and of its mesh config, by name.

    Raises:
        PlatformTrouble: there is no istiod.
    """
    found = kube.get("apps/v1", "Deployment", "istiod", ISTIO_NAMESPACE)
    if found is None:
        raise PlatformTrouble("istiod gone", f"no Deployment istiod in {ISTIO_NAMESPACE}")
    (container, *_) = found["spec"]["template"]["spec"]["containers"]
    environment = {each["name"]: str(each["value"]) for each in container["env"] if "value" in each}
    mesh = dict(_flat("meshConfig", yaml.safe_load(MeshConfig(kube).text()) or {}))
    return {**environment, **mesh}


def _flat(name: str, value: Any) -> Iterator[tuple[str, str]]:  # noqa: ANN401  (any YAML)
    if isinstance(value, dict):
        for key, each in value.items():
            yield from _flat(f"{name}.{key}", each)
    else:
        yield name, str(value)


def changed(before: dict[str, str], after: dict[str, str]) -> list[str]:
    """Settings that are others now, each as `NAME: old → new`."""
    return [
        f"{name}: {before.get(name, '-')} → {after.get(name, '-')}"
        for name in sorted(before.keys() | after.keys())
        if before.get(name) != after.get(name)
    ]


def compatibility(version: str, changes: list[str], before: Ledger, after: Ledger, compatible: Ledger) -> Compatibility:
    """What a compatibility version brought back, by case.

    Args:
        version: the compatibility version.
        changes: the settings that became others by it.
        before: the suite's run on the old version.
        after: on the new one.
        compatible: on the new one with the compatibility version.
    """
    upgraded, moved = (_changed(compare(old, after, Explanations())) for old in (before, compatible))
    old, new = ({case.id: case for case in ledger.cases} for ledger in (before, compatible))
    back = {name for name in upgraded & moved if behaves_alike(old.get(name), new.get(name))}
    return Compatibility(
        version=version,
        settings=changes,
        came_back=sorted(back),
        did_not=sorted(upgraded - back),
        others=sorted(moved - upgraded),
    )


def _changed(diff: Diff) -> set[str]:
    return {case.id for case in diff.cases if case.kind in _CHANGED}


def behaves_alike(old: CaseRecord | None, new: CaseRecord | None) -> bool:
    """Whether the checks that both records have saw the same, whatever was expected.

    A case that expects the new behaviour fails where the old one is back, and makes no further check then.
    """
    if old is None or new is None:
        return False
    both = [(one, other) for one, other in paired(old.witnesses, new.witnesses) if one and other]
    return bool(both) and all(
        {**one.observed.flat(), "expected": ""} == {**other.observed.flat(), "expected": ""} for one, other in both
    )
