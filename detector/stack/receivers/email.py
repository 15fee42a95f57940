"""Mail by SMTP."""

from __future__ import annotations

from detector import config, errors
from detector.stack.receivers import base

LOOPBACK_HOSTS = ("localhost", "127.0.0.1", "::1")
NAME = "email"
LOOKS: base.Tree = {
    "send_resolved": True,
    "headers": {"Subject": '{{ template "mda.email.subject" . }}'},
    "html": '{{ template "mda.email.html" . }}',
    "text": '{{ template "mda.email.text" . }}',
}


def _reaches(settings: config.Settings) -> list[base.Reach]:
    email = settings.email
    if not email.smtp_server:
        return []
    found = base.of_teams(NAME, settings, email.severities, lambda _, team: team.email)
    if email.recipients:
        found.append(base.Reach(NAME, email.severities, target=email.recipients))
    return found


def _missing(settings: config.Settings) -> list[str]:
    given = {
        "EMAIL_SMTP_SERVER": settings.email.smtp_server,
        "EMAIL_TO": settings.email.recipients,
    }
    return [name for name, value in given.items() if not value]


def sender_of(settings: config.Settings) -> str:
    """Whom mail is from. Raises ConfigError if nobody is named."""
    sender = settings.email.sender or settings.email.username
    if not sender:
        raise errors.ConfigError("EMAIL_FROM: not set: mail needs a sender (or EMAIL_USERNAME)")
    return sender


def why_left_out(settings: config.Settings) -> str:
    """What is missing where mail is set up in part; empty where nothing is, or all of it."""
    missing = _missing(settings)
    is_begun = settings.email.smtp_server or settings.email.recipients
    return base.left_out(NAME, missing) if is_begun and missing else ""


def _complete(
    integration: base.Tree,
    global_: base.Tree,
    reach: base.Reach,
    settings: config.Settings,
    place: base.Place,
) -> None:
    email, sender = settings.email, sender_of(settings)
    host = email.smtp_server or ""
    global_["smtp_smarthost"] = f"{f'[{host}]' if ':' in host else host}:{email.smtp_port}"
    global_["smtp_from"] = sender
    for key in ("smtp_auth_username", "smtp_auth_password_file"):
        global_.pop(key, None)
    if email.username and email.password is not None:
        global_["smtp_auth_username"] = email.username
        global_["smtp_auth_password_file"] = place.secrets.write(
            "email_password", email.password.get_secret_value()
        )
    # A relay on this very host has no certificate as a rule, and nothing leaves the host.
    global_["smtp_require_tls"] = host not in LOOPBACK_HOSTS
    if not integration:
        integration.update(LOOKS)
    integration["to"] = reach.target


CHANNEL = base.Channel(
    NAME,
    "email_configs",
    _reaches,
    _missing,
    _complete,
    prefix="smtp_",
    secrets=("email_password",),
)
