"""The detector's word on how far it is: GET /api/status, read leniently."""

from __future__ import annotations

import pathlib

import msgspec

from detector.stack import probe


class Top(msgspec.Struct, frozen=True):
    """The series with a query's highest score."""

    labels: dict[str, str]
    score: float


class Query(msgspec.Struct, frozen=True):
    """One query's progress; samples are those of its slowest series."""

    name: str
    series: int
    samples_seen: int
    samples_needed: int
    state: str = ""
    top: Top | None = None

    def is_warm(self) -> bool:
        return self.series > 0 and self.samples_seen >= self.samples_needed


class Status(msgspec.Struct, frozen=True):
    """All queries, in the order of the configuration."""

    queries: tuple[Query, ...] = ()

    def has_first_scores(self) -> bool:
        """Whether every query that has series at all has scored one."""
        live = [query for query in self.queries if query.series > 0]
        return bool(live) and all(query.is_warm() and query.top is not None for query in live)


def read(address: str, token_file: pathlib.Path) -> Status | None:
    """The detector's answer; None while it gives none that we understand."""
    try:
        headers = {"Authorization": f"Bearer {token_file.read_text().strip()}"}
        code, body = probe.get(address, "/api/status", headers)
        return msgspec.json.decode(body, type=Status) if code == 200 else None
    except (OSError, msgspec.MsgspecError):
        return None
