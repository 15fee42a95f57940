"""Policies' rules in the ruler of Mimir or Cortex, by its rules API.

One namespace is ours, a group in it for each policy. The API takes one group at a time, so unlike
with a file there are moments in which some of a change is there and the rest is not yet; what fails
puts back what it has changed. A ruler looks for new groups every minute or so, hence what is read
back is what it has stored, not what it evaluates.
"""

from __future__ import annotations

import contextlib
import logging
import urllib.parse
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import yaml

from detector import errors
from detector.policy import compiler, drafts, live
from detector.prometheus import connection, promtool, rules_api

logger = logging.getLogger(__name__)

NAMESPACE = "monitor-drift-agent"
_YAML = {"Content-Type": "application/yaml"}
NOTHING = 404
"""What is answered for a namespace without groups."""


@dataclass(frozen=True, slots=True)
class _Stored:
    """A group as the ruler tells it; what identifies its rules, and its text to put it back."""

    rules: frozenset[tuple[str, str]]
    text: str


class Ruler:
    """ports.RulePublisher over HTTP.

    client   of the Prometheus API: http://mimir/prometheus
    headers  such as X-Scope-OrgID, the tenant
    """

    def __init__(
        self,
        client: connection.Client,
        judge: promtool.Promtool | None,
        *,
        headers: Mapping[str, str],
    ) -> None:
        self._client = client
        self._judge = judge
        self._headers = dict(headers)
        self._published: dict[str, str] = {}

    def check(self, each: Sequence[drafts.Draft]) -> None:
        """By promtool; without one, what the compiler has parsed will do."""
        promtool.check(self._judge, each)

    @contextlib.contextmanager
    def publishing(
        self, policies: Sequence[compiler.Compiled]
    ) -> Iterator[tuple[live.LiveRule, ...]]:
        """Send groups that are new or changed, take away those that are no more, read back."""
        wanted = {compiler.group_name(each.policy): each for each in policies if each.rules}
        before = self._groups()
        changed: list[str] = []
        try:
            for name, compiled in wanted.items():
                is_there = name in before and before[name].rules == _rules_of(compiled)
                if not is_there or self._published.get(name) != compiled.text:
                    changed.append(name)
                    self._send(name, _one_group(compiled.text))
            for name in before.keys() - wanted.keys():
                changed.append(name)
                self._remove(name)
            if changed:
                self._confirm(wanted)
            yield ()  # it evaluates those of before until it looks
        except BaseException:
            self._put_back(before, changed)
            raise
        self._published = {name: each.text for name, each in wanted.items()}

    def live(self) -> tuple[live.LiveRule, ...]:
        """As GET /api/v1/rules tells those of our namespace."""
        return rules_api.read(self._client, NAMESPACE, headers=self._headers)

    def _groups(self) -> dict[str, _Stored]:
        answer = self._ask("GET", "", allowed={NOTHING})
        if answer.status == NOTHING:
            return {}
        try:
            groups = yaml.safe_load(answer.body)[NAMESPACE]
            return {group["name"]: _stored(group) for group in groups}
        except (yaml.YAMLError, KeyError, TypeError, AttributeError) as exc:
            raise errors.PublishError(
                f"ruler {self._client.url}: its groups are not readable", retryable=False
            ) from exc

    def _send(self, name: str, text: str) -> None:
        self._ask("POST", "", body=text.encode(), subject=name)

    def _remove(self, name: str) -> None:
        path = "/" + urllib.parse.quote(name, safe="")
        self._ask("DELETE", path, subject=name, allowed={NOTHING})

    def _confirm(self, wanted: Mapping[str, compiler.Compiled]) -> None:
        found = {name: group.rules for name, group in self._groups().items()}
        for name, compiled in wanted.items():
            if found.get(name) != _rules_of(compiled):
                raise errors.PublishError(
                    f"ruler {self._client.url} has not stored {name}, revision {compiled.revision}",
                    retryable=True,
                )
        if found.keys() - wanted.keys():
            surplus = min(found.keys() - wanted.keys())
            raise errors.PublishError(
                f"ruler {self._client.url} still has {surplus}", retryable=True
            )

    def _put_back(self, before: Mapping[str, _Stored], changed: Sequence[str]) -> None:
        """As it was; what fails here is mended by the next turn that looks at it."""
        self._published = {}
        try:
            for name in changed:
                if name in before:
                    self._send(name, before[name].text)
                else:
                    self._remove(name)
        except errors.PublishError as exc:
            logger.warning("groups of before not put back", extra={"reason": str(exc)})

    def _ask(
        self,
        method: str,
        path: str,
        *,
        body: bytes | None = None,
        subject: str = NAMESPACE,
        allowed: frozenset[int] | set[int] = frozenset(),
    ) -> connection.Answer:
        try:
            answer = self._client.call(
                method,
                f"/config/v1/rules/{NAMESPACE}{path}",
                body=body,
                headers={**self._headers, **(_YAML if body else {})},
            )
        except errors.UpstreamError as exc:
            raise errors.PublishError(f"ruler: {exc}", retryable=True) from exc
        if answer.status >= 300 and answer.status not in allowed:
            said = connection.one_line(answer.body.decode("utf-8", "replace"))
            told = f"answers {answer.status} to {method} of {subject}: {said}"
            raise errors.PublishError(
                f"ruler {self._client.url} {told}", retryable=answer.status >= 500
            )
        return answer


def _rules_of(compiled: compiler.Compiled) -> frozenset[tuple[str, str]]:
    return frozenset((str(compiled.revision), str(rule.number)) for rule in compiled.rules)


def _stored(group: Mapping[str, object]) -> _Stored:
    rules = group.get("rules") or ()
    assert isinstance(rules, list | tuple)  # noqa: S101 - else it is no rule group
    labels = [rule.get("labels") or {} for rule in rules]
    found = frozenset(
        (str(each.get(compiler.REVISION)), str(each.get(compiler.RULE))) for each in labels
    )
    return _Stored(found, yaml.safe_dump(dict(group), sort_keys=False, allow_unicode=True))


def _one_group(text: str) -> str:
    """The group alone, of the text of an item of a list."""
    (group,) = yaml.safe_load(text)
    return yaml.safe_dump(group, sort_keys=False, allow_unicode=True)
