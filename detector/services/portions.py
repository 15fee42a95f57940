"""Many episodes, a portion at a time."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence

from detector import alerts, ports

SIZE = 1_000
"""Episodes of a page, and of a transaction: others wait for its rows."""


def pages(
    store: ports.EpisodeStore, wanted: alerts.EpisodeFilter
) -> Iterator[tuple[alerts.Episode, ...]]:
    """All that are wanted, newest start first; one page at least, which may be empty.

    Raises StoreError.
    """
    wanted = dataclasses.replace(wanted, limit=SIZE)
    while True:
        page = store.list_episodes(wanted)
        yield page.episodes
        if page.next_id is None:
            return
        wanted = dataclasses.replace(wanted, before_id=page.next_id)


def parts(told: Sequence[alerts.Notification]) -> Iterator[Sequence[alerts.Notification]]:
    """In their order, none empty."""
    return (told[first : first + SIZE] for first in range(0, len(told), SIZE))
