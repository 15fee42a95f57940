"""The text of a message about alerts where there is room: what an SMS says, and the rest below."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import tzinfo

from detector import alerts, wording

MOST_ALERTS = 10
"""That are told one by one."""
LONGEST = 1_900
"""Characters; Discord, the narrowest of the usual chats, takes 2,000."""
LONGEST_LINE = 300
LINKS = ("graph_url", "runbook", "ack_url", "silence_url")


def text(told: Sequence[alerts.Notification], zone: tzinfo) -> str:
    """A line that tells of all, then some of each: its summary and what the annotations know.

    Raises ValueError without any.
    """
    lines = [_short(wording.sms(told, zone)), *_details(told)]
    whole = "\n".join(lines).rstrip()
    return whole if len(whole) <= LONGEST else f"{whole[: LONGEST - 3].rstrip()}..."


def _details(told: Sequence[alerts.Notification]) -> Iterator[str]:
    for each in told[:MOST_ALERTS]:
        found = dict(each.annotations)
        if len(told) > 1:
            parts = (wording.place_of(dict(each.labels)), found.get("summary", ""))
            yield _short("- " + ": ".join(part for part in parts if part))
        if found.get("description"):
            yield _short(found["description"])
        if found.get("value") and each.state is alerts.State.FIRING:
            expected = f", expected {found['expected']}" if found.get("expected") else ""
            yield _short(f"value {found['value']}{expected}")
        if found.get("cause"):
            yield _short(f"likely cause: {found['cause']}")
        if each.state is alerts.State.FIRING:
            yield from (_short(found[link]) for link in LINKS if found.get(link))
    if len(told) > MOST_ALERTS:
        yield f"and {len(told) - MOST_ALERTS} more"


def _short(line: str) -> str:
    """One line, not overlong."""
    whole = " ".join(line.split())
    return whole if len(whole) <= LONGEST_LINE else f"{whole[: LONGEST_LINE - 3]}..."
