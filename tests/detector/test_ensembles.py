from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from detector import checks, config, ensembles, errors
from detector.models import catalogue, fitted, smoothing


def settings(query: Mapping[str, object], *, ml: bool = True) -> config.Settings:
    return config.Settings.model_validate(
        {
            "ml_detection_enabled": ml,
            "presets": (),
            "queries": ({"name": "q", "expr": "up", **query},),
        }
    )


def ensemble(query: Mapping[str, object], *, ml: bool = True) -> ensembles.Ensemble:
    given = settings(query, ml=ml)
    return ensembles.ensemble_of(given, given.queries[0])


def wrong(given: config.Settings) -> list[str]:
    return [str(each) for each in checks.offline(given) if each.verdict is checks.Verdict.WRONG]


def test_by_default_the_table_says_what_stands_beside_the_streaming_members() -> None:
    assert ensemble({}) == ensembles.Ensemble(catalogue.defaults(), streaming=True)


@pytest.mark.parametrize("query", [{"model": "streaming"}, {"model": "streaming", "models": []}])
def test_streaming_takes_no_fitted_model(query: dict[str, object]) -> None:
    assert ensemble(query) == ensembles.Ensemble((), streaming=True)


def test_with_ml_off_the_streaming_members_score_alone_whatever_is_asked() -> None:
    assert ensemble({"model": "knn"}, ml=False) == ensembles.Ensemble((), streaming=True)
    assert ensemble({"models": [{"name": "knn"}]}, ml=False).models == ()
    (_, note, *_) = checks.offline(settings({"model": "knn"}, ml=False))
    assert note.verdict is checks.Verdict.NOTE
    assert str(note) == "query q: its fitted models are not used: ML_DETECTION_ENABLED is false"


def test_a_single_model_speaks_alone_with_what_models_says_of_it() -> None:
    plain = ensemble({"model": "knn"})
    assert plain == ensembles.Ensemble((catalogue.model_of("knn"),), streaming=False)
    told = ensemble({"model": "knn", "models": [{"name": "knn", "parameters": {"n_neighbors": 3}}]})
    assert [model.parameters for model in told.models] == [{"n_neighbors": 3}]


def test_models_are_taken_by_name_or_class_with_parameters_and_weight() -> None:
    given = [
        {"name": "hbos", "weight": 2},
        {"class": "pyod.models.kde.KDE", "parameters": {"bandwidth": 0.5}},
        {"name": "mine", "class": "tests.detector.models.test_catalogue:Mine"},
    ]
    chosen = ensemble({"models": given})
    assert chosen.streaming
    fits = [each for each in chosen.models if isinstance(each, fitted.Model)]
    assert [(m.name, m.path, m.weight) for m in fits] == [
        ("hbos", "pyod.models.hbos.HBOS", 2.0),
        ("kde", "pyod.models.kde.KDE", catalogue.WEIGHT),
        ("mine", "tests.detector.models.test_catalogue:Mine", catalogue.WEIGHT),
    ]
    assert fits[1].parameters == {"bandwidth": 0.5}


def test_a_model_says_what_it_has_a_fit_for() -> None:
    given = {"models": [{"name": "pca", "per": "group"}, {"name": "knn"}], "group_by": ["instance"]}
    fits = [each for each in ensemble(given).models if isinstance(each, fitted.Model)]
    assert [each.per for each in fits] == [fitted.Per.GROUP, fitted.Per.QUERY]


def test_seasonal_forecasts_need_no_ml_detection() -> None:
    naive = smoothing.smoother_of("seasonal_naive", parameters={})
    alone = {"model": "seasonal_naive", "models": [{"name": "knn"}]}
    assert ensemble(alone, ml=False) == ensembles.Ensemble((naive,), streaming=False)
    both = {"models": [{"name": "knn"}, {"name": "seasonal_naive"}]}
    assert ensemble(both, ml=False) == ensembles.Ensemble((naive,), streaming=True)
    assert [each.name for each in ensemble(both).models] == ["knn", "seasonal_naive"]
    winters = {"name": "holt_winters", "parameters": {"level": 0.5}, "weight": 1}
    (told,) = ensemble({"models": [winters]}, ml=False).models
    assert told == smoothing.Smoother("holt_winters", 1.0, {**smoothing.RATES, "level": 0.5})
    notes = [str(each) for each in checks.offline(settings(both, ml=False))]
    assert "query q: its fitted models are not used: ML_DETECTION_ENABLED is false" in notes
    assert not [
        note for note in checks.offline(settings(alone, ml=False)) if "not used" in str(note)
    ]


@pytest.mark.parametrize(
    ("query", "reason"),
    [
        (
            {"models": [{"name": "holt_winters", "parameters": {"beta": 1}}]},
            "models.0: holt_winters: parameters: 'beta': known are: level, trend, season, damping",
        ),
        (
            {"models": [{"name": "holt_winters", "parameters": {"level": 2}}]},
            "query q: models.0: holt_winters: parameters: level: 2: above 0 to 1 is allowed",
        ),
        (
            {
                "model": "seasonal_naive",
                "models": [{"name": "seasonal_naive", "parameters": {"a": 1}}],
            },
            "query q: model: seasonal_naive: seasonal_naive: parameters: 'a': known are: none",
        ),
        (
            {"models": [{"name": "holt_winters", "per": "series"}]},
            "query q: models.0: per: series: holt_winters is not fitted, it follows each series",
        ),
        (
            {"models": [{"name": "group", "class": "pyod.models.kde.KDE"}]},
            "'group': a name may be used once, and not residual, near, wide, gaussian, group",
        ),
        (
            {"models": [{"name": "pca", "per": "group"}]},
            "query q: models.0: per: group: group_by is needed, which says what a group is",
        ),
        ({"model": "nonsense"}, "query q: model: nonsense: PyOD has no detector of this name"),
        (
            {"models": [{"name": "knn"}, {"class": "os.path"}]},
            "models.1: os.path: a class",
        ),
        ({"models": [{"name": "knn"}, {"name": "knn"}]}, "'knn': a name may be used once"),
        ({"models": [{"name": "near", "class": "a:B"}]}, "query q: models.0: a:B: No module"),
        (
            {"models": [{"name": "near", "class": "pyod.models.kde.KDE"}]},
            "'near': a name may be used once, and not residual, near",
        ),
    ],
)
def test_a_wrong_model_is_one_line(query: dict[str, object], reason: str) -> None:
    with pytest.raises(errors.ConfigError) as caught:
        ensemble(query)
    assert reason in str(caught.value)
    assert "\n" not in str(caught.value)
    assert wrong(settings(query)) == [str(caught.value)]


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("{parameters: {}}", "a name (knn) or a class (module:Class) is needed"),
        ("{name: KNN!}", "queries.0.models.0.name: 'KNN!'"),
        ("{name: knn, weight: 0}", "queries.0.models.0.weight: 0"),
        ("{name: knn, height: 1}", "queries.0.models.0.height: 1: unknown key"),
    ],
)
def test_a_model_that_is_written_wrong_is_one_line(text: str, line: str, tmp_path: Path) -> None:
    file = tmp_path / "mda.yml"
    file.write_text(f"queries: [{{name: q, expr: up, models: [{text}]}}]\n")
    with pytest.raises(errors.ConfigError) as caught:
        config.load(file, {})
    assert line in str(caught.value)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", ["ecod", "copod"])
def test_what_breaks_the_contract_is_refused_before_anything_runs(name: str) -> None:
    given = settings({"models": [{"name": name}]})
    expected = f"query q: model {name}: one row: a row's score depends on its batch"
    assert wrong(given) == [expected]
    with pytest.raises(errors.ConfigError, match=expected):
        checks.raise_first_wrong(checks.offline(given))


def test_ones_own_class_that_holds_the_contract_is_taken() -> None:
    path = "tests.detector.models.test_catalogue:Mine"
    mine = {"class": path, "parameters": {"factor": 2.0}}
    assert wrong(settings({"models": [mine]})) == []
