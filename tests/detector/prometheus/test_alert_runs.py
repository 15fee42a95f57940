"""Times through which alerts fired, read of canned samples of the series ALERTS."""

from __future__ import annotations

import json
import re
import urllib.parse
from datetime import timedelta

import pytest

from detector.prometheus import alerts_api, connection
from tests.factories import at

INTERVAL_S = 15.0
UNTIL_S = 3600.0


class Canned(connection.Client):
    """Tells samples of these alerts, at these seconds, of the range that is asked for: both of its
    ends are part of it, as before Prometheus 3."""

    def __init__(self, **alerts: list[float]) -> None:
        super().__init__("http://prometheus", timeout=timedelta(seconds=10))
        self.times = {name: [at(each).timestamp() for each in of] for name, of in alerts.items()}

    def call(self, method: str, path: str, **_: object) -> connection.Answer:
        asked = urllib.parse.parse_qs(path.partition("?")[2])
        lasts = re.fullmatch(r"ALERTS\{alertstate=\"firing\"\}\[(\d+)ms\]", asked["query"][0])
        assert lasts is not None
        end = float(asked["time"][0])
        start = end - int(lasts[1]) / 1000
        result = [
            {
                "metric": {"__name__": "ALERTS", "alertname": name, "alertstate": "firing"},
                "values": [[each, "1"] for each in times if start <= each <= end],
            }
            for name, times in self.times.items()
        ]
        body = {
            "status": "success",
            "data": {"result": [each for each in result if each["values"]]},
        }
        return connection.Answer(200, {}, json.dumps(body).encode())


def evaluated(first: float, last: float) -> list[float]:
    steps = int((last - first) // INTERVAL_S)
    return [first + INTERVAL_S * step for step in range(steps + 1)]


def runs(until: float = UNTIL_S, **alerts: list[float]) -> list[tuple[float, float, bool, bool]]:
    """Of the alert A: first and last second, and whether it began and ended."""
    found = alerts_api.AlertsApi(Canned(**alerts)).runs(at(0), at(until))
    return [
        (
            (each.first - at(0)).total_seconds(),
            (each.last - at(0)).total_seconds(),
            each.is_begun,
            each.is_over,
        )
        for each in found
        if each.labels == (("alertname", "A"),)
    ]


def test_a_run_has_begun_and_is_over_where_an_evaluation_without_it_can_have_been() -> None:
    assert runs(A=evaluated(600, 900)) == [(600, 900, True, True)]
    assert runs(A=evaluated(30, 3570)) == [(30, 3570, True, True)]
    assert runs(A=evaluated(15, 900)) == [(15, 900, False, True)]
    assert runs(A=evaluated(600, 3585)) == [(600, 3585, True, False)]


def test_what_was_seen_once_has_a_usual_interval() -> None:
    assert runs(A=[80]) == [(80, 80, False, True)]
    assert runs(A=[100]) == [(100, 100, True, True)]


@pytest.mark.parametrize("other_begins", [7.0, 14.9])
def test_what_ends_while_others_are_evaluated_and_comes_again_is_two(other_begins: float) -> None:
    times = [*evaluated(600, 660), *evaluated(705, 900)]
    found = runs(A=times, B=evaluated(other_begins, 3000))
    assert found == [(600, 660, True, True), (705, 900, True, True)]


@pytest.mark.parametrize(("back", "count"), [(705, 1), (750, 1), (899, 1), (901, 2), (1500, 2)])
def test_what_a_prometheus_that_was_away_broke_is_one_while_alertmanager_held_it(
    back: float, count: int
) -> None:
    """Others are evaluated at times of their own, until a moment later and from one before."""
    times = [*evaluated(600, 660), *evaluated(back, 2000)]
    others = [*evaluated(607, 667), *evaluated(back - 8, 2000)]
    found = runs(A=times, B=others)
    assert len(found) == count
    assert (found[0][0], found[-1][1]) == (600, times[-1])
    assert found[0][1] == (times[-1] if count == 1 else 660)


def test_what_is_evaluated_seldom_is_held_for_longer() -> None:
    """Four intervals of five minutes."""
    times = [600.0, 900.0, 1200.0, 2390.0, 2690.0]
    assert [each[:2] for each in runs(A=times)] == [(600, 2690)]
    assert len(runs(A=[600, 900, 1200, 2410, 2710])) == 2


def test_samples_are_read_in_blocks_up_to_the_end() -> None:
    hours = 3600.0
    assert runs(13 * hours, A=evaluated(600, 20 * hours)) == [(600, 13 * hours, True, False)]


def test_evaluations_may_be_a_moment_late() -> None:
    times = [600, 615, 630.004, 645]
    assert [each[:2] for each in runs(A=times, B=evaluated(7, 3000))] == [(600, 645)]
