"""The metrics that policies can name, for a person at a terminal."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from detector.stack import terminal

HEADS = ("NAME", "SERIES", "HIGHEST", "THRESHOLD", "UNIT", "HELP")
COLLECTED = ("QUERY", "SAMPLES IN", "SCORES OUT", "SERIES", "SECONDS", "ERROR")


def table_of(metrics: Sequence[Mapping[str, Any]]) -> str:
    """A row a metric."""
    rows = [
        (
            each["name"],
            str(each["series"]),
            f"{each['values'][0]['value']:.4g}" if each["values"] else "",
            "" if each["threshold"] is None else f"{each['threshold']:g}",
            each["unit"],
            each["help"],
        )
        for each in metrics
    ]
    return terminal.table_of(HEADS, rows)


def lines(metric: Mapping[str, Any]) -> Iterator[str]:
    """One metric: what it means, and its series by value, the highest first."""
    yield metric["name"] + (f": {metric['help']}" if metric["help"] else "")
    if metric["metric"] != metric["name"]:
        yield f"in Prometheus: {metric['metric']}"
    if metric["unit"]:
        yield f"unit: {metric['unit']}"
    if metric["threshold"] is not None:
        yield f"threshold of policies that name none: {metric['threshold']:g}"
    for each in metric["values"]:
        named = ",".join(f'{name}="{value}"' for name, value in each["labels"].items())
        yield f"  {each['value']:<12.6g}{{{named}}}"
    more = metric["series"] - len(metric["values"])
    if more:
        yield f"  and {more} more series"
    if not metric["series"]:
        yield "  no series now"


def collection_of(collected: Mapping[str, Any]) -> str:
    """A row a query, and the sum."""
    rows = [
        (
            each["query"],
            str(each["samples"]),
            str(each["scores"]),
            str(each["series"]),
            f"{each['duration_s']:.3f}",
            each["error"],
        )
        for each in collected["queries"]
    ]
    total = f"{collected['samples']} samples in, {collected['scores']} scores out"
    return f"{terminal.table_of(COLLECTED, rows)}\n{total}"
