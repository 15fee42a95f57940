"""`mda check` and the waits of a start, against real servers that are wrong in one way each."""

from __future__ import annotations

import dataclasses
import pathlib
import secrets
from collections.abc import Callable
from datetime import timedelta

import pytest

from detector import checks, config, errors, messages, signing
from detector.api import receipts
from detector.notify import vonage
from detector.store import database
from tests import conftest, stack
from tests.detector import test_cli

OK, NOTE, WRONG = checks.Verdict
QUERY = "query q"
HOUR = timedelta(hours=1)
PASSWORD = "canary-pa55word"
WRONG_PASSWORD = "canary-wr0ng"


@dataclasses.dataclass
class Site:
    """Servers that are as they should be, and the settings of a detector that uses them."""

    prometheus: stack.Prometheus
    database_url: str
    free_port: Callable[[], int]

    def settings(self, expr: str = "vector(1)", **given: object) -> config.Settings:
        return config.Settings.model_validate(
            {
                "presets": (),
                "queries": ({"name": "q", "expr": expr},),
                "database_url": self.database_url,
                "prometheus": {"url": self.prometheus.url},
                "alertmanager": {"url": self.nowhere()},
                **given,
            }
        )

    def nowhere(self) -> str:
        """The URL of nobody."""
        return f"http://127.0.0.1:{self.free_port()}"


@pytest.fixture
def site(
    prometheus: conftest.MakePrometheus, database_url: str, free_port: Callable[[], int]
) -> Site:
    return Site(prometheus(), database_url, free_port)


def found(settings: config.Settings) -> dict[str, tuple[checks.Verdict, str]]:
    """What was found online, by the first word of its subject, or two for a query."""
    return {
        each.subject if each.subject.startswith("query") else each.subject.split()[0]: (
            each.verdict,
            each.text,
        )
        for each in checks.online(settings)
    }


def test_servers_as_they_should_be_are_found_right(
    site: Site, alertmanager: conftest.MakeAlertmanager
) -> None:
    told = found(site.settings(alertmanager={"url": alertmanager().url}))

    assert told.pop("Prometheus")[1].startswith("version ")
    assert told == {
        QUERY: (OK, "1 series"),
        "DATABASE_URL": (OK, "PostgreSQL answers"),
        "Alertmanager": (OK, "answers 200"),
    }


def test_a_prometheus_that_is_asked_logs_no_error(site: Site) -> None:
    assert found(site.settings())["Prometheus"][0] is OK

    log = (site.prometheus.folder / "prometheus.log").read_text()
    assert "Server is ready" in log
    assert [line for line in log.splitlines() if "level=error" in line.lower()] == []


def test_a_prometheus_that_takes_no_writes_is_told_the_flag_to_add(
    site: Site, prometheus: conftest.MakePrometheus
) -> None:
    url = prometheus(takes_writes=False).url

    told = found(site.settings(prometheus={"url": url}))

    verdict, text = told["Prometheus"]
    assert verdict is WRONG
    assert "--web.enable-remote-write-receiver" in text
    assert QUERY not in told


def test_mda_check_ends_with_2_and_the_first_thing_that_is_wrong_on_one_line(
    site: Site, prometheus: conftest.MakePrometheus, tmp_path: pathlib.Path
) -> None:
    url = prometheus(takes_writes=False).url

    ran = test_cli.run(
        tmp_path,
        "check",
        MDA_PRESETS="[]",
        MDA_PROMETHEUS__URL=url,
        MDA_ALERTMANAGER__URL=site.nowhere(),
        DATABASE_URL=site.database_url,
    )

    assert ran.returncode == 2
    assert ran.stderr == (
        f"mda: Prometheus {url}: refuses remote write: "
        "start it with --web.enable-remote-write-receiver\n"
    )
    assert "DATABASE_URL: PostgreSQL answers" in ran.stdout


def test_promql_that_cannot_be_parsed_is_wrong_without_asking_anybody(site: Site) -> None:
    wrong = [c for c in checks.offline(site.settings("sum(")) if c.verdict is WRONG]

    assert [(c.subject, c.text) for c in wrong] == [
        (QUERY, "not PromQL: unclosed left parenthesis: sum(")
    ]


def test_a_promtool_that_cannot_be_run_is_wrong_and_none_is_a_note(
    site: Site, monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path
) -> None:
    def told(**policies: object) -> tuple[checks.Verdict, str]:
        each = [c for c in checks.offline(site.settings(policies=policies)) if "polic" in c.subject]
        return each[0].verdict, str(each[0])

    monkeypatch.setenv("PATH", str(tmp_path))
    assert told()[0] is NOTE
    missing = tmp_path / "promtool"
    subject = f"policies.promtool: {missing}: not a program that can be run"
    assert told(promtool=missing) == (WRONG, subject)
    missing.write_text("#!/bin/sh\n")
    missing.chmod(0o755)
    assert told() == told(promtool=missing) == (OK, f"policies: rules are tested by {missing}")


def test_a_horizon_below_the_step_is_wrong(site: Site) -> None:
    query = {"name": "q", "expr": "x", "step": "10m", "forecast": ["1h", "5m"]}
    wrong = [c for c in checks.offline(site.settings(queries=(query,))) if c.verdict is WRONG]

    assert [(c.subject, c.text) for c in wrong] == [
        (QUERY, "forecast: 300s: a step (600s) or more is allowed")
    ]


def test_so_is_a_time_to_a_limit(site: Site) -> None:
    query = {"name": "q", "expr": "x", "step": "10m", "exhaustion": "5m", "valid_range": [0, None]}
    wrong = [c for c in checks.offline(site.settings(queries=(query,))) if c.verdict is WRONG]

    assert [c.text for c in wrong] == ["exhaustion: 300s: a step (600s) or more is allowed"]


def test_promql_that_this_prometheus_does_not_know_is_wrong_in_its_words(site: Site) -> None:
    settings = site.settings("mad_over_time(up[5m])")
    assert all(each.verdict is not WRONG for each in checks.offline(settings))

    verdict, text = found(settings)[QUERY]

    assert verdict is WRONG
    assert "mad_over_time" in text


def test_a_query_that_gives_no_series_now_is_a_note(site: Site) -> None:
    assert found(site.settings("absent_metric"))[QUERY] == (NOTE, "gives no series now")


def test_a_prometheus_that_is_not_there_is_named_once_and_its_queries_are_not_asked(
    site: Site,
) -> None:
    url = site.nowhere()

    told = [str(c) for c in checks.online(site.settings(prometheus={"url": url}))]

    assert told[0] == f"Prometheus {url}: Connection refused"
    assert not any(line.startswith(QUERY) for line in told)
    assert "DATABASE_URL: PostgreSQL answers" in told


def test_an_alertmanager_that_does_not_answer_is_a_note(site: Site) -> None:
    assert found(site.settings())["Alertmanager"] == (
        NOTE,
        "does not answer: alerts will not be routed",
    )


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("mysql://mda@host/mda", "mysql: only PostgreSQL is supported"),
        ("nonsense", "not a database URL"),
        ("postgresql://mda@host", "has no database name"),
    ],
)
def test_a_wrong_database_url_is_told_offline_and_nobody_is_asked_for_it(
    site: Site, url: str, reason: str
) -> None:
    settings = site.settings(database_url=url)

    wrong = [c for c in checks.offline(settings) if c.verdict is WRONG]

    assert [(c.subject, c.may_pass) for c in wrong] == [("DATABASE_URL", False)]
    assert wrong[0].text.startswith(reason)
    assert "DATABASE_URL" not in found(settings)


def test_a_database_that_is_not_there_is_wrong_and_named(site: Site) -> None:
    url = site.database_url.replace("/copy_", "/missing_")

    verdict, text = found(site.settings(database_url=url))["DATABASE_URL"]

    assert verdict is WRONG
    assert 'database "missing_' in text
    assert "does not exist" in text


@pytest.fixture
def locked_url(own_postgres: stack.Postgres) -> str:
    """The URL, with {password} to be put in, of a PostgreSQL that asks for a password."""
    place = own_postgres.place
    own_postgres.execute(f"ALTER ROLE mda PASSWORD '{PASSWORD}'")
    rules = place.data / "pg_hba.conf"
    rules.write_text("local all all scram-sha-256\n")
    own_postgres.execute("SELECT pg_reload_conf()")
    url = place.url().replace("mda@", "mda:{password}@")
    wrong = url.format(password=WRONG_PASSWORD)
    stack.wait_until(lambda: _refuses(wrong), 10, "passwords to be asked for")
    return url


def _refuses(url: str) -> bool:
    pool = database.Database(url)
    try:
        pool.check()
    except errors.StoreError:
        return True
    finally:
        pool.close()
    return False


def test_a_wrong_password_is_wrong_and_not_repeated(site: Site, locked_url: str) -> None:
    wrong, right = (locked_url.format(password=word) for word in (WRONG_PASSWORD, PASSWORD))

    verdict, text = found(site.settings(database_url=wrong))["DATABASE_URL"]

    assert verdict is WRONG
    assert "password authentication failed" in text
    assert WRONG_PASSWORD not in text
    assert found(site.settings(database_url=right))["DATABASE_URL"][0] is OK


def _never(check: checks.Check) -> None:
    raise AssertionError(f"waits for {check}")


def test_a_start_waits_for_a_prometheus_that_comes_up_meanwhile(site: Site) -> None:
    site.prometheus.kill9()
    waited_for: list[checks.Check] = []

    def start(check: checks.Check) -> None:
        waited_for.append(check)
        site.prometheus.start()

    checks.require(site.settings(), patience=HOUR, say=start)

    assert [str(c) for c in waited_for] == [f"Prometheus {site.prometheus.url}: Connection refused"]


def test_a_start_waits_for_a_database_that_comes_up_meanwhile(
    site: Site, own_postgres: stack.Postgres
) -> None:
    own_postgres.kill9()
    waited_for: list[str] = []

    def start(check: checks.Check) -> None:
        waited_for.append(check.subject)
        own_postgres.start()

    checks.require(site.settings(database_url=own_postgres.url), patience=HOUR, say=start)

    assert waited_for == ["DATABASE_URL"]


def test_a_start_says_once_what_it_waits_for_and_gives_up_when_patience_ends(site: Site) -> None:
    told: list[checks.Check] = []
    settings = site.settings(prometheus={"url": site.nowhere()})

    with pytest.raises(errors.ConfigError, match="Connection refused"):
        checks.require(settings, patience=3 * timedelta(seconds=checks.RETRY_S), say=told.append)

    assert len(told) == 1


def test_a_start_waits_for_no_prometheus_that_takes_no_writes(
    site: Site, prometheus: conftest.MakePrometheus
) -> None:
    settings = site.settings(prometheus={"url": prometheus(takes_writes=False).url})

    with pytest.raises(errors.ConfigError, match=r"--web\.enable-remote-write-receiver"):
        checks.require(settings, patience=HOUR, say=_never)


@pytest.mark.parametrize("expr", ["sum(", "mad_over_time(up[5m])", "vector(1)[5m:1m]"])
def test_a_start_waits_for_no_wrong_query(site: Site, expr: str) -> None:
    with pytest.raises(errors.ConfigError, match=r"^query q: "):
        checks.require(site.settings(expr), patience=HOUR, say=_never)


def test_a_start_names_a_wrong_query_though_prometheus_is_not_up(site: Site) -> None:
    settings = site.settings("sum(", prometheus={"url": site.nowhere()})

    with pytest.raises(errors.ConfigError, match=r"^query q: "):
        checks.require(settings, patience=HOUR, say=_never)


def test_a_start_waits_for_no_other_password(site: Site, locked_url: str) -> None:
    settings = site.settings(database_url=locked_url.format(password=WRONG_PASSWORD))

    with pytest.raises(errors.ConfigError, match="password authentication failed") as caught:
        checks.require(settings, patience=HOUR, say=_never)

    assert WRONG_PASSWORD not in str(caught.value)


@pytest.mark.parametrize("url", [None, "mysql://mda@host/mda"])
def test_a_start_waits_for_no_other_database_url(site: Site, url: str | None) -> None:
    with pytest.raises(errors.ConfigError, match=r"^DATABASE_URL: "):
        checks.require(site.settings(database_url=url), patience=HOUR, say=_never)


def test_a_start_waits_for_no_series_and_no_alertmanager(site: Site) -> None:
    checks.require(site.settings("absent_metric"), patience=HOUR, say=_never)


@pytest.mark.parametrize(
    ("more", "verdict", "text"),
    [
        ({}, NOTE, "vonage to 1 numbers; no receipts without public_url"),
        ({"MDA_PUBLIC_URL": "https://mda.example.org"}, OK, "vonage to 1 numbers"),
        ({"MDA_PUBLIC_URL": f"https://{'x' * 40}"}, NOTE, "no receipts to a public_url of over 34"),
        ({"SMS_API_KEY": ""}, WRONG, "vonage: api_key: is empty: vonage needs it"),
        ({"SMS_PROVIDER": "pigeon"}, WRONG, "'pigeon': no provider of SMS: one of vonage, twilio"),
        ({"MDA_SMS__URL": "http://example.org"}, WRONG, "https://, since secrets are sent there"),
    ],
)
def test_what_sends_sms_is_looked_at(more: dict[str, str], verdict: str, text: str) -> None:
    given = {
        "SMS_TO": "+491701234567",
        "SMS_API_KEY": "canary-key",
        "SMS_API_SECRET": "canary-secret",
        "SMS_FROM_NUMBER": "+491700000001",
    }
    (check,) = [
        each for each in checks.offline(config.load(None, given | more)) if each.subject == "sms"
    ]
    assert check.verdict is verdict
    assert text in check.text
    assert "canary" not in check.text


def test_without_recipients_nothing_is_said_of_sms() -> None:
    subjects = [each.subject for each in checks.offline(config.load(None, {}))]
    assert "sms" not in subjects


def test_the_longest_public_url_leaves_room_for_the_path_of_a_receipt() -> None:
    reference = secrets.token_urlsafe(messages.REFERENCE_BYTES)
    path = receipts.path(signing.Signer(b"key"), "vonage", reference)
    assert checks.LONGEST_FOR_VONAGE + len(path) == vonage.LONGEST_CALLBACK


@pytest.mark.parametrize(
    ("given", "verdict", "text"),
    [
        (
            {"MDA_NOTIFY__CHAT__URL": "json://127.0.0.1/canary"},
            OK,
            "notify.chat: Apprise knows this service",
        ),
        ({"MDA_NOTIFY__CHAT__URL": "canary://x"}, WRONG, "notify.chat.url: not shown, as it may"),
        ({"MDA_NOTIFY__CHAT__URL_FILE": "/none"}, WRONG, "notify.chat.url_file: /none: No such"),
        ({"MDA_ALERTMANAGER__CONFIG": "/none"}, WRONG, "alertmanager.config: /none: no such file"),
        ({"MDA_TEAMS__A__SMS": "+447700900123"}, WRONG, "sms: vonage: api_key: is empty"),
    ],
)
def test_services_teams_and_a_configuration_of_ones_own_are_looked_at(
    given: dict[str, str], verdict: checks.Verdict, text: str
) -> None:
    found = [each for each in checks.offline(config.load(None, given)) if text in str(each)]
    assert [each.verdict for each in found] == [verdict]
    assert "canary" not in str(found[0])
