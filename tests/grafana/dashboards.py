"""The dashboards as tests see them: queries with variables put in, and whether they find data."""

from __future__ import annotations

import json
import math
import pathlib
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import promql_parser
import requests

ROOT = pathlib.Path(__file__).resolve().parents[2]
FOLDER = ROOT / "grafana" / "dashboards"
# A range that a person would look at, in steps that a panel would ask for.
RANGE_STEPS = 30

_LABEL_VALUES = re.compile(r"label_values\((?:(?P<selector>.+), *)?(?P<label>\w+)\)")
_VARIABLE = re.compile(r"\$(?:\{(?P<braced>\w+)\}|(?P<bare>\w+))")


@dataclass(frozen=True, slots=True)
class Target:
    """One query of one panel."""

    dashboard: str
    panel: str
    ref: str
    expr: str

    def __str__(self) -> str:
        return f"{self.dashboard} / {self.panel} / {self.ref}: {self.expr}"


def files() -> list[pathlib.Path]:
    """Every dashboard of the project."""
    return sorted(FOLDER.glob("*.json"))


def load(path: pathlib.Path) -> dict[str, Any]:
    """A dashboard as it is in its file."""
    dashboard: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return dashboard


def panels(dashboard: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Every panel, those inside rows too, without the rows."""
    for panel in dashboard["panels"]:
        if panel["type"] == "row":
            yield from panel["panels"]
        else:
            yield panel


def targets(dashboard: Mapping[str, Any]) -> list[Target]:
    """Every query of every panel."""
    return [
        Target(dashboard["title"], panel["title"], target["refId"], target["expr"])
        for panel in panels(dashboard)
        for target in panel["targets"]
    ]


def substituted(expr: str, values: Mapping[str, str]) -> str:
    """The query with every variable replaced. Raises KeyError for one that has no value.

    >>> substituted('rate(a{b="$c"}[$__interval])', {"c": "d", "__interval": "1m"})
    'rate(a{b="d"}[1m])'
    """
    return _VARIABLE.sub(lambda found: values[found["braced"] or found["bare"]], expr)


def selectors(expr: str) -> list[str]:
    """Names of the metrics that the query selects, in order; "" for a selector without a name."""
    found: list[str] = []

    def visit(node: promql_parser.Expr) -> bool:
        if isinstance(node, promql_parser.VectorSelector):
            found.append(node.name or "")
        elif isinstance(node, promql_parser.MatrixSelector):
            found.append(node.vector_selector.name or "")
        return True

    _walk(promql_parser.parse(expr), visit)
    return found


def has_constant_fallback(expr: str) -> bool:
    """Whether the query answers without data: `x or vector(0)`, `x or 0 * y`, `1`."""
    if not selectors(expr):
        return True
    found = False

    def visit(node: promql_parser.Expr) -> bool:
        nonlocal found
        if isinstance(node, promql_parser.BinaryExpr) and str(node.op) == "or":
            found = found or any(_is_made_up(side) for side in (node.lhs, node.rhs))
        if isinstance(node, promql_parser.Call) and node.func.name.startswith("absent"):
            found = True
        return True

    _walk(promql_parser.parse(expr), visit)
    return found


def _is_made_up(node: promql_parser.Expr) -> bool:
    """Whether a value does not come from what its selectors hold."""
    if isinstance(node, promql_parser.ParenExpr):
        return _is_made_up(node.expr)
    if isinstance(node, promql_parser.BinaryExpr) and str(node.op) == "*":
        return any(_is_zero(side) for side in (node.lhs, node.rhs))
    return not selectors(str(node))


def _is_zero(node: promql_parser.Expr) -> bool:
    return isinstance(node, promql_parser.NumberLiteral) and node.val == 0


def _walk(node: promql_parser.Expr, visit: Callable[[promql_parser.Expr], bool]) -> None:
    visit(node)
    children = [
        getattr(node, name)
        for name in ("lhs", "rhs", "expr", "param")
        if getattr(node, name, None) is not None
    ]
    if isinstance(node, promql_parser.Call):
        children.extend(node.args)
    for child in children:
        _walk(child, visit)


class Server:
    """A Prometheus that is asked as Grafana would ask it."""

    def __init__(self, url: str, step_s: int) -> None:
        self._url = url
        self._step_s = step_s
        self._session = requests.Session()

    def close(self) -> None:
        self._session.close()

    def values(self, dashboard: Mapping[str, Any]) -> dict[str, str]:
        """What a person who has just opened the dashboard would have chosen for each variable."""
        chosen = {
            "__rate_interval": f"{4 * self._step_s}s",
            "__interval": f"{self._step_s}s",
            "__range": "1h",
        }
        for variable in dashboard["templating"]["list"]:
            if variable["type"] == "query":
                chosen[variable["name"]] = self._chosen(variable, chosen)
        return chosen

    def empty(self, dashboard: Mapping[str, Any]) -> list[Target]:
        """The queries that answer without one finite number, at this instant or over a range."""
        values = self.values(dashboard)
        return [
            target
            for target in targets(dashboard)
            if has_constant_fallback(substituted(target.expr, values))
            or not self._has_data(substituted(target.expr, values))
        ]

    def _chosen(self, variable: Mapping[str, Any], values: Mapping[str, str]) -> str:
        asked = _LABEL_VALUES.fullmatch(variable["query"]["query"])
        assert asked, f"{variable['name']}: {variable['query']['query']}"
        match = {"match[]": substituted(asked["selector"], values)} if asked["selector"] else {}
        found = self._get(f"label/{asked['label']}/values", match)
        if variable["multi"]:
            return "(" + "|".join(re.escape(value).replace("\\", "\\\\") for value in found) + ")"
        return str(found[0]) if found else ""

    def _has_data(self, expr: str) -> bool:
        now = float(self._get("query", {"query": "time()"})[1])
        start = now - RANGE_STEPS * self._step_s
        instant = self._get("query", {"query": expr, "time": now})
        over_range = self._get(
            "query_range", {"query": expr, "start": start, "end": now, "step": self._step_s}
        )
        return _is_finite(each["value"] for each in instant) and _is_finite(
            value for each in over_range for value in each["values"]
        )

    def _get(self, path: str, parameters: Mapping[str, object]) -> Any:
        answer = self._session.get(
            f"{self._url}/api/v1/{path}",
            params={name: str(value) for name, value in parameters.items()},
            timeout=10,
        )
        answer.raise_for_status()
        data = answer.json()["data"]
        return data["result"] if isinstance(data, dict) else data


def _is_finite(points: Iterator[Any]) -> bool:
    return any(math.isfinite(float(value)) for _, value in points)


def empty_panels(prometheus_url: str, *, step_s: int) -> list[Target]:
    """The queries of all dashboards that find no data there.

    step_s   the interval of scraping and scoring
    A query that would answer without data counts as empty.
    """
    server = Server(prometheus_url, step_s)
    try:
        return [target for path in files() for target in server.empty(load(path))]
    finally:
        server.close()
