"""Print the requirements of pyproject.toml, one a line: all of them, or those named.

An image installs them before the code is copied, so that a change of code reuses the layer.
"""

from __future__ import annotations

import re
import sys
import tomllib
from pathlib import Path


def requirements(pyproject: str, names: list[str]) -> list[str]:
    """The dependencies, or the named ones of them. Raises SystemExit if one is not there."""
    found = tomllib.loads(pyproject)["project"]["dependencies"]
    by_name = {re.split(r"[^A-Za-z0-9._-]", each, maxsplit=1)[0]: each for each in found}
    unknown = [name for name in names if name not in by_name]
    if unknown:
        raise SystemExit(f"{', '.join(unknown)}: not among pyproject.toml's dependencies")
    return [by_name[name] for name in names or by_name]


if __name__ == "__main__":
    sys.stdout.write(
        "\n".join(requirements(Path("pyproject.toml").read_text(), sys.argv[1:])) + "\n"
    )
