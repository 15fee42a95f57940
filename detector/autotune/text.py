"""What autotune found, as text and as one JSON object."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

import yaml

from detector.autotune import job
from detector.backtest import results
from detector.services import matching, tuning

_SIZED = (3.0, 5.0, 10.0)


def text_of(found: job.Outcome) -> str:
    """Of each query a table of the candidates, the choice with its reason, and what to put into
    the settings."""
    parts = ["\n".join(_lines(each)) for each in found.tunings]
    if found.left_out:
        parts.append("\n".join(f"left out: {line}" for line in found.left_out))
    return "\n\n\n".join(parts)


def summary_of(found: job.Outcome) -> dict[str, Any]:
    """The same for a script; of a file a list, since it may hold many queries."""
    if found.file is None:
        return _summary(found.tunings[0])
    return {
        "file": str(found.file),
        "queries": [_summary(each) for each in found.tunings],
        "left_out": list(found.left_out),
    }


def _summary(found: job.Tuning) -> dict[str, Any]:
    return {
        "query": found.subject,
        "days": round(found.days, 2),
        "allowed_per_week": found.allowed_per_week,
        "candidates": [
            {
                "name": each.name,
                "settings": each.changes,
                "keeps_to_budget": each.keeps_to_budget,
                **_figures(each.tried),
            }
            for each in found.candidates
        ],
        "chosen": found.chosen.name,
        "settings": found.chosen.changes,
        "held_back": {
            "as_it_is": _figures(found.held_back[0]),
            "chosen": _figures(found.held_back[1]),
        },
    }


def _figures(tried: tuning.Tried) -> dict[str, Any]:
    figures = dataclasses.asdict(tried)
    figures["delay_s"] = figures.pop("delay").total_seconds()
    figures["labels"] = results.quality_summary(tried.quality)
    del figures["quality"]
    figures["by_size"] = {f"{size:g}": share for size, share in tried.by_size.items()}
    return figures


def _lines(found: job.Tuning) -> Iterator[str]:
    yield (
        f"{found.subject}: {found.days:.1f} days of history; its budget allows "
        f"{found.allowed_per_week:.1f} incidents a week"
    )
    yield ""
    width = max(len(each.name) for each in found.candidates)
    yield f"  {'':{width}}  incidents a week  found  of 3 / 5 / 10 scales  delay"
    for each in found.candidates:
        mark = ">" if each is found.chosen else " "
        over = "" if each.keeps_to_budget else "  over the budget"
        yield f"{mark} {each.name:{width}}  {_row(each.tried)}{over}"
    yield ""
    yield from _reason(found)
    of_now, chosen = found.held_back
    yield ""
    yield "On the last part of the history, where nothing was chosen:"
    yield f"  {job.OF_NOW:{width}}  {_row(of_now)}"
    if found.chosen.changes:
        yield f"  {found.chosen.name:{width}}  {_row(chosen)}"
    yield from _against_labels(found, width)
    if found.chosen.changes:
        yield ""
        yield f"In the configuration, under {found.under}:"
        for line in yaml.safe_dump(found.chosen.changes, sort_keys=False).splitlines():
            yield f"    {line}"


def _against_labels(found: job.Tuning, width: int) -> Iterator[str]:
    """What the labels say of the same part; the choice was made without them."""
    of_now, chosen = found.held_back
    if of_now.quality is None or chosen.quality is None:
        return
    yield ""
    if not of_now.quality.events:
        yield "There, no event is labelled."
    else:
        yield f"There, of {of_now.quality.events} labelled events, and beside them:"
    yield f"  {'':{width}}  recall  false alarms a series-day"
    yield f"  {job.OF_NOW:{width}}  {_quality(of_now.quality)}"
    if found.chosen.changes:
        yield f"  {found.chosen.name:{width}}  {_quality(chosen.quality)}"


def _quality(quality: matching.Quality) -> str:
    recall = f"{quality.recall:6.2f}" if quality.events else "   n/a"
    return f"{recall}  {quality.false_per_series_day:.3f}"


def _row(tried: tuning.Tried) -> str:
    sizes = " / ".join(f"{100 * tried.by_size.get(size, 0.0):3.0f}" for size in _SIZED)
    return (
        f"{tried.per_week:16.1f}  {_percent(tried)}  {sizes:>18} %  "
        f"{tried.delay.total_seconds():.0f} s"
    )


def _percent(tried: tuning.Tried) -> str:
    return "  n/a" if tried.found is None else f"{100 * tried.found:3.0f} %"


def _reason(found: job.Tuning) -> Iterator[str]:
    chosen, of_now = found.chosen, found.candidates[0]
    if not chosen.keeps_to_budget:
        least = min(found.candidates, key=lambda each: each.tried.per_week)
        yield (
            f"None keeps to the budget; {least.name} tells least ({least.tried.per_week:.1f} a "
            "week). A larger budget, or gates such as min_deviation, are needed."
        )
    elif not chosen.changes:
        yield (
            f"Keep the settings as they are: no other way that keeps to the budget finds "
            f"{100 * job.MORE:.0f} % more of the trouble that was put into copies of the series."
        )
    elif of_now.keeps_to_budget:
        yield (
            f"{chosen.name}: finds {_percent(chosen.tried)} of the trouble that was put into "
            f"copies of the series, {_percent(of_now.tried)} as it is, and keeps to the budget."
        )
    else:
        yield (
            f"{chosen.name}: keeps to the budget, which the settings of now do not "
            f"({of_now.tried.per_week:.1f} a week), and finds most of those that do "
            f"({_percent(chosen.tried)})."
        )
