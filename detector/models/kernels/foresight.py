"""Exponential smoothing of many series with many settings at once, judged at the horizon asked for.

Level, damped trend and season in error-correction form (Hyndman et al. 2008, ETS(A,Ad,A)). An
error enters cut at CLIP times the mean one, as in robust Holt-Winters (Gelper, Fried, Croux 2010),
and at a rate of one over the visits while these are few, so nothing has to be initialised.
"""

from __future__ import annotations

import math

from detector.models.kernels import compiled, numbers

CLIP = 6.0
CLIPPED_FROM = 10
USUAL_RATE = 0.02
LEVEL, TREND, SEASON, DAMPING, PERIOD = 0, 1, 2, 3, 4
"""Columns of the settings: three rates, what a step leaves of the trend, steps of a season or 0."""


@compiled.kernel
def errors_at(values, settings, leads, first, found, season, made):  # type: ignore[no-untyped-def]
    """Fill float64[S, C, L]: the mean |error| of each setting so many steps ahead, over the steps
    from `first` on, each cut at CLIP times those before; inf where none was foreseen.

    values    float64[S, T], NaN where there is none; settings float64[C, 5]; leads int64[L]
    season    float64[longest period, 2], made float64[T, L]: scratch
    """
    steps = values.shape[1]
    for s in range(values.shape[0]):
        for c in range(settings.shape[0]):
            found[s, c] = 0.0
            made[:] = math.nan
            counts = 0
            state = _start(season)
            for t in range(steps):
                if t >= first and not math.isnan(values[s, t]) and not math.isnan(made[t].sum()):
                    for i in range(leads.size):
                        wrong = abs(values[s, t] - made[t, i])
                        if counts >= CLIPPED_FROM:
                            wrong = min(wrong, CLIP * found[s, c, i] / counts)
                        found[s, c, i] += wrong
                    counts += 1
                state = step(values[s, t], t, settings[c], season, state)
                if state[2] > 0:
                    for i in range(leads.size):
                        if t + leads[i] < steps:
                            made[t + leads[i], i] = _ahead(t, leads[i], settings[c], season, state)
            for i in range(leads.size):
                found[s, c, i] = found[s, c, i] / counts if counts > 0 else math.inf


@compiled.kernel
def paths(values, settings, chosen, season, path):  # type: ignore[no-untyped-def]
    """Fill float64[S, H] with what is foreseen 1 to H steps behind the last one.

    chosen  int64[S], the setting of each series
    """
    for s in range(values.shape[0]):
        setting = settings[chosen[s]]
        state = _start(season)
        for t in range(values.shape[1]):
            state = step(values[s, t], t, setting, season, state)
        for h in range(path.shape[1]):
            path[s, h] = math.nan
            if state[2] > 0:
                path[s, h] = _ahead(values.shape[1] - 1, h + 1, setting, season, state)


@compiled.part
def _start(season):  # type: ignore[no-untyped-def]
    """Level, trend, samples seen, mean |error|; no season: its offsets and visits are 0."""
    season[:] = 0.0
    return 0.0, 0.0, 0, 0.0


@compiled.part
def step(x, t, setting, season, state):  # type: ignore[no-untyped-def]
    """Take in a sample, or let the trend go on where there is none."""
    level, trend, seen, usual = state
    trend *= setting[DAMPING]
    if math.isnan(x):
        return level + trend, trend, seen, usual
    if seen == 0:
        return x, 0.0, 1, 0.0
    period = int(setting[PERIOD])
    at = t % period if period > 0 else 0
    offset = season[at, 0] if period > 0 else 0.0
    error = x - (level + trend + offset)
    if seen > CLIPPED_FROM:
        error = numbers.clip(error, CLIP * usual)
    size = abs(error)
    if period > 0:
        season[at, 1] += 1.0
        rate = max(setting[SEASON], 1.0 / season[at, 1])
        season[at, 0] += rate * error
        error *= 1.0 - rate  # the first season takes all
    rate = max(setting[LEVEL], 1.0 / (seen + 1.0)) if period == 0 else setting[LEVEL]
    seen += 1
    usual += max(USUAL_RATE, 1.0 / seen) * (size - usual)
    return level + trend + rate * error, trend + setting[TREND] * error, seen, usual


@compiled.part
def _ahead(t, horizon, setting, season, state):  # type: ignore[no-untyped-def]
    """What is foreseen so many steps behind step t."""
    level, trend, _, _ = state
    damping = setting[DAMPING]
    if damping < 1.0:
        trend *= damping * (1.0 - damping**horizon) / (1.0 - damping)
    else:
        trend *= horizon
    period = int(setting[PERIOD])
    offset = season[(t + horizon) % period, 0] if period > 0 else 0.0
    return level + trend + offset
