"""Explanations and causes as the JSON documents that are stored, and back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from detector import anomalies, frames
from detector.store import text

Document = dict[str, Any]


def from_explanation(explanation: anomalies.Explanation) -> Document:
    """The document of an explanation."""
    return {
        "residuals": [
            {"reference": each.reference, "times": each.times, "value": each.value}
            for each in explanation.residuals
        ],
        "rises": dict(explanation.rises),
    }


def explanation(document: Document) -> anomalies.Explanation:
    """The explanation of a document."""
    return anomalies.Explanation(
        residuals=tuple(
            anomalies.Residual(each["reference"], float(each["times"]), float(each["value"]))
            for each in document["residuals"]
        ),
        rises={name: float(rise) for name, rise in document["rises"].items()},
    )


def from_causes(causes: Sequence[anomalies.Cause]) -> list[Document]:
    """The document of a ranking."""
    return [
        {
            "labels": _pairs(each.labels),
            "same": _pairs(each.same),
            "score": each.score,
            "coverage": each.coverage,
            "lift": each.lift,
            "series": each.series,
            "deviating": each.deviating,
        }
        for each in causes
    ]


def causes(document: Sequence[Document]) -> tuple[anomalies.Cause, ...]:
    """The ranking of a document."""
    return tuple(
        anomalies.Cause(
            labels=tuple((name, value) for name, value in each["labels"]),
            same=tuple((name, value) for name, value in each["same"]),
            score=float(each["score"]),
            coverage=float(each["coverage"]),
            lift=float(each["lift"]),
            series=each["series"],
            deviating=each["deviating"],
        )
        for each in document
    )


def _pairs(labels: frames.Labels) -> list[list[str]]:
    """`same` may hold a name twice, which an object cannot."""
    return [[text.storable(name), text.storable(value)] for name, value in labels]
