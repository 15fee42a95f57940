"""Which Alertmanager a configuration is written for: newer ones can do more."""

from __future__ import annotations

import json
import pathlib
import re
import subprocess

from detector import config
from detector.stack import probe
from detector.stack.receivers import base

TIMEOUT_S = 20


def of(
    settings: config.Settings, *, address: str | None, program: pathlib.Path | None
) -> base.Version:
    """What the running one at host:port says, else the program, else the settings; else the oldest.

    address, program  None where there is none to ask
    """
    running = None if address is None else _running(address)
    return (
        running
        or (None if program is None else _of_program(program))
        or parse(settings.alertmanager.version or "")
        or base.OLDEST
    )


def parse(text: str) -> base.Version | None:
    """The first version in a text; None without one.

    >>> parse("alertmanager, version 0.33.1 (branch: HEAD)"), parse("v0.28")
    (Version(major=0, minor=33, patch=1), Version(major=0, minor=28, patch=0))
    """
    found = re.search(r"(?<![\d.])v?(\d+)\.(\d+)(?:\.(\d+))?", text)
    return None if found is None else base.Version(*(int(each or 0) for each in found.groups()))


def _running(address: str) -> base.Version | None:
    try:
        status, body = probe.get(address, "/api/v2/status")
        return parse(json.loads(body)["versionInfo"]["version"]) if status == 200 else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _of_program(program: pathlib.Path) -> base.Version | None:
    try:
        ran = subprocess.run(  # noqa: S603 - argv, no shell
            [program, "--version"],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=TIMEOUT_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return parse(f"{ran.stdout}{ran.stderr}")
