"""Previews over a made-up Prometheus; tests/integration holds them to the real one."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from detector import errors, frames
from detector.policy import documents
from detector.services import previewing, previews
from tests import remote
from tests.detector.policy import factories
from tests.fakes import prometheus

STEP_MS = 60_000
M = {"type": "metric_threshold", "metric_name": "m", "operator": "gt", "threshold": 70}
HELD = {**M, "resolve_when": {"operator": "lt", "threshold": 45}}
FIRE, HOLD, UNIVERSE = "m > 70", "m >= 45", "m"


def period(steps: int) -> previews.Period:
    return previews.Period(0, (steps - 1) * STEP_MS, STEP_MS)


def during(*minutes: range) -> prometheus.Series:
    """A series that is there in these minutes."""
    return lambda at_ms: 1.0 if any(at_ms // STEP_MS in each for each in minutes) else float("nan")


def kept(instance: str) -> frames.Labels:
    """The labels of a series of m in the answers, with its name kept in another one."""
    return frames.labels_from_pairs([("__mda_name__", "m"), ("instance", instance)])


@dataclass
class Answers(prometheus.FakeReader):
    """A reader that has other series for each expression, and notes which were asked for."""

    by_expr: Mapping[str, Mapping[frames.Labels, prometheus.Series]] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)

    def read_range(
        self, expr: str, *, start_ms: int, end_ms: int, step_ms: int, table: frames.SeriesTable
    ) -> frames.Frame:
        inner = expr.removeprefix("label_replace((").partition("\n), ")[0]
        if inner not in self.asked:
            self.asked.append(inner)
        self.series = dict(self.by_expr.get(inner, {}))
        span = {"start_ms": start_ms, "end_ms": end_ms, "step_ms": step_ms}
        return super().read_range(expr, **span, table=table)


def answers(**by_expr: Mapping[frames.Labels, prometheus.Series]) -> Answers:
    texts = {"fire": FIRE, "hold": HOLD, "universe": UNIVERSE}
    return Answers({}, by_expr={texts.get(name, name): each for name, each in by_expr.items()})


def document(*conditions: dict[str, Any], **more: Any) -> documents.Document:
    return documents.parse(factories.tree(*conditions, **more), "p")


def preview(
    reader: Answers,
    of: documents.Document,
    steps: int = 10,
    names: Collection[str] = ("m",),
    **more: Any,
) -> previews.Preview:
    reader.names = frozenset(names)
    previewer = previewing.Previewer(reader, factories.GIVEN, **more)
    return previewer.preview(of, period(steps))


def test_a_rule_tells_how_often_how_long_and_for_which_series_it_fired() -> None:
    reader = answers(
        fire={kept("a"): during(range(1, 3), range(5, 8)), kept("b"): during(range(9, 10))},
        universe={kept(name): during(range(10)) for name in "abc"},
    )
    found = preview(reader, document({**M, "keep_firing_for": "1m"}))
    (rule,) = found.rules
    minute = timedelta(minutes=1)
    assert (rule.times, rule.looked_at, rule.firing, rule.longest) == (3, 3, 8 * minute, 4 * minute)
    assert rule.fired_ratio == pytest.approx(0.8)
    assert [(each.name, each.times, each.firing) for each in rule.series] == [
        ('{instance="a"}', 2, 7 * minute),
        ('{instance="b"}', 1, minute),
    ]
    assert found.asked == (previews.Asked(1, "alert", 3, 2),)
    assert found.warnings == ()


def test_a_series_that_only_waited_is_told_but_did_not_fire() -> None:
    reader = answers(fire={kept("a"): during(range(1, 3))}, universe={kept("a"): during(range(10))})
    (rule,) = preview(reader, document({**M, "for": "5m"})).rules
    assert (rule.times, len(rule.series), rule.fired) == (0, 1, ())
    assert (rule.firing, rule.longest, rule.fired_ratio) == (timedelta(0), timedelta(0), 0)


def test_a_graver_rule_quietens_a_milder_one_by_what_per_says() -> None:
    def of_job(instance: str) -> frames.Labels:
        return frames.labels_from_pairs([*kept(instance), ("job", "j")])

    reader = answers(fire={of_job("a"): during(range(5))})
    reader.by_expr = {**reader.by_expr, "m > 60": {of_job("b"): during(range(10))}}
    both = document(M, {**M, "threshold": 60}, per=["job"])
    assert [rule.firing for rule in preview(reader, both).rules] == [timedelta(minutes=5)] * 2


def test_each_rule_is_told_with_its_own_priority_and_severity() -> None:
    tree = factories.tree(M, {**M, "threshold": 60})
    tree["rules"][0] |= {"priority": 9, "action": {"type": "alert", "severity": "low"}}
    rules = preview(answers(), documents.parse(tree, "p")).rules
    assert [(each.number, each.priority, each.severity) for each in rules] == [
        (2, 2, "high"),
        (1, 9, "low"),
    ]


def test_what_else_there_is_to_tell_is_asked_for_at_the_end_of_the_period() -> None:
    asked: list[datetime] = []

    def advise(_: documents.Document, at: datetime) -> list[previews.Warned]:
        asked.append(at)
        return [previews.Warned(1, previews.Doubt.BUDGET, "many")]

    found = preview(answers(universe=ALL), document(M), advise=advise)
    assert kinds(found) == [(1, "budget")]
    assert asked == [datetime(1970, 1, 1, 0, 9, tzinfo=UTC)]


def test_history_that_begins_in_a_later_block_is_told_with_when_it_does(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(previewing, "BLOCK_STEPS", 100)
    reader = answers(universe={kept("a"): during(range(150, 400))})
    (warned,) = preview(reader, document(M), 400).warnings
    assert "begin at 1970-01-01 02:30 UTC: there are 4.15 hours of the 6.65 hours" in str(warned)


def test_series_that_turn_up_in_later_blocks_are_in_their_places() -> None:
    steps = 2_000
    reader = answers(
        fire={kept("a"): during(range(5, 9)), kept("b"): during(range(1_500, 1_510))},
        universe={kept("a"): during(range(steps))},
    )
    (rule,) = preview(reader, document(M), steps).rules
    assert {
        each.name: [spell.since_ms // STEP_MS for spell in each.spells] for each in rule.series
    } == {
        '{instance="a"}': [5],
        '{instance="b"}': [1_500],
    }
    ends = [end_ms for _, end_ms in reader.ranges if end_ms == period(steps).end_ms]
    assert len(reader.ranges) == 4
    assert len(ends) == 2


def test_hold_is_read_only_where_something_fired_that_it_could_hold() -> None:
    series = {kept("a"): during(range(10))}
    quiet = answers(universe=series)
    preview(quiet, document(HELD))
    loud = answers(fire={kept("a"): during(range(2, 3))}, hold=series, universe=series)
    (rule,) = preview(loud, document(HELD)).rules
    assert (quiet.asked, loud.asked) == ([FIRE, UNIVERSE], [FIRE, HOLD, UNIVERSE])
    assert rule.firing == timedelta(minutes=8)


@pytest.mark.parametrize("fires", [range(0), range(5, 6)])
def test_all_that_is_to_be_read_is_told_as_it_is_read(fires: range) -> None:
    read: list[int] = []
    previewer = previewing.Previewer(
        answers(fire={kept("a"): during(fires)}), factories.GIVEN, advance=read.append
    )
    of = document(HELD, M)
    previewer.preview(of, period(40))
    assert sum(read) == previewer.reads(of) * 40 == 200


def test_too_many_series_are_refused_after_a_few_steps_and_the_way_out_is_told() -> None:
    series = {kept(str(number)): during(range(1_000)) for number in range(11)}
    reader = answers(fire=series)
    with pytest.raises(errors.ConfigError) as caught:
        preview(reader, document(M), 1_000, most_samples=10_000)
    assert str(caught.value) == (
        "High CPU Alert: rule 1: 11 series at 1000 evaluations: at most 10000 samples are looked "
        "at: ask for fewer days or a longer step, or let labels in the policy say which series are "
        "meant"
    )
    assert reader.ranges == [(0, (previewing.FIRST_STEPS - 1) * STEP_MS)]


def test_a_server_that_fails_is_told_as_it_is() -> None:
    reader = answers()
    reader.broken = True
    with pytest.raises(errors.UpstreamError, match=r"^Prometheus is down$"):
        preview(reader, document(M))


def test_what_makes_no_rule_is_a_policy_error() -> None:
    with pytest.raises(
        errors.PolicyError, match=r"rules.0.condition.threshold: a number is needed"
    ):
        preview(answers(), document({**M, "threshold": None}))


def kinds(found: previews.Preview) -> list[tuple[int | None, str]]:
    return [(warned.rule, str(warned.doubt)) for warned in found.warnings]


ALL = {kept("a"): during(range(10))}
COUNT: dict[frames.Labels, prometheus.Series] = {(): during(range(10))}
EXPRESSION = {"type": "expression", "expr": "m > 1"}


@pytest.mark.parametrize(
    ("condition", "reader", "wanted"),
    [
        (M, answers(universe=ALL), []),
        (M, answers(), ["nothing"]),
        (M, answers(fire=ALL, universe=ALL), ["everything"]),
        (M, answers(fire=ALL, universe={**ALL, kept("b"): during(range(5))}), []),
        (M, answers(universe={kept("a"): during(range(3, 10))}), ["short"]),
        (M, answers(universe={kept("a"): during(range(2, 10))}), []),
        ({**M, "metric_name": "mm"}, answers(), ["no_metric"]),
        (EXPRESSION, Answers({}, by_expr={'count({__name__="m"})': COUNT}), []),
        (EXPRESSION, answers(), ["nothing"]),
        (
            EXPRESSION,
            Answers({}, by_expr={"(m > 1)": ALL, 'count({__name__="m"})': COUNT}),
            ["everything"],
        ),
        ({"type": "expression", "expr": "vector(1) > 2"}, answers(), []),
        (
            {"type": "absent", "metric_name": "m", "for": "20m"},
            Answers({}, by_expr={"absent(m)": {(): during(range(5))}}),
            [],
        ),
        (
            {"type": "all", "conditions": [M, {**M, "metric_name": "k"}]},
            Answers({}, by_expr={"m": ALL}),
            ["no_metric"],
        ),
        (
            M,
            answers(
                fire={**ALL, (("instance", "a"),): during(range(4, 6))},
                universe={**ALL, kept("b"): during(range(10))},
            ),
            ["refused"],
        ),
    ],
)
def test_doubts(condition: dict[str, Any], reader: Answers, wanted: list[str]) -> None:
    assert kinds(preview(reader, document(condition))) == [(1, each) for each in wanted]


def test_a_disabled_policy_is_previewed_and_that_is_said() -> None:
    reader = answers(fire={kept("a"): during(range(3))}, universe=ALL)
    found = preview(reader, document(M, enabled=False))
    assert (found.rules[0].times, kinds(found)) == (1, [(None, "disabled")])
    assert str(found.warnings[0]).startswith("the policy is disabled")


@pytest.mark.parametrize(
    ("name", "known", "text"),
    [
        ("node_lod1", ["node_load1", "up"], "did you mean node_load1?"),
        ("q", ["node_load1"], "metric q: Prometheus had none of this name in this time: look for"),
        (
            "cpu_percent",
            ["up"],
            "Prometheus had no instance:node_cpu_utilisation:rate5m in this time: rules/recording",
        ),
    ],
)
def test_a_metric_that_is_not_there_is_named_with_the_way_out(
    name: str, known: list[str], text: str
) -> None:
    (warned,) = preview(answers(), document({**M, "metric_name": name}), names=known).warnings
    assert warned.doubt is previews.Doubt.NO_METRIC
    assert text in str(warned)


def test_the_names_of_metrics_are_asked_for_once_and_only_where_one_may_be_missing() -> None:
    asked: list[tuple[int, int]] = []

    class Counting(Answers):
        def metric_names(self, *, start_ms: int, end_ms: int) -> frozenset[str]:
            asked.append((start_ms, end_ms))
            return frozenset()

    def counting(**by_expr: Mapping[frames.Labels, prometheus.Series]) -> Counting:
        return Counting({}, by_expr=answers(**by_expr).by_expr)

    of, when = document(M, M), period(10)
    previewing.Previewer(counting(universe=ALL), factories.GIVEN).preview(document(M), when)
    assert asked == []
    previewing.Previewer(counting(), factories.GIVEN).preview(of, when)
    assert asked == [(when.start_ms, when.end_ms)]


def test_hours_outside_the_window_are_told() -> None:
    window = {"weekly": [{"start": "02:00", "end": "03:00"}]}
    (rule,) = preview(answers(), document({**M, "window": window}), 301).rules
    hour_ms = 3_600_000
    assert rule.shut == ((0, 2 * hour_ms), (3 * hour_ms, 5 * hour_ms + STEP_MS))


def test_a_period_ends_at_the_newest_step() -> None:
    now = datetime(2026, 3, 1, 12, 0, 50, tzinfo=UTC)
    found = previews.period_before(now, days=0.5, step=timedelta(minutes=5))
    assert (found.end_ms // 1000, found.steps) == (1772366400, 145)
    assert found.times_ms[[0, -1]].tolist() == [found.start_ms, found.end_ms]


def test_labels_of_an_alert_that_say_its_rule_are_no_part_of_its_series() -> None:
    reader = answers(fire={remote.labels("", instance="a", severity="low"): during(range(3))})
    (rule,) = preview(reader, document(M)).rules
    assert rule.series[0].labels == (("instance", "a"),)


def test_a_rule_on_costs_tells_the_money_that_was_at_stake() -> None:
    of = document({"type": "cost", "measure": "daily", "budget": 50.0, "by": ["service"]})
    condition = of.rules[0].condition
    money, expr = condition.money(), condition.compiled(factories.GIVEN)
    assert money is not None
    assert money.limit == 50.0

    def costs(service: str, currency: str = "EUR") -> frames.Labels:
        return frames.labels_from_pairs([("service", service), ("currency", currency)])

    reader = answers()
    reader.by_expr = {
        expr.fire: {costs("db"): during(range(2, 6)), costs("web", "USD"): during(range(3, 5))},
        money.expr: {
            costs("db"): lambda at_ms: 900.0 if at_ms == 0 else 10.0 * at_ms / STEP_MS + 40,
            costs("web", "USD"): lambda _: 70.0,
            costs("mail"): lambda _: 20.0,
        },
    }
    (rule,) = preview(reader, of).rules
    assert rule.money == (
        previews.Money("EUR", series=1, amount=90.0, over=40.0),
        previews.Money("USD", series=1, amount=70.0, over=20.0),
    )
    previewer = previewing.Previewer(reader, factories.GIVEN)
    assert previewer.reads(of) == 3


def test_a_jump_has_no_limit_in_money_and_no_firing_no_money() -> None:
    of = document({"type": "cost", "measure": "jump", "above_percent": 30.0})
    money = of.rules[0].condition.money()
    assert money is not None
    assert money.limit is None
    (rule,) = preview(answers(), of).rules
    assert rule.money == ()
