"""Names and texts that could break out, published to a real Prometheus."""

from __future__ import annotations

from pathlib import Path

import requests

from detector.policy import documents, messages
from detector.store import migrate
from tests.conftest import MakePrometheus
from tests.detector.policy import factories
from tests.integration import publish_child
from tests.integration.test_publishing import CONFIG

NAMES = (
    "a \"quoted\" 'name' `name`",
    "back\\slash \\n \\u0041",
    "{{ $value }}",
    "{{{{",
    '{{"{{"}}',
    "a {{ b }} c {{",
    "# no comment: [x, y] & *z !tag | > % @",
    "- item",
    "? key : value",
    "~",
    "null",
    "yes",
    "1e3",
    "0x10",
    "2026-11-27",
    "=",
    "<<",
    "...",
    "---",
    " leading and trailing ",
    "\N{PILE OF POO}\N{SNOWMAN}",
    "\N{ARABIC LETTER ALEF}\N{HEBREW LETTER ALEF}",
    "x" * 200,
    "\N{PILE OF POO}" * 200,
    "stra\u00dfe",
    "\u0130stanbul",
    "${HOME} $1 $labels",
    "'; DROP TABLE policies; --",
)
TEXTS = (
    *NAMES,
    "two\nlines",
    " \n indented\n  more\n",
    "\ttab",
    "\r\n",
    "\x00\x1b\x7f",
    "\u2028\x85",
)


def document(name: str, text: str) -> documents.Document:
    rule = factories.tree(factories.above(labels={"x": text}))["rules"][0]
    tree = {"name": name, "description": text, "rules": [rule, {**rule, "priority": 2}]}
    return documents.parse(tree, "policy")


def test_texts_come_back_from_prometheus_as_they_are(
    prometheus: MakePrometheus, database_url: str, tmp_path: Path
) -> None:
    migrate.migrate(database_url)
    server = prometheus(CONFIG.replace("{folder}", str(tmp_path)))
    made = publish_child.publisher(database_url, server.url, tmp_path)
    wanted = [document(name, f"{name}: x") for name in NAMES]
    wanted += [document(f"text {at}", text) for at, text in enumerate(TEXTS)]
    made.apply(wanted, prune=False, by="test")
    assert {each.policy for each in made._rules.live()} == {each.name for each in wanted}
    groups = requests.get(f"{server.url}/api/v1/rules", timeout=10).json()["data"]["groups"]
    told = {
        rule["name"]: rule["annotations"]["description"]
        for group in groups
        for rule in group["rules"]
    }
    assert told == {each.name: messages.literal(each.description) for each in wanted}
