"""PyOD's Isolation Forest, pooled over the series of a query, as flat arrays that we walk.

Fitted on the same normalised residuals that the streaming member looks at: on raw values a forest
is among the weakest detectors there are. The walk gives what PyOD's own scoring gives, row by row,
without scikit-learn's cost for each call.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from detector import errors, frames
from detector.models import surprise
from detector.models.kernels import layout, trees

TREES = 100
ROWS_PER_TREE = 256
LEAST_ROWS = 500
_EULER = 0.5772156649015329
QUANTILES = (0.5, 0.9, 0.95, 0.98, 0.99)

NONE = layout.Forest(
    feature=np.empty(0, np.int32),
    threshold=np.empty(0),
    left=np.empty(0, np.int32),
    depth=np.empty(0),
    roots=np.empty(0, np.int32),
    scale=1.0,
)
"""No forest: the streaming member scores alone."""


@dataclass(frozen=True, slots=True)
class FittedForest:
    """A fit and what it stands on: enough to fit it again from the same rows.

    quantiles        isolation scores of the fitted rows at QUANTILES
    window_start_ms, window_end_ms
                     first and last instant of which rows may stem
    """

    forest: layout.Forest
    curve: surprise.Curve
    model: str
    parameters: dict[str, float | int | str]
    seed: int
    rows: int
    features: int
    quantiles: tuple[float, ...]
    window_start_ms: int
    window_end_ms: int

    def surprises(self, rows: npt.NDArray[np.float32]) -> frames.Floats:
        """float64[N] >= 0: -log of the share of fitted rows more isolated than each row."""
        return self.curve.of(isolation_scores(self.forest, rows))


def fit_forest(
    rows: npt.NDArray[np.float32], *, seed: int, window_start_ms: int = 0, window_end_ms: int = 0
) -> FittedForest:
    """A forest fitted on float32[N, F] feature rows, all finite; the same seed gives the same one.

    Slow (some 0.2 s, and the import of PyOD the first time): meant for a background thread.

    Raises NotEnoughData for fewer than LEAST_ROWS rows.
    """
    if len(rows) < LEAST_ROWS:
        raise errors.NotEnoughData(
            f"a forest needs {LEAST_ROWS} rows of features, {len(rows)} are here"
        )
    from pyod.models.iforest import IForest

    trained = IForest(n_estimators=TREES, max_samples=ROWS_PER_TREE, random_state=seed, n_jobs=1)
    trained.fit(rows)
    bare = _flattened(trained)
    scores = isolation_scores(bare, rows)
    return FittedForest(
        forest=bare,
        curve=surprise.curve_of(scores),
        model="pyod.iforest",
        parameters={"n_estimators": TREES, "max_samples": ROWS_PER_TREE},
        seed=seed,
        rows=len(rows),
        features=rows.shape[1],
        quantiles=tuple(float(q) for q in np.quantile(scores, QUANTILES)),
        window_start_ms=window_start_ms,
        window_end_ms=window_end_ms,
    )


def isolation_scores(forest: layout.Forest, rows: npt.NDArray[np.float32]) -> frames.Floats:
    """float64[N] in (0, 1), higher = more isolated; each row on its own."""
    scores = np.empty(len(rows))
    trees.isolations(forest, np.ascontiguousarray(rows), scores)
    return scores


def _flattened(trained: Any) -> layout.Forest:
    """The trees of a fitted PyOD IForest, end to end, children side by side."""
    parts: list[tuple[Any, ...]] = []
    roots, offset = [], 0
    for estimator in trained.detector_.estimators_:
        parts.append(_flattened_tree(estimator.tree_, offset))
        roots.append(offset)
        offset += len(parts[-1][0])
    feature, threshold, left, depth = (
        np.concatenate(column) for column in zip(*parts, strict=True)
    )
    expected = float(average_path(np.array([trained.detector_.max_samples_]))[0])
    return NONE._replace(
        feature=feature.astype(np.int32),
        threshold=threshold,
        left=left.astype(np.int32),
        depth=depth,
        roots=np.array(roots, np.int32),
        scale=expected * len(roots),
    )


def _flattened_tree(tree: Any, offset: int) -> tuple[Any, ...]:
    """Columns of one tree, breadth first, so that siblings stand side by side."""
    order, depths, left_at = [0], [0], {}
    for at, depth in zip(order, depths, strict=False):
        if tree.children_left[at] >= 0:
            left_at[at] = offset + len(order)
            order += [tree.children_left[at], tree.children_right[at]]
            depths += [depth + 1, depth + 1]
    is_leaf = tree.children_left[order] < 0
    leaf_depth = np.array(depths) + average_path(tree.n_node_samples[order])
    return (
        np.where(is_leaf, -1, tree.feature[order]),
        tree.threshold[order],
        np.array([left_at.get(at, 0) for at in order]),
        np.where(is_leaf, leaf_depth, 0.0),
    )


def average_path(samples: npt.NDArray[np.int64]) -> frames.Floats:
    """Mean path length of an unsuccessful search among n samples (Liu, Ting, Zhou 2008, eq. 1)."""
    n = np.maximum(samples.astype(np.float64), 2.0)
    path = 2.0 * (np.log(np.maximum(n - 1.0, 1.0)) + _EULER) - 2.0 * (n - 1.0) / n
    return np.where(samples <= 1, 0.0, np.where(samples == 2, 1.0, path))
