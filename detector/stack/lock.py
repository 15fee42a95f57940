"""One `mda up` for one folder."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pathlib
from collections.abc import Iterator

from detector import errors


@contextlib.contextmanager
def held(home: pathlib.Path) -> Iterator[None]:
    """Hold the folder; the kernel lets go when we die, however we die.

    Raises StackError that names the process which holds it already.
    """
    with (home / "lock").open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            pid = file.read().strip() or "(unknown)"
            raise errors.StackError(
                f"{home} is in use by process {pid}: stop that one, or set MDA_HOME to another"
            ) from None
        file.truncate(0)
        file.write(f"{os.getpid()}\n")
        file.flush()
        yield
