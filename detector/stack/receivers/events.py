"""Alertmanager's event recorder, which tells the detector whom it has told of what."""

from __future__ import annotations

from detector import config
from detector.stack.receivers import base

PATH = "/api/webhooks/events"
FEATURE = "event-recorder"
"""What Alertmanager is started with for it: --enable-feature."""
KEY = "event_recorder"
SINCE, UNTIL = base.Version(0, 33), base.Version(0, 35)
"""Of releases from UNTIL on each output wants a name (prometheus/alertmanager#5393), which those
before refuse; none of them has been tried."""


def add(tree: base.Tree, settings: config.Settings, place: base.Place) -> list[str]:
    """Have events delivered to the detector, where Alertmanager can; notes, a line each."""
    if place.version < SINCE or not settings.alertmanager.events:
        return []
    if place.version >= UNTIL:
        note = (
            f"event recorder left out: it is written for Alertmanager before {UNTIL}, and this is "
            f"{place.version}: whom its receivers have told is not known per alert"
        )
        return [note]
    output = base.webhook_of_ours(place, PATH)
    del output["send_resolved"]
    recorder = tree.setdefault(KEY, {})
    recorder["webhook_outputs"] = [*(recorder.get("webhook_outputs") or []), output]
    return []
