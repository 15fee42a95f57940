"""What a policy asks for while a condition holds.

Every action raises an alert, which carries its severity and message. `alert` asks for no more; the
others are kept with the policy, for whoever carries them out.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Annotated, Literal, TypeAlias

import pydantic
from pydantic import Field

from detector import config
from detector.policy import messages, sections


class Severity(StrEnum):
    """How bad it is; Alertmanager's routes decide whom it reaches."""

    CRITICAL = "critical"
    HIGH = "high"
    WARNING = "warning"
    MEDIUM = "medium"
    LOW = "low"
    INFO = "info"


Message = Annotated[sections.Text, pydantic.AfterValidator(messages.checked)]


class Action(sections.Section):
    """What all actions have."""

    severity: Severity = Severity.WARNING
    message: Message | None = None
    runbook: sections.Text | None = None

    @property
    def acts_on(self) -> str | None:
        """What two actions must not change at once; None where there is no such thing."""
        return None


class Alert(Action):
    """Tell people."""

    type: Literal["alert"]


class ScaleDown(Action):
    """Take instances away from a group, never below `least`."""

    type: Literal["scale_down"]
    target: sections.Text
    by: Annotated[int, Field(ge=1, le=1_000)] = 1
    least: Annotated[int, Field(ge=0, le=100_000)] = 1

    @property
    def acts_on(self) -> str:
        return self.target


class ShutdownService(Action):
    """Stop a service."""

    type: Literal["shutdown_service"]
    service: sections.Text

    @property
    def acts_on(self) -> str:
        return self.service


class Webhook(Action):
    """Call a URL."""

    type: Literal["webhook"]
    url: Annotated[str, Field(pattern=r"^https?://[^\s/@]+(/\S*)?$", max_length=2_000)]


class RunCommand(Action):
    """Run a program: its name and its arguments, which no shell reads."""

    type: Literal["run_command"]
    command: Annotated[tuple[sections.Text, ...], Field(min_length=1, max_length=100)]


class Silence(Action):
    """Keep the alerts quiet that have these labels."""

    type: Literal["silence"]
    matchers: Annotated[dict[config.LabelName, str], Field(min_length=1, max_length=20)]
    duration: sections.Range


AnyAction: TypeAlias = Annotated[
    Alert | ScaleDown | ShutdownService | Webhook | RunCommand | Silence,
    Field(discriminator="type"),
]
TYPES: Mapping[str, type[Action]] = {
    "alert": Alert,
    "scale_down": ScaleDown,
    "shutdown_service": ShutdownService,
    "webhook": Webhook,
    "run_command": RunCommand,
    "silence": Silence,
}
