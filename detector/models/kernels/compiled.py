"""How functions of this package are compiled, and when a cached compilation is stale."""

from __future__ import annotations

import hashlib
import pathlib
from collections.abc import Callable
from typing import Any

import numba

# Nothing in here allocates, so arrays need no reference counts: that is half the time of the short
# functions.
OPTIONS: dict[str, Any] = {"cache": True, "nogil": True, "error_model": "numpy", "_nrt": False}


def _stamp() -> bytes:
    """A digest of every file of this package."""
    digest = hashlib.sha256()
    for file in sorted(pathlib.Path(__file__).parent.glob("*.py")):
        digest.update(file.read_bytes())
    return digest.digest()


_STAMP = _stamp()


def compiled(function: Callable[..., Any]) -> Any:
    """The function as machine code, kept on disk until any file of this package changes.

    numba's disk cache looks at the file of the function alone and not at those of the functions
    that it calls, so it would go on using what they were.
    """
    return _restamped(numba.njit(**OPTIONS)(function))


def reducing(function: Callable[..., Any]) -> Any:
    """Like compiled, for sums and minima without NaN: their order may change, so that they run on
    several numbers at a time."""
    return _restamped(numba.njit(**OPTIONS, fastmath={"nnan", "nsz", "reassoc"})(function))


def _restamped(dispatcher: Any) -> Any:
    cache = getattr(dispatcher, "_cache", None)  # none where NUMBA_DISABLE_JIT is set
    if cache is not None:
        cache._cache_file._source_stamp = _STAMP
    return dispatcher
