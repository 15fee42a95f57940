"""What is read of alerts and of the configuration, of canned answers."""

from __future__ import annotations

import json
import re
import urllib.parse
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from detector import alerts, errors
from detector.prometheus import alerts_api, connection

START = datetime(2026, 5, 4, tzinfo=UTC)
LABELS, ALWAYS = (("alertname", "Busy"),), (("alertname", "Always"),)


class Canned(connection.Client):
    """Has these samples of one alert, in seconds from START, and of another that fires always; else
    tells `data`."""

    def __init__(
        self, times_s: Sequence[float] = (), data: object = None, status: int = 200
    ) -> None:
        super().__init__("http://prometheus", timeout=timedelta(seconds=10))
        self.asked: list[str] = []
        self._times = {LABELS: [(START + timedelta(seconds=each)).timestamp() for each in times_s]}
        begin = int(START.timestamp())
        self._times[ALWAYS] = [begin + each for each in range(-600, 86_400, 5)]
        self._data, self._status = data, status

    def call(self, method: str, path: str, **_: object) -> connection.Answer:
        self.asked.append(path)
        data = self._samples(path) if self._data is None else self._data
        tree = {"status": "success", "data": data}
        return connection.Answer(self._status, {}, json.dumps(tree).encode())

    def _samples(self, path: str) -> dict[str, Any]:
        """Both ends belong to a range, as Prometheus 2 has it."""
        asked = urllib.parse.parse_qs(urllib.parse.urlsplit(path).query)
        found = re.fullmatch(r'ALERTS\{alertstate="firing"\}\[(\d+)ms\]', asked["query"][0])
        assert found is not None
        end = float(asked["time"][0])
        first = end - int(found[1]) / 1000
        series = [
            {
                "metric": {"__name__": "ALERTS", "alertstate": "firing", **dict(labels)},
                "values": [[each, "1"] for each in times if first <= each <= end],
            }
            for labels, times in self._times.items()
        ]
        return {"resultType": "matrix", "result": [each for each in series if each["values"]]}


def runs(times_s: Sequence[float], *, until_s: float = 600) -> list[tuple[float, ...]]:
    """First and last sample and interval in seconds, and which ends were seen, from second 0 on."""
    until = START + timedelta(seconds=until_s)
    return [
        (
            (each.first - START).total_seconds(),
            (each.last - START).total_seconds(),
            each.interval.total_seconds(),
            each.is_begun,
            each.is_over,
        )
        for each in alerts_api.AlertsApi(Canned(times_s)).runs(START, until)
        if each.labels == LABELS
    ]


@pytest.mark.parametrize(
    ("times_s", "found"),
    [
        ((), []),
        ((120, 135, 150), [(120, 150, 15, True, True)]),
        ((120, 135, 157), [(120, 157, 15, True, True)]),
        ((120, 135, 158), [(120, 135, 15, True, True), (158, 158, 15, True, True)]),
        # What goes on beyond one end of what was asked for, or nearly so, is not seen there.
        ((22, 37, 52), [(22, 52, 15, False, True)]),
        ((23, 38, 53), [(23, 53, 15, True, True)]),
        ((562, 577), [(562, 577, 15, True, True)]),
        ((563, 578), [(563, 578, 15, True, False)]),
        # Of one sample nobody knows how far the next would have been.
        ((91,), [(91, 91, 60, True, True)]),
        ((90,), [(90, 90, 60, False, True)]),
        ((510,), [(510, 510, 60, True, False)]),
        # Two that are far apart are two alerts: rules are evaluated every five minutes at least.
        ((100, 551), [(100, 100, 300, False, True), (551, 551, 300, True, False)]),
        ((500, 560), [(500, 560, 60, True, False)]),
    ],
)
def test_a_run_ends_where_evaluations_are_missing(
    times_s: Sequence[float], found: list[tuple[float, ...]]
) -> None:
    assert runs(times_s) == found


def test_a_long_time_is_read_in_blocks_and_is_one_run() -> None:
    day = timedelta(days=1)
    client = Canned(range(600, 80_000, 15))
    found = alerts_api.AlertsApi(client).runs(START, START + day)
    (run,) = (each for each in found if each.labels == LABELS)
    assert (run.first, run.interval) == (START + timedelta(minutes=10), timedelta(seconds=15))
    assert (run.is_begun, run.is_over, run.labels) == (True, True, LABELS)
    assert len(client.asked) == day // alerts_api.BLOCK
    assert alerts_api.AlertsApi(client).runs(START, START) == ()


def test_active_ones_are_told_with_their_times_in_utc() -> None:
    given = {"labels": dict(LABELS), "activeAt": "2026-05-04T02:00:00.5+02:00"}
    told = {"alerts": [{**given, "state": "firing"}, {**given, "state": "pending"}]}
    since = START + timedelta(seconds=0.5)
    found = alerts_api.AlertsApi(Canned(data=told)).active()
    assert found == (
        alerts.Active(LABELS, since, is_firing=True),
        alerts.Active(LABELS, since, is_firing=False),
    )
    assert found[0].active_at.tzinfo is UTC


@pytest.mark.parametrize(
    ("text", "labels"),
    [
        ("", ()),
        ("scrape_configs: []\n", ()),
        ("global:\nscrape_configs: []\n", ()),
        ("global: {}\n", ()),
        ("global:\n  scrape_interval: 1m\n  external_labels: {}\n", ()),
        (
            "global:\n  external_labels:\n    b: 1\n    a: |-\n      x\n\n      y\nno yaml: [\n",
            (("a", "x\n\ny"), ("b", "1")),
        ),
        ("a: b\nglobal: {external_labels: {a: b}}\nc: d\n", (("a", "b"),)),
    ],
)
def test_external_labels_are_those_of_the_section_global(
    text: str, labels: tuple[tuple[str, str], ...]
) -> None:
    assert alerts_api.AlertsApi(Canned(data={"yaml": text})).external_labels() == labels


@pytest.mark.parametrize("text", ["global: [\n", "global: 7\n", "global: {external_labels: 7}\n"])
def test_a_configuration_that_is_none_is_told(text: str) -> None:
    with pytest.raises(errors.UpstreamError, match="its configuration is no YAML"):
        alerts_api.AlertsApi(Canned(data={"yaml": text})).external_labels()


def test_a_server_without_a_configuration_has_no_external_labels() -> None:
    assert alerts_api.AlertsApi(Canned(data={}, status=404)).external_labels() == ()
    with pytest.raises(errors.UpstreamError):
        alerts_api.AlertsApi(Canned(data={}, status=500)).external_labels()


@pytest.mark.parametrize("data", [7, {"alerts": 7}, {"alerts": [{"labels": {}}]}])
def test_an_answer_that_is_none_is_told(data: object) -> None:
    with pytest.raises(errors.UpstreamError, match="not readable"):
        alerts_api.AlertsApi(Canned(data=data)).active()
