"""How functions of this package are compiled, and when a cached compilation is stale."""

from __future__ import annotations

import hashlib
import pathlib
from collections.abc import Callable
from typing import Any

import numba
from numba import extending

# Nothing in here allocates, so arrays need no reference counts: that is half the time of the short
# functions. Nothing is called from C.
OPTIONS: dict[str, Any] = {"error_model": "numpy", "_nrt": False, "no_cfunc_wrapper": True}


def _stamp() -> bytes:
    """A digest of every file of this package."""
    digest = hashlib.sha256()
    for file in sorted(pathlib.Path(__file__).parent.glob("*.py")):
        digest.update(file.read_bytes())
    return digest.digest()


STAMP = _stamp()
"""Names the arithmetic of this package."""


def kernel(function: Callable[..., Any]) -> Any:
    """What Python calls, as machine code, kept on disk until any file of this package changes.

    numba's disk cache looks at the file of the function alone and not at those of the functions
    that it calls, so it would go on using what they were.
    """
    dispatcher = numba.njit(cache=True, nogil=True, **OPTIONS)(function)
    cache = getattr(dispatcher, "_cache", None)  # none where NUMBA_DISABLE_JIT is set
    if cache is not None:
        cache._cache_file._source_stamp = STAMP
    return dispatcher


def part(function: Callable[..., Any]) -> Any:
    """What kernels call: compiled into them, and plain Python to Python.

    A part has no door to Python and no file in the cache of its own, which are a third of the time
    that it takes to compile them all.
    """
    return extending.register_jitable(no_cpython_wrapper=True, **OPTIONS)(function)


def reducing_part(function: Callable[..., Any]) -> Any:
    """A part with sums and minima without NaN: their order may change, so that they run on several
    numbers at a time."""
    options = {**OPTIONS, "fastmath": {"nnan", "nsz", "reassoc"}}
    return extending.register_jitable(no_cpython_wrapper=True, **options)(function)
