from __future__ import annotations

from datetime import datetime, timedelta

import pytest

from detector import alerts, errors, telemetry
from detector.services import heartbeats
from tests.factories import T0, at, notification
from tests.fakes.heartbeats import FakeHeartbeatSender


class Given:
    """Heartbeats at a clock that is put on by hand."""

    def __init__(self, *, came_at: datetime | None = None, is_told: bool = True) -> None:
        self.now, self.sender, self.kept = T0, FakeHeartbeatSender(), list[datetime]()
        self.meters = telemetry.Telemetry()
        self.beats = heartbeats.Heartbeats(
            self.sender if is_told else None,
            keep=self.kept.append,
            came_at=came_at,
            clock=lambda: self.now,
            meters=self.meters,
        )

    def metric(self, name: str, **labels: str) -> float | None:
        return self.meters.registry.get_sample_value(f"detector_heartbeat_{name}", labels)


def watchdog(evaluated_at: str = "", fingerprint: str = "a") -> alerts.Notification:
    annotations = (("evaluated_at", evaluated_at),) if evaluated_at else ()
    labels = (("alertname", "Watchdog"),)
    return notification(fingerprint, labels=labels, annotations=annotations)


def test_only_what_was_evaluated_anew_counts() -> None:
    """Alertmanager repeats for minutes what a Prometheus told it that is dead by now."""
    given = Given()
    heard = []
    for second, evaluated in ((0, "10"), (20, "10"), (40, "85"), (60, "85")):
        given.now = at(second)
        heard.append(given.beats.hear([watchdog(evaluated)]))
    assert heard == [True, False, True, False]
    assert given.kept == [at(0), at(40)]
    assert given.sender.told == [
        "Alerts arrive: Watchdog came at 2026-03-01T12:00:00+00:00.",
        "Alerts arrive: Watchdog came at 2026-03-01T12:00:40+00:00.",
    ]
    assert given.beats.silence() == timedelta(seconds=20)
    assert given.metric("last_received_timestamp_seconds") == at(40).timestamp()
    assert given.metric("last_success_timestamp_seconds") == at(40).timestamp()


def test_one_that_does_not_tell_when_counts_each_time() -> None:
    given = Given()
    assert [given.beats.hear([watchdog()]) for _ in range(3)] == [True] * 3
    assert len(given.sender.told) == 3


def test_one_of_several_prometheus_suffices() -> None:
    given = Given()
    dead = watchdog("10")
    assert given.beats.hear([dead, watchdog("10", "b")])
    assert given.beats.hear([dead, watchdog("85", "b")])
    assert not given.beats.hear([dead, watchdog("85", "b")])


def test_what_the_url_did_not_take_is_told_when_it_comes_again(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level("INFO")
    given = Given()
    given.sender.failure = errors.UpstreamError("away", kind="timeout", retryable=True)
    for _ in range(2):
        with pytest.raises(errors.UpstreamError, match="away"):
            given.beats.hear([watchdog("10")])
    assert given.kept == [at(0)], "it did come"
    assert given.metric("failures_total", kind="timeout") == 2
    assert given.metric("last_success_timestamp_seconds") == 0
    given.sender.failure = None
    assert given.beats.hear([watchdog("10")])
    assert not given.beats.hear([watchdog("10")])
    assert given.beats.hear([watchdog("20")])
    assert len(given.sender.told) == 2
    assert caplog.messages == ["heartbeat not passed on", "heartbeats are passed on again"]


def test_without_a_url_it_is_heard_all_the_same() -> None:
    given = Given(is_told=False)
    assert given.beats.hear([watchdog("10")])
    assert (given.kept, given.beats.came_at) == ([at(0)], at(0))
    assert given.metric("last_success_timestamp_seconds") == 0


def test_an_end_and_nothing_are_no_sign() -> None:
    given = Given()
    over = notification(ends_at=at(5), labels=(("alertname", "Watchdog"),))
    assert not given.beats.hear([over])
    assert not given.beats.hear([])
    assert (given.kept, given.sender.told, given.beats.silence()) == ([], [], None)


def test_a_new_process_knows_when_the_last_one_came() -> None:
    given = Given(came_at=at(-100))
    assert given.beats.silence() == timedelta(seconds=100)
    assert given.metric("last_received_timestamp_seconds") == at(-100).timestamp()
