"""What each part of the running stack says of one query, asked over its own HTTP API."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import requests

from detector import errors

TIMEOUT_S = 5.0


@dataclass(frozen=True, slots=True)
class Urls:
    """Where the parts listen, as `mda up` wrote it down, and the token of the API."""

    prometheus: str
    alertmanager: str
    detector: str
    token: str


def urls_from_home(home: Path) -> Urls:
    """The addresses of the stack that runs on this folder.

    Raises StackError if none has.
    """
    try:
        urls = json.loads((home / "urls.json").read_text(encoding="utf-8"))
        token = (home / "token").read_text(encoding="utf-8").strip()
        return Urls(urls["prometheus"], urls["alertmanager"], urls["detector"], token)
    except (OSError, ValueError, KeyError, TypeError):
        raise errors.StackError(
            f"{home}: no stack runs here: start one with `make up` (or `mda up`) beside this"
        ) from None


@dataclass(frozen=True, slots=True)
class Sight:
    """The newest that is known of the query; None where a part knows nothing (yet).

    score_ms  time of the newest score, epoch milliseconds
    """

    score: float | None = None
    score_ms: int | None = None
    upper: float | None = None
    rule_state: str | None = None
    routed: bool = False
    episode_id: int | None = None
    episode_state: str | None = None


class Watch:
    """Asks about the newest anomaly of a query that began after `since`."""

    def __init__(self, urls: Urls, *, query: str, alert: str, since: datetime) -> None:
        self._urls, self._query, self._alert, self._since = urls, query, alert, since
        self._session = requests.Session()

    def look(self) -> Sight:
        """What every part says now; a part that does not answer says nothing."""
        score = self._newest("anomaly_score")
        upper = self._newest("anomaly_upper")
        states = [labels.get("alertstate", "") for labels, _, _ in self._alerts()]
        episode = self._episode()
        return Sight(
            score=score[1] if score else None,
            score_ms=score[0] if score else None,
            upper=upper[1] if upper else None,
            rule_state=min(states, default=None),
            routed=self._routed(),
            episode_id=episode.get("id"),
            episode_state=episode.get("state"),
        )

    def warm_up(self) -> tuple[int, int]:
        """(samples seen, samples needed) of the query; (0, 1) while the detector starts."""
        answer = self._json(f"{self._urls.detector}/api/status", {}, authorised=True)
        for query in answer.get("queries", []):
            if query.get("name") == self._query:
                return int(query["samples_seen"]), int(query["samples_needed"])
        return 0, 1

    def _newest(self, metric: str) -> tuple[int, float] | None:
        """(time in ms, value) of the newest sample; the highest value of several series."""
        selector = f'{metric}{{query="{self._query}"}}'
        values = self._vector(selector)
        times = self._vector(f"timestamp({selector})")
        if not values or not times:
            return None
        newest = max(value for _, _, value in times)
        return round(newest * 1000), max(value for _, _, value in values)

    def _alerts(self) -> list[tuple[Mapping[str, str], float, float]]:
        return self._vector(f'ALERTS{{alertname="{self._alert}",query="{self._query}"}}')

    def _vector(self, expr: str) -> list[tuple[Mapping[str, str], float, float]]:
        answer = self._json(f"{self._urls.prometheus}/api/v1/query", {"query": expr})
        result = answer.get("data", {}).get("result", [])
        return [(row["metric"], row["value"][0], float(row["value"][1])) for row in result]

    def _routed(self) -> bool:
        filters = [f'alertname="{self._alert}"', f'query="{self._query}"']
        url = f"{self._urls.alertmanager}/api/v2/alerts"
        return bool(self._json(url, {"filter": filters}))

    def _episode(self) -> dict[str, Any]:
        wanted = {
            "label": [f"alertname:{self._alert}", f"query:{self._query}"],
            "since": self._since.isoformat(),
            "limit": "1",
        }
        url = f"{self._urls.detector}/api/alerts"
        found: list[dict[str, Any]] = self._json(url, wanted, authorised=True).get("alerts", [])
        started = [e for e in found if datetime.fromisoformat(e["starts_at"]) >= self._since]
        return started[0] if started else {}

    def _json(self, url: str, wanted: Mapping[str, Any], *, authorised: bool = False) -> Any:
        headers = {"Authorization": f"Bearer {self._urls.token}"} if authorised else {}
        try:
            answer = self._session.get(url, params=wanted, headers=headers, timeout=TIMEOUT_S)
            return answer.json() if answer.ok else {}
        except (requests.RequestException, ValueError):
            return {}


Look = Callable[[], Sight]
