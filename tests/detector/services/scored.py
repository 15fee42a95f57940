"""Series with scores as a test wants them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

import numpy as np

from detector import frames
from detector.services import outcomes

START_MS = 1_700_000_000_000 // 3_600_000 * 3_600_000


def scored(
    score: Sequence[float],
    *,
    step_s: int = 60,
    counted: int = 0,
    kind: Sequence[int] | None = None,
    name: str = "a",
    labels: frames.Labels = (),
) -> outcomes.Scored:
    """One series on the grid from START_MS; NaN in `score` is no sample. Without `kind` an
    incident is open just where the score is above 1."""
    given = np.array(score, np.float64)
    size = len(given)
    opened = (given > 1).astype(np.int8) if kind is None else np.array(kind, np.int8)
    return outcomes.Scored(
        name=name,
        labels=labels,
        step=timedelta(seconds=step_s),
        counted=counted,
        times_ms=START_MS + 1000 * step_s * np.arange(size, dtype=np.int64),
        values=np.where(np.isnan(given), np.nan, 5.0),
        score=given,
        expected=np.full(size, 5.0),
        lower=np.full(size, 4.0),
        upper=np.full(size, 6.0),
        kind=opened,
    )
