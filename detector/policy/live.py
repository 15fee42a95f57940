"""What Prometheus says of the rules of policies that it evaluates."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from detector import frames


class Health(StrEnum):
    """How a rule's last evaluation went; unknown before the first one."""

    OK = "ok"
    UNKNOWN = "unknown"
    ERR = "err"


class State(StrEnum):
    """Of an alert that a rule holds."""

    PENDING = "pending"
    FIRING = "firing"


@dataclass(frozen=True, slots=True)
class ActiveAlert:
    """One series that a rule's condition holds for."""

    labels: frames.Labels
    state: State
    since: datetime
    value: float


@dataclass(frozen=True, slots=True)
class LiveRule:
    """One rule, of the policy and revision that its labels name.

    number        of the policy's rule, from 1
    last_error    empty where the last evaluation went well
    evaluated_at  None before the first evaluation
    """

    policy: str
    revision: int
    number: int
    health: Health
    last_error: str
    evaluated_at: datetime | None
    alerts: tuple[ActiveAlert, ...]

    @property
    def key(self) -> tuple[str, int, int]:
        """Policy, revision and number, which tell it from all others."""
        return self.policy, self.revision, self.number
