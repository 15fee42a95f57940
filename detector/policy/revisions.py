"""Policies that are kept: what each is now, and all that it has been."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from detector.policy import documents


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
    document: documents.Document
    created: Made
    changed: Made
    is_deleted: bool = False


@dataclass(frozen=True, slots=True)
class Revision:
    """What a policy was from this revision on; numbers begin at 1 and leave none out."""

    number: int
    document: documents.Document
    change: Change
    made: Made


@dataclass(frozen=True, slots=True)
class Filter:
    """Which policies are wanted, ordered by name; None means any.

    text      part of the name, in letters of any case
    after_id  keyset paging: the page after the policy with this id (see Page.next_id)
    limit     rows of a page, 1 to 1000
    """

    text: str | None = None
    is_enabled: bool | None = None
    after_id: int | None = None
    limit: int = 100


@dataclass(frozen=True, slots=True)
class Page:
    """One page of policies; next_id is None on the last page."""

    policies: tuple[Policy, ...]
    next_id: int | None


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
