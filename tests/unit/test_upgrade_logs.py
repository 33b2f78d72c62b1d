"""Logs that are followed: lines in chunks, connections that end, pods that come and go."""

import threading
from collections.abc import Callable, Iterator

import urllib3

from egress_conformance.cluster.kube import Doc
from egress_conformance.upgrade import logs as logs_module
from egress_conformance.upgrade.logs import Logs, OpenLog, Source, whole_lines
from egress_conformance.waiting import wait_for
from tests.unit.fakes import FakeKube


def pod(name: str = "load-1", uid: str = "u1", state: str = "running") -> Doc:
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": "n", "uid": uid, "labels": {"app": "load"}},
        "status": {
            "initContainerStatuses": [{"name": "istio-proxy", "state": {state: {}}}],
            "containerStatuses": [{"name": "http", "state": {"waiting": {}}}],
        },
    }


def test_lines_are_whole_however_they_come() -> None:
    assert list(whole_lines(iter([b"a\nb", b"c", b"\n\nlast"]))) == ["a", "bc", "", "last"]
    assert list(whole_lines(iter([b"\xff\n"]))) == ["\N{REPLACEMENT CHARACTER}"]
    assert list(whole_lines(iter([]))) == []


class Opened:
    """Gives one list of lines each time a log is opened; an exception in it is raised there."""

    def __init__(self, *contents: list[str | Exception], then: Callable[[], None] = lambda: None) -> None:
        self.contents = list(contents)
        self.since: list[int | None] = []
        self.then = then

    def __call__(self, _: Source, since: int | None) -> Iterator[str]:
        self.since.append(since)
        if not self.contents:
            self.then()
            return
        for each in self.contents.pop(0):
            if isinstance(each, Exception):
                raise each
            yield each


def followed(kube: FakeKube, opened: OpenLog, keep: Callable[[str, str], bool] = lambda _c, _t: True) -> Logs:
    logs = Logs(kube, opened)
    logs.watch("n", "app=load", keep)
    logs.find()
    return logs


def end(logs: Logs) -> None:
    logs.close(5)
    threads = list(logs._followed.values())
    for thread in threads:
        thread.join(5)
    assert not any(thread.is_alive() for thread in threads)


def test_a_log_that_ends_is_opened_again_and_no_line_counts_twice() -> None:
    kube = FakeKube().add(pod())
    gone = threading.Event()

    def go() -> None:
        kube.objects.clear()
        gone.set()

    opened = Opened(["1", "2"], [urllib3.exceptions.ReadTimeoutError(None, "", "")], ["2", "3"], then=go)  # type: ignore[arg-type]
    logs = followed(kube, opened)
    assert gone.wait(10)
    end(logs)
    assert [line.text for line in logs.lines()] == ["1", "2", "3"]
    assert [line.text for line in logs.lines(after=2)] == ["3"]
    # The first time all of it is read, then from the last line on.
    assert opened.since[0] is None
    assert all(since is not None and since >= 2 for since in opened.since[1:])


def test_only_containers_that_were_started_are_followed_and_each_once() -> None:
    kube = FakeKube().add(pod())
    logs = followed(kube, Opened(["1"]))
    logs.find()
    assert [source.container for source in logs._followed] == ["istio-proxy"]
    kube.add(pod(uid="u2", state="terminated"))
    logs.find()
    assert [source.uid for source in logs._followed] == ["u1", "u2"]
    kube.objects.clear()
    end(logs)


def test_lines_nobody_asked_for_are_not_kept() -> None:
    kube = FakeKube().add(pod())
    logs = followed(kube, Opened(["yes 1", "no", "yes 2"]), lambda _, text: text.startswith("yes"))
    wait_for("the lines", lambda: True if len(logs.lines()) == 2 else None, seconds=5, hint="", every=0.01)
    kube.objects.clear()
    end(logs)
    assert {line.source.container for line in logs.lines()} == {"istio-proxy"}


def test_pods_are_looked_for_until_it_is_closed() -> None:
    kube = FakeKube()
    logs = Logs(kube, Opened(["1"]))
    logs.watch("n", "app=load", lambda _c, _t: True)
    logs.start()
    kube.add(pod())
    wait_for("the line", lambda: True if logs.lines() else None, seconds=5, hint="", every=0.01)
    kube.objects.clear()
    end(logs)
    assert logs_module.LOOK_SECONDS < 1
