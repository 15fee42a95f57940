"""Silences that people ask for: measured before they are made, and made in their name."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from detector import alerts, frames, last_watchdog, ports, signing

MARK = "mda: "
"""How comments of our silences begin."""
PLANNED = "mda planned: "
"""How those of silences for planned work do; no reason makes another's look so, for its MARK."""
WITHIN = timedelta(days=30)
"""Past episodes that a silence is measured by."""
CONFIRM_WITHIN = timedelta(minutes=10)
MOST_SHOWN = 10
ANYTHING = frozenset(
    f"{start}{pattern}{end}"
    for pattern in (".*", ".+", "(.*)", "(.+)", "|.*", "|.+", ".*|")
    for start in ("", "^")
    for end in ("", "$")
)
"""Patterns that hold of every value, or of every one that is there."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What a silence may mute without being confirmed.

    longest  that it may last
    alerts   that it may mute beside one
    ratio    of all alerts that are held, that these may be
    """

    longest: timedelta
    alerts: int
    ratio: float


@dataclass(frozen=True, slots=True)
class Wanted:
    """A silence that somebody asks for.

    by          whose name it bears
    is_planned  it is for work that is planned
    """

    matchers: tuple[alerts.Matcher, ...]
    lasting: timedelta
    reason: str
    by: str
    is_planned: bool = False

    @property
    def comment(self) -> str:
        """Of the silence."""
        return f"{PLANNED if self.is_planned else MARK}{self.reason}"


@dataclass(frozen=True, slots=True)
class Broad:
    """Why a silence is not made unless it is confirmed.

    reasons   in words, not empty
    muted     alerts that fire now and would be muted, `of` all
    some      of those
    episodes  of the last 30 days that it would have muted; None where that is not known
    confirm   makes it, given with the same wish until it expires
    """

    reasons: tuple[str, ...]
    muted: int
    of: int
    some: tuple[alerts.Held, ...]
    episodes: int | None
    confirm: str
    expires: datetime


class Silencing:
    """Makes silences, and has broad ones confirmed; threads may share it."""

    def __init__(
        self,
        silencer: ports.Silencer,
        held: ports.AlertSource,
        store: ports.EpisodeStore,
        signer: signing.Signer,
        limits: Limits,
        *,
        clock: Callable[[], datetime],
    ) -> None:
        self._silencer, self._held, self._store = silencer, held, store
        self._signer, self.limits = signer, limits
        self._clock = clock

    def make(self, wanted: Wanted, confirm: str = "", *, is_exact: bool = False) -> str | Broad:
        """The id of the silence; or, where it is broad and not confirmed, what it would mute.

        is_exact  it is for one alert, by all of its labels

        Raises UpstreamError, StoreError.
        """
        if not self._is_confirmed(wanted, confirm):
            broad = self._measured(wanted, is_exact=is_exact)
            if broad is not None:
                return broad
        now = self._clock()
        return self._silencer.silence(
            alerts.NewSilence(wanted.matchers, now, now + wanted.lasting, wanted.by, wanted.comment)
        )

    def matched(self, matchers: Sequence[alerts.Matcher]) -> tuple[alerts.Held, ...]:
        """The alerts that fire now and that all these hold of. Raises UpstreamError."""
        return self._held.matched(matchers)

    def _measured(self, wanted: Wanted, *, is_exact: bool) -> Broad | None:
        reasons = list(_said_of(wanted.matchers))
        if wanted.lasting > self.limits.longest:
            longest = in_words(self.limits.longest)
            reasons.append(f"it lasts longer than {longest} (silences.longest)")
        if is_exact and not reasons:
            return None
        held = self._held.held()
        muted = self._held.matched(wanted.matchers)
        others = len(muted) - 1
        if others > self.limits.alerts:
            reasons.append(f"it mutes {len(muted)} alerts that fire now (silences.confirm_above)")
        elif others > self.limits.ratio * len(held):
            reasons.append(
                f"it mutes {len(muted)} of the {len(held)} alerts that fire now "
                "(silences.confirm_above_ratio)"
            )
        if any(alerts.is_watchdog(each.labels) for each in muted):
            reasons.append(f"it mutes {last_watchdog.ALERT}, which shows that alerts arrive")
        if not reasons:
            return None
        now = self._clock()
        expires = now + CONFIRM_WITHIN
        return Broad(
            reasons=tuple(reasons),
            muted=len(muted),
            of=len(held),
            some=muted[:MOST_SHOWN],
            episodes=self._store.muted(wanted.matchers, since=now - WITHIN),
            confirm=self._confirm(wanted, int(expires.timestamp())),
            expires=datetime.fromtimestamp(int(expires.timestamp()), UTC),
        )

    def _confirm(self, wanted: Wanted, expires_s: int) -> str:
        said = [[each.name, each.value, each.is_regex, each.is_equal] for each in wanted.matchers]
        whole = [expires_s, said, wanted.lasting.total_seconds(), wanted.comment, wanted.by]
        return f"{expires_s}.{self._signer.signature(f'silence {json.dumps(whole)}')}"

    def _is_confirmed(self, wanted: Wanted, given: str) -> bool:
        expires, _, _ = given.partition(".")
        if not (expires.isascii() and expires.isdigit()):
            return False
        is_ours = signing.same(given, self._confirm(wanted, int(expires)))
        return is_ours and self._clock().timestamp() < int(expires)


def exactly(labels: frames.Labels) -> tuple[alerts.Matcher, ...]:
    """Matchers that hold of an alert with these labels."""
    return tuple(alerts.Matcher(name, value) for name, value in labels)


def in_words(span: timedelta) -> str:
    """A span as people write it, rounded down to minutes where it has some.

    >>> in_words(timedelta(days=7)), in_words(timedelta(minutes=90)), in_words(timedelta(seconds=5))
    ('7d', '1h30m', '5s')
    """
    left = int(span.total_seconds())
    found = ""
    for name, size in (("d", 86_400), ("h", 3_600), ("m", 60)):
        count, left = divmod(left, size)
        found += f"{count}{name}" if count else ""
    return found or f"{left}s"


def _said_of(matchers: tuple[alerts.Matcher, ...]) -> Iterator[str]:
    if not any(each.is_equal and not each.is_regex and each.value for each in matchers):
        yield "no matcher says exactly what a label is"
    for each in matchers:
        if each.is_regex and each.is_equal and each.value in ANYTHING:
            yield f"{each.name}=~{each.value} holds of anything"
