"""Scores the series of one query, sample by sample, with state that outlives each call."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import numpy as np
import numpy.typing as npt

from detector import frames
from detector.models import budget as budgets
from detector.models import forest, gates, kernel, memories, siblings

REFRESH_STEPS = 64
"""Steps of the grid between two looks at the siblings: the same ones however samples arrive."""
SAMPLE_ROWS = 4_096
"""Rows of features kept for a fit: IForest draws 256 a tree, so more tells it little."""
REFIT_AFTER = timedelta(days=1)
FOREST_WEIGHT = 0.1
"""Share of the forest in the combined rise: at more it costs rank quality (docs/models.md)."""


@dataclass(frozen=True, slots=True)
class RefitJob:
    """A fit to be done: owns a copy of its rows, so run() needs no lock and any thread may call."""

    rows: npt.NDArray[np.float32]
    seed: int
    window_start_ms: int
    window_end_ms: int

    def run(self) -> forest.FittedForest:
        """The fitted forest; some 0.2 s. Raises NotEnoughData."""
        return forest.fit_forest(
            self.rows,
            seed=self.seed,
            window_start_ms=self.window_start_ms,
            window_end_ms=self.window_end_ms,
        )


class QueryScorer:
    """The detector of one query: streaming residuals, and a pooled forest beside them with `ml`.

    Scores are float64 >= 0 and 1.0 is the decision threshold: above it a sample is rarer than the
    budget affords, judged by the series' own past and its siblings'. One owner thread calls it;
    RefitJob.run may run elsewhere meanwhile.

    step    of the frames; budget what an alarm on nothing may cost
    seed    of the sample of feature rows and of the fits
    Raises ValueError for a step not above 0 or gates out of range.
    """

    def __init__(
        self,
        *,
        step: timedelta,
        budget: budgets.Budget,
        direction: gates.Direction = gates.Direction.BOTH,
        min_deviation: float = 0.0,
        min_relative_deviation: float = 0.0,
        ml: bool = False,
        seed: int = 0,
    ) -> None:
        if step <= timedelta(0):
            raise ValueError(f"step: {step}: a duration above 0 is allowed")
        self._step, self._budget, self._seed = step, budget, seed
        self._gates = gates.Gates(direction, min_deviation, min_relative_deviation)
        self._params = _params(step, self._gates, seed)
        self._bins = memories.memories_for_step(step).profile_bins
        self._prior = siblings.prior_for_step(step)
        self._size = 0
        self._state = _empty_state(0, self._bins, self._prior)
        self._sample = _empty_sample(SAMPLE_ROWS if ml else 0)
        self._forest = forest.NONE
        self._epoch: int | None = None
        self._per_step = budget.per_step(step, series=1)
        self._first_ms = self._last_ms = self._fitted_ms = 0
        self._fitted_offers = 0

    @property
    def samples_needed(self) -> int:
        """Samples of a series before it is scored; until then its score is 0."""
        return kernel.SAMPLES_NEEDED

    @property
    def samples_seen(self) -> frames.Ints:
        """int64[S]: finite samples of each row since it was new or forgotten."""
        return self._state.counts[: self._size, kernel.POINTS].copy()

    @property
    def confidence(self) -> frames.Floats:
        """float64[S] in [0, 1]: how far a row's past reaches from cold towards its budget.

        Thresholds go with the log of the time between alarms, so this does: 0 until samples_needed,
        1 when the row has been seen for as long as the budget allows one alarm in.
        """
        seen = np.maximum(self.samples_seen, 1) / self.samples_needed
        needed = max(1.0 / (self._per_step * self.samples_needed), np.e)
        reached: frames.Floats = np.clip(np.log(seen) / np.log(needed), 0.0, 1.0)
        return reached

    @property
    def state_bytes(self) -> int:
        """Bytes of state that a series takes."""
        return sum(part[:1].nbytes for part in self._state)

    def score(self, frame: frames.Frame) -> frames.Scores:
        """The scores of a frame that follows the last one; rows beyond those seen start cold.

        Each step is scored from the samples before it and itself, so it makes no difference
        whether a frame comes whole or step by step. `frame` is left as it is.
        """
        values = np.ascontiguousarray(frame.values.T)
        self._grow(values.shape[0])
        out = _empty_out(values.shape)
        state = _rows(self._state, self._size)
        for first, last in self._spans(frame.times_ms, state):
            kernel.score_steps(
                self._params, self._per_step, self._forest, state, self._sample,
                values, frame.times_ms, first, last, out,
            )  # fmt: skip
        return frames.Scores(
            times_ms=frame.times_ms,
            score=out.score.T,
            expected=out.expected.T,
            lower=out.lower.T,
            upper=out.upper.T,
            kind=out.kind.T,
        )

    def forget(self, rows: npt.ArrayLike) -> None:
        """Start these rows afresh, for the series that get them next."""
        chosen = np.asarray(rows, dtype=np.int64)
        fresh = _empty_state(1, self._bins, self._prior)
        for part, new in _pairs(self._state, fresh):
            part[chosen] = new[0]

    def refit_job(self) -> RefitJob | None:
        """The fit that is due, if one is: at the first LEAST_ROWS rows of features, at each
        doubling of the rows offered since, and a day after the last. None with ML off."""
        held, offered = (int(size) for size in self._sample.sizes)
        if held < forest.LEAST_ROWS:
            return None
        aged = self._last_ms - self._fitted_ms >= REFIT_AFTER / timedelta(milliseconds=1)
        if self._fitted_offers and offered < 2 * self._fitted_offers and not aged:
            return None
        self._fitted_offers, self._fitted_ms = offered, self._last_ms
        smallest = np.argsort(self._sample.keys[:held])[:SAMPLE_ROWS]
        return RefitJob(self._sample.rows[smallest], self._seed, self._first_ms, self._last_ms)

    def adopt(self, fitted: forest.FittedForest) -> None:
        """Score with this forest from the next frame on."""
        self._forest = fitted.forest

    def _grow(self, rows: int) -> None:
        """Make room for this many rows, the new ones cold."""
        held = len(self._state.counts)
        if rows > held:
            grown = _empty_state(max(rows, held + held // 2), self._bins, self._prior)
            for part, old in _pairs(grown, self._state):
                part[:held] = old
            self._state = grown
        self._size = max(self._size, rows)

    def _spans(self, times_ms: frames.Ints, state: kernel.State) -> Iterator[tuple[int, int]]:
        """Runs of steps between two looks at the siblings; looks at them before each."""
        if not len(times_ms):
            return
        epochs = times_ms // (self._params.step_ms * REFRESH_STEPS)
        edges = [0, *(np.flatnonzero(np.diff(epochs)) + 1).tolist(), len(times_ms)]
        for first, last in itertools.pairwise(edges):
            if epochs[first] != self._epoch:
                live = int(np.count_nonzero(state.counts[:, kernel.POINTS])) or len(state.counts)
                self._per_step = self._budget.per_step(self._step, series=live)
                siblings.refresh_priors(state, self._prior, self._per_step)
                self._epoch = int(epochs[first])
            yield first, last
        self._first_ms = self._first_ms or int(times_ms[0])
        self._last_ms = int(times_ms[-1])


def _rows(state: kernel.State, rows: int) -> kernel.State:
    """A view of the first rows."""
    return kernel.State(
        state.numbers[:rows], state.counts[:rows], state.profile[:rows], state.histogram[:rows]
    )


def _pairs(
    one: kernel.State, other: kernel.State
) -> Iterator[tuple[npt.NDArray[Any], npt.NDArray[Any]]]:
    """The arrays of two states, kind by kind."""
    arrays: tuple[npt.NDArray[Any], ...] = one
    others: tuple[npt.NDArray[Any], ...] = other
    return zip(arrays, others, strict=True)


def _params(step: timedelta, limits: gates.Gates, seed: int) -> kernel.Params:
    past = memories.memories_for_step(step)
    return kernel.Params(
        step_ms=max(1, round(step / timedelta(milliseconds=1))),
        ewma=past.ewma,
        slow=past.slow,
        scale=past.scale,
        drift=past.drift,
        profile=past.profile,
        warm_points=np.array([round(age / step) for age, _ in budgets.WARM_UP]),
        warm_rates=np.array([step / period for _, period in budgets.WARM_UP]),
        above=limits.direction is not gates.Direction.BELOW,
        below=limits.direction is not gates.Direction.ABOVE,
        min_deviation=float(limits.min_deviation),
        min_relative_deviation=float(limits.min_relative_deviation),
        forest_weight=FOREST_WEIGHT,
        seed=seed,
        undoes=step < memories.TUNED_STEP,
    )


def _empty_state(rows: int, bins: int, prior: siblings.TailPrior) -> kernel.State:
    state = kernel.State(
        numbers=np.zeros((rows, kernel.NUMBERS)),
        counts=np.zeros((rows, kernel.COUNTS), dtype=np.int64),
        profile=np.full((rows, bins), np.nan, dtype=np.float32),
        histogram=np.zeros((rows, kernel.BINS), dtype=np.uint32),
    )
    siblings.reset_priors(state, prior)
    return state


def _empty_sample(rows: int) -> kernel.Sample:
    """Room for twice the rows: half is cut off, by key, each time it is full."""
    return kernel.Sample(
        keys=np.zeros(2 * rows, dtype=np.int64),
        rows=np.zeros((2 * rows, kernel.RESIDUALS), dtype=np.float32),
        sizes=np.zeros(2, dtype=np.int64),
        limit=np.full(1, np.iinfo(np.int64).max),
    )


def _empty_out(shape: tuple[int, int]) -> kernel.Out:
    return kernel.Out(
        score=np.empty(shape),
        expected=np.empty(shape),
        lower=np.empty(shape),
        upper=np.empty(shape),
        kind=np.empty(shape, dtype=np.int8),
    )
