"""What a policy would have fired on the history that Prometheus holds.

For each rule the series that its condition gives are read at every evaluation, and firing.py
evaluates the rules over them, as if the policy had been saved when the time begins.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np

from detector import errors, frames, ports
from detector.policy import compiler, documents, firing, promql
from detector.policy.conditions import base
from detector.services import doubts, previews, tallying

MOST_SAMPLES = 50_000_000
"""Series times evaluations of one expression. A byte is held for each of fire and hold, and one for
each of the alerts: 150 MB. Prometheus holds as many for one query (--query.max-samples)."""
FIRST_STEPS = 16
"""Read before it is known how many series there are."""
SAMPLES_AT_ONCE = 2_000_000
BLOCK_STEPS = 10_000
_NAME_KEPT = "__mda_name__"
"""Comparing takes a series' name away, so it is written into this label before."""


def _count_nothing(_: int) -> None:
    """For who shows no progress of it."""


def _no_advice(_: documents.Document, __: datetime) -> Sequence[previews.Warned]:
    return ()


Advise = Callable[[documents.Document, datetime], Sequence[previews.Warned]]


@dataclass(frozen=True, slots=True)
class Previewer:
    """Previews policies on what one Prometheus holds.

    advise        what else to tell, at the end of the period
    most_samples  of one expression: series times evaluations
    advance       is told of evaluations as they are read: `reads` times those of the period
    """

    reader: ports.SeriesReader
    given: base.Given
    most_samples: int = MOST_SAMPLES
    advise: Advise = _no_advice
    advance: Callable[[int], None] = _count_nothing

    def reads(self, document: documents.Document) -> int:
        """How often the whole time is read for this policy. Raises NotCompiledError."""
        exprs = [rule.condition.compiled(self.given) for rule in document.rules]
        money = sum(rule.condition.money() is not None for rule in document.rules)
        return sum(2 + (each.hold != each.fire) for each in exprs) + money

    def preview(
        self, document: documents.Document, period: previews.Period, *, source: str = "policy"
    ) -> previews.Preview:
        """What a policy would have done.

        Raises PolicyError where a condition makes no rule, ConfigError where too much would have to
        be held, UpstreamError where Prometheus fails.
        """
        rules = compiler.rules(document, 0, self.given, source=source)
        read = [self._read(document, rule, period) for rule in rules]
        fired = firing.simulate(
            period.times_ms, [each.evaluated for each in read], per=document.per
        )
        names = functools.cache(
            lambda: self.reader.metric_names(start_ms=period.start_ms, end_ms=period.end_ms)
        )
        warned = [] if document.enabled else [doubts.DISABLED]
        found = []
        for each, one in zip(read, fired, strict=True):
            rule = tallying.rule_of(document, one, each.looked_at, period, self.given.now)
            money = document.rules[rule.number - 1].condition.money()
            if money is not None:
                rule = self._with_money(rule, money, period)
            found.append(rule)
            warned += doubts.warnings(each, one, period, names)
        warned += self.advise(document, datetime.fromtimestamp(period.end_ms / 1000, UTC))
        return previews.Preview(document.name, period, tuple(found), tuple(warned))

    def _read(
        self, document: documents.Document, rule: compiler.AlertingRule, period: previews.Period
    ) -> doubts.Read:
        expr = document.rules[rule.number - 1].condition.compiled(self.given)
        subject = f"{document.name}: rule {rule.number}"
        fire = self._vector(expr.fire, period, subject)
        hold = None
        if expr.hold != expr.fire and fire.labels:
            hold = self._vector(expr.hold, period, subject)
        elif expr.hold != expr.fire:  # nothing fires that could be held
            self.advance(period.steps)
        looked_at = expr.universe or _counted(promql.selectors_of(expr.fire))
        seen = self._seen(looked_at, period, subject) if looked_at else None
        return doubts.Read(firing.Evaluated(rule, fire, hold), expr, seen)

    def _vector(self, expr: str, period: previews.Period, subject: str) -> firing.Vector:
        table, parts = frames.SeriesTable(), list[frames.Bools]()
        for present in self._blocks(expr, period, table, subject):
            parts.append(present)
        whole = np.zeros((period.steps, len(table)), np.bool_)
        at = 0
        for part in parts:
            whole[at : at + len(part), : part.shape[1]] = part
            at += len(part)
        return firing.Vector(tuple(_named(labels or ()) for labels in table.labels), whole)

    def _seen(self, expr: str, period: previews.Period, subject: str) -> doubts.Seen:
        table, samples, first, at = frames.SeriesTable(), 0, None, 0
        for present in self._blocks(expr, period, table, subject):
            held = np.flatnonzero(present.any(axis=1))
            if first is None and held.size:
                first = at + int(held[0])
            samples += int(present.sum())
            at += len(present)
        return doubts.Seen(len(table), samples, first)

    def _blocks(
        self, expr: str, period: previews.Period, table: frames.SeriesTable, subject: str
    ) -> Iterator[frames.Bools]:
        """bool[steps, S], whether a series is there, a stretch of the period after the other."""
        # Through a comparison, since a value may be NaN, which a frame has where there is none.
        named = f'label_replace(({expr}\n), "{_NAME_KEPT}", "$1", "{promql.NAME}", "(.*)")'
        for values in self._values(f"{named} > bool 0", period, table, subject):
            yield ~np.isnan(values)

    def _with_money(
        self, rule: previews.Rule, money: base.Money, period: previews.Period
    ) -> previews.Rule:
        if not rule.times:  # then there is none at stake
            self.advance(period.steps)
            return rule
        table, parts = frames.SeriesTable(), list[frames.Floats]()
        for values in self._values(money.expr, period, table, f"rule {rule.number}"):
            parts.append(values)
        whole = np.full((period.steps, len(table)), np.nan)
        at = 0
        for part in parts:
            whole[at : at + len(part), : part.shape[1]] = part
            at += len(part)
        rows = {labels or (): row for row, labels in enumerate(table.labels)}
        at_stake = tallying.money_of(rule, whole, rows, money.limit, period)
        return dataclasses.replace(rule, money=at_stake)

    def _values(
        self, wrapped: str, period: previews.Period, table: frames.SeriesTable, subject: str
    ) -> Iterator[frames.Floats]:
        """float64[steps, S], a stretch of the period after the other."""
        at, size = 0, FIRST_STEPS
        while at < period.steps:
            size = min(size, period.steps - at)
            first_ms = period.start_ms + at * period.step_ms
            frame = self.reader.read_range(
                wrapped,
                start_ms=first_ms,
                end_ms=first_ms + (size - 1) * period.step_ms,
                step_ms=period.step_ms,
                table=table,
            )
            if len(table) * period.steps > self.most_samples:
                raise errors.ConfigError(
                    f"{subject}: {len(table)} series at {period.steps} evaluations: at most "
                    f"{self.most_samples} samples are looked at: ask for fewer days or a longer "
                    "step, or let labels in the policy say which series are meant"
                )
            yield frame.values
            self.advance(size)
            at += size
            size = min(max(SAMPLES_AT_ONCE // max(len(table), 1), FIRST_STEPS), BLOCK_STEPS)


def _named(labels: frames.Labels) -> frames.Labels:
    """With the name back in its place."""
    return frames.labels_from_pairs(
        (promql.NAME if name == _NAME_KEPT else name, value) for name, value in labels
    )


def _counted(selectors: Sequence[tuple[promql.Matcher, ...]]) -> str:
    """PromQL of a series that is there while something is selected."""
    return " or ".join(f"count({promql.matchers(each)})" for each in selectors)
