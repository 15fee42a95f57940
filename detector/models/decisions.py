"""Decision records: what the score of one sample was made from, so that it can be made again.

A record holds the sample, the series' state from before it, what fitted models said of it, and the
scorer's parameters: numbers and their shapes, nothing that is run when it is read.
"""

from __future__ import annotations

import json
import math
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from detector import frames
from detector.models import arrays, openings
from detector.models.kernels import compiled, layout, smoothers, steps

FORMAT = 1
MAGIC = b"MDA1"
LARGEST_BYTES = 1_000_000
"""Of a record unpacked; one takes some 10 kB."""
ENGINE = compiled.STAMP.hex()[:12]
"""Names the arithmetic: a record of another engine may come out otherwise."""


@dataclass(frozen=True, slots=True)
class Decision:
    """What a score was made from.

    wall_ms     what the clocks of the query's zone showed
    value       of the sample, NaN for a missing one
    per_step    alarms that the budget allows a step, siblings counted in
    state       of the series, one row, as it was before the sample
    surprises   float64[models], what the fitted models said, NaN of those not fitted yet
    others      mean rise of the others of its group, NaN for none
    """

    engine: str
    time_ms: int
    wall_ms: int
    value: float
    per_step: float
    params: layout.Params
    state: layout.State
    surprises: frames.Floats
    others: float


@dataclass(frozen=True, slots=True)
class Outcome:
    """What comes of it; all but the kind is NaN of a missing sample.

    reason  in words, what makes it an anomaly
    rises   of the members that were ready, by their place
    """

    score: float
    expected: float
    lower: float
    upper: float
    kind: int
    reason: str
    rises: tuple[float, ...]


def replay(decision: Decision) -> Outcome:
    """Score the sample again, by the code that scores live; the decision is left as it is."""
    state = layout.State(*(part.copy() for part in _parts(decision.state)))
    params, times_ms = decision.params, np.array([decision.time_ms], np.int64)
    values = np.array([[decision.value]])
    walls = np.array([decision.wall_ms], np.int64)
    trace = arrays.empty_trace(
        1,
        1,
        len(params.weights),
        forecasts=len(params.smoothers),
        features=bool(len(decision.surprises)),
    )
    out = arrays.empty_out((1, 1), 0)
    steps.look_steps(
        params, decision.per_step, state, 0, values, times_ms, walls, np.zeros((1, 1), np.bool_),
        0, 0, trace, arrays.scratch(), arrays.empty_kept(0, state),
    )  # fmt: skip
    if params.group >= 0:
        trace.rise[0, 0, params.group] = decision.others
    steps.judge_steps(
        params, decision.per_step, state, arrays.empty_sample(0), 0, values, times_ms, 0, 0, trace,
        decision.surprises.reshape(-1, 1, 1), out,
    )  # fmt: skip
    score, kind = float(out.score[0, 0]), int(out.kind[0, 0])
    return Outcome(
        score=score,
        expected=float(out.expected[0, 0]),
        lower=float(out.lower[0, 0]),
        upper=float(out.upper[0, 0]),
        kind=kind,
        reason=openings.reason(
            params,
            decision.per_step,
            state.kinds[0],
            score=score,
            kind=frames.Kind(kind),
            time_ms=decision.time_ms,
        ),
        rises=tuple(trace.rise[0, 0].tolist()),
    )


def bytes_of(decision: Decision) -> bytes:
    """The record: some 5 to 8 kB."""
    parts = {**decision.state._asdict(), "surprises": decision.surprises}
    params = decision.params._asdict()
    header = {
        "format": FORMAT,
        "engine": decision.engine,
        "time_ms": decision.time_ms,
        "wall_ms": decision.wall_ms,
        "value": decision.value,
        "per_step": decision.per_step,
        "others": decision.others,
        "params": {
            name: each.tolist() if isinstance(each, np.ndarray) else each
            for name, each in params.items()
            if name != "gates"
        },
        "gates": decision.params.gates._asdict(),
        "parts": {name: [part.dtype.str, part.shape] for name, part in parts.items()},
    }
    text = json.dumps(header).encode()
    body = b"".join(part.tobytes() for part in parts.values())
    return MAGIC + zlib.compress(len(text).to_bytes(4, "little") + text + body, 6)


def parse(record: bytes) -> Decision:
    """The decision of a record. Raises ValueError for what is none, or of another format."""
    if not record.startswith(MAGIC):
        raise ValueError("not a decision record")
    try:
        unpacked = zlib.decompressobj().decompress(record[len(MAGIC) :], LARGEST_BYTES)
        length = int.from_bytes(unpacked[:4], "little")
        header = json.loads(unpacked[4 : 4 + length])
        written = header["format"]
        found = _decision(header, unpacked[4 + length :]) if written == FORMAT else None
    except (zlib.error, KeyError, TypeError, ValueError) as error:
        raise ValueError(f"a broken decision record: {error}") from error
    if found is None:
        raise ValueError(f"a decision record of format {written}: {FORMAT} can be read")
    return found


def _decision(header: dict[str, Any], body: bytes) -> Decision:
    found, place = {}, 0
    for name, (kind, shape) in header["parts"].items():
        dtype, count = np.dtype(kind), math.prod(shape)
        found[name] = np.frombuffer(body, dtype, count, place).reshape(shape).copy()
        place += count * dtype.itemsize
    surprises = found.pop("surprises")
    given: dict[str, Any] = header["params"]
    params: dict[str, Any] = {
        name: np.array(each, np.int64 if name == "warm_points" else np.float64)
        if isinstance(each, list)
        else each
        for name, each in given.items()
    }
    params["smoothers"] = params["smoothers"].reshape(-1, smoothers.SETTINGS)
    state = layout.State(**found)
    like = arrays.empty_state(1, state.profile.shape[1], params["weights"], params["smoothers"])
    if [part.shape for part in _parts(state)] != [part.shape for part in _parts(like)]:
        raise ValueError("its state has other parts: another version of the detector wrote it")
    return Decision(
        engine=header["engine"],
        time_ms=header["time_ms"],
        wall_ms=header["wall_ms"],
        value=header["value"],
        per_step=header["per_step"],
        params=layout.Params(**params, gates=layout.Gates(**header["gates"])),
        state=state,
        surprises=surprises,
        others=header["others"],
    )


def _parts(state: layout.State) -> Iterator[Any]:
    parts: tuple[Any, ...] = state
    yield from parts


class Decisions:
    """Those of the frame that was scored last, as far as they were kept."""

    def __init__(self) -> None:
        self._found: dict[tuple[int, int], Decision] = {}

    def clear(self) -> None:
        """Forget all: another frame comes."""
        self._found = {}

    def keep(
        self,
        kept: layout.Kept,
        *,
        scores: frames.Floats,
        kinds: frames.Bytes,
        values: frames.Floats,
        surprises: frames.Floats,
        others: frames.Floats,
        rows: tuple[int, int],
        step: int,
        time_ms: int,
        wall_ms: int,
        per_step: float,
        params: layout.Params,
    ) -> None:
        """Take over those of a block whose score is above 1, or that open an anomaly; when it is
        the last that kept has samples of, start kept anew.

        scores, values     float64[rows of the frame], at this step; kinds int8 likewise
        surprises, others  float64[models, rows of the block], float64[rows of the block]
        rows               of the frame that are the block's: first, end
        """
        first, end = rows
        held = kept.rows[: kept.size[0]].tolist()
        for place, row in enumerate(held):
            opens = kinds[row] != 0 and kept.states.counts[place, layout.OPEN] == 0
            if first <= row < end and (opens or scores[row] > 1.0):
                self._found[row, step] = Decision(
                    engine=ENGINE,
                    time_ms=time_ms,
                    wall_ms=wall_ms,
                    value=float(values[row]),
                    per_step=per_step,
                    params=params,
                    state=layout.State(
                        *(part[place : place + 1].copy() for part in _parts(kept.states))
                    ),
                    surprises=surprises[:, row - first].copy(),
                    others=float(others[row - first]),
                )
        if not held or held[-1] < end:
            kept.size[0] = 0

    def take(self, other: Decisions) -> None:
        """Add what another one kept of the same frame."""
        self._found |= other._found

    def record(self, row: int, step: int) -> bytes:
        """Of the score of this row and step, nothing if it was not kept."""
        decision = self._found.get((row, step))
        return b"" if decision is None else bytes_of(decision)
