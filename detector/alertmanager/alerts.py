"""Alerts that Alertmanager holds, ended by us where nobody else will end them.

When a rule goes, or its labels change, Prometheus forgets the alerts that it had, without a word to
Alertmanager, which then keeps them until they expire: four minutes, by default, after they were
heard of last. Until then an alert of a policy that was mended seconds ago looks as if it fired.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

import requests

from detector import errors, frames

TIMEOUT = timedelta(seconds=3)
"""Somebody waits for the answer, and what is asked for here would come about by itself."""
OF_POLICIES = 'policy_rule=~".+"'
_SENT_ON = ("labels", "annotations", "startsAt", "generatorURL")


class Alertmanager:
    """ports.AlertEnder over HTTP. Threads may share it."""

    def __init__(self, url: str, *, timeout: timedelta = TIMEOUT) -> None:
        self._url = url.rstrip("/")
        self._timeout_s = timeout.total_seconds()

    def end(self, ended: Collection[frames.Labels], *, at: datetime) -> int:
        """Tell it that alerts with these labels, and whatever Prometheus adds to them, are over."""
        wanted = [dict(labels) for labels in ended]
        found = [
            {key: alert[key] for key in _SENT_ON if key in alert} | {"endsAt": at.isoformat()}
            for alert in self._alerts()
            if any(labels.items() <= alert["labels"].items() for labels in wanted)
        ]
        if found:
            self._ask("POST", json=found)
        return len(found)

    def _alerts(self) -> Sequence[Mapping[str, Any]]:
        answer = self._ask("GET", params={"filter": OF_POLICIES})
        try:
            alerts: list[Mapping[str, Any]] = answer.json()
            return [each for each in alerts if each["labels"] is not None]
        except (ValueError, TypeError, KeyError) as error:
            raise self._failed("decode", "its alerts are not readable") from error

    def _ask(self, method: str, **given: Any) -> requests.Response:
        try:
            answer = requests.request(
                method, f"{self._url}/api/v2/alerts", timeout=self._timeout_s, **given
            )
        except requests.Timeout as error:
            raise self._failed("timeout", f"no answer in {self._timeout_s:g} s") from error
        except requests.RequestException as error:
            raise self._failed("unreachable", type(error).__name__) from error
        if not answer.ok:
            raise self._failed("status", f"answered {answer.status_code}")
        return answer

    def _failed(self, kind: str, reason: str) -> errors.UpstreamError:
        return errors.UpstreamError(
            f"Alertmanager {self._url}: {reason}", kind=kind, retryable=True
        )
