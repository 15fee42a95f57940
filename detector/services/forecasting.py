"""What the series of a query will be, from their past, written at now; on a loop of its own."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta

import numpy as np

from detector import errors, frames, loops, ports, telemetry
from detector.models import exhaustion, forecasting

logger = logging.getLogger(__name__)

WRITE_AT_LEAST = timedelta(minutes=1)
"""How often a forecast is written, or at each step where these are longer: Prometheus forgets a
sample after five minutes."""
MORE_STEPS = 2
"""Steps of the path beyond the horizon: it is used until the next one is made."""


@dataclass(slots=True)
class _Made:
    """The path of one horizon."""

    grid: forecasting.Grid
    path: forecasting.Path | None = None


@dataclass(slots=True)
class _Left:
    """How long limits are away, float64[S] in seconds at last_ms."""

    grid: forecasting.Grid
    limits: exhaustion.Limits
    last_ms: int = 0
    seconds: frames.Floats = field(default_factory=lambda: np.zeros(0))


class Forecaster:
    """The forecasts of one query: read and made anew at each step of a horizon's grid, written more
    often, between its steps in proportion.

    horizons  each longer than step
    limits    whose reaching is told of; None for none
    """

    def __init__(
        self,
        name: str,
        expr: str,
        step: timedelta,
        horizons: Sequence[timedelta],
        *,
        limits: exhaustion.Limits | None = None,
        reader: ports.SeriesReader,
        writer: ports.ScoreWriter,
        clock: Callable[[], float],
    ) -> None:
        self.name, self._expr = name, expr
        self.every = max(step, WRITE_AT_LEAST)
        self._horizons = tuple(horizons)
        self._names = forecasting.names(horizons)
        self._reader, self._writer, self._clock = reader, writer, clock
        self._table = frames.SeriesTable()
        self._made = {each: _Made(forecasting.grid_for(each, step)) for each in horizons}
        self._left = None
        if limits is not None:
            self._left = _Left(exhaustion.grid_for(limits.within, step), limits)
        self._written_ms = 0

    def turn(self) -> int:
        """Write what is foreseen for each horizon; the number of samples written.

        Raises UpstreamError; the next turn tries again.
        """
        every_ms = _ms(self.every)
        now_ms = int(self._clock() * 1000) // every_ms * every_ms
        if now_ms <= self._written_ms:
            return 0
        for horizon in self._horizons:
            self._make(horizon, now_ms)
        if self._left is not None:
            self._look_for_limits(self._left, now_ms)
        values = np.full((len(self._table), len(self._horizons)), np.nan)
        for number, horizon in enumerate(self._horizons):
            path = self._made[horizon].path
            if path is not None:
                values[: len(path.values), number] = path.at(now_ms + _ms(horizon))
        seconds = np.full(len(self._table), np.nan)
        if self._left is not None:
            gone_s = (now_ms - self._left.last_ms) / 1000
            seconds[: len(self._left.seconds)] = np.maximum(self._left.seconds - gone_s, 0.0)
        self._write(values, seconds, now_ms)
        self._written_ms = now_ms
        return int(np.isfinite(values).sum() + np.isfinite(seconds).sum())

    def succeed(self, before: Forecaster) -> None:
        """Write nothing for times that another forecaster of this query has written for."""
        self._written_ms = max(self._written_ms, before._written_ms)

    def end(self) -> None:
        """End all that was written."""
        nothing = np.full((len(self._table), len(self._horizons)), np.nan)
        self._write(nothing, np.full(len(self._table), np.nan), self._written_ms + 1)

    def _write(self, values: frames.Floats, seconds: frames.Floats, time_ms: int) -> None:
        if self._horizons:
            self._writer.write_forecasts(
                self.name, self._names, self._table, values, time_ms=time_ms
            )
        if self._left is not None:
            self._writer.write_exhaustion(self.name, self._table, seconds, time_ms=time_ms)

    def _look_for_limits(self, left: _Left, now_ms: int) -> None:
        """Read the past and see which limits it leads to, unless that was done at this step."""
        frame = self._read(left.grid, now_ms, after_ms=left.last_ms)
        if frame is None:
            return
        left.last_ms = int(frame.times_ms[-1])
        left.seconds = exhaustion.seconds_left(frame, left.limits)
        left.seconds[np.isnan(frame.values[-1])] = np.nan

    def _read(self, grid: forecasting.Grid, now_ms: int, *, after_ms: int) -> frames.Frame | None:
        """The past up to the newest step of a grid; None if that is not after this time."""
        step_ms = _ms(grid.step)
        last_ms = now_ms // step_ms * step_ms
        if after_ms >= last_ms:
            return None
        return self._reader.read_range(
            self._expr,
            start_ms=last_ms - _ms(grid.history),
            end_ms=last_ms,
            step_ms=step_ms,
            table=self._table,
        )

    def _make(self, horizon: timedelta, now_ms: int) -> None:
        """Read the past and foresee from it, unless that has been done at this step of the grid."""
        made, began = self._made[horizon], self._clock()
        frame = self._read(
            made.grid, now_ms, after_ms=0 if made.path is None else made.path.last_ms
        )
        if frame is None:
            return
        path = forecasting.foresee(frame, ahead=made.grid.ahead, more=MORE_STEPS)
        path.values[np.isnan(frame.values[-1])] = np.nan  # what has ended has no future
        made.path = path
        logger.debug(
            "forecast made",
            extra={
                "query": self.name,
                "horizon": forecasting.horizon_name(horizon),
                "series": len(path.values),
                "seconds": round(self._clock() - began, 3),
            },
        )


class Forecasts:
    """Turns the forecasters of all queries, one after the other; one that fails stops no other.

    current  those that are wanted now
    """

    def __init__(
        self, current: Callable[[], Sequence[Forecaster]], *, meters: telemetry.Telemetry
    ) -> None:
        self._current, self._meters = current, meters
        self._known: tuple[Forecaster, ...] = ()
        self._failed = meters.loop_dropped.labels("forecasts", "failed")

    def turn(self) -> loops.Turn:
        """Write what is due. Raises the last UpstreamError if none of them worked."""
        current = tuple(self._current())
        for gone in self._known:
            if gone not in current:
                gone.end()
                for heir in current:
                    if heir.name == gone.name:
                        heir.succeed(gone)
        self._known = current
        written, worked = 0, not current
        last_error: errors.UpstreamError | None = None
        for forecaster in current:
            try:
                written += forecaster.turn()
                worked = True
            except errors.UpstreamError as error:
                last_error = error
            except Exception:  # a query in a turn must not sink the rest
                logger.exception("forecast failed", extra={"query": forecaster.name})
                self._failed.inc()
        if last_error is not None and not worked:
            raise last_error
        return loops.Turn(written, written)


def _ms(span: timedelta) -> int:
    return round(span.total_seconds() * 1000)
