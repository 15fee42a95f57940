"""Rendered files, judged by the real promtool and amtool."""

from __future__ import annotations

import pathlib
import shutil
import stat
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import pytest
import yaml

from detector import config, errors
from detector.stack import render
from tests import conftest, stack
from tests.detector.stack.receiving import EMAIL, HERE, SLACK, SMS


@pytest.fixture
def tools(stack_binaries: stack.Binaries) -> render.Tools:
    return render.Tools(stack_binaries.find("promtool"), stack_binaries.find("amtool"))


def rendered(
    out: pathlib.Path, tools: render.Tools, environ: Mapping[str, str]
) -> tuple[dict[str, Any], dict[str, Any], tuple[str, ...]]:
    """prometheus.yml, alertmanager.yml, the notes."""
    found = render.render(config.load(None, environ), HERE, out, tools)
    return (
        yaml.safe_load(found.prometheus.read_text()),
        yaml.safe_load(found.alertmanager.read_text()),
        found.notes,
    )


def test_prometheus_gets_our_addresses_interval_and_rules(
    tmp_path: pathlib.Path, tools: render.Tools
) -> None:
    tree, _, _ = rendered(tmp_path, tools, {"METRIC_COLLECTION_INTERVAL": "5"})
    targets = [
        target
        for job in tree["scrape_configs"]
        for group in job["static_configs"]
        for target in group["targets"]
    ]
    assert sorted(targets) == sorted(
        [HERE.exporter, HERE.prometheus, HERE.alertmanager, HERE.detector]
    )
    assert tree["global"] == {"scrape_interval": "5s", "evaluation_interval": "5s"}
    assert tree["alerting"]["alertmanagers"][0]["static_configs"][0]["targets"] == [
        HERE.alertmanager
    ]
    assert tree["rule_files"] == [f"{tmp_path}/rules/*.yml", f"{tmp_path}/rules/generated/*.yml"]


@pytest.mark.parametrize(
    ("interval", "notation"),
    [(timedelta(seconds=60), "60s"), (timedelta(milliseconds=1500), "1500ms")],
)
def test_intervals_are_written_exactly(interval: timedelta, notation: str) -> None:
    assert render.prometheus_duration(interval) == notation


def test_rules_are_copied_with_our_thresholds(tmp_path: pathlib.Path, tools: render.Tools) -> None:
    rendered(tmp_path, tools, {"DEFAULT_CPU_THRESHOLD": "91.5", "DEFAULT_DISK_THRESHOLD": "70"})
    groups = yaml.safe_load((tmp_path / "rules/thresholds.yml").read_text())["groups"]
    exprs = {rule.get("record"): rule["expr"] for rule in groups[0]["rules"]}
    assert exprs["monitor:cpu_threshold:percent"] == "vector(91.5)"
    assert exprs["monitor:memory_threshold:percent"] == "vector(80)"
    assert exprs["monitor:disk_threshold:percent"] == "vector(70)"
    shipped = conftest.ROOT / "rules"
    assert {file.name for file in (tmp_path / "rules").glob("*.yml")} == {
        file.name for file in shipped.glob("*.yml")
    }
    assert (tmp_path / "rules/meta.yml").read_text() == (shipped / "meta.yml").read_text()


def test_rendering_again_keeps_generated_rules_and_drops_vanished_ones(
    tmp_path: pathlib.Path, tools: render.Tools
) -> None:
    rendered(tmp_path, tools, {})
    generated = tmp_path / "rules/generated/policy.yml"
    generated.write_text("groups: []\n")
    (tmp_path / "rules/vanished.yml").write_text("groups: []\n")
    rendered(tmp_path, tools, {})
    assert generated.exists()
    assert not (tmp_path / "rules/vanished.yml").exists()


def names(tree: dict[str, Any]) -> tuple[list[str], list[str]]:
    """Receivers, and receivers of routes."""
    return (
        [receiver["name"] for receiver in tree["receivers"]],
        [
            route["receiver"]
            for route in tree["route"]["routes"]
            if "mda_test" not in str(route.get("matchers"))
        ],
    )


@pytest.mark.parametrize(
    ("environ", "kept", "left_out"),
    [
        (
            {},
            ["heartbeat", "memory"],
            [
                "'email' left out: EMAIL_SMTP_SERVER and EMAIL_TO",
                "'slack' left out",
                "'sms' left out: SMS_TO not set",
            ],
        ),
        (
            EMAIL | SMS,
            ["heartbeat", "memory", "email", "sms"],
            ["'slack' left out: SLACK_WEBHOOK_URL not set"],
        ),
        (SLACK | SMS, ["heartbeat", "memory", "slack", "sms"], ["'email' left out"]),
        (EMAIL | SLACK, ["heartbeat", "memory", "email", "slack"], ["'sms' left out"]),
        (EMAIL | SLACK | SMS, ["heartbeat", "memory", "email", "slack", "sms"], []),
        (
            {"EMAIL_SMTP_SERVER": "smtp.example.org"} | SLACK | SMS,
            ["heartbeat", "memory", "slack", "sms"],
            ["'email' left out: EMAIL_TO not set"],
        ),
    ],
)
def test_receivers_without_settings_are_left_out_and_said(
    tmp_path: pathlib.Path,
    tools: render.Tools,
    environ: dict[str, str],
    kept: list[str],
    left_out: list[str],
) -> None:
    _, tree, notes = rendered(tmp_path, tools, environ)
    receivers, routes = names(tree)
    assert (sorted(receivers), routes) == (sorted(kept), kept)
    assert len(notes) == len(left_out)
    assert all(said in note for said, note in zip(left_out, notes, strict=True))


def test_secrets_stand_in_files_of_their_owner_alone_and_nowhere_else(
    tmp_path: pathlib.Path, tools: render.Tools
) -> None:
    _, tree, notes = rendered(tmp_path, tools, EMAIL | SLACK)
    for path, secret in (
        (tree["global"]["smtp_auth_password_file"], "s3cret-mail"),
        (tree["global"]["slack_api_url_file"], SLACK["SLACK_WEBHOOK_URL"]),
    ):
        assert pathlib.Path(path).read_text() == secret
        assert stat.S_IMODE(pathlib.Path(path).stat().st_mode) == 0o600
    elsewhere = [file for file in tmp_path.rglob("*.yml") if "s3cret" in file.read_text()]
    assert elsewhere == []
    assert "s3cret" not in "".join(notes)


def test_sms_go_out_for_the_severities_of_the_settings(
    tmp_path: pathlib.Path, tools: render.Tools
) -> None:
    def matchers(**environ: str) -> list[str]:
        _, tree, _ = rendered(tmp_path, tools, SMS | environ)
        _, route = [each for each in tree["route"]["routes"] if each["receiver"] == "sms"]
        found: list[str] = route["matchers"]
        return found

    but = 'alertname != "SmsNotSent"'
    assert matchers() == ['severity =~ "critical|high|warning"', but]
    assert matchers(MDA_SMS__SEVERITIES='["page"]') == ['severity =~ "page"', but]


def test_mail_goes_from_and_to_whom_the_settings_say(
    tmp_path: pathlib.Path, tools: render.Tools
) -> None:
    _, tree, _ = rendered(tmp_path, tools, EMAIL | {"EMAIL_SMTP_PORT": "2525"})
    assert tree["global"]["smtp_smarthost"] == "smtp.example.org:2525"
    assert tree["global"]["smtp_from"] == "monitor@example.org"
    assert tree["global"]["smtp_require_tls"] is True
    email = next(each for each in tree["receivers"] if each["name"] == "email")
    assert email["email_configs"][0]["to"] == "a@example.org, b@example.org"


@pytest.mark.parametrize(
    ("server", "smarthost"), [("localhost", "localhost:587"), ("::1", "[::1]:587")]
)
def test_mail_without_an_account_is_sent_without_one(
    tmp_path: pathlib.Path, tools: render.Tools, server: str, smarthost: str
) -> None:
    environ = {"EMAIL_SMTP_SERVER": server, "EMAIL_TO": "a@b.org", "EMAIL_FROM": "c@d.org"}
    _, tree, _ = rendered(tmp_path, tools, environ)
    assert not [key for key in tree["global"] if key.startswith("smtp_auth")]
    assert tree["global"]["smtp_smarthost"] == smarthost
    assert tree["global"]["smtp_require_tls"] is False


def test_mail_without_a_sender_is_refused(tmp_path: pathlib.Path) -> None:
    environ = {"EMAIL_SMTP_SERVER": "smtp.example.org", "EMAIL_TO": "a@example.org"}
    with pytest.raises(errors.ConfigError, match=r"^EMAIL_FROM: not set: "):
        rendered(tmp_path, render.Tools(), environ)


def test_without_a_sender_mail_comes_from_the_account(tmp_path: pathlib.Path) -> None:
    environ = EMAIL | {"EMAIL_FROM": "", "EMAIL_USERNAME": "account@example.org"}
    _, tree, _ = rendered(tmp_path, render.Tools(), environ)
    assert tree["global"]["smtp_from"] == "account@example.org"


def test_the_webhook_reaches_our_detector_with_the_token_file(
    tmp_path: pathlib.Path, tools: render.Tools
) -> None:
    token = tmp_path / "token"
    token.write_text("t")
    _, tree, _ = rendered(tmp_path, tools, {"MDA_WEBHOOK_TOKEN_FILE": str(token)})
    (webhook,) = tree["receivers"][0]["webhook_configs"]
    assert webhook["url"] == f"http://{HERE.detector}/api/webhooks/alertmanager"
    assert webhook["http_config"]["authorization"]["credentials_file"] == str(token)


def test_without_a_token_file_one_is_made_once(tmp_path: pathlib.Path, tools: render.Tools) -> None:
    rendered(tmp_path, tools, {})
    token = (tmp_path / "secrets/webhook_token").read_text()
    rendered(tmp_path, tools, {})
    assert len(token) >= 40
    assert (tmp_path / "secrets/webhook_token").read_text() == token


def test_for_containers_the_shipped_addresses_stay_and_the_group_may_read_secrets(
    tmp_path: pathlib.Path,
) -> None:
    lines = render.run(config.load(None, EMAIL), tmp_path)
    shipped = yaml.safe_load((conftest.ROOT / "prometheus.yml").read_text())
    tree = yaml.safe_load((tmp_path / "prometheus.yml").read_text())
    assert tree["scrape_configs"] == shipped["scrape_configs"]
    for name in ("webhook_token", "email_password"):
        assert stat.S_IMODE((tmp_path / "secrets" / name).stat().st_mode) == 0o640
    assert lines[-1] == f"wrote {tmp_path}/alertmanager.yml"


@pytest.mark.parametrize(
    ("name", "text", "complaint"),
    [
        ("prometheus.yml", "global: {scrape_timeout: soon}", "promtool refuses"),
        ("rules/bad.yml", "groups: [{name: g, rules: [{record: a, expr: 'a +'}]}]", "promtool"),
        ("alertmanager.yml", "route: {receiver: x}\nreceivers: [{name: y}]", "amtool refuses"),
        ("prometheus.yml", "a: [", "prometheus.yml: while parsing"),
        ("rules/bad.yml", "just text", "keys with values are expected"),
    ],
)
def test_a_wrong_file_is_one_line_that_names_it(
    tmp_path: pathlib.Path,
    tools: render.Tools,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    text: str,
    complaint: str,
) -> None:
    project = tmp_path / "project"
    shutil.copytree(conftest.ROOT / "rules", project / "rules")
    for file in ("prometheus.yml", "alertmanager.yml"):
        shutil.copy(conftest.ROOT / file, project)
    (project / name).write_text(text)
    monkeypatch.chdir(project)
    with pytest.raises(errors.StackError, match=complaint) as caught:
        rendered(tmp_path / "out", tools, {})
    assert "\n" not in str(caught.value)


def test_a_wrong_interval_never_reaches_a_file(tmp_path: pathlib.Path) -> None:
    with pytest.raises(errors.ConfigError):
        rendered(tmp_path, render.Tools(), {"METRIC_COLLECTION_INTERVAL": "0"})
    assert list(tmp_path.iterdir()) == []
