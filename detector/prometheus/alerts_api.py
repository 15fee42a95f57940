"""What Prometheus says of the alerts of its rules: those of now, and of before (series ALERTS)."""

from __future__ import annotations

import bisect
import http
import itertools
import re
import urllib.parse
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import TypeVar

import msgspec
import yaml

from detector import alerts, frames
from detector.prometheus import connection, query

T = TypeVar("T")
FIRING = 'ALERTS{alertstate="firing"}'
OWN_LABELS = frozenset({"__name__", "alertstate"})
BLOCK = timedelta(hours=6)
"""Of samples, read at once: 1,000 alerts at 15 s are 1.4 million."""
UNKNOWN, LONGEST = 60.0, 300.0
"""Seconds between evaluations where one is all that was seen (Prometheus' default), and at most."""
MISSED = 1.5
"""Intervals without a sample end a run: evaluations come late, but not by half."""
HELD = 4
"""Intervals, or minutes if they are shorter, for which Alertmanager holds what is not repeated
(Prometheus' rules.alert.resend-delay): what comes again within them is the same alert to it."""

_GLOBAL = re.compile(r"^global:.*\n(?:\n|[ ].*\n)*", re.MULTILINE)
"""The section of a configuration, as Prometheus writes it: to parse all of 5,000 lines takes half a
second, and this is asked for each time that alerts are posted."""


class _Alert(msgspec.Struct):
    labels: dict[str, str]
    state: str
    active_at: datetime = msgspec.field(name="activeAt")


class _Alerts(msgspec.Struct):
    alerts: list[_Alert] = []


class _Series(msgspec.Struct):
    metric: dict[str, str]
    values: list[tuple[float, str]]


class _Labelled(msgspec.Struct):
    metric: dict[str, str]


class _Vector(msgspec.Struct):
    result: list[_Labelled] = []


class _Matrix(msgspec.Struct):
    result: list[_Series] = []


class _Config(msgspec.Struct):
    yaml: str = ""


class AlertsApi:
    """ports.AlertEvaluation over HTTP. Threads may share it."""

    def __init__(self, client: connection.Client) -> None:
        self._client = client

    def active(self) -> tuple[alerts.Active, ...]:
        """GET /api/v1/alerts."""
        found = self._ask("/api/v1/alerts", _Alerts).alerts
        return tuple(
            alerts.Active(
                frames.labels_from_pairs(each.labels.items()),
                each.active_at.astimezone(UTC),
                each.state == "firing",
            )
            for each in found
        )

    def runs(self, since: datetime, until: datetime) -> tuple[alerts.Run, ...]:
        """From raw samples, in blocks of time."""
        times: dict[frames.Labels, list[float]] = {}
        end = since
        while end < until:
            start, end = end, min(end + BLOCK, until)
            for each in self._samples(start, end):
                known = times.setdefault(_alert_labels(each.metric), [])
                known += (at for at, _ in each.values if not known or at > known[-1])
        evaluated = sorted(set().union(*times.values()))
        found = (_runs(labels, seen, evaluated, since, until) for labels, seen in times.items())
        return tuple(itertools.chain.from_iterable(found))

    def firing(self) -> frozenset[frames.Labels]:
        """By the series ALERTS."""
        asked = urllib.parse.urlencode({"query": FIRING})
        found = self._ask(f"/api/v1/query?{asked}", _Vector).result
        return frozenset(_alert_labels(each.metric) for each in found)

    def external_labels(self) -> frames.Labels:
        """As its configuration has them; none of a server that does not tell (Mimir, Thanos)."""
        answer = self._client.call("GET", "/api/v1/status/config")
        if answer.status == http.HTTPStatus.NOT_FOUND:
            return ()
        part = _GLOBAL.search(_decoded(answer, _Config).yaml)
        try:
            told = (yaml.safe_load(part[0])["global"] or {}) if part else {}
            given = told.get("external_labels") or {}
            return frames.labels_from_pairs((str(k), str(v)) for k, v in given.items())
        except (yaml.YAMLError, AttributeError) as exc:
            raise connection.unreadable("its configuration is no YAML") from exc

    def _samples(self, start: datetime, end: datetime) -> list[_Series]:
        lasts_ms = max(round((end - start) / timedelta(milliseconds=1)), 1)
        asked = urllib.parse.urlencode(
            {"query": f"{FIRING}[{lasts_ms}ms]", "time": f"{end.timestamp():.3f}"}
        )
        return self._ask(f"/api/v1/query?{asked}", _Matrix).result

    def _ask(self, path: str, kind: type[T]) -> T:
        return _decoded(self._client.call("GET", path), kind)


def _alert_labels(metric: Mapping[str, str]) -> frames.Labels:
    """Of the alert that a series of ALERTS is about."""
    return frames.labels_from_pairs(pair for pair in metric.items() if pair[0] not in OWN_LABELS)


def _decoded(answer: connection.Answer, kind: type[T]) -> T:
    envelope = query.envelope_from_answer(answer.status, answer.body)
    try:
        return msgspec.json.decode(envelope.data, type=kind)
    except (msgspec.MsgspecError, ValueError) as exc:
        raise connection.unreadable(str(exc)) from exc


def _runs(
    labels: frames.Labels,
    times: Sequence[float],
    evaluated: Sequence[float],
    since: datetime,
    until: datetime,
) -> Iterator[alerts.Run]:
    """Split where evaluations are missing; where one alone was seen, a usual interval.

    evaluated  the times of samples of all alerts
    """
    steps = [later - sooner for sooner, later in itertools.pairwise(times)]
    interval_s = min(*steps, UNKNOWN if not steps else LONGEST, LONGEST)
    ends = [
        place
        for place, step in enumerate(steps)
        if step > MISSED * interval_s
        and (step > HELD * max(interval_s, 60.0) or not _is_hole(evaluated, times[place], step))
    ]
    starts = [0, *(place + 1 for place in ends)]
    reach_s = MISSED * interval_s
    for first, last in zip(starts, [*ends, len(times) - 1], strict=True):
        yield alerts.Run(
            labels=labels,
            first=datetime.fromtimestamp(times[first], UTC),
            last=datetime.fromtimestamp(times[last], UTC),
            interval=timedelta(seconds=interval_s),
            is_begun=times[first] - reach_s > since.timestamp(),
            is_over=times[last] + reach_s < until.timestamp(),
        )


def _is_hole(evaluated: Sequence[float], last: float, lasts_s: float) -> bool:
    """Whether nothing at all was evaluated for most of the time from `last` on: then Prometheus was
    away, and an alert that fired before and after it was not seen to end."""
    first, end = bisect.bisect_left(evaluated, last), bisect.bisect_right(evaluated, last + lasts_s)
    between = itertools.pairwise(evaluated[first:end])
    return max(later - sooner for sooner, later in between) > lasts_s / 2
