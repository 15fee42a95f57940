"""Policies that are kept: what each is now, and all that it has been."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, TypeAlias

import yaml

from detector import errors
from detector.policy import documents

WAY_OUT = "put another document in its place, or restore a revision before it"


@dataclass(frozen=True, slots=True)
class Refused:
    """A document that is kept and that this release does not take: changed by hand, or written by
    another release. It is shown as it is, and evaluated no more.

    tree    as it is kept, of whatever shape
    reason  what is wrong with it, on one line
    """

    name: str
    enabled: bool
    tree: object
    reason: str


Kept: TypeAlias = documents.Document | Refused


def kept(tree: object, *, name: str, enabled: bool) -> Kept:
    """What a kept tree is; it is refused under another name than the policy has, too.

    name  of the policy, in letters of any case
    """
    try:
        document = documents.parse(tree, name)
    except errors.PolicyError as error:
        more = len(error.faults) - 1
        reason = str(error.faults[0]) + (f" (and {more} more)" if more else "")
    else:
        if name_key(document.name) == name_key(name):
            return document
        reason = f"name: {document.name}: the policy is known as {name}"
    return Refused(name, enabled, tree, reason)


def tree_of(document: Kept) -> dict[str, Any]:
    """The document as it is shown; empty where what is kept is no mapping."""
    if isinstance(document, documents.Document):
        return documents.tree_of(document)
    if not isinstance(document.tree, dict):
        return {}
    text = json.dumps(document.tree, ensure_ascii=False).encode("utf-8", "replace")
    tree: dict[str, Any] = json.loads(text)
    return tree


def yaml_of(document: Kept) -> str:
    """The document as YAML that people read."""
    if isinstance(document, documents.Document):
        return documents.yaml_of(document)
    text: str = yaml.safe_dump(tree_of(document), sort_keys=False, allow_unicode=True, width=100)
    return text


def refusal(document: Kept) -> str:
    """Why a document that is kept is not taken; empty if it is."""
    return document.reason if isinstance(document, Refused) else ""


class Change(StrEnum):
    """What made a revision."""

    CREATED = "created"
    CHANGED = "changed"
    ENABLED = "enabled"
    DISABLED = "disabled"
    RESTORED = "restored"
    DELETED = "deleted"


@dataclass(frozen=True, slots=True)
class Made:
    """Who made a change, and when."""

    by: str
    at: datetime


@dataclass(frozen=True, slots=True)
class Policy:
    """A policy at its newest revision; a deleted one keeps its last document."""

    id: int
    revision: int
    document: Kept
    created: Made
    changed: Made
    is_deleted: bool = False


@dataclass(frozen=True, slots=True)
class Revision:
    """What a policy was from this revision on; numbers begin at 1 and leave none out."""

    number: int
    document: Kept
    change: Change
    made: Made


@dataclass(frozen=True, slots=True)
class Filter:
    """Which policies are wanted, ordered by name; None means any.

    text        part of the name, in letters of any case
    is_deleted  the deleted ones; else those that are not
    after_id    keyset paging: the page after the policy with this id (see Page.next_id)
    limit       rows of a page, 1 to 1000
    """

    text: str | None = None
    is_enabled: bool | None = None
    is_deleted: bool = False
    after_id: int | None = None
    limit: int = 100


@dataclass(frozen=True, slots=True)
class Page:
    """One page of policies; next_id is None on the last page."""

    policies: tuple[Policy, ...]
    next_id: int | None


def not_deleted(found: Policy | None, policy_id: int, *, deleted_too: bool = False) -> Policy:
    """The policy that was found under this id. Raises NotFoundError if there is none."""
    if found is None or (found.is_deleted and not deleted_too):
        gone = "" if found is None else f": it was deleted by {found.changed.by}"
        raise errors.NotFoundError(f"policy {policy_id}: no policy has this id{gone}")
    return found


def the_one(newest: Sequence[Revision], policy_id: int, number: int) -> Revision:
    """The revision of this number, if the newest of these is it. Raises NotFoundError if not."""
    if not newest or newest[0].number != number:
        raise errors.NotFoundError(f"policy {policy_id}: it has no revision {number}")
    return newest[0]


def name_key(name: str) -> str:
    """What two names that are the same have in common.

    >>> name_key("High CPU")
    'high cpu'
    """
    return name.casefold()


def name_taken(name: str, policy_id: int) -> str:
    """What to say of a name that another policy has."""
    return f"name: {name}: policy {policy_id} has this name: choose another, or change that policy"


def outdated(policy_id: int, given: int, current: int | None) -> str:
    """What to say of a change to what is not the newest revision."""
    return (
        f"policy {policy_id}: revision {given} is not its newest, which is {current}: read it anew"
    )
