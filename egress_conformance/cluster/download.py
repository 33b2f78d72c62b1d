"""Downloads that are whole and verified, or not there at all. Proxies are those of the environment."""

import hashlib
import re
import time
from pathlib import Path

import requests
import tenacity

from egress_conformance.errors import UserError

ATTEMPTS = 3
PAUSE = tenacity.wait_exponential(multiplier=0.5, max=5)
TIMEOUT_SECONDS = (5.0, 30.0)
"""To connect, and between two bytes of an answer."""

DEADLINE_SECONDS = 900.0
"""For one attempt at one file: some 100 MB over a slow line."""

_CHUNK = 1 << 18


class _TryAgain(Exception):  # noqa: N818  (says what to do)
    """Something that may go better next time."""


class NotThere(UserError):  # noqa: N818  (says what is the matter)
    """The server says that there is no such file."""


def download(url: str, to: Path, *, checksum_url: str) -> None:
    """Download a file and verify the SHA-256 that its makers publish beside it.

    Args:
        url: the file.
        to: where to put it; there is nothing there unless all went well.
        checksum_url: a text file that starts with the SHA-256 in hexadecimal.

    Raises:
        NotThere: there is no such file.
        UserError: it cannot be downloaded, or is not what its makers published.
    """
    retrying = tenacity.Retrying(
        retry=tenacity.retry_if_exception_type(_TryAgain),
        stop=tenacity.stop_after_attempt(ATTEMPTS),
        wait=PAUSE,
        reraise=True,
    )
    try:
        retrying(_download_once, url, to, checksum_url)
    except _TryAgain as failure:
        raise UserError(
            f"{url} cannot be downloaded ({failure})", "check the network and its proxy, or use --images build"
        ) from None


def _download_once(url: str, to: Path, checksum_url: str) -> None:
    part = to.with_name(f"{to.name}.part")
    try:
        published = _read(checksum_url, part).decode(errors="replace")
        wanted = re.match(r"[0-9a-fA-F]{64}\b", published)
        if wanted is None:
            raise _TryAgain(f"there is no SHA-256 in {checksum_url}")
        found = _save(url, part)
        if found != wanted[0].lower():
            raise _TryAgain(f"its SHA-256 is {found}, the published one is {wanted[0].lower()}")
        part.rename(to)
    finally:
        part.unlink(missing_ok=True)


def _read(url: str, part: Path) -> bytes:
    _save(url, part)
    return part.read_bytes()


def _save(url: str, to: Path) -> str:
    """Write what a URL gives to a file.

    Returns:
        Its SHA-256.
    """
    digest = hashlib.sha256()
    deadline = time.monotonic() + DEADLINE_SECONDS
    try:
        with requests.get(url, stream=True, timeout=TIMEOUT_SECONDS) as answer, to.open("wb") as file:
            if answer.status_code in (404, 410):
                raise NotThere(f"there is no {url}", "check the version that was asked for")
            answer.raise_for_status()
            for chunk in answer.iter_content(_CHUNK):
                if time.monotonic() > deadline:
                    raise _TryAgain(f"not complete after {DEADLINE_SECONDS:.0f} s")
                digest.update(chunk)
                file.write(chunk)
    except requests.RequestException as error:
        raise _TryAgain(str(error)) from None
    return digest.hexdigest()
