from __future__ import annotations

from datetime import timedelta

import pytest

from detector import alerts, errors, frames, signing
from detector.services import raising
from tests import living
from tests.detector.api.conftest import FakeClock
from tests.factories import T0, at, notification
from tests.fakes.alertmanager import FakeAlertmanager
from tests.fakes.episodes import FakeEpisodeStore
from tests.fakes.manual import FakeManualStore

LABELS = (("alertname", "Door open"), ("severity", "high"))
HOUR = timedelta(hours=1)
AWAY = errors.UpstreamError("Alertmanager: away", kind="unreachable", retryable=True)


class Desk:
    def __init__(self) -> None:
        self.clock = FakeClock()
        self.clock.now = T0.replace(microsecond=1_234)
        self.store, self.kept = FakeEpisodeStore(), FakeManualStore()
        self.alertmanager = FakeAlertmanager(self.clock)
        self.restart()

    def restart(self) -> None:
        """Another process with the same PostgreSQL and the same Alertmanager."""
        self.raised = living.parts(
            self.store,
            signing.Signer(b"key"),
            self.clock,
            alertmanager=self.alertmanager,
            manual=self.kept,
        ).raised

    def start(self, lasting: timedelta = HOUR) -> raising.Raised:
        return self.raised.start(LABELS, (("summary", "the back"),), lasting=lasting, by="ann")

    def held(self) -> list[frames.Labels]:
        return [each.labels for each in self.alertmanager.held()]


@pytest.fixture
def desk() -> Desk:
    return Desk()


def test_raised_alert_is_held_and_remembered_at_once(desk: Desk) -> None:
    made = desk.start()
    (held,) = desk.alertmanager.held()
    assert made.episode is not None
    began = T0.replace(microsecond=1_000)  # what Alertmanager tells is no finer
    assert held == alerts.Held(
        fingerprint=alerts.fingerprint_of(LABELS),
        starts_at=began,
        ends_at=desk.clock.now + raising.AHEAD,
        updated_at=desk.clock.now,
        labels=LABELS,
        annotations=(("raised_by", "ann"), ("summary", "the back")),
        generator_url="",
        receivers=("nobody",),
    )
    assert made.episode.key == made.manual.key == (held.fingerprint, began)
    assert made.manual.until == began + HOUR


def test_webhook_that_tells_of_it_makes_no_second_episode(desk: Desk) -> None:
    made = desk.start()
    one = notification(
        made.manual.fingerprint, starts_at=made.manual.starts_at, labels=LABELS, generator_url=""
    )
    desk.store.record([one], received_at=at(30))
    assert len(desk.store.list_episodes(alerts.EpisodeFilter()).episodes) == 1


def test_raised_alert_lasts_until_its_time_is_over(desk: Desk) -> None:
    desk.start()
    for _ in range(119):
        desk.clock.pass_(raising.EVERY)
        desk.raised.turn()
        assert desk.held() == [LABELS]
    desk.clock.pass_(raising.EVERY)
    desk.raised.turn()
    assert desk.held() == []


def test_alertmanager_is_never_told_of_a_later_end_than_was_asked_for(desk: Desk) -> None:
    made = desk.start(timedelta(minutes=2))
    assert [each.ends_at for each in desk.alertmanager.held()] == [made.manual.until]


def test_raised_alert_does_not_end_before_it_began(desk: Desk) -> None:
    made = desk.start()
    desk.clock.pass_(timedelta(seconds=-5))
    desk.raised.end(made.manual)
    assert [each.ends_at for each in desk.alertmanager.posts[-1]] == [made.manual.starts_at]


def test_raised_alert_outlives_a_restart_of_ours(desk: Desk) -> None:
    desk.start()
    desk.restart()
    desk.clock.pass_(raising.AHEAD)
    assert desk.held() == []
    desk.raised.turn()
    assert desk.held() == [LABELS]


def test_alertmanager_that_has_forgotten_it_hears_of_it_at_the_next_turn(desk: Desk) -> None:
    made = desk.start()
    desk.alertmanager = FakeAlertmanager(desk.clock)
    desk.restart()
    desk.raised.turn()
    assert [each.starts_at for each in desk.alertmanager.held()] == [made.manual.starts_at]


def test_repetition_that_comes_behind_the_end_is_ended_at_the_next_turn(desk: Desk) -> None:
    made = desk.start()
    late = desk.alertmanager.posts[0]
    desk.clock.pass_(timedelta(seconds=5))
    desk.raised.end(made.manual)
    desk.clock.pass_(timedelta(seconds=1))
    desk.alertmanager.post(late)
    assert desk.held() == [LABELS]
    desk.raised.turn()
    assert desk.held() == []
    desk.clock.pass_(raising.END_TOLD_FOR)
    posted = len(desk.alertmanager.posts)
    desk.raised.turn()
    assert desk.alertmanager.posts[posted:] == []


def test_same_alert_is_not_raised_twice(desk: Desk) -> None:
    made = desk.start()
    with pytest.raises(errors.ConflictError, match="alert 1: it has these labels and fires"):
        desk.start()
    desk.store = FakeEpisodeStore()  # the memory does not know it yet
    desk.restart()
    with pytest.raises(errors.ConflictError, match="was raised and fires already"):
        desk.start()
    desk.clock.pass_(timedelta(seconds=5))
    desk.raised.end(made.manual)
    desk.clock.pass_(timedelta(seconds=5))
    assert desk.start().manual.id != made.manual.id


def test_alert_with_a_label_more_is_another_one(desk: Desk) -> None:
    more = frames.labels_from_pairs((*LABELS, ("door", "back")))
    desk.store.record([notification(alerts.fingerprint_of(more), labels=more)], received_at=at(0))
    assert desk.start().episode is not None


def test_nothing_is_raised_while_alertmanager_is_away(desk: Desk) -> None:
    desk.alertmanager.failure = AWAY
    with pytest.raises(errors.UpstreamError):
        desk.start()
    desk.alertmanager.failure = None
    desk.raised.turn()
    assert (desk.held(), desk.kept.kept) == ([], {})


def test_nothing_is_ended_while_alertmanager_is_away(desk: Desk) -> None:
    made = desk.start()
    desk.alertmanager.failure = AWAY
    with pytest.raises(errors.UpstreamError):
        desk.raised.end(made.manual)
    desk.alertmanager.failure = None
    desk.raised.turn()
    assert desk.held() == [LABELS]


def test_raised_alert_that_cannot_be_remembered_yet_is_told_by_its_key(
    desk: Desk, caplog: pytest.LogCaptureFixture
) -> None:
    class Fails(FakeEpisodeStore):
        def record(self, *_: object, **__: object) -> alerts.Recorded:
            raise errors.StoreError("PostgreSQL: gone", retryable=True)

    desk.store = Fails()
    desk.restart()
    made = desk.start()
    assert made.episode is None
    assert desk.held() == [LABELS]
    assert "raised, not yet remembered" in caplog.text
