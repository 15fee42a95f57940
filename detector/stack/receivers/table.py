"""All channels, in the order of their routes."""

from __future__ import annotations

from detector.stack.receivers import (
    base,
    discord,
    email,
    msteams,
    notify,
    opsgenie,
    pagerduty,
    slack,
    sms,
    telegram,
    webhook,
)

CHANNELS: tuple[base.Channel, ...] = (
    email.CHANNEL,
    slack.CHANNEL,
    pagerduty.CHANNEL,
    opsgenie.CHANNEL,
    msteams.WORKFLOW,
    msteams.CONNECTOR,
    discord.CHANNEL,
    telegram.CHANNEL,
    webhook.CHANNEL,
    sms.CHANNEL,
    notify.CHANNEL,
)
