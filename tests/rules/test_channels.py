"""Every channel's message, as its service gets it from a real Alertmanager."""

from __future__ import annotations

import json
import pathlib
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
import requests

from detector import config
from detector.stack import addresses, debian, render
from detector.stack.receivers import base
from tests import conftest, faults, stack
from tests.detector.stack import receiving
from tests.fakes import services as fake_services

VERSIONS = {debian.Suite.HOST: base.Version(0, 25), debian.Suite.NEXT: base.Version(0, 33, 1)}
TEMPLATES = """\
{{ define "mda.short" }}{{ .Status }} {{ .CommonLabels.alertname }}{{ end }}
{{ define "mda.plain" }}{{ range .Alerts }}{{ .Annotations.summary }}{{ end }}{{ end }}
{{ define "mda.email.subject" }}{{ template "mda.short" . }}{{ end }}
{{ define "mda.email.text" }}{{ template "mda.plain" . }}{{ end }}
{{ define "mda.email.html" }}{{ template "mda.plain" . }}{{ end }}
{{ define "mda.slack.title" }}{{ template "mda.short" . }}{{ end }}
{{ define "mda.slack.title_link" }}{{ .CommonAnnotations.graph_url }}{{ end }}
{{ define "mda.slack.image_url" }}{{ .CommonAnnotations.chart_url }}{{ end }}
{{ define "mda.slack.color" }}good{{ end }}
{{ define "mda.slack.text" }}{{ template "mda.plain" . }}{{ end }}
{{ define "mda.slack.fallback" }}{{ template "mda.short" . }}{{ end }}
"""
"""In place of those that are shipped, which say more, and not the same in every release."""
SUMMARY = "a: '{{ .ExternalURL }}'\nb: ['{{ busy }}', <b>x</b>]"
"""Looks like YAML, like a template and like markup, and is to be none of them."""
PATHS = {
    "slack": "/slack",
    "pagerduty": "/v2/enqueue",
    "opsgenie": "/v2/alerts",
    "msteams": "/teams",
    "discord": "/discord",
    "telegram": "/bot1:canary/sendMessage",
    "webhook": "/hook?key=canary",
}


def environ_of(channel: str, url: str) -> dict[str, str]:
    """The settings of a channel whose service is at this URL."""
    given: dict[str, dict[str, str]] = {
        "slack": {"SLACK_WEBHOOK_URL": f"{url}/slack"},
        "pagerduty": {
            "PAGERDUTY_ROUTING_KEY": "canary",
            "MDA_PAGERDUTY__URL": f"{url}/v2/enqueue",
        },
        "opsgenie": {"OPSGENIE_API_KEY": "canary", "MDA_OPSGENIE__URL": f"{url}/"},
        "msteams": {"MSTEAMS_WEBHOOK_URL": f"{url}/teams"},
        "discord": {"DISCORD_WEBHOOK_URL": f"{url}/discord"},
        "telegram": {
            "TELEGRAM_BOT_TOKEN": "1:canary",
            "TELEGRAM_CHAT_ID": "-100123",
            "MDA_TELEGRAM__URL": url,
        },
        "webhook": {"WEBHOOK_URL": f"{url}/hook?key=canary", "WEBHOOK_BEARER_TOKEN": "canary"},
    }
    return given[channel]


def expected(channel: str, version: base.Version) -> dict[str, Any]:
    """The body, but for what `normalised` takes out of it."""
    number: Any = 1 if version >= base.Version(0, 30) else "1"
    nothing: Any = None if version >= base.Version(0, 30) else ""
    text = SUMMARY
    labels = {"alertname": "HostHighCpu", "instance": "a:9100", "severity": "high"}
    bodies: dict[str, dict[str, Any]] = {
        "slack": {
            "username": "Alertmanager",
            "attachments": [
                {
                    "title": "firing HostHighCpu",
                    "title_link": "http://graph.example.org",
                    "text": text,
                    "fallback": "*",
                    "callback_id": "",
                    "footer": "",
                    "color": "good",
                    "mrkdwn_in": ["fallback", "pretext", "text"],
                }
            ],
        },
        "pagerduty": {
            "routing_key": "canary",
            "dedup_key": "*",
            "event_action": "trigger",
            "payload": {
                "summary": "firing HostHighCpu",
                "source": "Alertmanager",
                "severity": "error",
                "custom_details": {
                    "message": f"\t{text}",
                    "firing": nothing,
                    "resolved": nothing,
                    "num_firing": number,
                    "num_resolved": 0 if number == 1 else "0",
                },
            },
            "client": "Alertmanager",
            "client_url": "*",
        },
        "opsgenie": {
            "alias": "*",
            "message": "firing HostHighCpu",
            "description": text,
            "details": labels | {"mda_test": "opsgenie"},
            "source": "*",
            "priority": "P2",
        },
        "msteams": {
            "type": "message",
            "attachments": [
                {
                    "contentType": "application/vnd.microsoft.card.adaptive",
                    "contentUrl": None,
                    "content": {
                        "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
                        "type": "AdaptiveCard",
                        "version": "1.2",
                        "body": [
                            {
                                "type": "TextBlock",
                                "text": "firing HostHighCpu",
                                "weight": "Bolder",
                                "size": "Medium",
                                "wrap": True,
                                "style": "heading",
                                "color": "Attention",
                            },
                            {"type": "TextBlock", "text": text, "wrap": True},
                        ],
                        "msteams": {"width": "full"},
                    },
                }
            ],
        },
        "discord": {
            "content": "",
            "embeds": [
                {"title": "firing HostHighCpu", "description": text, "color": 0x992D22},
            ],
        },
        "telegram": {
            "chat_id": "-100123",
            "disable_web_page_preview": "true",
            "text": f"firing HostHighCpu\n{text}",
        },
        "webhook": {
            "receiver": "webhook",
            "status": "firing",
            "alerts": [
                {
                    "status": "firing",
                    "labels": labels | {"mda_test": "webhook"},
                    "annotations": {"summary": text, "graph_url": "http://graph.example.org"},
                    "startsAt": "2026-11-30T12:00:00Z",
                    "endsAt": "0001-01-01T00:00:00Z",
                    "generatorURL": "",
                    "fingerprint": "*",
                }
            ],
            "notification_reason": "first notification",
            "groupLabels": labels | {"mda_test": "webhook"},
            "commonLabels": labels | {"mda_test": "webhook"},
            "commonAnnotations": {"summary": text, "graph_url": "http://graph.example.org"},
            "externalURL": "*",
            "version": "4",
            "groupKey": "*",
            "truncatedAlerts": 0,
        },
    }
    return bodies[channel]


CHANGING = frozenset(
    {"fallback", "dedup_key", "client_url", "alias", "source", "fingerprint", "externalURL"}
    | {"groupKey"}
)
"""Keys whose values name the server, or are hashes."""


def normalised(node: Any) -> Any:
    """With a star for what differs from run to run."""
    if isinstance(node, dict):
        return {
            key: "*" if key in CHANGING and value != "Alertmanager" else normalised(value)
            for key, value in node.items()
        }
    return [normalised(each) for each in node] if isinstance(node, list) else node


@pytest.fixture
def services() -> Iterator[faults.Receiver]:
    with fake_services.services() as found:
        yield found


@pytest.mark.parametrize("channel", PATHS)
def test_a_message_arrives_as_the_service_wants_it_and_no_label_is_executed(
    channel: str,
    services: faults.Receiver,
    stack_binaries: stack.Binaries,
    alertmanager: conftest.MakeAlertmanager,
    tmp_path: pathlib.Path,
) -> None:
    version = VERSIONS[stack_binaries.suite]
    if version < receiving.SINCE.get(channel, base.OLDEST):
        pytest.skip(f"{channel} takes a newer Alertmanager: run with STACK=next")
    detector = services.url.removeprefix("http://")
    here = addresses.Addresses("127.0.0.1:1", "127.0.0.1:2", "127.0.0.1:3", detector)
    rendered = render.render(
        config.load(None, environ_of(channel, services.url)), here, tmp_path, version=version
    )
    for file in (tmp_path / "rules" / "templates").iterdir():
        file.unlink()
    (tmp_path / "rules" / "templates" / "own.tmpl").write_text(TEMPLATES)
    server = alertmanager(rendered.alertmanager.read_text())
    labels = {"alertname": "HostHighCpu", "severity": "high", "instance": "a:9100"}
    alert = {
        "labels": labels | {"mda_test": channel},
        "annotations": {"summary": SUMMARY, "graph_url": "http://graph.example.org"},
        "startsAt": "2026-11-30T12:00:00Z",
    }
    requests.post(f"{server.url}/api/v2/alerts", json=[alert], timeout=5).raise_for_status()

    def told() -> list[faults.Received]:
        return [each for each in services.received if each.path == PATHS[channel]]

    stack.wait_until(told, 20, f"{channel} to be told")
    (received,) = told()
    assert normalised(json.loads(received.body)) == expected(channel, version)
    assert received.headers.get("authorization") == AUTHORIZATIONS.get(channel)
    logged = (server.folder / "alertmanager.log").read_text()
    assert "canary" not in logged


AUTHORIZATIONS: Mapping[str, str] = {"opsgenie": "GenieKey canary", "webhook": "Bearer canary"}
