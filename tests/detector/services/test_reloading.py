"""The configuration read again: what has not changed goes on, the rest is replaced or ended."""

from __future__ import annotations

import math
import threading
from collections.abc import Collection
from datetime import timedelta

import pytest

from detector import config, detecting, errors, frames, loops, ports, telemetry
from detector.models import calendars
from detector.services import cycles, inbox, reloading, roster, scoring, watching
from tests import stack
from tests.fakes import prometheus

pytestmark = pytest.mark.usefixtures("compiled_kernels")

STEP_MS = 60_000
NOW_MS = 1_700_000_000_000 // STEP_MS * STEP_MS
A: frames.Labels = (("instance", "a"),)
B: frames.Labels = (("instance", "b"),)
SPIKE_MS = NOW_MS + 2 * STEP_MS


def _wave(time_ms: int) -> float:
    return 10.0 + math.sin(time_ms / 7_000) + (50.0 if time_ms >= SPIKE_MS else 0.0)


class Running:
    """Queries over two series, or what `expr` names of them, and a configuration to change."""

    def __init__(self, *queries: config.Query, **settings: object) -> None:
        self.clock_ms = NOW_MS + STEP_MS // 2
        self.meters, self.news = telemetry.Telemetry(), inbox.Inbox(drop=lambda _: None)
        self.readers: dict[str, prometheus.FakeReader] = {}
        self.writers: dict[str, prometheus.RecordingWriter] = {}
        self.settings = self.wanted = self.configured(*queries, **settings)
        self.wrong: str | None = None
        self.checked: list[set[str]] = []
        self.roster = roster.Roster(
            self._member(self.settings, query, calendars.NOTHING_PLANNED) for query in queries
        )
        self.cycles = cycles.Cycles(
            self.roster, workers=2, meters=self.meters, clock=lambda: self.clock_ms / 1000
        )
        self.reloading = reloading.Reloading(
            self.settings,
            load=lambda: self.wanted,
            check=self._check,
            make=self._member,
            queries=self.roster,
            meters=self.meters,
            clock=lambda: self.clock_ms / 1000,
        )

    @staticmethod
    def configured(*queries: config.Query, **settings: object) -> config.Settings:
        return config.Settings.model_validate({"presets": (), "queries": queries} | settings)

    def _check(self, _: config.Settings, names: Collection[str]) -> None:
        self.checked.append({*names})
        if self.wrong is not None:
            raise errors.ConfigError(self.wrong)

    def _member(
        self, settings: config.Settings, query: config.Query, calendar: ports.PlannedTime
    ) -> roster.Member:
        tracker = watching.Tracker(query.name, news=self.news, drop=lambda _: None)
        named = [labels for labels in (A, B) if labels[0][1] in query.expr]
        self.readers[query.name] = prometheus.FakeReader(dict.fromkeys(named, _wave))
        step = settings.step_of(query)
        runner = scoring.QueryRunner(
            scoring.Spec(
                query.name, query.expr, step, query.history, timedelta(hours=1), timedelta(days=1)
            ),
            reader=self.readers[query.name],
            writer=self.writers.setdefault(query.name, prometheus.RecordingWriter()),
            make_scorer=detecting.scorer_factory(settings, query),
            calendar=calendar,
            watch=tracker,
            meters=self.meters,
            clock=lambda: self.clock_ms / 1000,
        )
        return roster.Member(reloading.origin_of(settings, query), runner, tracker)

    def turn(self) -> None:
        """A turn that takes something in."""

        def worked() -> loops.Turn | None:
            turn = self.cycles.turn()
            return None if turn.is_idle else turn

        stack.wait_until(worked, 30, "a query to work")

    def steps(self, count: int) -> None:
        for _ in range(count):
            self.turn()
            self.clock_ms += STEP_MS

    def reload(self, *queries: config.Query, **settings: object) -> reloading.Changes:
        self.wanted = self.configured(*queries, **settings)
        return self.reloading.reload()

    def value(self, name: str, **labels: str) -> float | None:
        return self.meters.registry.get_sample_value(name, labels)


def query(name: str, expr: str = "a b", **given: object) -> config.Query:
    return config.Query.model_validate(
        {"name": name, "expr": expr, "history": timedelta(hours=2)} | given
    )


def test_a_query_that_has_not_changed_goes_on_with_what_it_has_learnt() -> None:
    running = Running(query("one"))
    running.steps(1)
    before = running.roster.members["one"].runner

    changes = running.reload(query("one"), query("two"))

    assert changes == reloading.Changes(("one",), ("two",), (), ())
    assert running.checked == [{"two"}]
    assert running.roster.members["one"].runner is before
    running.steps(2)
    assert running.writers["one"].times_of(A) == [NOW_MS, NOW_MS + STEP_MS, NOW_MS + 2 * STEP_MS]
    assert running.writers["two"].times_of(B)
    running.cycles.stop()


def test_a_changed_query_learns_first_and_leaves_neither_gap_nor_double() -> None:
    running = Running(query("one"))
    running.steps(2)

    changes = running.reload(query("one", "b", budget="1 per day per series"))
    assert changes.changed == ("one",)
    running.steps(2)  # though the server holds nothing yet of what was written

    writer = running.writers["one"]
    assert writer.times_of(B) == [NOW_MS + n * STEP_MS for n in range(4)]
    assert writer.times_of(A) == [NOW_MS, NOW_MS + STEP_MS]
    assert writer.stale == [(NOW_MS + STEP_MS + 1, A)]
    assert writer.forgotten == ["one"]
    running.cycles.stop()


def test_a_query_changed_again_before_it_has_learnt_goes_on_where_the_first_one_was() -> None:
    running = Running(query("one"))
    running.steps(2)
    running.reload(query("one", budget="1 per day per series"))
    running.reload(query("one", budget="2 per day per series"))
    running.steps(2)

    writer = running.writers["one"]
    assert writer.times_of(A) == [NOW_MS + n * STEP_MS for n in range(4)]
    assert writer.stale == []
    running.cycles.stop()


def test_a_query_that_comes_back_waits_until_the_one_before_has_ended() -> None:
    running = Running(query("one"), query("two"))
    running.steps(1)
    going, ending = threading.Event(), threading.Event()

    def wait() -> None:
        ending.set()
        assert going.wait(10)

    running.writers["two"].before_stale = wait
    running.reload(query("one"))
    running.turn()
    assert ending.wait(10)
    running.reload(query("one"), query("two"))
    running.clock_ms += STEP_MS
    running.turn()
    assert running.writers["two"].times_of(A) == [NOW_MS]
    going.set()
    stack.wait_until(lambda: running.writers["two"].forgotten, 10, "it to be ended")
    running.steps(2)
    assert running.writers["two"].times_of(A)[-1] > NOW_MS
    running.cycles.stop()


def test_a_removed_query_ends_its_series_its_anomalies_and_its_metrics() -> None:
    running = Running(query("one"), query("two"))
    running.steps(4)
    assert {each.ended_at for each in running.news.take(10)} == {None}

    changes = running.reload(query("one"))
    assert changes.removed == ("two",)
    running.steps(1)
    writer = running.writers["two"]
    stack.wait_until(lambda: writer.forgotten, 10, "it to be ended")

    last_ms = max(writer.times_of(A))
    assert sorted(writer.stale) == [(last_ms + 1, A), (last_ms + 1, B)]
    assert [(at_ms, labels) for at_ms, labels, _, stale in writer.active if stale] == [
        (last_ms + 1, A),
        (last_ms + 1, B),
    ]
    told = [each for each in running.news.take(10) if each.query == "two"]
    assert [each.ended_at is not None for each in told] == [True, True]
    assert running.value("detector_query_series", query="two") is None
    assert running.value("detector_query_series", query="one") == 2
    running.cycles.stop()


@pytest.mark.parametrize(("min_deviation", "ended"), [(1.0, 0), (1000.0, 2)])
def test_what_is_open_goes_on_where_the_changed_query_finds_it_too(
    min_deviation: float, ended: int
) -> None:
    running = Running(query("one"))
    running.steps(4)
    assert len({each.key for each in running.news.take(10)}) == 2

    running.reload(query("one", min_deviation=min_deviation))
    running.steps(2)

    told = running.news.take(10)
    assert len({each.key for each in told if each.ended_at is not None}) == ended
    running.cycles.stop()


def test_a_wrong_configuration_changes_nothing_and_is_told() -> None:
    running = Running(query("one"))
    running.steps(1)
    before = running.roster.members
    assert running.value("detector_config_last_reload_successful") == 1

    running.wrong = "query two: parse error"
    running.clock_ms += 1_000_000
    with pytest.raises(errors.ConfigError, match="query two: parse error"):
        running.reload(query("two"))

    assert running.roster.members == before
    assert running.value("detector_config_last_reload_successful") == 0
    taken_up_s = running.value("detector_config_last_reload_success_timestamp_seconds")
    assert taken_up_s == (NOW_MS + STEP_MS // 2) / 1000
    running.wrong = None
    assert running.reload(query("two")).added == ("two",)
    assert running.value("detector_config_last_reload_successful") == 1


@pytest.mark.parametrize(
    ("settings", "key"),
    [
        ({"listen_address": "127.0.0.1:1"}, "listen_address"),
        ({"detection": {"workers": 2}}, "detection.workers"),
        ({"prometheus": {"password": "pa55"}}, "prometheus.password"),
        ({"ml_detection_enabled": True}, "ml_detection_enabled"),
    ],
)
def test_what_takes_a_restart_is_refused_by_name(settings: dict[str, object], key: str) -> None:
    running = Running(query("one"))
    with pytest.raises(errors.ConfigError) as caught:
        running.reload(query("one"), **settings)
    assert str(caught.value).startswith(f"{key}: changed: restart")
    assert "pa55" not in str(caught.value)


def test_what_only_rendering_asks_for_may_change() -> None:
    running = Running(query("one"))
    changes = running.reload(query("one"), thresholds={"cpu": 50}, email={"sender": "a@b"})
    assert changes.kept == ("one",)


def test_another_step_is_another_query() -> None:
    running = Running(query("one"), query("two", step=timedelta(seconds=30)))
    changes = running.reload(
        query("one"), query("two", step=timedelta(seconds=30)), metric_collection_interval=5
    )
    assert (changes.kept, changes.changed) == (("two",), ("one",))


def test_a_calendar_is_heeded_without_learning_again() -> None:
    window = {"weekly": [{"start": "00:00", "end": "24:00"}]}
    running = Running(query("one"), calendars={"always": window})
    running.steps(2)

    changes = running.reload(query("one", calendar=("always",)), calendars={"always": window})
    running.steps(4)

    assert changes.kept == ("one",)
    assert running.news.take(10) == []
    assert {score for _, _, score in running.writers["one"].scores[-6:]} == {0.0}
    running.cycles.stop()
