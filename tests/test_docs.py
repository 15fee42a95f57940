"""What the documents say is what the programs do."""

from __future__ import annotations

import re
import shlex
from datetime import datetime
from pathlib import Path

import numpy as np
import pydantic
import pytest
import yaml

from detector import cli, config, planning, telemetry
from detector.stack.receivers import assemble, base, table
from exporter import config as exporter_config

ROOT = Path(__file__).parent.parent
CONFIGURATION = (ROOT / "docs" / "configuration.md").read_text(encoding="utf-8")


def _section(title: str) -> str:
    found = re.search(rf"^## {title}$(.*?)(?=^## |\Z)", CONFIGURATION, re.MULTILINE | re.DOTALL)
    assert found, title
    return found[1]


def _keys(model: type[pydantic.BaseModel], title: str) -> list[tuple[str, str]]:
    sections = {
        "alerts",
        "thresholds",
        "policies",
        "prometheus",
        "alertmanager",
        "silences",
        "detection",
        "email",
        "slack",
        "pagerduty",
        "opsgenie",
        "msteams",
        "discord",
        "telegram",
        "webhook",
        "notify",
        "teams",
        "business_hours",
        "sms",
        "heartbeat",
        "log",
    }
    return [
        (title, field.alias or key)
        for key, field in model.model_fields.items()
        if key not in sections
    ]


@pytest.mark.parametrize(
    ("section", "key"),
    _keys(config.Settings, "Top level")
    + _keys(config.Query, "queries")
    + _keys(config.Model, "models")
    + _keys(config.Calendar, "calendars")
    + _keys(config.WeeklyWindow, "calendars")
    + _keys(config.OnceWindow, "calendars")
    + _keys(config.PrometheusSettings, "prometheus")
    + _keys(config.AlertmanagerSettings, "alertmanager")
    + _keys(config.SilenceSettings, "silences")
    + _keys(config.DetectionSettings, "detection")
    + _keys(config.Thresholds, "thresholds")
    + _keys(config.AlertSettings, "alerts")
    + _keys(config.PolicySettings, "policies")
    + _keys(config.EmailSettings, "email")
    + _keys(config.SlackSettings, "slack")
    + _keys(config.PagerDutySettings, "pagerduty")
    + _keys(config.OpsgenieSettings, "opsgenie")
    + _keys(config.MsTeamsSettings, "msteams")
    + _keys(config.DiscordSettings, "discord")
    + _keys(config.TelegramSettings, "telegram")
    + _keys(config.WebhookSettings, "webhook")
    + _keys(config.NotifySettings, "notify")
    + _keys(config.Team, "teams")
    + _keys(config.BusinessHours, "business_hours")
    + _keys(config.SmsSettings, "sms")
    + _keys(config.Quiet, "sms")
    + _keys(config.HeartbeatSettings, "heartbeat")
    + _keys(config.LogSettings, "log"),
)
def test_every_key_is_documented(section: str, key: str) -> None:
    assert f"`{key}`" in _section(section)


@pytest.mark.parametrize("name", config.BARE_NAMES)
def test_every_bare_name_is_documented(name: str) -> None:
    assert f"`{name}`" in CONFIGURATION


def test_the_examples_in_the_configuration_page_load(tmp_path: Path) -> None:
    detectors, models, calendars, exporters = re.findall(
        r"```yaml\n(.*?)```", CONFIGURATION, re.DOTALL
    )
    file = tmp_path / "mda.yml"
    file.write_text(detectors)
    settings = config.load(file, {})
    assert settings.queries[0].name == yaml.safe_load(detectors)["queries"][0]["name"]

    file.write_text(models)
    settings = config.load(file, {})
    assert [each.name for each in settings.queries[0].models] == ["knn", "kde", "mine"]

    file.write_text(calendars)
    settings = config.load(file, {})
    assert settings.queries[0].calendar == ("office", "works")
    assert settings.calendars.keys() == {"office", "works"}

    file.write_text(exporters)
    assert exporter_config.load(file, {}).collectors.hwmon.enabled is False


def test_the_calendars_on_the_configuration_page_plan_what_it_says(tmp_path: Path) -> None:
    works = re.findall(r"```ics\n(.*?)```", CONFIGURATION, re.DOTALL)
    (tmp_path / "works.ics").write_text(works[0])
    file = tmp_path / "mda.yml"
    file.write_text(
        re.findall(r"```yaml\n(.*?)```", CONFIGURATION, re.DOTALL)[2].replace(
            "/etc/mda", str(tmp_path)
        )
    )
    settings = config.load(file, {})
    planned = planning.Planning(settings).planned_time(settings.queries[0].calendar)
    berlin = settings.calendars["office"].timezone
    rows = re.findall(
        r"^\| (\d{4}-\d\d-\d\d \d\d:\d\d) \| (yes|no) \|", CONFIGURATION, re.MULTILINE
    )

    said = [(datetime.fromisoformat(time).replace(tzinfo=berlin), word) for time, word in rows]
    times_ms = np.array([int(time.timestamp() * 1000) for time, _ in said])

    assert len(said) >= 5
    assert planned.is_planned(times_ms).tolist() == [word == "yes" for _, word in said]


def _leaves(model: type[pydantic.BaseModel], path: str = "") -> list[str]:
    """Dotted keys of a model's settings, but what every collector has."""
    found: list[str] = []
    for key, field in model.model_fields.items():
        inner = field.annotation
        if isinstance(inner, type) and issubclass(inner, pydantic.BaseModel):
            found += _leaves(inner, f"{path}{key}.")
        elif key not in {"enabled", "deadline", "users"}:
            found.append(f"{path}{key}")
    return found


@pytest.mark.parametrize("key", _leaves(exporter_config.Settings))
def test_every_key_of_the_exporter_is_documented(key: str) -> None:
    section, _, last = key.rpartition(".")
    page = CONFIGURATION[CONFIGURATION.index("\n# Exporter") :]

    assert f"`{key}`" in page or (f"`{section}." in page and f"`.{last}`" in page)


@pytest.mark.parametrize(
    "page",
    [
        "README.md",
        "CONTRIBUTING.md",
        *(str(path.relative_to(ROOT)) for path in (ROOT / "docs").rglob("*.md")),
    ],
)
def test_links_between_pages_lead_somewhere(page: str) -> None:
    text = (ROOT / page).read_text(encoding="utf-8")
    links = re.findall(r"\]\((?!https?:|#)([^)#]+)", text)

    assert [link for link in links if not (ROOT / page).parent.joinpath(link).exists()] == []


METRICS = (ROOT / "docs" / "metrics.md").read_text(encoding="utf-8")


def _own_families() -> set[str]:
    """Names of the detector's own families as they are served, counters with their ending."""
    return {
        f"{family.name}_total" if family.type == "counter" else family.name
        for family in telemetry.Telemetry().registry.collect()
        if family.name.startswith("detector_")
    }


@pytest.mark.parametrize("family", sorted(_own_families()))
def test_every_metric_of_the_detector_is_documented(family: str) -> None:
    assert re.search(rf"`{family}[`{{]", METRICS)


@pytest.mark.parametrize(
    "page", ["docs/metrics.md", "docs/operations.md", "rules/meta.yml", "docs/api.md"]
)
def test_pages_name_no_metric_of_the_detector_that_is_not_there(page: str) -> None:
    named = re.findall(
        r"\bdetector_(?:loop|query|remote|webhook|heartbeat|ready|anomaly|build|confidence)\w*",
        (ROOT / page).read_text(encoding="utf-8"),
    )

    assert {re.sub(r"_(bucket|count|sum)$", "", name) for name in named} - _own_families() == set()


@pytest.mark.parametrize("page", ["README.md", "CONTRIBUTING.md", "docs/operations.md"])
def test_every_make_target_that_a_page_names_is_there(page: str) -> None:
    text = (ROOT / page).read_text(encoding="utf-8")
    named = re.findall(r"(?:`|^    |^)make ([a-z][a-z-]*)", text, re.MULTILINE)
    targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)

    assert named
    assert set(named) <= set(targets)


COMMANDS = [
    (page.name, line)
    for page in (ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md")))
    for line in re.findall(
        r"^ +(?:\.venv/bin/)?mda (.*)$", page.read_text(encoding="utf-8"), re.MULTILINE
    )
]


@pytest.mark.parametrize(("page", "line"), COMMANDS)
def test_every_command_line_is_one(page: str, line: str) -> None:
    words = shlex.split(line.partition(" > ")[0], comments=True)
    assert callable(cli.parser().parse_args(words).command)


def test_command_lines_are_found() -> None:
    assert {page for page, _ in COMMANDS} >= {"README.md", "policies.md", "score.md", "backtest.md"}


def test_the_example_of_the_sms_page_loads(tmp_path: Path) -> None:
    page = (ROOT / "docs" / "sms.md").read_text(encoding="utf-8")
    (example,) = re.findall(r"```yaml\n(.*?)```", page, re.DOTALL)
    file = tmp_path / "mda.yml"
    file.write_text(example)
    env = dict(re.findall(r"^    (SMS_\w+)=(\S+(?: \+\d+)?)", page, re.MULTILINE))
    sms = config.load(file, env).sms
    assert (sms.recipients, sms.fallback[0].provider) == (
        ("+491701234567", "+447700900123"),
        "twilio",
    )
    assert sms.quiet is not None
    assert sms.quiet.but == ("critical",)


OPERATIONS = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")


EXAMPLES = re.findall(r"```yaml\n(.*?)```", OPERATIONS, re.DOTALL)
OF_ALERTMANAGER = [example for example in EXAMPLES if "receivers:" in example]


def test_templates_of_an_example_are_those_that_there_are() -> None:
    text = (ROOT / "rules" / "templates" / "messages.tmpl").read_text(encoding="utf-8")
    defined = set(re.findall(r'define "(mda\.[a-z._]+)"', text))
    (example,) = OF_ALERTMANAGER
    named = set(re.findall(r'template "([^"]+)"', example))
    assert len(named) == 9
    assert named <= defined
    assert yaml.safe_load(example)["receivers"]


@pytest.mark.parametrize("example", [each for each in EXAMPLES if each not in OF_ALERTMANAGER])
def test_the_examples_of_channels_load(example: str, tmp_path: Path) -> None:
    file = tmp_path / "mda.yml"
    file.write_text(example)
    given = config.load(file, {}).model_dump(exclude_unset=True)
    assert given.keys() == yaml.safe_load(example).keys()


@pytest.mark.parametrize("example", re.findall(r"```env\n(.*?)```", OPERATIONS, re.DOTALL))
def test_the_settings_of_a_channel_are_all_that_it_needs(example: str, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("from a file")
    environ = dict(line.split("=", 1) for line in example.splitlines())
    for name in [name for name in environ if name.endswith("_FILE")]:
        environ[name] = str(tmp_path / "secret")
    place = base.Place(base.Secrets(tmp_path, 0o600), "127.0.0.1:1", "token", base.Version(0, 28))
    tree = yaml.safe_load((ROOT / "alertmanager.yml").read_text())
    assemble.set_up(tree, config.load(None, environ), place)
    ours = {"memory", "heartbeat"}
    (receiver,) = [each for each in tree["receivers"] if each["name"] not in ours]
    assert receiver["name"] == next(iter(environ)).split("_")[0].lower()


def test_every_channel_is_described() -> None:
    for channel in table.CHANNELS:
        (row,) = re.findall(rf"^\| \[{channel.name}\]\((.*)\|", OPERATIONS, re.MULTILINE)
        assert f"| {channel.since.major}.{channel.since.minor} |" in row


def test_links_to_the_section_of_channels_lead_somewhere() -> None:
    heads = re.findall(r"^#+ (.*)$", OPERATIONS, re.MULTILINE)
    anchors = {re.sub(r"[^a-z0-9 -]", "", head.lower()).replace(" ", "-") for head in heads}
    pages = [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")]
    texts = [(page.name, page.read_text(encoding="utf-8")) for page in pages]
    named = {
        anchor
        for name, text in texts
        for anchor in re.findall(r"operations\.md#([a-z0-9-]+)", text)
        + (re.findall(r"\]\(#([a-z0-9-]+)\)", text) if name == "operations.md" else [])
    }
    assert named - anchors == set()
    assert "channels" in named
