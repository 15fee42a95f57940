"""What every ports.EpisodeStore holds: PostgreSQL's and the fake that tests use in its place."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import hypothesis
import pytest
from hypothesis import strategies as st

from detector import alerts, ports
from detector.store import database, episodes, migrate
from tests.factories import at, notification
from tests.fakes.episodes import FakeEpisodeStore

VERSION_LASTS_S = 4
VERSIONS = ("m", "c", "z", "a", "q", "b")  # their order in time is not that of the alphabet


@pytest.fixture(params=["fake", "postgres"])
def store(request: pytest.FixtureRequest) -> Iterator[ports.EpisodeStore]:
    if request.param == "fake":
        yield FakeEpisodeStore()
        return
    url: str = request.getfixturevalue("database_url")
    migrate.migrate(url)
    connections = database.Database(url)
    yield episodes.PostgresEpisodeStore(connections)
    connections.close()


def everything(store: ports.EpisodeStore) -> tuple[alerts.Episode, ...]:
    return store.list_episodes(alerts.EpisodeFilter(limit=1000)).episodes


def only(store: ports.EpisodeStore) -> alerts.Episode:
    """The one episode there is, with its transitions."""
    (episode,) = everything(store)
    found = store.episode(episode.id)
    assert found is not None
    return found


def test_firing_notification_becomes_an_episode(store: ports.EpisodeStore) -> None:
    assert store.record([notification()], received_at=at(5)) == alerts.Recorded(1, 0)
    episode = only(store)
    assert episode == alerts.Episode(
        id=episode.id,
        fingerprint=alerts.Fingerprint("a1b2c3d4e5f60718"),
        starts_at=at(0),
        ends_at=None,
        state=alerts.State.FIRING,
        labels=(("alertname", "HighCpu"), ("instance", "web-1")),
        annotations=(("summary", "CPU is at 93 %"),),
        generator_url="http://prometheus.example/graph",
        received_at=at(5),
        updated_at=at(5),
        transitions=(alerts.Transition(alerts.Status.FIRING, at(5)),),
    )


def test_resolution_ends_the_episode(store: ports.EpisodeStore) -> None:
    store.record([notification()], received_at=at(5))
    recorded = store.record([notification(ends_at=at(60))], received_at=at(65))
    episode = only(store)
    assert recorded == alerts.Recorded(1, 0)
    assert (episode.state, episode.ends_at) == (alerts.State.RESOLVED, at(60))
    assert (episode.received_at, episode.updated_at) == (at(5), at(65))
    assert episode.transitions == (
        alerts.Transition(alerts.Status.FIRING, at(5)),
        alerts.Transition(alerts.Status.RESOLVED, at(65)),
    )


KEY = (alerts.Fingerprint("a1b2c3d4e5f60718"), at(0))


def test_what_people_and_silences_do_is_its_history(store: ports.EpisodeStore) -> None:
    store.record([notification()], received_at=at(5))
    done = [
        (alerts.Status.PENDING, -60, "", ""),
        (alerts.Status.SILENCED, 10, "", "silence 1"),
        (alerts.Status.FIRING, 20, "", ""),
        (alerts.Status.ACKNOWLEDGED, 30, "ann", "looking\x00"),
    ]
    for status, second, by, note in done:
        silence_id = "s-2" if status is alerts.Status.ACKNOWLEDGED else ""
        marked = store.mark([KEY], status, at=at(second), by=by, note=note, silence_id=silence_id)
        again = store.mark([KEY], status, at=at(second + 1))
        assert (marked, again) == (1, 0)
    found = only(store)
    assert (found.status, found.owner, found.silence_id) == ("acknowledged", "ann", "s-2")
    store.record([notification(ends_at=at(40))], received_at=at(45))
    assert store.mark([KEY], alerts.Status.SILENCED, at=at(50)) == 0
    found = only(store)
    assert (found.state, found.status, found.owner) == ("resolved", "resolved", "ann")
    assert found.transitions == (
        alerts.Transition(alerts.Status.PENDING, at(-60)),
        alerts.Transition(alerts.Status.FIRING, at(5)),
        alerts.Transition(alerts.Status.SILENCED, at(10), "", "silence 1"),
        alerts.Transition(alerts.Status.FIRING, at(20)),
        alerts.Transition(
            alerts.Status.ACKNOWLEDGED, at(30), "ann", "looking\N{REPLACEMENT CHARACTER}"
        ),
        alerts.Transition(alerts.Status.RESOLVED, at(45)),
    )


def test_marks_are_for_the_episodes_that_are_named(store: ports.EpisodeStore) -> None:
    store.record([notification("1"), notification("2")], received_at=at(5))
    named = alerts.Fingerprint("1")
    unknown = alerts.Fingerprint("3")
    keys = [(named, at(0)), (named, at(1)), (unknown, at(0))]
    assert store.mark(keys, alerts.Status.INHIBITED, at=at(6)) == 1
    inhibited = alerts.EpisodeFilter(status=alerts.Status.INHIBITED)
    assert [each.fingerprint for each in store.list_episodes(inhibited).episodes] == ["1"]
    assert store.mark([], alerts.Status.INHIBITED, at=at(6)) == 0


def test_ten_thousand_are_marked_and_learnt_of_at_once(store: ports.EpisodeStore) -> None:
    store.record([notification()], received_at=at(5))
    keys = [(alerts.Fingerprint(f"{number:x}"), at(0)) for number in range(10_000)]
    assert store.mark([*keys, KEY], alerts.Status.SILENCED, at=at(6)) == 1
    store.learn(dict.fromkeys([*keys, KEY], (("value", "1"),)))
    assert (only(store).status, only(store).facts) == ("silenced", (("value", "1"),))


def test_late_notification_takes_no_mark_away(store: ports.EpisodeStore) -> None:
    store.record([notification()], received_at=at(5))
    store.mark([KEY], alerts.Status.SILENCED, at=at(6))
    store.record([notification()], received_at=at(7))
    assert only(store).status is alerts.Status.SILENCED


def test_a_mark_may_be_for_what_is_in_a_status_alone(store: ports.EpisodeStore) -> None:
    store.record([notification()], received_at=at(5))
    silenced, firing = alerts.Status.SILENCED, alerts.Status.FIRING
    assert store.mark([KEY], silenced, at=at(6), was=alerts.Status.INHIBITED) == 0
    assert store.mark([KEY], silenced, at=at(7), was=firing) == 1
    assert store.mark([KEY], firing, at=at(8), was=silenced) == 1


def test_what_fires_is_told_in_short(store: ports.EpisodeStore) -> None:
    store.record([notification(), notification("2", ends_at=at(4))], received_at=at(5))
    store.record([notification("3")], received_at=at(5))
    acknowledged, firing = alerts.Status.ACKNOWLEDGED, alerts.Status.FIRING
    store.mark([KEY], acknowledged, at=at(6), by="ann", silence_id="s-1")
    assert set(store.firing()) == {
        alerts.Firing(KEY, acknowledged, "ann", "s-1"),
        alerts.Firing((alerts.Fingerprint("3"), at(0)), firing, "", ""),
    }


def test_until_when_all_was_watched_is_kept(store: ports.EpisodeStore) -> None:
    assert store.watched_until() is None
    for second in (5, 7):
        store.watched(at(second))
    assert store.watched_until() == at(7)


@pytest.mark.parametrize(("begins", "made", "left"), [(0.0004, True, 1), (9, False, 2)])
@pytest.mark.parametrize("ends", [None, 12])
def test_what_was_made_from_alerts_goes_when_it_is_told_of(
    store: ports.EpisodeStore, begins: float, made: bool, left: int, ends: float | None
) -> None:
    source = alerts.FROM_ALERTS if made else "webhook"
    store.record([notification(), notification("2")], received_at=at(5))
    other = (alerts.Fingerprint("2"), at(0))
    store.mark([KEY, other], alerts.Status.PENDING, at=at(-5))
    store.record([notification(ends_at=at(8))], received_at=at(6))
    store.learn({KEY: ((alerts.SOURCE, source),), other: ((alerts.SOURCE, source),)})
    end = None if ends is None else at(ends)
    told = notification(starts_at=at(begins), ends_at=end)
    for _ in range(2):
        store.record([told], received_at=at(7))
    found = [each for each in everything(store) if each.fingerprint == KEY[0]]
    assert (len(found), found[0].starts_at) == (left, at(begins))
    assert len(everything(store)) == left + 1


def test_what_was_made_from_alerts_is_as_any_other_once_it_is_told_of(
    store: ports.EpisodeStore,
) -> None:
    store.record([notification(ends_at=at(8), annotations=())], received_at=at(20))
    store.learn({KEY: ((alerts.SOURCE, alerts.FROM_ALERTS), ("value", "1"))})
    assert only(store).facts == (("source", "ALERTS"), ("value", "1"))
    store.record([notification(ends_at=at(9))], received_at=at(30))
    told = only(store)
    assert (told.ends_at, told.facts) == (at(9), (("value", "1"),))
    assert told.annotations == notification().annotations


@pytest.mark.parametrize(("begins", "left"), [(60, 1), (60.001, 2)])
def test_what_was_made_from_alerts_is_of_the_same_alert_within_a_minute(
    store: ports.EpisodeStore, begins: float, left: int
) -> None:
    store.record([notification(ends_at=at(8))], received_at=at(20))
    store.learn({KEY: ((alerts.SOURCE, alerts.FROM_ALERTS),)})
    store.record([notification(starts_at=at(begins))], received_at=at(90))
    assert len(everything(store)) == left


def test_who_silences_an_alert_does_not_own_it(store: ports.EpisodeStore) -> None:
    store.record([notification()], received_at=at(5))
    store.mark([KEY], alerts.Status.SILENCED, at=at(6), by="ann", silence_id="s")
    assert (only(store).status, only(store).owner) == ("silenced", "")
    assert only(store).silence_id == ""


def test_of_both_ends_that_are_heard_at_once_the_beginning_is_first(
    store: ports.EpisodeStore,
) -> None:
    store.record([notification(ends_at=at(60)), notification()], received_at=at(65))
    told = [(each.state, each.received_at) for each in only(store).transitions]
    assert told == [("firing", at(65)), ("resolved", at(65))]


def test_facts_are_kept_each_in_the_place_of_the_one_before(store: ports.EpisodeStore) -> None:
    store.record([notification()], received_at=at(5))
    store.learn({KEY: (("expected", "40 %"), ("value", "93 %"))})
    store.learn({KEY: (("value", "94 %"),), (alerts.Fingerprint("3"), at(0)): (("value", "1"),)})
    store.learn({})
    assert only(store).facts == (("expected", "40 %"), ("value", "94 %"))


def test_feedback_is_kept_with_who_gave_it_whatever_the_state(store: ports.EpisodeStore) -> None:
    store.record([notification()], received_at=at(5))
    planned, false_alarm = alerts.Feedback.PLANNED, alerts.Feedback.FALSE_ALARM
    assert store.remark(KEY, at=at(10), by="ann", note="a move", feedback=planned)
    assert (only(store).status, only(store).feedback) == ("firing", planned)
    store.record([notification(ends_at=at(40))], received_at=at(45))
    assert store.remark(KEY, at=at(50), by="ben\x00", feedback=false_alarm)
    found = only(store)
    assert (found.status, found.feedback) == ("resolved", false_alarm)
    assert found.transitions == (
        alerts.Transition(alerts.Status.FIRING, at(5)),
        alerts.Transition(alerts.Status.FIRING, at(10), "ann", "a move", planned),
        alerts.Transition(alerts.Status.RESOLVED, at(45)),
        alerts.Transition(
            alerts.Status.RESOLVED, at(50), "ben\N{REPLACEMENT CHARACTER}", "", false_alarm
        ),
    )
    assert not store.remark((KEY[0], at(1)), at=at(51), by="ann", feedback=planned)


def test_who_ended_an_episode_stands_at_its_end(store: ports.EpisodeStore) -> None:
    store.record([notification()], received_at=at(5))
    assert store.remark(KEY, at=at(6), by="ann", note="will be over soon")
    store.record([notification(ends_at=at(40))], received_at=at(45))
    assert store.remark(KEY, at=at(46), by="ann", note="done")
    assert only(store).feedback is None
    assert only(store).transitions == (
        alerts.Transition(alerts.Status.FIRING, at(5)),
        alerts.Transition(alerts.Status.FIRING, at(6), "ann", "will be over soon"),
        alerts.Transition(alerts.Status.RESOLVED, at(46), "ann", "done"),
    )


def test_judged_episodes_are_those_with_feedback_that_lasted_until_then(
    store: ports.EpisodeStore,
) -> None:
    starts = {"early": 0, "open": 10, "late": 20, "nothing": 30}
    store.record(
        [
            notification(
                name, starts_at=at(start), ends_at=None if name == "open" else at(start + 5)
            )
            for name, start in starts.items()
        ],
        received_at=at(40),
    )
    for name in ("late", "open", "early"):
        key = (alerts.Fingerprint(name), at(starts[name]))
        store.remark(key, at=at(50), by="ann", feedback=alerts.Feedback.TRUE)

    def names(since: float) -> list[str]:
        return [each.fingerprint for each in store.judged(at(since))]

    assert names(0) == ["early", "open", "late"]
    assert names(5) == ["early", "open", "late"]
    assert names(6) == ["open", "late"]
    assert names(26) == ["open"]
    assert [each.feedback for each in store.judged(at(26))] == [alerts.Feedback.TRUE]


def test_an_episode_is_found_by_the_millisecond_in_which_it_started(
    store: ports.EpisodeStore,
) -> None:
    store.record(
        [notification(starts_at=at(1.0004)), notification("2", starts_at=at(1.001))],
        received_at=at(5),
    )
    assert store.remark((KEY[0], at(1.0004)), at=at(6), by="ann", note="seen")
    found = store.episode_of((KEY[0], at(1)))
    assert found is not None
    assert (found.starts_at, len(found.transitions)) == (at(1.0004), 2)
    assert store.episode_of((KEY[0], at(1.0009))) == found
    assert store.episode_of((KEY[0], at(1.001))) is None
    assert store.episode_of((alerts.Fingerprint("2"), at(1))) is None


def match(name: str, value: str, sign: str = "=") -> alerts.Matcher:
    return alerts.Matcher(name, value, is_regex="~" in sign, is_equal=not sign.startswith("!"))


@pytest.mark.parametrize(
    ("matchers", "count"),
    [
        ([], 3),
        ([match("job", "a")], 2),
        ([match("job", "a", "!=")], 1),
        ([match("host", "")], 2),
        ([match("host", "", "!=")], 1),
        ([match("host", "web-.*", "=~")], 1),
        ([match("host", "web", "=~")], 0),
        ([match("job", "a|b", "=~"), match("host", "web-1|", "!~")], 0),
        ([match("job", "a|b", "=~"), match("host", "db", "!~")], 3),
        ([match("host", "x|eb-1", "=~")], 0),
        ([match("job", "(", "=~")], None),
    ],
)
def test_a_silence_is_measured_by_what_it_would_have_muted(
    store: ports.EpisodeStore, matchers: list[alerts.Matcher], count: int | None
) -> None:
    store.record(
        [
            notification("1", starts_at=at(0), labels=(("job", "a"),)),
            notification("2", starts_at=at(10), labels=(("job", "a"),)),
            notification("3", starts_at=at(10), labels=(("host", "web-1"), ("job", "a"))),
            notification("4", starts_at=at(20), labels=(("job", "b"),)),
        ],
        received_at=at(40),
    )
    assert store.muted(matchers, since=at(5)) == count
    assert store.muted(matchers, since=at(10)) == count


def test_episodes_of_any_time_are_kept(store: ports.EpisodeStore) -> None:
    """Each month has a partition of its own, made when the first alert of it comes."""
    times = [
        datetime(year, month, 1, tzinfo=UTC)
        for year, month in [(1, 1), (1999, 12), (2020, 1), (2026, 12), (2027, 1), (2100, 1)]
    ] + [datetime(9999, 12, 31, 23, 59, 59, 999999, tzinfo=UTC)]
    told = [dataclasses.replace(notification(), starts_at=each) for each in times]
    assert store.record(told, received_at=at(5)) == alerts.Recorded(len(times), 0)
    assert store.record(told, received_at=at(6)) == alerts.Recorded(0, len(times))
    assert [each.starts_at for each in everything(store)] == sorted(times, reverse=True)


def test_repeated_notification_changes_nothing(store: ports.EpisodeStore) -> None:
    store.record([notification()], received_at=at(5))
    before = only(store)
    assert store.record([notification(), notification()], received_at=at(9)) == (
        alerts.Recorded(0, 2)
    )
    assert only(store) == before


def test_firing_that_comes_after_the_resolution_changes_nothing_but_when_it_was_heard(
    store: ports.EpisodeStore,
) -> None:
    late = notification(annotations=(("summary", "older news"),))
    store.record([notification(ends_at=at(60))], received_at=at(65))
    before = only(store)
    assert store.record([late], received_at=at(70)) == alerts.Recorded(1, 0)
    assert only(store) == before


def test_newest_annotations_are_kept(store: ports.EpisodeStore) -> None:
    store.record([notification()], received_at=at(5))
    newer = notification(annotations=(("summary", "CPU is at 90 %"),))
    assert store.record([newer], received_at=at(9)) == alerts.Recorded(0, 1)
    store.record([notification()], received_at=at(7))
    episode = only(store)
    assert episode.annotations == newer.annotations
    assert (episode.received_at, episode.updated_at) == (at(5), at(9))


def test_alert_that_fires_again_is_another_episode(store: ports.EpisodeStore) -> None:
    store.record([notification(ends_at=at(60))], received_at=at(65))
    store.record([notification(starts_at=at(100))], received_at=at(101))
    assert [each.starts_at for each in everything(store)] == [at(100), at(0)]


REDATED: tuple[tuple[int, int | None], ...] = ((0, None), (0, 50), (10, 52), (20, 52))
"""(start, end) of what is told of an alert that was dated anew twice while it lasted."""


@pytest.mark.parametrize("order", list(itertools.permutations(REDATED)))
def test_an_end_within_an_episode_is_its_own_dated_anew(
    store: ports.EpisodeStore, order: tuple[tuple[int, int | None], ...]
) -> None:
    for received, (start, end) in enumerate([*order, *order]):
        ended = None if end is None else at(end)
        one = notification(starts_at=at(start), ends_at=ended)
        store.record([one], received_at=at(100 + received))
    told = only(store)
    assert (told.starts_at, told.ends_at, told.state) == (at(0), at(52), "resolved")
    assert told.transitions[-1].state == "resolved"
    assert len(told.transitions) == 1 + (order[0][1] is None)
    heard = 100 + min(place for place, each in enumerate(order) if each[1] is not None)
    assert told.transitions[-1].received_at == at(heard)


def test_redated_ends_of_one_delivery_are_joined(store: ports.EpisodeStore) -> None:
    each = [(start, None if end is None else at(end)) for start, end in REDATED]
    told = [notification(starts_at=at(start), ends_at=end) for start, end in each]
    store.record(
        [*told, notification("other", starts_at=at(10), ends_at=at(52))], received_at=at(9)
    )
    assert {(one.fingerprint, one.ends_at) for one in everything(store)} == {
        (KEY[0], at(52)),
        ("other", at(52)),
    }


def test_an_end_is_joined_to_the_episode_before_it_of_the_same_alert(
    store: ports.EpisodeStore,
) -> None:
    others = [("third", 0, 80), ("other", 5, 60)]
    own = [(KEY[0], -90, -80), (KEY[0], 10, 52), (KEY[0], 0, 50), (KEY[0], 70, 75)]
    for fingerprint, start, end in [*others, *own]:
        told = notification(fingerprint, starts_at=at(start), ends_at=at(end))
        store.record([told], received_at=at(100))
    found = [
        (each.starts_at, each.ends_at) for each in everything(store) if each.fingerprint == KEY[0]
    ]
    assert found == [(at(70), at(75)), (at(0), at(52)), (at(-90), at(-80))]


@pytest.mark.parametrize(
    ("start", "fired", "said", "left"),
    [
        (50, False, False, 1),
        (51, False, False, 2),
        (20, True, False, 2),
        (20, False, True, 2),
    ],
)
def test_what_began_after_the_end_was_told_of_or_spoken_of_is_an_episode_of_its_own(
    store: ports.EpisodeStore, start: int, fired: bool, said: bool, left: int
) -> None:
    if fired:
        store.record([notification(starts_at=at(start))], received_at=at(60))
    store.record([notification(starts_at=at(start), ends_at=at(55))], received_at=at(61))
    if said:
        assert store.remark((KEY[0], at(start)), at=at(62), by="ann", note="seen")
    store.record([notification()], received_at=at(63))
    store.record([notification(ends_at=at(50))], received_at=at(64))
    assert [each.starts_at for each in everything(store)] == [at(start), at(0)][2 - left :]


def test_one_delivery_may_hold_both_ends_of_an_episode(store: ports.EpisodeStore) -> None:
    both = [notification(ends_at=at(60)), notification(), notification(ends_at=at(60))]
    assert store.record(both, received_at=at(65)) == alerts.Recorded(2, 1)
    assert only(store).state is alerts.State.RESOLVED


def test_empty_delivery_stores_nothing(store: ports.EpisodeStore) -> None:
    assert store.record([], received_at=at(1)) == alerts.Recorded(0, 0)
    assert everything(store) == ()


def test_unknown_episode_is_none(store: ports.EpisodeStore) -> None:
    assert store.episode(17) is None


def test_hostile_text_comes_back_as_it_was_but_for_what_postgresql_cannot_hold(
    store: ports.EpisodeStore,
) -> None:
    hostile = (
        ("emoji", "\N{FIRE}\N{ZERO WIDTH JOINER}"),
        ("long", "x" * 200_000),
        ("markup", "<b>'\"\\ %s {{ .Labels }}; DROP TABLE episodes --\n\t"),
        ("nul\x00name", "a\x00b"),
        ("surrogate", "\ud800"),
    )
    store.record([notification(labels=hostile, annotations=hostile)], received_at=at(1))
    episode = only(store)
    expected = (
        *hostile[:3],
        ("nul�name", "a�b"),
        ("surrogate", "�"),
    )
    assert (episode.labels, episode.annotations) == (expected, expected)
    wanted = alerts.EpisodeFilter(labels=(("nul\x00name", "a\x00b"),))
    assert len(store.list_episodes(wanted).episodes) == 1


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        (alerts.EpisodeFilter(), ["late", "open", "early"]),
        (alerts.EpisodeFilter(state=alerts.State.FIRING), ["late", "open"]),
        (alerts.EpisodeFilter(state=alerts.State.RESOLVED), ["early"]),
        (alerts.EpisodeFilter(labels=(("job", "a"),)), ["open", "early"]),
        (alerts.EpisodeFilter(labels=(("job", "a"), ("name", "open"))), ["open"]),
        (alerts.EpisodeFilter(labels=(("job", "c"),)), []),
        (alerts.EpisodeFilter(labels=(("other", "a"),)), []),
        (alerts.EpisodeFilter(since=at(20)), ["late", "open", "early"]),
        (alerts.EpisodeFilter(since=at(21)), ["late", "open"]),
        (alerts.EpisodeFilter(until=at(30)), ["open", "early"]),
        (alerts.EpisodeFilter(until=at(31)), ["late", "open", "early"]),
        (alerts.EpisodeFilter(since=at(21), until=at(30)), ["open"]),
        (alerts.EpisodeFilter(state=alerts.State.FIRING, labels=(("job", "b"),)), ["late"]),
        (alerts.EpisodeFilter(limit=2), ["late", "open"]),
    ],
)
def test_filters_find_what_they_say(
    store: ports.EpisodeStore, wanted: alerts.EpisodeFilter, expected: list[str]
) -> None:
    store.record(
        [
            notification("1", starts_at=at(10), labels=(("job", "a"), ("name", "open"))),
            notification("2", ends_at=at(20), labels=(("job", "a"), ("name", "early"))),
            notification("3", starts_at=at(30), labels=(("job", "b"), ("name", "late"))),
        ],
        received_at=at(40),
    )
    found = store.list_episodes(wanted).episodes
    assert [dict(each.labels)["name"] for each in found] == expected


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("disk", ["disk2", "disk1"]),
        ("DIS web-1", ["disk1"]),
        ("web example", ["disk2", "disk1"]),
        ("isk", []),
        ("disk queue", []),
        ("summary", ["queue", "disk2", "disk1"]),
        ("93 'full' & !x | (disk):*", []),
        ("'full' & | (disk):*", ["disk2", "disk1"]),
        ("5_or", ["queue"]),
    ],
)
def test_words_are_found_by_their_beginnings(
    store: ports.EpisodeStore, given: str, expected: list[str]
) -> None:
    texts = {"disk1": "Disk of web-1.example full", "disk2": "disk of web-2.example FULL"}
    texts |= {"queue": "Queue: 5_orders"}
    told = [
        notification(name, starts_at=at(number), annotations=(("summary", said),))
        for number, (name, said) in enumerate(texts.items())
    ]
    told = [dataclasses.replace(each, labels=(("job", "a"),)) for each in told]
    store.record(told, received_at=at(40))
    found = store.list_episodes(alerts.EpisodeFilter(text=given)).episodes
    assert [each.fingerprint for each in found] == expected


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("диск", ["1"]),
        ("полон", ["1"]),
        ("über", ["2"]),
        ("ber", []),
        ("満杯", ["3"]),
        ("очередь", []),
    ],
)
def test_words_of_any_script_are_found(
    store: ports.EpisodeStore, given: str, expected: list[str]
) -> None:
    texts = ("диск сервера полон", "Last ist über 90 %", "満杯")
    store.record(
        [
            notification(str(number), annotations=(("summary", said),))
            for number, said in enumerate(texts, 1)
        ],
        received_at=at(5),
    )
    found = store.list_episodes(alerts.EpisodeFilter(text=given)).episodes
    assert [each.fingerprint for each in found] == expected


def test_text_without_letters_and_digits_asks_for_nothing(store: ports.EpisodeStore) -> None:
    store.record([notification()], received_at=at(1))
    assert len(store.list_episodes(alerts.EpisodeFilter(text="%% -")).episodes) == 1


def test_owners_are_found(store: ports.EpisodeStore) -> None:
    store.record([notification("1"), notification("2")], received_at=at(5))
    first = alerts.Fingerprint("1")
    store.mark([(first, at(0))], alerts.Status.ACKNOWLEDGED, at=at(6), by="ann")
    for owner, expected in (("ann", ["1"]), ("an", []), ("", ["2", "1"])):
        found = store.list_episodes(alerts.EpisodeFilter(owner=owner)).episodes
        assert [each.fingerprint for each in found] == expected
    judged = alerts.EpisodeFilter(feedback=alerts.Feedback.FALSE_ALARM)
    assert store.list_episodes(judged).episodes == ()


def test_what_ended_long_ago_is_forgotten_with_its_month(store: ports.EpisodeStore) -> None:
    """Of March nothing is left, of February one that fires and of January one that just ended."""
    march, april = datetime(2026, 3, 1, tzinfo=UTC), datetime(2026, 4, 1, tzinfo=UTC)
    hour, day = timedelta(hours=1), timedelta(days=1)
    spans: dict[str, tuple[datetime, datetime | None]] = {
        "ancient": (datetime(1999, 1, 1, tzinfo=UTC), march),
        "january": (march - 40 * day, march),
        "lasted": (march - 40 * day, april + 2 * day),
        "february": (march - hour, march),
        "fires": (march - hour, None),
        "march": (march, march + hour),
        "late march": (april - hour, april + hour),
        "april": (april, april + hour),
    }
    told = [
        dataclasses.replace(notification(name, ends_at=end), starts_at=start)
        for name, (start, end) in spans.items()
    ]
    store.record(told, received_at=april + 3 * day)
    store.mark([each.key for each in everything(store)], alerts.Status.PENDING, at=march)
    before = april + 1.5 * day
    while store.forget(before) != alerts.Forgotten():
        pass
    assert {each.fingerprint for each in everything(store)} == {"april", "fires", "lasted"}
    store.record(told, received_at=april + 3 * day)
    assert len(everything(store)) == len(spans)


@pytest.mark.parametrize(
    ("before", "left"),
    [
        (timedelta(hours=0.5), {"fires", "lasted", "until then", "short"}),
        (timedelta(days=2), {"fires", "lasted", "until then"}),
        (timedelta(days=2, microseconds=1), {"fires"}),
    ],
)
def test_what_ends_at_the_very_instant_is_kept(
    store: ports.EpisodeStore, before: timedelta, left: set[str]
) -> None:
    """`lasted` is alone in January; in March one that fires keeps the month."""
    april, hour, day = datetime(2026, 4, 1, tzinfo=UTC), timedelta(hours=1), timedelta(days=1)
    end = april + 2 * day
    spans: dict[str, tuple[datetime, datetime | None]] = {
        "lasted": (april - 80 * day, end),
        "until then": (april - hour, end),
        "fires": (april - hour, None),
        "short": (april - hour, april + hour),
    }
    told = [
        dataclasses.replace(notification(name, ends_at=until), starts_at=start)
        for name, (start, until) in spans.items()
    ]
    store.record(told, received_at=april + 3 * day)
    while store.forget(april + before) != alerts.Forgotten():
        pass
    assert {each.fingerprint for each in everything(store)} == left


def test_statistics_leave_out_what_begins_with_the_end_and_tell_rules_by_name(
    store: ports.EpisodeStore,
) -> None:
    """`a` began again to the second an hour later; `b` was acknowledged, given back, and again."""
    hour = 3600.0
    rules = {"c": (5.0,), "b": (0.0,), "a": (0.0, hour), "late": (2 * hour,)}
    store.record(
        [
            notification(name, starts_at=at(start), labels=(("alertname", name),))
            for name, starts in rules.items()
            for start in starts
        ],
        received_at=at(1),
    )
    key = (alerts.Fingerprint("b"), at(0))
    for second, status in (
        (40, alerts.Status.ACKNOWLEDGED),
        (50, alerts.Status.FIRING),
        (90, alerts.Status.ACKNOWLEDGED),
    ):
        store.mark([key], status, at=at(second), by="ann")
    judged = (alerts.Fingerprint("c"), at(5))
    store.remark(judged, at=at(9), by="ann", feedback=alerts.Feedback.TRUE)
    found = store.statistics(at(0), at(2 * hour))
    assert found.rules == (
        alerts.Tally("a", 2, 0.5, 1.0, None, None),
        alerts.Tally("b", 1, 0.0, 0.0, (40.0, 40.0), None),
        alerts.Tally("c", 1, 0.0, 0.0, None, None),
    )


def test_statistics_tell_what_became_of_what_began(store: ports.EpisodeStore) -> None:
    """Disk three times within an hour and once much later; one of it acknowledged, one silenced."""
    disk = (("alertname", "Disk"), ("severity", "high"))
    spans = [(0, 100), (600, 900), (1200, 1300), (9000, None)]
    told = [
        notification("1", starts_at=at(a), ends_at=None if b is None else at(b), labels=disk)
        for a, b in spans
    ]
    told.append(notification("2", ends_at=at(60), labels=(("alertname", "Cpu"),)))
    told.append(notification("3", labels=(("alertname", "Disk"), ("mda_test", "1"))))
    told.append(notification("4", starts_at=at(-1), labels=disk))
    begun = [dataclasses.replace(each, ends_at=None, state=alerts.State.FIRING) for each in told]
    store.record(begun, received_at=at(1))
    first = alerts.Fingerprint("1")
    store.mark([(first, at(0))], alerts.Status.ACKNOWLEDGED, at=at(40), by="ann")
    store.mark([(first, at(600))], alerts.Status.SILENCED, at=at(700))
    store.record(told, received_at=at(9001))
    found = store.statistics(at(0), at(9001))
    resolve = ((100 + 300 + 100) / 3, 100.0)
    tally = alerts.Tally("Disk", 4, 0.5, 0.5, (40.0, 40.0), resolve)
    cpu = alerts.Tally("Cpu", 1, 0.0, 1.0, None, (60.0, 60.0))
    assert found == alerts.Statistics(
        sampled=1.0,
        total=alerts.Tally("", 5, 0.4, 0.6, (40.0, 40.0), (140.0, 100.0)),
        rules=(tally, cpu),
        severities=(dataclasses.replace(tally, name="high"), dataclasses.replace(cpu, name="")),
    )
    nothing = store.statistics(at(-9), at(-8))
    assert nothing == alerts.Statistics(1.0, alerts.Tally("", 0, 0.0, 0.0, None, None), (), ())


DAY = 86_400


@pytest.mark.parametrize("limit", [1, 2, 1000])
@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        (alerts.EpisodeFilter(since=at(-10)), "eight seven six five"),
        (alerts.EpisodeFilter(since=at(-10), until=at(0)), "seven six five"),
        (alerts.EpisodeFilter(since=at(-10), state=alerts.State.FIRING), "eight six"),
        (alerts.EpisodeFilter(since=at(-10), state=alerts.State.RESOLVED), "seven five"),
        (alerts.EpisodeFilter(since=at(-10), text="fi"), "five"),
        (alerts.EpisodeFilter(since=at(-100 * DAY)), "eight seven six five four three two"),
        (alerts.EpisodeFilter(until=at(-20 * DAY)), "five four three two one"),
    ],
)
def test_what_lasts_long_is_found_by_its_end(
    store: ports.EpisodeStore, wanted: alerts.EpisodeFilter, expected: str, limit: int
) -> None:
    spans: dict[str, tuple[float, float | None]] = {
        "one": (-400 * DAY, -399 * DAY),
        "two": (-400 * DAY, -90 * DAY),
        "three": (-40 * DAY, -39.5 * DAY),
        "four": (-30 * DAY, -20 * DAY),
        "five": (-25 * DAY, -10),
        "six": (-2 * DAY, None),
        "seven": (-60, 60),
        "eight": (0, None),
    }
    store.record(
        [
            notification(
                name,
                starts_at=at(start),
                ends_at=None if end is None else at(end),
                labels=(("name", name),),
            )
            for name, (start, end) in spans.items()
        ],
        received_at=at(40),
    )
    found: list[str] = []
    next_id = None
    while next_id is not None or not found:
        page = store.list_episodes(dataclasses.replace(wanted, limit=limit, before_id=next_id))
        found += [each.fingerprint for each in page.episodes]
        next_id = page.next_id
        if next_id is None:
            break
    assert " ".join(found) == expected


@pytest.mark.parametrize("limit", [1, 2, 3, 7, 8])
def test_pages_hold_each_episode_once_though_starts_are_equal(
    store: ports.EpisodeStore, limit: int
) -> None:
    starts = [0, 1, 1, 1, 1, 2, 2]
    store.record(
        [notification(f"f{n}", starts_at=at(start)) for n, start in enumerate(starts)],
        received_at=at(9),
    )
    found: list[alerts.Episode] = []
    page = store.list_episodes(alerts.EpisodeFilter(limit=limit))
    while True:
        found += page.episodes
        if page.next_id is None:
            break
        store.record([notification(f"n{page.next_id}", starts_at=at(99))], received_at=at(99))
        assert len(page.episodes) == limit
        page = store.list_episodes(alerts.EpisodeFilter(limit=limit, before_id=page.next_id))
    keys = [(each.starts_at, each.id) for each in found]
    assert keys == sorted(keys, reverse=True)
    assert sorted(each.fingerprint for each in found) == [f"f{n}" for n in range(7)]


def test_page_after_an_unknown_episode_is_empty(store: ports.EpisodeStore) -> None:
    store.record([notification()], received_at=at(1))
    page = store.list_episodes(alerts.EpisodeFilter(before_id=4711))
    assert page == alerts.EpisodePage((), None)


@st.composite
def deliveries(draw: st.DrawFn) -> list[tuple[int, int | None]]:
    """(received at, end or None while firing), each instant once: the story of one episode."""
    instants = draw(st.lists(st.integers(1, 20), min_size=1, max_size=5, unique=True))
    ends = st.sampled_from([None, None, 30, 31])
    return [(instant, draw(ends)) for instant in sorted(instants)]


_fingerprints = (f"h{n}" for n in itertools.count())


def told(store: ports.EpisodeStore, story: list[tuple[int, int | None]]) -> alerts.Episode:
    """The episode after these deliveries came in this order; its annotations change with time."""
    fingerprint = next(_fingerprints)
    name = (("name", fingerprint),)
    for received, end in story:
        version = (("version", VERSIONS[received // VERSION_LASTS_S]),)
        one = notification(
            fingerprint,
            ends_at=None if end is None else at(end),
            labels=name,
            annotations=version,
        )
        store.record([one], received_at=at(received))
    (listed,) = store.list_episodes(alerts.EpisodeFilter(labels=name)).episodes
    episode = store.episode(listed.id)
    assert episode is not None
    assert dataclasses.replace(episode, transitions=()) == listed
    return dataclasses.replace(episode, id=0, fingerprint=alerts.Fingerprint("any"), labels=())


shared_store = hypothesis.settings(
    deadline=None,
    max_examples=60,
    suppress_health_check=[hypothesis.HealthCheck.function_scoped_fixture],
)


@shared_store
@hypothesis.given(data=st.data())
def test_any_order_and_number_of_deliveries_makes_the_same_episode(
    store: ports.EpisodeStore, data: st.DataObject
) -> None:
    story = data.draw(deliveries())
    repeated = story + data.draw(st.lists(st.sampled_from(story), max_size=4))
    shuffled = data.draw(st.permutations(repeated))
    assert told(store, shuffled) == told(store, story)


@shared_store
@hypothesis.given(data=st.data())
def test_order_of_arrival_decides_nothing_but_when_it_was_heard(
    store: ports.EpisodeStore, data: st.DataObject
) -> None:
    """The clock runs on with each arrival: what the episode is must not hang on it."""
    ends = data.draw(st.lists(st.sampled_from([None, 30, 31]), min_size=1, max_size=6))
    shuffled = data.draw(st.permutations(ends))

    def essence(order: list[int | None]) -> tuple[alerts.State, datetime | None]:
        episode = told(store, [(n, end) for n, end in enumerate(order)])
        return episode.state, episode.ends_at

    assert essence(shuffled) == essence(ends)


def test_instants_come_back_in_utc(store: ports.EpisodeStore) -> None:
    store.record([notification(ends_at=at(60))], received_at=at(65))
    episode = only(store)
    assert episode.ends_at is not None
    for instant in (episode.starts_at, episode.ends_at, episode.received_at, episode.updated_at):
        assert instant.tzinfo is not None
        assert instant.utcoffset() == datetime.now(UTC).utcoffset()
