"""All queries run now, over a made-up Prometheus."""

from __future__ import annotations

import threading
from datetime import timedelta

import pytest

from detector import errors, telemetry
from detector.models import budget
from detector.models import scoring as models_scoring
from detector.services import collecting, scoring
from tests import stack
from tests.fakes import prometheus, queries

STEP = timedelta(minutes=1)
NOW_S = 1_700_000_040.0


class Reader(prometheus.FakeReader):
    """Waits in each read until `go_on` is set."""

    def __init__(self) -> None:
        super().__init__({(("instance", "a"),): lambda _: 1.0})
        self.go_on = threading.Event()
        self.go_on.set()

    def _answer(self) -> None:
        assert self.go_on.wait(20)
        super()._answer()


def runner(name: str, reader: Reader) -> scoring.QueryRunner:
    return scoring.QueryRunner(
        scoring.Spec(name, "x", STEP, timedelta(0), timedelta(hours=1), timedelta(days=1)),
        reader=reader,
        writer=prometheus.RecordingWriter(),
        make_scorer=lambda: models_scoring.QueryScorer(
            step=STEP, budget=budget.parse_budget("1 per week per series"), models=()
        ),
        meters=telemetry.Telemetry(),
        clock=lambda: NOW_S,
    )


@pytest.fixture
def readers() -> dict[str, Reader]:
    return {name: Reader() for name in ("cpu", "disk")}


@pytest.fixture
def collects(readers: dict[str, Reader]) -> collecting.Collecting:
    runners = [runner(name, reader) for name, reader in readers.items()]
    return collecting.Collecting(queries.roster_of(*runners), workers=2)


def test_every_query_is_read_and_told_of(collects: collecting.Collecting) -> None:
    found = collects.collect()
    assert [(each.query, each.samples, each.series, each.error) for each in found] == [
        ("cpu", 1, 1, ""),
        ("disk", 1, 1, ""),
    ]
    again = collects.collect()  # within the same step
    assert [(each.samples, each.scores) for each in again] == [(0, 0), (0, 0)]


def test_a_query_that_fails_does_not_sink_the_others(
    collects: collecting.Collecting, readers: dict[str, Reader]
) -> None:
    readers["cpu"].broken = True
    cpu, disk = collects.collect()
    assert (cpu.error, cpu.samples, disk.error, disk.samples) == ("Prometheus is down", 0, "", 1)


def test_one_collection_runs_at_a_time(
    collects: collecting.Collecting, readers: dict[str, Reader]
) -> None:
    readers["cpu"].go_on.clear()
    first = threading.Thread(target=collects.collect)
    first.start()
    stack.wait_until(lambda: readers["disk"].instants or readers["disk"].ranges, 10, "a read")
    with pytest.raises(errors.ConflictError, match="a collection is under way"):
        collects.collect()
    readers["cpu"].go_on.set()
    first.join()
    assert len(collects.collect()) == 2
