"""ports.HeartbeatSender in memory."""

from __future__ import annotations

from detector import errors


class FakeHeartbeatSender:
    """Remembers what it was told, unless it is to fail."""

    def __init__(self) -> None:
        self.failure: errors.UpstreamError | None = None
        self.told: list[str] = []

    def beat(self, text: str) -> None:
        if self.failure is not None:
            raise self.failure
        self.told.append(text)
