"""A preview for a person at a terminal, and for a script."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta

from rich import text

from detector.api import previews as api_previews
from detector.backtest import results
from detector.policies import preview, strips
from detector.policy import actions, promql
from detector.services import previews

MOST_SERIES = 20
"""Lines of one rule."""
LEAST_WIDTH = 64
_STRIP_LEAST, _NAME_MOST = 20, 0.4
COLOURS: Mapping[actions.Severity, str] = {
    actions.Severity.CRITICAL: "bold red",
    actions.Severity.HIGH: "red",
    actions.Severity.WARNING: "dark_orange",
    actions.Severity.MEDIUM: "yellow",
    actions.Severity.LOW: "blue",
    actions.Severity.INFO: "cyan",
}


def lines(each: preview.Previewed, width: int, *, encoding: str = "utf-8") -> Iterator[text.Text]:
    """Lines for a terminal of this width; colours say nothing that the characters do not."""
    for line in _lines(each, max(width, LEAST_WIDTH)):
        try:
            line.plain.encode(encoding)
        except UnicodeEncodeError:
            plain = line.plain.translate(strips.ASCII)
            line.plain = plain.encode(encoding, "replace").decode(encoding)
        yield line


def _lines(each: preview.Previewed, width: int) -> Iterator[text.Text]:
    found = each.found
    period = found.period
    yield text.Text.assemble((found.policy, "bold"), f"  {each.source}")
    yield text.Text(
        f"{instant(period.start_ms)} to {instant(period.end_ms)} UTC, evaluated every "
        f"{promql.duration(period.step)}, as if it had been saved when that began"
    )
    for warned in found.warnings:
        yield text.Text.assemble(("warning", "bold dark_orange"), f"  {warned}")
    for rule in found.rules:
        yield text.Text()
        yield _head(rule)
        for money in rule.money:
            yield text.Text(f"  {at_stake(money)}")
        yield from _strips(rule, period, width)
    if found.asked:
        yield text.Text()
    for asked in found.asked:
        targets = "1 target" if asked.targets == 1 else f"{asked.targets} targets"
        yield text.Text(
            f"action {asked.action}: asked for {_times(asked.times)}, on {targets}"
            f" (rule {asked.rule})"
        )


def summary_of(each: preview.Previewed) -> dict[str, object]:
    """For a script: as POST /api/policies/preview tells it, and the file."""
    return {"source": each.source, **api_previews.told(each.found).model_dump(mode="json")}


def head(rule: previews.Rule) -> str:
    """What a rule did, in a sentence."""
    of = "" if rule.looked_at is None else f" of {rule.looked_at}"
    if not rule.times and rule.series:
        return f"never fired; {len(rule.series)}{of} series only waited"
    if not rule.times:
        looked = "" if rule.looked_at is None else f"; it looks at {rule.looked_at} series"
        return f"never fired{looked}"
    series = f"{len(rule.fired)}{of} series"
    return (
        f"fired {_times(rule.times)} for {series}, {span(rule.firing.total_seconds())} in "
        f"all, {span(rule.longest.total_seconds())} at the longest; something fired "
        f"{100 * rule.fired_ratio:.3g} % of the time"
    )


def figures(each: Sequence[previews.Series]) -> str:
    """How often and how long these series fired."""
    times = sum(one.times for one in each)
    whole = sum((one.firing for one in each), timedelta(0))
    return f"{times}x {span(whole.total_seconds())}" if times else "only waited"


def at_stake(money: previews.Money) -> str:
    """What it was about, in money.

    >>> at_stake(previews.Money("EUR", 2, 1234.5, 234.5))
    'money: 1,234.50 EUR at the most, of 2 series; 234.50 EUR of it above the limit'
    """
    currency = f" {money.currency}" if money.currency else ""
    told = f"money: {money.amount:,.2f}{currency} at the most, of {money.series} series"
    over = "" if money.over is None else f"; {money.over:,.2f}{currency} of it above the limit"
    return told + over


def _head(rule: previews.Rule) -> text.Text:
    return text.Text.assemble(
        (f"rule {rule.number}", "bold"),
        " ",
        (rule.severity, COLOURS[rule.severity]),
        f" {rule.condition}: {head(rule)}",
    )


def _strips(rule: previews.Rule, period: previews.Period, width: int) -> Iterator[text.Text]:
    shown = rule.series[:MOST_SERIES]
    if not shown:
        return
    names = strips.short_names([each.labels for each in shown])
    most = int(width * _NAME_MOST)
    names = [strips.cut(name, most) for name in names]
    ends = [figures([each]) for each in shown]
    name_width, end_width = max(map(len, names)), max(map(len, ends))
    room = max(width - name_width - end_width - 6, _STRIP_LEAST)
    for name, each, end in zip(names, shown, ends, strict=True):
        strip = text.Text(strips.strip(each.spells, period, room), COLOURS[rule.severity])
        yield text.Text.assemble(f"  {name:<{name_width}} │", strip, f"│ {end}")
    yield text.Text(f"  {'':<{name_width}}  {strips.axis(period, room)}")
    more = rule.series[MOST_SERIES:]
    if more:
        yield text.Text(f"  and {len(more)} more series: {figures(more)}")


def span(seconds: float) -> str:
    """A length of time.

    >>> span(0.0), span(5400.0)
    ('0s', '1.5h')
    """
    return results.span(seconds)


def instant(time_ms: int) -> str:
    """An instant in UTC.

    >>> instant(1_700_000_000_000)
    '2023-11-14 22:13:20'
    """
    return results.instant(time_ms).replace("T", " ").removesuffix("Z")


def _times(number: int) -> str:
    return "once" if number == 1 else f"{number} times"
