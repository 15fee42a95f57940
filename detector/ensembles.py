"""What scores each query: the streaming members, fitted models, or both, as the settings say."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from detector import config, errors
from detector.models import catalogue, checks, fitted
from detector.models.kernels import layout

ENSEMBLE, STREAMING = "ensemble", "streaming"


@dataclass(frozen=True, slots=True)
class Ensemble:
    """The fitted models of a query, and whether the streaming members speak beside them."""

    models: tuple[fitted.Model, ...]
    streaming: bool


def ensemble_of(settings: config.Settings, query: config.Query) -> Ensemble:
    """What scores this query; the streaming members alone while ML detection is off.

    Raises ConfigError for a model that does not exist, or a name that is used twice.
    """
    if query.model == STREAMING or not settings.ml_detection_enabled:
        return Ensemble((), streaming=True)
    if query.model != ENSEMBLE:
        chosen = [each for each in query.models if _name(each) == query.model]
        only = chosen[0] if chosen else config.Model(name=query.model)
        return Ensemble((_model(query, f"model: {query.model}", only),), streaming=False)
    if not query.models:
        return Ensemble(catalogue.defaults(), streaming=True)
    models = tuple(
        _model(query, f"models.{number}", each) for number, each in enumerate(query.models)
    )
    return Ensemble(_without_twins(query, models), streaming=True)


def problems_of(ensemble: Ensemble) -> Iterator[str]:
    """Why models of the ensemble that the table does not have as they are break the contract."""
    for model in ensemble.models:
        if not catalogue.is_as_in_table(model):
            problem = _problem_of(model)
            if problem:
                yield f"model {model.name}: {problem}"


def _problem_of(model: fitted.Model) -> str:
    return checks.problem_of(lambda rows, seed: model.fit(rows, seed=seed))


def _name(given: config.Model) -> str:
    return given.name or given.class_path.replace(":", ".").rpartition(".")[2].lower()


def _model(query: config.Query, key: str, given: config.Model) -> fitted.Model:
    try:
        return catalogue.model_of(
            _name(given),
            path=given.class_path or None,
            parameters=given.parameters,
            weight=given.weight,
        )
    except ValueError as error:
        known = ", ".join(catalogue.CATALOGUE)
        raise errors.ConfigError(
            f"query {query.name}: {key}: {error}; these are known: {known}"
        ) from error


def _without_twins(
    query: config.Query, models: tuple[fitted.Model, ...]
) -> tuple[fitted.Model, ...]:
    taken = set(layout.STREAMING_NAMES)
    for model in models:
        if model.name in taken:
            raise errors.ConfigError(
                f"query {query.name}: models: {model.name!r}: a name may be used once, and not "
                f"{', '.join(layout.STREAMING_NAMES)}: give another name beside class"
            )
        taken.add(model.name)
    return models
