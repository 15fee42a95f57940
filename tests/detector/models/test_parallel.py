from __future__ import annotations

import threading

import pytest

from detector.models import parallel


@pytest.mark.parametrize(
    ("rows", "samples", "threads", "parts"),
    [(1, 10**6, 4, 1), (1000, 1000, 1, 1), (1000, 1000, 4, 3), (1000, 10**6, 4, 4), (7, 7, 4, 1)],
)
def test_parts_cover_all_rows_once_and_are_worth_a_thread(
    rows: int, samples: int, threads: int, parts: int
) -> None:
    ranges = parallel.parts(rows, samples, threads=threads)
    assert [row for first, last in ranges for row in range(first, last)] == [*range(rows)]
    sizes = [last - first for first, last in ranges]
    assert len(sizes) == parts
    assert max(sizes) - min(sizes) <= 1


def test_results_come_in_order_and_the_first_part_stays_on_this_thread() -> None:
    ranges = [(0, 2), (2, 4), (4, 5)]
    found = parallel.over(lambda *part: (part, threading.current_thread().name), ranges)
    assert [part for part, _ in found] == ranges
    assert found[0][1] == threading.current_thread().name
    assert all(name.startswith("rows") for _, name in found[1:])


@pytest.mark.parametrize("bad", [0, 2])
def test_a_part_that_fails_is_told_of_when_all_have_ended(bad: int) -> None:
    ended: list[int] = []

    def work(first: int, last: int) -> None:
        if first == bad:
            raise ValueError(f"part from {first}")
        threading.Event().wait(0.05)
        ended.append(first)

    with pytest.raises(ValueError, match=f"part from {bad}"):
        parallel.over(work, [(0, 1), (1, 2), (2, 3)])
    assert len(ended) == 2
