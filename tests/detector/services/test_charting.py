"""Pictures of an alert's series: what is read for one, and how often."""

from __future__ import annotations

import dataclasses
import io
import struct
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import matplotlib.image
import numpy as np
import pytest

from detector import alerts, config, errors, frames, links
from detector.policy import promql
from detector.services import charting, subjects
from tests.factories import notification
from tests.fakes.alertmanager import FakeAlertmanager
from tests.fakes.answers import Answer, FakeAnswers
from tests.fakes.episodes import FakeEpisodeStore

START = datetime(2026, 5, 4, 14, 30, tzinfo=UTC)
OWN = (("instance", "web-1"), ("job", "node"))
GENERATOR = "http://p:9090/graph?g0.expr=load1+%3E+4&g0.tab=1"
NO_LIMIT = "http://p:9090/graph?g0.expr=load1&g0.tab=1"
PLOT = slice(50, 438)
"""Rows of a picture below its title."""
ONE = '{__name__="load1",instance="web-1",job="node"}'
BANDS = (
    '{__name__=~"anomaly_expected|anomaly_lower|anomaly_upper",'
    'query="orders",instance="web-1",job="node"}'
)


class World:
    """An alert that is remembered, and what Prometheus has of it."""

    def __init__(self, generator_url: str = GENERATOR, *, step: str = "5s", **labels: str) -> None:
        self.now = START + timedelta(minutes=10)
        self.labels = (("alertname", "Busy"), *OWN, *labels.items())
        self.episodes = FakeEpisodeStore()
        self.alertmanager = FakeAlertmanager(lambda: self.now)
        self.reader = FakeAnswers({"load1": {OWN: 6.0}, ONE: {OWN: 6.0}})
        settings = config.load(
            None,
            {"MDA_QUERIES": f'[{{"name": "orders", "expr": "load1", "step": "{step}"}}]'},
        )
        self.before_reading: Callable[[], None] = lambda: None
        self.charts = charting.Charts(
            self.episodes,
            self.alertmanager,
            subjects.Subjects(lambda: settings, self._policies, clock=lambda: self.now),
            self.reader,
            clock=lambda: self.now,
            longest_wait=timedelta(seconds=0.05),
        )
        self.posted = alerts.Posted(
            frames.labels_from_pairs(self.labels), (), START, None, generator_url
        )
        fingerprint = alerts.fingerprint_of(self.posted.labels)
        self.target = links.Target(fingerprint, START, START + timedelta(days=7))
        self.remembered = alerts.Notification(
            fingerprint,
            START,
            None,
            alerts.State.FIRING,
            self.posted.labels,
            (),
            generator_url,
            "r",
        )

    def _policies(self) -> tuple[()]:
        self.before_reading()
        return ()

    def picture(self) -> bytes:
        return self.charts.picture(self.target)


def pixels(picture: bytes) -> frames.Floats:
    return np.asarray(matplotlib.image.imread(io.BytesIO(picture)), np.float64)


def has_colour(picture: bytes, colour: str, rows: slice = slice(None)) -> bool:
    """Whether some pixels are of this colour (#rrggbb)."""
    wanted = np.array([int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)])
    return bool((np.abs(pixels(picture)[rows, :, :3] - wanted).max(axis=2) < 0.02).sum() > 20)


@pytest.fixture
def world() -> World:
    made = World(policy="x", policy_rule="1")
    made.episodes.record([made.remembered], received_at=START)
    return made


def test_the_picture_is_of_the_one_series_and_its_limit(world: World) -> None:
    picture = world.picture()
    assert struct.unpack(">II", picture[16:24]) == (1200, 480)
    assert world.reader.asked == ["load1", ONE]
    assert has_colour(picture, "#1d4f91")
    assert has_colour(picture, "#d64545")


def test_what_is_scored_has_its_band() -> None:
    world = World(query="orders")
    world.episodes.record([world.remembered], received_at=START)
    world.reader.answers[BANDS] = {
        (("__name__", f"anomaly_{name}"), *OWN, ("query", "orders")): value
        for name, value in (("expected", 4.0), ("lower", 3.0), ("upper", 5.0))
    }
    picture = world.picture()
    assert world.reader.asked == ["load1", ONE, BANDS]
    assert has_colour(picture, "#e08a00")


@pytest.mark.parametrize(
    ("step_s", "before", "after"),
    [
        (1, timedelta(minutes=22.5), timedelta(minutes=7.5)),
        (5, timedelta(minutes=25), timedelta(minutes=8, seconds=20)),
        (10, timedelta(minutes=50), timedelta(minutes=10)),
        (300, timedelta(hours=18), timedelta(minutes=10)),
    ],
)
def test_it_is_of_400_steps_of_which_three_quarters_lie_before(
    step_s: int, before: timedelta, after: timedelta
) -> None:
    """What is not yet is not asked for."""
    world = World(query="orders", step=f"{step_s}s")
    world.episodes.record([world.remembered], received_at=START)
    world.picture()
    (first, last, step_ms), _ = world.reader.ranges_ms
    start_ms = int(START.timestamp() * 1000)
    milliseconds = timedelta(milliseconds=1)
    assert (start_ms - first, last - start_ms) == (before // milliseconds, after // milliseconds)
    assert step_ms == 1000 * step_s


def test_a_sum_of_all_series_is_drawn_as_it_is() -> None:
    world = World("http://p:9090/graph?g0.expr=sum%28load1%29+%3E+4")
    world.episodes.record([world.remembered], received_at=START)
    world.reader.answers["sum(load1)"] = {(): 6.0}
    assert has_colour(world.picture(), "#1d4f91")
    assert world.reader.asked == ["sum(load1)", "sum(load1)"]


def test_of_several_bands_that_of_the_very_series_is_drawn() -> None:
    pictures = []
    for more in ((), (("shard", "1"),)):
        world = World(query="orders")
        world.episodes.record([world.remembered], received_at=START)
        bands: Answer = {(("__name__", "anomaly_expected"), *OWN): 4.0}
        bands |= {(("__name__", "anomaly_expected"), *OWN, *more): 5.0} if more else {}
        world.reader.answers[BANDS] = bands
        pictures.append(world.picture())
    assert pictures[0] == pictures[1]


@pytest.mark.parametrize("expected", [0.5, 0.4])
def test_values_and_bands_are_drawn_in_one_unit(expected: float) -> None:
    """What was expected is hidden by the value where they are the same."""
    world = World(query="host_memory")
    world.episodes.record([world.remembered], received_at=START)
    expr = "1 - node_memory_MemAvailable_bytes / node_memory_MemTotal_bytes"
    only = promql.only(expr, OWN)
    world.reader.answers = {expr: {OWN: 0.5}, only: {OWN: 0.5}}
    band: Answer = {(("__name__", "anomaly_expected"), *OWN): expected}
    world.reader.answers[BANDS.replace("orders", "host_memory")] = band
    assert has_colour(world.picture(), "#e08a00", PLOT) == (expected != 0.5)


def test_an_end_and_a_limit_are_seen() -> None:
    ended = START + timedelta(minutes=2)
    pictures = []
    for page, ends_at in ((GENERATOR, None), (GENERATOR, ended), (NO_LIMIT, None)):
        world = World(page)
        state = alerts.State.RESOLVED if ends_at else alerts.State.FIRING
        remembered = dataclasses.replace(world.remembered, ends_at=ends_at, state=state)
        world.episodes.record([remembered], received_at=START)
        pictures.append(world.picture())
    assert len(set(pictures)) == 3


def test_an_alert_that_only_alertmanager_knows_is_drawn() -> None:
    world = World()
    with pytest.raises(errors.NotFoundError, match="not remembered"):
        world.picture()
    world.alertmanager.post([world.posted])
    assert world.picture().startswith(b"\x89PNG")


def test_for_a_minute_it_is_not_drawn_again(world: World) -> None:
    first = world.picture()
    world.now += timedelta(seconds=59)
    assert world.picture() is first
    assert len(world.reader.asked) == 2
    world.now += timedelta(seconds=1)
    world.picture()
    assert len(world.reader.asked) == 4


def test_of_series_that_are_not_there_nothing_is_drawn(world: World) -> None:
    world.reader.answers.clear()
    with pytest.raises(errors.NotFoundError, match="no samples of this alert's series"):
        world.picture()
    assert world.reader.asked == ["load1", "load1"]


def test_of_what_nobody_knows_nothing_is_drawn() -> None:
    world = World(generator_url="")
    world.episodes.record([world.remembered], received_at=START)
    with pytest.raises(errors.NotFoundError, match="nobody knows which series"):
        world.picture()


def test_one_is_drawn_at_a_time_and_who_waits_too_long_is_told(world: World) -> None:
    is_reading, may_go_on = threading.Event(), threading.Event()

    def wait() -> None:
        is_reading.set()
        assert may_go_on.wait(10)

    world.before_reading = wait
    thread = threading.Thread(target=world.picture)
    thread.start()
    assert is_reading.wait(10)
    with pytest.raises(charting.BusyError):
        world.picture()
    may_go_on.set()
    thread.join(20)
    assert world.picture().startswith(b"\x89PNG")


def test_after_a_failure_the_next_one_is_drawn(world: World) -> None:
    world.reader.failure = errors.UpstreamError("down", kind="unreachable", retryable=True)
    for _ in range(2 * charting.MOST_WAITING):
        with pytest.raises(errors.UpstreamError):
            world.picture()
    world.reader.failure = None
    assert world.picture().startswith(b"\x89PNG")


@pytest.mark.parametrize("name", ["$x^2$ \\alpha", "web\n1", "日本 🚨", "x" * 10_000])
def test_no_label_is_taken_for_a_formula(name: str) -> None:
    world = World()
    labels = (("alertname", name), *OWN)
    told = notification()
    world.episodes.record(
        [
            alerts.Notification(
                told.fingerprint, START, None, told.state, labels, (), GENERATOR, "r"
            )
        ],
        received_at=START,
    )
    target = links.Target(told.fingerprint, START, world.target.expires)
    assert world.charts.picture(target).startswith(b"\x89PNG")
