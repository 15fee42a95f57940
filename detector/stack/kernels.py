"""The detector's machine code, made before anything is measured: half a minute of load, which would
be among the first minutes from which the detector learns what is usual on this very host."""

from __future__ import annotations

import contextlib
import hashlib
import os
import pathlib
import platform
import sys
from collections.abc import Callable, Iterator, Mapping
from importlib import metadata

import detector
from detector.stack import children

PACKAGE = pathlib.Path(detector.__file__).parent
SOURCES = ("models/kernels/*.py", "prometheus/encode.py", "prometheus/*_kernels.py")
TIMEOUT_S = 300.0


@contextlib.contextmanager
def compiled(
    home: pathlib.Path,
    environ: Mapping[str, str],
    say: Callable[[str], None],
    *,
    package: pathlib.Path = PACKAGE,
) -> Iterator[None]:
    """Compile behind what is done meanwhile, and wait for it at the end; nothing where it has been
    done. A compilation that fails holds nothing up: the detector makes up for it."""
    done = _mark(home, environ.get("NUMBA_CACHE_DIR"), package)
    if done.exists():
        yield
        return
    argv = [sys.executable, "-m", "detector", "warm-up"]
    log = home / "logs" / "warm-up.log"
    child = children.Child(children.Program("warm-up", argv, log, env=environ))
    say("compiling the detector's kernels, once (half a minute)")
    child.start()
    try:
        yield
        child.wait(TIMEOUT_S)
    finally:
        ended = child.poll()
        child.kill9()
    if ended == 0:
        done.touch()
    else:
        say(f"the kernels were not compiled: {log} says why; the detector will do it")


def _mark(home: pathlib.Path, cache_dir: str | None, package: pathlib.Path) -> pathlib.Path:
    """The empty file that says that these kernels are compiled; where numba keeps them, if it can
    be written there: a cache that is thrown away takes its mark along."""
    cache = pathlib.Path(cache_dir) if cache_dir else package / "__pycache__"
    is_there = cache.is_dir() and os.access(cache, os.W_OK)
    return (cache if is_there else home) / f"kernels-{_digest(package)}"


def _digest(package: pathlib.Path) -> str:
    """Of all that the machine code is made from and by."""
    digest = hashlib.sha256()
    for pattern in SOURCES:
        for file in sorted(package.glob(pattern)):
            digest.update(file.read_bytes())
    made_by = (metadata.version("numba"), sys.version, platform.machine(), sys.prefix)
    digest.update(repr(made_by).encode())
    return digest.hexdigest()[:16]
