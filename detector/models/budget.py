"""How often an alarm on nothing is affordable, and what that is for a series of a given age."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum

_TEXT = re.compile(r"(?P<number>\d+(?:\.\d+)?|\.\d+) per (?P<unit>hour|day|week) per (?P<of>\w+)")
_UNITS = {"hour": timedelta(hours=1), "day": timedelta(days=1), "week": timedelta(weeks=1)}
_ALLOWED = "<number> per hour|day|week per series|query, as in `1 per week per series`"

FIRST_HOUR = timedelta(hours=1)
"""Age up to which a series may alarm once an hour: a rarer rate cannot be known from minutes."""
FIRST_DAY = timedelta(days=1)
"""Age up to which a series may alarm once a day, for the same reason."""


class Per(StrEnum):
    """What a budget is shared by."""

    SERIES = "series"
    QUERY = "query"


@dataclass(frozen=True, slots=True)
class Budget:
    """`alarms` in each `period`, for each series or for all series of a query together."""

    alarms: float
    period: timedelta
    per: Per = Per.SERIES

    def per_step(self, step: timedelta, *, series: int) -> float:
        """Alarms a sample of one series may raise, where the query has this many live series."""
        shared = max(series, 1) if self.per is Per.QUERY else 1
        return self.alarms * (step / self.period) / shared


FORGOTTEN_AFTER = 4
"""Alarms that the budget affords a series, after which a false one is forgotten."""
LEAST_MEMORY, MOST_MEMORY = timedelta(days=1), timedelta(days=90)


def false_alarm_memory(budget: Budget) -> timedelta:
    """How long a false alarm raises the threshold of its series.

    >>> false_alarm_memory(Budget(2.0, timedelta(weeks=1))).days
    14
    """
    four = FORGOTTEN_AFTER * budget.period
    return max(four / max(budget.alarms, four / MOST_MEMORY), LEAST_MEMORY)


WARM_UP: tuple[tuple[timedelta, timedelta], ...] = (
    (FIRST_HOUR, timedelta(hours=1)),
    (FIRST_DAY, timedelta(days=1)),
)
"""(age, period): up to this age of a series one alarm a period is allowed, if that is more."""


def parse_budget(text: str) -> Budget:
    """The budget that the text states.

    >>> parse_budget("1 per week per series")
    Budget(alarms=1.0, period=datetime.timedelta(days=7), per=<Per.SERIES: 'series'>)

    Raises ValueError, which names what is allowed.
    """
    found = _TEXT.fullmatch(" ".join(text.split()))
    if found is None or found["of"] not in set(Per) or float(found["number"]) <= 0:
        raise ValueError(f"{text!r}: a budget is {_ALLOWED}, the number above 0")
    return Budget(float(found["number"]), _UNITS[found["unit"]], Per(found["of"]))
