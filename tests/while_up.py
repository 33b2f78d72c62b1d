"""Something that is done to the platform of a run, from when it is up until it is put back."""

from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack

from egress_conformance.platform import Platform, PlatformInfo


def while_up(what: Callable[[Platform, PlatformInfo], AbstractContextManager[object]]) -> None:
    """Have it done as soon as the platform of this process is up, and undone before anything is put back.

    Args:
        what: entered with the platform; it has the cluster to itself by then.
    """
    stack = ExitStack()
    up, finish = Platform.up, Platform.finish

    def up_and_done(self: Platform) -> PlatformInfo:
        info = up(self)
        stack.enter_context(what(self, info))
        return info

    def undone_and_finished(self: Platform) -> None:
        try:
            stack.close()
        finally:
            finish(self)

    Platform.up, Platform.finish = up_and_done, undone_and_finished  # type: ignore[method-assign]
