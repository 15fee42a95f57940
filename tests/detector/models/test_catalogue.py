from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from detector.models import catalogue, checks, fitted

MINE = f"{__name__}:Mine"


class Mine:
    """A user's own detector: how far a row is from the mean of all, times a factor."""

    def __init__(self, factor: float = 1.0, seed: int | None = None) -> None:
        self.factor, self.seed = factor, seed

    def fit(self, rows: fitted.Rows) -> None:
        self.mean = rows.mean(axis=0)

    def decision_function(self, rows: fitted.Rows) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
        return np.asarray(self.factor * np.abs(rows - self.mean).sum(axis=1))


class Shapeless(Mine):
    def decision_function(self, rows: fitted.Rows) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
        return np.zeros(3)


class Unfit:
    pass


def rows_of(count: int) -> checks.Rows:
    return np.random.default_rng(1).normal(size=(count, 10)).astype(np.float32)


def problem_of(model: fitted.Model) -> str:
    return checks.problem_of(lambda rows, seed: model.fit(rows, seed=seed))


def test_ones_own_class_passes_and_is_fitted_with_its_parameters() -> None:
    model = catalogue.model_of("mine", path=MINE, parameters={"factor": 2.0}, weight=3.0)
    assert problem_of(model) == ""
    rows = rows_of(600)
    fit = model.fit(rows, seed=4, window_start_ms=1, window_end_ms=2)
    expected = 2 * np.abs(rows - rows.astype(np.float64).mean(axis=0)).sum(axis=1)
    assert np.allclose(fit.score(rows), expected, rtol=1e-6)
    assert (fit.name, fit.path, fit.parameters) == ("mine", MINE, {"factor": 2.0})
    assert (fit.seed, fit.rows, fit.features) == (4, 600, 10)
    assert fit.quantiles == tuple(sorted(fit.quantiles))
    assert not catalogue.is_as_in_table(model)


def test_a_class_that_breaks_the_contract_is_refused_with_the_reason() -> None:
    model = catalogue.model_of("odd", path=f"{__name__}:Shapeless")
    assert problem_of(model) == "repeated seed: decision_function gave (3,) for 600 rows"


def test_a_parameter_that_the_class_does_not_take_is_refused_with_the_reason() -> None:
    model = catalogue.model_of("hbos", parameters={"bins": 5})
    assert "unexpected keyword argument 'bins'" in problem_of(model)


@pytest.mark.parametrize(
    ("name", "path", "reason"),
    [
        ("nonsense", None, "PyOD has no detector of this name"),
        ("mine", f"{__name__}:Nothing", "has no attribute 'Nothing'"),
        ("mine", "nowhere:Class", "No module named 'nowhere'"),
        ("mine", f"{__name__}:Unfit", "a class with fit and decision_function is needed"),
        ("mine", f"{__name__}:rows_of", "a class is needed"),
        ("mine", "Class", "Empty module name"),
        ("base", None, "has no class of this name"),
    ],
)
def test_what_is_no_model_is_named(name: str, path: str | None, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        catalogue.model_of(name, path=path)


def test_any_detector_of_pyod_goes_by_its_short_name() -> None:
    model = catalogue.model_of("kde", parameters={"bandwidth": 2.0})
    assert model.path == "pyod.models.kde.KDE"
    assert model.weight == catalogue.WEIGHT
    assert problem_of(model) == ""


def test_a_model_of_the_table_is_as_in_the_table_until_its_parameters_change() -> None:
    assert all(catalogue.is_as_in_table(catalogue.model_of(name)) for name in catalogue.DEFAULT)
    assert not catalogue.is_as_in_table(catalogue.model_of("knn", parameters={"n_neighbors": 3}))


def test_another_seed_grows_another_forest() -> None:
    model = catalogue.model_of("iforest")
    one, other = (model.fit(rows_of(600), seed=seed).score(rows_of(600)) for seed in (3, 4))
    assert not np.array_equal(one, other)


def test_a_score_that_is_not_finite_is_no_surprise() -> None:
    class Broken(Mine):
        def decision_function(
            self, rows: fitted.Rows
        ) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
            raw = super().decision_function(rows)
            return np.where(rows[:, 0] > 100, np.nan, raw)

    model = catalogue.model_of("mine", path=MINE)
    fit = model.fit(rows_of(600), seed=0)
    broken = Broken()
    broken.fit(rows_of(600))
    wild = np.full((1, 10), 101, np.float32)
    blind = dataclasses.replace(fit, score=broken.decision_function)
    assert blind.surprises(wild).tolist() == [0.0]


def test_rows_that_do_not_score_finite_fail_the_fit() -> None:
    rows = rows_of(600)
    rows[3, 3] = np.nan
    with pytest.raises(ValueError, match="a score of a fitted row is not finite"):
        catalogue.model_of("mine", path=MINE).fit(rows, seed=0)
