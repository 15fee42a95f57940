"""Policies' rules in one file that Prometheus reads, replaced as a whole.

One file of all policies, so that what is on disk is at every moment the old set or the new one:
files of their own would be half of each after a crash between two of them.
"""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from pathlib import Path

import msgspec

from detector import errors, whole
from detector.policy import compiler, drafts, live
from detector.prometheus import connection, promtool, query, rules_api

logger = logging.getLogger(__name__)

FILE_NAME = "policies.yml"
RELOAD_TIMEOUT = timedelta(seconds=60)
"""10,000 rules take 1.5 s; a Prometheus that is busy takes longer."""
PUT_BACK_TIMEOUT = timedelta(seconds=5)
"""Nobody waits for it: a Prometheus that hangs does it when it goes on."""
SEEN_WITHIN = timedelta(seconds=5)
"""A reload is done when it is answered; a proxy before several may need a moment."""
POLL_S = 0.1
FORBIDDEN, NO_ROUTE, NOT_ALLOWED = 403, 404, 405


class _Runtime(msgspec.Struct):
    loaded_at: str = msgspec.field(name="lastConfigTime")


class RuleFiles:
    """ports.RulePublisher by file and reload."""

    def __init__(
        self,
        folder: Path,
        client: connection.Client,
        judge: promtool.Promtool | None,
        *,
        reload_timeout: timedelta = RELOAD_TIMEOUT,
    ) -> None:
        self._file = folder / FILE_NAME
        self._client = client
        self._judge = judge
        self._reload_timeout = reload_timeout
        self._is_confirmed = False

    def check(self, each: Sequence[drafts.Draft]) -> None:
        """By promtool; without one, what the compiler has parsed will do."""
        promtool.check(self._judge, each)

    @contextlib.contextmanager
    def publishing(
        self, policies: Sequence[compiler.Compiled]
    ) -> Iterator[tuple[live.LiveRule, ...]]:
        """Write, reload, read back; nothing is done where all is as it should be."""
        text = compiler.file_text(policies)
        wanted = _rules_of(policies)
        before = self._read()
        if before is None and not wanted:  # then Prometheus need not be able to reload
            yield ()
            return
        live_before = self._read_back()
        is_same = text == before and not any(_differences(wanted, live_before))
        if is_same and (self._is_confirmed or self._is_loaded()):
            yield ()
            return
        try:
            if text != before:
                self._write(text)
            self._reload(self._reload_timeout)
            self._confirm(wanted)
            self._is_confirmed = True
            yield tuple(each for each in live_before if each.key not in wanted)
        except BaseException:
            if text != before:
                self._put_back(before)
            raise

    def _is_loaded(self) -> bool:
        """Whether Prometheus has read its files since ours was written: a process that was killed
        in between may have left other thresholds in it, which no rule's labels tell. Asked until
        we have seen a reload of our own."""
        try:
            answer = self._client.call("GET", "/api/v1/status/runtimeinfo")
            told = query.envelope_from_answer(answer.status, answer.body)
            loaded_at = msgspec.json.decode(told.data, type=_Runtime).loaded_at
            written_s = self._file.stat().st_mtime
            return datetime.fromisoformat(loaded_at).timestamp() > written_s
        except (errors.UpstreamError, msgspec.MsgspecError, ValueError, OSError):
            return False

    def _read_back(self) -> tuple[live.LiveRule, ...]:
        try:
            return self.live()
        except errors.UpstreamError as exc:
            raise errors.PublishError(
                f"Prometheus does not tell which rules it has: {exc}", retryable=True
            ) from exc

    def live(self) -> tuple[live.LiveRule, ...]:
        """As GET /api/v1/rules tells them."""
        return rules_api.read(self._client, FILE_NAME)

    def _read(self) -> str | None:
        """What stands in the file; None if there is none, or something that is not ours."""
        try:
            return self._file.read_text(encoding="utf-8")
        except FileNotFoundError:
            return None
        except UnicodeDecodeError:
            return ""
        except OSError as exc:
            raise self._failed(exc) from exc

    def _write(self, text: str | None) -> None:
        try:
            if text is None:
                whole.remove(self._file)
            else:
                whole.write(self._file, text)
        except OSError as exc:
            raise self._failed(exc) from exc

    def _reload(self, timeout: timedelta) -> None:
        try:
            answer = self._client.call("POST", "/-/reload", timeout=timeout)
        except errors.UpstreamError as exc:
            raise errors.PublishError(f"Prometheus does not reload: {exc}", retryable=True) from exc
        if answer.status in (FORBIDDEN, NO_ROUTE, NOT_ALLOWED):
            raise errors.PublishError(
                f"Prometheus {self._client.url} does not reload when it is asked to "
                f"(it answers {answer.status}): start it with --web.enable-lifecycle",
                retryable=False,
            )
        if answer.status != 200:
            said = connection.one_line(answer.body.decode("utf-8", "replace"))
            raise errors.PublishError(
                f"Prometheus refuses to reload: {said}: its log says which file is wrong",
                retryable=False,
            )

    def _confirm(self, wanted: frozenset[_Rule]) -> None:
        """Wait until Prometheus evaluates these. Raises PublishError if it does not."""
        deadline_s = time.monotonic() + SEEN_WITHIN.total_seconds()
        while True:
            missing, surplus = _differences(wanted, self._read_back())
            if not missing and not surplus:
                return
            if time.monotonic() > deadline_s:
                break
            time.sleep(POLL_S)
        (name, revision, number), what = (
            (min(missing), "does not evaluate") if missing else (min(surplus), "still evaluates")
        )
        raise errors.PublishError(
            f"Prometheus {self._client.url} {what} rule {number} of policy {name}, revision "
            f"{revision}: is {self._file.parent}/*.yml among its rule_files?",
            retryable=False,
        )

    def _put_back(self, before: str | None) -> None:
        """As it was; what fails here is mended by the next turn that looks at it."""
        try:
            self._write(before)
            self._reload(min(PUT_BACK_TIMEOUT, self._reload_timeout))
        except errors.PublishError as exc:
            logger.warning("rules of before not reloaded", extra={"reason": str(exc)})

    def _failed(self, exc: OSError) -> errors.PublishError:
        return errors.PublishError(
            f"{exc.filename or self._file}: {exc.strerror}: the rules stay as they were",
            retryable=True,
        )


_Rule = tuple[str, int, int]
"""(policy, revision, number)"""


def _rules_of(policies: Sequence[compiler.Compiled]) -> frozenset[_Rule]:
    return frozenset(
        (each.policy, each.revision, rule.number) for each in policies for rule in each.rules
    )


def _differences(
    wanted: frozenset[_Rule], found: Sequence[live.LiveRule]
) -> tuple[frozenset[_Rule], frozenset[_Rule]]:
    """(those that are not evaluated, those that are and should not be)."""
    keys = frozenset(each.key for each in found)
    return wanted - keys, keys - wanted
