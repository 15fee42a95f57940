"""What scores each query: the streaming members, fitted models, or both, as the settings say."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from detector import config, errors
from detector.models import catalogue, checks, fitted, groups, scoring, smoothing
from detector.models.kernels import layout

ENSEMBLE, STREAMING = "ensemble", "streaming"


@dataclass(frozen=True, slots=True)
class Ensemble:
    """The models of a query, and whether the streaming members speak beside them."""

    models: tuple[scoring.Model, ...]
    streaming: bool


def ensemble_of(settings: config.Settings, query: config.Query) -> Ensemble:
    """What scores this query; no fitted model while ML detection is off.

    Raises ConfigError for a model that does not exist, or a name that is used twice.
    """
    fits = settings.ml_detection_enabled
    if query.model not in (STREAMING, ENSEMBLE):
        only = _only(query)
        if fits or not _is_fitted(only):
            return Ensemble((_model(query, f"model: {query.model}", only),), streaming=False)
    if query.model != ENSEMBLE:
        return Ensemble((), streaming=True)
    if not query.models:
        return Ensemble(catalogue.defaults() if fits else (), streaming=True)
    models = tuple(
        _model(query, f"models.{number}", each)
        for number, each in enumerate(query.models)
        if fits or not _is_fitted(each)
    )
    return Ensemble(_without_twins(query, models), streaming=True)


def asks_for_fits(query: config.Query) -> bool:
    """Whether the query names models that need ML detection."""
    if query.model == STREAMING:
        return False
    asked = query.models if query.model == ENSEMBLE else (_only(query),)
    return any(_is_fitted(each) for each in asked)


def _only(query: config.Query) -> config.Model:
    """The one that speaks alone, with what models says of it."""
    chosen = [each for each in query.models if _name(each) == query.model]
    return chosen[0] if chosen else config.Model(name=query.model)


def _is_fitted(given: config.Model) -> bool:
    return bool(given.class_path) or _name(given) not in smoothing.NAMES


def problems_of(ensemble: Ensemble) -> Iterator[str]:
    """Why models of the ensemble that the table does not have as they are break the contract."""
    for model in ensemble.models:
        if isinstance(model, fitted.Model) and not catalogue.is_as_in_table(model):
            problem = _problem_of(model)
            if problem:
                yield f"model {model.name}: {problem}"


def _problem_of(model: fitted.Model) -> str:
    return checks.problem_of(lambda rows, seed: model.fit(rows, seed=seed))


def _name(given: config.Model) -> str:
    return given.name or given.class_path.replace(":", ".").rpartition(".")[2].lower()


def _model(query: config.Query, key: str, given: config.Model) -> scoring.Model:
    if given.per is config.Per.GROUP and not query.group_by:
        raise errors.ConfigError(
            f"query {query.name}: {key}: per: group: group_by is needed, which says what a group is"
        )
    if given.per is not config.Per.QUERY and not _is_fitted(given):
        raise errors.ConfigError(
            f"query {query.name}: {key}: per: {given.per}: {_name(given)} is not fitted, it "
            "follows each series by itself"
        )
    try:
        if not _is_fitted(given):
            return smoothing.smoother_of(
                _name(given), parameters=given.parameters, weight=given.weight
            )
        return catalogue.model_of(
            _name(given),
            path=given.class_path or None,
            parameters=given.parameters,
            weight=given.weight,
            per=fitted.Per(given.per.value),
        )
    except ValueError as error:
        known = ", ".join((*catalogue.CATALOGUE, *smoothing.NAMES))
        raise errors.ConfigError(
            f"query {query.name}: {key}: {error}; these are known: {known}"
        ) from error


def _without_twins(
    query: config.Query, models: tuple[scoring.Model, ...]
) -> tuple[scoring.Model, ...]:
    own = (*layout.STREAMING_NAMES, groups.NAME)
    taken = set(own)
    for model in models:
        if model.name in taken:
            raise errors.ConfigError(
                f"query {query.name}: models: {model.name!r}: a name may be used once, and not "
                f"{', '.join(own)}: give another name beside class"
            )
        taken.add(model.name)
    return models
