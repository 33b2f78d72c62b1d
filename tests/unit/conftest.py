"""What holds for the unit tests."""

import signal
from collections.abc import Iterator

import pytest

from egress_conformance import plugin


@pytest.fixture(scope="module", autouse=True)
def _leave_this_run_as_it_is() -> Iterator[None]:
    """Collecting is a run of pytest of its own, which must not be taken for this one."""
    report, handler = plugin._current_report, signal.getsignal(signal.SIGTERM)
    yield
    plugin._current_report = report
    signal.signal(signal.SIGTERM, handler)
