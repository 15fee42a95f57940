"""Policies: /api/policies and what is below it."""

import difflib
import math
import re
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Annotated, Any

import fastapi
import pydantic
from fastapi import APIRouter, Depends, Header, Path, Query
from pydantic import Field

from detector import access, errors, ports
from detector.api import auth, bodies, paging, problems, trees
from detector.policy import documents, live, revisions
from detector.services import policy_states, previews, publishing

MOST_REVISIONS = 100
"""Of one page."""
LARGEST_REVISION = 2**31 - 1
"""PostgreSQL's integer."""
NO_EXECUTOR = "not executed: nothing carries this action out yet; its alert is raised"


class PoliciesQuery(pydantic.BaseModel):
    """Which policies are wanted."""

    model_config = pydantic.ConfigDict(extra="forbid")

    text: str | None = Field(None, max_length=200, description="Part of the name, in any case.")
    enabled: bool | None = None
    deleted: bool = Field(False, description="The deleted ones instead.")
    cursor: paging.Cursor = None
    limit: int = Field(100, ge=1, le=1000, description="Policies of a page.")

    def wanted(self) -> revisions.Filter:
        """The same for the store."""
        return revisions.Filter(
            text=self.text,
            is_enabled=self.enabled,
            is_deleted=self.deleted,
            after_id=self.cursor,
            limit=self.limit,
        )


class Policy(pydantic.BaseModel):
    """A policy at its newest revision."""

    id: int
    revision: int
    document: dict[str, Any]
    created_at: datetime
    created_by: str
    changed_at: datetime
    changed_by: str
    deleted: bool
    refused: str = Field(
        description="Why the document that is kept, changed by hand or by another release, is not "
        "taken and not evaluated; empty if it is."
    )


class PolicyPage(pydantic.BaseModel):
    """Policies by name."""

    policies: list[Policy]
    next_cursor: str | None = Field(description="null on the last page.")


class ActiveAlert(pydantic.BaseModel):
    """A series that the condition of a rule holds for."""

    labels: dict[str, str]
    state: live.State
    since: datetime
    value: float | None = Field(description="null: not a finite number.")


class RuleState(pydantic.BaseModel):
    """One rule as Prometheus evaluates it."""

    number: int = Field(description="Of the policy's rule, from 1.")
    revision: int
    health: live.Health
    last_error: str
    evaluated_at: datetime | None
    alerts: list[ActiveAlert]


class ActionState(pydantic.BaseModel):
    """What a rule asks for beside its alert, and what became of that."""

    rule: int
    type: str
    asked: bool = Field(description="Its rule fires now.")
    state: str


class PolicyWithState(Policy):
    """A policy and how it fares."""

    published_revision: int | None = Field(description="That Prometheus evaluates; null: none.")
    rules: list[RuleState]
    firing: int = Field(description="Alerts that fire now.")
    last_fired_at: datetime | None
    actions: list[ActionState]
    trouble: str = Field(description="Empty if all is well.")


class Revision(pydantic.BaseModel):
    """What a policy was from this revision on."""

    revision: int
    change: revisions.Change
    made_at: datetime
    made_by: str
    document: dict[str, Any]


class RevisionPage(pydantic.BaseModel):
    """Revisions, newest first."""

    revisions: list[Revision]
    next_below: int | None = Field(description="`below` of the next page; null on the last one.")


class Difference(pydantic.BaseModel):
    """What differs between two revisions."""

    before: int
    after: int
    text: str = Field(description="A unified diff of the two as YAML; empty if they are the same.")


class Validated(pydantic.BaseModel):
    """What a policy would become."""

    name: str
    rules: str = Field(description="A rule file for Prometheus.")
    tests: int = Field(description="How often the tests, which passed, look at the rules.")
    untested: list[str]
    advice: list[str] = Field(description="What to know of conditions that ask for anomalies.")


class Planned(pydantic.BaseModel):
    """What applying does with one policy."""

    name: str
    change: revisions.Change | None = Field(description="null: it stays as it is.")
    id: int | None = Field(description="null: it is not there yet.")
    revision: int | None
    diff: str


class Applied(pydantic.BaseModel):
    """What was done, or what would be."""

    dry_run: bool
    policies: list[Planned]


SCHEMA_NAME = "PolicyDocument"
_DOCUMENT = {"$ref": f"#/components/schemas/{SCHEMA_NAME}"}
_APPLY = {
    "type": "object",
    "additionalProperties": False,
    "required": ["policies"],
    "properties": {
        "policies": {
            "type": "array",
            "maxItems": publishing.MOST_POLICIES,
            "items": _DOCUMENT,
        },
        "prune": {"type": "boolean", "default": False},
        "dry_run": {"type": "boolean", "default": False},
    },
}

TAKES_DOCUMENT = {
    "requestBody": {"required": True, "content": {"application/json": {"schema": _DOCUMENT}}}
}
"""What a route that reads a document itself adds to the OpenAPI document."""
_TAKES_SEVERAL = {
    "requestBody": {"required": True, "content": {"application/json": {"schema": _APPLY}}}
}

PolicyId = Annotated[int, Path(ge=1, le=paging.LARGEST_ID)]
Number = Annotated[int, Path(ge=1, le=LARGEST_REVISION)]


def _expected(
    revision: Annotated[
        int | None,
        Query(
            ge=1,
            le=LARGEST_REVISION,
            description="The revision that the change was made to; 409 if there is a newer one. "
            "Without it the change is made to whatever is there.",
        ),
    ] = None,
    if_match: Annotated[str | None, Header(include_in_schema=False)] = None,
) -> int | None:
    """Raises Problem 422 for an If-Match that no policy can have."""
    if if_match is None or if_match.strip() == "*":
        return revision
    found = re.fullmatch(r'\s*"([1-9][0-9]{0,8})"\s*', if_match)
    if found is None or revision not in (None, int(found[1])):
        raise problems.Problem(422, f"If-Match: {if_match}: the ETag of a policy is allowed")
    return int(found[1])


Expected = Annotated[int | None, Depends(_expected)]


def router(
    store: ports.PolicyStore,
    made: publishing.Publishing,
    states: policy_states.PolicyStates,
    guards: auth.Guards,
    read: bodies.Reader,
    advise: Callable[[documents.Document], Sequence[previews.Warned]],
) -> APIRouter:
    """The routes: viewers read, operators change."""
    routes = APIRouter(prefix="/api/policies", tags=["policies"])
    viewer = [Depends(guards.viewer)]
    Body = Annotated[bytes, Depends(read)]
    Operator = Annotated[access.Caller, Depends(guards.operator)]

    @routes.get("", dependencies=viewer)
    def list_policies(query: Annotated[PoliciesQuery, Query()]) -> PolicyPage:
        """Policies that are not deleted, by name."""
        page = store.list_policies(query.wanted())
        return PolicyPage(
            policies=[_policy(each) for each in page.policies],
            next_cursor=None if page.next_id is None else paging.cursor_after(page.next_id),
        )

    @routes.post("", status_code=201, openapi_extra=TAKES_DOCUMENT)
    def create_policy(caller: Operator, body: Body, response: fastapi.Response) -> Policy:
        """Create a policy and publish its rules. 422 for what is wrong with it, 409 if its name
        is taken, 502 or 503 if Prometheus does not take its rules; then nothing is stored."""
        policy = made.create(document_from(body), by=caller.name)
        response.headers["Location"] = f"/api/policies/{policy.id}"
        response.headers["ETag"] = _etag(policy)
        return _policy(policy)

    @routes.get("/schema", dependencies=viewer)
    def show_schema() -> dict[str, Any]:
        """JSON Schema of a policy's document."""
        return documents.json_schema()

    @routes.post("/validate", dependencies=viewer, openapi_extra=TAKES_DOCUMENT)
    def validate_policy(body: Body) -> Validated:
        """What a policy would become; nothing is stored. 422 for what is wrong with it."""
        draft = made.validate(document_from(body))
        return Validated(
            name=draft.document.name,
            rules=draft.rules_text,
            tests=draft.tests.count,
            untested=[str(each) for each in draft.tests.untested],
            advice=[str(each) for each in advise(draft.document)],
        )

    @routes.post("/apply", openapi_extra=_TAKES_SEVERAL)
    def apply_policies(caller: Operator, body: Body) -> Applied:
        """Make the policies of these names what the documents say, all of them or none; with
        `prune`, those of other names are deleted; with `dry_run`, nothing is done."""
        wanted, prune, dry_run = _wanted(body)
        if dry_run:
            planned = made.plan(wanted, prune=prune)
        else:
            planned = made.apply(wanted, prune=prune, by=caller.name)
        return Applied(dry_run=dry_run, policies=[_planned(each) for each in planned])

    @routes.get("/{policy_id}", dependencies=viewer, response_model=PolicyWithState)
    def show_policy(policy_id: PolicyId, response: fastapi.Response) -> PolicyWithState:
        """One policy, and how it fares."""
        policy = revisions.not_deleted(store.policy(policy_id), policy_id)
        response.headers["ETag"] = _etag(policy)
        return _with_state(states.state(policy))

    @routes.put("/{policy_id}", openapi_extra=TAKES_DOCUMENT)
    def replace_policy(
        caller: Operator,
        body: Body,
        policy_id: PolicyId,
        response: fastapi.Response,
        revision: Expected,
    ) -> Policy:
        """Put another document in place of a policy's. The same one makes no revision."""
        policy = made.replace(policy_id, document_from(body), expected=revision, by=caller.name)
        response.headers["ETag"] = _etag(policy)
        return _policy(policy)

    @routes.delete("/{policy_id}")
    def delete_policy(caller: Operator, policy_id: PolicyId, revision: Expected) -> Policy:
        """Delete a policy. Its revisions are kept: restoring one brings it back."""
        return _policy(made.delete(policy_id, expected=revision, by=caller.name))

    @routes.post("/{policy_id}/enable")
    def enable_policy(caller: Operator, policy_id: PolicyId, revision: Expected) -> Policy:
        """Have it evaluated."""
        return _policy(made.switch(policy_id, is_enabled=True, expected=revision, by=caller.name))

    @routes.post("/{policy_id}/disable")
    def disable_policy(caller: Operator, policy_id: PolicyId, revision: Expected) -> Policy:
        """Keep it, and have it evaluated no more."""
        return _policy(made.switch(policy_id, is_enabled=False, expected=revision, by=caller.name))

    @routes.get("/{policy_id}/revisions", dependencies=viewer)
    def list_revisions(
        policy_id: PolicyId,
        below: Annotated[int | None, Query(ge=1, le=LARGEST_REVISION)] = None,
        limit: Annotated[int, Query(ge=1, le=MOST_REVISIONS)] = MOST_REVISIONS,
    ) -> RevisionPage:
        """What a policy has been, newest first; of a deleted one too."""
        revisions.not_deleted(store.policy(policy_id), policy_id, deleted_too=True)
        found = store.revisions(policy_id, below=below, limit=limit + 1)
        page = found[:limit]
        return RevisionPage(
            revisions=[_revision(each) for each in page],
            next_below=page[-1].number if len(found) > limit else None,
        )

    @routes.get("/{policy_id}/revisions/{number}", dependencies=viewer)
    def show_revision(policy_id: PolicyId, number: Number) -> Revision:
        """One of them."""
        return _revision(store.revision(policy_id, number))

    @routes.get("/{policy_id}/diff", dependencies=viewer)
    def diff_revisions(
        policy_id: PolicyId,
        before: Annotated[int, Query(ge=1, le=LARGEST_REVISION)],
        after: Annotated[int, Query(ge=1, le=LARGEST_REVISION)],
    ) -> Difference:
        """What differs between two revisions of a policy."""
        first, second = (store.revision(policy_id, each).document for each in (before, after))
        text = _diff(first, second, f"revision {before}", f"revision {after}")
        return Difference(before=before, after=after, text=text)

    @routes.post("/{policy_id}/restore/{number}")
    def restore_policy(
        caller: Operator, policy_id: PolicyId, number: Number, revision: Expected
    ) -> Policy:
        """Make a policy what it was at a revision, which becomes a new one."""
        return _policy(made.restore(policy_id, number, expected=revision, by=caller.name))

    return routes


class _Apply(pydantic.BaseModel):
    """The body of apply, its documents still trees."""

    model_config = pydantic.ConfigDict(extra="forbid", strict=True)

    policies: Annotated[list[object], Field(max_length=publishing.MOST_POLICIES)]
    prune: bool = False
    dry_run: bool = False


def _wanted(body: bytes) -> tuple[list[documents.Document], bool, bool]:
    try:
        given = _Apply.model_validate(trees.parse(body))
    except pydantic.ValidationError as error:
        fields = problems.fields_from(error.errors(include_url=False))
        told = "; ".join(each.line() for each in fields)
        raise problems.Problem(422, told, fields=fields) from None
    found, faults = [], []
    for position, tree in enumerate(given.policies):
        try:
            found.append(documents.parse(tree, f"policies.{position}"))
        except errors.PolicyError as error:
            faults += [
                errors.PolicyFault(
                    f"policies.{position}{each.path and '.'}{each.path}", each.value, each.text
                )
                for each in error.faults
            ]
    if faults:
        raise errors.PolicyError("body", faults)
    return found, given.prune, given.dry_run


def document_from(body: bytes) -> documents.Document:
    """The document of a body. Raises Problem 400, PolicyError."""
    return documents.parse(trees.parse(body), "body")


def _etag(policy: revisions.Policy) -> str:
    return f'"{policy.revision}"'


def _policy(policy: revisions.Policy) -> Policy:
    return Policy(
        id=policy.id,
        revision=policy.revision,
        document=revisions.tree_of(policy.document),
        created_at=policy.created.at,
        created_by=policy.created.by,
        changed_at=policy.changed.at,
        changed_by=policy.changed.by,
        deleted=policy.is_deleted,
        refused=revisions.refusal(policy.document),
    )


def _revision(revision: revisions.Revision) -> Revision:
    return Revision(
        revision=revision.number,
        change=revision.change,
        made_at=revision.made.at,
        made_by=revision.made.by,
        document=revisions.tree_of(revision.document),
    )


def _with_state(state: policy_states.PolicyState) -> PolicyWithState:
    rules = [_rule(each) for each in state.rules]
    return PolicyWithState(
        **_policy(state.policy).model_dump(),
        published_revision=state.published,
        rules=rules,
        firing=sum(alert.state is live.State.FIRING for rule in rules for alert in rule.alerts),
        last_fired_at=state.last_fired,
        actions=[_action(each) for each in state.actions],
        trouble=state.trouble,
    )


def _action(action: policy_states.ActionState) -> ActionState:
    state = NO_EXECUTOR
    if action.superseded_by is not None:
        state = f"superseded: {action.superseded_by} acts on the same with a higher priority"
    return ActionState(rule=action.rule, type=action.type, asked=action.is_asked, state=state)


def _rule(rule: live.LiveRule) -> RuleState:
    return RuleState(
        number=rule.number,
        revision=rule.revision,
        health=rule.health,
        last_error=rule.last_error,
        evaluated_at=rule.evaluated_at,
        alerts=[
            ActiveAlert(
                labels=dict(each.labels),
                state=each.state,
                since=each.since,
                value=each.value if math.isfinite(each.value) else None,
            )
            for each in rule.alerts
        ],
    )


def _planned(planned: publishing.Planned) -> Planned:
    policy = planned.policy
    is_new = policy.id == 0
    after = None if planned.change is revisions.Change.DELETED else policy.document
    return Planned(
        name=policy.document.name,
        change=planned.change,
        id=None if is_new else policy.id,
        revision=None if is_new else policy.revision,
        diff=_diff(planned.before, after, "before", "after"),
    )


def _diff(
    before: revisions.Kept | None,
    after: revisions.Kept | None,
    before_name: str,
    after_name: str,
) -> str:
    """A unified diff of two documents as YAML; None: there is none."""
    old, new = (revisions.yaml_of(each).splitlines() if each else [] for each in (before, after))
    return "\n".join(difflib.unified_diff(old, new, before_name, after_name, lineterm=""))
