"""Files that are replaced as a whole: readers see the text of before or the new one."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from detector import errors

PLAIN = 0o644
"""What is no secret: servers that run as other users read it."""


def write(path: Path, content: str | bytes, mode: int = PLAIN) -> None:
    """Replace a file; nobody sees half of it, nor with a wider mode, and it is on disk when this
    returns. Raises OSError; then the file is as it was."""
    data = content.encode() if isinstance(content, str) else content
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f".{path.name}.unfinished")
    with contextlib.suppress(FileNotFoundError):
        unfinished.unlink()
    handle = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    try:
        with os.fdopen(handle, "wb") as file:
            os.fchmod(file.fileno(), mode)
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        unfinished.replace(path)
    except OSError:
        with contextlib.suppress(OSError):
            unfinished.unlink()
        raise
    settle(path.parent)


def write_asked_for(path: Path, content: str | bytes, *, flag: str = "") -> None:
    """The same of a file that somebody named, by a flag. Raises ConfigError."""
    try:
        write(path, content)
    except OSError as error:
        named = f"{flag}: {path}" if flag else str(path)
        raise errors.ConfigError(
            f"{named}: {error.strerror}: name a file that can be written"
        ) from None


def remove(path: Path) -> None:
    """Remove a file, which need not be there. Raises OSError."""
    path.unlink(missing_ok=True)
    settle(path.parent)


def settle(folder: Path) -> None:
    """Wait until the folder's own entries are on disk, where the system can be asked that."""
    if os.name != "posix":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
