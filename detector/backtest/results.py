"""What came of a backtest: for each configuration and series, and as text."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from detector.models import budget as budgets
from detector.services import expectation, matching, outcomes

NOISIEST = 10
_LABELLED = "against the labels"


@dataclass(frozen=True, slots=True)
class SeriesResult:
    """What one series would have brought."""

    name: str
    days: float
    incidents: tuple[outcomes.Incident, ...]
    alerts: tuple[outcomes.Span, ...]
    events: tuple[outcomes.Span, ...]

    @property
    def incident_s(self) -> float:
        """Seconds that incidents were open."""
        spans = (incident.span for incident in self.incidents)
        return sum((span.end_ms - span.start_ms) / 1000 for span in spans)

    @property
    def peak(self) -> float:
        """The highest score of an incident, 0 without one."""
        return max((incident.peak for incident in self.incidents), default=0.0)


@dataclass(frozen=True, slots=True)
class VariantResult:
    """What one configuration would have brought.

    weeks     that the counted time spans
    budget    as text; allowed is what it comes to in a week for all of these series
    quality   None where nothing is labelled
    expected  from the first half of the time; None where that is too short
    """

    name: str
    budget: str
    allowed_per_week: float
    weeks: float
    series: tuple[SeriesResult, ...]
    quality: matching.Quality | None
    expected: expectation.Expectation | None

    @property
    def incidents(self) -> int:
        """Of all series."""
        return sum(len(each.incidents) for each in self.series)

    @property
    def alerts(self) -> int:
        """Of all series."""
        return sum(len(each.alerts) for each in self.series)

    @property
    def incidents_per_week(self) -> float:
        """Of all series."""
        return self.incidents / self.weeks if self.weeks else math.nan

    @property
    def alerts_per_week(self) -> float:
        """Of all series."""
        return self.alerts / self.weeks if self.weeks else math.nan

    def noisiest(self) -> list[SeriesResult]:
        """Series with incidents, those with most first."""
        told = [each for each in self.series if each.incidents]
        return sorted(told, key=lambda each: (-len(each.incidents), -each.incident_s, each.name))


@dataclass(frozen=True, slots=True)
class Backtest:
    """The whole: what was looked at, and what each configuration makes of it.

    notes  what a reader has to know of the figures
    """

    subject: str
    start_ms: int
    end_ms: int
    variants: tuple[VariantResult, ...]
    notes: tuple[str, ...]


def allowed_per_week(budget: budgets.Budget, series: float) -> float:
    """What the budget allows this many live series in a week."""
    weekly = budget.alarms * (expectation.WEEK / budget.period)
    return weekly if budget.per is budgets.Per.QUERY else weekly * series


def text_of(found: Backtest) -> str:
    """For a person at a terminal."""
    return "\n".join(_lines(found))


def _lines(found: Backtest) -> Iterator[str]:
    first = found.variants[0]
    yield f"{found.subject}: {len(first.series)} series, {instant(found.start_ms)} to " + instant(
        found.end_ms
    )
    yield from (f"note: {note}" for note in found.notes)
    width = max(len(_LABELLED), *(len(each.name) for each in found.variants))
    yield ""
    yield f"{'configuration':<{width}}  incidents  a week  allowed  alerts  a week"
    for each in found.variants:
        yield (
            f"{each.name:<{width}}  {each.incidents:>9}  {each.incidents_per_week:>6.1f}"
            f"  {each.allowed_per_week:>7.1f}  {each.alerts:>6}  {each.alerts_per_week:>6.1f}"
        )
    if any(each.quality for each in found.variants):
        yield ""
        yield f"{_LABELLED:<{width}}  precision  recall     F1   delay  false/day"
        for each in found.variants:
            if each.quality:
                q = each.quality
                yield (
                    f"{each.name:<{width}}  {q.precision:>9.2f}  {q.recall:>6.2f}  {q.f1:>5.2f}"
                    f"  {span(q.delay_s):>6}  {q.false_per_series_day:>9.3f}"
                )
    noisiest = first.noisiest()
    if noisiest:
        yield ""
        yield "incidents  alerts    open    peak  noisiest series"
        for one in noisiest[:NOISIEST]:
            yield (
                f"{len(one.incidents):>9}  {len(one.alerts):>6}"
                f"  {span(one.incident_s):>6}  {one.peak:>6.1f}  {one.name}"
            )
        if len(noisiest) > NOISIEST:
            yield f"  and {len(noisiest) - NOISIEST} more series with incidents"
    if first.expected:
        yield ""
        yield f"expected: {expected_text(first.expected)}"


def expected_text(found: expectation.Expectation) -> str:
    """What may be expected, with its uncertainty and what it stands on."""
    return (
        f"{found.per_week:.1f} incidents a week ({found.low:.1f} to {found.high:.1f}), from "
        f"{found.incidents} in {found.series_days:.0f} series-days; "
        f"the later half had {found.later_per_week:.1f} a week"
    )


def summary_of(found: Backtest) -> dict[str, object]:
    """For a script: finite numbers, null where nothing can be said."""
    return {
        "subject": found.subject,
        "start": instant(found.start_ms),
        "end": instant(found.end_ms),
        "notes": list(found.notes),
        "configurations": [_variant(each) for each in found.variants],
    }


def _variant(each: VariantResult) -> dict[str, object]:
    return {
        "name": each.name,
        "budget": each.budget,
        "incidents": each.incidents,
        "incidents_per_week": _finite(each.incidents_per_week),
        "allowed_per_week": _finite(each.allowed_per_week),
        "alerts": each.alerts,
        "alerts_per_week": _finite(each.alerts_per_week),
        "labels": quality_summary(each.quality),
        "expected": _expected(each.expected),
        "series": [_series(one) for one in each.series],
    }


def quality_summary(quality: matching.Quality | None) -> dict[str, object] | None:
    """What labels say, for a script; None where there are none."""
    if quality is None:
        return None
    return {
        "events": quality.events,
        "found": quality.found,
        "precision": _finite(quality.precision),
        "recall": _finite(quality.recall),
        "f1": _finite(quality.f1),
        "median_delay_s": _finite(quality.delay_s),
        "false_alarms_per_series_day": _finite(quality.false_per_series_day),
    }


def _expected(found: expectation.Expectation | None) -> dict[str, object] | None:
    if found is None:
        return None
    return {
        "incidents_per_week": found.per_week,
        "low": found.low,
        "high": found.high,
        "later_half_per_week": found.later_per_week,
    }


def _series(one: SeriesResult) -> dict[str, object]:
    return {
        "name": one.name,
        "days": one.days,
        "incidents": [
            {
                "start": instant(incident.span.start_ms),
                "end": instant(incident.span.end_ms),
                "kind": incident.kind.name.lower(),
                "peak": _finite(incident.peak),
            }
            for incident in one.incidents
        ],
        "alerts": [
            {"start": instant(each.start_ms), "end": instant(each.end_ms)} for each in one.alerts
        ],
    }


def _finite(number: float) -> float | None:
    return number if math.isfinite(number) else None


def instant(time_ms: int) -> str:
    """ISO 8601, whole seconds, UTC.

    >>> instant(1_700_000_000_000)
    '2023-11-14T22:13:20Z'
    """
    return datetime.fromtimestamp(time_ms // 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


_UNITS = (("d", 86_400.0), ("h", 3_600.0), ("m", 60.0))


def span(seconds: float) -> str:
    """A length of time in its largest unit.

    >>> span(5400.0), span(12.0), span(float("nan"))
    ('1.5h', '12s', '-')
    """
    if not math.isfinite(seconds):
        return "-"
    for unit, length in _UNITS:
        if seconds >= length:
            return f"{seconds / length:.3g}{unit}"
    return f"{seconds:.3g}s"


def most_interesting(series: Sequence[SeriesResult], most: int) -> list[int]:
    """Places of the series to look at: with labels missed or met, then with most to tell."""

    def rank(place: int) -> tuple[int, int, float, str]:
        one = series[place]
        return -bool(one.events), -len(one.incidents), -one.peak, one.name

    told = [place for place, one in enumerate(series) if one.events or one.incidents]
    rest = [place for place, one in enumerate(series) if not (one.events or one.incidents)]
    return [*sorted(told, key=rank), *rest][:most]
