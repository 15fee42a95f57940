"""What Alertmanager and the detector say of a test message, over their own HTTP."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import requests
import yaml
from prometheus_client.parser import text_string_to_metric_families

from detector import errors
from detector.stack.receivers import routes

TIMEOUT_S = 5.0
ID_LABEL = "mda_test_id"


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
        self._who = f"Alertmanager {self._url}"

    def configured(self) -> Configured:
        """Raises UpstreamError."""
        status = self._json("/api/v2/status")
        try:
            tree = yaml.safe_load(status["config"]["original"])
            found = [_receiver(each) for each in tree["receivers"]]
            matchers = {
                str(each).replace(" ", "")
                for route in tree["route"].get("routes") or []
                for each in route.get("matchers") or []
            }
            return Configured(
                status["versionInfo"]["version"],
                {each.name: each for each in found},
                frozenset(
                    each.name for each in found if f'{routes.TEST_LABEL}="{each.name}"' in matchers
                ),
            )
        except (yaml.YAMLError, KeyError, TypeError, AttributeError) as error:
            raise errors.UpstreamError(
                f"{self._url}: its configuration is not readable", kind="decode", retryable=False
            ) from error

    def post(self, alert: Mapping[str, Any]) -> None:
        """Raises UpstreamError."""
        _answer(self._who, "POST", f"{self._url}/api/v2/alerts", json=[alert])

    def receivers_of(self, number: str) -> list[str]:
        """Of the test message of this id; empty while it is not held. Raises UpstreamError."""
        held = self._json("/api/v2/alerts", filter=f'{ID_LABEL}="{number}"')
        return [each["name"] for alert in held for each in alert["receivers"]]

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
        text = _answer(self._who, "GET", f"{self._url}/metrics").text
        for family in text_string_to_metric_families(text):
            for sample in family.samples:
                if sample.name in found and sample.labels.get("integration") == integration:
                    found[sample.name] += sample.value
        total, failed, given_up = found.values()
        return Counts(total - failed, failed, given_up)

    def _json(self, path: str, **parameters: str) -> Any:
        return _json(self._who, f"{self._url}{path}", params=parameters)


class Detector:
    """Asks one, as an operator."""

    def __init__(self, url: str, token: str) -> None:
        self._url = url.rstrip("/")
        self._headers = {"Authorization": f"Bearer {token}"}

    def messages(self, recipient: str, number: str) -> list[dict[str, Any]]:
        """Those for this recipient that tell of the test message of this id.

        Raises UpstreamError.
        """
        found = self._get("/api/messages", recipient=recipient, limit="100")["messages"]
        return [each for each in found if number in each["text"]]

    def is_remembered(self, number: str) -> bool:
        """Whether it is among the alerts. Raises UpstreamError."""
        return bool(self._get("/api/alerts", label=f"{ID_LABEL}:{number}")["alerts"])

    def _get(self, path: str, **parameters: str) -> dict[str, Any]:
        found: dict[str, Any] = _json(
            f"detector {self._url}",
            f"{self._url}{path}",
            params=parameters,
            headers=self._headers,
        )
        return found


def _receiver(tree: Mapping[str, Any]) -> Receiver:
    kinds: Sequence[str] = [
        key.removesuffix("_configs")
        for key, given in tree.items()
        if key.endswith("_configs")
        for _ in given or []
    ]
    return Receiver(str(tree["name"]), tuple(kinds))


def _json(who: str, url: str, **given: Any) -> Any:
    answer = _answer(who, "GET", url, **given)
    try:
        return answer.json()
    except requests.JSONDecodeError:
        raise errors.UpstreamError(
            f"{who}: what answers GET {url} says no JSON: is it the right address?",
            kind="decode",
            retryable=False,
        ) from None


def _answer(who: str, method: str, url: str, **given: Any) -> requests.Response:
    try:
        with requests.Session() as session:
            session.trust_env = False  # the token goes to this server alone, by no proxy
            answer = session.request(method, url, timeout=TIMEOUT_S, **given)
    except requests.RequestException:
        raise errors.UpstreamError(
            f"{who}: does not answer: is it running?",
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
