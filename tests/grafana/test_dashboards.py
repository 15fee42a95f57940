"""What Grafana's types do not say: every panel is whole, explained, and asks for what exists."""

from __future__ import annotations

import itertools
import pathlib
import re
from typing import Any

import pytest
import yaml

from detector import presets, telemetry
from tests import conftest, stack
from tests.grafana import dashboards

GRID_WIDTH = 24
GRAFANA_VALUES = {"__rate_interval": "1m", "__interval": "15s", "instance": "a", "query": "b"}

every_dashboard = pytest.mark.parametrize(
    "path", dashboards.files(), ids=lambda path: pathlib.Path(path).stem
)


def test_there_is_a_dashboard_for_hosts_anomalies_and_ourselves() -> None:
    assert [path.stem for path in dashboards.files()] == ["anomalies", "detector-health", "hosts"]


def test_uids_are_stable_and_differ() -> None:
    assert [dashboards.load(path)["uid"] for path in dashboards.files()] == [
        "mda-anomalies",
        "mda-detector-health",
        "mda-hosts",
    ]


@every_dashboard
def test_panel_ids_differ(path: pathlib.Path) -> None:
    dashboard = dashboards.load(path)
    ids = [panel["id"] for panel in dashboard["panels"]]
    ids += [inner["id"] for panel in dashboard["panels"] for inner in panel.get("panels", [])]
    assert len(ids) == len(set(ids))


@every_dashboard
def test_panels_lie_on_the_grid_and_do_not_overlap(path: pathlib.Path) -> None:
    placed = dashboards.load(path)["panels"]
    for panel in placed:
        assert panel["gridPos"]["x"] >= 0
        assert panel["gridPos"]["x"] + panel["gridPos"]["w"] <= GRID_WIDTH
    overlapping = [
        (one["title"], other["title"])
        for one, other in itertools.combinations(placed, 2)
        if overlap(one["gridPos"], other["gridPos"])
    ]
    assert overlapping == []


def overlap(one: dict[str, int], other: dict[str, int]) -> bool:
    return (
        one["x"] < other["x"] + other["w"]
        and other["x"] < one["x"] + one["w"]
        and one["y"] < other["y"] + other["h"]
        and other["y"] < one["y"] + one["h"]
    )


@every_dashboard
def test_the_data_source_is_always_the_variable(path: pathlib.Path) -> None:
    dashboard = dashboards.load(path)
    used = {
        each["datasource"]["uid"]
        for panel in dashboards.panels(dashboard)
        for each in (panel, *panel["targets"])
    }
    used |= {
        each["datasource"]["uid"]
        for each in dashboard["templating"]["list"]
        if each["type"] == "query"
    }
    assert used == {"${datasource}"}
    assert dashboard["templating"]["list"][0]["name"] == "datasource"


@every_dashboard
def test_every_panel_says_what_it_shows_and_in_which_unit(path: pathlib.Path) -> None:
    lacking = [
        panel["title"]
        for panel in dashboards.panels(dashboards.load(path))
        if not panel["description"].endswith(".") or not panel["fieldConfig"]["defaults"]["unit"]
    ]
    assert lacking == []


@every_dashboard
def test_every_line_has_a_legend(path: pathlib.Path) -> None:
    dashboard = dashboards.load(path)
    nameless = [
        panel["title"]
        for panel in dashboards.panels(dashboard)
        for target in panel["targets"]
        if panel["type"] != "table" and not target["legendFormat"]
    ]
    assert nameless == []


@every_dashboard
def test_no_query_makes_its_data_up(path: pathlib.Path) -> None:
    made_up = [
        str(target)
        for target in dashboards.targets(dashboards.load(path))
        if dashboards.has_constant_fallback(dashboards.substituted(target.expr, GRAFANA_VALUES))
    ]
    assert made_up == []


@every_dashboard
def test_every_metric_asked_for_is_one_that_someone_exposes(path: pathlib.Path) -> None:
    recorded = {
        rule["record"]
        for file in (dashboards.ROOT / "rules").glob("*.yml")
        for group in yaml.safe_load(file.read_text())["groups"]
        for rule in group["rules"]
        if "record" in rule
    }
    ours = {
        sample.name
        for family in telemetry.Telemetry().registry.collect()
        for sample in family.samples
    } | {
        family.name + suffix
        for family in telemetry.Telemetry().registry.collect()
        for suffix in {"counter": ("_total",), "histogram": ("_bucket", "_count", "_sum")}.get(
            family.type, ("",)
        )
    }
    unknown = {
        name
        for target in dashboards.targets(dashboards.load(path))
        for name in dashboards.selectors(dashboards.substituted(target.expr, GRAFANA_VALUES))
        if (":" in name and name not in recorded)
        or (name.startswith("detector_") and name not in ours)
    }
    assert unknown == set()


def test_bands_stand_beside_the_very_queries_of_the_preset() -> None:
    dashboard = dashboards.load(dashboards.FOLDER / "anomalies.json")
    by_query = {
        found[1]: panel["targets"]
        for panel in dashboards.panels(dashboard)
        if (found := re.search(r"The value of the query (\w+)", panel["description"]))
    }
    wanted = {
        preset.name: [f"({preset.expr}) and on (job, instance) ", *bands(preset.name)]
        for preset in presets.PRESETS["host"]
    }
    shown = {
        name: [targets[0]["expr"].split("up{", 1)[0], *(each["expr"] for each in targets[1:])]
        for name, targets in by_query.items()
    }
    assert shown == wanted


def bands(query: str) -> list[str]:
    chosen = f'{{query="{query}", instance=~"$instance"}}'
    return [f"anomaly_{each}{chosen}" for each in ("expected", "lower", "upper")]


@pytest.mark.parametrize(
    ("expr", "is_made_up"),
    [
        ("up", False),
        ("up or anomaly_score", False),
        ("sum(up > bool 1)", False),
        ("1", True),
        ("vector(0)", True),
        ("up or vector(0)", True),
        ("sum(up or (vector(0)))", True),
        ("rate(a_total[5m]) or 0 * up", True),
        ("absent(up)", True),
    ],
)
def test_a_constant_fallback_is_seen_through(expr: str, is_made_up: bool) -> None:
    assert dashboards.has_constant_fallback(expr) is is_made_up


def test_a_variable_without_a_value_is_an_error() -> None:
    with pytest.raises(KeyError):
        dashboards.substituted("up{instance=~'$instance'}", {})


PROMETHEUS = """\
global: {scrape_interval: 1s, evaluation_interval: 1s}
scrape_configs:
  - job_name: node
    static_configs: [{targets: ["127.0.0.1:{port}"]}]
"""


def dashboard_of(*exprs: str) -> dict[str, Any]:
    """A dashboard with a variable for instances and a panel for each query."""
    variable = {
        "name": "instance",
        "type": "query",
        "multi": True,
        "query": {"query": 'label_values(up{job="node"}, instance)'},
    }
    return {
        "title": "One",
        "templating": {"list": [variable]},
        "panels": [
            {"type": "stat", "title": expr, "targets": [{"refId": "A", "expr": expr}]}
            for expr in exprs
        ],
    }


def test_a_real_server_tells_queries_with_data_from_empty_ones(
    prometheus: conftest.MakePrometheus,
) -> None:
    server = prometheus(PROMETHEUS)
    stack.wait_until(
        lambda: server.query("rate(prometheus_http_requests_total[4s])"), 20, "two scrapes"
    )
    full = (
        'up{instance=~"$instance"}',
        "sum(rate(prometheus_http_requests_total[$__rate_interval]))",
    )
    empty = ("no_such_metric", "no_such_metric or vector(0)", "up / 0 * 0", "up > 5")
    asked = dashboards.Server(server.url, step_s=1)
    found = asked.empty(dashboard_of(*full, *empty))
    asked.close()
    assert [target.expr for target in found] == list(empty)
