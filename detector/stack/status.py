"""The detector's word on how far it is: GET /api/status, read leniently."""

from __future__ import annotations

import pathlib

import msgspec

from detector.stack import probe


class Top(msgspec.Struct, frozen=True):
    """One of a query's highest scores; the highest comes first."""

    labels: dict[str, str]
    score: float


class Query(msgspec.Struct, frozen=True):
    """One query's progress; state is waiting (for series), warming_up, scoring or failing."""

    name: str
    series: int
    samples_seen: int
    samples_needed: int
    state: str
    top: tuple[Top, ...] = ()


class Status(msgspec.Struct, frozen=True):
    """All queries, in the order of the configuration; notes are for people."""

    queries: tuple[Query, ...] = ()
    notes: tuple[str, ...] = ()

    def has_first_scores(self) -> bool:
        """Whether some query scores, and none is still on its way there."""
        states = {query.state for query in self.queries}
        return "scoring" in states and "warming_up" not in states


def read(address: str, token_file: pathlib.Path) -> Status | None:
    """The detector's answer; None while it gives none that we understand."""
    try:
        headers = {"Authorization": f"Bearer {token_file.read_text().strip()}"}
        code, body = probe.get(address, "/api/status", headers)
        return msgspec.json.decode(body, type=Status) if code == 200 else None
    except (OSError, msgspec.MsgspecError):
        return None
