"""ports.AlertEnder in memory."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime

from detector import errors, frames


class FakeAlertEnder:
    """Remembers what it was told to end."""

    def __init__(self) -> None:
        self.failure: errors.UpstreamError | None = None
        self.ended: list[tuple[frames.Labels, datetime]] = []

    def end(self, ended: Collection[frames.Labels], *, at: datetime) -> int:
        if self.failure is not None:
            raise self.failure
        self.ended += [(labels, at) for labels in ended]
        return len(ended)
