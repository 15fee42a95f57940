"""Label sets of what is written back: those of the source series, the query and a fixed name.

Names are ours to validate: Prometheus 2.42 stores a series with a broken name without a word.
"""

from __future__ import annotations

import re

from detector import frames

METRICS = ("anomaly_score", "anomaly_expected", "anomaly_lower", "anomaly_upper")
"""The four series of each row, in the order of frames.Scores."""
DRIFT = "drift_score"
"""Beside them, written more rarely."""
MODEL_METRIC = "anomaly_model_score"
"""Of single models, by the label `model`."""
FORECAST = "anomaly_forecast"
"""Of what is to come, by the label `horizon`."""
EXHAUSTION = "anomaly_exhaustion_seconds"
"""How long until a series reaches a limit."""
_METRIC_NAME = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*", re.ASCII)
_LABEL_NAME = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*", re.ASCII)
_NOT_IN_A_NAME = re.compile(r"[^a-zA-Z0-9_]", re.ASCII)


def output_labels(source: frames.Labels, metric: str, **own: str) -> frames.Labels:
    """The labels of an output series.

    source  its `__name__` and other internal labels (`__*`) are left out; a name that is only
            legal since Prometheus 3 has its other characters replaced by _ (the escaping scheme
            "underscores" of Prometheus)
    own     labels that we add; a source label of that name becomes exported_<name>, as in a scrape

    >>> output_labels((("__name__", "up"), ("query", "x")), "anomaly_score", query="q")
    (('__name__', 'anomaly_score'), ('exported_query', 'x'), ('query', 'q'))
    """
    pairs: dict[str, str] = {"__name__": metric, **own}
    plain = [(_plain_name(name), value) for name, value in source if not name.startswith("__")]
    taken = {name for name, _ in plain} | pairs.keys()
    for name, value in plain:
        if name in own:
            while name in taken:
                name = f"exported_{name}"
            taken.add(name)
        pairs.setdefault(name, value)
    return frames.labels_from_pairs(pairs.items())


def problem(labels: frames.Labels) -> str | None:
    """Why a receiver may refuse or garble these labels, None if they are in order."""
    names = [name for name, _ in labels]
    if names != sorted(set(names)):
        return "label names must be sorted and unique"
    if not _METRIC_NAME.fullmatch(dict(labels).get("__name__", "")):
        return "no valid metric name"
    for name, value in labels:
        if name != "__name__" and (name.startswith("__") or not _LABEL_NAME.fullmatch(name)):
            return "not a valid label name"
        if not value or not _is_utf8(value):
            return "label values must be UTF-8 and not empty"
    return None


def _plain_name(name: str) -> str:
    plain = _NOT_IN_A_NAME.sub("_", name)
    if plain[:1].isdigit():
        return f"_{plain}"
    return f"_{plain.lstrip('_')}" if plain.startswith("__") else plain


def _is_utf8(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
