"""What every model is held to: one suite, each check a function that raises AssertionError.

A streaming model is given as a function that makes a fresh one; a fit as a function from feature
rows and a seed. `STREAM_CHECKS` and `FIT_CHECKS` are the tables that tests run through.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

from detector import errors, frames
from detector.models import fitted

STEP_MS = 60_000
_START_MS = 1_700_000_040_000
AUC_FLOOR = 0.95
"""A spike of ten residual scales is no hard case."""
TIME_RATIO = 6.0
"""Most that four times the series may cost, in times: linear plus what a busy machine adds."""
STATE_BYTES = 16_384
"""Most that a series may take."""


class StreamModel(Protocol):
    """What the checks use of a streaming model."""

    @property
    def state_bytes(self) -> int:
        """Bytes a series takes."""
        ...

    def score(self, frame: frames.Frame) -> frames.Scores:
        """Scores of the frame that follows the last one."""
        ...


Rows: TypeAlias = npt.NDArray[np.float32]
MakeStream: TypeAlias = Callable[[], StreamModel]
FitModel: TypeAlias = Callable[[Rows, int], fitted.FittedModel]


def frame_of(values: frames.Floats, *, first: int = 0) -> frames.Frame:
    """A frame of these float64[T, S] values from step `first` of a fixed grid on."""
    times_ms = _START_MS + (np.arange(len(values), dtype=np.int64) + first) * STEP_MS
    return frames.Frame(times_ms, np.asfortranarray(values), STEP_MS)


def noise(steps: int, series: int, *, seed: int = 0) -> frames.Floats:
    """float64[T, S] of unit Gaussian noise."""
    return np.random.default_rng(seed).normal(size=(steps, series))


def constant_series_is_quiet(make: MakeStream) -> None:
    """A constant, zero or not, scores 0 and is expected where it is."""
    values = np.tile([0.0, 0.1, -7e9], (120, 1))
    scores = make().score(frame_of(values))
    _hold((scores.score == 0).all(), "a constant series scores above 0")
    _hold(np.allclose(scores.expected, values), "a constant is not expected where it is")


def wild_input_stays_outside(make: MakeStream) -> None:
    """NaN and infinities are no samples; 1e308 is cut; nothing out but finite numbers or NaN
    where there was no sample."""
    values = noise(200, 6)
    values[50, 0], values[60, 1], values[70, 2] = np.nan, np.inf, -np.inf
    values[80, 3], values[81, 3], values[:, 4] = 1e308, -1e308, np.nan
    values[:90, 5] = 3.0
    values[90, 5] = 1e308
    scores = make().score(frame_of(values))
    has_sample = np.isfinite(values)
    for part in (scores.score, scores.expected, scores.lower, scores.upper):
        _hold((np.isfinite(part) == has_sample).all(), "NaN or inf came in or went out")
    seen = scores.score[has_sample]
    _hold((seen >= 0).all(), "a score is negative")
    _hold((scores.lower[has_sample] <= scores.expected[has_sample]).all(), "lower > expected")
    _hold((scores.expected[has_sample] <= scores.upper[has_sample]).all(), "expected > upper")


def step_by_step_equals_whole(make: MakeStream) -> None:
    """Bit by bit the same scores, however the samples are cut into frames."""
    values = noise(400, 5)
    whole = make().score(frame_of(values))
    model = make()
    parts = [model.score(frame_of(values[t : t + 1], first=t)) for t in range(len(values))]
    _assert_same(whole, _joined(parts))


def future_does_not_matter(make: MakeStream) -> None:
    """A prefix scores the same with what follows cut off, and with what follows wild."""
    values = noise(400, 5)
    wild = values.copy()
    wild[250:] = 1e6 * noise(150, 5, seed=1)
    prefix = make().score(frame_of(values[:250]))
    for later in (values, wild):
        _assert_same(prefix, _cut(make().score(frame_of(later)), 250))


def one_row_equals_many_rows(make: MakeStream) -> None:
    """A young series scores alone as among others: siblings speak later, through the prior."""
    values = noise(200, 8)
    many = make().score(frame_of(values))
    alone = make().score(frame_of(values[:, 3:4]))
    _hold(np.array_equal(many.score[:, 3:4], alone.score), "a row's score depends on others")


def two_threads_do_not_meet(make: MakeStream) -> None:
    """Two models that score at the same time score as each would alone."""
    values = [noise(300, 40, seed=seed) for seed in (1, 2)]
    alone = [make().score(frame_of(each)) for each in values]
    with ThreadPoolExecutor(2) as pool:
        together = list(pool.map(lambda each: make().score(frame_of(each)), values))
    for one, other in zip(alone, together, strict=True):
        _assert_same(one, other)


def repeated_run_repeats(make: MakeStream) -> None:
    """The same seed and samples give the same scores."""
    values = noise(300, 4)
    _assert_same(make().score(frame_of(values)), make().score(frame_of(values)))


def input_is_left_alone(make: MakeStream) -> None:
    """The frame is the caller's."""
    values = noise(100, 4)
    frame = frame_of(values)
    make().score(frame)
    _hold(np.array_equal(frame.values, values), "the model changed its input")


def spike_outranks_noise(make: MakeStream) -> None:
    """A sample ten scales off scores above nearly all that are not."""
    values = noise(600, 20)
    is_spike = np.zeros(values.shape, dtype=bool)
    is_spike[300 + 7 * np.arange(20), np.arange(20)] = True
    values[is_spike] += 10.0
    scores = make().score(frame_of(values)).score[100:]
    auc = auc_of(scores[is_spike[100:]], scores[~is_spike[100:]])
    _hold(auc >= AUC_FLOOR, f"area under the ROC curve {auc:.3f} is below {AUC_FLOOR}")


def cost_grows_no_faster_than_series(make: MakeStream) -> None:
    """Four times the series take at most TIME_RATIO times as long, and bounded state each."""
    make().score(frame_of(noise(30, 2)))
    few, many = (_least_seconds(make, series) for series in (500, 2000))
    _hold(many <= TIME_RATIO * few, f"4x the series took {many / few:.1f}x the time")
    model = make()
    model.score(frame_of(noise(30, 4)))
    _hold(model.state_bytes <= STATE_BYTES, f"{model.state_bytes} bytes of state a series")


def too_little_data_raises(fit: FitModel) -> None:
    """A fit on too few rows says so instead of guessing."""
    try:
        fit(_rows(10), 0)
    except errors.NotEnoughData as error:
        message = str(error)
    else:
        raise AssertionError("a fit on ten rows was accepted")
    _hold("10" in message, "the error does not say how many rows there are")


def fit_repeats_with_its_seed(fit: FitModel) -> None:
    """One seed, one model, in threads too."""
    rows = _rows(600)
    with ThreadPoolExecutor(2) as pool:
        fits = list(pool.map(lambda seed: fit(rows, seed), (3, 3)))
    one, same = (each.score(rows) for each in fits)
    _hold(np.array_equal(one, same), "the same seed gave two models")


def fitted_row_scores_alone_as_among_others(fit: FitModel) -> None:
    """No row's score depends on the batch it stands in, nor on what another thread scores."""
    rows = _rows(600)
    model = fit(rows, 0)
    among = model.score(rows)
    alone = np.concatenate([model.score(rows[at : at + 1]) for at in range(0, 600, 20)])
    _hold(np.array_equal(among[::20], alone), "a row's score depends on its batch")
    with ThreadPoolExecutor(2) as pool:
        parts = list(pool.map(lambda at: model.score(rows[at : at + 30]), range(0, 600, 30)))
    _hold(np.array_equal(among, np.concatenate(parts)), "a row's score depends on other threads")


def fit_on_constant_rows_is_finite(fit: FitModel) -> None:
    """Rows without any difference, or with it in one feature alone, give a model that speaks in
    numbers, of wild rows too."""
    wild = np.full((2, 10), 9.0, dtype=np.float32)
    wild[1] *= -1
    one_feature = np.zeros((600, 10), dtype=np.float32)
    one_feature[:, 3] = _rows(600)[:, 3]
    for rows in (np.zeros((600, 10), dtype=np.float32), one_feature):
        found = fit(rows, 0).surprises(np.vstack([rows, wild]))
        _hold(np.isfinite(found).all(), "NaN or inf out of a constant")


def fit_ranks_the_odd_row_first(fit: FitModel) -> None:
    """A row far from all others is the most surprising."""
    rows = _rows(600)
    odd = np.vstack([rows, np.full((1, 10), 5.0, dtype=np.float32)])
    surprises = fit(rows, 0).surprises(odd)
    _hold(surprises.argmax() == len(rows), "a row far from all is not the most surprising")


def fit_leaves_rows_alone(fit: FitModel) -> None:
    """The rows are the caller's."""
    rows = _rows(600)
    fit(rows, 0)
    _hold(np.array_equal(rows, _rows(600)), "the fit changed its rows")


def problem_of(fit: FitModel) -> str:
    """Which check of a fit fails and how, in a line; empty if none does."""
    for name, check in FIT_CHECKS.items():
        try:
            check(fit)
        except Exception as error:  # noqa: BLE001 - a query in a cycle: its model may be anybody's
            return f"{name}: {' '.join(str(error).split()) or type(error).__name__}"
    return ""


STREAM_CHECKS: Mapping[str, Callable[[MakeStream], None]] = {
    "constant series": constant_series_is_quiet,
    "wild input": wild_input_stays_outside,
    "step by step": step_by_step_equals_whole,
    "future": future_does_not_matter,
    "one row": one_row_equals_many_rows,
    "two threads": two_threads_do_not_meet,
    "repeated seed": repeated_run_repeats,
    "input": input_is_left_alone,
    "spike": spike_outranks_noise,
    "cost": cost_grows_no_faster_than_series,
}
FIT_CHECKS: Mapping[str, Callable[[FitModel], None]] = {
    "too little data": too_little_data_raises,
    "repeated seed": fit_repeats_with_its_seed,
    "one row": fitted_row_scores_alone_as_among_others,
    "constant rows": fit_on_constant_rows_is_finite,
    "odd row": fit_ranks_the_odd_row_first,
    "input": fit_leaves_rows_alone,
}


def auc_of(positive: frames.Floats, negative: frames.Floats) -> float:
    """Area under the ROC curve: the chance that a positive outranks a negative.

    >>> auc_of(np.array([2.0, 3.0]), np.array([1.0, 2.0]))
    0.875
    """
    ranked = np.sort(negative)
    below = np.searchsorted(ranked, positive, "left") + np.searchsorted(ranked, positive, "right")
    return float(below.mean() / (2 * len(negative)))


def _hold(condition: bool | np.bool, message: str) -> None:
    """Like assert, and not stripped by `python -O`."""
    if not condition:
        raise AssertionError(message)


def _least_seconds(make: MakeStream, series: int) -> float:
    frame = frame_of(noise(30, series))
    seconds = []
    for _ in range(3):
        model = make()
        start = time.thread_time()
        model.score(frame)
        seconds.append(time.thread_time() - start)
    return min(seconds)


def _rows(count: int) -> Rows:
    return np.random.default_rng(7).normal(size=(count, 10)).astype(np.float32)


def _parts(scores: frames.Scores) -> tuple[npt.NDArray[np.generic], ...]:
    return (scores.score, scores.expected, scores.lower, scores.upper, scores.drift, scores.kind)


def _cut(scores: frames.Scores, steps: int) -> frames.Scores:
    return frames.Scores(
        scores.times_ms[:steps],
        scores.score[:steps],
        scores.expected[:steps],
        scores.lower[:steps],
        scores.upper[:steps],
        scores.drift[:steps],
        scores.kind[:steps],
    )


def _joined(parts: list[frames.Scores]) -> frames.Scores:
    return frames.Scores(
        np.concatenate([part.times_ms for part in parts]),
        np.concatenate([part.score for part in parts]),
        np.concatenate([part.expected for part in parts]),
        np.concatenate([part.lower for part in parts]),
        np.concatenate([part.upper for part in parts]),
        np.concatenate([part.drift for part in parts]),
        np.concatenate([part.kind for part in parts]),
    )


def _assert_same(one: frames.Scores, other: frames.Scores) -> None:
    for left, right in zip(_parts(one), _parts(other), strict=True):
        _hold(np.array_equal(left, right, equal_nan=left.dtype != np.int8), "scores differ")
