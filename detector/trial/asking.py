"""What Alertmanager and the detector say of a test message, over their own HTTP."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import requests
import yaml
from prometheus_client.parser import text_string_to_metric_families

from detector import config, errors

TIMEOUT_S = 5.0
TEST_LABEL = "mda_test"
"""Its value is the receiver that a test message is for; the routes that `mda render` writes know
it."""
ID_LABEL = "mda_test_id"
MEMORY_PATH = "/api/webhooks/alertmanager"


@dataclass(frozen=True, slots=True)
class Places:
    """Where the two are, and the token of the API."""

    alertmanager: str
    detector: str
    token: str


def places_of(settings: config.Settings) -> Places:
    """Of the stack that `mda up` runs on the home folder, else as the settings say.

    Raises ConfigError without a token.
    """
    path = settings.token_file or settings.home / "token"
    try:
        token = path.read_text(encoding="utf-8").strip()
    except OSError as error:
        raise errors.ConfigError(
            f"token_file: {path}: {error.strerror}: run this beside the detector, or name the file"
        ) from None
    try:
        urls = json.loads((settings.home / "urls.json").read_text(encoding="utf-8"))
        return Places(urls["alertmanager"], urls["detector"], token)
    except (OSError, ValueError, KeyError, TypeError):
        host, _, port = settings.listen_address.rpartition(":")
        here = "127.0.0.1" if host in ("", "0.0.0.0", "[::]") else host  # noqa: S104 - compared
        return Places(settings.alertmanager.url, f"http://{here}:{port}", token)


@dataclass(frozen=True, slots=True)
class Receiver:
    """A receiver of Alertmanager's.

    integrations  what it tells by, as its metrics call that: email, slack, webhook
    """

    name: str
    integrations: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Configured:
    """What Alertmanager runs with.

    testable  receivers that have a route for test messages
    """

    version: str
    receivers: Mapping[str, Receiver]
    testable: frozenset[str]


@dataclass(frozen=True, slots=True)
class Counts:
    """Since its start, of one integration: requests that were answered well and not, and messages
    given up."""

    done: float
    failed: float
    given_up: float


class Alertmanager:
    """Asks one."""

    def __init__(self, url: str) -> None:
        self._url = url.rstrip("/")

    def configured(self) -> Configured:
        """Raises UpstreamError."""
        status = self._get("/api/v2/status").json()
        try:
            tree = yaml.safe_load(status["config"]["original"])
            found = [_receiver(each) for each in tree["receivers"]]
            routes = tree["route"].get("routes") or []
            matchers = {
                str(each).replace(" ", "")
                for route in routes
                for each in route.get("matchers") or []
            }
            return Configured(
                status["versionInfo"]["version"],
                {each.name: each for each in found},
                frozenset(each.name for each in found if f'{TEST_LABEL}="{each.name}"' in matchers),
            )
        except (yaml.YAMLError, KeyError, TypeError, AttributeError) as error:
            raise errors.UpstreamError(
                f"{self._url}: its configuration is not readable", kind="decode", retryable=False
            ) from error

    def post(self, alert: Mapping[str, Any]) -> None:
        """Raises UpstreamError."""
        self._ask("POST", "/api/v2/alerts", json=[alert])

    def receivers_of(self, number: str) -> list[str]:
        """Of the test message of this id; empty while it is not held. Raises UpstreamError."""
        answer = self._get("/api/v2/alerts", filter=f'{ID_LABEL}="{number}"').json()
        return [each["name"] for alert in answer for each in alert["receivers"]]

    def counts(self, integration: str) -> Counts:
        """Raises UpstreamError."""
        found = dict.fromkeys(
            (
                "alertmanager_notification_requests_total",
                "alertmanager_notification_requests_failed_total",
                "alertmanager_notifications_failed_total",
            ),
            0.0,
        )
        for family in text_string_to_metric_families(self._get("/metrics").text):
            for sample in family.samples:
                if sample.name in found and sample.labels.get("integration") == integration:
                    found[sample.name] += sample.value
        total, failed, given_up = found.values()
        return Counts(total - failed, failed, given_up)

    def _get(self, path: str, **parameters: str) -> requests.Response:
        return self._ask("GET", path, params=parameters)

    def _ask(self, method: str, path: str, **given: Any) -> requests.Response:
        return _answer(f"Alertmanager {self._url}", method, f"{self._url}{path}", **given)


class Detector:
    """Asks one, as an operator."""

    def __init__(self, url: str, token: str) -> None:
        self._url = url.rstrip("/")
        self._headers = {"Authorization": f"Bearer {token}"}

    def messages(self, recipient: str, number: str, since: datetime) -> list[dict[str, Any]]:
        """Those for this recipient that tell of the test message of this id.

        Raises UpstreamError.
        """
        found = self._get("/api/messages", recipient=recipient, limit="100")["messages"]
        return [
            each
            for each in found
            if number in each["text"] and datetime.fromisoformat(each["created_at"]) >= since
        ]

    def is_remembered(self, number: str) -> bool:
        """Whether it is among the alerts. Raises UpstreamError."""
        return bool(self._get("/api/alerts", label=f"{ID_LABEL}:{number}")["alerts"])

    def _get(self, path: str, **parameters: str) -> dict[str, Any]:
        answer = _answer(
            f"detector {self._url}",
            "GET",
            f"{self._url}{path}",
            params=parameters,
            headers=self._headers,
        )
        found: dict[str, Any] = answer.json()
        return found


def _receiver(tree: Mapping[str, Any]) -> Receiver:
    kinds: Sequence[str] = [
        key.removesuffix("_configs")
        for key, given in tree.items()
        if key.endswith("_configs")
        for _ in given or []
    ]
    return Receiver(str(tree["name"]), tuple(kinds))


def _answer(who: str, method: str, url: str, **given: Any) -> requests.Response:
    try:
        answer = requests.request(method, url, timeout=TIMEOUT_S, **given)
    except requests.RequestException as error:
        raise errors.UpstreamError(
            f"{who}: does not answer ({type(error).__name__}): is it running?",
            kind="unreachable",
            retryable=True,
        ) from None
    if not answer.ok:
        raise errors.UpstreamError(
            f"{who}: answers {answer.status_code} to {method} {url.partition('?')[0]}",
            kind="status",
            retryable=False,
        )
    return answer
