"""What a silence for planned work mutes is said to be planned, so that it teaches nothing."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta

from detector import alerts, errors, loops, ports
from detector.services import silencing

EVERY = timedelta(seconds=15)
AT_ONCE = 500
"""Alerts of one turn, each of which is a transaction; the others have their turn."""


class PlannedWork:
    """Judges what such silences mute, in the name of who made them; a loop's thread calls it.

    What somebody has judged already stays as it was judged.
    """

    def __init__(
        self,
        store: ports.EpisodeStore,
        silencer: ports.Silencer,
        held: ports.AlertSource,
        *,
        clock: Callable[[], datetime],
        count_failure: Callable[[str], None],
    ) -> None:
        self._store, self._silencer, self._held = store, silencer, held
        self._clock, self._count_failure = clock, count_failure
        self._judged: set[alerts.Key] = set()

    def turn(self) -> loops.Turn:
        """Look for what is muted now. An Alertmanager that does not answer is a failure that is
        counted by kind, and no more: there may be none. Raises StoreError."""
        try:
            muted = self._muted()
        except errors.UpstreamError as error:
            self._count_failure(error.kind)
            return loops.Turn()
        self._judged &= muted.keys()
        new = [key for key in muted if key not in self._judged][:AT_ONCE]
        judged = sum(self._judge(key, muted[key]) for key in new)
        return loops.Turn(came_in=len(new), went_out=judged)

    def _muted(self) -> dict[alerts.Key, alerts.Silence]:
        """What is muted by silences for planned work, and by which."""
        planned = {
            each.id: each
            for each in self._silencer.silences()
            if each.comment.startswith(silencing.PLANNED)
            and each.state is alerts.SilenceState.ACTIVE
        }
        if not planned:
            return {}
        return {
            (each.fingerprint, each.starts_at): planned[silence_id]
            for each in self._held.held()
            for silence_id in each.silenced_by
            if silence_id in planned and not alerts.is_watchdog(each.labels)
        }

    def _judge(self, key: alerts.Key, silence: alerts.Silence) -> bool:
        """Whether that is news."""
        episode = self._store.episode_of(key)
        if episode is None:
            return False  # the memory has it in some seconds
        self._judged.add(key)
        return episode.feedback is None and self._store.remark(
            episode.key,
            at=self._clock(),
            by=silence.created_by,
            note=f"{silence.comment.removeprefix(silencing.PLANNED)} (silence {silence.id})",
            feedback=alerts.Feedback.PLANNED,
        )
