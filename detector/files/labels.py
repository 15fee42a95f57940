"""When which series was truly anomalous: spans, or a label for each sample."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from detector import errors, frames
from detector.files import sheets, times

END_ALLOWED = "a time that is not before start is allowed"
LABEL_ALLOWED = "0 or 1 is allowed"
_SELECTOR = re.compile(r"(?P<name>[a-zA-Z_:][\w:]*)?\s*(?:\{(?P<pairs>.*)\})?", re.DOTALL)
_PAIR = re.compile(r'\s*([a-zA-Z_]\w*)\s*=\s*"((?:[^"\\]|\\.)*)"\s*(?:,|$)')
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r"}


@dataclass(frozen=True, slots=True)
class Event:
    """A series, by its id or as PromQL names it, and when it was anomalous, both ends included.

    place  where the file says so, for what has to be said of it
    """

    series: str
    start_ms: int
    end_ms: int
    place: str


def read_events(path: Path) -> tuple[Event, ...]:
    """The events of a CSV or parquet file: id, start, end; or id, ts, label a sample.

    Labelled samples in a row are one event. Raises ConfigError: file, line, column, value and what
    is allowed.
    """
    sheet = sheets.read_sheet(path)
    column = sheet.need(["id", "labels", "series"])
    if sheet.find(["start"]) is None and sheet.find(["label", "is_anomaly"]) is not None:
        return _events_of_samples(sheet, column)
    ids = sheet.texts(column)
    starts = times.times_ms(sheet, sheet.need(["start"]))
    end_column = sheet.need(["end"])
    ends = times.times_ms(sheet, end_column)
    wrong = np.flatnonzero(ends < starts)
    if wrong.size:
        raise sheet.wrong(int(wrong[0]), end_column, END_ALLOWED)
    return tuple(
        Event(str(name), start_ms, end_ms, f"{path}: {sheet.word} {place}")
        for name, start_ms, end_ms, place in zip(
            ids, starts.tolist(), ends.tolist(), sheet.places.tolist(), strict=True
        )
    )


def _events_of_samples(sheet: sheets.Sheet, column: str) -> tuple[Event, ...]:
    ids = sheet.texts(column).to_numpy(dtype=object)
    at_ms = times.times_ms(sheet, sheet.need(["ts", "timestamp", "time"]))
    label_column = sheet.need(["label", "is_anomaly"])
    given = sheet.numbers(label_column, LABEL_ALLOWED)
    wrong = np.flatnonzero(~np.isin(given, (0.0, 1.0)))
    if wrong.size:
        raise sheet.wrong(int(wrong[0]), label_column, LABEL_ALLOWED)
    found = []
    codes, names = pd.factorize(ids)
    order = np.argsort(codes, kind="stable")
    for rows in np.split(order, np.flatnonzero(np.diff(codes[order])) + 1):
        marked = given[rows] > 0
        edges = np.diff(marked.astype(np.int8), prepend=0, append=0)
        runs = zip(np.flatnonzero(edges == 1), np.flatnonzero(edges == -1) - 1, strict=True)
        for first, last in runs:
            place = f"{sheet.path}: {sheet.word} {sheet.places[rows[first]]}"
            name = str(names[codes[rows[first]]])
            found.append(Event(name, int(at_ms[rows[first]]), int(at_ms[rows[last]]), place))
    return tuple(found)


def pairs_of(series: str) -> frames.Labels | None:
    """The labels that a series' name in PromQL asks for, None where it is no such name.

    >>> pairs_of('up{job="a"}')
    (('__name__', 'up'), ('job', 'a'))
    >>> pairs_of('job="a"')
    """
    found = _SELECTOR.fullmatch(series.strip())
    if found is None:
        return None
    pairs = {"__name__": found["name"]} if found["name"] else {}
    text, at = (found["pairs"] or "").strip(), 0
    while at < len(text):
        pair = _PAIR.match(text, at)
        if pair is None:
            return None
        pairs[pair[1]] = re.sub(r"\\(.)", lambda one: _ESCAPES.get(one[1], one[1]), pair[2])
        at = pair.end()
    return frames.labels_from_pairs(pairs.items())


def events_by_series(
    events: tuple[Event, ...], names: list[str], labels: list[frames.Labels]
) -> list[list[Event]]:
    """The events of each of these series: of the same name, or whose labels it all has.

    Raises ConfigError for an event of none of them.
    """
    by_name: dict[str, list[int]] = {}
    for place, name in enumerate(names):
        by_name.setdefault(name, []).append(place)
    theirs: list[list[Event]] = [[] for _ in names]
    for series in dict.fromkeys(event.series for event in events):
        places = by_name.get(series)
        if places is None:
            wanted = pairs_of(series)
            places = [
                place
                for place, held in enumerate(labels)
                if wanted is not None and held and set(wanted) <= set(held)
            ]
        same = [event for event in events if event.series == series]
        if not places:
            raise errors.ConfigError(
                f"{same[0].place}: {series!r}: matches none of the {len(names)} series"
                + (f", as {names[0]}" if names else "")
            )
        for place in places:
            theirs[place] += same
    return theirs
