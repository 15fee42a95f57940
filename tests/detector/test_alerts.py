from __future__ import annotations

import functools
import itertools

import pytest

from detector import alerts
from detector.alerts import State


def test_every_pair_of_states_has_a_successor() -> None:
    pairs = itertools.product([None, *State], State)
    assert set(alerts.NEXT) == set(pairs)


def state_after(told: tuple[State, ...]) -> State | None:
    start: State | None = None
    return functools.reduce(lambda state, heard: alerts.NEXT[state, heard], told, start)


@pytest.mark.parametrize("length", [1, 2, 3, 4, 5])
def test_state_hangs_on_what_was_told_not_on_order_or_number(length: int) -> None:
    for told in itertools.product(State, repeat=length):
        expected = State.RESOLVED if State.RESOLVED in told else State.FIRING
        assert state_after(told) is expected


def test_filter_wants_everything_unless_told() -> None:
    assert alerts.EpisodeFilter() == alerts.EpisodeFilter(
        state=None, labels=(), since=None, until=None, before_id=None, limit=100
    )
