"""Alertmanager's API v2: its alerts and its silences."""

from __future__ import annotations

import urllib.parse
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, TypeVar

import msgspec
import requests

from detector import alerts, errors, frames

T = TypeVar("T")

TIMEOUT = timedelta(seconds=3)
"""Somebody waits for the answer, or asks again in seconds."""
ALL_STATES = dict.fromkeys(("active", "silenced", "inhibited", "unprocessed"), "true")
MOST_SAID = 200
"""Characters of a refusal that are told."""


class _Struct(msgspec.Struct, rename="camel"):
    """Named in Python's way."""


class _Status(_Struct):
    silenced_by: list[str] | None = None
    inhibited_by: list[str] | None = None


class _Receiver(_Struct):
    name: str


class _Alert(_Struct):
    fingerprint: str
    starts_at: datetime
    ends_at: datetime
    updated_at: datetime
    labels: dict[str, str] | None
    annotations: dict[str, str] | None = None
    receivers: list[_Receiver] | None = None
    status: _Status = msgspec.field(default_factory=_Status)
    generator_url: str = msgspec.field(name="generatorURL", default="")


class _Matcher(_Struct):
    name: str
    value: str
    is_regex: bool
    is_equal: bool = True


class _SilenceStatus(_Struct):
    state: alerts.SilenceState


class _Silence(_Struct):
    id: str
    matchers: list[_Matcher]
    starts_at: datetime
    ends_at: datetime
    created_by: str
    comment: str
    status: _SilenceStatus


class _Running(_Struct):
    uptime: datetime


class _Created(_Struct):
    silence_id: str = msgspec.field(name="silenceID")


class Client:
    """ports.AlertSource, ports.AlertPoster and ports.Silencer over HTTP. Threads may share it."""

    def __init__(self, url: str, *, timeout: timedelta = TIMEOUT) -> None:
        self._url = url.rstrip("/")
        self._timeout_s = timeout.total_seconds()

    def held(self, *matchers: str) -> tuple[alerts.Held, ...]:
        """All alerts that are not over; those that match, where matchers are given (as amtool
        takes them)."""
        answer = self._ask("GET", "alerts", params={**ALL_STATES, "filter": list(matchers)})
        found = self._decoded(answer, list[_Alert], "alerts")
        return tuple(_held(each) for each in found if each.labels is not None)

    def matched(self, matchers: Sequence[alerts.Matcher]) -> tuple[alerts.Held, ...]:
        """Those that all these hold of, as Alertmanager itself sees it."""
        return self.held(*map(written, matchers))

    def started_at(self) -> datetime:
        """When it was started."""
        return self._decoded(self._ask("GET", "status"), _Running, "status").uptime

    def post(self, posted: Sequence[alerts.Posted]) -> None:
        """Hand these over in one request; none without any."""
        if posted:
            self._ask("POST", "alerts", json=[_tree_of_alert(each) for each in posted])

    def silences(self) -> tuple[alerts.Silence, ...]:
        """All that it knows."""
        found = self._decoded(self._ask("GET", "silences"), list[_Silence], "silences")
        return tuple(_silence(each) for each in found)

    def silence(self, new: alerts.NewSilence) -> str:
        """Mute what all its matchers hold of: its id."""
        answer = self._ask("POST", "silences", json=_tree_of_silence(new))
        return self._decoded(answer, _Created, "silences").silence_id

    def expire(self, silence_id: str) -> None:
        """End the silence of this id."""
        try:
            self._ask("DELETE", f"silence/{urllib.parse.quote(silence_id, safe='')}")
        except errors.UpstreamError as error:
            # What it answers of one that is over differs by version: 404, 422 or 500.
            if error.kind not in {"status", "refused"} or self._lasts(silence_id):
                raise

    def _lasts(self, silence_id: str) -> bool:
        over = alerts.SilenceState.EXPIRED
        return any(each.id == silence_id and each.state is not over for each in self.silences())

    def _ask(self, method: str, path: str, **given: Any) -> requests.Response:
        try:
            answer = requests.request(
                method, f"{self._url}/api/v2/{path}", timeout=self._timeout_s, **given
            )
        except requests.Timeout as error:
            raise self._failed("timeout", f"no answer in {self._timeout_s:g} s") from error
        except requests.RequestException as error:
            raise self._failed("unreachable", "cannot be reached: is it running?") from error
        if not answer.ok:
            is_ours = 400 <= answer.status_code < 500
            reason = f"answered {answer.status_code}{_said(answer)}"
            raise self._failed("refused" if is_ours else "status", reason, retryable=not is_ours)
        return answer

    def _decoded(self, answer: requests.Response, kind: type[T], what: str) -> T:
        try:
            return msgspec.json.decode(answer.content, type=kind)
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise self._failed("decode", f"its {what} are not readable") from error

    def _failed(self, kind: str, reason: str, *, retryable: bool = True) -> errors.UpstreamError:
        parts = urllib.parse.urlsplit(self._url)
        shown = parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()
        return errors.UpstreamError(
            f"Alertmanager {shown}: {reason}", kind=kind, retryable=retryable
        )


def written(matcher: alerts.Matcher) -> str:
    """As amtool takes it.

    >>> written(alerts.Matcher("path", 'C:"x"', is_equal=False))
    'path!="C:\\\\"x\\\\""'
    """
    sign = {(True, False): "=", (False, False): "!=", (True, True): "=~", (False, True): "!~"}
    value = matcher.value.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
    return f'{matcher.name}{sign[matcher.is_equal, matcher.is_regex]}"{value}"'


def _said(answer: requests.Response) -> str:
    """What it says is wrong, as one short line; it answers with a JSON string."""
    try:
        said = answer.json()
    except ValueError:
        return ""
    return f": {' '.join(said.split())[:MOST_SAID]}" if isinstance(said, str) else ""


def _held(each: _Alert) -> alerts.Held:
    return alerts.Held(
        fingerprint=alerts.Fingerprint(each.fingerprint),
        starts_at=each.starts_at,
        ends_at=each.ends_at,
        updated_at=each.updated_at,
        labels=_labels(each.labels),
        annotations=_labels(each.annotations),
        generator_url=each.generator_url,
        silenced_by=tuple(each.status.silenced_by or ()),
        inhibited_by=tuple(each.status.inhibited_by or ()),
        receivers=tuple(receiver.name for receiver in each.receivers or ()),
    )


def _labels(given: Mapping[str, str] | None) -> frames.Labels:
    return frames.labels_from_pairs((given or {}).items())


def _tree_of_alert(each: alerts.Posted) -> dict[str, object]:
    found: dict[str, object] = {
        "labels": dict(each.labels),
        "annotations": dict(each.annotations),
        "startsAt": each.starts_at.isoformat(),
        "generatorURL": each.generator_url,
    }
    return found if each.ends_at is None else found | {"endsAt": each.ends_at.isoformat()}


def _silence(each: _Silence) -> alerts.Silence:
    return alerts.Silence(
        id=each.id,
        matchers=tuple(
            alerts.Matcher(one.name, one.value, one.is_regex, one.is_equal) for one in each.matchers
        ),
        starts_at=each.starts_at,
        ends_at=each.ends_at,
        created_by=each.created_by,
        comment=each.comment,
        state=each.status.state,
    )


def _tree_of_silence(new: alerts.NewSilence) -> dict[str, object]:
    matchers = [
        {"name": each.name, "value": each.value, "isRegex": each.is_regex, "isEqual": each.is_equal}
        for each in new.matchers
    ]
    return {
        "matchers": matchers,
        "startsAt": new.starts_at.isoformat(),
        "endsAt": new.ends_at.isoformat(),
        "createdBy": new.created_by,
        "comment": new.comment,
    }
