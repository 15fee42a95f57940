"""Delivers samples by remote write: what is retried, what is split, what is given up.

Remote Write 1.0 and 2.0: 5xx is retried with a growing, jittered pause; 429 after Retry-After;
2xx is done; any other answer is never retried. A 400 loses the good samples beside a bad one, so
the request is sent again in halves until the bad ones stand alone. Prometheus 2.42 answers 500 to
some permanent errors (prometheus/prometheus#13334), so a 500 is retried only a few times.
"""

from __future__ import annotations

import email.utils
import logging
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Protocol

import cramjam
import numpy as np

from detector import errors
from detector.prometheus import backlog, blocks, connection, encode

logger = logging.getLogger(__name__)
_JITTER = random.Random()  # noqa: S311 - spreads retries, hides nothing

PATH = "/api/v1/write"
WRITTEN = "x-prometheus-remote-write-samples-written"
FUTURE_TOLERANCE = timedelta(seconds=60)
"""A sample further ahead blocks every later write to Prometheus 2.42 (prometheus#12006)."""
FIRST_PAUSE_S = 0.5
LONGEST_PAUSE_S = 30.0
LONGEST_RETRY_AFTER_S = 300.0
ATTEMPTS_AT_500 = 5
SMALL_SERIES = 1_000
"""Items of at most so many series are laid out anew together, at 5 us a series."""
REQUESTS_TO_SPLIT = 64
"""Requests that one refused batch may cost; then the rest of it is given up."""


class WriterMetrics(Protocol):
    """Where the writer counts; reasons are a bounded set."""

    def samples_sent(self, count: int) -> None:
        """Count accepted samples."""

    def dropped(self, count: int, reason: str) -> None:
        """Count samples given up: full, future, too_old, refused, failed, shutdown, labels, bug."""

    def retried(self) -> None:
        """Count a request sent again."""

    def queue_samples(self, count: int) -> None:
        """Set the number of samples that wait."""


@dataclass(slots=True)
class Negotiation:
    """Which version the server takes; shared by the lanes, found out once."""

    protocol: encode.Protocol = encode.Protocol.V2
    confirmed: bool = False

    def fall_back(self) -> None:
        """The server does not take 2.0, or does no longer."""
        self.protocol, self.confirmed = encode.Protocol.V1, True


@dataclass(frozen=True, slots=True)
class _Reply:
    status: int
    text: str
    retry_after_s: float | None


class Sender:
    """Delivers the batches of one lane, one after the other.

    wait      sleeps so many seconds; True when the program wants to stop
    jitter    a random number in [0, 1)
    """

    def __init__(
        self,
        client: connection.Client,
        *,
        negotiation: Negotiation,
        metrics: WriterMetrics,
        clock: Callable[[], float],
        wait: Callable[[float], bool],
        max_age: timedelta,
        jitter: Callable[[], float] = _JITTER.random,
    ) -> None:
        self._client = client
        self._negotiation = negotiation
        self._metrics = metrics
        self._clock = clock
        self._wait = wait
        self._max_age_s = max_age.total_seconds()
        self._jitter = jitter
        self._requests_left = 0
        self._failing = False

    def deliver(self, items: Sequence[backlog.Item]) -> None:
        """Send until every sample is accepted or given up; each is counted as one of them."""
        self._requests_left = REQUESTS_TO_SPLIT
        if self._negotiation.protocol is encode.Protocol.V1:
            self._deliver(list(items), ATTEMPTS_AT_500)
            return
        for item in _merged(items):
            self._deliver([item], ATTEMPTS_AT_500)

    def _deliver(self, items: list[backlog.Item], attempts: int) -> None:
        pause_s = FIRST_PAUSE_S
        while True:
            items = self._sendable(items)
            if not items:
                return
            reply = self._post(items)
            if reply is not None and reply.status < 300:
                self._accepted(items)
                return
            self._say(items, reply)
            if reply is not None and reply.status < 500 and reply.status != 429:
                self._refused(items, reply)
                return
            if reply is not None and reply.status == 500:
                attempts -= 1
                if attempts <= 0:
                    self._split(items, "failed")
                    return
            asked_s = reply.retry_after_s if reply is not None else None
            if self._wait(max(pause_s * (0.5 + self._jitter() / 2), asked_s or 0.0)):
                self._drop(items, "shutdown")
                return
            self._metrics.retried()
            pause_s = min(2 * pause_s, LONGEST_PAUSE_S)

    def _sendable(self, items: list[backlog.Item]) -> list[backlog.Item]:
        now_s = self._clock()
        limit_ms = (now_s + FUTURE_TOLERANCE.total_seconds()) * 1000
        good = []
        for item in items:
            if now_s - item.since_s > self._max_age_s:
                self._drop([item], "too_old")
                continue
            ahead = item.times_ms > limit_ms
            if ahead.any():
                item = _without(item, ahead)
                self._metrics.dropped(int(np.count_nonzero(ahead)), "future")
            if item.count:
                good.append(item)
        return good

    def _post(self, items: list[backlog.Item]) -> _Reply | None:
        """The server's reply, None if there was none."""
        protocol = self._negotiation.protocol
        if protocol is encode.Protocol.V2 and len(items) > 1:
            protocol = encode.Protocol.V1  # the others' halves of an older, joined request
        bodies = [item.block.template(protocol).body(item.values, item.times_ms) for item in items]
        body = bodies[0] if len(bodies) == 1 else np.concatenate(bodies)
        try:
            answer = self._client.call(
                "POST",
                PATH,
                body=bytes(cramjam.snappy.compress_raw(body.data)),
                headers=protocol.headers,
            )
        except errors.UpstreamError as exc:
            self._failure = str(exc)
            return None
        if protocol is encode.Protocol.V2 and not self._took_v2(answer, items):
            self._negotiation.fall_back()
            return self._post(items)
        return _reply_from_answer(answer, self._clock())

    def _took_v2(self, answer: connection.Answer, items: list[backlog.Item]) -> bool:
        """Whether the answer is one of a server that understands 2.0."""
        written = answer.headers.get(WRITTEN, "")
        if answer.status < 300:
            count = sum(item.count for item in items)
            self._negotiation.confirmed |= written == str(count)
            return written == str(count)
        return self._negotiation.confirmed or answer.status >= 500 or answer.status in _NOT_ABOUT_V2

    def _accepted(self, items: list[backlog.Item]) -> None:
        self._metrics.samples_sent(sum(item.count for item in items))
        if self._failing:
            self._failing = False
            logger.info("remote write works again")

    def _refused(self, items: list[backlog.Item], reply: _Reply) -> None:
        if reply.status == 400:
            self._split(items, "refused")
        else:
            self._drop(items, "refused")

    def _split(self, items: list[backlog.Item], reason: str) -> None:
        """Send the halves on their own; what is one sample, or over the limit, is given up."""
        halves = _halves(items)
        self._requests_left -= len(halves)
        if not halves or self._requests_left < 0:
            self._drop(items, reason)
            return
        for half in halves:
            self._deliver(half, 1 if reason == "failed" else ATTEMPTS_AT_500)

    def _drop(self, items: list[backlog.Item], reason: str) -> None:
        self._metrics.dropped(sum(item.count for item in items), reason)

    def _say(self, items: list[backlog.Item], reply: _Reply | None) -> None:
        """Log the first of a row of failures, with the server's words as they are."""
        if self._failing:
            return
        self._failing = True
        logger.error(
            "remote write failed",
            extra={
                "status": reply.status if reply is not None else 0,
                "reason": reply.text if reply is not None else self._failure,
                "samples": sum(item.count for item in items),
            },
        )

    _failure = ""


_NOT_ABOUT_V2 = frozenset({401, 403, 429})


def _reply_from_answer(answer: connection.Answer, now_s: float) -> _Reply:
    text = connection.one_line(answer.body.decode(errors="replace"))
    return _Reply(answer.status, text, _retry_after_s(answer.headers.get("retry-after"), now_s))


def _retry_after_s(text: str | None, now_s: float) -> float | None:
    """Seconds from a Retry-After header: a number or an HTTP date (RFC 9110, 10.2.3)."""
    if not text:
        return None
    try:
        seconds = float(text)
    except ValueError:
        try:
            seconds = email.utils.parsedate_to_datetime(text).timestamp() - now_s
        except (ValueError, OverflowError):
            return None
    return min(max(seconds, 0.0), LONGEST_RETRY_AFTER_S) if seconds == seconds else None


def _merged(items: Sequence[backlog.Item]) -> list[backlog.Item]:
    """The items, neighbours that are small made one: requests of 2.0 cannot just be joined."""
    merged: list[backlog.Item] = []
    small: list[backlog.Item] = []
    for item in items:
        if len(item.values) <= SMALL_SERIES:
            small.append(item)
            continue
        merged += [*_one(small), item]
        small = []
    return merged + _one(small)


def _one(items: list[backlog.Item]) -> list[backlog.Item]:
    if len(items) < 2:
        return items
    series = [labels for item in items for labels in item.block.series]
    return [
        backlog.Item(
            block=blocks.Block(items[0].block.key, series),
            values=np.concatenate([item.values for item in items]),
            times_ms=np.concatenate([item.times_ms for item in items]),
            count=sum(item.count for item in items),
            since_s=items[0].since_s,
        )
    ]


def _without(item: backlog.Item, out: np.ndarray[tuple[int], np.dtype[np.bool_]]) -> backlog.Item:
    values = np.where(out, np.nan, item.values)
    return replace(item, values=values, count=int(np.count_nonzero(encode.present(values))))


def _halves(items: list[backlog.Item]) -> list[list[backlog.Item]]:
    """Two parts of about the same size, in the same order; none if there is only one sample."""
    if len(items) > 1:
        middle = len(items) // 2
        return [items[:middle], items[middle:]]
    (item,) = items
    places = np.flatnonzero(encode.present(item.values))
    if len(places) < 2:
        return []
    position = np.arange(len(item.values))
    first = position < places[len(places) // 2]
    return [[_without(item, ~first)], [_without(item, first)]]
