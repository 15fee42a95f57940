"""The score of an anomaly's peak made again, from what it was made from then."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from detector import anomalies, errors, frames, ports
from detector.models import decisions, explaining
from detector.models.kernels import layout


@dataclass(frozen=True, slots=True)
class Replay:
    """What came out, beside what was remembered.

    samples   of the series, before this one
    engine    names the arithmetic that the anomaly was scored by, engine_now that of this replay
    reason    in words, what made it an anomaly
    is_same   kind, score, expected value and band are the remembered ones, to the last bit
    """

    remembered: anomalies.Remembered
    samples: int
    kind: str
    reason: str
    score: float
    expected: float
    lower: float
    upper: float
    rises: Mapping[str, float]
    engine: str
    engine_now: str
    is_same: bool


def replay(store: ports.AnomalyStore, anomaly_id: int) -> Replay | None:
    """Score the peak of an anomaly again; None if no anomaly has this id.

    Raises StoreError; NotEnoughData, in words for a user, if its decision was not recorded or the
    record cannot be read any more.
    """
    found = store.anomaly(anomaly_id)
    if found is None:
        return None
    remembered, record = found
    if not record:
        raise errors.NotEnoughData(
            f"anomaly {anomaly_id}: its decision was not recorded: that is done for what is scored "
            "live, not for what opened in history, among too many at once or only by its group "
            "(docs/models.md, Decision records)"
        )
    try:
        decision = decisions.parse(record)
    except ValueError as error:
        raise errors.NotEnoughData(f"anomaly {anomaly_id}: {error}") from error
    outcome, anomaly = decisions.replay(decision), remembered.anomaly
    kind, score = frames.Kind(outcome.kind).name.lower(), anomalies.score_of_sample(outcome.score)
    numbers = np.array([score, outcome.expected, outcome.lower, outcome.upper])
    then = np.array([anomaly.peak_score, anomaly.expected, anomaly.lower, anomaly.upper])
    return Replay(
        remembered=remembered,
        samples=int(decision.state.counts[0, layout.POINTS]),
        kind=kind,
        reason=outcome.reason,
        score=score,
        expected=outcome.expected,
        lower=outcome.lower,
        upper=outcome.upper,
        rises=explaining.rises_by_name(outcome.rises, decision.params),
        engine=decision.engine,
        engine_now=decisions.ENGINE,
        is_same=kind == anomaly.kind and np.array_equal(numbers, then, equal_nan=True),
    )


def text_of(found: Replay) -> str:
    """The same for a reader."""
    anomaly = found.remembered.anomaly
    labels = ", ".join(f"{name}={value}" for name, value in anomaly.labels)
    value = "no sample" if math.isnan(anomaly.value) else f"{anomaly.value:.10g}"
    rows = (
        ("score", anomaly.peak_score, found.score),
        ("expected", anomaly.expected, found.expected),
        ("lower", anomaly.lower, found.lower),
        ("upper", anomaly.upper, found.upper),
    )
    lines = [
        f"anomaly {found.remembered.id}: {anomaly.query}: {labels}",
        f"{anomaly.kind}, {value} at {anomaly.peak_at:%Y-%m-%d %H:%M:%S %Z}",
        f"{found.samples} samples of the series before it",
        f"{found.kind}, since: {found.reason}",
        "",
        f"  {'':10}{'remembered':>16}{'replayed':>16}",
        *(f"  {name:10}{_number(then):>16}{_number(now):>16}" for name, then, now in rows),
        "",
    ]
    if found.rises:
        rises = ", ".join(f"{name} {rise:.2f}" for name, rise in found.rises.items())
        lines.append(f"rise of each member above its level: {rises}")
    if found.is_same:
        lines.append("The same, to the last bit.")
    elif found.engine != found.engine_now:
        lines.append(
            f"It was scored by another version of the detector ({found.engine}, this is "
            f"{found.engine_now}): numbers may differ."
        )
    else:
        lines.append("It differs, though this version of the detector scored it: please report it.")
    return "\n".join(lines)


def _number(found: float) -> str:
    """Of a missing sample no value is expected."""
    return "none" if math.isnan(found) else f"{found:.9g}"
