"""Parameters in a request's query string."""

from collections import Counter
from collections.abc import Callable
from typing import Annotated

import pydantic
from fastapi import Depends, Request
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute

from detector import access
from detector.api import auth, problems

REPEATED = frozenset({"label"})
"""Those that are lists; of any other that stands twice, one would be lost without a word."""


def only_known(guards: auth.Guards) -> Callable[..., None]:
    """A dependency that raises Problem 422 for a parameter that stands twice or that the route does
    not have, once it is known who asks."""

    def check(request: Request, _: Annotated[access.Caller, Depends(guards.viewer)]) -> None:
        counts = Counter(name for name, _ in request.query_params.multi_items())
        fields = [
            problems.FieldProblem(
                field=name[:100], value=f"given {count} times", allowed="once is allowed"
            )
            for name, count in counts.items()
            if count > 1 and name not in REPEATED
        ]
        fields += _unknown(request)
        if fields:
            told = "; ".join(each.line() for each in fields)
            raise problems.Problem(422, told, fields=fields)

    return check


def _unknown(request: Request) -> list[problems.FieldProblem]:
    """A misspelt ?revision= would be a change to whatever is there."""
    route = request.scope["route"]
    assert isinstance(route, APIRoute)  # noqa: S101 - it stands on nothing else
    names, annotations = _known(route.dependant)
    if any(_refuses_others(each) for each in annotations):
        return []
    return [
        problems.FieldProblem(field=name[:100], value=value[:100], allowed=problems.NO_PARAMETER)
        for name, value in request.query_params.items()
        if name not in names
    ]


def _known(dependant: Dependant) -> tuple[set[str], list[object]]:
    """Names and types of the parameters of a route and of all that it depends on."""
    names = {each.alias for each in dependant.query_params}
    annotations: list[object] = [each.field_info.annotation for each in dependant.query_params]
    for inner in dependant.dependencies:
        inner_names, inner_annotations = _known(inner)
        names |= inner_names
        annotations += inner_annotations
    return names, annotations


def _refuses_others(annotation: object) -> bool:
    """Whether it is a model of all parameters, which pydantic holds them to."""
    return isinstance(annotation, type) and issubclass(annotation, pydantic.BaseModel)
