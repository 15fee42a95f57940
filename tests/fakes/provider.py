"""ports.SmsProvider that answers as planned and remembers what it was given."""

from __future__ import annotations

from collections.abc import Mapping

from detector import messages


class FakeProvider:
    """Takes all unless planned otherwise; `finds` is what it says when it is asked."""

    def __init__(self, name: str = "vonage", *outcomes: messages.Outcome) -> None:
        self.name = name
        self.planned = list(outcomes)
        self.given: list[messages.Outgoing] = []
        self.asked: list[messages.Outgoing] = []
        self.finds: messages.Receipt | messages.Lookup = messages.Lookup.NEVER_TELLS

    def send(self, message: messages.Outgoing) -> messages.Outcome:
        self.given.append(message)
        if self.planned:
            return self.planned.pop(0)
        return messages.Accepted(f"{self.name}-{len(self.given)}")

    def find(self, message: messages.Outgoing) -> messages.Receipt | messages.Lookup:
        self.asked.append(message)
        return self.finds

    def receipt(self, form: Mapping[str, str]) -> messages.Receipt | None:
        state = form.get("status")
        return None if state is None else messages.Receipt(messages.State(state))
