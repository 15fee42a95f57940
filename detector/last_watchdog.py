"""When the alert Watchdog came last, in a file: who wants to know need not ask the detector, which
may hang or be down."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

from detector import whole

ALERT = "Watchdog"
"""Name of the alert that always fires, to show that alerts arrive. It is none to remember or to
tell people of."""
NAME = "last_watchdog"
"""Of the file in MDA_HOME."""


def write(home: Path, at: datetime) -> None:
    """Keep this instant in the folder. Raises OSError."""
    whole.write(home / NAME, f"{at.isoformat(timespec='milliseconds')}\n")


def read(home: Path) -> datetime | None:
    """The instant that is kept; None where there is none that can be read."""
    try:
        found = datetime.fromisoformat((home / NAME).read_text(encoding="ascii").strip())
    except (OSError, ValueError):
        return None
    return found if found.tzinfo is not None else None
