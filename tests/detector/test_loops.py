from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from datetime import timedelta

import pytest

from detector import errors, loops, telemetry

SOON = timedelta(seconds=5)


class Clock:
    """Seconds that stand still until a test moves them."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


def _loop(turn: Callable[[], loops.Turn], meters: telemetry.Telemetry, clock: Clock) -> loops.Loop:
    interval = timedelta(milliseconds=1)
    return loops.Loop("probe", turn, interval=interval, meters=meters, clock=clock)


def _value(meters: telemetry.Telemetry, name: str, **labels: str) -> float:
    value = meters.registry.get_sample_value(name, {"loop": "probe", **labels})
    assert value is not None, name
    return value


def test_a_loop_turns_until_stopped_and_counts_what_went_through() -> None:
    meters, turned = telemetry.Telemetry(), threading.Event()

    def turn() -> loops.Turn:
        turned.set()
        return loops.Turn(came_in=3, went_out=2)

    loop = _loop(turn, meters, Clock())
    loop.start()
    assert turned.wait(5)
    assert loop.stop(SOON)

    turns = _value(meters, "detector_loop_duration_seconds_count")
    assert turns >= 1
    assert _value(meters, "detector_loop_in_total") == 3 * turns
    assert _value(meters, "detector_loop_out_total") == 2 * turns


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (errors.UpstreamError("slow", kind="timeout", retryable=True), "timeout"),
        (errors.StoreError("gone", retryable=True), "store"),
        (errors.ConfigError("odd"), "other"),
        (ZeroDivisionError(), "bug"),
    ],
)
def test_a_turn_that_fails_is_counted_and_the_next_one_comes(
    error: Exception, kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    meters, failures, again = telemetry.Telemetry(), [error], threading.Event()

    def turn() -> loops.Turn:
        if failures:
            raise failures.pop()
        again.set()
        return loops.Turn()

    loop = _loop(turn, meters, Clock())
    with caplog.at_level(logging.INFO):
        loop.start()
        assert again.wait(5)
        assert loop.stop(SOON)

    assert _value(meters, "detector_loop_failures_total", kind=kind) == 1
    assert [record.message for record in caplog.records] == ["turn failed", "loop works again"]


def test_a_loop_that_does_not_succeed_any_more_has_stalled() -> None:
    meters, clock, turned = telemetry.Telemetry(), Clock(), threading.Event()

    def turn() -> loops.Turn:
        turned.set()
        raise errors.UpstreamError("down", kind="unreachable", retryable=True)

    loop = _loop(turn, meters, clock)
    loop.start()
    assert turned.wait(5)
    assert not loop.is_stalled()
    clock.now += loops.STALL_AT_LEAST.total_seconds() + 1
    stalled = loop.is_stalled()
    assert loop.stop(SOON)

    assert stalled
    assert _value(meters, "detector_loop_stalled") == 1


def test_a_turn_that_hangs_is_said_not_to_have_stopped() -> None:
    meters, inside, go_on = telemetry.Telemetry(), threading.Event(), threading.Event()

    def turn() -> loops.Turn:
        inside.set()
        go_on.wait(10)
        return loops.Turn()

    loop = _loop(turn, meters, Clock())
    loop.start()
    assert inside.wait(5)
    stopped = loop.stop(timedelta(milliseconds=10))
    go_on.set()

    assert not stopped
    assert loop.stop(SOON)
