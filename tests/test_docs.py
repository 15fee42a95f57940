"""What the documents say is what the programs do."""

from __future__ import annotations

import re
from pathlib import Path

import pydantic
import pytest
import yaml

from detector import config

ROOT = Path(__file__).parent.parent
CONFIGURATION = (ROOT / "docs" / "configuration.md").read_text(encoding="utf-8")


def _section(title: str) -> str:
    found = re.search(rf"^## {title}$(.*?)(?=^## |\Z)", CONFIGURATION, re.MULTILINE | re.DOTALL)
    assert found, title
    return found[1]


def _keys(model: type[pydantic.BaseModel], title: str) -> list[tuple[str, str]]:
    sections = {"thresholds", "prometheus", "alertmanager", "detection", "email", "slack", "log"}
    return [(title, key) for key in model.model_fields if key not in sections]


@pytest.mark.parametrize(
    ("section", "key"),
    _keys(config.Settings, "Top level")
    + _keys(config.Query, "queries")
    + _keys(config.PrometheusSettings, "prometheus")
    + _keys(config.AlertmanagerSettings, "alertmanager")
    + _keys(config.DetectionSettings, "detection")
    + _keys(config.Thresholds, "thresholds")
    + _keys(config.EmailSettings, "email")
    + _keys(config.SlackSettings, "slack")
    + _keys(config.LogSettings, "log"),
)
def test_every_key_is_documented(section: str, key: str) -> None:
    assert f"`{key}`" in _section(section)


@pytest.mark.parametrize("name", config.BARE_NAMES)
def test_every_bare_name_is_documented(name: str) -> None:
    assert f"`{name}`" in CONFIGURATION


def test_the_example_in_the_configuration_page_loads(tmp_path: Path) -> None:
    example = re.search(r"```yaml\n(.*?)```", CONFIGURATION, re.DOTALL)
    assert example
    file = tmp_path / "mda.yml"
    file.write_text(example[1])

    settings = config.load(file, {})

    assert settings.queries[0].name == yaml.safe_load(example[1])["queries"][0]["name"]


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
