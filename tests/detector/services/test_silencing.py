from __future__ import annotations

from datetime import timedelta

import pytest

from detector import alerts, signing
from detector.services import silencing
from tests import living
from tests.detector.api.conftest import FakeClock
from tests.factories import at, notification
from tests.fakes.alertmanager import FakeAlertmanager
from tests.fakes.episodes import FakeEpisodeStore

HOUR = timedelta(hours=1)
WEB = alerts.Matcher("job", "web")


class Desk:
    """30 alerts of the job web, 30 of the job db; three of job mail."""

    def __init__(self, web: int = 30, db: int = 30, mail: int = 3) -> None:
        self.clock = FakeClock()
        self.store = FakeEpisodeStore()
        self.alertmanager = FakeAlertmanager(self.clock)
        self.silences = living.parts(
            self.store, signing.Signer(b"key"), self.clock, alertmanager=self.alertmanager
        ).silences
        posted = [
            alerts.Posted((("instance", str(n)), ("job", job)), (), at(0), at(3600))
            for job, count in (("web", web), ("db", db), ("mail", mail))
            for n in range(count)
        ]
        self.alertmanager.post(posted)
        self.store.record(
            [
                notification(alerts.fingerprint_of(each.labels), labels=each.labels)
                for each in posted
            ],
            received_at=at(1),
        )

    def make(self, *matchers: alerts.Matcher, lasting: timedelta = HOUR) -> str | silencing.Broad:
        return self.silences.make(silencing.Wanted(matchers, lasting, "a move", "ann"))

    def broad(self, *matchers: alerts.Matcher, lasting: timedelta = HOUR) -> silencing.Broad:
        found = self.make(*matchers, lasting=lasting)
        assert isinstance(found, silencing.Broad)
        assert self.alertmanager.silences() == ()
        return found


def test_narrow_silence_is_made_at_once() -> None:
    desk = Desk()
    made = desk.make(alerts.Matcher("job", "mail"), alerts.Matcher("instance", "1"))
    (silence,) = desk.alertmanager.silences()
    assert made == silence.id
    assert (silence.created_by, silence.comment) == ("ann", "mda: a move")
    assert silence.ends_at == at(0) + HOUR


def test_few_alerts_of_many_need_no_confirming() -> None:
    assert isinstance(Desk().make(alerts.Matcher("job", "mail")), str)


@pytest.mark.parametrize(("web", "db"), [(11, 60), (3, 7)])
def test_as_many_alerts_as_the_limits_say_need_no_confirming(web: int, db: int) -> None:
    assert isinstance(Desk(web, db, mail=0).make(WEB), str)
    assert isinstance(Desk(web + 1, db - 1, mail=0).make(WEB), silencing.Broad)


def test_silence_as_long_as_the_limit_needs_no_confirming() -> None:
    mail = alerts.Matcher("job", "mail")
    assert isinstance(Desk().make(mail, lasting=living.LIMITS.longest), str)


def test_more_alerts_than_a_few_are_shown_first() -> None:
    desk = Desk()
    desk.clock.pass_(timedelta(minutes=30))
    broad = desk.broad(WEB)
    assert broad.reasons == ("it mutes 30 alerts that fire now (silences.confirm_above)",)
    assert (broad.muted, broad.of, broad.episodes, len(broad.some)) == (30, 63, 30, 10)


def test_a_large_share_of_few_alerts_is_shown_first() -> None:
    broad = Desk(web=4, db=5, mail=0).broad(WEB)
    assert broad.reasons == (
        "it mutes 4 of the 9 alerts that fire now (silences.confirm_above_ratio)",
    )


@pytest.mark.parametrize(
    ("matcher", "reason"),
    [
        (alerts.Matcher("job", "w.*", is_regex=True), "no matcher says exactly what a label is"),
        (alerts.Matcher("job", "x", is_equal=False), "no matcher says exactly what a label is"),
        (alerts.Matcher("job", ""), "no matcher says exactly what a label is"),
    ],
)
def test_silence_without_an_exact_label_is_shown_first(
    matcher: alerts.Matcher, reason: str
) -> None:
    assert reason in Desk().broad(matcher).reasons


@pytest.mark.parametrize("pattern", [".*", ".+", "^.*$", "(.*)"])
def test_pattern_that_holds_of_anything_is_shown_first(pattern: str) -> None:
    anything = alerts.Matcher("instance", pattern, is_regex=True)
    broad = Desk().broad(alerts.Matcher("job", "mail"), anything)
    assert broad.reasons == (f"instance=~{pattern} holds of anything",)


def test_pattern_that_holds_of_nothing_needs_no_confirming() -> None:
    nothing = alerts.Matcher("instance", ".*", is_regex=True, is_equal=False)
    assert isinstance(Desk().make(alerts.Matcher("job", "mail"), nothing), str)


def test_silence_of_the_watchdog_is_shown_first() -> None:
    desk = Desk()
    watchdog = (("alertname", "Watchdog"), ("severity", "none"))
    desk.alertmanager.post([alerts.Posted(watchdog, (), at(0), at(3600))])
    broad = desk.broad(alerts.Matcher("severity", "none"))
    assert broad.reasons == ("it mutes Watchdog, which shows that alerts arrive",)


def test_silence_for_planned_work_says_so() -> None:
    desk = Desk()
    mail = alerts.Matcher("job", "mail")
    desk.silences.make(silencing.Wanted((mail,), HOUR, "a move", "ann", is_planned=True))
    assert [each.comment for each in desk.alertmanager.silences()] == ["mda planned: a move"]


def test_long_silence_is_shown_first_even_of_one_alert() -> None:
    desk = Desk()
    wanted = silencing.Wanted(
        silencing.exactly((("instance", "1"), ("job", "mail"))), timedelta(days=8), "", "ann"
    )
    broad = desk.silences.make(wanted, is_exact=True)
    assert isinstance(broad, silencing.Broad)
    assert broad.reasons == ("it lasts longer than 7d (silences.longest)",)
    assert isinstance(desk.silences.make(wanted, broad.confirm, is_exact=True), str)


def test_what_was_shown_is_made_when_it_is_confirmed() -> None:
    desk = Desk()
    wanted = silencing.Wanted((WEB,), HOUR, "a move", "ann")
    broad = desk.broad(WEB)
    made = desk.silences.make(wanted, broad.confirm)
    assert [each.id for each in desk.alertmanager.silences()] == [made]


@pytest.mark.parametrize(
    "other",
    [
        silencing.Wanted((WEB,), HOUR, "a move", "ben"),
        silencing.Wanted((WEB,), HOUR, "another", "ann"),
        silencing.Wanted((WEB,), 2 * HOUR, "a move", "ann"),
        silencing.Wanted((alerts.Matcher("job", "db"),), HOUR, "a move", "ann"),
        silencing.Wanted((alerts.Matcher("job", "web", is_regex=True),), HOUR, "a move", "ann"),
        silencing.Wanted((WEB,), HOUR, "a move", "ann", is_planned=True),
    ],
)
def test_confirming_is_for_the_same_wish_alone(other: silencing.Wanted) -> None:
    desk = Desk()
    confirm = desk.broad(WEB).confirm
    assert isinstance(desk.silences.make(other, confirm), silencing.Broad)
    assert desk.alertmanager.silences() == ()


def test_confirming_is_good_for_some_minutes() -> None:
    desk = Desk()
    wanted = silencing.Wanted((WEB,), HOUR, "a move", "ann")
    broad = desk.broad(WEB)
    assert broad.expires == at(600)
    desk.clock.pass_(timedelta(seconds=600))
    assert isinstance(desk.silences.make(wanted, broad.confirm), silencing.Broad)


@pytest.mark.parametrize("given", ["", ".", "x.y", "9" * 30, "9999999999.", "\N{FIRE}.a", "²."])
def test_made_up_confirmations_confirm_nothing(given: str) -> None:
    desk = Desk()
    wanted = silencing.Wanted((WEB,), HOUR, "a move", "ann")
    assert isinstance(desk.silences.make(wanted, given), silencing.Broad)
