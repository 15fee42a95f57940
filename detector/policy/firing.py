"""What a policy's rules would have fired, evaluated as Prometheus 2.42 evaluates them.

It follows rules/alerting.go and rules/manager.go. Rules of a group are evaluated one after the
other, each at all series at once:

result     what the expression gives: (fire or (hold and ALERTS of this rule)) unless ALERTS of the
           rules that outrank it. Of itself a rule sees what it wrote one evaluation before, of the
           rules before it what they have written in this one.
alerts     one for each label set of the result; pending first, firing once `for` has passed,
           forgotten at the evaluation that it is not in, or, if it fires, `keep_firing_for` later
refusal    two series of a result that differ in nothing but the name or the labels that the alert
           sets: Prometheus then refuses the result, so this rule stands still for this evaluation,
           and what it wrote last is seen until it is LOOKBACK old
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from enum import IntEnum
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from detector import frames
from detector.policy import compiler

LOOKBACK = timedelta(minutes=5)
"""How long a sample stands without a newer one, as Prometheus is shipped; from Prometheus 3 on a
millisecond less."""
NAME, ALERTS = "__name__", "ALERTS"
_MS = timedelta(milliseconds=1)
_NEVER = -1
States: TypeAlias = npt.NDArray[np.int8]


class State(IntEnum):
    """Of an alert."""

    INACTIVE = 0
    PENDING = 1
    FIRING = 2


@dataclass(frozen=True, slots=True)
class Vector:
    """What an expression gives over time.

    labels   of each series, with its name where it has one
    present  bool[T, S], whether it is among what the expression gives
    """

    labels: tuple[frames.Labels, ...]
    present: frames.Bools


@dataclass(frozen=True, slots=True)
class Evaluated:
    """A rule, and what its condition gives on the grid of evaluations.

    hold  None where it is the same text as fire
    """

    rule: compiler.AlertingRule
    fire: Vector
    hold: Vector | None = None


@dataclass(frozen=True, slots=True)
class Spell:
    """A time in which an alert was active without a gap; epoch milliseconds of evaluations.

    labels      of the alert
    since_ms    when it was first there, pending or firing
    firing_ms   when it began to fire, None if it never did
    until_ms    the first evaluation at which it was over, None if it was there at the last one
    """

    labels: frames.Labels
    since_ms: int
    firing_ms: int | None
    until_ms: int | None


@dataclass(frozen=True, slots=True)
class Fired:
    """What became of one rule, as ALERTS shows it.

    labels   of each alert, without alertstate
    states   int8[T, A], a State
    refused  bool[T], at which evaluations Prometheus refuses what the rule gives
    spells   by time, then by labels
    """

    rule: compiler.AlertingRule
    labels: tuple[frames.Labels, ...]
    states: States
    refused: frames.Bools
    spells: tuple[Spell, ...]


def simulate(
    times_ms: frames.Ints, each: Sequence[Evaluated], *, per: Sequence[str] | None
) -> list[Fired]:
    """What these rules of one policy fire, which is not active before the first evaluation.

    times_ms  int64[T], the evaluations, evenly spaced
    each      in the order of compiler.rules
    per       of the document: labels by which a rule quietens another
    """
    found: list[Fired] = []
    for one in each:
        above = [other for other in found if other.rule.number in one.rule.outranked_by]
        found.append(_Simulation(times_ms, one, above, per).run())
    return found


def alert_labels(labels: frames.Labels, rule: compiler.AlertingRule) -> frames.Labels:
    """The labels of the alert that a rule raises for a series."""
    own = {**rule.labels, compiler.POLICY: rule.alert, "alertname": rule.alert}
    kept = {name: value for name, value in labels if name != NAME}
    return frames.labels_from_pairs({**kept, **own}.items())


def series_labels(labels: frames.Labels) -> frames.Labels:
    """Those of an alert that its series has too."""
    return tuple(pair for pair in labels if pair[0] not in compiler.OWN_LABELS)


@dataclass(slots=True)
class _Ids:
    """A number from 0 for each value, in the order in which they come."""

    by_value: dict[frames.Labels, int] = field(default_factory=dict)

    def of(self, values: Sequence[frames.Labels]) -> frames.Ints:
        known = self.by_value
        return np.array([known.setdefault(each, len(known)) for each in values], dtype=np.int64)


class _Simulation:
    """One rule over all evaluations. Series are those of fire, then those of hold."""

    def __init__(
        self,
        times_ms: frames.Ints,
        given: Evaluated,
        above: Sequence[Fired],
        per: Sequence[str] | None,
    ) -> None:
        self._times_ms, self._rule = times_ms, given.rule
        self._for_ms = given.rule.for_ // _MS
        self._keep_ms = given.rule.keep_firing_for // _MS
        step_ms = int(times_ms[1] - times_ms[0]) if len(times_ms) > 1 else 0
        self._stands_ms = max(LOOKBACK // _MS, step_ms)
        none = Vector((), np.zeros((len(times_ms), 0), np.bool_))
        self._fire, self._hold = given.fire, given.hold or none
        series = (*self._fire.labels, *self._hold.labels)
        self._split = len(self._fire.labels)

        alerts, nameless, own = _Ids(), _Ids(), _Ids()
        self._alert = alerts.of([alert_labels(each, given.rule) for each in series])
        self._labels = tuple(alerts.by_value)
        self._nameless = nameless.of([_nameless(each) for each in series])
        self._own = own.of([series_labels(_nameless(each)) for each in series])
        self._own_of_alert = own.of([series_labels(each) for each in self._labels])
        self._nameless_count, self._own_count = len(nameless.by_value), len(own.by_value)
        self._quiet = _quiet(series, len(times_ms), above, per)

        self._state = np.zeros(len(self._labels), np.int8)
        self._active_ms = np.zeros(len(self._labels), np.int64)
        self._kept_ms = np.full(len(self._labels), _NEVER, np.int64)
        self._written_ms = _NEVER

    def run(self) -> Fired:
        states = np.zeros((len(self._times_ms), len(self._labels)), np.int8)
        refused = np.zeros(len(self._times_ms), np.bool_)
        present = np.hstack([self._fire.present, self._hold.present])
        busy = np.add.reduce(present, axis=1) > 0
        for t, now_ms in enumerate(self._times_ms.tolist()):
            if busy[t] or self._state.any():
                refused[t] = not self._evaluate(t, now_ms)
                states[t] = self._seen(now_ms)
        spells = _spells(self._times_ms, self._labels, states)
        return Fired(self._rule, self._labels, states, refused, spells)

    def _seen(self, now_ms: int) -> States:
        """The states that ALERTS shows now."""
        stands = now_ms - self._written_ms <= self._stands_ms
        return self._state if stands else np.zeros_like(self._state)

    def _evaluate(self, t: int, now_ms: int) -> bool:
        """Whether Prometheus takes the result."""
        times = np.bincount(self._alert[self._result(t, now_ms)], minlength=len(self._labels))
        if times.max() > 1:
            return False
        self._turn(times > 0, now_ms)
        self._written_ms = now_ms
        return True

    def _result(self, t: int, now_ms: int) -> frames.Ints:
        """Places of the series that the expression gives."""
        fire = self._fire.present[t]
        hold = self._hold.present[t] & self._held(fire, now_ms)
        present = np.concatenate([fire, hold])
        if self._quiet is not None:
            present &= ~self._quiet[t]
        return np.flatnonzero(present)

    def _held(self, fire: frames.Bools, now_ms: int) -> frames.Bools:
        """Which series of hold have fired, and are not among those of fire."""
        fires = np.zeros(self._own_count, np.bool_)
        fires[self._own_of_alert[self._seen(now_ms) == State.FIRING]] = True
        taken = np.zeros(self._nameless_count, np.bool_)
        taken[self._nameless[: self._split][fire]] = True
        return fires[self._own[self._split :]] & ~taken[self._nameless[self._split :]]

    def _turn(self, given: frames.Bools, now_ms: int) -> None:
        """What becomes of each alert, by whether the result has it."""
        state = self._state
        begins = given & (state == State.INACTIVE)
        state[begins] = State.PENDING
        self._active_ms[begins] = now_ms
        self._kept_ms[given] = _NEVER
        goes = ~given & (state == State.FIRING)
        self._kept_ms[goes & (self._kept_ms == _NEVER)] = now_ms
        kept = goes & (now_ms - self._kept_ms < self._keep_ms)
        state[~given & ~kept] = State.INACTIVE
        state[(state == State.PENDING) & (now_ms - self._active_ms >= self._for_ms)] = State.FIRING


def _nameless(labels: frames.Labels) -> frames.Labels:
    return tuple(pair for pair in labels if pair[0] != NAME)


def _quiet(
    series: Sequence[frames.Labels],
    steps: int,
    above: Sequence[Fired],
    per: Sequence[str] | None,
) -> frames.Bools | None:
    """bool[T, S]: for which series one of the rules above fires; None without such rules."""
    if not above:
        return None
    keys = _Ids()
    place = keys.of([_matched(each, per) for each in series])
    quiet = np.zeros((steps, len(keys.by_value)), np.bool_)
    for other in above:
        for alert, labels in enumerate(other.labels):
            written = (*labels, (NAME, ALERTS), ("alertstate", "firing"))
            key = keys.by_value.get(_matched(written, per))
            if key is not None:
                quiet[:, key] |= other.states[:, alert] == State.FIRING
    return quiet[:, place]


def _matched(labels: Sequence[tuple[str, str]], per: Sequence[str] | None) -> frames.Labels:
    """What must be the same of a series and of ALERTS."""
    if per is None:
        return series_labels(_nameless(tuple(labels)))
    values: Mapping[str, str] = dict(labels)
    return tuple((name, values.get(name, "")) for name in per)


def _spells(
    times_ms: frames.Ints, labels: Sequence[frames.Labels], states: States
) -> tuple[Spell, ...]:
    # From 0 to 1 where one begins, back where it is over; of each alert one after the other.
    active = np.zeros((len(labels), len(times_ms) + 2), np.int8)
    active[:, 1:-1] = (states != State.INACTIVE).T
    edges = np.argwhere(np.diff(active, axis=1)).tolist()
    found = []
    for (alert, since), (_, until) in zip(edges[::2], edges[1::2], strict=True):
        fires = since + int(np.searchsorted(states[since:until, alert], State.FIRING))
        found.append(
            Spell(
                labels[alert],
                int(times_ms[since]),
                int(times_ms[fires]) if fires < until else None,
                int(times_ms[until]) if until < len(times_ms) else None,
            )
        )
    return tuple(sorted(found, key=lambda each: (each.since_ms, each.labels)))
