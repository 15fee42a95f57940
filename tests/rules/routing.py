"""What amtool says of routes."""

from __future__ import annotations

import pathlib
import subprocess

from tests import stack


def amtool(binaries: stack.Binaries, *arguments: str) -> str:
    """What it prints; an error is one of the test."""
    ran = subprocess.run(
        [binaries.find("amtool"), *arguments],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return ran.stdout


def receivers(binaries: stack.Binaries, file: pathlib.Path, *labels: str) -> list[str]:
    """Who is told of an alert with these labels, by the configuration in the file."""
    said = amtool(binaries, "config", "routes", "test", f"--config.file={file}", *labels)
    return said.splitlines()[-1].split(",")  # 0.33 warns of a space, in a line before
