"""PromQL as its author wrote it."""

from __future__ import annotations

from typing import Annotated, Literal

import pydantic
from pydantic import Field

from detector.policy import promql
from detector.policy.conditions import base


class Expression(base.Condition):
    """An expression that gives the series for which the condition holds."""

    type: Literal["expression"]
    expr: Annotated[str, Field(min_length=1, max_length=20_000)]

    @pydantic.field_validator("expr")
    @classmethod
    def _gives_series(cls, expr: str) -> str:
        try:
            tree = promql.parsed(expr)
        except promql.TooLongError:
            raise
        except ValueError as exc:
            raise ValueError(f"not PromQL: {' '.join(str(exc).split())}") from None
        other = promql.other_type(tree)
        if other is not None:
            raise ValueError(f"series are needed, as of up == 0: this gives a {other}")
        return expr

    def bare(self, given: base.Given) -> base.Expr:
        # A comment would swallow what follows, so its line ends here.
        text = f"({self.expr}\n)" if "#" in self.expr else f"({self.expr})"
        return base.Expr(text, text, None)

    def staged(self, level: base.Level, given: base.Given) -> tuple[base.Staged, ...]:
        raise base.NotStagedError("series that make a free expression hold are not known")
