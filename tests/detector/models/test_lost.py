"""A daily season that is lost, and what looks like one."""

from __future__ import annotations

from datetime import timedelta

import numpy as np
import pytest

from detector import frames
from detector.models import scoring
from tests.detector.models import faults, simulation

DAYS, SERIES, SWING = 10, 12, 8.0
NOISES = ("gaussian", "autocorrelated", "heavy-tailed", "idle cpu")
FIRST_MONDAY_S = 4 * 86_400


class Plan:
    """Days of a sine and noise around 100 of its sizes, and an index from which it may change."""

    def __init__(self, noise: str, step_s: int, *, days: int = DAYS, seed: int = 2) -> None:
        self.a_day = 86_400 // step_s
        self.steps = (days + 2) * self.a_day
        self.at = days * self.a_day + self.a_day // 3
        self.step_s = step_s
        made = simulation.KINDS[noise](np.random.default_rng(seed), self.steps, SERIES)
        self.noise = made - made.mean(axis=0)
        self.size = self.noise.std(axis=0)
        turns = 2 * np.pi * np.arange(self.steps) / self.a_day
        self.season = self.size * (100 + SWING * np.sin(turns)[:, np.newaxis])

    def lost(self, season: frames.Floats) -> frames.Bools:
        """bool[T, S]: where a lost season is told, of this season with the noise."""
        scorer = scoring.QueryScorer(step=timedelta(seconds=self.step_s), budget=faults.WEEKLY)
        times_ms = (FIRST_MONDAY_S + self.step_s * np.arange(self.steps, dtype=np.int64)) * 1_000
        values = np.asfortranarray(season + self.noise)
        scores = scorer.score(frames.Frame(times_ms, values, self.step_s * 1_000))
        return np.asarray(scores.kind == frames.Kind.LOST_SEASON)


@pytest.mark.parametrize("noise", NOISES)
@pytest.mark.parametrize(("step_s", "hours"), [(300, 12), (3_600, 32)])
def test_a_season_that_stops_is_lost_within_hours(noise: str, step_s: int, hours: int) -> None:
    plan = Plan(noise, step_s)
    season = plan.season.copy()
    season[plan.at :] = season[plan.at]
    told = plan.lost(season)
    assert not told[: plan.at].any()
    found = told[plan.at : plan.at + hours * plan.a_day // 24].any(axis=0)
    print(f"{noise} at {step_s} s: lost in {found.sum()} of {SERIES} within {hours} h")
    assert found.mean() >= 0.9


def test_a_daily_peak_that_does_not_come_is_a_lost_season() -> None:
    plan = Plan("gaussian", 300)
    peak = np.arange(plan.steps) % plan.a_day < plan.a_day // 6
    peak[plan.at :] = False
    assert plan.lost(plan.size * (100 + SWING * peak[:, np.newaxis]))[plan.at :].any(axis=0).all()


@pytest.mark.parametrize("change", ["nothing", "half of it", "a shift", "spikes"])
def test_what_keeps_its_season_has_not_lost_it(change: str) -> None:
    plan = Plan("gaussian", 300)
    season = plan.season.copy()
    if change == "half of it":
        season[plan.at :] = (season[plan.at :] + plan.size * 100) / 2
    if change == "a shift":
        season[plan.at :] += 20 * plan.size
    if change == "spikes":
        season[plan.at :: plan.a_day // 8] += 50 * plan.size
    assert not plan.lost(season).any()


def test_weekends_without_a_season_are_usual() -> None:
    plan = Plan("gaussian", 300, days=19)
    is_weekend = np.arange(plan.steps) // plan.a_day % 7 >= 5
    season = np.where(is_weekend[:, np.newaxis], 100 * plan.size, plan.season)
    assert not plan.lost(season).any()


def test_a_series_without_a_season_has_none_to_lose() -> None:
    plan = Plan("gaussian", 300)
    plan.noise = np.cumsum(plan.noise, axis=0)
    assert not plan.lost(100 * plan.size + np.zeros_like(plan.season)).any()


def test_a_lost_season_becomes_the_normal() -> None:
    plan = Plan("gaussian", 3_600)
    season = plan.season.copy()
    lost_from = 8 * plan.a_day
    season[lost_from:] = season[lost_from]
    told = plan.lost(season)
    assert told[lost_from + 36].all()
    assert not told[lost_from + 4 * plan.a_day - 6 :].any()
