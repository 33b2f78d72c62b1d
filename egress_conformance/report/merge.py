"""One ledger of several: those of the shards of a run, or of runs of different cases on the same Istio."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime, timedelta

from egress_conformance.errors import UserError
from egress_conformance.report.ledger import DataPlane, Environment, Ledger, Verdict
from egress_conformance.report.tally import summarise
from egress_conformance.report.words import started_at

_SHOWN = 5


def merge(ledgers: Sequence[Ledger], names: Sequence[str]) -> Ledger:
    """Make one ledger of several.

    Args:
        ledgers: at least one.
        names: what the user calls each of them.

    Raises:
        UserError: they are not of one suite, Istio and data plane, or a case is in two of them, or a shard is missing.
    """
    for what, of in _THE_SAME.items():
        _require_same(what, [of(ledger) for ledger in ledgers], names)
    _require_each_case_once(ledgers, names)
    _require_all_shards(ledgers)
    cases = sorted((case for ledger in ledgers for case in ledger.cases), key=lambda case: case.id)
    first = ledgers[0]
    began, seconds = _span(ledgers)
    environments = [ledger.environment for ledger in ledgers]
    return Ledger(
        started=began,
        suite_version=first.suite_version,
        suite_commit=first.suite_commit if len({ledger.suite_commit for ledger in ledgers}) == 1 else "",
        suite_content=first.suite_content,
        environment=Environment(
            istio=first.environment.istio,
            revision=first.environment.revision,
            data_plane=_data_plane(environments),
            kubernetes=_joined(each.kubernetes for each in environments),
            provider=_joined(each.provider for each in environments),
            images=_images(environments),
            mesh_config=_joined(each.mesh_config for each in environments),
            emulations=sorted({name for each in environments for name in each.emulations}),
            escaped_packets=_escaped(environments),
        ),
        summary=summarise(cases, seconds),
        cases=cases,
    )


def _withheld(ledger: Ledger) -> str:
    tried = [case for case in ledger.cases if case.verdict in {Verdict.PASSED, Verdict.FAILED}]
    return "" if not tried else "withheld" if any(case.proof for case in tried) else "in place"


_THE_SAME: dict[str, Callable[[Ledger], str]] = {
    "suite": lambda ledger: ledger.suite_version,
    "cases (suite_content)": lambda ledger: ledger.suite_content,
    "Istio": lambda ledger: ledger.environment.istio,
    "revision": lambda ledger: ledger.environment.revision,
    # Where no client came up there is none to disagree.
    "data plane": lambda ledger: "" if _is_unknown(ledger.environment) else _plane(ledger.environment),
    "subjects": _withheld,
}
"""What must be the same in all of them; nothing said ("") goes with anything."""


def _is_unknown(environment: Environment) -> bool:
    return environment.data_plane.kind == "unknown"


def _plane(environment: Environment) -> str:
    return f"{environment.data_plane.kind} {environment.data_plane.version}"


def _require_same(what: str, values: Sequence[str], names: Sequence[str]) -> None:
    said = [(value, name) for value, name in zip(values, names, strict=True) if value]
    for value, name in said:
        if value != said[0][0]:
            raise UserError(
                f"these ledgers are not of one run: {what} {said[0][0]} in {said[0][1]}, {value} in {name}",
                "merge only those of one suite on one Istio; egress-conformance diff compares others",
            )


def _require_each_case_once(ledgers: Sequence[Ledger], names: Sequence[str]) -> None:
    found: dict[str, list[str]] = defaultdict(list)
    for ledger, name in zip(ledgers, names, strict=True):
        for case in ledger.cases:
            found[case.id].append(name)
    if twice := sorted(key for key, where in found.items() if len(where) > 1):
        more = f" and {len(twice) - _SHOWN} more" if len(twice) > _SHOWN else ""
        raise UserError(
            f"{', '.join(twice[:_SHOWN])}{more}: in {' and '.join(dict.fromkeys(found[twice[0]]))}",
            "a case that ran twice has two verdicts, and a merged ledger one: name the ledger of each case once",
        )


def _require_all_shards(ledgers: Sequence[Ledger]) -> None:
    shards = [ledger.shard for ledger in ledgers if ledger.shard]
    wanted = {f"{index}/{count}" for count in {shard.partition("/")[2] for shard in shards} for index in _upto(count)}
    if missing := sorted(wanted - set(shards)):
        raise UserError(f"the ledger of shard {', '.join(missing)} is missing", "name those of all shards of one run")


def _upto(count: str) -> range:
    return range(1, int(count) + 1)


def _span(ledgers: Sequence[Ledger]) -> tuple[str, float]:
    """When the first began, and how long it took until the last ended."""
    never = datetime.min.replace(tzinfo=UTC)
    times = [(started_at(ledger.started) or never, ledger) for ledger in ledgers]
    first, ledger = min(times, key=lambda pair: pair[0])
    last = max(begun + timedelta(seconds=each.summary.seconds) for begun, each in times)
    return ledger.started, round((last - first).total_seconds(), 1)


def _data_plane(environments: Sequence[Environment]) -> DataPlane:
    return next((each.data_plane for each in environments if not _is_unknown(each)), environments[0].data_plane)


def _joined(values: Iterable[str]) -> str:
    return ", ".join(dict.fromkeys(values))


def _images(environments: Sequence[Environment]) -> dict[str, str]:
    names = dict.fromkeys(name for each in environments for name in each.images)
    return {name: _joined(each.images[name] for each in environments if name in each.images) for name in names}


def _escaped(environments: Sequence[Environment]) -> int | None:
    """All that tried to leave; None where one did not count, and the others saw none."""
    counts = [each.escaped_packets for each in environments]
    total = sum(count or 0 for count in counts)
    return None if not total and None in counts else total
