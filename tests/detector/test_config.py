from __future__ import annotations

import zoneinfo
from datetime import UTC, datetime, time, timedelta
from pathlib import Path

import pytest

from detector import config, errors


def _error(environ: dict[str, str], file: Path | None = None) -> str:
    with pytest.raises(errors.ConfigError) as caught:
        config.load(file, environ)
    message = str(caught.value)
    assert "\n" not in message
    return message


def test_defaults_are_those_that_the_documents_promise() -> None:
    settings = config.load(None, {})

    assert settings.metric_collection_interval == timedelta(seconds=60)
    assert settings.thresholds == config.Thresholds(cpu=80.0, memory=80.0, disk=80.0)
    assert settings.anomaly_detection_enabled is True
    assert settings.ml_detection_enabled is False
    assert settings.listen_address == "127.0.0.1:8490"


def test_environment_beats_the_file_and_a_prefixed_name_beats_a_bare_one(tmp_path: Path) -> None:
    file = tmp_path / "mda.yml"
    file.write_text("metric_collection_interval: 10\nml_detection_enabled: true\n")
    environ = {"METRIC_COLLECTION_INTERVAL": "20", "MDA_METRIC_COLLECTION_INTERVAL": "30s"}

    assert config.load(file, {}).metric_collection_interval == timedelta(seconds=10)
    settings = config.load(file, environ)
    assert settings.metric_collection_interval == timedelta(seconds=30)
    assert settings.ml_detection_enabled is True


def test_a_secret_is_read_from_its_file_and_beats_the_plain_name(tmp_path: Path) -> None:
    secret = tmp_path / "url"
    secret.write_text("postgresql://from-file\n")

    settings = config.load(None, {"DATABASE_URL": "x", "DATABASE_URL_FILE": str(secret)})

    assert settings.database_url is not None
    assert settings.database_url.get_secret_value() == "postgresql://from-file"
    assert "from-file" not in repr(settings)


@pytest.mark.parametrize(
    ("held", "reason"),
    [
        (b"canary\xff", "not UTF-8 text: name a file with the secret"),
        (b" \n", "is empty: write the secret into it"),
    ],
)
def test_a_file_that_holds_no_secret_is_refused_unseen(
    tmp_path: Path, held: bytes, reason: str
) -> None:
    file = tmp_path / "secret"
    file.write_bytes(held)
    assert _error({"EMAIL_PASSWORD_FILE": str(file)}) == f"EMAIL_PASSWORD_FILE: {file}: {reason}"
    notify = config.load(None, {"MDA_NOTIFY__CHAT__URL_FILE": str(file)}).notify["chat"]
    with pytest.raises(errors.ConfigError) as caught:
        notify.secret_url()
    assert str(caught.value) == f"url_file: {file}: {reason}"


@pytest.mark.parametrize(
    ("environ", "parts"),
    [
        ({"MDA_PROMETEUS__URL": "http://x"}, ["MDA_PROMETEUS__URL", "unknown key"]),
        ({"MDA_PROMETHEUS__URI": "http://x"}, ["MDA_PROMETHEUS__URI", "unknown key"]),
        ({"DEFAULT_CPU_THRESHOLD": "hot"}, ["DEFAULT_CPU_THRESHOLD", "'hot'", "number"]),
        ({"DEFAULT_CPU_THRESHOLD": "101"}, ["DEFAULT_CPU_THRESHOLD", "'101'", "100"]),
        ({"METRIC_COLLECTION_INTERVAL": "5 parsecs"}, ["'5 parsecs'", "such as 90s"]),
        ({"METRIC_COLLECTION_INTERVAL": "0"}, ["METRIC_COLLECTION_INTERVAL", "'0s'", "1 second"]),
        ({"ML_DETECTION_ENABLED": "perhaps"}, ["ML_DETECTION_ENABLED", "'perhaps'", "boolean"]),
        ({"EMAIL_SMTP_SERVER": "mail:25"}, ["'mail:25'", "a host is allowed", "smtp_port"]),
        ({"EMAIL_SMTP_SERVER": "smtp://mail"}, ["EMAIL_SMTP_SERVER", "a host is allowed"]),
        ({"EMAIL_SMTP_SERVER": "[::1]"}, ["EMAIL_SMTP_SERVER", "a host is allowed"]),
        ({"DATABASE_URL_FILE": "/nowhere"}, ["DATABASE_URL_FILE", "/nowhere"]),
        ({"MDA_PROMETHEUS": "here"}, ["MDA_PROMETHEUS", "'here'"]),
        ({"MDA_QUERIES": '[{"name":"a b","expr":"x"}]'}, ["queries.0.name", "'a b'"]),
        ({"MDA_QUERIES": '[{"name":"host_cpu","expr":"x"}]'}, ["host_cpu", "used once"]),
    ],
)
def test_a_wrong_variable_is_one_line_that_names_it(
    environ: dict[str, str], parts: list[str]
) -> None:
    message = _error(environ)

    assert [part for part in parts if part not in message] == []


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("prometheus: {url: 5}\n", ["prometheus.url", "5", "string"]),
        ("nonsense: 1\n", ["nonsense", "unknown key"]),
        ("- a\n- b\n", ["list", "keys with values"]),
        ("a: [\n", ["not YAML"]),
        ("prometheus: {timeout: 1y}\n", ["prometheus.timeout", "'1y'"]),
    ],
)
def test_a_wrong_file_is_one_line_that_names_it(
    tmp_path: Path, text: str, parts: list[str]
) -> None:
    file = tmp_path / "mda.yml"
    file.write_text(text)

    message = _error({}, file)

    assert message.startswith(str(file))
    assert [part for part in parts if part not in message] == []


def test_a_missing_file_is_said_so() -> None:
    assert "/nowhere.yml: No such file" in _error({"MDA_CONFIG_FILE": "/nowhere.yml"})


@pytest.mark.parametrize(
    ("name", "given"),
    [
        ("MDA_NOTIFY", '{"chat": "json://hunter2"}'),
        ("MDA_NOTIFY__CHAT", '{"url": "json://hunter2", "severity": "high"}'),
        ("MDA_SMS__FALLBACK", '[{"provider": "sns", "api_sekret": "hunter2"}]'),
    ],
)
def test_a_section_that_holds_secrets_is_not_shown(name: str, given: str) -> None:
    message = _error({name: given})
    assert "(hidden)" in message
    assert "hunter2" not in message


def test_a_secret_of_the_wrong_type_is_not_shown() -> None:
    assert "hunter2" not in _error({"MDA_PROMETHEUS__PASSWORD": '["hunter2"]'})


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("15", 15.0), ("1.5", 1.5), ("90s", 90.0), ("1h30m", 5400.0), ("1w", 604800.0)],
)
def test_durations_are_seconds_or_prometheus_notation(text: str, seconds: float) -> None:
    settings = config.load(None, {"MDA_DETECTION__STARTUP_TIMEOUT": text})

    assert settings.detection.startup_timeout == timedelta(seconds=seconds)


@pytest.mark.parametrize(
    "value",
    [
        "",
        "5x",
        "1h 30m",
        "-5m",
        "nan",
        "inf",
        "9" * 20 + "d",
        "9" * 400 + "d",
        "9" * 5000 + "s",
        True,
    ],
    ids=lambda value: str(value)[:8],
)
def test_what_is_no_duration_is_refused_however_large(value: object) -> None:
    with pytest.raises(ValueError, match="a number of seconds or a duration"):
        config.parse_duration(value)


def test_the_rate_interval_is_four_steps_of_the_query() -> None:
    settings = config.load(None, {"METRIC_COLLECTION_INTERVAL": "5"})
    query = config.Query(name="q", expr="rate(x[$__rate_interval])", step=timedelta(seconds=30))

    assert settings.expr_of(query) == "rate(x[120s])"
    assert "[20s]" in settings.expr_of(settings.all_queries()[0])


def test_without_presets_only_configured_queries_are_left() -> None:
    settings = config.load(
        None, {"MDA_PRESETS": "[]", "MDA_QUERIES": '[{"name": "up", "expr": "up"}]'}
    )

    assert [query.name for query in settings.all_queries()] == ["up"]


def _calendar(tmp_path: Path, text: str) -> config.Calendar:
    file = tmp_path / "mda.yml"
    file.write_text(f"calendars: {{works: {{{text}}}}}")
    return config.load(file, {}).calendars["works"]


def test_a_calendar_is_in_utc_and_empty_unless_it_says_otherwise(tmp_path: Path) -> None:
    calendar = _calendar(tmp_path, "holidays: []")

    assert calendar.timezone == zoneinfo.ZoneInfo("UTC")
    assert calendar.during == "planned"
    assert (calendar.weekly, calendar.once, calendar.holidays, calendar.ics) == ((), (), (), None)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("'22:30'", time(22, 30)),
        ("22:30", time(22, 30)),
        ("02:00", time(2)),
        ("0:05", time(0, 5)),
        ("24:00", time(0)),
        ("'24:00'", time(0)),
    ],
)
def test_times_of_day_may_stand_in_yaml_without_quotes(
    tmp_path: Path, text: str, expected: time
) -> None:
    calendar = _calendar(tmp_path, f"weekly: [{{start: {text}, end: '12:00'}}]")

    assert calendar.weekly[0].start == expected
    assert calendar.weekly[0].days == ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


@pytest.mark.parametrize(
    ("start", "end", "expected"),
    [
        ("2026-12-24 18:00", "2026-12-25", [datetime(2026, 12, 24, 18), datetime(2026, 12, 25)]),  # noqa: DTZ001 - local
        (
            "2026-12-24T18:00:00Z",
            "'2026-12-25T01:00+01:00'",
            [datetime(2026, 12, 24, 18, tzinfo=UTC), datetime(2026, 12, 25, tzinfo=UTC)],
        ),
    ],
)
def test_single_windows_are_local_or_have_an_offset(
    tmp_path: Path, start: str, end: str, expected: list[datetime]
) -> None:
    (window,) = _calendar(tmp_path, f"once: [{{start: {start}, end: {end}}}]").once

    assert [window.start, window.end] == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("timezone: Mars/Base", "timezone: 'Mars/Base': a time zone is allowed, as in UTC"),
        ("timezone: Europe", "timezone: 'Europe': a time zone is allowed"),
        ("timezone: 5", "timezone: 5: a time zone is allowed"),
        ("during: sleep", "during: 'sleep': Input should be 'planned'"),
        ("weekly: [{start: 22, end: '23:00'}]", "weekly.0.start: 22: a time from 00:00"),
        ("weekly: [{start: '1:00', end: '24:30'}]", "weekly.0.end: '24:30': a time from 00:00"),
        ("weekly: [{days: [], start: '1:00', end: '2:00'}]", "weekly.0.days: []: "),
        ("weekly: [{days: [so], start: '1:00', end: '2:00'}]", "weekly.0.days.0: 'so': "),
        ("weekly: [{start: '1:00'}]", "weekly.0.end: "),
        (
            "once: [{start: 2026-12-24 18:00, end: 2026-12-24 17:00}]",
            "once.0.end: '2026-12-24 17:00': a time after start (2026-12-24 18:00:00) is allowed",
        ),
        (
            "once: [{start: 2026-12-24 18:00:00, end: 2026-12-24 17:00:00}]",
            "once.0.end: '2026-12-24 17:00:00': a time after start",
        ),
        (
            "once: [{start: 2026-12-24T18:00:00Z, end: 2026-12-24 17:00}]",
            "once.0.end: '2026-12-24 17:00': an offset from UTC is needed where start",
        ),
        ("once: [{start: 2026, end: 2026-12-24 17:00}]", "once.0.start: 2026: a time is allowed"),
        ("weekdays: 1", "weekdays: 1: unknown key"),
    ],
)
def test_a_wrong_calendar_is_one_line_that_names_the_key(
    tmp_path: Path, text: str, expected: str
) -> None:
    with pytest.raises(errors.ConfigError) as caught:
        _calendar(tmp_path, text)

    assert f"mda.yml: calendars.works.{expected}" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_query_names_calendars_that_are_there(tmp_path: Path) -> None:
    file = tmp_path / "mda.yml"
    file.write_text(
        "calendars: {works: {}, feasts: {}}\n"
        "queries: [{name: q, expr: x, calendar: [works, works_]}]\n"
    )

    message = _error({"METRIC_COLLECTION_INTERVAL": "5"}, file)

    assert message == (
        f"{file}: queries.0.calendar.1: 'works_': a name under calendars is allowed: works, feasts"
    )
    file.write_text("queries: [{name: q, expr: x, calendar: [works]}]\n")
    assert _error({}, file).endswith("a name under calendars is allowed: none")


def test_what_runs_out_needs_a_limit(tmp_path: Path) -> None:
    file = tmp_path / "mda.yml"
    file.write_text("queries: [{name: q, expr: x, exhaustion: 7d}]\n")
    assert _error({}, file) == (
        f"{file}: queries.0.exhaustion: '7d': "
        "a limit is needed that may be reached: low or high of valid_range"
    )


@pytest.mark.parametrize(
    ("given", "complaint"),
    [
        ("0170 1234567", "numbers in international form are allowed"),
        ("+49", "numbers in international form are allowed"),
        ("+491701234567,", "''"),
        ("+491701234567, +49 170 1234567", "once is allowed"),
    ],
)
def test_numbers_that_nobody_can_be_called_by_are_refused(given: str, complaint: str) -> None:
    assert complaint in _error({"SMS_TO": given})


def test_a_number_that_yaml_takes_for_one_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "mda.yml"
    file.write_text("sms: {recipients: [+491701234567]}")
    with pytest.raises(errors.ConfigError, match="in quotes"):
        config.load(file, {})


def test_secrets_of_sms_come_from_files_and_are_hidden(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("canary\n")
    sms = config.load(None, {"SMS_API_SECRET_FILE": str(tmp_path / "secret")}).sms
    assert sms.api_secret is not None
    assert sms.api_secret.get_secret_value() == "canary"
    assert "canary" not in repr(sms)


def test_the_heartbeat_url_comes_from_a_file_and_is_hidden(tmp_path: Path) -> None:
    (tmp_path / "url").write_text("https://hc-ping.com/canary?create=1\n")
    found = config.load(None, {"HEARTBEAT_URL_FILE": str(tmp_path / "url")}).heartbeat
    assert found.url is not None
    assert found.url.get_secret_value() == "https://hc-ping.com/canary?create=1"
    assert "canary" not in repr(found)


@pytest.mark.parametrize(
    "url",
    ["canary", "ftp://canary", "https://", "https://:80/canary", "http://[canary", "https://h/a b"],
)
@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("HEARTBEAT_URL", "heartbeat.url"),
        ("SLACK_WEBHOOK_URL", "slack.webhook_url"),
        ("MSTEAMS_WEBHOOK_URL", "msteams.webhook_url"),
        ("DISCORD_WEBHOOK_URL", "discord.webhook_url"),
        ("WEBHOOK_URL", "webhook.url"),
    ],
)
def test_a_secret_address_that_is_none_is_refused_unseen(name: str, key: str, url: str) -> None:
    assert _error({name: url}) == (
        f"environment {name}: {key}: (hidden): an address is allowed, as https://example.org/path"
    )


def test_other_addresses_are_shown() -> None:
    assert "'ftp://elsewhere'" in _error({"MDA_PROMETHEUS__URL": "ftp://elsewhere"})


def test_a_provider_stands_once_among_those_that_are_asked(tmp_path: Path) -> None:
    file = tmp_path / "mda.yml"
    file.write_text("sms: {fallback: [{provider: vonage}]}")
    with pytest.raises(errors.ConfigError, match="each provider once"):
        config.load(file, {})


def test_a_detector_that_is_started_reads_the_settings_of_dotenv_by_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / ".env"
    file.write_text(
        "DEFAULT_CPU_THRESHOLD=61\nMDA_LOG__LEVEL=debug\nDATABASE_URL_FILE=/x\n"
        "DEFAULT_DISK_THRESHOLD=62\nNUMBA_CACHE_DIR=/cache\n"
    )
    monkeypatch.setenv("DEFAULT_DISK_THRESHOLD", "63")
    whole, found = config.environment(file), config.inherited(file)
    assert whole.keys() - found.keys() == {
        "DEFAULT_CPU_THRESHOLD",
        "MDA_LOG__LEVEL",
        "DATABASE_URL_FILE",
    }
    assert (found["DEFAULT_DISK_THRESHOLD"], found["NUMBA_CACHE_DIR"]) == ("63", "/cache")


@pytest.mark.parametrize(
    "more",
    [
        {"SMS_TO": "+491701234567, +491701234567"},
        {"MDA_SMS__FALLBACK": '[{"provider": "vonage", "api_secret": "canary-other"}]'},
        {"MDA_SMS__FALLBACK": '[{"provider": "twilio", "api_secret": "canary-other"'},
        {"MDA_SMS__FALLBACK": '{"provider": "twilio", "api_secret": "canary-other"}'},
        {"MDA_SMS__FALLBACK": '[{"provider": "TWILIO", "api_secret": "canary-other"}]'},
        {"MDA_SMS__FALLBACK": '[{"provider": "twilio", "api_secrets": "canary-other"}]'},
    ],
)
def test_what_is_wrong_with_sms_is_told_without_their_secrets(more: dict[str, str]) -> None:
    message = _error({"SMS_API_KEY": "canary-key", "SMS_API_SECRET": "canary-secret", **more})
    assert "canary" not in message
    assert "sms" in message
