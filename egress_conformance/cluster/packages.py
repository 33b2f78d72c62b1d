"""Installing the Debian packages that are missing, as root on Debian and Ubuntu only, and never unasked."""

import os
import shutil
from collections.abc import Sequence

from rich.console import Console

from egress_conformance.cluster.commands import CommandFailed, Runner, run
from egress_conformance.errors import UserError


def ensure_packages(
    packages: Sequence[str], *, why: str, console: Console, install: bool, runner: Runner = run
) -> None:
    """Install packages with apt, and say so.

    Args:
        packages: what to install.
        why: what they are needed for, in words.
        console: where it is said.
        install: whether packages may be installed at all.
        runner: runs programs.

    Raises:
        UserError: they may not or cannot be installed.
    """
    names = " ".join(packages)
    if not install:
        raise UserError(f"{why} is missing, and --no-install forbids installing it", f"install {names}")
    if shutil.which("apt-get") is None:
        raise UserError(f"{why} is missing, and this is not Debian or Ubuntu", f"install {names} yourself")
    if os.geteuid() != 0:
        raise UserError(f"{why} is missing, and only root may install it", f"install {names}, or run this as root")
    console.print(f"installing {names} with apt-get, for {why}", highlight=False)
    env = {"DEBIAN_FRONTEND": "noninteractive"}
    try:
        runner(("apt-get", "update", "--quiet"), env=env, seconds=600)
        runner(
            ("apt-get", "install", "--yes", "--quiet", "--no-install-recommends", *packages),
            env=env,
            seconds=1200,
        )
    except CommandFailed as failure:
        raise UserError(
            f"apt-get could not install {names}: {failure.output.strip().splitlines()[-1]}", f"install {names} yourself"
        ) from None
