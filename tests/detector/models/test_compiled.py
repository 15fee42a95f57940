"""Cached machine code is stale as soon as any kernel's file has changed."""

from __future__ import annotations

import os
import pathlib
import shutil
import subprocess
import sys

import detector

PACKAGE = pathlib.Path(detector.__file__).parent
CALLER = """

@compiled.kernel
def twice(points):
    return 2 * numbers.rate(0.5, points)
"""


def _said(folder: pathlib.Path) -> str:
    look = "from detector.models.kernels import tail; print(tail.twice(4))"
    return subprocess.run(
        [sys.executable, "-c", look],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(folder), "NUMBA_CACHE_DIR": str(folder / "cache")},
        check=True,
        capture_output=True,
        text=True,
    ).stdout.strip()


def test_a_change_in_a_called_file_is_noticed(tmp_path: pathlib.Path) -> None:
    """numba alone would go on with the old code: it looks at the calling file only."""
    kernels = tmp_path / "detector" / "models" / "kernels"
    shutil.copytree(PACKAGE, tmp_path / "detector", ignore=shutil.ignore_patterns("__pycache__"))
    tail = kernels / "tail.py"
    tail.write_text(
        tail.read_text().replace("import compiled, layout", "import compiled, layout, numbers")
        + CALLER
    )
    before = _said(tmp_path)
    numbers = kernels / "numbers.py"
    numbers.write_text(numbers.read_text().replace("1.0 / points", "3.0 / points"))

    after = _said(tmp_path)

    assert (before, after) == ("1.0", "1.5")
