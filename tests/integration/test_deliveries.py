"""Faults on the whole way of an alert, with counts: sent, received, doubled, lost."""

from __future__ import annotations

import itertools
import json
import pathlib
import re
import time
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import psutil
import pytest
import requests
import sqlalchemy as sa

from detector import segments
from tests import conftest, stack
from tests.integration import world
from tests.integration.world import alert

pytestmark = pytest.mark.usefixtures("compiled_kernels")

HUGE = "x" * 200_000
HOSTILE = {
    "markup": "<script>alert(1)</script><img src=x onerror=alert(2)> &amp; <!channel> <@U123>",
    "newlines": "first\nsecond\r\n.\r\nSubject: injected\u2028third\x0bfourth",
    "templates": "{{ 7 }} {{ .ExternalURL }} ${7*7} %s %n $(id) `id` {% if 1 %}",
    "quotes": "'; DROP TABLE episodes; -- \" \\ \u202e \u0000".replace("\u0000", ""),
    "huge": HUGE,
}

MAIL_HEADERS = {"Subject", "To", "From", "Message-Id", "Date", "Content-Type", "MIME-Version"}


@pytest.fixture
def outside() -> Iterator[world.Outside]:
    with world.Outside().open() as opened:
        yield opened


@pytest.fixture
def whole(
    outside: world.Outside,
    prometheus: conftest.MakePrometheus,
    alertmanager: conftest.MakeAlertmanager,
    own_postgres: stack.Postgres,
    tmp_path: pathlib.Path,
) -> Iterator[world.World]:
    more = {"MDA_SMS__DAILY_CAP": "1000"}
    made = world.World(outside, prometheus(), alertmanager, own_postgres.url, tmp_path, more=more)
    yield made
    made.close()


def test_hostile_labels_arrive_and_do_nothing(whole: world.World, tally: conftest.Tally) -> None:
    outside = whole.outside
    for kind, text in HOSTILE.items():
        whole.post(alert(f"Hostile{kind}", summary=f"begin {text}", instance=text))
    count = len(HOSTILE)
    stack.wait_until(lambda: len(outside.smtp.taken) >= count, 60, "the mails")
    stack.wait_until(lambda: len(outside.slack.received) >= count, 60, "Slack")
    stack.wait_until(lambda: len(whole.sms_texts()) >= count, 60, "the SMS")
    stack.wait_until(lambda: len(whole.api("/api/alerts")["alerts"]) >= count, 60, "the memory")
    remembered = {
        each["labels"]["alertname"]: each["labels"]["instance"]
        for each in whole.api("/api/alerts")["alerts"]
    }
    assert remembered == {f"Hostile{kind}": text for kind, text in HOSTILE.items()}
    for mail in outside.smtp.messages():
        assert set(mail.keys()) <= MAIL_HEADERS, mail.keys()
        assert mail["To"] == "oncall@example.org"
        for part in mail.iter_parts():
            if part.get_content_type() == "text/plain":
                continue
            assert "<script>" not in part.get_content()
            assert "onerror" not in re.findall(r"<[^>]*>", part.get_content())
    told = {json.loads(each.body)["attachments"][0]["title"] for each in outside.slack.received}
    assert told == {f"[HIGH] Hostile{kind}" for kind in HOSTILE}
    texts = whole.sms_texts()
    assert all(text.isprintable() and segments.parts_of(text) <= 3 for text in texts), texts
    assert any("{{ 7 }} {{ .ExternalURL }} ${7*7}" in text for text in texts)
    for where, arrived in (
        ("mail", len(outside.smtp.taken)),
        ("Slack", len(outside.slack.received)),
        ("SMS", len(texts)),
        ("memory", len(remembered)),
    ):
        tally(
            f"labels that are markup, templates, newlines, 200 kB: {where}",
            sent=count,
            received=arrived,
            doubled=max(arrived - count, 0),
            lost=max(count - arrived, 0),
        )


def test_any_order_of_deliveries_remembers_all_and_tells_nothing_twice(
    whole: world.World, tally: conftest.Tally
) -> None:
    """An alert that fires, is repeated, ends and fires anew, in each of 24 orders, to both webhooks
    of the running detector."""
    orders = list(itertools.permutations(("fires", "again", "ends", "anew")))
    for number, order in enumerate(orders):
        for event in order:
            for hook in ("alertmanager", "sms"):
                answer = whole.webhook(hook, delivery(f"host-{number:02}", event))
                assert answer.status_code == 200, answer.text

    episodes = whole.api("/api/alerts", limit="1000")["alerts"]
    states = Counter((each["labels"]["instance"], each["state"]) for each in episodes)
    wanted = {(f"host-{number:02}", state) for number in range(24) for state in EPISODE_STATES}
    tally(
        "every order of fires, again, ends, anew: memory",
        sent=len(wanted),
        received=len(states),
        doubled=sum(states.values()) - len(states),
        lost=len(wanted - set(states)),
    )

    stack.wait_until(lambda: settled(whole), 90, "all SMS to be settled")
    texts = Counter(whole.sms_texts())
    heads = Counter(kind_of(text) for text in texts)
    anew = {f"host-{number:02}" for number in range(24)}
    told_anew = {text.split(", ")[1] for text in texts if "second time" in text}
    ends_alone = [
        text
        for text in texts
        if text.startswith("RESOLVED")
        and not any("first time" in each and place_of(text) in each for each in texts)
    ]
    assert ends_alone == [], "an end is told to those who were told of the beginning"
    tally(
        f"the same: SMS ({heads['FIRING']} beginnings, {heads['RESOLVED']} ends)",
        sent=len(anew),
        received=len(told_anew),
        doubled=sum(texts.values()) - len(texts),
        lost=len(anew - told_anew),
    )


EPISODE_STATES = ("resolved", "firing")
"""Of the first episode and of the second."""


def delivery(instance: str, event: str) -> dict[str, Any]:
    """A message of Alertmanager's about one host."""
    starts_at = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    is_second = event == "anew"
    if is_second:
        starts_at += timedelta(seconds=2)
    told = {
        "status": "resolved" if event == "ends" else "firing",
        "labels": {"alertname": "HostHighCpu", "severity": "high", "instance": instance},
        "annotations": {"summary": f"{'second' if is_second else 'first'} time"},
        "startsAt": starts_at.isoformat(),
        "endsAt": (starts_at + timedelta(seconds=1)).isoformat(),
        "fingerprint": instance,
    }
    return {"version": "4", "receiver": "test", "alerts": [told], "truncatedAlerts": 0}


def kind_of(text: str) -> str:
    return text.split()[0]


def place_of(text: str) -> str:
    return next(part for part in text.split(", ") if part.startswith("host-"))


def settled(whole: world.World) -> bool:
    """Whether no SMS waits or is under way."""
    return whole.count("SELECT count(*) FROM messages WHERE state IN ('queued', 'sending')") == 0


def test_a_detector_killed_at_each_point_of_an_sms_sends_it_once(
    whole: world.World, tally: conftest.Tally
) -> None:
    detector, vonage = whole.detector, whole.outside.vonage

    with whole.engine.connect() as connection:  # received, not committed
        connection.execute(sa.text("LOCK TABLE messages IN ACCESS EXCLUSIVE MODE"))
        whole.post(alert(instance="before-commit"))
        stack.wait_until(lambda: waiting(whole, "told") > 0, 30, "a transaction that waits")
        detector.kill9()
    detector.start()
    wait_taken(whole, "before-commit")

    with whole.engine.connect() as connection:  # committed, not claimed
        connection.execute(sa.text(HOLD_CLAIMS))
        connection.commit()
        connection.execute(sa.text("SELECT pg_advisory_lock(42)"))
        whole.post(alert(instance="before-claim"))
        stack.wait_until(lambda: waiting(whole, "UPDATE messages") > 0, 30, "a claim that waits")
        detector.kill9()
        connection.execute(sa.text("SELECT pg_advisory_unlock(42)"))
        connection.execute(sa.text("DROP TRIGGER hold_claims ON messages"))
        connection.commit()
    detector.start()
    wait_taken(whole, "before-claim")

    vonage.plan_silence(takes=False)  # claimed, not sent
    whole.post(alert(instance="before-send"))
    wait_sending(whole)
    detector.kill9()
    vonage.forget_plan()  # it may have been killed before it asked
    whole.let_pass(timedelta(minutes=6))  # the provider's lists lag for five
    detector.start()
    wait_taken(whole, "before-send")

    vonage.plan_silence(takes=True)  # sent, not answered
    whole.post(alert(instance="before-answer"))
    wait_taken(whole, "before-answer")
    wait_sending(whole)
    detector.kill9()
    whole.let_pass(timedelta(minutes=2))
    detector.start()
    stack.wait_until(lambda: settled(whole), 60, "it to be known")

    whole.post(alert(instance="before-receipt"))  # answered, no receipt yet
    wait_taken(whole, "before-receipt")
    stack.wait_until(lambda: settled(whole), 30, "the answer to be kept")
    detector.kill9()
    taken = vonage.taken[-1]
    taken.status = "delivered"
    callback = taken.form["callback"].replace("http://127.0.0.1:1", detector.url)
    with pytest.raises(requests.ConnectionError):
        vonage.call_back(taken, callback)
    detector.start()
    vonage.call_back(taken, callback)  # as providers do
    vonage.call_back(taken, callback)

    points = ["before-commit", "before-claim", "before-send", "before-answer", "before-receipt"]
    arrived = Counter(point for text in whole.sms_texts() for point in points if point in text)
    assert [each["state"] for each in whole.messages()] == ["sent"] * 4 + ["delivered"]
    tally(
        "SMS, the detector killed between receive, commit, claim, send, answer, receipt",
        sent=len(points),
        received=sum(arrived.values()),
        doubled=sum(arrived.values()) - len(arrived),
        lost=len(points) - len(arrived),
    )


HOLD_CLAIMS = """
CREATE OR REPLACE FUNCTION hold_claims() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN PERFORM pg_advisory_xact_lock(42); RETURN NEW; END $$;
CREATE TRIGGER hold_claims BEFORE UPDATE ON messages FOR EACH ROW
WHEN (NEW.state = 'sending') EXECUTE FUNCTION hold_claims();
"""


def waiting(whole: world.World, statement: str) -> int:
    """How many transactions wait for a lock in such a statement."""
    return whole.count(
        "SELECT count(*) FROM pg_stat_activity "
        "WHERE wait_event_type = 'Lock' AND query LIKE :pattern",
        pattern=f"%{statement}%",
    )


def wait_taken(whole: world.World, instance: str) -> None:
    stack.wait_until(
        lambda: any(instance in text for text in whole.sms_texts()), 60, f"the SMS of {instance}"
    )


def wait_sending(whole: world.World) -> None:
    stack.wait_until(
        lambda: whole.count("SELECT count(*) FROM messages WHERE state = 'sending'"), 30, "a claim"
    )


def test_a_message_without_a_receipt_goes_to_the_next_person_and_not_again(
    outside: world.Outside,
    prometheus: conftest.MakePrometheus,
    alertmanager: conftest.MakeAlertmanager,
    own_postgres: stack.Postgres,
    tmp_path: pathlib.Path,
    tally: conftest.Tally,
) -> None:
    more = {"MDA_SMS__ESCALATE_TO": '["+491709876543"]', "MDA_SMS__ESCALATE_AFTER": "60"}
    whole = world.World(outside, prometheus(), alertmanager, own_postgres.url, tmp_path, more=more)
    try:
        whole.post(alert(instance="web-1"))
        wait_taken(whole, "web-1")
        stack.wait_until(lambda: settled(whole), 30, "the answer to be kept")
        for _ in range(3):
            whole.let_pass(timedelta(minutes=2))
        stack.wait_until(lambda: len(whole.sms_texts()) > 1, 60, "the next person to be told")
        stack.wait_until(lambda: settled(whole), 30, "that answer to be kept")
        whole.let_pass(timedelta(minutes=30))
        time.sleep(3)
    finally:
        whole.close()
    numbers = Counter(each.form["to"] for each in outside.vonage.taken)
    assert set(numbers) == {"491701234567", "491709876543"}
    tally(
        "SMS taken without a receipt, and the next person's",
        sent=2,
        received=sum(numbers.values()),
        doubled=sum(numbers.values()) - len(numbers),
        lost=2 - len(numbers),
    )


RULES, HOSTS = 10, 1000
POSTING_S = 50.0
"""Where the machine is not too busy with other things for it."""


@pytest.mark.timeout(600)
def test_ten_thousand_alerts_in_a_minute_are_all_remembered_and_told_in_few_messages(
    outside: world.Outside,
    prometheus: conftest.MakePrometheus,
    alertmanager: conftest.MakeAlertmanager,
    own_postgres: stack.Postgres,
    tmp_path: pathlib.Path,
    tally: conftest.Tally,
    record_property: Callable[[str, object], None],
) -> None:
    """Ten rules fire on a thousand hosts each, a batch every few seconds; people wait 10 s and
    then 30 s, memory and all else as shipped."""
    whole = world.World(
        outside,
        prometheus(),
        alertmanager,
        own_postgres.url,
        tmp_path,
        more={"MDA_SMS__DAILY_CAP": "1000"},
        people={"group_wait": "10s", "group_interval": "30s"},
    )
    names = [f"host-{number:04}" for number in range(HOSTS)]
    began = time.monotonic()
    try:
        for batch in range(0, HOSTS, 50):
            for rule in range(RULES):
                whole.post(
                    *(alert(f"Rule{rule}", instance=each) for each in names[batch : batch + 50])
                )
            time.sleep(max(0.0, began + (batch + 50) / HOSTS * POSTING_S - time.monotonic()))
        posted_s = time.monotonic() - began
        count = RULES * HOSTS
        stack.wait_until(
            lambda: whole.count("SELECT count(*) FROM episodes") >= count, 300, "all in memory"
        )
        remembered_s = time.monotonic() - began
        stack.wait_until(
            lambda: whole.count("SELECT count(*) FROM told") >= count, 120, "all told by SMS"
        )
        stack.wait_until(lambda: settled(whole), 60, "all SMS to be sent")
        stack.wait_until(lambda: len(rules_in_mails(outside)) == RULES, 120, "a mail of each rule")
        told_s = time.monotonic() - began
        used = {
            "detector": psutil.Process(whole.detector.child.pid).memory_info().rss,
            "alertmanager": psutil.Process(whole.alertmanager.child.pid).memory_info().rss,
        }
        episodes = whole.count("SELECT count(*) FROM episodes")
        different = whole.count("SELECT count(DISTINCT fingerprint) FROM episodes")
    finally:
        whole.close()
    texts = whole.sms_texts()
    memory = ", ".join(f"{part} {size / 2**20:.0f} MiB" for part, size in used.items())
    figures = (
        f"posted in {posted_s:.0f} s, remembered after {remembered_s:.0f} s, told after "
        f"{told_s:.0f} s; {len(outside.smtp.taken)} mails, {len(outside.slack.received)} to Slack, "
        f"{len(texts)} SMS; {memory}"
    )
    record_property("tally", f"10,000 alerts in a minute: {figures}")
    assert len(outside.smtp.taken) <= 4 * RULES
    assert len(texts) <= 4 * RULES
    tally(
        "10,000 alerts in a minute: memory",
        sent=count,
        received=episodes,
        doubled=episodes - different,
        lost=count - different,
    )
    tally(
        "10,000 alerts in a minute: SMS",
        sent=len(texts),
        received=len(set(texts)),
        doubled=len(texts) - len(set(texts)),
        lost=0,
    )


def rules_in_mails(outside: world.Outside) -> set[str]:
    """Rules that a mail's subject names."""
    subjects = [str(mail["Subject"]) for mail in outside.smtp.messages()]
    return {name for subject in subjects for name in re.findall(r"Rule\d", subject)}
