"""Policies and alerts from Python: a client of the detector's HTTP API.

from detector.client import PolicyManager

policies = PolicyManager("http://127.0.0.1:8490", token=Path(".mda/token").read_text())
made = policies.create_policy(name="High CPU Alert", rules=[...])

from detector.client import Alerts

alerts = Alerts("http://127.0.0.1:8490", token=Path(".mda/token").read_text())
for each in alerts.list_alerts(status="firing"):
    alerts.acknowledge(each["id"], note="looking")
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import requests

from detector import __version__, errors

if TYPE_CHECKING:
    import pandas as pd

Document = Mapping[str, Any]
"""A policy as docs/policies.md describes it."""
TIMEOUT = timedelta(minutes=5)
"""A thousand policies that are applied at once are tested before the answer comes."""
PAGE = 500


class ApiError(errors.MdaError):
    """The API refused, or did not answer; the text says what and why.

    status            of HTTP; None without an answer
    faults            (field, value, what is allowed) of each thing that is wrong
    current_revision  where somebody else has changed the policy in the meantime
    confirm           of a silence that would mute much: makes it, sent with the same wish
    muted             labels of some alerts that it would mute
    """

    def __init__(
        self,
        message: str,
        *,
        status: int | None = None,
        faults: Sequence[tuple[str, str, str]] = (),
        current_revision: int | None = None,
        confirm: str = "",
        muted: Sequence[Mapping[str, str]] = (),
    ) -> None:
        super().__init__(message)
        self.status = status
        self.faults = tuple(faults)
        self.current_revision = current_revision
        self.confirm = confirm
        self.muted = tuple(muted)


@dataclass(frozen=True, slots=True)
class Policy:
    """A policy at its newest revision.

    refused  why its document, changed by hand or by another release, is not taken and not
             evaluated; empty if it is
    """

    id: int
    revision: int
    document: dict[str, Any]
    created_at: datetime
    created_by: str
    changed_at: datetime
    changed_by: str
    deleted: bool
    refused: str = ""

    @property
    def name(self) -> str:
        """What it is called."""
        return str(self.document.get("name", f"policy {self.id}"))

    @property
    def rules(self) -> list[dict[str, Any]]:
        """Its rules."""
        rules = self.document.get("rules")
        found = rules if isinstance(rules, list) else []
        return [each for each in found if isinstance(each, dict)]

    @property
    def enabled(self) -> bool:
        """Whether it is evaluated."""
        return bool(self.document.get("enabled", True))


@dataclass(frozen=True, slots=True)
class Revision:
    """What a policy was from this revision on; change is one of created, changed, enabled,
    disabled, restored, deleted."""

    revision: int
    change: str
    made_at: datetime
    made_by: str
    document: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Planned:
    """What applying does with one policy; change is None where it stays as it is.

    diff  unified, of its YAML
    """

    name: str
    change: str | None
    id: int | None
    revision: int | None
    diff: str


class _Api:
    """Asks a detector with a token."""

    def __init__(
        self, url: str = "http://127.0.0.1:8490", *, token: str, timeout: timedelta = TIMEOUT
    ) -> None:
        self._url = url.rstrip("/")
        self._timeout_s = timeout.total_seconds()
        self._session = requests.Session()
        self._session.trust_env = False  # the token goes to this server alone, by no proxy
        self._session.headers.update(
            {
                "Authorization": f"Bearer {token.strip()}",
                "User-Agent": f"monitor-drift-agent/{__version__}",
            }
        )

    def _ask(
        self, method: str, path: str, body: object = None, **parameters: object
    ) -> dict[str, Any]:
        given = {
            key: value if isinstance(value, list) else _written(value)
            for key, value in parameters.items()
            if value is not None
        }
        try:
            answer = self._session.request(
                method,
                self._url + path,
                params=given,
                json=body,
                timeout=self._timeout_s,
                allow_redirects=False,
            )
        except requests.RequestException as error:
            raise ApiError(f"{self._url}: {_reason(error)}") from None
        except (TypeError, ValueError) as error:
            raise ApiError(f"the document is no JSON: {error}") from None
        try:
            told = answer.json()
        except ValueError:
            told = None
        if not isinstance(told, dict):
            raise ApiError(
                f"{self._url}: {answer.status_code}: not an answer of the detector's API"
            )
        if not answer.ok:
            raise _refusal(answer.status_code, told)
        return told


class PolicyManager(_Api):
    """Makes, changes and lists policies.

    url    of the detector
    token  of the API; viewers read, operators change

    All methods raise ApiError. `revision` is the one that a change was made to: if there is a newer
    one, the change is refused; without it, the change is made to whatever is there.
    """

    def create_policy(self, *, name: str, rules: Sequence[Document], **more: object) -> Policy:
        """A new policy, evaluated from now on; `more` are the other keys of its document."""
        body = {"name": name, **more, "rules": list(rules)}
        return _policy(self._ask("POST", "/api/policies", body))

    def update_policy(
        self,
        policy_id: int,
        *,
        name: str,
        rules: Sequence[Document],
        revision: int | None = None,
        **more: object,
    ) -> Policy:
        """The policy with this document in place of its own."""
        body = {"name": name, **more, "rules": list(rules)}
        return _policy(self._ask("PUT", f"/api/policies/{policy_id}", body, revision=revision))

    def delete_policy(self, policy_id: int, *, revision: int | None = None) -> Policy:
        """The policy as it was; restore_policy brings it back."""
        return _policy(self._ask("DELETE", f"/api/policies/{policy_id}", revision=revision))

    def enable_policy(self, policy_id: int, *, revision: int | None = None) -> Policy:
        """The policy, evaluated."""
        return _policy(self._ask("POST", f"/api/policies/{policy_id}/enable", revision=revision))

    def disable_policy(self, policy_id: int, *, revision: int | None = None) -> Policy:
        """The policy, kept but evaluated no more."""
        return _policy(self._ask("POST", f"/api/policies/{policy_id}/disable", revision=revision))

    def restore_policy(self, policy_id: int, number: int, *, revision: int | None = None) -> Policy:
        """The policy as it was at revision `number`."""
        path = f"/api/policies/{policy_id}/restore/{number}"
        return _policy(self._ask("POST", path, revision=revision))

    def policy(self, policy_id: int) -> Policy:
        """One policy."""
        return _policy(self._ask("GET", f"/api/policies/{policy_id}"))

    def state(self, policy_id: int) -> dict[str, Any]:
        """One policy with all that GET /api/policies/{id} tells of how it fares."""
        return self._ask("GET", f"/api/policies/{policy_id}")

    def list_policies(
        self, *, text: str | None = None, enabled: bool | None = None, deleted: bool = False
    ) -> list[Policy]:
        """All policies by name, or the deleted ones; `text` is part of the name."""
        return list(self._pages(text=text, enabled=enabled, deleted=deleted))

    def frame(self, *, text: str | None = None, enabled: bool | None = None) -> pd.DataFrame:
        """The same as a pandas frame, one row a policy: id, name, enabled, revision, rules, and
        when and by whom it was created and changed."""
        import pandas as pd

        rows = [
            {
                "id": each.id,
                "name": each.name,
                "enabled": each.enabled,
                "revision": each.revision,
                "rules": len(each.rules),
                "created_at": each.created_at,
                "created_by": each.created_by,
                "changed_at": each.changed_at,
                "changed_by": each.changed_by,
            }
            for each in self._pages(text=text, enabled=enabled)
        ]
        columns = ["id", "name", "enabled", "revision", "rules"]
        columns += ["created_at", "created_by", "changed_at", "changed_by"]
        return pd.DataFrame(rows, columns=columns)

    def revisions(self, policy_id: int) -> list[Revision]:
        """All that a policy has been, newest first."""
        found: list[Revision] = []
        below: int | None = None
        while True:
            page = self._ask("GET", f"/api/policies/{policy_id}/revisions", below=below)
            found += [
                Revision(**{**each, "made_at": datetime.fromisoformat(each["made_at"])})
                for each in page["revisions"]
            ]
            below = page["next_below"]
            if below is None:
                return found

    def diff(self, policy_id: int, before: int, after: int) -> str:
        """A unified diff of two revisions as YAML; empty if they are the same."""
        path = f"/api/policies/{policy_id}/diff"
        return str(self._ask("GET", path, before=before, after=after)["text"])

    def validate(self, document: Document) -> dict[str, Any]:
        """The rules that a document becomes (`rules`), how often its `tests` look at them, and what
        is `untested`; nothing is stored."""
        return self._ask("POST", "/api/policies/validate", document)

    def preview(
        self, document: Document, *, days: float = 7, step: timedelta | None = None
    ) -> dict[str, Any]:
        """When this policy would have fired in the last days, for which series and how long, what
        it would have asked for, and what to look at before it is saved (`warnings`)."""
        step_s = None if step is None else step.total_seconds()
        return self._ask("POST", "/api/policies/preview", document, days=days, step=step_s)

    def metrics(self, name: str | None = None) -> list[dict[str, Any]]:
        """The names that policies use, or one of them or of Prometheus: unit, help, values now."""
        found: list[dict[str, Any]] = self._ask("GET", "/api/metrics", name=name)["metrics"]
        return found

    def collect(self) -> dict[str, Any]:
        """Have all queries read and scored now: what came in and went out."""
        return self._ask("POST", "/api/metrics/collect")

    def apply(
        self, documents: Sequence[Document], *, prune: bool = False, dry_run: bool = False
    ) -> list[Planned]:
        """Make the policies of these names what the documents say, all of them or none; with
        `prune`, delete those of other names; with `dry_run`, only tell."""
        body = {"policies": list(documents), "prune": prune, "dry_run": dry_run}
        answer = self._ask("POST", "/api/policies/apply", body)
        return [Planned(**each) for each in answer["policies"]]

    def _pages(self, **wanted: object) -> Iterator[Policy]:
        cursor: str | None = None
        while True:
            page = self._ask("GET", "/api/policies", limit=PAGE, cursor=cursor, **wanted)
            yield from map(_policy, page["policies"])
            cursor = page["next_cursor"]
            if cursor is None:
                return


class Alerts(_Api):
    """Lists alerts, and does what people do about them; alerts are as GET /api/alerts tells them.

    url    of the detector
    token  of the API; viewers read, operators change

    All methods raise ApiError. `lasting` is a span as 2h.
    """

    def list_alerts(
        self,
        *,
        state: str | None = None,
        status: str | None = None,
        labels: Mapping[str, str] | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        limit: int = 100,
    ) -> list[dict[str, Any]]:
        """The newest `limit` of these alerts, 1 or more."""
        if limit < 1:
            raise ApiError(f"limit: {limit}: 1 or more is allowed")
        found: list[dict[str, Any]] = []
        cursor: str | None = None
        while len(found) < limit:
            page = self._ask(
                "GET",
                "/api/alerts",
                state=state,
                status=status,
                label=[f"{name}:{value}" for name, value in (labels or {}).items()],
                since=None if since is None else since.isoformat(),
                until=None if until is None else until.isoformat(),
                limit=min(limit - len(found), PAGE),
                cursor=cursor,
            )
            found += page["alerts"]
            cursor = page["next_cursor"]
            if cursor is None:
                break
        return found

    def alert(self, alert_id: int) -> dict[str, Any]:
        """One alert with its history."""
        return self._ask("GET", f"/api/alerts/{alert_id}")

    def acknowledge(
        self, alert_id: int, *, note: str = "", owner: str = "", lasting: str = "1h"
    ) -> dict[str, Any]:
        """Somebody sees to it: for so long nobody else is told."""
        return self._change(alert_id, "acknowledge", note=note, owner=owner, **{"for": lasting})

    def unacknowledge(self, alert_id: int, *, note: str = "") -> dict[str, Any]:
        """Nobody sees to it any more."""
        return self._change(alert_id, "unacknowledge", note=note)

    def silence(
        self,
        alert_id: int,
        *,
        reason: str,
        lasting: str,
        matchers: Sequence[Mapping[str, Any]] | None = None,
        planned: bool = False,
        confirm: str = "",
    ) -> dict[str, Any]:
        """Mute it alone, or what all matchers (name, value, is_regex, is_equal) hold of; what is
        muted for planned work is judged planned."""
        given = {"reason": reason, "for": lasting, "planned": planned, "confirm": confirm}
        if matchers is not None:
            given["matchers"] = [dict(each) for each in matchers]
        return self._change(alert_id, "silence", **given)

    def resolve(
        self, alert_id: int, *, note: str = "", even_if_it_comes_back: bool = False
    ) -> dict[str, Any]:
        """End it; what comes back is an alert of a rule whose condition still holds."""
        return self._change(
            alert_id, "resolve", note=note, even_if_it_comes_back=even_if_it_comes_back
        )

    def judge(self, alert_id: int, feedback: str, *, note: str = "") -> dict[str, Any]:
        """Say what it was: true, false_alarm or planned."""
        return self._change(alert_id, "feedback", feedback=feedback, note=note)

    def raise_alert(
        self,
        name: str,
        *,
        summary: str,
        severity: str = "warning",
        lasting: str = "1h",
        labels: Mapping[str, str] | None = None,
        **more: str,
    ) -> dict[str, Any]:
        """Raise an alert; `more` are its description, runbook, team."""
        body = {
            "name": name,
            "summary": summary,
            "severity": severity,
            "labels": dict(labels or {}),
            "for": lasting,
        }
        return self._ask("POST", "/api/alerts", body | more)

    def list_silences(self, state: str | None = None) -> list[dict[str, Any]]:
        """Alertmanager's silences that are not over, or those of this state."""
        found: list[dict[str, Any]] = self._ask("GET", "/api/silences", state=state)["silences"]
        return found

    def _change(self, alert_id: int, action: str, **more: object) -> dict[str, Any]:
        return self._ask("PUT", f"/api/alerts/{alert_id}", {"action": action, **more})


def _policy(told: Mapping[str, Any]) -> Policy:
    given = {each.name: told[each.name] for each in dataclasses.fields(Policy)}
    for key in ("created_at", "changed_at"):
        given[key] = datetime.fromisoformat(given[key])
    return Policy(**given)


def _refusal(status: int, told: Mapping[str, Any]) -> ApiError:
    return ApiError(
        str(told.get("detail", status)),
        status=status,
        faults=[(each["field"], each["value"], each["allowed"]) for each in told.get("errors", ())],
        current_revision=told.get("current_revision"),
        confirm=str(told.get("confirm", "")),
        muted=told.get("some", ()),
    )


def _written(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _reason(error: requests.RequestException) -> str:
    if isinstance(error, requests.Timeout):
        return "does not answer in time"
    if isinstance(error, requests.ConnectionError):
        return "cannot be reached: is the detector running there?"
    if isinstance(error, ValueError):  # InvalidURL and its like, of requests
        return "no address of a detector: one as http://127.0.0.1:8490 is needed"
    return "its answer cannot be read: try again"
