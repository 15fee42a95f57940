"""The configurations that a history or a file is scored with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from detector import config, errors, planning
from detector.models import budget as budgets

EXPR_NAME = "backtest"
"""Of a query that is given as PromQL and so has no name."""


@dataclass(frozen=True, slots=True)
class Variant:
    """One way to look at the samples: settings, the query under them, the budget."""

    name: str
    settings: config.Settings
    query: config.Query
    budget: budgets.Budget
    plans: planning.Planning

    def at(self, step: timedelta) -> config.Query:
        """The query at this step."""
        return self.query.model_copy(update={"step": step})


def variants_of(
    settings: config.Settings,
    *,
    file: Path | None,
    others: Sequence[Path] = (),
    query: str | None = None,
    expr: str | None = None,
    budget_texts: Sequence[str] = (),
    ml: bool | None = None,
) -> tuple[Variant, ...]:
    """Each configuration with each budget; the first of them is the one that is reported on.

    Raises ConfigError for a query or budget that is none, and for a wrong file.
    """
    held = [(str(file) if file else "settings", settings)]
    held += [(str(path), config.load(path)) for path in others]
    made = []
    for source, given in held:
        if ml is not None:
            given = given.model_copy(update={"ml_detection_enabled": ml})
        asked = _query(given, source, query, expr)
        plans = planning.Planning(given)
        for text in budget_texts or [asked.budget]:
            try:
                allowed = budgets.parse_budget(text)
            except ValueError as error:
                where = "--budget" if budget_texts else f"{source}: queries: {asked.name}: budget"
                raise errors.ConfigError(f"{where}: {error}") from None
            parts = [source] if len(held) > 1 else []
            parts += [text] if len(budget_texts) > 1 or not parts else []
            chosen = asked.model_copy(update={"budget": text})
            made.append(Variant(", ".join(parts), given, chosen, allowed, plans))
    return tuple(made)


def _query(
    settings: config.Settings, source: str, name: str | None, expr: str | None
) -> config.Query:
    if name is None:
        return config.Query(name=EXPR_NAME, expr=expr or "vector(0)")
    known = {query.name: query for query in settings.all_queries()}
    if name not in known:
        raise errors.ConfigError(
            f"--query: {name!r}: no such query in {source}: {', '.join(known) or 'none'} allowed"
        )
    return known[name]
