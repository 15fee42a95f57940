"""What all parts of a policy document share: keys that are not known are refused."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated

import promql_parser
import pydantic
from pydantic import Field

from detector import config
from detector.policy import promql


class Section(pydantic.BaseModel):
    """A mapping of a document."""

    model_config = pydantic.ConfigDict(extra="forbid", frozen=True)


Finite = Annotated[float, Field(allow_inf_nan=False, strict=True)]
"""A number as such: not true, nor "80" in quotes."""
Text = Annotated[str, Field(min_length=1, max_length=2_000)]


def _between(least: timedelta, most: timedelta) -> pydantic.AfterValidator:
    def checked(span: timedelta) -> timedelta:
        if least <= span <= most:
            return span
        raise ValueError(f"{promql.duration(least)} to {promql.duration(most)} is allowed")

    return pydantic.AfterValidator(checked)


_AS_WRITTEN = pydantic.PlainSerializer(promql.duration, return_type=str, when_used="json")

Wait = Annotated[config.Duration, _between(timedelta(0), timedelta(days=30)), _AS_WRITTEN]
Range = Annotated[config.Duration, _between(timedelta(seconds=1), timedelta(days=90)), _AS_WRITTEN]


def _selects(name: str) -> str:
    """As bool, on and inf do not."""
    try:
        is_selector = isinstance(promql_parser.parse(name), promql_parser.VectorSelector)
    except ValueError:
        is_selector = False
    if not is_selector:
        raise ValueError(f'a word of PromQL: {{__name__="{name}"}} in an expression is allowed')
    return name


MetricName = Annotated[
    str,
    Field(pattern=r"^[a-zA-Z_:][a-zA-Z0-9_:]*$", max_length=200),
    pydantic.AfterValidator(_selects),
]
