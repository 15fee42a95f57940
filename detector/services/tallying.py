"""What became of a rule, counted by series."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta

import numpy as np

from detector import frames
from detector.policy import documents, firing, windows
from detector.services import previews

MOST_TIMES = 2_000
"""At which a window is looked at."""


def rule_of(
    document: documents.Document,
    fired: firing.Fired,
    looked_at: int | None,
    period: previews.Period,
    now: datetime,
) -> previews.Rule:
    """What became of a rule, by series."""
    rule = document.rules[fired.rule.number - 1]
    spells: dict[frames.Labels, list[firing.Spell]] = {}
    for spell in fired.spells:
        spells.setdefault(firing.series_labels(spell.labels), []).append(spell)
    series = [_series(labels, each, period) for labels, each in spells.items()]
    something = (fired.states == firing.State.FIRING).any(axis=1)
    return previews.Rule(
        fired.rule.number,
        rule.priority,
        rule.action.severity,
        rule.condition.type,
        rule.action.type,
        tuple(sorted(series, key=lambda each: (-each.firing, each.name))),
        looked_at,
        float(np.mean(something)),
        () if rule.condition.window is None else _shut(rule.condition.window, period, now),
    )


def _shut(
    window: windows.Window, period: previews.Period, now: datetime
) -> tuple[tuple[int, int], ...]:
    times_ms = period.times_ms[:: -(-period.steps // MOST_TIMES)]
    shut = [
        not windows.is_open(window, datetime.fromtimestamp(time_ms / 1000, UTC), now)
        for time_ms in times_ms.tolist()
    ]
    edges = np.flatnonzero(np.diff([False, *shut, False])).reshape(-1, 2)
    ends_ms = [*times_ms.tolist(), period.end_ms + period.step_ms]
    return tuple((ends_ms[begin], ends_ms[end]) for begin, end in edges.tolist())


def _series(
    labels: frames.Labels, spells: Sequence[firing.Spell], period: previews.Period
) -> previews.Series:
    bounds = [period.bounds(spell) for spell in spells]
    lengths = [timedelta(milliseconds=until_ms - firing_ms) for _, firing_ms, until_ms in bounds]
    none = timedelta(0)
    return previews.Series(
        previews.name_of(labels),
        labels,
        tuple(spells),
        sum(lengths, none),
        max(lengths, default=none),
    )


def money_of(
    rule: previews.Rule,
    values: frames.Floats,
    rows: Mapping[frames.Labels, int],
    limit: float | None,
    period: previews.Period,
) -> tuple[previews.Money, ...]:
    """What was at stake where it fired, by currency.

    values  float64[T, S] of money; rows by the labels of a series
    """
    most: dict[str, list[float]] = {}
    for series in rule.fired:
        row = rows.get(series.labels)
        if row is None:
            continue
        fired = np.zeros(len(values), np.bool_)
        for spell in series.spells:
            _, firing_ms, until_ms = period.bounds(spell)
            first, end = ((at - period.start_ms) // period.step_ms for at in (firing_ms, until_ms))
            fired[first:end] = True
        held = values[fired, row]
        if np.isfinite(held).any():
            most.setdefault(dict(series.labels).get("currency", ""), []).append(
                float(np.nanmax(held))
            )
    return tuple(
        previews.Money(
            currency,
            len(amounts),
            sum(amounts),
            None if limit is None else sum(amounts) - limit * len(amounts),
        )
        for currency, amounts in sorted(most.items())
    )
