"""Cost conditions on the recorded sums of days, as the real rule engine evaluates both."""

from __future__ import annotations

from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pytest

from detector import frames
from detector.prometheus import promtool
from tests import stack
from tests.detector.policy import costs
from tests.detector.policy.costs import account, days

MEASURES = ("daily", "month_to_date", "projected_month", "jump")
SEEDS = range(2)
DAYS, INSTANTS = 92, 20
KEPT = timedelta(days=45)
ASKED_AN_INSTANT = 3
PARTS = 4 * 420
"""Quarters, and their means over one to seven days, are whole numbers of these parts."""
USD = frozenset({("currency", "USD")})


@pytest.fixture(scope="module")
def judge(stack_binaries: stack.Binaries) -> promtool.Promtool:
    return promtool.Promtool(Path(stack_binaries.find("promtool")))


def day(text: str) -> date:
    return date.fromisoformat(text)


FEBRUARY = days("2026-01-01", "2026-02-28")
EDGES: list[tuple[str, dict[date, float], tuple[float | None, ...]]] = [
    # what is told, then daily, month to date, projected month, jump
    (
        "a month's last day",
        days("2026-01-01", "2026-01-31") | {day("2026-01-31"): 5},
        (5, 35, 35, 4),
    ),
    ("the next one's first", days("2026-01-01", "2026-02-01"), (1, 1, 28, 0)),
    (
        "its first, dearer",
        days("2026-01-01", "2026-02-01") | {day("2026-02-01"): 8},
        (8, 8, 62, 7),
    ),
    ("February's last", FEBRUARY, (1, 28, 28, 0)),
    ("March's first", FEBRUARY | days("2026-03-01", "2026-03-01"), (1, 1, 31, 0)),
    ("a leap year's 28th", days("2024-01-20", "2024-02-28"), (1, 28, 29, 0)),
    ("a leap year's 29th", days("2024-01-20", "2024-02-29"), (1, 29, 29, 0)),
    ("after it", days("2024-01-20", "2024-03-01", 2), (2, 2, 62, 0)),
    ("a century's 28th of February, of 29 days", days("2000-02-01", "2000-02-28"), (1, 28, 29, 0)),
    ("a year's last day", days("2025-11-20", "2025-12-31"), (1, 31, 31, 0)),
    ("a year's first", days("2025-11-20", "2026-01-01"), (1, 1, 31, 0)),
    ("the same month of the year before", days("2025-02-01", "2026-02-10"), (1, 10, 28, 0)),
    ("the first day ever", days("2026-04-10", "2026-04-10", 2), (2, 2, 60, None)),
    (
        "a month that began before all that is known",
        days("2026-04-10", "2026-04-20"),
        (1, 11, 30, 0),
    ),
]


@pytest.mark.parametrize(("what", "told", "expected"), EDGES, ids=[edge[0] for edge in EDGES])
def test_edges_of_months(
    judge: promtool.Promtool,
    tmp_path: Path,
    what: str,
    told: dict[date, float],
    expected: tuple[float | None, ...],
) -> None:
    trial = costs.Trial([[account("a", told)]])
    for measure, value in zip(MEASURES, expected, strict=True):
        asked = {} if value is None else {USD: value}
        trial.ask(0, costs.rounded(measure), asked)
    assert judge.test([trial.write(tmp_path / "a_test.yml")]) == {}


def test_a_month_stays_until_the_first_day_of_the_next_is_told_of(
    judge: promtool.Promtool, tmp_path: Path
) -> None:
    january = account("a", days("2026-01-01", "2026-01-31", 10))
    february = account("a", days("2026-01-01", "2026-02-01", 10))
    trial = costs.Trial([[january]] * 10 + [[february]] * 10)
    budget = costs.fires(
        {"type": "cost", "measure": "month_to_date", "budget": 300, "by": ["account"]}
    )
    of_a = frozenset({("account", "a"), ("currency", "USD")})
    share = 100 / 300
    trial.ask(9, budget, {of_a: share * 310})
    trial.ask(10, budget, {})
    assert judge.test([trial.write(tmp_path / "a_test.yml")]) == {}


def test_a_restated_day_counts_as_it_stands_now(judge: promtool.Promtool, tmp_path: Path) -> None:
    before = days("2026-01-01", "2026-01-20", 4)
    after = before | {day("2026-01-13"): 1, day("2026-01-15"): 11}
    trial = costs.Trial([[account("a", before)], [account("a", after)]])
    for measure, was, is_now in zip(
        MEASURES, (4, 80, 124, 0), (4, 84, 84 + 11 * 5, 3), strict=True
    ):
        trial.ask(0, costs.rounded(measure), {USD: was})
        trial.ask(1, costs.rounded(measure), {USD: is_now})
    assert judge.test([trial.write(tmp_path / "a_test.yml")]) == {}


def test_a_day_that_is_missing_is_projected_and_compared_with_nothing(
    judge: promtool.Promtool, tmp_path: Path
) -> None:
    told = days("2026-01-01", "2026-01-20", 4)
    of_the_month, of_the_week = dict(told), dict(told)
    del of_the_month[day("2026-01-13")], of_the_week[day("2026-01-18")]
    trial = costs.Trial([[account("a", of_the_month)], [account("a", of_the_week)]])
    for measure, month, week in zip(MEASURES, (4, 76, 124, None), (4, 76, 124, 0), strict=True):
        asked = {} if month is None else {USD: month}
        trial.ask(0, costs.rounded(measure), asked)
        trial.ask(1, costs.rounded(measure), {USD: week})
    assert judge.test([trial.write(tmp_path / "a_test.yml")]) == {}


def test_currencies_and_bases_are_never_added(judge: promtool.Promtool, tmp_path: Path) -> None:
    told = days("2026-01-01", "2026-01-20")
    labels = {"provider": "aws", "account": "a", "basis": "billed"}
    mixed = {costs.service("ec2"): 2.0, costs.service("s3"): 3.0, costs.service("s3", "EUR"): 7.0}
    billed = costs.Account(labels, dict.fromkeys(told, mixed), dict.fromkeys(told, False))
    estimate = costs.Account({**labels, "basis": "estimate"}, billed.money, billed.settled)
    later = costs.account("b", days("2026-01-01", "2026-01-21", 10))
    trial = costs.Trial([[billed, estimate, later]])
    eur = frozenset({("currency", "EUR")})
    trial.ask(0, costs.value(costs.condition("daily")), {USD: 15, eur: 7})
    trial.ask(0, costs.value(costs.condition("daily", basis="estimate")), {USD: 5, eur: 7})
    trial.ask(
        0,
        costs.value(costs.condition("month_to_date", by=["service", "currency"])),
        {
            frozenset({("service", "ec2"), ("currency", "USD")}): 40 + 210,
            frozenset({("service", "s3"), ("currency", "USD")}): 60,
            frozenset({("service", "s3"), ("currency", "EUR")}): 140,
        },
    )
    trial.ask(0, costs.value(costs.condition("daily", labels={"account": "b"})), {USD: 10})
    assert judge.test([trial.write(tmp_path / "a_test.yml")]) == {}


@pytest.mark.parametrize(
    ("before", "latest", "bounds", "rises"),
    [
        (100.0, 151.0, {"above_percent": 50, "above": 50}, 51),
        (100.0, 150.0, {"above_percent": 50, "above": 20}, None),
        (0.25, 1.0, {"above_percent": 50, "above": 50}, None),  # cents
        (1000.0, 1060.0, {"above_percent": 50, "above": 50}, None),
        (0.0, 60.0, {"above_percent": 50, "above": 50}, float("inf")),
        (None, 60.0, {"above_percent": 50, "above": 50}, float("inf")),  # new, in an old account
        (0.0, 0.0, {"above_percent": 50}, None),
        (60.0, None, {"above_percent": 50}, None),
        (-10.0, -2.0, {"above_percent": 50}, 80),  # less of a credit
        (60.0, 100.0, {"above": 39.5}, 40),
        (60.0, 100.0, {"above": 40}, None),
    ],
)
def test_a_jump_passes_both_its_bounds(
    judge: promtool.Promtool,
    tmp_path: Path,
    before: float | None,
    latest: float | None,
    bounds: dict[str, float],
    rises: float | None,
) -> None:
    at = {"2026-02-03": latest, "2026-01-27": before}
    told = {
        day(each): {} if money is None else {costs.service("ec2"): money}
        for each, money in at.items()
    }
    labels = {"provider": "aws", "account": "a", "basis": "billed"}
    trial = costs.Trial([[costs.Account(labels, told, dict.fromkeys(told, False))]])
    expr = costs.fires({"type": "cost", "measure": "jump", **bounds})
    trial.ask(0, expr, {} if rises is None else {USD: rises})
    assert judge.test([trial.write(tmp_path / "a_test.yml")]) == {}


def test_settled_days_alone_count_where_they_are_demanded(
    judge: promtool.Promtool, tmp_path: Path
) -> None:
    told = days("2026-01-01", "2026-02-02") | days("2026-02-01", "2026-02-02", 50)
    settled = [each for each in told if each <= day("2026-01-31")]
    trial = costs.Trial([[account("a", told, settled)], [account("a", told)]])
    for measure, value in zip(MEASURES, (1, 31, 31, 0), strict=True):
        trial.ask(0, costs.rounded(measure, settled=True), {USD: value})
        trial.ask(1, costs.rounded(measure, settled=True), {})
    assert judge.test([trial.write(tmp_path / "a_test.yml")]) == {}


def test_two_exporters_of_one_account_do_not_double_it(
    judge: promtool.Promtool, tmp_path: Path
) -> None:
    books = [[account("a", days("2026-01-01", "2026-01-20", 4))]]
    trial = costs.Trial(books, exporters=("x:9100", "y:9100"))
    trial.ask(0, costs.rounded("month_to_date"), {USD: 80})
    assert judge.test([trial.write(tmp_path / "a_test.yml")]) == {}


def test_the_age_of_what_is_known(judge: promtool.Promtool, tmp_path: Path) -> None:
    trial = costs.Trial([[account("a", days("1969-12-01", "1969-12-30"))]] * 61)
    labels = frozenset(
        {("provider", "aws"), ("account", "a"), ("basis", "billed")}
        | {("__name__", "cloud_cost:age_seconds")}
    )
    trial.ask(60, "cloud_cost:age_seconds", {labels: 86_400 + 3600})
    assert judge.test([trial.write(tmp_path / "a_test.yml")]) == {}


def books(chance: np.random.Generator) -> list[list[costs.Account]]:
    """What sources tell on days of three months: late, with gaps, restated, in two currencies."""
    start = day("2024-01-15") + timedelta(days=int(chance.integers(700)))
    every = [start + timedelta(days=i) for i in range(-60, DAYS)]
    instants = sorted(chance.choice(DAYS, INSTANTS, replace=False).tolist())
    told: list[list[costs.Account]] = [[] for _ in instants]
    for provider, name, basis in (
        ("aws", "a", "billed"),
        ("aws", "b", "billed"),
        ("gcp", "a", "billed"),
        ("aws", "a", "estimate"),
    ):
        gone = {each for each in every if chance.random() < 0.06}
        settles = timedelta(days=int(chance.integers(3, 7)))
        priced = {each: _prices(chance) for each in every}
        restated = {each: _prices(chance) for each in every}
        labels = {"provider": provider, "account": name, "basis": basis}
        for accounts, instant in zip(told, instants, strict=True):
            now = start + timedelta(days=instant)
            latest = now - timedelta(days=int(chance.integers(1, 4)))
            seen = [each for each in every if now - KEPT <= each <= latest and each not in gone]
            settled = {each: now - each > settles for each in seen}
            money = {each: (restated if settled[each] else priced)[each] for each in seen}
            accounts.append(costs.Account(labels, money, settled))
    return told


def _prices(chance: np.random.Generator) -> dict[frames.Labels, float]:
    """Money in quarters, so that sums are exact in any order; some services cost nothing."""
    services = (("ec2", "USD"), ("s3", "USD"), ("s3", "EUR"), ("tax", "EUR"))
    return {
        costs.service(*each): float(chance.integers(-40, 400)) / 4
        for each in services
        if chance.random() < 0.8
    }


@pytest.mark.parametrize("seed", SEEDS)
def test_measures_of_any_books_are_those_of_plain_python(
    judge: promtool.Promtool, tmp_path: Path, seed: int
) -> None:
    chance = np.random.default_rng(seed)
    trial = costs.Trial(books(chance))
    looked_at = 0
    for step in [*range(INSTANTS)] * ASKED_AN_INSTANT:
        by = [name for name in ("provider", "account", "service") if chance.random() < 0.5]
        settled = bool(chance.random() < 0.4)
        for measure in MEASURES:
            expected = costs.sums(trial.steps[step], measure, by, settled=settled)
            parts = {group: value * PARTS for group, value in expected.items()}
            assert all(part.denominator == 1 for part in parts.values())
            given = costs.condition(measure, by=by, settled=settled)
            expr = f"round({PARTS} * {costs.value(given)})"
            trial.ask(step, expr, {group: float(part) for group, part in parts.items()})
            looked_at += len(parts)
    assert looked_at > 10 * INSTANTS
    assert judge.test([trial.write(tmp_path / "a_test.yml")]) == {}
