"""Slack by an incoming webhook."""

from __future__ import annotations

from detector import config
from detector.stack.receivers import base

NAME = "slack"
LOOKS: base.Tree = {"send_resolved": True} | {
    key: f'{{{{ template "mda.slack.{key}" . }}}}'
    for key in ("color", "title", "title_link", "image_url", "text", "fallback")
}


def _reaches(settings: config.Settings) -> list[base.Reach]:
    slack = settings.slack
    if slack.webhook_url is None:
        return []
    found = base.of_teams(NAME, settings, slack.severities, lambda _, team: team.slack_channel)
    return [*found, base.Reach(NAME, slack.severities, target=slack.channel or "")]


def _missing(settings: config.Settings) -> list[str]:
    return ["SLACK_WEBHOOK_URL"] if settings.slack.webhook_url is None else []


def _complete(
    integration: base.Tree,
    global_: base.Tree,
    reach: base.Reach,
    settings: config.Settings,
    place: base.Place,
) -> None:
    url = settings.slack.webhook_url
    if url is not None:
        global_["slack_api_url_file"] = place.secrets.write(
            "slack_webhook_url", url.get_secret_value()
        )
    if not integration:
        integration.update(LOOKS)
    if reach.target:
        integration["channel"] = reach.target


CHANNEL = base.Channel(
    NAME,
    "slack_configs",
    _reaches,
    _missing,
    _complete,
    prefix="slack_",
    secrets=("slack_webhook_url",),
)
