"""Grafana's anomaly detection rules, evaluated by a real Prometheus: a peer on labelled series.

The formulas are those of adaptive.yml (grafana/promql-anomaly-detection): the mean of an hour,
widened by two times the mean deviation of 26 hours (of hours whose deviation is over half their
mean), by half the mean, and by what the hour was a day and a week before; values that are not above
0 are not looked at. Their rules record the parts one by one; here each band is one expression,
which Prometheus evaluates at every sample.

Samples are put ROW_S apart whatever their step, and windows hold as many samples as they do at that
step, an hour 12 at least: so hourly series have windows of 12 values, as theirs have at 5 minutes,
and no look-back of 5 minutes gets in the way.
"""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta
from pathlib import Path

import numpy as np
import requests

from benchmarks import quality
from detector.services import file_scoring
from detector.stack import debian
from tests import stack

ROW_S = 15
START_S = 1_767_225_600
ROWS_AT_ONCE = 10_000
"""Prometheus answers with 11,000 points of a series at most."""
LEAST_POINTS = 12
HOUR, LONG, DAY, WEEK = (timedelta(hours=each) for each in (1, 26, 24, 168))
CONFIG = "global: {scrape_interval: 1h}\n"


def scores(series: Sequence[file_scoring.Series], source: debian.Source) -> list[quality.Floats]:
    """Of each series how far each sample is from the mean of its hour, in distances of the band on
    that side: 1 is their alert. 0 where they have no band. Raises StackError without programs."""
    found = [np.zeros(len(each.values)) for each in series]
    promtool, prometheus = source.find("promtool"), source.find("prometheus")
    with tempfile.TemporaryDirectory(prefix="mda-bench-") as name:
        folder = Path(name)
        samples = folder / "samples.om"
        samples.write_text("".join(_lines(series)), encoding="utf-8")
        subprocess.run(
            [promtool, "tsdb", "create-blocks-from", "openmetrics", samples, folder / "data"],
            check=True,
            capture_output=True,
        )
        server = stack.prometheus(
            prometheus, folder, CONFIG, ["--storage.tsdb.retention.time=100y"]
        )
        server.start()
        try:
            for step in sorted({each.step for each in series}):
                places = [at for at, each in enumerate(series) if each.step == step]
                _score_step(server.url, series, places, step, found)
        finally:
            server.kill9()
    return found


def _lines(series: Sequence[file_scoring.Series]) -> Iterator[str]:
    """OpenMetrics: the samples of each series, and the step it has by its own time."""
    yield "# TYPE row gauge\n"
    for place, each in enumerate(series):
        labels = f'{{id="{place}",step="{each.step.total_seconds():g}"}}'
        for row in np.flatnonzero(np.isfinite(each.values)).tolist():
            yield f"row{labels} {float(each.values[row])!r} {START_S + ROW_S * row}\n"
    yield "# EOF\n"


def _score_step(
    url: str,
    series: Sequence[file_scoring.Series],
    places: Sequence[int],
    step: timedelta,
    found: Sequence[quality.Floats],
) -> None:
    exprs = exprs_for(step)
    rows = max(len(series[place].values) for place in places)
    for first in range(0, rows, ROWS_AT_ONCE):
        last = min(first + ROWS_AT_ONCE, rows) - 1
        parts = {name: _evaluate(url, expr, first, last) for name, expr in exprs.items()}
        for place in places:
            values = series[place].values[first : last + 1]
            mean, upper, lower = (
                parts[name].get(place, np.full(last - first + 1, np.nan))[: len(values)]
                for name in ("mean", "upper", "lower")
            )
            with np.errstate(all="ignore"):
                off = values - mean
                far = np.where(off > 0, off / (upper - mean), off / (lower - mean))
            far[values <= 0] = 0.0
            found[place][first : first + len(values)] = np.nan_to_num(
                np.maximum(far, 0.0), nan=0.0, posinf=1e9
            )


def exprs_for(step: timedelta) -> Mapping[str, str]:
    """Mean of the hour and both bands of series of this step, as PromQL."""
    hour = max(round(HOUR / step), LEAST_POINTS)
    long = max(round(LONG / step), LEAST_POINTS)
    select = f'row{{step="{step.total_seconds():g}"}} > 0'
    resolution = f"{ROW_S}s"
    values = f"({select})[{_span(hour)}:{resolution}]"

    def before(lag: timedelta) -> str:
        return f" offset {round(lag / step) * ROW_S - hour * ROW_S // 2}s"

    mean = f"avg_over_time({values})"
    spread = f"stddev_over_time({values})"
    wide = f"avg_over_time(({spread} > 0.5 * {mean})[{_span(long)}:{resolution}])"
    past = [
        (f"avg_over_time({values}{o})", f"stddev_over_time({values}{o})")
        for o in map(before, (DAY, WEEK))
    ]
    upper = [f"{mean} + 2 * {wide}", f"1.5 * {mean}", *(f"{m} + 2 * {s}" for m, s in past)]
    lower = [f"{mean} - 2 * {wide}", f"0.5 * {mean}", *(f"{m} - 2 * {s}" for m, s in past)]
    return {
        "mean": mean,
        "upper": _of_all("max", upper),
        "lower": f"clamp_min({_of_all('min', lower)}, 0)",
    }


def _span(points: int) -> str:
    """A window of so many samples; Prometheus 2 counts both of its ends."""
    return f"{points * ROW_S - 1}s"


def _of_all(operator: str, exprs: Sequence[str]) -> str:
    marked = [
        f'label_replace({expr}, "part", "{number}", "", "")' for number, expr in enumerate(exprs)
    ]
    return f"{operator} without (part) ({' or '.join(marked)})"


def _evaluate(url: str, expr: str, first: int, last: int) -> dict[int, quality.Floats]:
    """float64[rows] of each series by its place, NaN where there is nothing."""
    answer = requests.post(
        f"{url}/api/v1/query_range",
        data={
            "query": expr,
            "start": START_S + ROW_S * first,
            "end": START_S + ROW_S * last,
            "step": ROW_S,
            "timeout": "10m",
        },
        timeout=600,
    )
    answer.raise_for_status()
    found = {}
    for each in answer.json()["data"]["result"]:
        times, values = np.array(each["values"], dtype=np.float64).T
        line = np.full(last - first + 1, np.nan)
        line[((times - START_S) // ROW_S).astype(int) - first] = values
        found[int(each["metric"]["id"])] = line
    return found
