"""An alertmanager.yml completed from our settings: it tells whom they name, and nobody else."""

from __future__ import annotations

import copy
from collections.abc import Iterator

from detector import config, errors
from detector.stack.receivers import base, events, routes, table


def set_up(tree: base.Tree, settings: config.Settings, place: base.Place) -> list[str]:
    """Complete the tree of an alertmanager.yml, of the shape that it is to have, in place.

    Returns what was left out and why, a line each. Raises ConfigError if a mail has no sender.
    """
    _set_webhook_token(tree, place.token_file)
    notes = []
    for channel in table.CHANNELS:
        notes += _set_channel(tree, channel, settings, place)
    notes += _notes_of_teams(settings)
    place.secrets.keep_written([name for channel in table.CHANNELS for name in channel.secrets])
    routes.set_hours(tree, settings.business_hours)
    routes.add_tests(tree)
    notes += events.add(tree, settings, place)
    return notes


def token_file(settings: config.Settings, secrets: base.Secrets) -> str:
    """The file with the token that the detector's webhooks ask for."""
    if settings.webhook_token_file is None:
        return secrets.token("webhook_token")
    return str(settings.webhook_token_file.absolute())


def _set_webhook_token(tree: base.Tree, path: str) -> None:
    for receiver in tree["receivers"]:
        for integration in receiver.get("webhook_configs", []):
            authorization = integration.get("http_config", {}).get("authorization", {})
            if "credentials_file" in authorization:
                authorization["credentials_file"] = path


def _set_channel(
    tree: base.Tree, channel: base.Channel, settings: config.Settings, place: base.Place
) -> list[str]:
    """Let a channel tell those whom the settings name, and nobody else."""
    reaches = channel.reaches(settings)
    notes = []
    if reaches and place.version < channel.since:
        notes = [_too_old(channel, place.version)]
        reaches = []
    global_ = tree.setdefault("global", {})
    before = {receiver["name"]: receiver for receiver in tree["receivers"]}
    owned = [each for each in tree["receivers"] if _own(channel, each)]
    patterns = [integration for receiver in owned for integration in _own(channel, receiver)]
    pattern = copy.deepcopy(patterns[0]) if patterns else {}
    general = next((each for each in reaches if not each.team), None)
    names = [receiver["name"] for receiver in owned] or [channel.name]
    route = routes.pattern_of(tree, names, channel)
    for reach in reaches:
        if reach == general and owned:
            for integration in patterns:
                channel.complete(integration, global_, reach, settings, place)
            continue
        if reach.name in before:
            raise errors.ConfigError(
                f"alertmanager.yml: receivers: {reach.name!r}: a name that settings give: another "
                "one is needed"
            )
        integration = copy.deepcopy(pattern)
        channel.complete(integration, global_, reach, settings, place)
        tree["receivers"].append({"name": reach.name, channel.kind: [integration]})
    if owned and general is None:
        missing = [] if notes else channel.missing(settings)
        notes += _leave_out(tree, channel, owned, missing)
    if not reaches:
        for key in [key for key in global_ if channel.prefix and key.startswith(channel.prefix)]:
            del global_[key]
    routes.place(tree, names, route, reaches, is_new=not owned)
    return notes


def _own(channel: base.Channel, receiver: base.Tree) -> list[base.Tree]:
    return [each for each in receiver.get(channel.kind, []) if channel.owns(each)]


def _too_old(channel: base.Channel, version: base.Version) -> str:
    return (
        f"receiver {channel.name!r} left out: it needs Alertmanager {channel.since}, which reads "
        f"its secret from a file, and this is {version}: use a newer one, or notify "
        "(docs/operations.md)"
    )


def _leave_out(
    tree: base.Tree, channel: base.Channel, owned: list[base.Tree], missing: list[str]
) -> list[str]:
    """Drop its integrations, receivers that have no other, and their routes."""
    dropped = []
    for receiver in owned:
        kept = [each for each in receiver[channel.kind] if not channel.owns(each)]
        receiver[channel.kind] = kept
        if not kept:
            del receiver[channel.kind]
        if not any(key.endswith("_configs") for key in receiver):
            tree["receivers"].remove(receiver)
            dropped.append(receiver["name"])
    if tree["route"].get("receiver") in dropped:
        why = " and ".join(missing)
        raise errors.ConfigError(
            f"alertmanager.yml: route.receiver: {tree['route']['receiver']!r}: it needs {why}"
        )
    routes.drop(tree["route"], dropped)
    return [base.left_out(name, missing) for name in dropped if missing]


def _notes_of_teams(settings: config.Settings) -> Iterator[str]:
    """What teams ask for and cannot have."""
    for name, team in settings.teams.items():
        if team.email and not settings.email.smtp_server:
            yield f"teams.{name}.email: nobody is told: EMAIL_SMTP_SERVER not set"
        if team.slack_channel and settings.slack.webhook_url is None:
            yield f"teams.{name}.slack_channel: nobody is told: SLACK_WEBHOOK_URL not set"
