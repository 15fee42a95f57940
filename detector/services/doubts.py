"""Why a policy may not do what was meant, seen by what its rules give on history."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

from detector.policy import catalogue, compiler, firing, promql
from detector.policy.conditions import base
from detector.services import previews

SHORT_STEPS = 2
"""History that begins so many steps later than asked for is not worth a word."""
DISABLED = previews.Warned(
    None, previews.Doubt.DISABLED, "the policy is disabled: as it is, it would fire nothing"
)


@dataclass(frozen=True, slots=True)
class Seen:
    """How many series there were, with how many samples, and the step of the first of them."""

    series: int
    samples: int
    first: int | None


@dataclass(frozen=True, slots=True)
class Read:
    """What was read of a rule.

    seen  of its universe; where it has none, of the selectors in it, counted, as one series; None
          where nothing is selected
    """

    evaluated: firing.Evaluated
    expr: base.Expr
    seen: Seen | None

    @property
    def looked_at(self) -> int | None:
        """How many series it looks at; None where there is no such thing."""
        return None if self.seen is None or self.expr.universe is None else self.seen.series


def warnings(
    read: Read, fired: firing.Fired, period: previews.Period, names: Callable[[], Collection[str]]
) -> Iterator[previews.Warned]:
    """What to look at in one rule; names are of all metrics, asked for where one may be missing."""
    for doubt, text in _found(read, fired, period, names):
        yield previews.Warned(fired.rule.number, doubt, text)


def _found(
    read: Read, fired: firing.Fired, period: previews.Period, names: Callable[[], Collection[str]]
) -> Iterator[tuple[previews.Doubt, str]]:
    seen = read.seen
    if seen is not None:
        missing = _missing(read, seen, names)
        yield from ((previews.Doubt.NO_METRIC, text) for text in missing)
        if not seen.samples and not missing and not fired.spells:
            yield previews.Doubt.NOTHING, _nothing(period)
        if seen.first is not None and seen.first > SHORT_STEPS:
            yield previews.Doubt.SHORT, _short(seen.first, period)
    if _is_everything(read):
        yield previews.Doubt.EVERYTHING, _everything(read)
    if fired.refused.any():
        yield previews.Doubt.REFUSED, _refused(fired)


def _missing(read: Read, seen: Seen, names: Callable[[], Collection[str]]) -> list[str]:
    """What to say of each metric that Prometheus does not have."""
    selectors = promql.selectors_of(read.expr.fire)
    if seen.samples and len(selectors) == 1:
        return []
    asked = [
        matcher.value
        for selector in selectors
        for matcher in selector
        if matcher.name == promql.NAME and matcher.type is promql.MatchType.EQUAL
    ]
    known = names()
    return [_no_metric(name, known) for name in dict.fromkeys(asked) if name not in known]


def _no_metric(name: str, known: Collection[str]) -> str:
    of_catalogue = next(
        (each for each, metric in catalogue.CATALOGUE.items() if metric.series == name), None
    )
    if of_catalogue is not None:
        return (
            f"metric {of_catalogue}: Prometheus had no {name} in this time: rules/recording.yml "
            "makes it of the exporter's metrics"
        )
    close = catalogue.nearest(name, known)
    way = f"did you mean {' or '.join(close)}?" if close else "look for its name in Prometheus"
    return f"metric {name}: Prometheus had none of this name in this time: {way}"


def _nothing(period: previews.Period) -> str:
    span = previews.shown_span(period.end_ms - period.start_ms)
    return f"it matches nothing: no series was there in {span}: look at its labels"


def _is_everything(read: Read) -> bool:
    present = read.evaluated.fire.present
    if read.looked_at is None or read.seen is None:
        return bool(present.size and present.all())
    return 0 < read.seen.samples <= int(present.sum())


def _everything(read: Read) -> str:
    series = read.evaluated.fire.present.shape[1]
    what = "the one series" if series == 1 else f"each of the {series} series"
    verb = "gives" if read.looked_at is None else "looks at"
    return (
        f"it holds for everything: for {what} that it {verb}, all the time: look at its threshold"
    )


def _refused(fired: firing.Fired) -> str:
    count, whole = int(fired.refused.sum()), len(fired.refused)
    return (
        f"Prometheus refuses it at {count} of {whole} evaluations: it gives two series that differ "
        f"in nothing but the name or labels that the alert sets ({', '.join(compiler.OWN_LABELS)}):"
        " aggregate them, or name one metric"
    )


def _short(first: int, period: previews.Period) -> str:
    start_ms = period.start_ms + first * period.step_ms
    start = datetime.fromtimestamp(start_ms / 1000, UTC)
    return (
        f"the series that it looks at begin at {start:%Y-%m-%d %H:%M} UTC: there are "
        f"{previews.shown_span(period.end_ms - start_ms)} of the "
        f"{previews.shown_span(period.end_ms - period.start_ms)} asked for"
    )
