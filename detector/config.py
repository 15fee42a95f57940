"""One frozen model of all settings: defaults < YAML < environment < secrets from files."""

from __future__ import annotations

import json
import os
import re
import urllib.parse
import zoneinfo
from collections.abc import Iterator, Mapping
from datetime import datetime, time, timedelta
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Literal, Self, get_args

import dotenv
import pydantic
import pydantic_settings
import yaml
from pydantic import Field

from detector import errors, presets

PREFIX = "MDA_"

BARE_NAMES: dict[str, tuple[str, ...]] = {
    "DATABASE_URL": ("database_url",),
    "METRIC_COLLECTION_INTERVAL": ("metric_collection_interval",),
    "DEFAULT_CPU_THRESHOLD": ("thresholds", "cpu"),
    "DEFAULT_MEMORY_THRESHOLD": ("thresholds", "memory"),
    "DEFAULT_DISK_THRESHOLD": ("thresholds", "disk"),
    "ANOMALY_DETECTION_ENABLED": ("anomaly_detection_enabled",),
    "ML_DETECTION_ENABLED": ("ml_detection_enabled",),
    "EMAIL_SMTP_SERVER": ("email", "smtp_server"),
    "EMAIL_SMTP_PORT": ("email", "smtp_port"),
    "EMAIL_USERNAME": ("email", "username"),
    "EMAIL_PASSWORD": ("email", "password"),
    "EMAIL_FROM": ("email", "sender"),
    "EMAIL_TO": ("email", "recipients"),
    "SLACK_WEBHOOK_URL": ("slack", "webhook_url"),
    "SLACK_CHANNEL": ("slack", "channel"),
    "PAGERDUTY_ROUTING_KEY": ("pagerduty", "routing_key"),
    "OPSGENIE_API_KEY": ("opsgenie", "api_key"),
    "MSTEAMS_WEBHOOK_URL": ("msteams", "webhook_url"),
    "DISCORD_WEBHOOK_URL": ("discord", "webhook_url"),
    "TELEGRAM_BOT_TOKEN": ("telegram", "bot_token"),
    "TELEGRAM_CHAT_ID": ("telegram", "chat_id"),
    "WEBHOOK_URL": ("webhook", "url"),
    "WEBHOOK_BEARER_TOKEN": ("webhook", "bearer_token"),
    "SMS_PROVIDER": ("sms", "provider"),
    "SMS_API_KEY": ("sms", "api_key"),
    "SMS_API_SECRET": ("sms", "api_secret"),
    "SMS_FROM_NUMBER": ("sms", "from_number"),
    "SMS_TO": ("sms", "recipients"),
    "HEARTBEAT_URL": ("heartbeat", "url"),
}
"""Names that users of the system have already -> where their value belongs in Settings."""

_SECRETS: dict[str, tuple[str, ...]] = {
    name: BARE_NAMES[name]
    for name in (
        "DATABASE_URL",
        "EMAIL_PASSWORD",
        "SLACK_WEBHOOK_URL",
        "PAGERDUTY_ROUTING_KEY",
        "OPSGENIE_API_KEY",
        "MSTEAMS_WEBHOOK_URL",
        "DISCORD_WEBHOOK_URL",
        "TELEGRAM_BOT_TOKEN",
        "WEBHOOK_URL",
        "WEBHOOK_BEARER_TOKEN",
        "SMS_API_KEY",
        "SMS_API_SECRET",
        "HEARTBEAT_URL",
    )
} | {
    "MDA_PROMETHEUS__PASSWORD": ("prometheus", "password"),
    "MDA_PROMETHEUS__BEARER_TOKEN": ("prometheus", "bearer_token"),
}
"""Names that may also be given as NAME_FILE, a file that holds the value."""

_NOT_SETTINGS = {"MDA_CONFIG_FILE"}

_UNIT_S = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0}
_DURATION = re.compile(r"(?:\d+(?:ms|[smhdw]))+")
_DURATION_PART = re.compile(r"(\d+)(ms|[smhdw])")
_DURATION_ALLOWED = "a number of seconds or a duration such as 90s, 5m, 1h30m"
_TIME_OF_DAY = re.compile(r"(?P<hour>[01]?\d|2[0-3]|24(?=:00)):(?P<minute>[0-5]\d)")
_HOUR_MINUTES = 60
_ADDRESS = re.compile(r"https?://[^\s/?#]+([/?][^\s#]*)?")
_HOST = re.compile(r"[^\s:/@\[\]]+|[0-9a-fA-F.]*:[0-9a-fA-F.]*:[0-9a-fA-F:.]*")
_NUMBER = re.compile(r"\+[1-9]\d{6,14}")
_NUMBERS_ALLOWED = "numbers in international form are allowed, in quotes, as '+491701234567'"


def parse_duration(value: object) -> object:
    """A timedelta from seconds or from Prometheus' notation ("90s", "1h30m"); else unchanged.

    >>> parse_duration("1h30m")
    datetime.timedelta(seconds=5400)
    """
    if isinstance(value, bool):
        raise ValueError(_DURATION_ALLOWED)
    if isinstance(value, str):
        try:
            if _DURATION.fullmatch(value):
                parts = _DURATION_PART.findall(value)
                return timedelta(seconds=sum(int(count) * _UNIT_S[unit] for count, unit in parts))
            return timedelta(seconds=float(value))
        except (ValueError, OverflowError):
            raise ValueError(_DURATION_ALLOWED) from None
    return value


def parse_time_of_day(value: object) -> object:
    """A time of day from HH:MM, 24:00 for the midnight that ends the day; else an error.

    YAML 1.1 takes an unquoted 22:30 for a number to base 60, so whole minutes are understood too.

    >>> parse_time_of_day("22:30") == parse_time_of_day(1350) == time(22, 30)
    True
    """
    if isinstance(value, time):
        return value
    if type(value) is int and _HOUR_MINUTES <= value <= 24 * _HOUR_MINUTES:
        return time(value // _HOUR_MINUTES % 24, value % _HOUR_MINUTES)
    found = _TIME_OF_DAY.fullmatch(value) if isinstance(value, str) else None
    if found is None:
        raise ValueError("a time from 00:00 to 24:00 is allowed, in quotes")
    return time(int(found["hour"]) % 24, int(found["minute"]))


def parse_numbers(value: object) -> object:
    """Phone numbers in international form, from a list or a text with commas between them.

    >>> parse_numbers("+49 170 1234567, +44-7700-900123")
    ('+491701234567', '+447700900123')
    """
    given = value.split(",") if isinstance(value, str) else value
    if not isinstance(given, list | tuple):
        raise ValueError(_NUMBERS_ALLOWED)
    found = []
    for each in given:
        number = re.sub(r"[\s()./-]", "", each) if isinstance(each, str) else ""
        if not _NUMBER.fullmatch(number):
            raise ValueError(f"{each!r}: {_NUMBERS_ALLOWED}")
        found.append(number)
    return tuple(found)


def parse_zone(value: object) -> object:
    """The time zone of this IANA name."""
    if isinstance(value, str):
        try:
            return zoneinfo.ZoneInfo(value)
        except (KeyError, ValueError, OSError):
            pass
    elif isinstance(value, zoneinfo.ZoneInfo):
        return value
    raise ValueError("a time zone is allowed, as in UTC, Europe/Berlin, America/New_York")


def _refuse_numbers(value: object) -> object:
    """An instant is never written as seconds since 1970, so a number is a slip."""
    if isinstance(value, (int, float)):
        raise ValueError("a time is allowed, as in 2026-12-24 18:00 or 2026-12-24T18:00:00+01:00")
    return value


def _address(given: pydantic.SecretStr) -> pydantic.SecretStr:
    """The same. Raises ValueError if it is none; what is given is not told."""
    try:
        host = urllib.parse.urlsplit(given.get_secret_value()).hostname
    except ValueError:
        host = None
    if not (host and _ADDRESS.fullmatch(given.get_secret_value())):
        raise ValueError("an address is allowed, as https://example.org/path")
    return given


def _no_number(name: str) -> str:
    if name.lower() in ("inf", "nan"):
        raise ValueError("a number of PromQL, which no list of labels can name")
    return name


Duration = Annotated[
    timedelta,
    pydantic.BeforeValidator(parse_duration),
    pydantic.WithJsonSchema(
        {
            "type": ["string", "number"],
            "pattern": f"^(?:{_DURATION.pattern}|[0-9]+([.][0-9]+)?)$",
            "description": "seconds, or as 90s, 5m, 1h30m",
        }
    ),
]
TimeOfDay = Annotated[
    time,
    pydantic.BeforeValidator(parse_time_of_day),
    pydantic.WithJsonSchema({"type": "string", "pattern": "^[0-9]{1,2}:[0-9]{2}$"}),
]
Zone = Annotated[
    zoneinfo.ZoneInfo,
    pydantic.BeforeValidator(parse_zone),
    pydantic.WithJsonSchema({"type": "string", "examples": ["UTC", "Europe/Berlin"]}),
]
Instant = Annotated[datetime, pydantic.BeforeValidator(_refuse_numbers)]
Weekday = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
Numbers = Annotated[
    tuple[str, ...],
    pydantic.BeforeValidator(parse_numbers),
    pydantic.WithJsonSchema(
        {
            "type": ["string", "array"],
            "items": {"type": "string", "pattern": "^[+][1-9][0-9]{6,14}$"},
            "description": "numbers in international form, a list or with commas between them",
        }
    ),
]
Percent = Annotated[float, Field(gt=0, le=100)]
ModelName = Annotated[str, Field(pattern=r"^[a-z_][a-z0-9_]*$", max_length=100)]
Name = Annotated[str, Field(pattern=r"^[a-zA-Z_][a-zA-Z0-9_]*$", max_length=100)]

Severity = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_-]*$", max_length=50)]
Severities = Annotated[tuple[Severity, ...], Field(min_length=1)]
TeamName = Annotated[str, Field(pattern=r"^[a-zA-Z0-9][a-zA-Z0-9_-]*$", max_length=50)]
NotifyName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_-]*$", max_length=40)]
SecretAddress = Annotated[pydantic.SecretStr, pydantic.AfterValidator(_address)]
"""Who knows it may post there."""
HttpUrl = Annotated[str, Field(pattern=r"^https?://[^\s/]+")]

LabelName = Annotated[
    str,
    Field(pattern=r"^[a-zA-Z_][a-zA-Z0-9_]*$", max_length=200),
    pydantic.AfterValidator(_no_number),
]

Least = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Scale = Annotated[float, Field(gt=0, le=100)]


def _both_sides(given: object) -> object:
    """One number stands for both sides."""
    is_number = isinstance(given, int | float) and not isinstance(given, bool)
    return (given, given) if is_number else given


LeastSides = Annotated[tuple[Least, Least], pydantic.BeforeValidator(_both_sides)]
ScaleSides = Annotated[tuple[Scale, Scale], pydantic.BeforeValidator(_both_sides)]
Horizon = Annotated[Duration, Field(ge=timedelta(minutes=5), le=timedelta(days=30))]
Bound = Annotated[float, Field(allow_inf_nan=False)]


TOLD: tuple[str, ...] = ("critical", "high", "warning", "medium")
"""Severities that people are told of where they read it when they have the time."""
PAGED: tuple[str, ...] = ("critical", "high")
"""Severities that wake somebody."""


class _Section(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(extra="forbid", frozen=True)


class PrometheusSettings(_Section):
    """The Prometheus that is queried and written to."""

    url: str = Field("http://127.0.0.1:9090", pattern=r"^https?://[^\s/]+")
    timeout: Duration = Field(timedelta(seconds=10), gt=timedelta(0), le=timedelta(minutes=10))
    lookback: Duration = Field(timedelta(minutes=5), gt=timedelta(0), le=timedelta(hours=1))
    username: str | None = None
    password: pydantic.SecretStr | None = None
    bearer_token: pydantic.SecretStr | None = None


class AlertmanagerSettings(_Section):
    """The Alertmanager that routes."""

    url: str = Field("http://127.0.0.1:9093", pattern=r"^https?://[^\s/]+")
    version: str | None = Field(None, pattern=r"^v?\d+\.\d+(\.\d+)?$")
    config: Path | None = None
    events: bool = True


class SilenceSettings(_Section):
    """Above which size a silence that is made here has to be confirmed."""

    longest: Duration = Field(timedelta(days=7), ge=timedelta(minutes=1), le=timedelta(days=366))
    confirm_above: int = Field(10, ge=0)
    confirm_above_ratio: float = Field(0.2, ge=0, le=1)


class Thresholds(_Section):
    """Percentages for rules that name none."""

    cpu: Percent = 80.0
    memory: Percent = 80.0
    disk: Percent = 80.0


class EmailSettings(_Section):
    """Mail goes out once a server and recipients are given."""

    smtp_server: str | None = None
    smtp_port: int = Field(587, ge=1, le=65535)
    username: str | None = None
    password: pydantic.SecretStr | None = None
    sender: str | None = None
    recipients: str | None = None
    severities: Severities = TOLD

    @pydantic.field_validator("smtp_server")
    @classmethod
    def _is_a_host(cls, given: str | None) -> str | None:
        if given and not _HOST.fullmatch(given):
            raise ValueError("a host is allowed, as smtp.example.org; its port is smtp_port")
        return given


class SlackSettings(_Section):
    """Slack is told once the webhook is given."""

    webhook_url: SecretAddress | None = None
    channel: str | None = None
    severities: Severities = TOLD


class PagerDutySettings(_Section):
    """PagerDuty is told once the key of an integration (Events API v2) is given."""

    routing_key: pydantic.SecretStr | None = None
    url: HttpUrl | None = None
    severities: Severities = PAGED


class OpsgenieSettings(_Section):
    """Opsgenie is told once the key of an API integration is given."""

    api_key: pydantic.SecretStr | None = None
    url: HttpUrl | None = None
    severities: Severities = PAGED


class MsTeamsSettings(_Section):
    """A channel of Microsoft Teams is told once its webhook is given."""

    webhook_url: SecretAddress | None = None
    severities: Severities = TOLD


class DiscordSettings(_Section):
    """A channel of Discord is told once its webhook is given."""

    webhook_url: SecretAddress | None = None
    severities: Severities = TOLD


class TelegramSettings(_Section):
    """A chat of Telegram is told once a bot and the chat are given."""

    bot_token: pydantic.SecretStr | None = None
    chat_id: int | None = None
    url: HttpUrl | None = None
    severities: Severities = TOLD

    @pydantic.model_validator(mode="after")
    def _both_or_none(self) -> Self:
        if (self.bot_token is None) != (self.chat_id is None):
            lacks = "bot_token" if self.bot_token is None else "chat_id"
            raise ValueError(f"{lacks}: not set: a bot_token and a chat_id are needed together")
        return self


class WebhookSettings(_Section):
    """Any program is told by Alertmanager's own webhook once its address is given."""

    url: SecretAddress | None = None
    bearer_token: pydantic.SecretStr | None = None
    severities: Severities = TOLD


class NotifySettings(_Section):
    """A service that Apprise knows, by its URL, which holds secrets."""

    url: pydantic.SecretStr | None = None
    url_file: Path | None = None
    severities: Severities = TOLD

    @pydantic.model_validator(mode="after")
    def _one_of_both(self) -> Self:
        if (self.url is None) == (self.url_file is None):
            raise ValueError("either url or url_file is needed: a URL of Apprise's")
        return self

    def secret_url(self) -> str:
        """The URL, from its file where one is named. Raises ConfigError."""
        if self.url_file is None:
            return "" if self.url is None else self.url.get_secret_value()
        return _secret_in(self.url_file, "url_file")


class Team(_Section):
    """Who is told of alerts that carry the label `team` with this name, or are of these policies,
    in place of those who are told of all others; a channel that is not named goes to these."""

    policies: tuple[str, ...] = ()
    email: str | None = None
    slack_channel: str | None = None
    sms: Numbers = ()
    severities: Severities | None = None

    @pydantic.model_validator(mode="after")
    def _somebody_is_told(self) -> Self:
        if not (self.email or self.slack_channel or self.sms):
            raise ValueError("one at least of email, slack_channel and sms is needed")
        return self


class BusinessHours(_Section):
    """The hours in which alerts of these severities are told, and only then."""

    days: tuple[Weekday, ...] = Field(("mon", "tue", "wed", "thu", "fri"), min_length=1)
    start: TimeOfDay = time(9)
    end: TimeOfDay = time(17)
    timezone: Zone = zoneinfo.ZoneInfo("UTC")
    severities: Severities = ("medium", "low")

    @pydantic.model_validator(mode="after")
    def _end_is_after_start(self) -> Self:
        if self.end != time(0) and self.end <= self.start:
            raise ValueError(f"end: {self.end:%H:%M}: a time after start is allowed, up to 24:00")
        return self


class SmsProvider(_Section):
    """Who sends SMS: a name of the table in docs/sms.md, and what it knows us by."""

    provider: str = Field("vonage", pattern=r"^[a-z][a-z0-9_]*$")
    api_key: pydantic.SecretStr | None = None
    api_secret: pydantic.SecretStr | None = None
    from_number: str | None = None
    region: str | None = None
    url: str | None = None


class Quiet(_Section):
    """Hours of every day in which no SMS is sent, but of these severities."""

    start: TimeOfDay
    end: TimeOfDay
    but: tuple[Severity, ...] = ("critical",)


class SmsSettings(SmsProvider):
    """SMS are sent once a provider knows us and recipients are given."""

    recipients: Numbers = ()
    severities: Severities = ("critical", "high", "warning")
    escalate_to: Numbers = ()
    escalate_after: Duration = Field(
        timedelta(minutes=15), ge=timedelta(minutes=1), le=timedelta(days=1)
    )
    escalate_unless: Literal["delivered", "acknowledged"] = "acknowledged"
    fallback: tuple[SmsProvider, ...] = ()
    parts: int = Field(3, ge=1, le=10)
    part_price: float = Field(0.1, ge=0, allow_inf_nan=False)
    daily_cap: float = Field(10.0, ge=0, allow_inf_nan=False)
    quiet: Quiet | None = None
    timezone: Zone = zoneinfo.ZoneInfo("UTC")
    keep: Duration = Field(timedelta(days=90), ge=timedelta(days=1))

    @pydantic.model_validator(mode="after")
    def _nobody_stands_twice(self) -> Self:
        numbers = (*self.recipients, *self.escalate_to)
        twice = sorted({each for each in numbers if numbers.count(each) > 1})
        if twice:
            raise ValueError(f"recipients, escalate_to: {', '.join(twice)}: once is allowed")
        names = [self.provider, *(each.provider for each in self.fallback)]
        if len(set(names)) < len(names):
            raise ValueError(f"fallback: {', '.join(names)}: each provider once is allowed")
        return self


class HeartbeatSettings(_Section):
    """Who is told from outside that alerts arrive, and how long a silence is none yet."""

    url: SecretAddress | None = None
    late_after: Duration = Field(
        timedelta(minutes=3), ge=timedelta(minutes=2), le=timedelta(days=1)
    )


class Direction(StrEnum):
    """The side of the expected value on which a deviation counts."""

    BOTH = "both"
    ABOVE = "above"
    BELOW = "below"


class Per(StrEnum):
    """What a model has a fit for."""

    QUERY = "query"
    SERIES = "series"
    GROUP = "group"


class Model(_Section):
    """A model that scores a query beside the streaming members."""

    model_config = pydantic.ConfigDict(extra="forbid", frozen=True, populate_by_name=True)

    name: ModelName | None = None
    class_path: str = Field("", alias="class", pattern=r"^$|^[A-Za-z_][\w.]*[.:][A-Za-z_]\w*$")
    parameters: dict[str, pydantic.JsonValue] = {}
    weight: Annotated[float, Field(gt=0, le=100)] | None = None
    per: Per = Per.QUERY

    @pydantic.model_validator(mode="after")
    def _is_named(self) -> Self:
        if self.name is None and not self.class_path:
            raise ValueError("a name (knn) or a class (module:Class) is needed")
        return self


class Query(_Section):
    """A PromQL query whose series are scored."""

    name: Name
    expr: str = Field(min_length=1, max_length=20_000)
    step: Duration | None = Field(None, ge=timedelta(seconds=1), le=timedelta(hours=1))
    history: Duration = Field(timedelta(days=1), ge=timedelta(0), le=timedelta(days=90))
    budget: str = "1 per week per series"
    direction: Direction = Direction.BOTH
    min_deviation: LeastSides = (0.0, 0.0)
    min_relative_deviation: LeastSides = (0.0, 0.0)
    valid_range: tuple[Bound | None, Bound | None] = (None, None)
    band_scale: ScaleSides = (1.0, 1.0)
    min_samples: int = Field(0, ge=0, le=100_000)
    model: ModelName = "ensemble"
    tier: Literal["full", "cheap"] = "full"
    models: tuple[Model, ...] = ()
    emit_models: bool = False
    forecast: tuple[Horizon, ...] = Field((), max_length=4)
    exhaustion: Horizon | None = None
    group_by: tuple[LabelName, ...] = Field((), max_length=10)
    timezone: Zone = zoneinfo.ZoneInfo("UTC")
    calendar: tuple[Name, ...] = ()

    @pydantic.field_validator("valid_range")
    @classmethod
    def _range_holds_something(
        cls, given: tuple[float | None, float | None]
    ) -> tuple[float | None, float | None]:
        low, high = given
        if low is not None and high is not None and not low < high:
            raise ValueError("[low, high] with low less than high is allowed, null for no bound")
        return given

    @pydantic.field_validator("exhaustion")
    @classmethod
    def _has_a_limit(
        cls, within: timedelta | None, given: pydantic.ValidationInfo
    ) -> timedelta | None:
        if within is not None and given.data.get("valid_range") == (None, None):
            raise ValueError("a limit is needed that may be reached: low or high of valid_range")
        return within


class WeeklyWindow(_Section):
    """A stretch of some days of each week; an end at or before the start is on the next day."""

    days: tuple[Weekday, ...] = Field(get_args(Weekday), min_length=1)
    start: TimeOfDay
    end: TimeOfDay


class OnceWindow(_Section):
    """A stretch that comes once; times without an offset are those of the calendar's zone."""

    start: Instant
    end: Instant

    @pydantic.field_validator("end")
    @classmethod
    def _end_is_after_start(cls, end: datetime, given: pydantic.ValidationInfo) -> datetime:
        start: datetime | None = given.data.get("start")
        if start is None:  # which has been refused
            return end
        if (start.tzinfo is None) != (end.tzinfo is None):
            raise ValueError(f"an offset from UTC is needed where start ({start}) has one")
        if end <= start:
            raise ValueError(f"a time after start ({start}) is allowed")
        return end


class Calendar(_Section):
    """Time in which the unusual is planned."""

    timezone: Zone = zoneinfo.ZoneInfo("UTC")
    during: Literal["planned"] = "planned"
    weekly: tuple[WeeklyWindow, ...] = ()
    once: tuple[OnceWindow, ...] = ()
    holidays: tuple[str, ...] = ()
    ics: Path | None = None


class DetectionSettings(_Section):
    """How queries are run and scored."""

    seed: int = Field(0, ge=0, lt=2**31)
    workers: int = Field(4, ge=1, le=64)
    catch_up: Duration = Field(timedelta(hours=1), ge=timedelta(0), le=timedelta(days=7))
    series_ttl: Duration = Field(timedelta(days=1), ge=timedelta(minutes=1))
    keep_anomalies: Duration = Field(timedelta(days=90), ge=timedelta(days=1))
    self_test_every: Duration = Field(timedelta(hours=6), ge=timedelta(0), le=timedelta(days=7))
    startup_timeout: Duration = Field(timedelta(seconds=30), ge=timedelta(0))


class AlertSettings(_Section):
    """How alerts are remembered."""

    keep: Duration = Field(timedelta(days=400), ge=timedelta(days=32))


class PolicySettings(_Section):
    """Where policies are published."""

    rules_dir: Path | None = None
    promtool: Path | None = None
    initial: Path | None = None
    ruler: bool = False
    ruler_tenant: str | None = None


class LogSettings(_Section):
    """Shape of the log on standard error."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    format: Literal["logfmt", "json"] = "logfmt"


class Settings(pydantic_settings.BaseSettings):
    """All settings of the detector."""

    model_config = pydantic_settings.SettingsConfigDict(
        extra="forbid", frozen=True, env_prefix=PREFIX, env_nested_delimiter="__"
    )

    home: Path = Path(".mda")
    listen_address: str = Field("127.0.0.1:8490", pattern=r"^(\[[0-9a-fA-F:]+\]|[^\s:]*):\d{1,5}$")
    database_url: pydantic.SecretStr | None = None
    metric_collection_interval: Duration = Field(
        timedelta(seconds=60), ge=timedelta(seconds=1), le=timedelta(hours=1)
    )
    anomaly_detection_enabled: bool = True
    ml_detection_enabled: bool = False
    token_file: Path | None = None
    webhook_token_file: Path | None = None
    presets: tuple[Literal["host"], ...] = ("host",)
    queries: tuple[Query, ...] = ()
    calendars: dict[Name, Calendar] = {}
    thresholds: Thresholds = Thresholds()
    prometheus: PrometheusSettings = PrometheusSettings()
    alertmanager: AlertmanagerSettings = AlertmanagerSettings()
    silences: SilenceSettings = SilenceSettings()
    detection: DetectionSettings = DetectionSettings()
    alerts: AlertSettings = AlertSettings()
    policies: PolicySettings = PolicySettings()
    email: EmailSettings = EmailSettings()
    slack: SlackSettings = SlackSettings()
    pagerduty: PagerDutySettings = PagerDutySettings()
    opsgenie: OpsgenieSettings = OpsgenieSettings()
    msteams: MsTeamsSettings = MsTeamsSettings()
    discord: DiscordSettings = DiscordSettings()
    telegram: TelegramSettings = TelegramSettings()
    webhook: WebhookSettings = WebhookSettings()
    sms: SmsSettings = SmsSettings()
    notify: dict[NotifyName, NotifySettings] = {}
    teams: dict[TeamName, Team] = {}
    business_hours: BusinessHours | None = None
    heartbeat: HeartbeatSettings = HeartbeatSettings()
    public_url: str | None = Field(None, pattern=r"^https?://[^\s?#]+$")
    log: LogSettings = LogSettings()

    @pydantic.model_validator(mode="after")
    def _query_names_are_unique(self) -> Self:
        names = [query.name for query in self.all_queries()]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"queries: {', '.join(twice)}: a name may be used once (presets too)")
        return self

    @pydantic.model_validator(mode="after")
    def _calendars_are_known(self) -> Self:
        for number, query in enumerate(self.queries):
            for place, name in enumerate(query.calendar):
                if name not in self.calendars:
                    known = ", ".join(self.calendars) or "none"
                    raise ValueError(
                        f"queries.{number}.calendar.{place}: {name!r}: a name under calendars is "
                        f"allowed: {known}"
                    )
        return self

    def all_queries(self) -> tuple[Query, ...]:
        """The queries of the presets, then the configured ones."""
        preset = [
            Query(
                name=query.name,
                expr=query.expr,
                direction=Direction(query.direction),
                min_deviation=(query.min_deviation, query.min_deviation),
                valid_range=(None, 1.0 if query.exhaustion else None),
                exhaustion=query.exhaustion,
            )
            for name in self.presets
            for query in presets.PRESETS[name]
        ]
        return (*preset, *self.queries)

    def step_of(self, query: Query) -> timedelta:
        """The step of a query: its own, else the collection interval."""
        return query.step or self.metric_collection_interval

    def expr_of(self, query: Query) -> str:
        """The PromQL of a query, `$__rate_interval` put in as four steps."""
        seconds = max(1, round(self.step_of(query).total_seconds() * 4))
        return query.expr.replace("$__rate_interval", f"{seconds}s")

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[pydantic_settings.BaseSettings],
        init_settings: pydantic_settings.PydanticBaseSettingsSource,
        *_: Any,
        **__: Any,
    ) -> tuple[pydantic_settings.PydanticBaseSettingsSource, ...]:
        """Only what load() passes in: it has merged all sources already."""
        return (init_settings,)


def environment(dotenv_file: Path = Path(".env")) -> dict[str, str]:
    """This process' own environment; what it lacks comes from a .env file, if there is one."""
    given = dotenv.dotenv_values(dotenv_file)
    return {name: value for name, value in given.items() if value is not None} | dict(os.environ)


def inherited(dotenv_file: Path = Path(".env")) -> dict[str, str]:
    """The same without the settings of the .env file, for a detector that is started here: it reads
    them by itself, anew at each reload, which what stands in its environment would forestall."""
    return {
        name: value
        for name, value in environment(dotenv_file).items()
        if name in os.environ or not _is_setting(name)
    }


def _is_setting(name: str) -> bool:
    return (
        name.startswith(PREFIX)
        or name in BARE_NAMES
        or name in _SECRETS
        or name.removesuffix("_FILE") in _SECRETS
    )


def load(config_file: Path | None, environ: Mapping[str, str] | None = None) -> Settings:
    """The settings from a YAML file and an environment (this process' own, and .env, by default).

    Raises ConfigError: one line that names the file or variable, the key, the value, what is
    allowed.
    """
    env = environment() if environ is None else dict(environ)
    if config_file is None and env.get("MDA_CONFIG_FILE"):
        config_file = Path(env["MDA_CONFIG_FILE"])
    tree = _yaml_tree(config_file) if config_file else {}
    origin: dict[tuple[str, ...], str] = {}
    for name, path, value in _environment(env):
        _put(tree, path, value, name)
        origin[path] = name
    try:
        return Settings.model_validate(tree)
    except pydantic.ValidationError as error:
        raise errors.ConfigError(_line(error, origin, config_file)) from None


def _yaml_tree(path: Path) -> dict[str, Any]:
    try:
        tree = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise errors.ConfigError(
            f"{path}: {error.strerror}: name a file that can be read"
        ) from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise errors.ConfigError(f"{path}: not YAML: {' '.join(str(error).split())}") from None
    if tree is None:
        return {}
    if not isinstance(tree, dict):
        raise errors.ConfigError(f"{path}: {type(tree).__name__}: keys with values are expected")
    return tree


def _environment(env: Mapping[str, str]) -> Iterator[tuple[str, tuple[str, ...], object]]:
    """(name, path, value) of each variable that is a setting, the strongest last."""
    for name, path in BARE_NAMES.items():
        if env.get(name):
            yield name, path, env[name]
    for name in sorted(env):
        if name.startswith(PREFIX) and name not in _NOT_SETTINGS and env[name]:
            if name.removesuffix("_FILE") in _SECRETS and name.endswith("_FILE"):
                continue
            yield name, _path(name), _parsed(env[name])
    for name, path in _SECRETS.items():
        file = env.get(f"{name}_FILE")
        if file:
            yield f"{name}_FILE", path, _secret_in(Path(file), f"{name}_FILE")


def _secret_in(file: Path, given_by: str) -> str:
    """What a file holds. Raises ConfigError, without what it holds, if that is no text."""
    try:
        text = file.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not UTF-8 text"
        raise errors.ConfigError(
            f"{given_by}: {file}: {reason}: name a file with the secret"
        ) from None
    if not text:
        raise errors.ConfigError(f"{given_by}: {file}: is empty: write the secret into it")
    return text


def _path(name: str) -> tuple[str, ...]:
    return tuple(name.removeprefix(PREFIX).lower().split("__"))


def _parsed(text: str) -> object:
    """Lists and mappings may be given as JSON; all else stays text, which pydantic converts."""
    if text[:1] in "[{":
        try:
            return json.loads(text)
        except ValueError:
            return text
    return text


def _put(tree: dict[str, Any], path: tuple[str, ...], value: object, name: str) -> None:
    node = tree
    for key in path[:-1]:
        node = node.setdefault(key, {})
        if not isinstance(node, dict):
            raise errors.ConfigError(f"{name}: {key} is not a section: see docs/configuration.md")
    node[path[-1]] = value


_ALLOWED = {"extra_forbidden": "unknown key: see docs/configuration.md"}
_HIDDEN = (*_SECRETS.values(), ("sms", "fallback"), ("notify",))
"""Paths at or below which secrets stand."""


def _may_hold_a_secret(path: tuple[str, ...], given: object) -> bool:
    """Whether a secret stands at this path, or in what is given there."""
    if any(path[: len(each)] == each for each in _HIDDEN):
        return True
    return isinstance(given, (Mapping, list, tuple)) and any(
        each[: len(path)] == path for each in _HIDDEN
    )


def _line(
    error: pydantic.ValidationError, origin: dict[tuple[str, ...], str], file: Path | None
) -> str:
    first = error.errors(include_url=False)[0]
    path = tuple(str(part) for part in first["loc"])
    given_by = (name for at, name in origin.items() if at[: len(path)] == path[: len(at)])
    source = next(given_by, None) if path else None  # without a path it is about several keys
    where = f"environment {source}" if source else str(file or "settings")
    message = _ALLOWED.get(first["type"], first["msg"].removeprefix("Value error, "))
    if not path:
        return f"{where}: {message}"
    given = first["input"]
    if isinstance(given, timedelta):
        given = f"{given.total_seconds():g}s"
    elif isinstance(given, datetime):
        given = str(given)
    value = "(hidden)" if _may_hold_a_secret(path, given) else repr(given)[:200]
    return f"{where}: {'.'.join(path)}: {value}: {message}"
