"""Slack's incoming webhooks on loopback: https://api.slack.com/messaging/webhooks."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Self

from tests import faults

PATH = "/services/T00000000/B00000000/canary-slack-secret"
SHOWN_MOST = 4_000
"""Characters of a text of an attachment; Slack cuts what is longer."""


class FakeSlack:
    """Takes messages at `url`; `planned` is answered first, as Slack does when it fails."""

    def __init__(self) -> None:
        self.planned: list[faults.Planned] = []
        self.messages: list[dict[str, Any]] = []
        self._receiver = faults.Receiver(self._answer)
        self.url = self._receiver.url + PATH

    def __enter__(self) -> Self:
        self._receiver.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        self._receiver.__exit__()

    def _answer(self, received: faults.Received) -> faults.Planned:
        if self.planned:
            return self.planned.pop(0)
        if received.path != PATH:
            return said(404, "no_service")
        try:
            message = json.loads(received.body)
        except ValueError:
            return said(400, "invalid_payload")
        if not _has_text(message):
            return said(400, "no_text")
        if len(message.get("attachments", [])) > 100:
            return said(400, "too_many_attachments")
        self.messages.append(message)
        return said(200, "ok")


def said(status: int, word: str, headers: Mapping[str, str] | None = None) -> faults.Planned:
    """Slack answers with one word of plain text."""
    return faults.Planned(status, {"Content-Type": "text/plain", **(headers or {})}, word.encode())


RATE_LIMITED = said(429, "rate_limited", {"Retry-After": "1"})


def _has_text(message: object) -> bool:
    if not isinstance(message, dict):
        return False
    attachments = message.get("attachments", [])
    return bool(message.get("text")) or any(
        each.get("text") or each.get("fallback") for each in attachments
    )
