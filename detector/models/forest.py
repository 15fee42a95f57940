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

from detector import frames
from detector.models import estimators, fitted
from detector.models.kernels import layout, trees

_EULER = 0.5772156649015329

NONE = layout.Forest(
    feature=np.empty(0, np.int32),
    threshold=np.empty(0),
    left=np.empty(0, np.int32),
    depth=np.empty(0),
    roots=np.empty(0, np.int32),
    scale=1.0,
)
"""No forest: every row scores the same."""


def learn(path: str, rows: fitted.Rows, parameters: fitted.Parameters, seed: int) -> fitted.Score:
    """The isolation scores of a forest fitted on rows; some 0.2 s."""
    trained = estimators.make(path, {"n_jobs": 1, **parameters}, seed)
    trained.fit(rows)
    return Walk(_flattened(trained))


@dataclass(frozen=True, slots=True)
class Walk:
    """The scores that a forest gives."""

    forest: layout.Forest

    def __call__(self, rows: fitted.Rows) -> frames.Floats:
        """float64[N] in (0, 1), higher = more isolated; each row on its own."""
        return isolation_scores(self.forest, rows)


def isolation_scores(forest: layout.Forest, rows: fitted.Rows) -> frames.Floats:
    """float64[N] in (0, 1), higher = more isolated; each row on its own."""
    scores = np.empty(len(rows))
    trees.isolations(forest, np.ascontiguousarray(rows), scores)
    return scores


def _flattened(trained: Any) -> layout.Forest:
    """The trees of a fitted PyOD IForest, end to end, children side by side."""
    parts: list[tuple[Any, ...]] = []
    roots, offset = [], 0
    grown, used = trained.detector_.estimators_, trained.detector_.estimators_features_
    for estimator, features in zip(grown, used, strict=True):
        parts.append(_flattened_tree(estimator.tree_, features, offset))
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


def _flattened_tree(tree: Any, features: Any, offset: int) -> tuple[Any, ...]:
    """Columns of one tree, breadth first, so that siblings stand side by side.

    features  of the rows, that the tree counts from 0
    """
    order, depths, left_at = [0], [0], {}
    for at, depth in zip(order, depths, strict=False):
        if tree.children_left[at] >= 0:
            left_at[at] = offset + len(order)
            order += [tree.children_left[at], tree.children_right[at]]
            depths += [depth + 1, depth + 1]
    is_leaf = tree.children_left[order] < 0
    leaf_depth = np.array(depths) + average_path(tree.n_node_samples[order])
    return (
        np.where(is_leaf, -1, features[np.maximum(tree.feature[order], 0)]),
        tree.threshold[order],
        np.array([left_at.get(at, 0) for at in order]),
        np.where(is_leaf, leaf_depth, 0.0),
    )


def average_path(samples: npt.NDArray[np.int64]) -> frames.Floats:
    """Mean path length of an unsuccessful search among n samples (Liu, Ting, Zhou 2008, eq. 1)."""
    n = np.maximum(samples.astype(np.float64), 2.0)
    path = 2.0 * (np.log(np.maximum(n - 1.0, 1.0)) + _EULER) - 2.0 * (n - 1.0) / n
    return np.where(samples <= 1, 0.0, np.where(samples == 2, 1.0, path))
