"""Alertmanager's receivers, completed from our settings or left out for want of them."""

from __future__ import annotations

import dataclasses
import pathlib
import re
from collections.abc import Iterator, Sequence
from typing import Any

from detector import config, errors, whole
from detector.stack import tokens

Tree = dict[str, Any]
LOOPBACK_HOSTS = ("localhost", "127.0.0.1", "::1")


@dataclasses.dataclass(frozen=True, slots=True)
class Secrets:
    """A folder of files, each one secret, which Alertmanager reads when it sends."""

    folder: pathlib.Path
    mode: int

    def write(self, name: str, text: str) -> str:
        """The path of the secret's file."""
        whole.write(self.folder / name, text, self.mode)
        return str(self.folder / name)

    def token(self, name: str) -> str:
        """The path of a file with a random token, made once."""
        tokens.ensure(self.folder / name, self.mode)
        return str(self.folder / name)


def set_up(tree: Tree, settings: config.Settings, secrets: Secrets) -> list[str]:
    """Complete the tree of an alertmanager.yml in place.

    Returns what was left out and why, a line each. Raises ConfigError if a mail has no sender,
    or the tree no route or receivers.
    """
    if not isinstance(tree.get("route"), dict) or not isinstance(tree.get("receivers"), list):
        raise errors.ConfigError("alertmanager.yml: a route and a list of receivers are expected")
    notes = []
    _set_webhook_token(tree, settings, secrets)
    missing = _missing_for_email(settings.email)
    if missing:
        notes += _leave_out(tree, "email_configs", missing)
    else:
        _set_email(tree, settings.email, secrets)
    if settings.slack.webhook_url is None:
        notes += _leave_out(tree, "slack_configs", ["SLACK_WEBHOOK_URL"])
    else:
        _set_slack(tree, settings.slack, settings.slack.webhook_url.get_secret_value(), secrets)
    if not settings.sms.recipients:
        notes += _leave_out_sms(tree)
    else:
        _set_severities(tree, settings.sms.severities)
    return notes


def _set_webhook_token(tree: Tree, settings: config.Settings, secrets: Secrets) -> None:
    if settings.webhook_token_file is None:
        path = secrets.token("webhook_token")
    else:
        path = str(settings.webhook_token_file.absolute())
    for integration in _integrations(tree, "webhook_configs"):
        authorization = integration.get("http_config", {}).get("authorization", {})
        if "credentials_file" in authorization:
            authorization["credentials_file"] = path


def _missing_for_email(email: config.EmailSettings) -> list[str]:
    given = {"EMAIL_SMTP_SERVER": email.smtp_server, "EMAIL_TO": email.recipients}
    return [name for name, value in given.items() if not value]


def _set_email(tree: Tree, email: config.EmailSettings, secrets: Secrets) -> None:
    sender = email.sender or email.username
    if not sender:
        raise errors.ConfigError("EMAIL_FROM: not set: mail needs a sender (or EMAIL_USERNAME)")
    global_ = tree.setdefault("global", {})
    global_["smtp_smarthost"] = f"{email.smtp_server}:{email.smtp_port}"
    global_["smtp_from"] = sender
    for key in ("smtp_auth_username", "smtp_auth_password_file"):
        global_.pop(key, None)
    if email.username and email.password is not None:
        global_["smtp_auth_username"] = email.username
        global_["smtp_auth_password_file"] = secrets.write(
            "email_password", email.password.get_secret_value()
        )
    # A relay on this very host has no certificate as a rule, and nothing leaves the host.
    global_["smtp_require_tls"] = email.smtp_server not in LOOPBACK_HOSTS
    for integration in _integrations(tree, "email_configs"):
        integration["to"] = email.recipients


def _set_slack(tree: Tree, slack: config.SlackSettings, url: str, secrets: Secrets) -> None:
    tree.setdefault("global", {})["slack_api_url_file"] = secrets.write("slack_webhook_url", url)
    for integration in _integrations(tree, "slack_configs"):
        if slack.channel:
            integration["channel"] = slack.channel


# What of `global` belongs to which integration; the prefix of the key tells.
_GLOBAL_PREFIX = {"email_configs": "smtp_", "slack_configs": "slack_"}


SMS_PATH = "/api/webhooks/sms"


def _set_severities(tree: Tree, severities: Sequence[str]) -> None:
    """Let the routes to the outbox take these."""
    names = {
        receiver["name"]
        for receiver in tree["receivers"]
        for each in receiver.get("webhook_configs", [])
        if str(each.get("url", "")).endswith(SMS_PATH)
    }
    for route in tree["route"].get("routes", []):
        if route.get("receiver") in names:
            route["matchers"] = [
                f'severity =~ "{"|".join(severities)}"'
                if _is_about(matcher, "severity")
                else matcher
                for matcher in route.get("matchers", [])
            ]


def _is_about(matcher: str, label: str) -> bool:
    return re.match(rf"{label}\s*[=!]", matcher) is not None


def _leave_out_sms(tree: Tree) -> list[str]:
    """Drop the webhooks to the outbox likewise."""
    changed = []
    for receiver in tree["receivers"]:
        webhooks = receiver.get("webhook_configs", [])
        kept = [each for each in webhooks if not str(each.get("url", "")).endswith(SMS_PATH)]
        if len(kept) < len(webhooks):
            changed.append(receiver)
            receiver["webhook_configs"] = kept
            if not kept:
                del receiver["webhook_configs"]
    return _drop_empty(tree, changed, ["SMS_TO"])


def _leave_out(tree: Tree, kind: str, missing: list[str]) -> list[str]:
    """Drop the integrations of this kind, receivers that have no other, and their routes."""
    for key in [key for key in tree.get("global", {}) if key.startswith(_GLOBAL_PREFIX[kind])]:
        del tree["global"][key]
    changed = [each for each in tree["receivers"] if kind in each]
    for receiver in changed:
        del receiver[kind]
    return _drop_empty(tree, changed, missing)


def _drop_empty(tree: Tree, changed: list[Tree], missing: list[str]) -> list[str]:
    """Drop those of the changed receivers that have nothing left, and their routes."""
    dropped = []
    for receiver in changed:
        if not any(key.endswith("_configs") for key in receiver):
            tree["receivers"].remove(receiver)
            dropped.append(receiver["name"])
    if tree["route"].get("receiver") in dropped:
        raise errors.ConfigError(
            f"alertmanager.yml: route.receiver: {tree['route']['receiver']!r}: "
            f"it needs {' and '.join(missing)}"
        )
    _drop_routes(tree["route"], dropped)
    return [f"receiver {name!r} left out: {' and '.join(missing)} not set" for name in dropped]


def _drop_routes(route: Tree, dropped: list[str]) -> None:
    kept = [each for each in route.get("routes", []) if each.get("receiver") not in dropped]
    if "routes" in route:
        route["routes"] = kept
    for each in kept:
        _drop_routes(each, dropped)


def _integrations(tree: Tree, kind: str) -> Iterator[Tree]:
    for receiver in tree["receivers"]:
        yield from receiver.get(kind, [])
