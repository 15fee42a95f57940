from __future__ import annotations

import dataclasses
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

import pytest

from detector import alerts, errors, frames
from detector.services import backfilling, observing
from tests.factories import at, notification
from tests.fakes.alertmanager import FakeAlertmanager
from tests.fakes.episodes import FakeEpisodeStore
from tests.fakes.evaluation import FakeAlertEvaluation

LABELS = (("alertname", "HighCpu"), ("instance", "web-1"))
OTHER = (("alertname", "HighCpu"), ("instance", "web-2"))
EXTERNAL = (("cluster", "eu"),)
SENT = frames.labels_from_pairs((*LABELS, *EXTERNAL))
A_TURN_S, AN_HOUR_S = 5, 3600


class Written(FakeEpisodeStore):
    """Tells what it was asked to write."""

    def __init__(self) -> None:
        super().__init__()
        self.writes: list[str] = []

    def record(
        self, notifications: Sequence[alerts.Notification], *, received_at: datetime
    ) -> alerts.Recorded:
        self.writes += ["record"] * len(notifications)
        return super().record(notifications, received_at=received_at)

    def mark(self, keys: Collection[alerts.Key], *args: Any, **more: Any) -> int:
        self.writes += ["mark"] * len(keys)
        return super().mark(keys, *args, **more)

    def learn(self, facts: Mapping[alerts.Key, frames.Labels]) -> None:
        self.writes += ["learn"] * len(facts)
        super().learn(facts)


class Watched:
    """An observer over fakes, an hour after Alertmanager was started."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self.alertmanager = FakeAlertmanager(self.now)
        self.store = Written()
        self.evaluation = FakeAlertEvaluation(EXTERNAL)
        self.observer = self.restarted()
        self.seconds = AN_HOUR_S

    def now(self) -> datetime:
        return at(self.seconds)

    def restarted(self) -> observing.Observer:
        filling = backfilling.Backfilling(self.store, self.evaluation)
        self.observer = observing.Observer(
            self.store, self.alertmanager, self.evaluation, filling, clock=self.now
        )
        return self.observer

    def post(self, labels: frames.Labels = SENT, ends: float = 600, **annotations: str) -> None:
        """An alert that began at this moment, or one that is held, again."""
        held = {each.labels: each.starts_at for each in self.alertmanager.held()}
        labels = frames.labels_from_pairs(labels)
        ends_at = self.now() + timedelta(seconds=ends)
        began = held.get(labels, self.now())
        posted = alerts.Posted(labels, tuple(annotations.items()), began, ends_at)
        self.alertmanager.post([posted])

    def silence(self, labels: frames.Labels, lasts_s: float = AN_HOUR_S) -> str:
        matchers = tuple(alerts.Matcher(*pair) for pair in labels)
        end = self.now() + timedelta(seconds=lasts_s)
        return self.alertmanager.silence(alerts.NewSilence(matchers, self.now(), end, "ann", "why"))

    def turn(self, times: int = 1) -> None:
        for _ in range(times):
            self.observer.turn()
            self.seconds += A_TURN_S

    def only(self) -> alerts.Episode:
        (listed,) = self.store.list_episodes(alerts.EpisodeFilter()).episodes
        found = self.store.episode(listed.id)
        assert found is not None
        return found

    def history(self) -> list[tuple[str, str]]:
        return [(each.state.value, each.note) for each in self.only().transitions]


@pytest.fixture
def watched() -> Watched:
    return Watched()


def test_silenced_from_the_start_is_recorded_and_its_end_noticed(watched: Watched) -> None:
    silence_id = watched.silence(LABELS)
    watched.post(summary="busy", ack_url="https://secret", value="93 %")
    watched.turn()
    held = watched.alertmanager.held
    watched.alertmanager.held = lambda: ()  # type: ignore[method-assign]
    watched.turn()  # once is not believed
    watched.alertmanager.held = held  # type: ignore[method-assign]
    watched.turn()
    assert watched.only().status is alerts.Status.SILENCED
    assert watched.only().annotations == (("summary", "busy"), ("value", "93 %"))
    assert watched.only().facts == (("receivers", "nobody"), ("value", "93 %"))
    watched.post(ends=0)
    missed = watched.now()
    watched.turn(2)
    assert watched.only().ends_at == missed
    muted = ("silenced", f"silence {silence_id}")
    assert watched.history() == [("firing", ""), muted, ("resolved", "")]


def test_fires_again_when_its_silence_is_over(watched: Watched) -> None:
    watched.post()
    watched.turn()
    watched.alertmanager.expire(watched.silence(LABELS))
    silence_id = watched.silence(LABELS)
    watched.turn(3)
    watched.alertmanager.expire(silence_id)
    watched.turn(3)
    muted = ("silenced", f"silence {silence_id}")
    assert watched.history() == [("firing", ""), muted, ("firing", "")]


def test_inhibited_is_marked_with_what_inhibits(watched: Watched) -> None:
    watched.post()
    (held,) = watched.alertmanager.held()
    watched.alertmanager.held = lambda: (  # type: ignore[method-assign]
        dataclasses.replace(held, inhibited_by=("abc",)),
    )
    watched.turn(2)
    assert watched.history() == [("firing", ""), ("inhibited", "by abc")]


def acknowledge(watched: Watched, silence_id: str) -> None:
    watched.store.mark(
        [watched.only().key],
        alerts.Status.ACKNOWLEDGED,
        at=watched.now(),
        by="ann",
        silence_id=silence_id,
    )


def test_acknowledged_stays_so_under_its_own_silence_alone(watched: Watched) -> None:
    watched.post()
    watched.turn()
    own = watched.silence(LABELS)
    acknowledge(watched, own)
    watched.turn(2)
    assert watched.only().status is alerts.Status.ACKNOWLEDGED
    broad = watched.silence(LABELS[:1])
    watched.turn(2)
    assert watched.only().status is alerts.Status.SILENCED
    watched.alertmanager.expire(broad)
    watched.turn(2)
    assert (watched.only().status, watched.only().owner) == ("acknowledged", "ann")
    watched.alertmanager.expire(own)
    watched.turn()
    assert watched.only().status is alerts.Status.ACKNOWLEDGED
    watched.turn()
    assert (watched.only().status, watched.only().owner) == ("firing", "ann")


def test_acknowledged_without_a_silence_stays_so(watched: Watched) -> None:
    watched.post()
    watched.turn()
    acknowledge(watched, "")
    watched.turn(3)
    assert watched.only().status is alerts.Status.ACKNOWLEDGED


def test_what_is_acknowledged_during_a_turn_is_not_taken_for_silenced(watched: Watched) -> None:
    watched.post()
    watched.turn()
    ask = watched.alertmanager.held

    def held() -> tuple[alerts.Held, ...]:
        acknowledge(watched, watched.silence(LABELS))
        return ask()

    watched.alertmanager.held = held  # type: ignore[method-assign]
    watched.turn()
    assert watched.only().status is alerts.Status.ACKNOWLEDGED


def test_emptiness_of_an_alertmanager_that_was_just_started_ends_nothing(watched: Watched) -> None:
    watched.silence(LABELS)
    watched.post()
    watched.turn()
    watched.alertmanager.restart()
    watched.turn(5)
    assert watched.only().status is alerts.Status.SILENCED
    watched.seconds += observing.SETTLED.total_seconds()
    watched.turn()
    assert watched.only().status is alerts.Status.RESOLVED


@pytest.mark.parametrize("labels", [LABELS, SENT])
@pytest.mark.parametrize("is_pending_anew", [False, True])
def test_end_of_a_rule_is_believed_of_a_young_alertmanager(
    watched: Watched, labels: frames.Labels, is_pending_anew: bool
) -> None:
    """Prometheus is the second witness; labels of the rule may be external ones too."""
    watched.silence(LABELS)
    watched.post()
    watched.evaluation.now = [alerts.Active(labels, watched.now(), is_firing=True)]
    watched.turn()
    watched.alertmanager.restart()
    watched.turn(5)
    watched.evaluation.failure = errors.UpstreamError("away", kind="timeout", retryable=True)
    watched.turn(3)
    assert watched.only().status is alerts.Status.SILENCED
    watched.evaluation.failure = None
    watched.turn()
    assert watched.only().status is alerts.Status.SILENCED
    again = alerts.Active(labels, watched.now(), is_firing=False)
    watched.evaluation.now = [again] if is_pending_anew else []
    watched.turn()
    assert watched.only().status is alerts.Status.RESOLVED


def test_facts_are_those_of_the_highest_score(watched: Watched) -> None:
    for value, score in (
        ("20 %", "1.5"),
        ("93 %", "4.2"),
        ("30 %", "0.5"),
        ("31 %", "a lot"),
        ("32 %", ""),
    ):
        watched.post(value=value, score=score)
        watched.turn()
    facts = dict(watched.only().facts)
    assert (facts["score"], facts["value"]) == ("4.2", "93 %")


def test_alertmanager_that_does_not_answer_changes_nothing(watched: Watched) -> None:
    watched.silence(LABELS)
    watched.post()
    watched.turn()
    watched.alertmanager.failure = errors.UpstreamError("away", kind="timeout", retryable=True)
    for _ in range(3):
        with pytest.raises(errors.UpstreamError):
            watched.turn()
    watched.alertmanager.failure = None
    watched.turn()
    assert watched.only().status is alerts.Status.SILENCED


def test_end_of_what_is_not_muted_is_left_to_the_webhook(watched: Watched) -> None:
    watched.post()
    watched.turn()
    watched.post(ends=0)
    watched.turn(10)
    assert watched.only().status is alerts.Status.FIRING
    watched.seconds += observing.TOLD_WITHIN.total_seconds()
    watched.turn()
    assert watched.only().ends_at == at(AN_HOUR_S + A_TURN_S)


def test_pending_time_comes_from_prometheus_once(watched: Watched) -> None:
    watched.seconds = AN_HOUR_S
    watched.evaluation.now = [
        alerts.Active(LABELS, at(AN_HOUR_S - 300), is_firing=True),
        alerts.Active(OTHER, at(AN_HOUR_S - 60), is_firing=False),
    ]
    watched.post()
    watched.turn()
    watched.restarted()
    watched.turn()
    assert watched.history() == [("pending", ""), ("firing", "")]
    assert watched.only().transitions[0].received_at == at(AN_HOUR_S - 300)


@pytest.mark.parametrize("after_s", [0, 0.0004, 60])
def test_what_was_not_seen_pending_has_no_such_time(watched: Watched, after_s: float) -> None:
    """Prometheus tells more digits than an alert is known by."""
    watched.evaluation.now = [alerts.Active(LABELS, at(AN_HOUR_S + after_s), is_firing=True)]
    watched.post()
    watched.turn()
    assert watched.history() == [("firing", "")]


def test_prometheus_that_does_not_answer_costs_the_pending_time_until_it_does(
    watched: Watched,
) -> None:
    watched.turn()
    watched.post()
    watched.evaluation.now = [alerts.Active(LABELS, at(60), is_firing=True)]
    watched.evaluation.failure = errors.UpstreamError("away", kind="timeout", retryable=True)
    watched.turn()
    assert watched.history() == [("firing", "")]
    watched.evaluation.failure = None
    watched.turn()
    assert watched.history() == [("pending", ""), ("firing", "")]


def test_turn_without_a_change_writes_nothing_and_asks_no_more(watched: Watched) -> None:
    watched.silence(LABELS)
    watched.post(value="93 %")
    watched.post(OTHER, value="90 %")
    before = watched.alertmanager.held()
    watched.alertmanager.held = lambda: tuple(  # type: ignore[method-assign]
        dataclasses.replace(each, receivers=("b", "a")) for each in before
    )
    assert watched.observer.turn().went_out == 3
    ended = notification(
        before[1].fingerprint,
        starts_at=before[1].starts_at,
        ends_at=watched.now(),
        labels=OTHER,
    )
    watched.store.record(
        [ended], received_at=watched.now()
    )  # by the webhook: it is held for longer
    watched.alertmanager.held = lambda: tuple(  # type: ignore[method-assign]
        dataclasses.replace(each, receivers=("a", "b")) for each in before
    )

    def active() -> tuple[alerts.Active, ...]:
        raise AssertionError("asked again")

    watched.evaluation.active = active  # type: ignore[method-assign]
    watched.store.writes.clear()
    assert watched.observer.turn().went_out == 0
    assert watched.store.writes == []


def test_until_when_all_was_watched_is_kept_now_and_then(watched: Watched) -> None:
    watched.turn(6)
    assert watched.store.watched_until() == at(AN_HOUR_S)
    watched.turn()
    assert watched.store.watched_until() == at(AN_HOUR_S + 30)


def test_what_began_later_than_it_ended_by_our_clock_has_no_length(watched: Watched) -> None:
    watched.silence(LABELS)
    watched.post()
    (held,) = watched.alertmanager.held()
    ahead = dataclasses.replace(held, starts_at=at(AN_HOUR_S + 60))
    watched.alertmanager.held = lambda: (ahead,)  # type: ignore[method-assign]
    watched.turn()
    watched.alertmanager.held = lambda: ()  # type: ignore[method-assign]
    watched.turn(2)
    assert watched.only().ends_at == watched.only().starts_at == ahead.starts_at


def test_watchdog_is_no_episode(watched: Watched) -> None:
    watched.post((("alertname", "Watchdog"), ("severity", "none")))
    watched.turn()
    assert watched.store.list_episodes(alerts.EpisodeFilter()).episodes == ()


def run(first: float, last: float, **changed: bool) -> alerts.Run:
    ends = {"is_begun": True, "is_over": True} | changed
    return alerts.Run(LABELS, at(first), at(last), timedelta(seconds=15), **ends)


def away(watched: Watched, seconds: float = 1800) -> None:
    """The detector is down for so long."""
    watched.turn()
    watched.seconds += seconds
    watched.restarted()


def test_what_came_and_went_while_nobody_watched_is_made_once(watched: Watched) -> None:
    away(watched)
    watched.evaluation.past = [run(AN_HOUR_S + 600, AN_HOUR_S + 660)]
    watched.turn()
    watched.restarted()
    watched.seconds += 600
    watched.turn()
    made = watched.only()
    assert made.labels == SENT
    assert made.fingerprint == alerts.fingerprint_of(SENT)
    assert (made.starts_at, made.ends_at) == (at(AN_HOUR_S + 600), at(AN_HOUR_S + 660))
    assert made.facts == (("source", "ALERTS"),)
    assert watched.history() == [("firing", ""), ("resolved", "")]


def test_a_label_of_the_rule_wins_over_an_external_one(watched: Watched) -> None:
    away(watched)
    labels = (*LABELS, ("cluster", "us"))
    one = run(AN_HOUR_S + 600, AN_HOUR_S + 660)
    watched.evaluation.past = [dataclasses.replace(one, labels=labels)]
    watched.turn()
    assert watched.only().labels == frames.labels_from_pairs(labels)


@pytest.mark.parametrize(("begins", "episodes"), [(674, 1), (676, 2)])
def test_what_comes_again_after_an_end_that_was_seen_is_another(
    watched: Watched, begins: float, episodes: int
) -> None:
    """Whether an end was seen is for the runs to tell (prometheus/alerts_api.py)."""
    away(watched)
    watched.evaluation.past = [run(AN_HOUR_S + 600, AN_HOUR_S + 660)]
    told = alerts.Notification(
        fingerprint=alerts.fingerprint_of(SENT),
        starts_at=at(AN_HOUR_S + begins),
        ends_at=None,
        state=alerts.State.FIRING,
        labels=SENT,
        annotations=(),
        generator_url="",
        receiver="memory",
    )
    watched.store.record([told], received_at=watched.now())
    watched.turn()
    found = watched.store.list_episodes(alerts.EpisodeFilter()).episodes
    assert len(found) == episodes
    assert found[0].ends_at == (at(AN_HOUR_S + begins) if episodes == 1 else None)


def test_store_is_read_once_however_much_came_and_went(watched: Watched) -> None:
    away(watched)
    one = run(AN_HOUR_S + 1600, AN_HOUR_S + 1660)
    many = [frames.labels_from_pairs((*LABELS[:1], ("n", str(number)))) for number in range(30)]
    watched.evaluation.past = [dataclasses.replace(one, labels=each) for each in many]
    asked, ask = [], watched.store.list_episodes

    def list_episodes(wanted: alerts.EpisodeFilter) -> alerts.EpisodePage:
        asked.append(wanted)
        return ask(wanted)

    watched.store.list_episodes = list_episodes  # type: ignore[method-assign]
    watched.turn()
    assert len(asked) == 1
    watched.restarted()
    watched.seconds += backfilling.AWAY.total_seconds()
    watched.turn()
    assert len(asked) == 2
    found = ask(alerts.EpisodeFilter()).episodes
    assert {dict(each.labels)["n"] for each in found} == {dict(each)["n"] for each in many}
    assert {each.facts for each in found} == {(("source", "ALERTS"),)}
    watched.evaluation.past = []
    watched.restarted().turn()
    assert len(asked) == 2


@pytest.mark.parametrize("ends", [AN_HOUR_S + 675, None])
def test_what_alertmanager_tells_late_takes_the_place_of_what_was_made(
    watched: Watched, ends: float | None
) -> None:
    away(watched)
    watched.evaluation.past = [run(AN_HOUR_S + 600, AN_HOUR_S + 660)]
    watched.turn()
    told = alerts.Notification(
        fingerprint=alerts.fingerprint_of(SENT),
        starts_at=at(AN_HOUR_S + 600.0004),
        ends_at=None if ends is None else at(ends),
        state=alerts.State.FIRING if ends is None else alerts.State.RESOLVED,
        labels=SENT,
        annotations=(("summary", "busy"),),
        generator_url="",
        receiver="memory",
    )
    watched.store.record([told], received_at=watched.now())
    assert (watched.only().starts_at, watched.only().facts) == (told.starts_at, ())


@pytest.mark.parametrize(
    "past",
    [
        run(AN_HOUR_S + 600, AN_HOUR_S + 1800, is_over=False),
        run(AN_HOUR_S - 300, AN_HOUR_S + 600, is_begun=False),
        dataclasses.replace(run(AN_HOUR_S + 6, AN_HOUR_S + 9), labels=(("alertname", "Watchdog"),)),
    ],
)
def test_what_was_not_seen_whole_is_not_made(watched: Watched, past: alerts.Run) -> None:
    away(watched)
    watched.evaluation.past = [past]
    watched.turn()
    assert watched.store.list_episodes(alerts.EpisodeFilter()).episodes == ()


@pytest.mark.parametrize("is_held", [False, True])
def test_what_is_known_is_ended_when_prometheus_saw_its_end(
    watched: Watched, is_held: bool
) -> None:
    """Unless Alertmanager holds it: that is the younger word."""
    watched.post(ends=7200 if is_held else 600)
    away(watched)
    watched.evaluation.past = [run(AN_HOUR_S - 300, AN_HOUR_S + 600, is_begun=False)]
    watched.turn()
    assert watched.only().ends_at == (None if is_held else at(AN_HOUR_S + 600))


@pytest.mark.parametrize(("ended", "episodes"), [(590, 2), (670, 1)])
def test_what_was_over_before_it_began_is_another(
    watched: Watched, ended: float, episodes: int
) -> None:
    away(watched)
    known = notification(
        alerts.fingerprint_of(SENT),
        starts_at=at(AN_HOUR_S + 560),
        ends_at=at(AN_HOUR_S + ended),
        labels=SENT,
    )
    watched.store.record([known], received_at=watched.now())
    watched.evaluation.past = [run(AN_HOUR_S + 660, AN_HOUR_S + 690)]
    watched.turn()
    found = watched.store.list_episodes(alerts.EpisodeFilter()).episodes
    assert len(found) == episodes
    assert found[-1].ends_at == known.ends_at


def test_no_more_than_a_week_is_looked_at(watched: Watched) -> None:
    away(watched, timedelta(days=10).total_seconds())
    watched.turn()
    now = at(AN_HOUR_S + A_TURN_S + timedelta(days=10).total_seconds())
    assert watched.evaluation.asked == [(now - timedelta(days=7), now)]


def test_a_short_pause_and_a_first_start_look_nowhere(watched: Watched) -> None:
    watched.turn(5)
    assert watched.evaluation.asked == []
    watched.seconds += backfilling.AWAY.total_seconds()
    watched.turn()
    assert len(watched.evaluation.asked) == 1
