"""What annotations tell of an alert, by what it is about."""

from __future__ import annotations

import urllib.parse
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from detector import alerts, anomalies, config, errors, frames, links, signing
from detector.policy import documents, revisions
from detector.services import facts, subjects
from tests.detector.policy import factories
from tests.fakes.anomalies import FakeAnomalyStore
from tests.fakes.answers import FakeAnswers
from tests.fakes.policies import FakePolicyStore

NOW = datetime(2026, 5, 4, 14, 30, tzinfo=UTC)
CPU = "100 * instance:node_cpu_utilisation:rate5m"
SCORES = (
    '{__name__=~"anomaly_expected|anomaly_lower|anomaly_upper|anomaly_score|drift_score",'
    'query="orders",instance=~"web-1"}'
)


class Known:
    """All that facts are taken from."""

    def __init__(self, public_url: str | None = None, **settings: str) -> None:
        self.now = NOW
        self.reader = FakeAnswers()
        self.anomalies = FakeAnomalyStore()
        self.policies = FakePolicyStore()
        self.settings = config.load(
            None,
            {"MDA_QUERIES": '[{"name": "orders", "expr": "orders_per_minute"}]', **settings},
        )
        about = subjects.Subjects(
            lambda: self.settings, self.policies.all_policies, clock=lambda: self.now
        )
        made = public_url and links.Links(public_url, signing.Signer(b"key"))
        self.facts = facts.Facts(
            about, self.reader, self.anomalies, made or None, clock=lambda: self.now
        )

    def publish(self, *conditions: dict[str, Any]) -> None:
        document = documents.parse(factories.tree(*conditions), "policy")
        with self.policies.changing() as changes:
            changes.add(document, revisions.Made("a test", NOW))

    def tell(self, held: alerts.Held) -> facts.Annotations:
        told = self.facts.tell([held])
        assert told.failures == ()
        return told.annotations[held.key]


@pytest.fixture
def known() -> Known:
    return Known()


def held(expr: str = "", **labels: str) -> alerts.Held:
    pairs = frames.labels_from_pairs(labels.items())
    asked = urllib.parse.urlencode({"g0.expr": expr, "g0.tab": "1"})
    return alerts.Held(
        fingerprint=alerts.fingerprint_of(pairs),
        starts_at=NOW - timedelta(minutes=5),
        ends_at=NOW + timedelta(minutes=3),
        updated_at=NOW,
        labels=pairs,
        annotations=(("summary", "busy"),),
        generator_url=f"http://p:9090/graph?{asked}" if expr else "",
    )


def of_policy(**labels: str) -> alerts.Held:
    given = {"policy": "High CPU Alert", "policy_rule": "1", "policy_revision": "1"}
    return held("whole > 80", alertname="High CPU Alert", severity="high", **given, **labels)


def of_query(**labels: str) -> alerts.Held:
    return held(
        "anomaly_score > 1", alertname="AnomalyDetected", query="orders", severity="warning",
        instance="web-1", **labels,
    )  # fmt: skip


def opened(**more: Any) -> anomalies.Anomaly:
    given: dict[str, Any] = {
        "query": "orders",
        "labels": (("__name__", "orders_per_minute"), ("instance", "web-1")),
        "opened_at": NOW - timedelta(minutes=6),
        "ended_at": None,
        "kind": "level_shift",
        "peak_at": NOW,
        "peak_score": 4.0,
        "value": 9.0,
        "expected": 5.0,
        "lower": 4.0,
        "upper": 6.0,
        "last_at": NOW,
        "last_score": 4.0,
    }
    return anomalies.Anomaly(**given | more)


def test_a_threshold_tells_value_and_limit_with_their_unit(known: Known) -> None:
    known.publish(factories.above(80))
    known.reader.answers[CPU] = {
        (("instance", "web-1"), ("job", "node")): 97.31,
        (("instance", "web-2"), ("job", "node")): 12.0,
    }
    told = known.tell(of_policy(instance="web-1", job="node", monitor="added by Prometheus"))
    graph = urllib.parse.parse_qs(urllib.parse.urlsplit(told.pop("graph_url")).query)
    assert told == {"value": "97.3 %", "expected": "at most 80 %"}
    assert graph["g0.tab"] == ["0"]
    assert '"web-1"' in graph["g0.expr"][0]


def test_a_rule_of_another_revision_is_known_by_its_expression_alone(known: Known) -> None:
    known.publish(factories.above(80))
    old = of_policy(instance="web-1")
    changed = [(k, "7" if k == "policy_revision" else v) for k, v in old.labels]
    known.reader.answers["whole"] = {(("instance", "web-1"),): 81.0}
    other = alerts.Held(
        old.fingerprint, old.starts_at, old.ends_at, old.updated_at, tuple(changed), (),
        old.generator_url,
    )  # fmt: skip
    told = known.tell(other)
    assert (told["value"], told["expected"]) == ("81", "at most 80")


@pytest.mark.parametrize(
    ("condition", "expr", "value", "expected"),
    [
        (factories.above(10, operator="lt"), CPU, "97 %", "at least 10 %"),
        (
            factories.above(1e6, metric_name="network_receive_bytes_per_second", operator="gte"),
            "instance:node_network_receive_bytes_excluding_lo:rate5m",
            "97 B/s",
            "below 1 MB/s",
        ),
        (
            {
                "type": "rate_of_change", "metric_name": "disk_percent", "measure": "slope",
                "over": "1h", "operator": "gt", "threshold": 2,
            },
            "100 * deriv(instance_mountpoint:node_filesystem_utilisation:ratio[1h])",
            "97 % a second",
            "at most 2 % a second",
        ),
        (
            factories.above(3, aggregate={"function": "count"}),
            "100 * count(instance:node_cpu_utilisation:rate5m)",
            "97",
            "at most 3",
        ),
    ],
)  # fmt: skip
def test_units_are_those_of_what_is_compared(
    known: Known, condition: dict[str, Any], expr: str, value: str, expected: str
) -> None:
    known.publish(condition)
    known.reader.answers[expr] = {(("instance", "web-1"),): 97.0}
    told = known.tell(of_policy(instance="web-1"))
    assert (told["value"], told["expected"]) == (value, expected)


def test_costs_tell_money(known: Known) -> None:
    known.publish({"type": "cost", "measure": "daily", "threshold": 1000})
    expr = 'sum by (currency) (cloud_cost:daily{basis="billed"})'
    known.reader.answers[expr] = {(("currency", "EUR"),): 1234.5}
    told = known.tell(of_policy(currency="EUR"))
    del told["graph_url"]
    assert told == {
        "value": "1,234.50 EUR",
        "expected": "at most 1,000.00",
        "money": "1,234.50 EUR, 234.50 EUR above the limit",
    }


@pytest.mark.parametrize(
    ("condition", "measure", "expected", "money"),
    [
        (
            {"measure": "daily", "budget": 2000, "threshold": 50},
            "daily",
            "at most 1,000.00",
            "1,234.50 EUR, 234.50 EUR above the limit",
        ),
        (
            {"measure": "daily", "budget": 2000, "operator": "gte"},
            "daily",
            "below 2,000.00",
            "1,234.50 EUR",
        ),
        (
            {"measure": "daily", "budget": 4000, "operator": "lt", "threshold": 50},
            "daily",
            "at least 2,000.00",
            "1,234.50 EUR",
        ),
        (
            {"measure": "jump", "above": 100, "above_percent": 20},
            "jump",
            "a rise of at most 20 % and 100.00 within a week",
            "1,234.50 EUR",
        ),
    ],
)
def test_money_is_told_beside_what_it_may_be(
    known: Known, condition: dict[str, Any], measure: str, expected: str, money: str
) -> None:
    known.publish({"type": "cost", **condition})
    expr = f'sum by (currency) (cloud_cost:{measure}{{basis="billed"}})'
    known.reader.answers[expr] = {(("currency", "EUR"),): 1234.5}
    told = known.tell(of_policy(currency="EUR"))
    assert (told["value"], told["expected"]) == ("1,234.50 EUR", expected)
    assert told["money"] == money


def test_a_change_in_percent_has_no_other_unit(known: Known) -> None:
    known.publish(
        {
            "type": "rate_of_change", "metric_name": "network_receive_bytes_per_second",
            "measure": "percent", "over": "1h", "operator": "gt", "threshold": 50,
        }
    )  # fmt: skip
    told = known.tell(of_policy(instance="web-1"))
    assert told["expected"] == "at most 50 %"


def test_what_is_foreseen_of_a_metric_is_called_so(known: Known) -> None:
    known.publish({"type": "forecast", "metric_name": "disk_percent", "within": "4h", "limit": 95})
    told = known.tell(of_policy(instance="web-1"))
    assert (told["kind"], told["expected"]) == ("forecast", "below 95 %")


def test_a_preset_is_told_in_its_own_unit(known: Known) -> None:
    name = "host_cpu"
    (expr,) = [each for each in known.settings.all_queries() if each.name == name]
    known.reader.answers[known.settings.expr_of(expr)] = {(("instance", "web-1"),): 0.973}
    labels = {"alertname": "AnomalyDetected", "instance": "web-1", "query": name}
    assert known.tell(held("anomaly_score > 1", **labels))["value"] == "97.3 %"


def test_a_rule_on_a_query_tells_the_score_that_it_stands_on(known: Known) -> None:
    place = (("instance", "web-1"), ("query", "orders"))
    known.reader.answers[SCORES] = {
        (("__name__", "anomaly_score"), *place): 7.0,
        (("__name__", "drift_score"), *place): 2.0,
    }
    known.anomalies.record([(7, opened())], {})
    known.publish(
        {"type": "drift", "query": "orders"},
        {"type": "anomaly", "query": "orders"},
        {"type": "forecast", "query": "orders", "within": "4h"},
    )
    found = [
        known.tell(of_query(policy="High CPU Alert", policy_rule=str(number), policy_revision="1"))
        for number in (1, 2, 3, 4)
    ]
    assert [(each["kind"], each["score"]) for each in found] == [
        ("drift", "2.0"),
        ("level shift", "7.0"),
        ("forecast", "7.0"),
        ("level shift", "7.0"),
    ]


def test_where_nothing_is_scored_the_expression_is_read() -> None:
    known = Known(ANOMALY_DETECTION_ENABLED="false")
    known.reader.answers["anomaly_score"] = {(("instance", "web-1"), ("query", "orders")): 7.0}
    told = known.tell(of_query())
    assert (told["value"], told["expected"]) == ("7", "at most 1")


def test_policies_are_read_twice_a_minute_at_most() -> None:
    known = Known()
    known.publish(factories.above(80))
    assert known.tell(of_policy(instance="web-1"))["expected"] == "at most 80 %"
    with known.policies.changing() as changes:
        document = documents.parse(factories.tree(factories.above(70)), "policy")
        (policy,) = changes.all_policies()
        made = revisions.Made("a test", NOW)
        changes.revise(policy, document, revisions.Change.CHANGED, made)
    assert known.tell(of_policy(instance="web-1"))["expected"] == "at most 80 %"
    known.now += subjects.KNOWN_FOR
    # Of another revision than that of the alert: its own expression is what is left.
    assert known.tell(of_policy(instance="web-1"))["expected"] == "at most 80"


def test_a_policy_that_is_refused_is_known_by_its_expression(known: Known) -> None:
    known.publish(factories.above(80))
    with known.policies.changing() as changes:
        (policy,) = changes.all_policies()
        refused = revisions.Refused(policy.document.name, True, {}, "not ours")
        changes.revise(policy, refused, revisions.Change.CHANGED, revisions.Made("a test", NOW))
    told = known.tell(
        held("whole > 80", alertname="A", policy="High CPU Alert", policy_rule="1",
             policy_revision="2")
    )  # fmt: skip
    assert told["expected"] == "at most 80"


def test_of_several_series_that_fit_the_one_that_says_most_is_told(known: Known) -> None:
    known.reader.answers["up"] = {
        (("instance", "web-1"),): 1.0,
        (("instance", "web-1"), ("job", "node")): 2.0,
        (("instance", "web-1"), ("job", "other")): 3.0,
        (): 4.0,
    }
    told = known.tell(held("up > 0", alertname="Up", instance="web-1", job="node"))
    assert told["value"] == "2"


def test_labels_that_a_rule_adds_are_none_of_the_series(known: Known) -> None:
    """A series may have a label of such a name itself."""
    known.reader.answers["up"] = {(("instance", "web-1"), ("severity", "none")): 1.0}
    told = known.tell(held("up > 0", alertname="Up", instance="web-1", severity="high"))
    assert told["value"] == "1"


def test_an_anomaly_tells_what_was_expected_and_what_carries_it(known: Known) -> None:
    known.anomalies.record(
        [(7, opened()), (7, opened(labels=(("instance", "web-2"),)))],
        {7: (anomalies.Cause((("zone", "eu-1"),), 1.0, 0.83, 3.0, 4, 2),)},
    )
    known.reader.answers["orders_per_minute"] = {
        (("__name__", "orders_per_minute"), ("instance", "web-1")): 1.25
    }
    place = (("instance", "web-1"), ("query", "orders"))
    known.reader.answers[SCORES] = {
        (("__name__", "anomaly_score"), *place): 7.24,
        (("__name__", "anomaly_expected"), *place): 5.0,
        (("__name__", "anomaly_lower"), *place): 4.125,
        (("__name__", "anomaly_upper"), *place): 6.0,
    }
    told = known.tell(of_query(monitor="added by Prometheus"))
    del told["graph_url"]
    assert told == {
        "value": "1.25",
        "expected": "5",
        "lower": "4.12",
        "upper": "6",
        "score": "7.2",
        "kind": "level shift",
        "cause": "zone=eu-1 (83 % of the deviation)",
    }


@pytest.mark.parametrize(
    "instances",
    [
        ["web-1", ""],
        [f"web-{number}" for number in range(facts.MOST_INSTANCES + 1)],
        ["x" * (facts.LONGEST_INSTANCE + 1)],
    ],
)
def test_scores_of_many_places_are_read_as_one(known: Known, instances: list[str]) -> None:
    several = [
        held("a", alertname="A", query="orders", **({"instance": each} if each else {}))
        for each in instances
    ]
    known.facts.tell(several)
    assert SCORES.replace(',instance=~"web-1"', "") in known.reader.asked


def test_a_cause_that_carries_little_is_none_and_a_long_one_is_cut(known: Known) -> None:
    both = [(7, opened()), (7, opened(labels=(("instance", "web-2"),)))]
    known.anomalies.record(both, {7: (anomalies.Cause((("zone", "eu"),), 1.0, 0.49, 3.0, 4, 2),)})
    assert "cause" not in known.tell(of_query())
    long = (("zone", "x" * 1_000),)
    known.anomalies.record(both, {7: (anomalies.Cause(long, 1.0, 0.5, 3.0, 4, 2),)})
    cause = f"zone={'x' * 1_000}"[: facts.LONGEST_CAUSE]
    assert known.tell(of_query())["cause"] == f"{cause} (50 % of the deviation)"


def test_the_newest_anomaly_of_a_series_tells_its_kind_if_it_is_recent(known: Known) -> None:
    ended_at = NOW - facts.RECENT + timedelta(seconds=1)
    known.anomalies.record([(6, opened(opened_at=NOW - timedelta(hours=1), ended_at=ended_at))], {})
    assert known.tell(of_query())["kind"] == "level shift"
    known.anomalies.record([(7, opened(kind="spike"))], {})
    assert known.tell(of_query())["kind"] == "spike"


def test_an_anomaly_that_ended_long_ago_is_not_told_of(known: Known) -> None:
    ended_at = NOW - facts.RECENT - timedelta(seconds=1)
    known.anomalies.record([(6, opened(opened_at=NOW - timedelta(hours=1), ended_at=ended_at))], {})
    assert "kind" not in known.tell(of_query())


def test_what_stands_alone_has_no_cause(known: Known) -> None:
    cause = anomalies.Cause((("zone", "eu-1"),), 1.0, 1.0, 3.0, 4, 2)
    known.anomalies.record([(7, opened())], {7: (cause,)})
    assert "cause" not in known.tell(of_query())


def test_money_that_is_unusual_is_told_as_such(known: Known) -> None:
    labels = (("currency", "USD"), ("instance", "web-1"))
    known.reader.answers["orders_per_minute"] = {labels: 150.0}
    known.reader.answers[SCORES] = {
        (("__name__", "anomaly_expected"), ("query", "orders"), *labels): 100.0
    }
    told = known.tell(of_query(currency="USD"))
    assert (told["money"], told["value"]) == ("50.00 USD more than expected", "150.00 USD")
    known.reader.answers["orders_per_minute"] = {labels: 60.0}
    assert known.tell(of_query(currency="USD"))["money"] == "40.00 USD less than expected"


def test_a_sum_within_its_limit_is_told_alone(known: Known) -> None:
    known.publish({"type": "cost", "measure": "daily", "threshold": 1000})
    expr = 'sum by (currency) (cloud_cost:daily{basis="billed"})'
    known.reader.answers[expr] = {(("currency", "EUR"),): 1000.0}
    assert known.tell(of_policy(currency="EUR"))["money"] == "1,000.00 EUR"


def test_a_rule_by_hand_tells_the_value_of_its_expression(known: Known) -> None:
    known.reader.answers['up{job="db"}'] = {
        (("__name__", "up"), ("instance", "db-1"), ("job", "db")): 0.0
    }
    told = known.tell(held('up{job="db"} == 0', alertname="Down", instance="db-1", job="db"))
    assert (told["value"], told["expected"]) == ("0", "other than 0")


DEEP = {
    "brackets": f"{'(' * 9_000}a{')' * 9_000}",
    "signs": "a" + "^a" * 4_000,
    "words": "a" + " OR a" * 3_000,
    "between quotes of comments": f'# "\n{"(" * 9_000}a{")" * 9_000}\n# "\n',
}
"""Each would end the process in the parser, or keep it for minutes. Anybody can post an alert."""


@pytest.mark.parametrize(
    "expr", ["", "not PromQL (", "absent(up)", "(absent_over_time (up[5m]))", "x" * 30_000]
)
def test_of_what_is_not_known_nothing_is_told(known: Known, expr: str) -> None:
    assert known.tell(held(expr, alertname="Odd")) == {}
    assert known.reader.asked == []


@pytest.mark.parametrize("expr", DEEP.values(), ids=DEEP)
def test_an_expression_that_nests_too_deep_is_not_read(known: Known, expr: str) -> None:
    assert known.tell(held(f"{expr} > 1", alertname="Odd")) == {}


def test_a_comparison_that_gives_0_or_1_is_read_whole(known: Known) -> None:
    known.reader.answers["up > bool 0"] = {(("instance", "web-1"),): 1.0}
    told = known.tell(held("up > bool 0", alertname="Up", instance="web-1"))
    assert (told["value"], "expected" in told) == ("1", False)


def test_a_graph_is_linked_where_it_has_a_page_that_is_not_too_long() -> None:
    page = "http://p:9090/graph?g0.expr=x"
    labels = (("instance", "web-1"),)
    assert facts.graph_url("http://grafana:3000/alerting/7", "up", labels) == ""
    assert "web-1" in facts.graph_url(page, "up", labels)
    whole = facts.graph_url(page, "up", (("instance", "x" * 3_000),))
    assert whole == "http://p:9090/graph?g0.expr=up&g0.tab=0&g0.range_input=6h"
    assert facts.graph_url(page, "x" * 3_000, labels) == ""


def test_a_metric_may_be_named_as_a_function(known: Known) -> None:
    known.reader.answers["absentees"] = {(): 9.0}
    assert known.tell(held("absentees > 3", alertname="Many"))["value"] == "9"


def test_what_stands_in_strings_does_not_nest(known: Known) -> None:
    hosts = "|".join(f"web-{number}" for number in range(1_000))
    expr = f'a{{instance=~"{hosts}",b=~\'(x-"|y)\'}}'
    assert known.tell(held(f"{expr} > 1", alertname="Many")) == {"expected": "at most 1"}


def test_one_that_would_be_told_too_long_is_read_as_it_is(known: Known) -> None:
    expr = f"{'(' * 300}a{')' * 300} > 1"
    known.reader.answers[expr] = {(("instance", "web-1"),): 2.0}
    told = known.tell(held(expr, alertname="Odd", instance="web-1"))
    assert (told["value"], "expected" in told) == ("2", False)


def test_links_are_there_where_people_reach_us() -> None:
    known = Known("https://mda.example.org")
    alert = held(alertname="Odd")
    told = known.tell(alert)
    assert sorted(told) == ["ack_url", "silence_url"]
    given = links.Given(*told["ack_url"].split("/")[-4:])
    target = links.read_action(links.Action.ACK, given, signing.Signer(b"key"), at=NOW)
    assert target.key == alert.key


def test_a_chart_is_linked_where_its_series_is_known() -> None:
    known = Known("https://mda.example.org")
    alert = held("up == 0", alertname="Down")
    given = links.Given(*known.tell(alert)["chart_url"].removesuffix(".png").split("/")[-4:])
    assert links.read_chart(given, signing.Signer(b"key"), at=NOW).key == alert.key


def test_one_expression_is_read_once_for_all_alerts(known: Known) -> None:
    known.publish(factories.above(80))
    several = [of_policy(instance=f"web-{number}") for number in range(100)]
    known.reader.answers[CPU] = {(("instance", f"web-{n}"),): 90.0 + n / 100 for n in range(100)}
    told = known.facts.tell(several)
    assert known.reader.asked == [CPU]
    assert {each["value"] for each in told.annotations.values()} == {
        f"{90 + n / 100:.3g} %" for n in range(100)
    }


def test_a_prometheus_that_is_down_is_asked_once_and_links_are_told() -> None:
    known = Known("https://mda.example.org")
    known.reader.failure = errors.UpstreamError("down", kind="unreachable", retryable=True)
    told = known.facts.tell([of_query(), held("up == 0", alertname="Down")])
    assert told.failures == (known.reader.failure,)
    assert len(known.reader.asked) == 1
    assert all("ack_url" in each for each in told.annotations.values())


def test_without_the_policies_links_are_told() -> None:
    known = Known("https://mda.example.org")
    known.policies.failure = errors.StoreError("down", retryable=True)
    alert = of_policy(instance="web-1")
    told = known.facts.tell([alert])
    assert told.failures == (known.policies.failure,)
    assert sorted(told.annotations[alert.key]) == ["ack_url", "silence_url"]


def test_an_expression_that_is_refused_keeps_no_other_from_being_read(known: Known) -> None:
    known.reader.failure = errors.UpstreamError("odd", kind="query", retryable=False)
    known.facts.tell([held("a > 1", alertname="A"), held("b > 1", alertname="B")])
    assert known.reader.asked == ["a", "b"]


def test_no_more_expressions_are_read_at_once_than_some(known: Known) -> None:
    known.facts.tell(
        [held(f"a{number} > 1", alertname="A", n=f"{number}") for number in range(300)]
    )
    assert len(known.reader.asked) == facts.MOST_QUERIES


def test_what_is_no_number_is_no_value(known: Known) -> None:
    known.reader.answers["up"] = {(("instance", "web-1"),): float("nan")}
    assert "value" not in known.tell(held("up < 1", alertname="Down", instance="web-1"))


def test_without_the_store_the_value_is_told(known: Known) -> None:
    known.anomalies.failure = errors.StoreError("down", retryable=True)
    known.reader.answers["orders_per_minute"] = {(("instance", "web-1"),): 1.25}
    alert = of_query()
    told = known.facts.tell([alert])
    assert told.failures == (known.anomalies.failure,)
    assert told.annotations[alert.key]["value"] == "1.25"
