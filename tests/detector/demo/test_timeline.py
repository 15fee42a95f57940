from __future__ import annotations

from detector.demo import timeline, watch

BEGAN_S = 1_000.0
FIRST_BAD_S = 1_004.0


def _line() -> timeline.Timeline:
    return timeline.Timeline(BEGAN_S, FIRST_BAD_S)


def _titles(stations: list[timeline.Station]) -> list[str]:
    return [station.title for station in stations]


def test_stations_are_noted_once_in_order_with_seconds_from_the_first_bad_sample() -> None:
    line = _line()
    high = watch.Sight(score=2.5, score_ms=1_005_000)

    assert line.note(high, 1_006.0) == [timeline.Station("score above 1", 2.0, "anomaly_score 2.5")]
    assert line.note(high, 1_007.0) == []
    pending = watch.Sight(score=2.5, score_ms=1_010_000, rule_state="pending")
    assert _titles(line.note(pending, 1_011.0)) == ["rule pending"]
    assert line.passed[0] == timeline.Station("burst started", -4.0, "all cores busy")


def test_a_look_that_came_late_notes_all_stations_passed_meanwhile() -> None:
    line = _line()
    sight = watch.Sight(
        score=3.0,
        score_ms=1_020_000,
        rule_state="firing",
        routed=True,
        episode_id=7,
        episode_state="firing",
    )

    assert _titles(line.note(sight, 1_030.0)) == list(timeline.TITLES[1:6])
    over = watch.Sight(score=0.1, score_ms=1_090_000, episode_id=7, episode_state="resolved")
    assert _titles(line.note(over, 1_099.0)) == ["episode resolved"]
    assert line.is_over()


def test_a_high_score_from_before_the_burst_does_not_count() -> None:
    line = _line()

    assert line.note(watch.Sight(score=9.0, score_ms=1_003_000), 1_004.5) == []
    assert line.peak == 0.0


def test_an_alert_is_not_noted_without_a_score_above_one() -> None:
    assert (
        _line().note(watch.Sight(score=0.5, score_ms=1_005_000, rule_state="firing"), 1_006) == []
    )
