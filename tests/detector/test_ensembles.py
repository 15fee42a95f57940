from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from detector import checks, config, ensembles, errors
from detector.models import catalogue


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
    assert str(note) == "query q: its models are not used: ML_DETECTION_ENABLED is false"


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
    assert [(m.name, m.path, m.weight) for m in chosen.models] == [
        ("hbos", "pyod.models.hbos.HBOS", 2.0),
        ("kde", "pyod.models.kde.KDE", catalogue.WEIGHT),
        ("mine", "tests.detector.models.test_catalogue:Mine", catalogue.WEIGHT),
    ]
    assert chosen.models[1].parameters == {"bandwidth": 0.5}


@pytest.mark.parametrize(
    ("query", "reason"),
    [
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
