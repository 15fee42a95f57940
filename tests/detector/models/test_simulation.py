"""The promises about a fresh host at a step of 5 seconds, on noise of many kinds."""

from __future__ import annotations

import numpy as np
import pytest

from tests.detector.models import simulation

NEEDED_POINTS = 36
BURST_POINTS = 6


def longest_run(
    over: np.ndarray[tuple[int, ...], np.dtype[np.bool]],
) -> np.ndarray[tuple[int, ...], np.dtype[np.int64]]:
    run = np.zeros(over.shape[1], dtype=np.int64)
    best = run.copy()
    for row in over:
        run = np.where(row, run + 1, 0)
        best = np.maximum(best, run)
    return best


@pytest.mark.parametrize(
    "kind", ["gaussian", "mean of four", "autocorrelated", "heavy-tailed", "idle cpu"]
)
def test_burst_of_20_residual_scales_fires_after_three_minutes(kind: str) -> None:
    rng = np.random.default_rng(11)
    values = simulation.KINDS[kind](rng, NEEDED_POINTS + BURST_POINTS, 200)
    quiet = values[:NEEDED_POINTS]
    scale = np.abs(quiet - quiet.mean(axis=0)).mean(axis=0)
    values[NEEDED_POINTS:] += 20 * scale

    alone = [simulation.scores_of(values[:, i : i + 1]).score for i in range(200)]
    over = np.hstack(alone)[NEEDED_POINTS:] > 1

    fires = longest_run(over) >= 4
    print(f"{kind}: passes 1 {over.any(axis=0).mean():.3f}, four in a row {fires.mean():.3f}")
    assert over.any(axis=0).mean() >= 0.99
    assert fires.mean() >= 0.9


def test_busy_cpu_of_an_idle_host_fires_after_a_day() -> None:
    values = simulation.idle_cpu(np.random.default_rng(2), simulation.DAY, 4)
    load = np.zeros_like(values)
    load[-10:] = 0.97
    scores = simulation.scores_of(values + simulation.window_mean(load))
    assert (longest_run(scores.score[-10:] > 1) >= 6).all()


def test_quiet_host_keeps_its_warm_up_budget() -> None:
    hour, rest = [], []
    for number, (kind, make) in enumerate(simulation.KINDS.items()):
        values = make(np.random.default_rng(number), simulation.DAY, 16)
        opened = np.concatenate(
            [
                simulation.openings(simulation.scores_of(values[:, :2]))[:, None],
                simulation.openings(simulation.scores_of(values[:, 2:]))[:, None],
            ],
            axis=1,
        ) @ np.array([2 / 16, 14 / 16])
        hour.append(float(opened[: simulation.HOUR].sum()))
        rest.append(float(opened[simulation.HOUR :].sum()))
        print(f"{kind:22s} first hour {hour[-1]:5.2f}, rest of the day {rest[-1]:5.2f}")
    print(f"{'mean':22s} first hour {np.mean(hour):5.2f}, rest of the day {np.mean(rest):5.2f}")
    assert np.mean(hour) <= 2
    assert np.mean(rest) <= 2
    assert max(hour) <= 8
