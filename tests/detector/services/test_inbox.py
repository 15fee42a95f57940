from __future__ import annotations

import dataclasses

import pytest

from detector import anomalies
from detector.services import inbox
from tests.factories import anomaly, at


class Counted:
    """An inbox for two, and how many it dropped."""

    def __init__(self) -> None:
        self.dropped = 0
        self.inbox = inbox.Inbox(drop=self._drop, capacity=2)

    def _drop(self, count: int) -> None:
        self.dropped += count


ONE, TWO, THREE = (anomaly(query) for query in ("one", "two", "three"))
LATER = anomaly("one", told=5)


def _put(*news: anomalies.Anomaly) -> Counted:
    given = Counted()
    for each in news:
        given.inbox.put(each)
    return given


def test_first_in_is_first_out() -> None:
    given = _put(ONE, TWO)

    assert len(given.inbox) == 2
    assert (given.inbox.take(1), given.inbox.take(5), given.inbox.take(5)) == ([ONE], [TWO], [])


def test_only_the_latest_of_each_waits() -> None:
    assert _put(ONE, TWO, LATER).inbox.take(5) == [LATER, TWO]


def test_full_one_drops_others_and_counts_them_but_still_takes_news_of_those_that_wait() -> None:
    given = _put(ONE, TWO, THREE, LATER)

    assert (given.inbox.take(5), given.dropped) == ([LATER, TWO], 1)


def test_what_could_not_be_stored_comes_first_again() -> None:
    given = _put(ONE)
    taken = given.inbox.take(5)
    given.inbox.put(TWO)

    given.inbox.put_back(taken)

    assert given.inbox.take(5) == [ONE, TWO]


def test_newer_news_stand_when_older_ones_come_back() -> None:
    given = _put(ONE)
    taken = given.inbox.take(5)
    given.inbox.put(LATER)

    given.inbox.put_back(taken)

    assert (given.inbox.take(5), given.dropped) == ([LATER], 0)


def test_what_comes_back_to_a_full_one_pushes_out_the_newest() -> None:
    given = _put(ONE)
    taken = given.inbox.take(5)
    given.inbox.put(TWO)
    given.inbox.put(THREE)

    given.inbox.put_back(taken)

    assert (given.inbox.take(5), given.dropped) == ([ONE, TWO], 1)


def _recorded(record: bytes, told: float | None = None) -> anomalies.Anomaly:
    return anomaly("one", explanation=anomalies.Explanation(record=record), told=told)


def test_the_record_of_a_peak_waits_for_as_long_as_it_is_the_peak() -> None:
    kept = _put(_recorded(b"peak"), _recorded(b"", told=5)).inbox.take(5)
    assert kept == [_recorded(b"peak", told=5)]
    worse = dataclasses.replace(_recorded(b"", told=5), peak_at=at(5))
    assert _put(_recorded(b"peak"), worse).inbox.take(5) == [worse]


def test_a_record_that_was_taken_and_comes_back_is_kept() -> None:
    given = _put(_recorded(b"peak"))
    taken = given.inbox.take(5)
    given.inbox.put(_recorded(b"", told=5))
    given.inbox.put_back(taken)
    assert given.inbox.take(5) == [_recorded(b"peak", told=5)]


def test_where_many_wait_records_are_let_go(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inbox, "RECORDS_MOST", 1)
    assert _put(TWO, _recorded(b"peak")).inbox.take(5) == [TWO, _recorded(b"")]
