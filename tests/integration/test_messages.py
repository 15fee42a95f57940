"""Messages as they arrive: from a real Alertmanager by our templates, read at the servers.

To rewrite the golden files after a change that is meant, and then read what changed:
GOLDEN=write python -m pytest -n0 tests/integration/test_messages.py
"""

from __future__ import annotations

import html.parser
import json
import os
import pathlib
import re
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import requests

from tests import stack
from tests.conftest import MakeAlertmanager
from tests.fakes.mail import PASSWORD, USERNAME, Mailbox, Taken
from tests.fakes.slack import PATH, RATE_LIMITED, FakeSlack, said

TEMPLATES = pathlib.Path(__file__).parents[2] / "rules" / "templates" / "messages.tmpl"
GOLDEN = pathlib.Path(__file__).parent / "messages"
CONFIG = """\
global:
  smtp_smarthost: "127.0.0.1:{smtp_port}"
  smtp_from: "monitor@example.org"
  smtp_auth_username: "{username}"
  smtp_auth_password: "{password}"
  smtp_require_tls: true
  smtp_hello: detector.example.org
templates: ["{templates}"]
route:
  receiver: people
  group_by: [alertname]
  group_wait: {group_wait}
  group_interval: {group_interval}
  repeat_interval: 4h
receivers:
  - name: people
    email_configs:
      - to: "oncall@example.org"
        send_resolved: true
        headers: {Subject: '{{ template "mda.email.subject" . }}'}
        html: '{{ template "mda.email.html" . }}'
        text: '{{ template "mda.email.text" . }}'
        tls_config: {ca_file: "{ca_file}"}
    slack_configs:
      - send_resolved: true
        api_url: "{slack_url}"
        color: '{{ template "mda.slack.color" . }}'
        title: '{{ template "mda.slack.title" . }}'
        title_link: '{{ template "mda.slack.title_link" . }}'
        image_url: '{{ template "mda.slack.image_url" . }}'
        text: '{{ template "mda.slack.text" . }}'
        fallback: '{{ template "mda.slack.fallback" . }}'
"""
CHANGING = (
    (r"(?m)^Date: .*$", "Date: DATE"),
    (r"(?m)^Message-Id: .*$", "Message-Id: MESSAGE-ID"),
    (r"\b[0-9a-f]{60}\b", "BOUNDARY"),
)
"""All that may differ from one run to the next; addresses and signatures are given."""
PREFIX = "--web.route-prefix=/"
EXTERNAL = "--web.external-url=http://alertmanager.example.org"
STARTS_AT = "2026-05-04T14:25:01.123Z"
ENDS_AT = "2026-05-04T15:37:20Z"
SIGNED = "a1b2c3d4e5f60718/1777904701123/1778544000/AAAAAAAAAAAAAAAAAAAAAA"
PUBLIC = "https://mda.example.org"
ADDED = {
    "value": "97.3 %",
    "expected": "at most 80 %",
    "graph_url": "http://prometheus.example.org:9090/graph?g0.expr=cpu%7Binstance%3D%22web-1%22%7D&g0.tab=0",
    "chart_url": f"{PUBLIC}/api/charts/{SIGNED}.png",
    "ack_url": f"{PUBLIC}/alerts/ack/{SIGNED}",
    "silence_url": f"{PUBLIC}/alerts/silence/{SIGNED}",
}
OF_ANOMALY = {
    **ADDED,
    "value": "1,234.50 EUR",
    "expected": "820.00 EUR",
    "lower": "700.00 EUR",
    "upper": "940.00 EUR",
    "kind": "level shift",
    "score": "7.2",
    "money": "414.50 EUR more than expected",
    "cause": "service=s3 & <ec2> (83 % of the deviation)",
}
RULE = {
    "summary": "CPU usage is above threshold",
    "description": "Alert when CPU usage exceeds 80%",
    "runbook": "https://wiki.example.org/cpu?a=1&b=2",
}
GENERATOR = "http://prometheus.example.org:9090/graph?g0.expr=cpu+%3E+80&g0.tab=1"
HOSTILE = (
    "<script>alert(1)</script><img src=x onerror=alert(2)> \"quoted\" 'single' & <!channel> <@U1> "
    "<https://evil.example.org|click> @channel https://evil.example.org/x *bold* `code` "
    '{{ .ExternalURL }} {{ template "mda.short" . }} ${HOME} \\u003cb\\u003e '
    "\r\nBcc: a@evil.example.org\r\n\r\n.\r\n\u202eturned\u2066 \u2028 \x00\x1b[31m%s%n"
)


class Servers:
    """What messages go through, and where they arrive."""

    def __init__(self, url: str, mailbox: Mailbox, slack: FakeSlack) -> None:
        self.url, self.mailbox, self.slack = url, mailbox, slack

    def post(self, *alerts: dict[str, Any], ended: bool = False) -> None:
        ends_at = ENDS_AT if ended else (datetime.now(UTC) + timedelta(hours=1)).isoformat()
        body = [
            {"startsAt": STARTS_AT, "generatorURL": GENERATOR, "endsAt": ends_at, **each}
            for each in alerts
        ]
        requests.post(f"{self.url}/api/v2/alerts", json=body, timeout=10).raise_for_status()

    def post_together(self, first: dict[str, Any], *others: dict[str, Any]) -> None:
        """One message tells of all: alerts that began long ago do not wait for each other, so it is
        the second one, and the first tells of `first`."""
        self.post(first)
        self.mail()
        self.told()
        self.post(*others)

    def mail(self, count: int = 1) -> Taken:
        """The newest mail, when so many have come."""
        stack.wait_until(lambda: len(self.mailbox.taken) >= count, 20, f"{count} mails")
        return self.mailbox.taken[count - 1]

    def told(self, count: int = 1) -> dict[str, Any]:
        """The newest message to Slack, likewise."""
        stack.wait_until(lambda: len(self.slack.messages) >= count, 20, f"{count} messages")
        return self.slack.messages[count - 1]


Make = Callable[..., Servers]


def config(
    mailbox: Mailbox, slack: FakeSlack, *, group_wait: str = "1s", group_interval: str = "1s"
) -> str:
    """Alertmanager's, for these servers."""
    text = CONFIG
    for name, value in {
        "smtp_port": str(mailbox.port),
        "username": USERNAME,
        "password": PASSWORD,
        "templates": str(TEMPLATES),
        "ca_file": str(mailbox.ca_file),
        "slack_url": slack.url,
        "group_wait": group_wait,
        "group_interval": group_interval,
    }.items():
        text = text.replace(f"{{{name}}}", value)
    return text


@pytest.fixture
def servers(alertmanager: MakeAlertmanager, tmp_path: pathlib.Path) -> Iterator[Make]:
    with Mailbox(tmp_path) as mailbox, FakeSlack() as slack:

        def make(group_interval: str = "1s") -> Servers:
            text = config(mailbox, slack, group_interval=group_interval)
            return Servers(alertmanager(text, [EXTERNAL, PREFIX]).url, mailbox, slack)

        yield make


def alert(instance: str = "web-1:9100", **more: Any) -> dict[str, Any]:
    labels = {
        "alertname": "High CPU Alert",
        "instance": instance,
        "job": "node",
        "policy": "High CPU Alert",
        "policy_rule": "1",
        "policy_revision": "3",
        "severity": "high",
        **more.pop("labels", {}),
    }
    return {"labels": labels, "annotations": {**RULE, **ADDED, **more.pop("annotations", {})}}


def anomaly() -> dict[str, Any]:
    labels = {
        "alertname": "AnomalySevere",
        "query": "costs",
        "region": "eu-central-1",
        "currency": "EUR",
        "severity": "critical",
    }
    rule = {
        "summary": "costs of eu-central-1 is far from anything seen before",
        "description": "The anomaly score of costs has been above 3 for two minutes.",
        "runbook": "docs/operations.md#anomalysevere",
    }
    return {"labels": labels, "annotations": {**rule, **OF_ANOMALY}}


def plain() -> dict[str, Any]:
    """As it is where the detector is down."""
    return {
        "labels": {"alertname": "DiskGone", "device": "sdb"},
        "annotations": {"summary": "sdb is gone"},
    }


CASES: dict[str, Callable[[], list[dict[str, Any]]]] = {
    "threshold": lambda: [alert()],
    "anomaly": lambda: [anomaly()],
    "plain": lambda: [plain()],
}


def normalised(text: str) -> str:
    for pattern, put in CHANGING:
        text = re.sub(pattern, put, text)
    return text.replace("\r\n", "\n")


def whole(taken: Taken) -> str:
    """Envelope and headers, which come in any order, then each part decoded."""
    message = taken.message
    head = sorted(taken.content.split(b"\r\n\r\n", 1)[0].decode().split("\r\n"))
    parts = [f"--- {kind}\n{taken.part(kind)}" for kind in ("text/plain", "text/html")]
    envelope = f"from {taken.sender} to {', '.join(taken.recipients)}"
    assert [each.get_content_type() for each in message.iter_parts()] == ["text/plain", "text/html"]
    return normalised(
        "\n".join([envelope, "Subject, decoded: " + message["subject"], *head, *parts])
    )


def slack_text(message: dict[str, Any]) -> str:
    return normalised(json.dumps(message, indent=2, ensure_ascii=False, sort_keys=True) + "\n")


def compare(name: str, found: str) -> None:
    path = GOLDEN / name
    if os.environ.get("GOLDEN") == "write":
        path.write_text(found)
    assert found == path.read_text()


@pytest.mark.parametrize("name", CASES)
def test_messages_are_these(servers: Make, name: str) -> None:
    served = servers()
    served.post(*CASES[name]())
    compare(f"{name}.eml", whole(served.mail()))
    compare(f"{name}.slack.json", slack_text(served.told()))
    served.post(*CASES[name](), ended=True)
    compare(f"{name}.resolved.eml", whole(served.mail(2)))
    compare(f"{name}.resolved.slack.json", slack_text(served.told(2)))


def test_messages_of_a_group_are_these(servers: Make) -> None:
    served = servers("3s")
    several = [alert(f"web-{number}:9100") for number in (1, 2, 3)]
    served.post_together(*several)
    compare("group.eml", whole(served.mail(2)))
    compare("group.slack.json", slack_text(served.told(2)))
    served.post(*several, ended=True)
    compare("group.resolved.eml", whole(served.mail(3)))
    compare("group.resolved.slack.json", slack_text(served.told(3)))


def test_of_a_large_group_some_are_shown_and_all_are_counted(servers: Make) -> None:
    served = servers("3s")
    served.post_together(*[alert(f"web-{number:02}:9100") for number in range(1, 41)])
    mail, told = served.mail(2), served.told(2)["attachments"][0]
    assert mail.message["subject"] == (
        "[HIGH] High CPU Alert: 40 hosts: web-01:9100, web-02:9100, web-03:9100, web-04:9100, "
        "web-05:9100 and 35 more"
    )
    assert "30 more are not listed here." in mail.part("text/plain")
    assert "30 more are not listed here." in mail.part("text/html")
    assert mail.part("text/plain").count("\nAcknowledge: ") == 10
    assert told["text"].startswith("40 hosts: `web-01:9100`, ")
    assert told["text"].endswith("35 more are not listed here.")
    assert told["text"].count("|Acknowledge>") == 5


def test_a_group_of_which_not_all_say_where_is_counted(servers: Make) -> None:
    served = servers("3s")
    nowhere = {"labels": {"alertname": "High CPU Alert", "zone": "eu"}, "annotations": RULE}
    served.post_together(alert("web-1:9100"), alert("web-2:9100"), nowhere)
    assert served.mail(2).message["subject"] == "[FIRING] High CPU Alert: 3 alerts"
    assert served.told(2)["attachments"][0]["text"].startswith("3 alerts\n")


def test_a_group_of_one_place_names_it_once(servers: Make) -> None:
    served = servers("3s")
    disks = [alert("db-1:9100", labels={"device": each}) for each in ("sda", "sdb")]
    served.post_together(*disks)
    assert served.mail(2).message["subject"] == "[HIGH] High CPU Alert: 2 alerts on db-1:9100"
    assert served.told(2)["attachments"][0]["text"].startswith("2 alerts on `db-1:9100`\n")


def test_some_of_many_labels_are_shown_and_an_end_on_another_day_is_dated(servers: Make) -> None:
    served = servers()
    many = alert(labels={f"label_{number:02}": "x" for number in range(40)})
    served.post(many)
    shown = re.findall(r"label_\d\d=x(?: and more\b)?", served.mail().part("text/plain"))
    assert (shown[0], shown[-1], len(shown)) == ("label_00=x", "label_18=x and more", 19)
    served.post({**many, "endsAt": "2026-05-06T03:00:07Z"}, ended=True)
    when = "Mon 4 May 14:25 to Wed 6 May 03:00 UTC, 36 h 35 min 6 s"
    assert when in served.mail(2).part("text/plain")


def hostile() -> dict[str, Any]:
    names = ("instance", "alertname", "severity", "team")
    text = dict.fromkeys((*RULE, *OF_ANOMALY), HOSTILE)
    text["graph_url"] = "http://prometheus.example.org/x|y><!channel>"
    return {"labels": dict.fromkeys(names, HOSTILE), "annotations": text}


USUAL = set("html head meta title style body table tr td div span a b".split())  # noqa: SIM905
"""Tags that the template writes without a picture."""


class Tags(html.parser.HTMLParser):
    """What a browser makes of a page."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.names: set[str] = set()
        self.attributes: list[tuple[str, str | None]] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.names.add(tag)
        self.attributes += attrs


def test_markup_line_breaks_and_template_syntax_are_inert(servers: Make) -> None:
    served = servers()
    served.post(hostile())
    mail, told = served.mail(), json.dumps(served.told(), ensure_ascii=False)
    page, text = mail.part("text/html"), mail.part("text/plain")
    assert mail.recipients == ("oncall@example.org",)
    assert mail.message.get_all("bcc") is None
    assert len(mail.message["subject"].splitlines()) == 1
    found = Tags(page)
    assert found.names <= USUAL
    assert not any(name.startswith("on") for name, _ in found.attributes)
    assert {value for name, value in found.attributes if name in ("href", "src")} == {
        "http://alertmanager.example.org",
        "http://prometheus.example.org/x%7cy%3e%3c!channel%3e",
    }
    assert "<!channel>" not in told
    assert "<https://evil" not in told
    assert "<@U1>" not in told
    assert re.findall(r"<[^>|]*\|([^>]*)>", told) == ["Graph"]
    assert "https://evil" not in re.sub(r"`[^`]*`", "", told)
    assert "{{ .ExternalURL }}" in text
    for shown in (text, page, told):
        assert not re.search("[\x00\x1b\u202e\u2066\u2028]", shown)


def test_a_label_of_any_length_makes_a_message_of_some_length(servers: Make) -> None:
    served = servers()
    long = "Ω" * 100_000
    served.post(alert(long, labels={"x": long}, annotations=dict.fromkeys((*RULE, *ADDED), long)))
    mail, told = served.mail(), served.told()
    assert len(mail.content) < 60_000
    assert len(json.dumps(told, ensure_ascii=False)) < 12_000
    assert len(mail.message["subject"]) < 250


def test_slack_that_asks_for_patience_gets_the_message_once(servers: Make) -> None:
    served = servers()
    served.slack.planned += [RATE_LIMITED, said(500, "internal_error")]
    served.post(alert())
    assert served.told()["attachments"][0]["title"] == "[HIGH] High CPU Alert"
    time.sleep(2)
    assert len(served.slack.messages) == 1
    assert PATH not in json.dumps(served.slack.messages)
