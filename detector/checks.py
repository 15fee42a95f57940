"""What can be wrong before anything runs: queries, Prometheus, PostgreSQL, Alertmanager."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum

import numpy as np

from detector import config, ensembles, errors, frames, planning
from detector.models import budget
from detector.notify import catalogue
from detector.prometheus import connection, encode, reader, selectors
from detector.store import database

DATABASE_URL = "DATABASE_URL"
RETRY_S = 0.5
REFUSED_PASSWORD = "password authentication failed"  # noqa: S105 - words of PostgreSQL
"""libpq gives no SQLSTATE for a connection that was refused; in another language we only wait."""
LONGEST_FOR_VONAGE = 34
"""Of the 100 characters of a callback address that it takes, the path of a receipt needs 66."""
NO_RECEIVER = 404
"""What Prometheus answers to a remote write that it was not told to take."""
NO_SAMPLES = b"\x00"
"""A remote write of nothing, which Prometheus takes; one without a body it logs as an error."""


class Verdict(StrEnum):
    """How a check came out; a note is worth reading but stops nothing."""

    OK = "ok"
    NOTE = "note"
    WRONG = "wrong"


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at.

    may_pass  what is wrong may pass by itself, as with a server that is still starting
    """

    verdict: Verdict
    subject: str
    text: str
    may_pass: bool = False

    def __str__(self) -> str:
        return f"{self.subject}: {self.text}"


def offline(settings: config.Settings) -> Iterator[Check]:
    """What the settings alone can tell."""
    for query in settings.all_queries():
        yield _query(settings, query)
        yield from _models(settings, query)
    yield from _calendars(settings)
    yield _promtool(settings)
    numbers = {*settings.sms.recipients, *(n for team in settings.teams.values() for n in team.sms)}
    if numbers:
        yield _sms(settings, len(numbers))
    yield from _notify(settings)
    own = settings.alertmanager.config
    if own is not None and not own.is_file():
        text = f"{own}: no such file: name Alertmanager's configuration, or unset it for ours"
        yield Check(Verdict.WRONG, "alertmanager.config", text)
    yield database_url(settings)


def online(settings: config.Settings) -> Iterator[Check]:
    """What the servers say."""
    prometheus = connect(settings)
    server = _prometheus(settings, prometheus)
    yield server
    if server.verdict is not Verdict.WRONG:
        for query in settings.all_queries():
            yield _series(settings, query, prometheus)
    if settings.database_url is not None and database_url(settings).verdict is Verdict.OK:
        yield _database(settings.database_url.get_secret_value())
    yield _alertmanager(settings)


def connect(settings: config.Settings) -> reader.Reader:
    """A reader of the configured Prometheus."""
    return reader.Reader(
        settings.prometheus.url,
        timeout=settings.prometheus.timeout,
        auth=auth(settings),
        lookback=settings.prometheus.lookback,
        clock=time.time,  # noqa: TID251 - handed on as the clock
    )


def auth(settings: config.Settings) -> connection.Auth | None:
    """Who we are to Prometheus."""
    given = settings.prometheus
    if given.bearer_token is not None:
        return connection.Auth(bearer_token=given.bearer_token.get_secret_value())
    if given.username is None:
        return None
    password = given.password.get_secret_value() if given.password else None
    return connection.Auth(username=given.username, password=password)


def require(
    settings: config.Settings, *, patience: timedelta, say: Callable[[Check], None]
) -> None:
    """Wait until nothing is wrong any more; what may pass is waited for, `patience` in all.

    Raises ConfigError with the first thing that is wrong: at once if waiting cannot mend it.
    """
    raise_first_wrong(offline(settings))
    deadline = time.monotonic() + patience.total_seconds()
    told: Check | None = None
    while True:
        wrong = next((c for c in _required(settings) if c.verdict is Verdict.WRONG), None)
        if wrong is None:
            return
        if not wrong.may_pass or time.monotonic() > deadline:
            raise errors.ConfigError(str(wrong))
        if wrong != told:
            say(wrong)
            told = wrong
        time.sleep(RETRY_S)


def require_queries(settings: config.Settings, names: Collection[str]) -> None:
    """Look at settings that are to be taken up while everything runs, and ask Prometheus about the
    queries of these names. It need not answer: they are read again each step.

    Raises ConfigError with the first thing that is wrong.
    """
    raise_first_wrong(offline(settings))
    prometheus = connect(settings)
    raise_first_wrong(
        _syntax(settings, query, prometheus)
        for query in settings.all_queries()
        if query.name in names
    )


def raise_first_wrong(checks: Iterable[Check]) -> None:
    """Raises ConfigError with the first of them that is wrong, if one is."""
    for check in checks:
        if check.verdict is Verdict.WRONG:
            raise errors.ConfigError(str(check))


def _required(settings: config.Settings) -> Iterator[Check]:
    prometheus = connect(settings)
    server = _prometheus(settings, prometheus)
    yield server
    if server.verdict is not Verdict.WRONG:
        for query in settings.all_queries():
            yield _syntax(settings, query, prometheus)
    if settings.database_url is None:
        yield Check(
            Verdict.WRONG,
            DATABASE_URL,
            "not set: postgresql://user:password@host:5432/name is needed (mda up brings its own)",
        )
    else:
        yield _database(settings.database_url.get_secret_value())


def _query(settings: config.Settings, query: config.Query) -> Check:
    subject = f"query {query.name}"
    try:
        selectors.parse(settings.expr_of(query))
        budget.parse_budget(query.budget)
    except (errors.UpstreamError, ValueError) as error:
        return Check(Verdict.WRONG, subject, str(error))
    step = settings.step_of(query)
    asked = [("forecast", horizon) for horizon in query.forecast]
    if query.exhaustion is not None:
        asked.append(("exhaustion", query.exhaustion))
    for key, horizon in asked:
        if horizon < step:
            wrong = f"{key}: {horizon.total_seconds():g}s: a step ({_step(settings, query)})"
            return Check(Verdict.WRONG, subject, f"{wrong} or more is allowed")
    return Check(Verdict.OK, subject, f"{query.budget}, step {_step(settings, query)}")


def _models(settings: config.Settings, query: config.Query) -> Iterator[Check]:
    """What keeps a query's own models from scoring it."""
    subject = f"query {query.name}"
    if not settings.ml_detection_enabled and ensembles.asks_for_fits(query):
        text = "its fitted models are not used: ML_DETECTION_ENABLED is false"
        yield Check(Verdict.NOTE, subject, text)
    try:
        chosen = ensembles.ensemble_of(settings, query)
    except errors.ConfigError as error:
        yield Check(Verdict.WRONG, subject, str(error).removeprefix(f"{subject}: "))
        return
    for problem in ensembles.problems_of(chosen):
        yield Check(Verdict.WRONG, subject, problem)


def _sms(settings: config.Settings, numbers: int) -> Check:
    try:
        asked = catalogue.providers_of(settings.sms, lambda: datetime.now(UTC))  # noqa: TID251 - as above
    except errors.ConfigError as error:
        _, _, text = str(error).partition(": ")
        return Check(Verdict.WRONG, "sms", text)
    named = ", then ".join(each.name for each in asked)
    told = f"{named} to {numbers} numbers"
    if settings.public_url is None:
        return Check(Verdict.NOTE, "sms", f"{told}; no receipts without public_url")
    if len(settings.public_url) > LONGEST_FOR_VONAGE and any(
        each.name == "vonage" for each in asked
    ):
        text = f"vonage brings no receipts to a public_url of over {LONGEST_FOR_VONAGE} characters"
        return Check(Verdict.NOTE, "sms", f"{told}; {text}")
    return Check(Verdict.OK, "sms", told)


def _notify(settings: config.Settings) -> Iterator[Check]:
    """What Apprise is to send to; one fault at a time."""
    try:
        for name in catalogue.services_of(settings.notify):
            yield Check(Verdict.OK, f"notify.{name}", "Apprise knows this service")
    except errors.ConfigError as error:
        subject, _, text = str(error).partition(": ")
        yield Check(Verdict.WRONG, subject, text)


def _promtool(settings: config.Settings) -> Check:
    """What policies are judged by before they are published."""
    given = settings.policies.promtool
    found = shutil.which("promtool" if given is None else given)
    if found is not None:
        return Check(Verdict.OK, "policies", f"rules are tested by {found}")
    if given is not None:
        return Check(Verdict.WRONG, "policies.promtool", f"{given}: not a program that can be run")
    return Check(
        Verdict.NOTE, "policies", "no promtool on PATH: rules are parsed, their tests are not run"
    )


def _calendars(settings: config.Settings) -> Iterator[Check]:
    try:
        plans = planning.Planning(settings)
    except errors.ConfigError as error:
        subject, _, text = str(error).partition(": ")
        yield Check(Verdict.WRONG, subject, text)
        return
    now = datetime.now(UTC)  # noqa: TID251 - says what the present is
    for name, calendar in settings.calendars.items():
        planned = plans.planned_time((name,))
        state = "planned" if planned.is_planned(_ms(now)).any() else "nothing planned"
        change = planned.next_change(now)
        until = change.astimezone(calendar.timezone).isoformat() if change else "further notice"
        yield Check(Verdict.OK, f"calendars.{name}", f"{state} until {until}")


def _ms(instant: datetime) -> frames.Ints:
    return np.array([int(instant.timestamp() * 1000)])


def _step(settings: config.Settings, query: config.Query) -> str:
    return f"{settings.step_of(query).total_seconds():g}s"


def _prometheus(settings: config.Settings, prometheus: reader.Reader) -> Check:
    subject = f"Prometheus {settings.prometheus.url}"
    client = connection_of(settings)
    try:
        now_ms = int(time.time() * 1000)  # noqa: TID251 - asks for the present
        prometheus.read_instant("vector(1)", at_ms=now_ms, table=frames.SeriesTable())
        write = client.call(
            "POST", "/api/v1/write", body=NO_SAMPLES, headers=encode.Protocol.V1.headers
        )
        build = client.call("GET", "/api/v1/status/buildinfo")
    except errors.UpstreamError as error:
        return Check(Verdict.WRONG, subject, _reason(settings, error), may_pass=_may_pass(error))
    if write.status == NO_RECEIVER:
        return Check(
            Verdict.WRONG,
            subject,
            "refuses remote write: start it with --web.enable-remote-write-receiver",
        )
    return Check(Verdict.OK, subject, f"version {_version(build)}")


def _reason(settings: config.Settings, error: errors.UpstreamError) -> str:
    """The error without the address, which the subject names already."""
    return str(error).removeprefix(f"{settings.prometheus.url.rstrip('/')}: ")


def _may_pass(error: errors.UpstreamError) -> bool:
    """Whether the server may only be starting: Prometheus answers 503 while it reads its log."""
    return error.kind in {"unreachable", "timeout"} or (error.kind == "status" and error.retryable)


def _version(build: connection.Answer) -> str:
    try:
        return str(json.loads(build.body)["data"]["version"])
    except (ValueError, KeyError, TypeError):
        return "unknown"


def connection_of(settings: config.Settings) -> connection.Client:
    """An HTTP client of the configured Prometheus."""
    return connection.Client(
        settings.prometheus.url, timeout=settings.prometheus.timeout, auth=auth(settings)
    )


def _syntax(settings: config.Settings, query: config.Query, prometheus: reader.Reader) -> Check:
    subject = f"query {query.name}"
    try:
        prometheus.validate(settings.expr_of(query))
    except errors.UpstreamError as error:
        verdict = Verdict.WRONG if error.kind == "query" else Verdict.NOTE
        return Check(verdict, subject, str(error))
    return Check(Verdict.OK, subject, "valid")


def _series(settings: config.Settings, query: config.Query, prometheus: reader.Reader) -> Check:
    subject = f"query {query.name}"
    table = frames.SeriesTable()
    try:
        now_ms = int(time.time() * 1000)  # noqa: TID251 - asks for the present
        prometheus.read_instant(settings.expr_of(query), at_ms=now_ms, table=table)
    except errors.UpstreamError as error:
        return Check(Verdict.WRONG, subject, str(error))
    if not table.live:
        return Check(Verdict.NOTE, subject, "gives no series now")
    return Check(Verdict.OK, subject, f"{table.live} series")


def database_url(settings: config.Settings) -> Check:
    """Whether the URL is one of PostgreSQL's; nothing is connected to."""
    if settings.database_url is None:
        text = "not set: mda serve needs it, mda up brings its own"
        return Check(Verdict.NOTE, DATABASE_URL, text)
    try:
        database.Database(settings.database_url.get_secret_value()).close()
    except errors.StoreError as error:
        return _wrong_database(error)
    return Check(Verdict.OK, DATABASE_URL, "well formed")


def _database(url: str) -> Check:
    try:
        store = database.Database(url)
        try:
            store.check()
        finally:
            store.close()
    except errors.StoreError as error:
        return _wrong_database(error)
    return Check(Verdict.OK, DATABASE_URL, "PostgreSQL answers")


def _wrong_database(error: errors.StoreError) -> Check:
    text = str(error).removeprefix(f"{DATABASE_URL}: ")
    may_pass = error.retryable and REFUSED_PASSWORD not in text
    return Check(Verdict.WRONG, DATABASE_URL, text, may_pass=may_pass)


def _alertmanager(settings: config.Settings) -> Check:
    subject = f"Alertmanager {settings.alertmanager.url}"
    client = connection.Client(
        settings.alertmanager.url, timeout=settings.prometheus.timeout, auth=None
    )
    try:
        answer = client.call("GET", "/-/ready")
    except errors.UpstreamError:
        return Check(Verdict.NOTE, subject, "does not answer: alerts will not be routed")
    verdict = Verdict.OK if answer.status == 200 else Verdict.NOTE
    return Check(verdict, subject, f"answers {answer.status}")
