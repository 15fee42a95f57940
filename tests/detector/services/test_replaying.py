from __future__ import annotations

import dataclasses
import math
import re

import numpy as np
import pytest

from detector import anomalies, errors, frames
from detector.models import checks, decisions
from detector.services import replaying
from tests.detector.models import test_decisions
from tests.detector.services import live
from tests.factories import anomaly
from tests.fakes.anomalies import FakeAnomalyStore

pytestmark = pytest.mark.usefixtures("compiled_kernels")


def spike() -> anomalies.Anomaly:
    """An anomaly as it was scored, with its record."""
    values = test_decisions.values_with_spikes()
    scorer, at_step = test_decisions.scorer_of(), test_decisions.SPIKE
    scores = scorer.score(checks.frame_of(values), records=True)
    return dataclasses.replace(
        anomaly(explanation=scorer.explain(1, at_step, values[at_step, 1])),
        peak_score=float(scores.score[at_step, 1]),
        value=float(values[at_step, 1]),
        expected=float(scores.expected[at_step, 1]),
        lower=float(scores.lower[at_step, 1]),
        upper=float(scores.upper[at_step, 1]),
    )


def stored(told: anomalies.Anomaly) -> FakeAnomalyStore:
    store = FakeAnomalyStore()
    store.record([(7, told)], {})
    return store


def test_a_remembered_anomaly_comes_out_the_same() -> None:
    told = spike()
    found = replaying.replay(stored(told), 1)
    assert found is not None
    assert found.is_same
    assert (found.score, found.upper, found.samples) == (told.peak_score, told.upper, 650)
    assert set(found.rises) == {"residual", "near", "wide", "gaussian"}
    said = replaying.text_of(found)
    assert said.startswith("anomaly 1: cpu: instance=web-1\nspike, ")
    assert found.reason == f"a score of {told.peak_score:.3g}; 1 is the limit"
    assert "650 samples of the series before it" in said
    assert said.endswith("The same, to the last bit.")


def test_what_differs_is_said() -> None:
    found = replaying.replay(stored(dataclasses.replace(spike(), peak_score=9.0)), 1)
    assert found is not None
    assert not found.is_same
    assert "please report it" in replaying.text_of(found)
    other = dataclasses.replace(found, engine="0123456789ab")
    assert "another version of the detector (0123456789ab, this is" in replaying.text_of(other)


def test_what_cannot_be_replayed_says_why() -> None:
    assert replaying.replay(FakeAnomalyStore(), 1) is None
    with pytest.raises(errors.NotEnoughData, match="anomaly 1: its decision was not recorded"):
        replaying.replay(stored(anomaly(opens=0)), 1)
    broken = anomaly(explanation=anomalies.Explanation(record=decisions.MAGIC + b"?"))
    with pytest.raises(errors.NotEnoughData, match="anomaly 1: a broken decision record"):
        replaying.replay(stored(broken), 1)


REASONS = {
    frames.Kind.FLAT: r"the same value for 14 samples; 13 are the limit",
    frames.Kind.ZERO: r"zero for 3 samples; 2 are the limit",
    frames.Kind.MISSING: r"no sample for 13 steps; 12 are the limit",
    frames.Kind.LOST_SEASON: r"the season of the day explained 0\.82 of the variance and now "
    r"0\.06; lost for 34 samples; 33 are the limit",
}


@pytest.mark.parametrize("kind", live.STEPS, ids=lambda kind: kind.name.lower())
def test_what_opens_without_a_score_above_1_comes_out_the_same(kind: frames.Kind) -> None:
    store, told = live.opened(kind)
    anomaly = told.anomaly
    assert (anomaly.kind, anomaly.peak_at) == (kind.name.lower(), anomaly.opened_at)
    assert anomaly.peak_score <= 1.0

    found = replaying.replay(store, told.id)

    assert found is not None
    assert found.is_same
    assert (found.kind, found.score) == (anomaly.kind, anomaly.peak_score)
    np.testing.assert_array_equal(
        [found.expected, found.lower, found.upper],
        [anomaly.expected, anomaly.lower, anomaly.upper],
    )
    assert math.isnan(anomaly.value) == math.isnan(found.expected) == (kind.name == "MISSING")
    assert re.fullmatch(REASONS[kind], found.reason), found.reason
    said = replaying.text_of(found)
    assert f"\n{anomaly.kind}, since: {found.reason}\n" in said
    assert said.endswith("The same, to the last bit.")
    assert "nan" not in said


def test_what_opens_as_one_value_and_becomes_worse_is_replayed_where_it_was_worst() -> None:
    def value(step: int) -> float:
        return 95.0 if step == 20 else live.troubled(frames.Kind.FLAT, step)

    given = live.Live(live.of_steps(value))
    (before,) = given.run(20)
    (told,) = given.run(3)

    assert (before.anomaly.kind, before.id) == ("flat", told.id)
    assert before.anomaly.peak_score <= 1.0 < told.anomaly.peak_score
    assert before.anomaly.opened_at == told.anomaly.opened_at < told.anomaly.peak_at
    found = replaying.replay(given.store, told.id)
    assert found is not None
    assert found.is_same
    assert found.reason == f"a score of {found.score:.3g}; 1 is the limit"


def test_another_kind_than_the_remembered_one_is_not_the_same() -> None:
    found = replaying.replay(stored(dataclasses.replace(spike(), kind="dip")), 1)
    assert found is not None
    assert (found.kind, found.is_same) == ("spike", False)
