"""The mode of the mesh among the workers of one machine: many hold it in one mode, or one alone that flips it."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import ReadWriteLock

from egress_conformance.case import Mode
from egress_conformance.errors import PlatformTrouble
from egress_conformance.mesh.config import MeshConfig

_TRIES = 100
"""Workers that want another mode may come first, each once; somebody who puts the mode back comes every time."""


class ModeLease:
    """The mesh's mode, shared between workers: many readers of one mode, one writer.

    Args:
        config: the mesh config.
        path: file of the lock, common to all workers of the run.
    """

    def __init__(self, config: MeshConfig, path: Path) -> None:
        self._config = config
        self._lock = ReadWriteLock(str(path))

    @contextmanager
    def hold(self, mode: Mode, *, alone: bool) -> Iterator[None]:
        """Hold the mesh in a mode, with others or alone; the mode is set if it is another.

        Raises:
            PlatformTrouble: the mode does not stay: somebody puts the mesh config back.
        """
        if alone:
            with self._lock.write_lock():
                self._set(mode)
                yield
            return
        for _ in range(_TRIES):
            with self._lock.read_lock():
                if self._config.mode() == mode:
                    yield
                    return
            with self._lock.write_lock():
                self._set(mode)
        raise PlatformTrouble("mesh config changed by others", f"mode {mode} was set {_TRIES} times and did not stay")

    def _set(self, mode: Mode) -> None:
        if self._config.mode() != mode:
            self._config.set_mode(mode)
