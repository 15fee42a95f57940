"""POST /api/policies/preview: what a policy would have fired on past samples."""

import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Annotated

import pydantic
from fastapi import APIRouter, Depends, Query
from pydantic import Field

from detector import config, errors
from detector.api import auth, bodies, policies, problems
from detector.policy import actions, firing
from detector.services import previewing, previews

MOST_DAYS = 31
MOST_STEPS = 50_000
"""Evaluations of one preview."""
MOST_SAMPLES = 10_000_000
"""Series times evaluations: 30 MB; the command line looks at five times as many."""


class Spell(pydantic.BaseModel):
    """One time that an alert was active."""

    since: datetime = Field(description="The condition began to hold.")
    firing: datetime | None = Field(description="null: it never fired.")
    until: datetime | None = Field(description="null: it goes on.")


class Series(pydantic.BaseModel):
    """A series for which an alert was pending or firing."""

    labels: dict[str, str]
    times: int = Field(description="How often it fired.")
    firing_s: float
    longest_s: float
    spells: list[Spell]


class Money(pydantic.BaseModel):
    """What was at stake where a rule on costs fired, of one currency."""

    currency: str
    series: int
    amount: float = Field(description="The most of each series while it fired, together.")
    over: float | None = Field(description="How much of that was above the limit, if there is one.")


class Rule(pydantic.BaseModel):
    """What one rule would have done."""

    rule: int
    priority: int
    severity: actions.Severity
    condition: str
    action: str
    times: int
    series_fired: int
    series_looked_at: int | None
    fired_ratio: float = Field(description="Share of the time in which something fired.")
    firing_s: float
    longest_s: float
    money: list[Money]
    series: list[Series]


class Asked(pydantic.BaseModel):
    """An action that would have been asked for, how often and for how many series."""

    rule: int
    action: str
    times: int
    targets: int


class Warned(pydantic.BaseModel):
    """Why the policy may not do what was meant."""

    rule: int | None = Field(description="null: of the whole policy.")
    kind: previews.Doubt
    text: str


class Preview(pydantic.BaseModel):
    """What a policy would have done, if it had been saved when the time begins."""

    policy: str
    start: datetime
    end: datetime
    step_s: float
    evaluations: int
    rules: list[Rule]
    asked: list[Asked]
    warnings: list[Warned]


Step = Annotated[config.Duration, Field(ge=timedelta(seconds=1), le=timedelta(days=1))]


class PreviewQuery(pydantic.BaseModel):
    """Of which time."""

    model_config = pydantic.ConfigDict(extra="forbid")

    days: float = Field(7, gt=0, le=MOST_DAYS, description="Up to now.")
    step: Step | None = Field(
        None, description="Between evaluations; if not given, as often as metrics are collected."
    )


def router(
    previewer: Callable[[datetime], previewing.Previewer],
    guards: auth.Guards,
    read: bodies.Reader,
    *,
    interval: Callable[[], timedelta],
    clock: Callable[[], datetime],
) -> APIRouter:
    """The route, for viewers; one preview at a time.

    previewer  at an instant
    interval   at which metrics are collected
    """
    routes = APIRouter(tags=["policies"], dependencies=[Depends(guards.viewer)])
    turn = threading.Lock()

    @routes.post("/api/policies/preview", openapi_extra=policies.TAKES_DOCUMENT)
    def preview_policy(
        query: Annotated[PreviewQuery, Query()], body: Annotated[bytes, Depends(read)]
    ) -> Preview:
        """When a policy would have fired in the last days, for which series, and what it would have
        asked for; nothing is stored. 409 while another preview is made."""
        document = policies.document_from(body)
        now = clock()
        period = previews.period_before(now, days=query.days, step=query.step or interval())
        if period.steps > MOST_STEPS:
            every = f"{period.steps} evaluations, {period.step.total_seconds():g} s apart"
            way_out = f"{MOST_STEPS} are allowed: ask for fewer days or a longer step"
            raise problems.Problem(422, f"days: {query.days:g}: {every}: {way_out}")
        if not turn.acquire(blocking=False):
            raise errors.ConflictError("a preview is being made: ask again when it is done")
        try:
            return told(previewer(now).preview(document, period, source=document.name))
        except errors.ConfigError as error:
            raise problems.Problem(422, str(error)) from error
        finally:
            turn.release()

    return routes


def told(found: previews.Preview) -> Preview:
    """A preview as it is told, over HTTP and by the command."""
    return Preview(
        policy=found.policy,
        start=_instant(found.period.start_ms),
        end=_instant(found.period.end_ms),
        step_s=found.period.step.total_seconds(),
        evaluations=found.period.steps,
        rules=[_rule(rule) for rule in found.rules],
        asked=[
            Asked(rule=each.rule, action=each.action, times=each.times, targets=each.targets)
            for each in found.asked
        ],
        warnings=[
            Warned(rule=each.rule, kind=each.doubt, text=each.text) for each in found.warnings
        ],
    )


def _rule(rule: previews.Rule) -> Rule:
    return Rule(
        rule=rule.number,
        priority=rule.priority,
        severity=rule.severity,
        condition=rule.condition,
        action=rule.action,
        times=rule.times,
        series_fired=len(rule.fired),
        series_looked_at=rule.looked_at,
        fired_ratio=rule.fired_ratio,
        firing_s=rule.firing.total_seconds(),
        longest_s=rule.longest.total_seconds(),
        money=[
            Money(currency=each.currency, series=each.series, amount=each.amount, over=each.over)
            for each in rule.money
        ],
        series=[_series(each) for each in rule.series],
    )


def _series(each: previews.Series) -> Series:
    return Series(
        labels=dict(each.labels),
        times=each.times,
        firing_s=each.firing.total_seconds(),
        longest_s=each.longest.total_seconds(),
        spells=[_spell(spell) for spell in each.spells],
    )


def _spell(spell: firing.Spell) -> Spell:
    return Spell(
        since=_instant(spell.since_ms),
        firing=None if spell.firing_ms is None else _instant(spell.firing_ms),
        until=None if spell.until_ms is None else _instant(spell.until_ms),
    )


def _instant(time_ms: int) -> datetime:
    return datetime.fromtimestamp(time_ms / 1000, UTC)
