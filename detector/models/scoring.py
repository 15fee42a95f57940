"""Scores the series of one query, sample by sample, with state that outlives each call."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, timedelta, tzinfo
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from detector import anomalies, frames, wall_clock
from detector.models import (
    arrays,
    decisions,
    explaining,
    fits,
    fitted,
    gates,
    groups,
    memories,
    own_fits,
    parallel,
    siblings,
    smoothing,
)
from detector.models import budget as budgets
from detector.models.kernels import drift, layout, lost, offsets, steps

REFRESH_STEPS = 64
"""Steps of the grid between two looks at the siblings: the same ones however samples arrive."""
WEIGHTS = (1.0, 1.0, 2.0, 1.0)
"""Of the streaming members in the combined rise: residual, near, wide, Gaussian."""
CHEAP_WEIGHTS = (1.0, 0.0, 0.0, 1.0)
"""Without the reservoirs."""
BACK_POINTS, FINE_BACK_POINTS = 6, 2
"""Points back at what was usual that end an excursion's teaching; fewer at steps below a minute,
where noise is averaged and alarms are wanted gone within seconds."""


RECORDS_MOST = 500
"""Samples of a step and thread that may be anomalous and are kept with their state: 5 MB."""

GROUPED_SAMPLES = 32_768
"""Samples that are looked at before they are judged where series hear of each other: 20 MB."""

NO_GATES = gates.Gates()

Model: TypeAlias = fitted.Model | smoothing.Smoother
"""What may stand beside the streaming members."""


@dataclass(frozen=True, slots=True)
class _Part:
    """What a thread that scores some rows has for itself, and what it found there."""

    scratch: layout.Scratch
    sample: layout.Sample
    kept: layout.Kept
    evidence: explaining.Evidence
    decisions: decisions.Decisions


@dataclass(frozen=True, slots=True)
class _Block:
    """What is scored: values [S, T] of the state's rows from first_row on; walls_ms: what clocks
    show; planned [S, T], or [1, T] where it is of all of them alike."""

    values: frames.Floats
    times_ms: frames.Ints
    walls_ms: frames.Ints
    planned: frames.Bools
    first_row: int


class QueryScorer:
    """The detector of one query: streaming members, and fitted models pooled over its series.

    Scores are float64 >= 0 and 1.0 is the decision threshold: above it a sample is rarer than the
    budget affords, judged by the series' own past and its siblings'. One owner thread calls it;
    RefitJob.run may run elsewhere meanwhile.

    step    of the frames; budget what an alarm on nothing may cost
    seed    of the sample of feature rows and of the fits
    limits  of what counts as an anomaly
    models  that are fitted, and smoothers, each with a weight beside the streaming members; with
            `streaming` False they speak alone, and scores are 0 before the first fit
    group_by
            labels; series that have the same values of them hear of each other (follow_labels)
    zone    by whose clocks days, weeks and months are told
    cheap   whether to do without the reservoirs, which take half of the state and of the time
    emits   whether scores hold those of each member
    threads that share the rows of a frame, at most; the scores are the same for any number
    Raises ValueError for a step not above 0, or streaming False without models.
    """

    def __init__(
        self,
        *,
        step: timedelta,
        budget: budgets.Budget,
        limits: gates.Gates = NO_GATES,
        models: Sequence[Model] = (),
        streaming: bool = True,
        cheap: bool = False,
        emits: bool = False,
        group_by: Sequence[str] = (),
        zone: tzinfo = UTC,
        seed: int = 0,
        threads: int = parallel.THREADS,
    ) -> None:
        if step <= timedelta(0):
            raise ValueError(f"step: {step}: a duration above 0 is allowed")
        if not streaming and not models:
            raise ValueError("streaming: False: a model is needed that speaks instead")
        self._step, self._budget, self._threads = step, budget, threads
        self._zone = zone
        fit = [each for each in models if isinstance(each, fitted.Model)]
        per = {scope: [each for each in fit if each.per is scope] for scope in fitted.Per}
        self._pooled = fits.PooledFits(per[fitted.Per.QUERY], seed=seed)
        self._own = tuple(
            own_fits.OwnFits(
                per[scope], seed=seed, group_by=group_by if scope is fitted.Per.GROUP else None
            )
            for scope in (fitted.Per.SERIES, fitted.Per.GROUP)
            if per[scope]
        )
        fit = [*self._pooled.models, *(model for each in self._own for model in each.models)]
        forecasts = tuple(each for each in models if isinstance(each, smoothing.Smoother))
        others: tuple[Model, ...] = (*forecasts, *fit)
        self._fits = bool(fit)
        self._group_by = tuple(group_by)
        self._groups: frames.Ints | None = None
        self._members = _member_names(others, bool(group_by)) if emits else ()
        weights = (CHEAP_WEIGHTS if cheap else WEIGHTS) if streaming else (0.0,) * layout.STREAMING
        self._params = _params(step, limits, others, weights, bool(group_by), seed)
        self._min_samples = limits.min_samples
        self._bins = memories.memories_for_step(step).profile_bins
        self._prior = siblings.prior_for_step(step, streaming=streaming)
        self._epoch: int | None = None
        self._per_step = budget.per_step(step, series=1)
        self._size = 0
        self._state = self._fresh(0)
        self._evidence = explaining.Evidence()
        self._decisions = decisions.Decisions()
        self._first_ms = self._last_ms = 0

    @property
    def samples_needed(self) -> int:
        """Samples of a series before it is scored; until then its score is 0."""
        return max(steps.SAMPLES_NEEDED, self._min_samples)

    @property
    def is_grouped(self) -> bool:
        """Whether series hear of each other, so that only frames of all of them will do."""
        return bool(self._group_by)

    @property
    def samples_seen(self) -> frames.Ints:
        """int64[S]: finite samples of each row since it was new or forgotten."""
        return self._state.counts[: self._size, layout.POINTS].copy()

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
    def residual_scales(self) -> frames.Floats:
        """float64[S]: the mean |error| of each row's best forecast from step to step."""
        errors = self._state.numbers[: self._size, layout.S : layout.S + layout.ABOUT_VALUE]
        smallest: frames.Floats = errors.min(axis=1, initial=np.inf)
        return smallest

    @property
    def seasons(self) -> tuple[int, int, int]:
        """How many rows have a profile of the day, and how many use what week and month add."""
        counts = self._state.counts[: self._size]
        has_profile = (counts[:, layout.POINTS] > 0) & (counts[:, layout.BIN_NEW] == 0)
        used = counts[:, [layout.WEEK + offsets.USED, layout.MONTH + offsets.USED]].sum(axis=0)
        return int(has_profile.sum()), int(used[0]), int(used[1])

    @property
    def has_season(self) -> frames.Bools:
        """bool[S]: whether each row's values have gone with its daily profile for a week."""
        known = self._state.kinds[: self._size]
        return np.array([lost.is_seasonal(self._params, row) for row in known], np.bool_)

    @property
    def drift_kinds(self) -> frames.Bytes:
        """int8[S]: the frames.DriftKind of each row as it stands, NONE unless drift is over 1."""
        return self._state.drift[: self._size, drift.KIND].astype(np.int8)

    @property
    def state_bytes(self) -> int:
        """Bytes of state that a series takes."""
        return sum(part[:1].nbytes for part in self._state)

    def score(
        self,
        frame: frames.Frame,
        *,
        planned: frames.Bools | None = None,
        records: bool = False,
    ) -> frames.Scores:
        """The scores of a frame that follows the last one; rows beyond those seen start cold.

        Each step is scored from the samples before it and itself, so it makes no difference
        whether a frame comes whole or step by step. `frame` is left as it is.

        planned  bool[T], the steps that lie in planned time, or bool[T, S], the samples that do:
                 they score 0, open nothing and teach nothing
        records  whether explain() gives decision records too: some tenths more time, step by step
        """
        values = np.ascontiguousarray(frame.values.T)
        self._grow(values.shape[0])
        self._clear()
        out = self._empty_out(values.shape)
        mask = np.zeros((1, len(frame.times_ms)), np.bool_)
        if planned is not None:
            mask = np.array(np.atleast_2d(planned.T), order="C")  # else the kernel is compiled anew
        for first, last in self._spans(frame.times_ms):
            edges = range(first, last + 1) if records else (first, last)
            for begin, end in itertools.pairwise(edges):
                self._score(values, frame.times_ms, mask, 0, begin, end, out, records=records)
        return self._scores(frame.times_ms, out)

    def score_samples(
        self, row: int, times_ms: frames.Ints, values: frames.Floats
    ) -> frames.Scores:
        """The scores [T, 1] of samples that follow the last ones of one row, on a grid or not.

        times_ms int64[T] strictly rising; values float64[T], NaN where there is no sample. They
        are the scores that score() gives, if refresh() is called before each new epoch.
        """
        self._grow(row + 1)
        self._clear()
        if not len(times_ms):
            return self._scores(times_ms, self._empty_out((1, 0)))
        # Copies: one that cannot be written would have the kernel compiled anew for its type.
        times, rows = np.array(times_ms, np.int64), np.array(values, np.float64).reshape(1, -1)
        out = self._empty_out(rows.shape)
        self._score(rows, times, np.zeros((1, len(times)), np.bool_), row, 0, len(times), out)
        self._stand_at(times)
        return self._scores(times, out)

    def follow_labels(self, labels: Sequence[frames.Labels | None]) -> None:
        """From now on the rows are these series; without group_by and models of
        their own fits that makes no difference."""
        for each in self._own:
            each.follow(labels)
        if self._group_by:
            self._groups = groups.groups_of(labels, self._group_by)

    def refresh(self, *, rows: int = 0) -> None:
        """Look at the siblings' tails and count the series that share the budget; make room for
        so many rows first. score() does this itself at the start of each epoch."""
        self._grow(rows)
        state = arrays.view_rows(self._state, self._size)
        live = int(np.count_nonzero(state.counts[:, layout.POINTS])) or len(state.counts)
        self._per_step = self._budget.per_step(self._step, series=live)
        siblings.refresh_priors(state, self._prior, self._per_step)
        steps.set_limits(self._params, self._per_step, state)

    def epochs(self, times_ms: frames.Ints) -> frames.Ints:
        """int64[T]: which REFRESH_STEPS of the grid each time falls into."""
        numbers: frames.Ints = times_ms // (self._params.step_ms * REFRESH_STEPS)
        return numbers

    def raise_thresholds(self, raises: Mapping[int, float]) -> None:
        """From now on the threshold of each of these rows is so many times what its own past and
        the budget make it, 1 or more, and that of all others just that; until they are forgotten.
        """
        self._grow(max(raises, default=-1) + 1)
        self._state.numbers[:, layout.RAISE] = 0.0
        for row, times in raises.items():
            self._state.numbers[row, layout.RAISE] = times - 1.0

    def forget(self, rows: npt.ArrayLike) -> None:
        """Start these rows afresh, for the series that get them next."""
        chosen = np.asarray(rows, dtype=np.int64)
        for part, new in arrays.pairs(self._state, self._fresh(1)):
            part[chosen] = new[0]

    def explain(self, row: int, step: int, value: float) -> anomalies.Explanation:
        """Which features spoke in this value of the last frame, at this row and step of it, if its
        score was above 1; and its record, if that is so or it opened an anomaly; else nothing."""
        origin = float(self._state.numbers[row, layout.X0])
        found = self._evidence.explain(row, step, float(value), origin=origin, params=self._params)
        return dataclasses.replace(found, record=self._decisions.record(row, step))

    def _clear(self) -> None:
        """Forget what was kept of the frame before."""
        self._evidence.clear()
        self._decisions.clear()

    def refit_jobs(self) -> tuple[fits.RefitJob, ...]:
        """The fits that are due (fits.Schedule says when)."""
        span = (self._first_ms, self._last_ms)
        own = (job for each in self._own for job in each.jobs(*span))
        return (*self._pooled.jobs(*span), *own)

    @property
    def adopted(self) -> tuple[fitted.FittedModel, ...]:
        """The fits of all series together that are scored with now."""
        return self._pooled.adopted

    def adopt(self, model: fitted.FittedModel) -> None:
        """Score with this fit of one of the models from the next frame on."""
        if not model.unit:
            self._pooled.adopt(model)
        for each in self._own:
            if any(model.name == known.name for known in each.models):
                each.adopt(model)

    def _score(
        self,
        values: frames.Floats,
        times_ms: frames.Ints,
        planned: frames.Bools,
        first_row: int,
        first: int,
        last: int,
        out: layout.Out,
        *,
        records: bool = False,
    ) -> None:
        """Score steps first..last-1 of values [S, T], of the state's rows from first_row on;
        with records it is one step."""
        if first == last or not len(values):
            return
        walls_ms = wall_clock.readings_ms(times_ms, self._zone)
        block = _Block(values, times_ms, walls_ms, planned, first_row)
        room = RECORDS_MOST if records else 0
        length = last - first
        ranges = parallel.parts(len(values), len(values) * length, threads=self._threads)

        def score_part(begin: int, end: int) -> _Part:
            part = self._empty_part(room)
            rows = min(end - begin, max(1, arrays.BLOCK_SAMPLES // length))
            trace = self._empty_trace(rows, length)
            for row in range(begin, end, rows):
                trace = arrays.first_rows(trace, min(rows, end - row))
                self._look(block, row, first, trace, part)
                self._judge(block, row, first, trace, part, out)
            return part

        if self._groups is None and not self._own:
            found = parallel.over(score_part, ranges)
        else:
            found = self._score_together(block, first, last, ranges, room, out)
        for part in found:
            self._evidence.take(part.evidence)
            self._decisions.take(part.decisions)
            self._pooled.add(part.sample)

    def _score_together(
        self,
        block: _Block,
        first: int,
        last: int,
        ranges: list[tuple[int, int]],
        room: int,
        out: layout.Out,
    ) -> list[_Part]:
        """The same where series hear of each other or models have own fits: all of them look at a
        step before any is judged, so fewer steps at a time."""
        found = {begin: self._empty_part(room) for begin, _ in ranges}
        series = len(block.values)
        group = np.full(series, groups.ALONE, np.int64)
        known = group if self._groups is None else self._groups[:series]
        group[: len(known)] = known
        length = min(last - first, max(1, GROUPED_SAMPLES // series))
        whole = self._empty_trace(series, length)
        for step in range(first, last, length):
            steps_ = min(length, last - step)
            trace = whole if steps_ == length else self._empty_trace(series, steps_)

            def look(begin: int, end: int, step: int = step, trace: layout.Trace = trace) -> None:
                part = arrays.some_rows(trace, begin, end)
                self._look(block, begin, step, part, found[begin])

            parallel.over(look, ranges)
            if self._groups is not None:
                place, weights = self._params.group, self._params.weights
                groups.corroborate(trace, group, place=place, weights=weights)
            own = self._own_surprises(trace, block.first_row)

            def judge(
                begin: int,
                end: int,
                step: int = step,
                trace: layout.Trace = trace,
                own: frames.Floats = own,
            ) -> None:
                rows = max(1, arrays.BLOCK_SAMPLES // trace.points.shape[1])
                for row in range(begin, end, rows):
                    to = min(row + rows, end)
                    part = arrays.some_rows(trace, row, to)
                    self._judge(block, row, step, part, found[begin], out, own[:, row:to])

            parallel.over(judge, ranges)
            self._offer(block, step, trace, out)
        return list(found.values())

    def _look(self, block: _Block, row: int, step: int, trace: layout.Trace, part: _Part) -> None:
        """What members say of the samples of a trace that begins at this row and step."""
        steps.look_steps(
            self._params, self._per_step, self._state, block.first_row, block.values,
            block.times_ms, block.walls_ms, block.planned, row, step, trace, part.scratch,
            part.kept,
        )  # fmt: skip

    def _judge(
        self,
        block: _Block,
        row: int,
        step: int,
        trace: layout.Trace,
        part: _Part,
        out: layout.Out,
        own: frames.Floats | None = None,
    ) -> None:
        """The verdict on them, into out; what it leaves behind into the part.

        own  float64[models with own fits, rows, steps]: what these say
        """
        surprises = self._pooled.surprises(trace)
        if own is not None and len(own):
            surprises = np.concatenate([surprises, own])
        steps.judge_steps(
            self._params, self._per_step, self._state, part.sample, block.first_row, block.values,
            block.times_ms, row, step, trace, surprises, out,
        )  # fmt: skip
        rows, length = trace.points.shape
        judged = out.score[row : row + rows, step : step + length]
        part.evidence.keep(trace, judged, first_row=block.first_row + row, first_step=step)
        part.decisions.keep(
            part.kept, scores=out.score[:, step], kinds=out.kind[:, step],
            values=block.values[:, step], surprises=surprises[:, :, 0],
            others=self._others(trace), rows=(row, row + rows), step=step,
            time_ms=int(block.times_ms[step]), wall_ms=int(block.walls_ms[step]),
            per_step=self._per_step, params=self._params,
        )  # fmt: skip
        arrays.cut_back(part.sample)

    def _own_surprises(self, trace: layout.Trace, first_row: int) -> frames.Floats:
        """float64[models with own fits, rows, steps]: what these say of a whole frame's rows."""
        nothing = np.empty((0, *trace.points.shape))
        return np.concatenate([nothing, *(e.surprises(trace, first_row) for e in self._own)])

    def _offer(self, block: _Block, step: int, trace: layout.Trace, out: layout.Out) -> None:
        """Offer what was calm to the samples of the own fits."""
        length = trace.points.shape[1]
        scores = out.score[: len(block.values), step : step + length]
        calm = (trace.points >= steps.SAMPLES_NEEDED) & ~trace.planned & (scores <= 1.0)
        calm &= trace.rise[:, :, layout.RESIDUAL] <= steps.FLAG
        for each in self._own:
            each.offer(trace, block.first_row, block.times_ms[step : step + length], calm)

    def _others(self, trace: layout.Trace) -> frames.Floats:
        """float64[rows]: what the others of its group showed each series at the first step."""
        if self._params.group < 0:
            return np.full(len(trace.points), np.nan)
        found: frames.Floats = trace.rise[:, 0, self._params.group]
        return found

    def _empty_part(self, room: int) -> _Part:
        return _Part(
            arrays.scratch(),
            self._pooled.empty_part(),
            arrays.empty_kept(room, self._state),
            explaining.Evidence(),
            decisions.Decisions(),
        )

    def _empty_trace(self, rows: int, steps: int) -> layout.Trace:
        return arrays.empty_trace(
            rows,
            steps,
            len(self._params.weights),
            forecasts=len(self._params.smoothers),
            features=self._fits,
        )

    def _empty_out(self, shape: tuple[int, int]) -> layout.Out:
        return arrays.empty_out(shape, len(self._members))

    def _scores(self, times_ms: frames.Ints, out: layout.Out) -> frames.Scores:
        return frames.Scores(
            times_ms=times_ms,
            score=out.score.T,
            expected=out.expected.T,
            lower=out.lower.T,
            upper=out.upper.T,
            drift=out.drift.T,
            kind=out.kind.T,
            members=dict(zip(self._members, out.members.transpose(2, 1, 0), strict=True)),
        )

    def _fresh(self, rows: int) -> layout.State:
        """So many rows without a past."""
        state = arrays.empty_state(rows, self._bins, self._params.weights, self._params.smoothers)
        siblings.reset_priors(state, self._prior, self._per_step)
        return state

    def _grow(self, rows: int) -> None:
        """Make room for this many rows, the new ones cold."""
        for each in self._own:
            each.follow_rows(rows)
        held = len(self._state.counts)
        if rows > held:
            grown = self._fresh(max(rows, held + held // 2))
            for part, old in arrays.pairs(grown, self._state):
                part[:held] = old
            self._state = grown
        self._size = max(self._size, rows)

    def _spans(self, times_ms: frames.Ints) -> Iterator[tuple[int, int]]:
        """Runs of steps between two looks at the siblings; looks at them before each."""
        if not len(times_ms):
            return
        epochs = self.epochs(times_ms)
        edges = [0, *(np.flatnonzero(np.diff(epochs)) + 1).tolist(), len(times_ms)]
        for first, last in itertools.pairwise(edges):
            if epochs[first] != self._epoch:
                self.refresh()
                self._epoch = int(epochs[first])
            yield first, last
        self._stand_at(times_ms)

    def _stand_at(self, times_ms: frames.Ints) -> None:
        self._first_ms = self._first_ms or int(times_ms[0])
        self._last_ms = int(times_ms[-1])


def _member_names(models: Sequence[Model], grouped: bool) -> tuple[str, ...]:
    names = (*layout.STREAMING_NAMES, *(model.name for model in models))
    return (*names, groups.NAME) if grouped else names


def _params(
    step: timedelta,
    limits: gates.Gates,
    models: Sequence[Model],
    streaming: Sequence[float],
    grouped: bool,
    seed: int,
) -> layout.Params:
    weights = [*streaming, *(model.weight for model in models)]
    if grouped:
        weights.append(groups.WEIGHT * sum(streaming or WEIGHTS))
    past = memories.memories_for_step(step)
    step_ms = max(1, round(step / timedelta(milliseconds=1)))
    drift_points = memories.drift_block_points(step)
    return layout.Params(
        step_ms=step_ms,
        ewma=past.ewma,
        slow=past.slow,
        scale=past.scale,
        drift=past.drift,
        profile=past.profile,
        weekly=past.weekly,
        monthly=past.monthly,
        month_points=past.month_points,
        week_points=past.week_points,
        warm_points=np.array([round(age / step) for age, _ in budgets.WARM_UP]),
        warm_rates=np.array([step / period for _, period in budgets.WARM_UP]),
        gates=limits.compiled(),
        weights=np.array(weights),
        seed=seed,
        back_points=BACK_POINTS if step >= memories.TUNED_STEP else FINE_BACK_POINTS,
        drift_block_ms=step_ms * drift_points,
        drift_block_points=drift_points,
        drift_ms=step_ms * memories.steps_between_drifts(step),
        group=len(weights) - 1 if grouped else -1,
        smoothers=smoothing.settings_of(
            [each for each in models if isinstance(each, smoothing.Smoother)], step
        ),
    )
