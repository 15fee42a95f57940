"""Parameters in a request's query string."""

from collections import Counter
from collections.abc import Callable
from typing import Annotated

from fastapi import Depends, Request

from detector import access
from detector.api import auth, problems

REPEATED = frozenset({"label"})
"""Those that are lists; of any other that stands twice, one would be lost without a word."""


def each_once(guards: auth.Guards) -> Callable[..., None]:
    """A dependency that raises Problem 422 for a parameter that stands twice, once it is known who
    asks."""

    def check(request: Request, _: Annotated[access.Caller, Depends(guards.viewer)]) -> None:
        counts = Counter(name for name, _ in request.query_params.multi_items())
        fields = [
            problems.FieldProblem(
                field=name[:100], value=f"given {count} times", allowed="once is allowed"
            )
            for name, count in counts.items()
            if count > 1 and name not in REPEATED
        ]
        if fields:
            told = "; ".join(each.line() for each in fields)
            raise problems.Problem(422, told, fields=fields)

    return check
