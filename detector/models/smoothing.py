"""Seasonal naive and Holt-Winters: forecasts that a query may have beside the streaming members, or
alone. Neither is fitted, so neither waits for a fit, and ML_DETECTION_ENABLED does not matter.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta

import numpy as np

from detector import frames
from detector.models import memories
from detector.models.kernels import foresight, smoothers

NAMES = NAIVE, HOLT_WINTERS = "seasonal_naive", "holt_winters"
WEIGHT = 0.55
"""Of a tenth of all, as that of a fitted model."""
REFERENCES: Mapping[str, str] = {
    NAIVE: "value a day before",
    HOLT_WINTERS: "forecast of Holt-Winters",
}
"""What their residuals compare with, in words."""
RATES: Mapping[str, float] = {"level": 0.2, "trend": 0.01, "season": 0.3, "damping": 0.98}
"""Of Holt-Winters, by point (season: by day) at steps of a minute or more."""


@dataclass(frozen=True, slots=True)
class Smoother:
    """A forecast of a query.

    parameters  of Holt-Winters: what an error moves level, trend and season by, and what a step
                leaves of the trend, each in (0, 1]; none of the naive one
    """

    name: str
    weight: float = WEIGHT
    parameters: Mapping[str, float] = field(default_factory=dict)

    def setting(self, step: timedelta) -> frames.Floats:
        """float64[SETTINGS], as kernels have it: rates of a point of this step."""
        past = memories.memories_for_step(step)
        found = np.zeros(smoothers.SETTINGS)
        found[foresight.PERIOD] = past.profile_bins
        found[smoothers.KIND] = smoothers.SEASONAL_NAIVE
        if self.name == NAIVE:
            return found
        share = min(1.0, step / memories.TUNED_STEP)
        visits = max(1.0, timedelta(days=1) / step / past.profile_bins)
        found[smoothers.KIND] = smoothers.HOLT_WINTERS
        found[foresight.LEVEL] = memories.shortened(self.parameters["level"], share)
        found[foresight.TREND] = memories.shortened(self.parameters["trend"], share)
        found[foresight.SEASON] = memories.shortened(self.parameters["season"], 1.0 / visits)
        found[foresight.DAMPING] = self.parameters["damping"] ** share
        return found


def smoother_of(
    name: str, *, parameters: Mapping[str, object], weight: float | None = None
) -> Smoother:
    """The smoother of this name of NAMES.

    parameters  put over RATES
    Raises ValueError for a parameter that it does not have, or out of (0, 1].
    """
    known = RATES if name == HOLT_WINTERS else {}
    rates = dict(known)
    for parameter, value in parameters.items():
        if parameter not in known:
            allowed = ", ".join(known) or "none"
            raise ValueError(f"{name}: parameters: {parameter!r}: known are: {allowed}")
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value <= 1:
            raise ValueError(f"{name}: parameters: {parameter}: {value!r}: above 0 to 1 is allowed")
        rates[parameter] = float(value)
    return Smoother(name, WEIGHT if weight is None else weight, rates)


def names_of(settings: frames.Floats) -> list[str]:
    """The names of those with these settings."""
    kinds = settings[:, smoothers.KIND]
    return [NAIVE if kind == smoothers.SEASONAL_NAIVE else HOLT_WINTERS for kind in kinds.tolist()]


def settings_of(chosen: Sequence[Smoother], step: timedelta) -> frames.Floats:
    """float64[M, SETTINGS] of these."""
    rows = [each.setting(step) for each in chosen]
    return np.array(rows).reshape(len(rows), smoothers.SETTINGS)
