"""Tests of a policy's rules for `promtool test rules`, made from the policy itself.

For each rule: series that are quiet, exactly at the threshold, beyond it, between the threshold and
where it is resolved, and not there at all; with what must fire when. A condition says which series
put it where (`Condition.staged`). Where it can't, the test says so and why, rather than to pass.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import yaml

from detector.policy import compiler, documents, promql, windows
from detector.policy.conditions import base

# libyaml's is ten times as fast; both write the same.
_Dumper = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
"""When promtool's tests begin."""
SHORT, LONG = timedelta(minutes=1), timedelta(minutes=4)
"""Between samples. More than 4 minutes would not do: after 5 a series is gone."""
LONG_FROM = timedelta(hours=6)
MOST_STEPS = 2_000
"""Of the longest look back, where samples stand closer than SHORT or LONG: a second of work."""
MOST_WORK = 10_000
"""Cases of a policy times its rules, since promtool evaluates all of them in each: some 15 s. The
tests of a hundred rules would take a minute, which is as long as anybody waits for them."""
_UNEVEN = "samples that divide its times evenly would be too many"
_NOTHING_OPEN = "its hours never last long enough for a test"
_LONG_ENOUGH = "the tests of the rules before it take long enough"


@dataclass(frozen=True, slots=True)
class Untested:
    """What is not tested of a rule, and why."""

    rule: int
    what: str
    why: str

    def __str__(self) -> str:
        return f"rule {self.rule}: {self.what} is not tested: {self.why}"


@dataclass(frozen=True, slots=True)
class Tests:
    """promtool's tests of a policy, how many things they look at, and what they leave out."""

    cases: list[dict[str, Any]]
    untested: list[Untested]
    step: timedelta

    @property
    def count(self) -> int:
        """How many times something is looked at."""
        return sum(len(case["promql_expr_test"]) for case in self.cases)

    def file_text(self, rule_file: str) -> str:
        """A test file for the rules in this file, named from where the test file stands."""
        tree = {
            "rule_files": [rule_file],
            "evaluation_interval": promql.duration(self.step),
            "tests": self.cases,
        }
        text: str = yaml.dump(tree, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=200)
        return text


def tests_of(
    document: documents.Document, found: Sequence[compiler.AlertingRule], given: base.Given
) -> Tests:
    """The tests of a policy's rules, as compiler.rules gives them."""
    cases: list[dict[str, Any]] = []
    untested: list[Untested] = []
    conditions = [document.rules[rule.number - 1].condition for rule in found]
    longest = max((_span(each, given) for each in conditions), default=timedelta(0))
    step = _step(LONG if longest > LONG_FROM else SHORT, longest, conditions)
    for rule in found:
        if len(cases) * len(found) >= MOST_WORK:
            untested.append(Untested(rule.number, "all of it", _LONG_ENOUGH))
            continue
        plan = _Plan(document, rule, given, step)
        scenes: list[tuple[str, list[_Stage]]] = []
        found_cases = []
        for what, stages in plan.scenes():
            scene = what, list(stages)
            try:
                found_cases.append(plan.case(*scene))
            except base.NotStagedError as exc:
                untested.append(Untested(rule.number, what, str(exc)))
            else:
                scenes.append(scene)
        cases += [plan.joined(scenes)] if scenes and plan.is_joined else found_cases
    return Tests(cases, untested, step)


def _step(usual: timedelta, longest: timedelta, conditions: Sequence[base.Condition]) -> timedelta:
    """The usual time between samples; less, if it can be had, where a condition looks back for no
    multiple of it or for too short a time to see two of them."""
    spans = [span for each in conditions for span in _look_backs(each)]
    millisecond = timedelta(milliseconds=1)
    step_ms = math.gcd(*(each // millisecond for each in (usual, *spans)))
    while any(span < 2 * step_ms * millisecond for span in spans):
        step_ms //= next(part for part in (2, 3, 5) if step_ms % part == 0)  # as of `usual`
    step = step_ms * millisecond
    return step if longest <= MOST_STEPS * step else usual


def _look_backs(condition: base.Condition) -> Iterator[timedelta]:
    inner = [each for _, each in condition.parts()]
    if not inner and condition.reach:
        yield condition.reach
    for each in inner:
        yield from _look_backs(each)


def _span(condition: base.Condition, given: base.Given) -> timedelta:
    """How long a test of it lasts, more or less: what is long is looked at less often."""
    opens = timedelta(0)
    open_windows = list(_windows(condition))
    while opens < timedelta(days=7) and not _is_open(open_windows, _EPOCH + opens, given):
        opens += LONG
    return max(condition.reach, condition.for_, condition.keep_firing_for, opens)


def _is_open(each: Sequence[windows.Window], at: datetime, given: base.Given) -> bool:
    return all(windows.is_open(window, at, given.now) for window in each)


@dataclass(frozen=True, slots=True)
class _Stage:
    """A level that lasts some steps, and what must be so at which of them.

    level  None: no series at all
    """

    level: base.Level | None
    steps: int
    fires: dict[int, bool] = field(default_factory=dict)


class _Plan:
    """The scenes of one rule."""

    def __init__(
        self,
        document: documents.Document,
        rule: compiler.AlertingRule,
        given: base.Given,
        step: timedelta,
    ) -> None:
        self._document, self._rule, self._given, self._step = document, rule, given, step
        self._condition = document.rules[rule.number - 1].condition
        self._for = math.ceil(self._condition.for_ / step)
        self._keep = math.ceil(self._condition.keep_firing_for / step)
        self._is_even = all(
            span % step == timedelta(0) and span >= 2 * step
            for span in _look_backs(self._condition)
        )
        # Two steps more than the look back, since its ends are open or shut by release.
        settles = self._condition.settles
        self._settle = math.ceil(settles / step) + 2 if settles else 0

    def scenes(self) -> Iterator[tuple[str, Iterator[_Stage]]]:
        """(what is looked at, the stages that show it)."""
        yield "below, then above the threshold, then back", self._there_and_back()
        yield "exactly at the threshold", self._at_edge()
        yield "series that are not there", self._missing()
        if self._condition.has_resolution:
            yield "between the threshold and resolve_when", self._held()

    def _there_and_back(self) -> Iterator[_Stage]:
        quiet = self._settle + 5
        yield _Stage(base.Level.QUIET, quiet, {quiet - 1: False})
        yield self._met()
        back = self._settle + self._keep + 5
        yield _Stage(base.Level.QUIET, back, {back - 1: False})

    def _met(self) -> _Stage:
        fires = {self._settle + self._for: True}
        if self._for and not self._settle:
            fires = {self._for - 1: False, **fires}
        return _Stage(base.Level.MET, self._settle + self._for + 1, fires)

    def _at_edge(self) -> Iterator[_Stage]:
        steps = self._settle + self._for + 1
        yield _Stage(base.Level.EDGE, steps, {steps - 1: self._condition.fires_at_edge})

    def _missing(self) -> Iterator[_Stage]:
        steps = self._settle + self._for + 1
        yield _Stage(None, steps, {steps - 1: not self._condition.needs_series})

    def _held(self) -> Iterator[_Stage]:
        before = self._settle + self._for + 2
        yield _Stage(base.Level.HELD, before, {before - 1: False})
        yield self._met()
        after = self._settle + self._keep + 10
        yield _Stage(base.Level.HELD, after, {after - 1: True})
        back = self._settle + self._keep + 5
        yield _Stage(base.Level.QUIET, back, {back - 1: False})

    @property
    def is_joined(self) -> bool:
        """Whether the scenes can follow each other in one test: it is left alone in between, and
        needs no hour of the day. promtool takes ten milliseconds for each test, whatever is in it.
        """
        return self._condition.needs_series and not list(_windows(self._condition))

    def joined(self, scenes: Sequence[tuple[str, list[_Stage]]]) -> dict[str, Any]:
        """One test of all scenes, each a while after the series of the one before have gone."""
        forgets = math.ceil(max(self._condition.settles, self._condition.reach) / self._step)
        pause = _Stage(None, forgets + self._keep + 5)
        stages: list[_Stage] = []
        for _, following in scenes:
            stages += [pause, *following] if stages else following
        return self.case("; ".join(what for what, _ in scenes), stages)

    def case(self, what: str, stages: list[_Stage]) -> dict[str, Any]:
        """One test of promtool. Raises NotStagedError."""
        lead = self._lead(sum(stage.steps for stage in stages))
        traces: dict[str, list[str]] = {}
        asked, position = [], lead
        ends: dict[str, float] = {}
        for stage in stages:
            if stage.level is None:
                ends.clear()
            series = () if stage.level is None else self._condition.staged(stage.level, self._given)
            texts = {_series(each): each for each in series}
            for text in traces.keys() - texts.keys():
                traces[text].append(_gone(stage.steps))
            if not self._is_even and any(each.per_second for each in series):
                raise base.NotStagedError(_UNEVEN)
            for text, each in texts.items():
                trace = traces.setdefault(text, [f"_x{position}"] if position else [])
                trace.append(self._trace(each, stage.steps, ends, text))
            for at, fires in stage.fires.items():
                asked.append(self._asked((position + at) * self._step, fires))
            position += stage.steps
        return {
            "name": f"rule {self._rule.number}: {what}",
            "interval": promql.duration(self._step),
            "input_series": [
                {"series": text, "values": " ".join(trace)} for text, trace in traces.items()
            ],
            "promql_expr_test": asked,
        }

    def _asked(self, at: timedelta, fires: bool) -> dict[str, Any]:
        numbers = [self._rule.number]
        if fires:  # or one that outranks it, where its condition holds too
            numbers += self._rule.outranked_by
        firing = compiler.firing(self._document.name, numbers)
        return {
            "expr": f"count({firing}) > bool 0 or vector(0)",
            "eval_time": promql.duration(at),
            "exp_samples": [{"labels": "{}", "value": int(fires)}],
        }

    def _lead(self, steps: int) -> int:
        """How many steps pass until the condition's hours are open for so many."""
        open_windows = list(_windows(self._condition))
        if not open_windows:
            return 0
        opened = 0
        for position in range(2 * windows.WEEK_S // int(self._step.total_seconds())):
            at = _EPOCH + position * self._step
            opened = opened + 1 if _is_open(open_windows, at, self._given) else 0
            if opened > steps:
                return position - steps
        raise base.NotStagedError(_NOTHING_OPEN)

    def _trace(self, staged: base.Staged, steps: int, ends: dict[str, float], text: str) -> str:
        if staged.value is None:
            return _gone(steps)
        if not staged.per_second:
            return f"{promql.number(staged.value)}x{steps - 1}"
        slope = staged.per_second * self._step.total_seconds()
        start = ends.get(text, staged.value)  # a slope goes on from where the last one ended
        ends[text] = start + slope * steps
        sign = "-" if slope < 0 else "+"
        return f"{promql.number(start)}{sign}{promql.number(abs(slope))}x{steps - 1}"


def _gone(steps: int) -> str:
    """A series that is not there; without the marker it would be there for five minutes more."""
    return "stale" if steps == 1 else f"stale _x{steps - 1}"


def _windows(condition: base.Condition) -> Iterator[windows.Window]:
    if condition.window is not None:
        yield condition.window
    for _, inner in condition.parts():
        yield from _windows(inner)


def _series(staged: base.Staged) -> str:
    found = [
        promql.Matcher(name, promql.MatchType.EQUAL, value)
        for name, value in sorted(staged.labels.items())
        if value
    ]
    return staged.name + promql.matchers(found)
