from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import pytest

from detector import alerts, errors, frames, loops, signing
from detector.alerts import Status
from detector.services import answering, silencing
from tests import living
from tests.factories import T0, at, notification
from tests.fakes.alertmanager import FakeAlertmanager
from tests.fakes.episodes import FakeEpisodeStore
from tests.fakes.manual import FakeManualStore

LABELS = (("alertname", "HighCpu"), ("instance", "web-1"))
AWAY = errors.UpstreamError("Alertmanager: away", kind="unreachable", retryable=True)
GONE = errors.StoreError("PostgreSQL: gone", retryable=True)
HOUR = timedelta(hours=1)


class Store(FakeEpisodeStore):
    """Fails at marks or remarks alone while it is told to, or at all that follows a mark;
    `meanwhile` happens before one."""

    def __init__(self) -> None:
        super().__init__()
        self.failure_of_marks: errors.StoreError | None = None
        self.failure_of_remarks: errors.StoreError | None = None
        self.failure_after_marks: errors.StoreError | None = None
        self.meanwhile: Callable[[], object] = lambda: None

    def mark(
        self,
        keys: Collection[alerts.Key],
        status: alerts.Status,
        *,
        at: datetime,
        by: str = "",
        note: str = "",
        silence_id: str = "",
        was: alerts.Status | None = None,
    ) -> int:
        if self.failure_of_marks is not None:
            raise self.failure_of_marks
        meanwhile, self.meanwhile = self.meanwhile, lambda: None
        meanwhile()
        count = super().mark(keys, status, at=at, by=by, note=note, silence_id=silence_id, was=was)
        self.failure = self.failure_after_marks
        return count

    def remark(
        self,
        key: alerts.Key,
        *,
        at: datetime,
        by: str,
        note: str = "",
        feedback: alerts.Feedback | None = None,
    ) -> bool:
        if self.failure_of_remarks is not None:
            raise self.failure_of_remarks
        return super().remark(key, at=at, by=by, note=note, feedback=feedback)


class Alertmanager(FakeAlertmanager):
    """Fails at the end of silences alone while it is told to."""

    cannot_expire = False

    def expire(self, silence_id: str) -> None:
        if self.cannot_expire:
            raise AWAY
        super().expire(silence_id)


@dataclass
class Desk:
    """An alert that fires, and all that is done about it."""

    now: datetime = T0
    store: Store = field(default_factory=Store)
    failures: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.alertmanager = Alertmanager(lambda: self.now)
        self.manual = FakeManualStore()
        parts = living.parts(
            self.store,
            signing.Signer(b"key"),
            lambda: self.now,
            alertmanager=self.alertmanager,
            manual=self.manual,
            failures=self.failures,
        )
        self.answers, self.raised, self.guard = parts.answers, parts.raised, parts.silences
        self.fire(LABELS)

    def fire(self, labels: frames.Labels) -> None:
        self.alertmanager.post([alerts.Posted(labels, (), self.now, self.now + 24 * HOUR)])
        one = notification(alerts.fingerprint_of(labels), starts_at=self.now, labels=labels)
        self.store.record([one], received_at=self.now)

    def end(self) -> None:
        one = notification(
            alerts.fingerprint_of(LABELS), labels=LABELS, starts_at=T0, ends_at=self.now
        )
        self.store.record([one], received_at=self.now)

    def silences(self) -> list[alerts.Silence]:
        """Those that are not over."""
        over = alerts.SilenceState.EXPIRED
        return [each for each in self.alertmanager.silences() if each.state is not over]

    def is_muted(self) -> bool:
        return any(each.silenced_by for each in self.alertmanager.held() if each.labels == LABELS)

    def episode(self) -> alerts.Episode:
        found = self.store.episode(1)
        assert found is not None
        return found


@pytest.fixture
def desk() -> Desk:
    return Desk()


def wanted(*matchers: alerts.Matcher, lasting: timedelta = HOUR) -> silencing.Wanted:
    return silencing.Wanted(matchers, lasting, "a move", "ann")


def test_an_alert_without_labels_cannot_be_muted(desk: Desk) -> None:
    desk.store.record([notification("2", labels=())], received_at=T0)
    with pytest.raises(errors.ConflictError, match="alert 2: it has no labels"):
        desk.answers.acknowledge(2, by="ann")
    with pytest.raises(errors.ConflictError, match="alert 2: it has no labels"):
        desk.answers.silence(2, wanted())
    assert desk.silences() == []


def test_acknowledged_alert_has_an_owner_and_a_short_silence_behind_it(desk: Desk) -> None:
    done = desk.answers.acknowledge(1, by="ann", note="looking", lasting=HOUR)
    (silence,) = desk.silences()
    assert (done.silence_id, done.episode) == (silence.id, desk.episode())
    assert (done.episode.status, done.episode.owner) == ("acknowledged", "ann")
    assert done.episode.silence_id == silence.id
    assert silence == alerts.Silence(
        id=silence.id,
        matchers=(alerts.Matcher("alertname", "HighCpu"), alerts.Matcher("instance", "web-1")),
        starts_at=T0,
        ends_at=T0 + HOUR,
        created_by="ann",
        comment="mda acknowledged alert 1: looking",
        state=alerts.SilenceState.ACTIVE,
    )
    assert done.episode.transitions[-1] == alerts.Transition(
        Status.ACKNOWLEDGED, T0, "ann", "looking"
    )
    assert desk.is_muted()


def test_somebody_else_can_be_the_owner(desk: Desk) -> None:
    done = desk.answers.acknowledge(1, by="ann", owner="ben")
    assert done.episode.owner == "ben"
    assert done.episode.transitions[-1].note == "(said by ann)"


def test_acknowledging_twice_is_refused_in_words(desk: Desk) -> None:
    desk.answers.acknowledge(1, by="ann")
    with pytest.raises(errors.ConflictError, match="alert 1: ann has acknowledged it already"):
        desk.answers.acknowledge(1, by="ben")
    assert len(desk.silences()) == 1


def test_what_was_acknowledged_can_be_given_back(desk: Desk) -> None:
    desk.answers.acknowledge(1, by="ann")
    desk.now = at(60)
    done = desk.answers.unacknowledge(1, by="ben", note="not mine")
    assert done.episode.status is Status.FIRING
    assert done.episode.transitions[-1] == alerts.Transition(
        Status.FIRING, at(60), "ben", "not mine"
    )
    assert (desk.silences(), desk.is_muted()) == ([], False)
    with pytest.raises(errors.ConflictError, match="alert 1: firing: it is not acknowledged"):
        desk.answers.unacknowledge(1, by="ben")


def test_silence_mutes_exactly_this_alert(desk: Desk) -> None:
    desk.fire((("alertname", "HighCpu"), ("instance", "web-2")))
    done = desk.answers.silence(1, wanted())
    assert isinstance(done, answering.Answer)
    assert done.episode.status is Status.SILENCED
    assert done.episode.transitions[-1].note == f"a move (silence {done.silence_id})"
    assert [each.labels for each in desk.alertmanager.held() if each.silenced_by] == [LABELS]
    with pytest.raises(errors.ConflictError, match="silenced already"):
        desk.answers.silence(1, wanted())


def test_silence_takes_the_place_of_the_one_behind_an_acknowledgement(desk: Desk) -> None:
    desk.answers.acknowledge(1, by="ann")
    done = desk.answers.silence(1, wanted())
    assert isinstance(done, answering.Answer)
    assert [each.id for each in desk.silences()] == [done.silence_id]


def test_matchers_must_hold_of_the_alert(desk: Desk) -> None:
    with pytest.raises(errors.ConflictError, match="the matchers do not hold of it"):
        desk.answers.silence(1, wanted(alerts.Matcher("instance", "web-9")))
    assert desk.silences() == []


def test_rule_s_alert_is_not_ended_unless_that_is_meant(desk: Desk) -> None:
    with pytest.raises(errors.ConflictError, match="even_if_it_comes_back"):
        desk.answers.resolve(1, by="ann")
    done = desk.answers.resolve(1, by="ann", note="done", even_if_it_comes_back=True)
    assert "Prometheus raises it again" in done.warning
    assert desk.alertmanager.held() == ()
    assert done.episode.status is Status.FIRING  # until Alertmanager says so
    said = "Alertmanager was told that it is over: done"
    assert done.episode.transitions[-1] == alerts.Transition(Status.FIRING, T0, "ann", said)


def test_alert_that_began_by_a_clock_ahead_of_ours_does_not_end_before(desk: Desk) -> None:
    desk.now = T0 - timedelta(seconds=5)
    desk.answers.resolve(1, by="ann", even_if_it_comes_back=True)
    assert [each.ends_at for each in desk.alertmanager.posts[-1]] == [T0]


def test_alert_that_was_ended_is_said_to_be_though_no_note_can_be_kept(desk: Desk) -> None:
    made = desk.raised.start((("alertname", "Door open"),), (), lasting=HOUR, by="ann")
    assert made.episode is not None
    desk.store.failure_of_remarks = GONE
    for each in (1, made.episode.id):
        done = desk.answers.resolve(each, by="ann", even_if_it_comes_back=True)
        assert (done.episode.id, done.warning) == (each, answering.UNREAD)
    assert desk.alertmanager.held() == ()


def test_manual_alert_is_ended_at_once(desk: Desk) -> None:
    labels = (("alertname", "Door open"),)
    made = desk.raised.start(labels, (("summary", "the door"),), lasting=HOUR, by="ann")
    assert made.episode is not None
    desk.now = at(60)
    done = desk.answers.resolve(made.episode.id, by="ben", note="shut")
    assert (done.episode.status, done.episode.ends_at, done.warning) == ("resolved", at(60), "")
    assert done.episode.transitions[-1] == alerts.Transition(Status.RESOLVED, at(60), "ben", "shut")
    assert [each.labels for each in desk.alertmanager.held()] == [LABELS]


def test_feedback_is_kept_of_what_is_over_too(desk: Desk) -> None:
    desk.answers.judge(1, alerts.Feedback.TRUE, by="ann")
    desk.now = at(60)
    desk.end()
    done = desk.answers.judge(1, alerts.Feedback.FALSE_ALARM, by="ben", note="a backup")
    assert done.episode.feedback is alerts.Feedback.FALSE_ALARM
    assert done.episode.transitions[-1] == alerts.Transition(
        Status.RESOLVED, at(60), "ben", "a backup", alerts.Feedback.FALSE_ALARM
    )
    with pytest.raises(errors.ConflictError, match="alert 1: said to be a false alarm already"):
        desk.answers.judge(1, alerts.Feedback.FALSE_ALARM, by="ben")


Do = Callable[[Desk], object]
CHANGES: dict[str, Do] = {
    "acknowledge": lambda desk: desk.answers.acknowledge(1, by="ann"),
    "unacknowledge": lambda desk: desk.answers.unacknowledge(1, by="ann"),
    "silence": lambda desk: desk.answers.silence(1, wanted()),
    "resolve": lambda desk: desk.answers.resolve(1, by="ann", even_if_it_comes_back=True),
}
FRESH = {name: do for name, do in CHANGES.items() if name != "unacknowledge"}


@pytest.mark.parametrize("do", CHANGES.values(), ids=CHANGES)
def test_what_is_over_is_left_alone(desk: Desk, do: Do) -> None:
    desk.now = at(60)
    desk.end()
    with pytest.raises(errors.ConflictError, match="over since 2026-03-01 12:01 UTC"):
        do(desk)
    assert desk.silences() == []


@pytest.mark.parametrize("do", CHANGES.values(), ids=CHANGES)
def test_what_is_not_there_is_said(do: Do) -> None:
    desk = Desk()
    desk.store = Store()
    empty = living.parts(desk.store, signing.Signer(b"key"), lambda: desk.now)
    desk.answers = empty.answers
    with pytest.raises(errors.NotFoundError, match="alert_id: 1: no alert has this id"):
        do(desk)


@pytest.mark.parametrize("do", FRESH.values(), ids=FRESH)
def test_while_alertmanager_is_away_nothing_is_done(desk: Desk, do: Do) -> None:
    before = desk.episode()
    desk.alertmanager.failure = AWAY
    with pytest.raises(errors.UpstreamError):
        do(desk)
    desk.alertmanager.failure = None
    assert (desk.episode(), desk.silences()) == (before, [])
    do(desk)
    assert desk.episode() != before


def test_while_alertmanager_is_away_nothing_is_given_back(desk: Desk) -> None:
    desk.answers.acknowledge(1, by="ann")
    before = desk.episode()
    desk.alertmanager.failure = AWAY
    with pytest.raises(errors.UpstreamError):
        desk.answers.unacknowledge(1, by="ann")
    desk.alertmanager.failure = None
    assert desk.episode() == before
    assert desk.is_muted()
    desk.answers.unacknowledge(1, by="ann")
    assert not desk.is_muted()


@pytest.mark.parametrize("name", ["acknowledge", "silence"])
def test_a_silence_that_cannot_be_kept_is_ended_again(desk: Desk, name: str) -> None:
    desk.store.failure_of_marks = GONE
    with pytest.raises(errors.StoreError):
        CHANGES[name](desk)
    assert (desk.silences(), desk.episode().status) == ([], Status.FIRING)
    desk.store.failure_of_marks = None
    CHANGES[name](desk)
    assert len(desk.silences()) == 1


@pytest.mark.parametrize(
    ("name", "status"),
    [
        ("acknowledge", Status.ACKNOWLEDGED),
        ("silence", Status.SILENCED),
        ("unacknowledge", Status.FIRING),
    ],
)
def test_what_was_done_is_told_though_the_memory_cannot_be_read_after_it(
    desk: Desk, name: str, status: Status
) -> None:
    if name == "unacknowledge":
        desk.answers.acknowledge(1, by="ben")
    desk.store.failure_after_marks = GONE
    does: dict[str, Callable[[], object]] = {
        "acknowledge": lambda: desk.answers.acknowledge(1, by="ann", owner="eve"),
        "silence": lambda: desk.answers.silence(1, wanted()),
        "unacknowledge": lambda: desk.answers.unacknowledge(1, by="ann"),
    }
    done = does[name]()
    assert isinstance(done, answering.Answer)
    assert (done.episode.status, done.warning) == (status, answering.UNREAD)
    desk.store.failure = None
    kept = desk.episode()
    assert (kept.status, kept.owner) == (status, done.episode.owner)
    assert [each.id for each in desk.silences()] == ([done.silence_id] if done.silence_id else [])


@pytest.mark.parametrize("name", ["acknowledge", "silence"])
def test_an_alert_that_ends_meanwhile_leaves_no_silence(desk: Desk, name: str) -> None:
    desk.now = at(60)
    desk.store.meanwhile = desk.end
    with pytest.raises(errors.ConflictError, match="or it has ended"):
        CHANGES[name](desk)
    assert desk.silences() == []


def test_of_two_who_acknowledge_at_once_one_is_told(desk: Desk) -> None:
    desk.store.meanwhile = lambda: desk.answers.acknowledge(1, by="ben")
    with pytest.raises(errors.ConflictError, match="somebody was faster"):
        desk.answers.acknowledge(1, by="ann")
    assert desk.episode().owner == "ben"
    assert [each.id for each in desk.silences()] == [desk.episode().silence_id]


def test_who_owns_what_they_acknowledge_is_said_once(desk: Desk) -> None:
    done = desk.answers.acknowledge(1, by="ann", owner="ann", note="looking")
    assert (done.episode.owner, done.episode.transitions[-1].note) == ("ann", "looking")


def test_alert_that_is_acknowledged_without_a_silence_is_given_back(desk: Desk) -> None:
    desk.store.mark([desk.episode().key], Status.ACKNOWLEDGED, at=T0, by="ann")
    desk.alertmanager.cannot_expire = True
    assert desk.answers.unacknowledge(1, by="ann").episode.status is Status.FIRING


def test_giving_back_that_fails_half_way_can_be_done_again(desk: Desk) -> None:
    desk.answers.acknowledge(1, by="ann")
    desk.store.failure_of_marks = GONE
    with pytest.raises(errors.StoreError):
        desk.answers.unacknowledge(1, by="ann")
    desk.store.failure_of_marks = None
    assert desk.answers.unacknowledge(1, by="ann").episode.status is Status.FIRING


def test_a_silence_that_was_left_over_is_ended_later(
    desk: Desk, caplog: pytest.LogCaptureFixture
) -> None:
    """As when we are killed after it was made, and before it was kept."""
    desk.store.failure_of_marks, desk.alertmanager.cannot_expire = GONE, True
    with pytest.raises(errors.StoreError):
        desk.answers.acknowledge(1, by="ann")
    assert "a silence is left over" in caplog.text
    desk.store.failure_of_marks, desk.alertmanager.cannot_expire = None, False
    assert len(desk.silences()) == 1
    desk.answers.turn()
    assert len(desk.silences()) == 1  # it may be kept any moment
    desk.now += answering.SETTLED_AFTER + timedelta(seconds=1)
    desk.answers.turn()
    assert desk.silences() == []


def test_an_end_ends_the_silence_behind_it(desk: Desk) -> None:
    """What comes again is another alert, which nobody has acknowledged."""
    desk.answers.acknowledge(1, by="ann")
    desk.now = at(600)
    desk.answers.turn()
    assert len(desk.silences()) == 1
    desk.end()
    assert desk.answers.turn() == loops.Turn(1, 1)
    assert desk.silences() == []
    assert desk.answers.turn() == loops.Turn()


def test_a_silence_that_is_no_longer_the_one_behind_it_is_ended(desk: Desk) -> None:
    """As when its end failed, and somebody has acknowledged the alert again."""
    matchers = silencing.exactly(LABELS)
    comment = f"{answering.ACKNOWLEDGED} 1"
    desk.alertmanager.silence(alerts.NewSilence(matchers, T0, T0 + HOUR, "ben", comment))
    kept = desk.answers.acknowledge(1, by="ann").silence_id
    desk.now = at(600)
    desk.answers.turn()
    assert [each.id for each in desk.silences()] == [kept]


def test_silences_of_others_are_left_alone(desk: Desk) -> None:
    assert isinstance(
        desk.guard.make(
            silencing.Wanted((alerts.Matcher("a", "b"),), HOUR, "acknowledged alert 9", "ann")
        ),
        str,
    )
    for comment in ("acknowledged alert 9", "mda acknowledged alert 9 too"):
        desk.alertmanager.silence(
            alerts.NewSilence(
                (alerts.Matcher("a", "b"),), desk.now, desk.now + HOUR, "ann", comment
            )
        )
    desk.now = at(600)
    desk.answers.turn()
    assert len(desk.silences()) == 3


def test_an_alertmanager_that_is_away_is_counted_and_no_more(desk: Desk) -> None:
    desk.alertmanager.failure = AWAY
    desk.answers.turn()
    assert desk.failures == ["unreachable"]
