from __future__ import annotations

import dataclasses

import pytest

from detector import anomalies, errors
from detector.models import checks, decisions
from detector.services import replaying
from tests.detector.models import test_decisions
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
