"""Whatever policy is taken becomes rules that Prometheus takes, among those of others."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import hypothesis
from hypothesis import strategies as st

from detector import errors
from detector.policy import compiler, documents
from tests import stack
from tests.detector.policy import factories

CASES, OTHERS = 150, 50
SIGNS = (
    *(
        "{{",
        "}}",
        '"',
        "'",
        "`",
        "\\",
        "\n",
        "\r",
        "\t",
        " ",
        "#",
        ": ",
        "- ",
        "|",
        "a",
        "$",
        "%",
        "(",
    ),
    *("\u2028", "\u2029", "\x85", "\ufeff", "\u200f", "\U0001f4a9", "\0", "["),
)
TEXTS = st.one_of(
    st.text(max_size=30),
    st.lists(st.sampled_from(SIGNS), max_size=12).map("".join),
)
WORDS = st.sampled_from(
    ["on", "by", "bool", "offset", "sum", "unless", "NaN", "start", "group_left"]
)
NAMES = st.one_of(st.sampled_from(["a", "instance", "le", "policy", "alertname"]), WORDS)
METRICS = st.sampled_from(["cpu_percent", "load_per_cpu", "up", "a:b", "nan", "inf"]) | WORDS
NUMBERS = st.one_of(
    st.sampled_from([0.0, -0.0, 1e300, -5e-324, 1e21, 0.1]),
    st.floats(allow_nan=False, allow_infinity=False),
)
SPANS = st.sampled_from(["1s", "90s", "5m", "1h30m", "1d", 90, 1.5, "1500ms"])
OPERATORS = st.sampled_from(["gt", "gte", "lt", "lte", "eq", "ne"])
PLACES = st.sampled_from(
    [
        "{{ $value }}",
        "{{$labels.instance|toUpper}}",
        '{{ $value | printf "%.1f" }}',
        "{{\t$value\n|\rhumanize }}",
        "{{\xa0$value }}",
        "{{\x0b$value }}",
    ]
)
REGEXES = st.sampled_from(
    ["web.*", "a|\u2028", "[\"']\\\\", "\n{2}", "(", "\\\\d+", "(?i)\U0001f4a9"]
)
MESSAGES = st.lists(
    st.one_of(TEXTS.map(lambda text: text.replace("{{", "{ {")), PLACES), min_size=1, max_size=3
).map("".join)
FILTERS = st.dictionaries(
    NAMES,
    st.one_of(
        TEXTS,
        st.lists(TEXTS, min_size=1, max_size=3),
        st.fixed_dictionaries({"matches": REGEXES}, optional={"not": TEXTS}),
        st.fixed_dictionaries({"not_matches": REGEXES}, optional={"not": TEXTS}),
    ),
    max_size=2,
)
WINDOWS = st.fixed_dictionaries(
    {"weekly": st.just([{"days": ["mon", "sun"], "start": "22:30", "end": "06:00"}])},
    optional={
        "timezone": st.sampled_from(["UTC", "Europe/Berlin", "Australia/Lord_Howe"]),
        "mode": st.sampled_from(["inside", "outside"]),
    },
)
LABELS = st.lists(NAMES, max_size=2, unique=True)


def _one(
    name: str, /, needed: dict[str, Any], **optional: Any
) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries({"type": st.just(name), **needed}, optional=optional)


FUNCTIONS = st.one_of(
    st.fixed_dictionaries(
        {"function": st.sampled_from(["avg", "min", "max", "sum", "count", "stddev"])}
    ),
    st.fixed_dictionaries({"function": st.just("quantile"), "quantile": st.floats(0, 1)}),
)
OVER_TIME = st.builds(lambda function, span: {**function, "range": span}, FUNCTIONS, SPANS)
GROUPS: st.SearchStrategy[dict[str, Any]] = st.one_of(
    st.just({}),
    st.fixed_dictionaries({"by": LABELS}),
    st.fixed_dictionaries({"without": LABELS}),
)
ACROSS = st.builds(lambda function, group: {**function, **group}, FUNCTIONS, GROUPS)
RESOLVED = st.fixed_dictionaries({"operator": OPERATORS, "threshold": NUMBERS})
LEAVES = st.one_of(
    _one(
        "metric_threshold",
        {"metric_name": METRICS, "operator": OPERATORS, "threshold": NUMBERS},
        labels=FILTERS,
        over_time=OVER_TIME,
        aggregate=ACROSS,
        resolve_when=RESOLVED,
    ),
    _one("anomaly", {}, query=NAMES, score=NUMBERS),
    _one("anomaly", {}, query=NAMES, kind=st.just(["spike", "flat"])),
    _one("drift", {}, query=NAMES, score=NUMBERS),
    _one(
        "rate_of_change",
        {"metric_name": METRICS, "operator": OPERATORS, "threshold": NUMBERS, "over": SPANS},
        measure=st.sampled_from(["difference", "percent", "slope", "rate", "increase"]),
        labels=FILTERS,
        resolve_when=RESOLVED,
    ),
    _one(
        "forecast",
        {"metric_name": METRICS, "limit": NUMBERS, "within": SPANS},
        history=SPANS,
        operator=st.sampled_from(["gte", "lte"]),
        labels=FILTERS,
    ),
    _one("absent", {"metric_name": METRICS}, labels=FILTERS, seen_within=SPANS),
    _one("expression", {"expr": st.sampled_from(["up == 0", "a # b", "sum(a) by (b) > 1"])}),
)
CONDITIONS = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        _one(
            "all",
            {"conditions": st.lists(inner, min_size=1, max_size=3)},
            match_on=LABELS,
            window=WINDOWS,
        ),
        _one("any", {"conditions": st.lists(inner, min_size=1, max_size=3)}, ignoring=LABELS),
        _one("not", {"condition": inner}),
    ),
    max_leaves=4,
)
OUTERMOST = st.builds(
    lambda condition, more: condition | more,
    CONDITIONS,
    st.fixed_dictionaries({}, optional={"for": SPANS, "keep_firing_for": SPANS, "window": WINDOWS}),
)
RULES = st.fixed_dictionaries(
    {
        "condition": OUTERMOST,
        "action": st.fixed_dictionaries(
            {"type": st.just("alert")},
            optional={
                "severity": st.sampled_from(["critical", "info"]),
                "message": MESSAGES,
                "runbook": TEXTS,
            },
        ),
    },
    optional={"priority": st.integers(0, 3)},
)


def _printable(text: str) -> str:
    return "".join(char for char in text if char.isprintable()).strip() or "a"


DOCUMENTS = st.fixed_dictionaries(
    {
        "name": st.one_of(TEXTS, st.text(max_size=200)).map(_printable),
        "rules": st.lists(RULES, min_size=1, max_size=3),
    },
    optional={"description": TEXTS, "per": LABELS},
)


def test_any_policy_that_is_taken_is_taken_by_promtool_among_others(
    stack_binaries: stack.Binaries, tmp_path: Path
) -> None:
    promtool = stack_binaries.find("promtool")
    others = [
        compiler.compiled(
            documents.parse(factories.tree(factories.above(), name=f"policy {at}"), "other"),
            1,
            factories.GIVEN,
        )
        for at in range(OTHERS)
    ]
    file = tmp_path / "policies.yml"
    taken = [0]

    @hypothesis.settings(
        max_examples=CASES,
        derandomize=True,
        deadline=None,
        database=None,
        suppress_health_check=list(hypothesis.HealthCheck),
    )
    @hypothesis.given(DOCUMENTS)
    def hold(tree: dict[str, Any]) -> None:
        try:
            document = documents.parse(tree, "any")
            compiled = compiler.compiled(document, 1, factories.GIVEN)
        except errors.PolicyError:
            return
        taken[0] += 1
        again = documents.parse(documents.tree_of(document), "again")
        assert again == document
        file.write_text(compiler.file_text([*others, compiled]), encoding="utf-8")
        ran = subprocess.run(
            [promtool, "check", "rules", file], capture_output=True, text=True, timeout=60
        )
        assert ran.returncode == 0, ran.stderr
        assert f"SUCCESS: {OTHERS + len(compiled.rules)} rules found" in ran.stdout

    hold()
    assert taken[0] > CASES / 4
