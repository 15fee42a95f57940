"""What people do about alerts, at a real Alertmanager and a real PostgreSQL."""

from __future__ import annotations

import pathlib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pytest
import requests

from detector import alerts, errors, links, signing
from detector.alertmanager import client
from detector.api import application
from detector.services import answering, raising, silencing
from detector.store import database, episodes, manual, migrate, used_links
from tests import factories, living, stack
from tests.conftest import MakeAlertmanager, MakePrometheus
from tests.fakes.slack import FakeSlack

LABELS = (
    ("alertname", "Door open"),
    ("path", 'C:\\temp\n"quoted" {{ .x }} <b>'),
    ("severity", "high"),
)
HOUR = timedelta(hours=1)
TOLD_BY_SLACK = """\
route: {{receiver: slack, group_by: ["..."], group_wait: 0s, group_interval: 1s}}
receivers:
  - name: slack
    slack_configs:
      - {{api_url: "{url}", channel: "#a", send_resolved: true, text: "{{{{ .Status }}}}"}}
"""
RULES = """\
groups: [{{name: doors, interval: 1s, rules: [{{alert: Door open, expr: "vector({value}) > 0"}}]}}]
"""
WITH_RULES = """\
global: {{evaluation_interval: 1s}}
rule_files: [{rules}]
alerting: {{alertmanagers: [{{static_configs: [{{targets: ["{alertmanager}"]}}]}}]}}
"""


def now() -> datetime:
    return datetime.now(UTC)


@dataclass
class Desk:
    server: stack.Server
    url: str
    alertmanager: client.Client
    store: episodes.PostgresEpisodeStore
    parts: application.AnswerParts
    connections: database.Database

    def muted_by(self) -> tuple[str, ...]:
        """Ids of the silences that mute the one alert."""
        (held,) = self.alertmanager.held()
        return held.silenced_by

    def held(self) -> int:
        return len(self.alertmanager.held())

    def restarted(self) -> application.AnswerParts:
        """What another process has of it."""
        connections = database.Database(self.url)
        return parts_of(connections, self.alertmanager)


def parts_of(
    connections: database.Database, alertmanager: client.Client
) -> application.AnswerParts:
    return living.parts(
        episodes.PostgresEpisodeStore(connections),
        signing.Signer(b"key"),
        now,
        alertmanager=alertmanager,
        manual=manual.PostgresManualStore(connections),
        used=used_links.PostgresLinkStore(connections),
    )


@pytest.fixture
def desk(alertmanager: MakeAlertmanager, database_url: str) -> Iterator[Desk]:
    server = alertmanager()
    migrate.migrate(database_url)
    connections = database.Database(database_url)
    asked = client.Client(server.url)
    yield Desk(
        server,
        database_url,
        asked,
        episodes.PostgresEpisodeStore(connections),
        parts_of(connections, asked),
        connections,
    )
    connections.close()


def raise_one(desk: Desk) -> alerts.Episode:
    made = desk.parts.raised.start(LABELS, (("summary", "the back"),), lasting=HOUR, by="ann")
    assert made.episode is not None
    stack.wait_until(lambda: desk.held() == 1, 5, "the alert to be held")
    return made.episode


def test_an_alert_s_life_is_lived_and_remembered(desk: Desk) -> None:
    answers = desk.parts.answers
    episode = raise_one(desk)
    (held,) = desk.alertmanager.held()
    assert (held.fingerprint, held.starts_at) == episode.key  # as a webhook would tell it
    done = answers.acknowledge(episode.id, by="ann", note="looking")
    stack.wait_until(lambda: desk.muted_by() == (done.silence_id,), 10, "it to be muted")
    answers.unacknowledge(episode.id, by="ann")
    stack.wait_until(lambda: desk.muted_by() == (), 10, "it to be heard again")
    wanted = silencing.Wanted((), 2 * HOUR, "a move", "ben")
    silenced = answers.silence(episode.id, wanted)
    assert isinstance(silenced, answering.Answer)
    stack.wait_until(lambda: desk.muted_by() == (silenced.silence_id,), 10, "it to be muted")
    answers.resolve(episode.id, by="ben", note="shut")
    stack.wait_until(lambda: desk.held() == 0, 5, "it to be over")
    answers.judge(episode.id, alerts.Feedback.PLANNED, by="ann")
    found = desk.store.episode(episode.id)
    assert found is not None
    assert [(each.state.value, each.by, each.note) for each in found.transitions] == [
        ("firing", "", ""),
        ("acknowledged", "ann", "looking"),
        ("firing", "ann", ""),
        ("silenced", "ben", f"a move (silence {silenced.silence_id})"),
        ("resolved", "ben", "shut"),
        ("resolved", "ann", ""),
    ]
    assert found.transitions[-1].feedback is alerts.Feedback.PLANNED
    assert found.feedback is alerts.Feedback.PLANNED


def test_the_silence_behind_an_acknowledgement_ends_with_the_alert(desk: Desk) -> None:
    episode = raise_one(desk)
    desk.parts.answers.acknowledge(episode.id, by="ann")
    desk.parts.answers.resolve(episode.id, by="ann")
    desk.parts.answers.turn()
    over = alerts.SilenceState.EXPIRED
    stack.wait_until(
        lambda: [each.state for each in desk.alertmanager.silences()] == [over], 5, "its end"
    )


def test_the_end_of_what_was_acknowledged_is_told_once_its_silence_has_ended(
    prometheus: MakePrometheus,
    alertmanager: MakeAlertmanager,
    database_url: str,
    tmp_path: pathlib.Path,
) -> None:
    rules = tmp_path / "rules.yml"
    rules.write_text(RULES.format(value=1))
    migrate.migrate(database_url)
    connections = database.Database(database_url)
    store = episodes.PostgresEpisodeStore(connections)
    with FakeSlack() as slack:
        server = alertmanager(TOLD_BY_SLACK.format(url=slack.url))
        asked = client.Client(server.url)
        answers = parts_of(connections, asked).answers
        config = WITH_RULES.format(rules=rules, alertmanager=server.url.removeprefix("http://"))
        raising_it = prometheus(config, ["--rules.alert.resend-delay=1s"])

        def told() -> list[str]:
            return [each["attachments"][0]["text"] for each in slack.messages]

        def remember(ends_at: datetime | None) -> alerts.Episode:
            news = factories.notification(
                held.fingerprint, starts_at=held.starts_at, ends_at=ends_at, labels=held.labels
            )
            store.record([news], received_at=now())
            found = store.episode_of((held.fingerprint, held.starts_at))
            assert found is not None
            return found

        stack.wait_until(lambda: told() == ["firing"], 30, "it to be told")
        (held,) = asked.held()
        answers.acknowledge(remember(None).id, by="ann")
        rules.write_text(RULES.format(value=0))
        raising_it.reload()
        stack.wait_until(lambda: asked.held() == (), 30, "its end")
        remember(now())
        assert told() == ["firing"]
        answers.turn()
        stack.wait_until(lambda: told() == ["firing", "resolved"], 30, "its end to be told")
    connections.close()


def test_a_raised_alert_outlives_alertmanager_and_us(desk: Desk) -> None:
    episode = raise_one(desk)
    desk.server.kill9()
    with pytest.raises(errors.UpstreamError):
        desk.parts.raised.turn()
    with pytest.raises(errors.UpstreamError):
        desk.parts.answers.acknowledge(episode.id, by="ann")
    desk.server.start()
    restarted = desk.restarted()
    restarted.raised.turn()
    stack.wait_until(lambda: desk.held() == 1, 5, "the alert to be held again")
    (held,) = desk.alertmanager.held()
    assert (held.fingerprint, held.starts_at) == episode.key
    assert timedelta(0) < held.ends_at - now() <= raising.AHEAD
    again = restarted.answers.resolve(episode.id, by="ben")
    assert again.episode.status is alerts.Status.RESOLVED
    stack.wait_until(lambda: desk.held() == 0, 5, "it to be over")
    restarted.raised.turn()
    assert desk.held() == 0


def test_a_broad_silence_is_measured_at_alertmanager_itself(desk: Desk) -> None:
    ends = now() + HOUR
    posted = [
        alerts.Posted((("instance", f"web-{n}"), ("job", "web")), (), now(), ends)
        for n in range(12)
    ]
    desk.alertmanager.post(posted)
    raise_one_more = (("alertname", "Door open"), ("job", "door"))
    desk.parts.raised.start(raise_one_more, (), lasting=HOUR, by="ann")
    stack.wait_until(lambda: desk.held() == 13, 5, "all of them to be held")
    wanted = silencing.Wanted(
        (alerts.Matcher("job", "we[a-c]", is_regex=True),), HOUR, "a move", "ann"
    )
    broad = desk.parts.silences.make(wanted)
    assert isinstance(broad, silencing.Broad)
    assert (broad.muted, broad.of, broad.episodes) == (12, 13, 0)
    made = desk.parts.silences.make(wanted, broad.confirm)
    assert [each.id for each in desk.alertmanager.silences()] == [made]
    wrong = silencing.Wanted((alerts.Matcher("job", "(", is_regex=True),), HOUR, "x", "ann")
    with pytest.raises(errors.UpstreamError, match="answered 400") as caught:
        desk.parts.silences.make(wrong)
    assert caught.value.kind == "refused"


class Program:
    """The detector as a process of its own, asked over HTTP."""

    def __init__(self, detector: stack.Detector) -> None:
        self.detector = detector

    def ask(self, method: str, path: str, body: object = None) -> requests.Response:
        token = (self.detector.home / "token").read_text().strip()
        return requests.request(
            method,
            self.detector.url + path,
            json=body,
            headers={"Authorization": f"Bearer {token}"},
            timeout=20,
        )

    def address(self, alert: dict[str, str]) -> str:
        """As a message has it."""
        target = links.Target(
            alerts.Fingerprint(alert["fingerprint"]),
            datetime.fromisoformat(alert["starts_at"]),
            links.expiry(now()),
        )
        signer = signing.Signer(signing.key_of(self.detector.home))
        return links.Links(self.detector.url, signer).action(links.Action.ACK, target)


def test_the_program_goes_on_with_what_was_raised_after_it_was_killed(
    prometheus: MakePrometheus, alertmanager: MakeAlertmanager, database_url: str
) -> None:
    server = alertmanager()
    detector = stack.Detector(
        prometheus(),
        database_url,
        ANOMALY_DETECTION_ENABLED="false",
        MDA_ALERTMANAGER__URL=server.url,
    )
    program, asked = Program(detector), client.Client(server.url)
    detector.start()
    try:
        body = {"name": "Door open", "summary": "the back door", "severity": "high"}
        made = program.ask("POST", "/api/alerts", body)
        assert made.status_code == 201, made.text
        alert = made.json()["alert"]
        detector.kill9()
        server.kill9()
        server.start()
        detector.start()
        stack.wait_until(lambda: len(asked.held()) == 1, 40, "the alert to be held again")
        address = program.address(alert)
        assert requests.get(address, timeout=20).status_code == 200
        assert asked.silences() == ()
        pressed = requests.post(address, data={"note": "on my way"}, timeout=20)
        assert pressed.status_code == 200, pressed.text
        assert requests.post(address, timeout=20).status_code == 410
        path = f"/api/alerts/{alert['id']}"
        told = program.ask("GET", path).json()
        assert (told["status"], told["owner"]) == ("acknowledged", "by link")
        ended = program.ask("PUT", path, {"action": "resolve", "note": "shut"})
        assert ended.json()["status"] == "resolved"
        stack.wait_until(lambda: asked.held() == (), 10, "it to be over")
        over = alerts.SilenceState.EXPIRED
        stack.wait_until(
            lambda: [each.state for each in asked.silences()] == [over], 40, "the silence to end"
        )
        body = {"name": "Window open", "summary": "it is being cleaned"}
        path = f"/api/alerts/{program.ask('POST', '/api/alerts', body).json()['alert']['id']}"
        wish = {"action": "silence", "reason": "cleaning", "for": "2h", "planned": True}
        muted = program.ask("PUT", path, wish)
        assert muted.status_code == 200, muted.text
        stack.wait_until(
            lambda: program.ask("GET", path).json()["feedback"] == "planned", 40, "a judgement"
        )
    finally:
        detector.kill9()
