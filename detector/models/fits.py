"""Fits of a query's models: when they are due, on which rows, and what they say then.

Pooled, here, a model is fitted on a sample of the rows of all series; own_fits has one for each
series or group.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta

import numpy as np

from detector import frames
from detector.models import arrays, fitted
from detector.models.kernels import layout

REFIT_AFTER = timedelta(days=7)
REFIT_GROWTH = 1.25
"""A fit is renewed after REFIT_AFTER where a fifth of all rows are newer than it: fewer would
change a uniform sample of all rows too little to matter."""


@dataclass(frozen=True, slots=True)
class RefitJob:
    """A fit to be done: owns a copy of its rows, so run() needs no lock and any thread may call.

    unit  the series or group it is for, empty for all
    """

    model: fitted.Model
    rows: fitted.Rows
    seed: int
    window_start_ms: int
    window_end_ms: int
    unit: fitted.Unit = ()

    def run(self) -> fitted.FittedModel:
        """The fitted model; some 0.2 s of a forest. Raises NotEnoughData, and what its class
        raises."""
        found = self.model.fit(
            self.rows,
            seed=self.seed,
            window_start_ms=self.window_start_ms,
            window_end_ms=self.window_end_ms,
        )
        return dataclasses.replace(found, unit=self.unit)


class Schedule:
    """When fits are due: at the first LEAST_ROWS rows of features, at each doubling of the rows
    offered since, and REFIT_AFTER the last if they grew by REFIT_GROWTH.

    So their number goes with the log of the rows, whatever time these span.
    """

    def __init__(self) -> None:
        self._offered = self._at_ms = 0

    def take_due(self, *, held: int, offered: int, now_ms: int) -> bool:
        """Whether a fit is due, of so many rows held and offered; if so it then counts as done."""
        if held < fitted.LEAST_ROWS or not self._has_grown(offered, now_ms):
            return False
        self._offered, self._at_ms = offered, now_ms
        return True

    def _has_grown(self, offered: int, now_ms: int) -> bool:
        if offered >= 2 * self._offered:
            return True
        is_aged = now_ms - self._at_ms >= REFIT_AFTER / timedelta(milliseconds=1)
        return is_aged and offered >= REFIT_GROWTH * self._offered


class PooledFits:
    """Models that are fitted on a sample of the rows of all series of a query.

    The sample is offered to by the kernels, in parts that `add` brings together.
    """

    def __init__(self, models: Iterable[fitted.Model], *, seed: int) -> None:
        self.models = tuple(models)
        self._seed = seed
        self._sample = self._room()
        self._fitted: dict[str, fitted.FittedModel] = {}
        self._schedule = Schedule()

    def _room(self) -> layout.Sample:
        return arrays.empty_sample(arrays.SAMPLE_ROWS if self.models else 0)

    def empty_part(self) -> layout.Sample:
        """Room for what one thread offers of a frame."""
        part = self._room()
        part.limit[:] = self._sample.limit
        return part

    def add(self, part: layout.Sample) -> None:
        """Take over what was offered there."""
        arrays.add_sample(self._sample, part)

    def jobs(self, first_ms: int, now_ms: int) -> Sequence[RefitJob]:
        """The fits that are due by now, one a model; first_ms: of the rows' time."""
        held, offered = (int(size) for size in self._sample.sizes)
        if not self._schedule.take_due(held=held, offered=offered, now_ms=now_ms):
            return ()
        rows = self._sample.rows[np.argsort(self._sample.keys[:held])]
        return [RefitJob(model, rows, self._seed, first_ms, now_ms) for model in self.models]

    @property
    def adopted(self) -> tuple[fitted.FittedModel, ...]:
        """The fits that speak now."""
        return tuple(self._fitted.values())

    def adopt(self, model: fitted.FittedModel) -> None:
        """Let this fit of one of the models speak."""
        self._fitted[model.name] = model

    def surprises(self, trace: layout.Trace) -> frames.Floats:
        """float64[models, rows, steps]: what they say of a block, NaN until fitted."""
        found = np.full((len(self.models), *trace.points.shape), np.nan)
        features = trace.z.reshape(-1, layout.RESIDUALS)
        for place, model in enumerate(self.models):
            if model.name in self._fitted:
                said = self._fitted[model.name].surprises(features)
                found[place] = said.reshape(trace.points.shape)
        return found
