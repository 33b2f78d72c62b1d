"""Where the project keeps what it builds and starts: one directory, and artefacts that are whole or absent."""

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout
from platformdirs import user_cache_dir

CACHE_VARIABLE = "EGRESS_CONFORMANCE_CACHE"


def cache_dir() -> Path:
    """The project's own directory under the user's cache directory, or what EGRESS_CONFORMANCE_CACHE names."""
    override = os.environ.get(CACHE_VARIABLE)
    return Path(override).absolute() if override else Path(user_cache_dir("istio-egress-conformance"))


def key_of(inputs: Mapping[str, str]) -> str:
    """Name a set of inputs by its content: 16 hexadecimal digits that change when any input does."""
    return hashlib.sha256(json.dumps(sorted(inputs.items())).encode()).hexdigest()[:16]


def tree_digest(directory: Path, leave_out: Iterable[str] = ()) -> str:
    """Digest the names, contents and executable bits of all files under a directory.

    Args:
        directory: where to look.
        leave_out: glob patterns of file names that make no difference.
    """
    digest = hashlib.sha256()
    for path in sorted(directory.rglob("*")):
        if path.is_file() and not any(path.match(pattern) for pattern in leave_out):
            executable = os.access(path, os.X_OK)
            content = hashlib.sha256(path.read_bytes()).hexdigest()
            digest.update(f"{path.relative_to(directory)} {executable} {content}\n".encode())
    return digest.hexdigest()


class Store:
    """Artefacts on disk, each a directory named by its key that appears only when it is whole."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def path(self, name: str, key: str) -> Path:
        """Where an artefact is, or would be."""
        return self.root / f"{name}-{key}"

    def make(
        self,
        name: str,
        key: str,
        build: Callable[[Path], None],
        *,
        is_done: Callable[[Path], bool] = Path.is_dir,
        waiting: Callable[[], None] = lambda: None,
    ) -> Path:
        """Give the artefact, after building it if nobody has.

        A build by another process is waited for. A build that fails or is killed leaves nothing behind
        that looks like an artefact; what it left of its work the next build of that name removes.

        Args:
            name: what it is.
            key: `key_of` all it depends on.
            build: fills the empty directory it is given.
            is_done: tells whether the artefact at a path is usable.
            waiting: called once if another process is building it.
        """
        final = self.path(name, key)
        self.root.mkdir(parents=True, exist_ok=True)
        with held(self.root / f".{name}-{key}.lock", waiting):
            if is_done(final):
                return final
            for leftover in self.root.glob(f".{name}-{key}.part-*"):
                shutil.rmtree(leftover, ignore_errors=True)
            part = Path(tempfile.mkdtemp(prefix=f".{name}-{key}.part-", dir=self.root))
            try:
                build(part)
                part.chmod(0o755)
                if final.exists():
                    shutil.rmtree(final)
                part.rename(final)
            finally:
                shutil.rmtree(part, ignore_errors=True)
        return final


def upgrade_lock(cluster: str) -> FileLock:
    """What an upgrade holds as long as it is under way on a kind cluster; its folder may have to be made."""
    return FileLock(cache_dir() / "clusters" / f"{cluster}.lock")


@contextmanager
def held(path: Path, waiting: Callable[[], None] = lambda: None) -> Iterator[None]:
    """Hold a lock between processes, and say so once if another has it first."""
    lock = FileLock(path)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        waiting()
        lock.acquire()
    try:
        yield
    finally:
        lock.release()
