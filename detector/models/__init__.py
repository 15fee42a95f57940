"""Anomaly models: pure functions and state of arrays; no input, no output, no clock."""

from __future__ import annotations


def warm_up() -> None:
    """Compile every kernel, or load it from numba's cache, so that no cycle waits for that.

    Imports numba only when called: the package itself stays light.
    """
    from detector.models import warming

    warming.compile_kernels()
