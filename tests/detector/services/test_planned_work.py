from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta

import pytest

from detector import alerts, errors, frames, signing
from detector.services import planned_work, silencing
from tests import living
from tests.factories import T0, at, notification
from tests.fakes.alertmanager import FakeAlertmanager
from tests.fakes.episodes import FakeEpisodeStore

HOUR = timedelta(hours=1)
WEB = alerts.Matcher("job", "web")
PLANNED = alerts.Feedback.PLANNED


def web(instance: str) -> frames.Labels:
    return (("instance", instance), ("job", "web"))


def db() -> frames.Labels:
    return (("instance", "3"), ("job", "db"))


class Alertmanager(FakeAlertmanager):
    """Counts how often it is asked for all that it holds."""

    asked = 0

    def held(self) -> tuple[alerts.Held, ...]:
        self.asked += 1
        return super().held()


@dataclass
class Desk:
    """Alerts 1 and 2 of the job web, 3 of the job db."""

    now: datetime = T0
    store: FakeEpisodeStore = field(default_factory=FakeEpisodeStore)
    failures: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.alertmanager = Alertmanager(lambda: self.now)
        self.silences = living.parts(
            self.store,
            signing.Signer(b"key"),
            lambda: self.now,
            alertmanager=self.alertmanager,
        ).silences
        self.restart()
        self.fire(*(web(str(number)) for number in (1, 2)), db())

    def restart(self) -> None:
        self.planned = planned_work.PlannedWork(
            self.store,
            self.alertmanager,
            self.alertmanager,
            clock=lambda: self.now,
            count_failure=self.failures.append,
        )

    def fire(self, *given: frames.Labels, is_remembered: bool = True) -> None:
        ends_at = self.now + 24 * HOUR
        self.alertmanager.post([alerts.Posted(each, (), self.now, ends_at) for each in given])
        if is_remembered:
            self.remember(*given)

    def remember(self, *given: frames.Labels) -> None:
        told = [
            notification(alerts.fingerprint_of(each), starts_at=self.now, labels=each)
            for each in given
        ]
        self.store.record(told, received_at=self.now)

    def silence(
        self, *matchers: alerts.Matcher, reason: str = "a move", is_planned: bool = True
    ) -> str:
        wanted = silencing.Wanted(matchers, HOUR, reason, "ann", is_planned=is_planned)
        made = self.silences.make(wanted, is_exact=True)
        if isinstance(made, silencing.Broad):
            made = self.silences.make(wanted, made.confirm)
        assert isinstance(made, str)
        return made

    def feedback(self) -> list[alerts.Feedback | None]:
        found = self.store.list_episodes(alerts.EpisodeFilter()).episodes
        return [each.feedback for each in sorted(found, key=lambda each: each.id)]


@pytest.fixture
def desk() -> Desk:
    return Desk()


def test_what_planned_work_mutes_is_judged_in_the_name_of_who_said_so(desk: Desk) -> None:
    made = desk.silence(WEB)
    desk.now = at(15)
    turn = desk.planned.turn()
    assert (turn.came_in, turn.went_out) == (2, 2)
    assert desk.feedback() == [PLANNED, PLANNED, None]
    episode = desk.store.episode(1)
    assert episode is not None
    assert episode.transitions[-1] == alerts.Transition(
        alerts.Status.FIRING, at(15), "ann", f"a move (silence {made})", PLANNED
    )


def test_each_alert_is_judged_once(desk: Desk) -> None:
    desk.silence(WEB)
    desk.planned.turn()
    assert desk.planned.turn().came_in == 0
    before = desk.store.episode(1)
    desk.restart()
    turn = desk.planned.turn()
    assert (turn.came_in, turn.went_out) == (2, 0)
    assert desk.store.episode(1) == before


def test_what_is_muted_no_more_is_forgotten(desk: Desk) -> None:
    made = desk.silence(WEB)
    desk.planned.turn()
    desk.alertmanager.expire(made)
    desk.planned.turn()
    desk.silence(WEB)
    turn = desk.planned.turn()
    assert (turn.came_in, turn.went_out) == (2, 0)


def test_alert_that_begins_while_work_is_done_is_judged_too(desk: Desk) -> None:
    desk.silence(WEB)
    desk.planned.turn()
    desk.now = at(600)
    desk.fire(web("4"))
    assert desk.planned.turn().went_out == 1
    desk.now = T0 + HOUR
    desk.fire(web("5"))
    assert desk.planned.turn().came_in == 0
    assert desk.feedback() == [PLANNED, PLANNED, None, PLANNED, None]


def test_alert_that_is_not_remembered_yet_is_judged_later(desk: Desk) -> None:
    mail = (("instance", "4"), ("job", "mail"))
    desk.fire(mail, is_remembered=False)
    desk.silence(alerts.Matcher("job", "mail"))
    assert desk.planned.turn().went_out == 0
    desk.remember(mail)
    assert desk.planned.turn().went_out == 1


def test_what_somebody_has_judged_stays_so(desk: Desk) -> None:
    for number, verdict in ((1, alerts.Feedback.TRUE), (2, PLANNED)):
        episode = desk.store.episode(number)
        assert episode is not None
        desk.store.remark(episode.key, at=desk.now, by="ben", feedback=verdict)
    before = [desk.store.episode(number) for number in (1, 2)]
    desk.silence(WEB)
    assert desk.planned.turn().went_out == 0
    assert [desk.store.episode(number) for number in (1, 2)] == before


def test_silences_that_are_not_for_planned_work_judge_nothing(desk: Desk) -> None:
    desk.silence(WEB, is_planned=False, reason="planned: a move")
    assert desk.planned.turn().came_in == 0
    assert desk.feedback() == [None] * 3


def test_alertmanager_is_asked_for_all_that_it_holds_only_while_work_is_done(desk: Desk) -> None:
    desk.silence(WEB)
    desk.planned.turn()
    desk.now = T0 + HOUR
    before = desk.alertmanager.asked
    desk.planned.turn()
    assert desk.alertmanager.asked == before


def test_watchdog_is_no_alert_to_be_judged(desk: Desk) -> None:
    desk.fire((("alertname", "Watchdog"), ("job", "web")), is_remembered=False)
    desk.silence(WEB)
    assert desk.planned.turn().came_in == 2


def test_very_many_alerts_have_their_turn(desk: Desk) -> None:
    desk.fire(*(web(f"new-{number}") for number in range(planned_work.AT_ONCE)))
    desk.silence(WEB)
    assert [desk.planned.turn().went_out for _ in range(3)] == [planned_work.AT_ONCE, 2, 0]


def test_an_alertmanager_that_is_away_is_counted_and_no_more(desk: Desk) -> None:
    desk.silence(WEB)
    desk.alertmanager.failure = errors.UpstreamError("away", kind="unreachable", retryable=True)
    assert desk.planned.turn().went_out == 0
    assert desk.failures == ["unreachable"]
    desk.alertmanager.failure = None
    assert desk.planned.turn().went_out == 2
