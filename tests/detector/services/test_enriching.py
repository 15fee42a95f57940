"""Annotations are put back where they lack, and nothing that is over comes back."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta

import pytest

from detector import alerts, config, errors, frames, links, signing
from detector.services import enriching, facts, subjects, witness
from tests.fakes.alertmanager import FakeAlertmanager
from tests.fakes.anomalies import FakeAnomalyStore
from tests.fakes.answers import FakeAnswers
from tests.fakes.evaluation import FakeAlertEvaluation

START = datetime(2026, 5, 4, 14, 30, tzinfo=UTC)
EXPR = "up == 0"


class World:
    """An Alertmanager, what is told, and the time."""

    def __init__(self) -> None:
        self.now = START
        self.alertmanager = FakeAlertmanager(lambda: self.now)
        self.reader = FakeAnswers({"up": {(("instance", "web-1"),): 0.0}})
        self.before_reading: Callable[[], None] = lambda: None
        settings = config.load(None, {})
        told = facts.Facts(
            subjects.Subjects(lambda: settings, self._policies, clock=lambda: self.now),
            self.reader,
            FakeAnomalyStore(),
            links.Links("https://mda.example.org", signing.Signer(b"key")),
            clock=lambda: self.now,
        )
        self.evaluation = FakeAlertEvaluation((("cluster", "eu"),))
        self.enriching = enriching.Enriching(
            self.alertmanager,
            self.alertmanager,
            told,
            witness.Witness(self.evaluation, self.alertmanager),
            clock=lambda: self.now,
        )

    def _policies(self) -> tuple[()]:
        self.before_reading()
        return ()

    def prometheus_sends(
        self, instance: str = "web-1", *, ended: bool = False, **annotations: str
    ) -> None:
        self.alertmanager.post(
            [
                alerts.Posted(
                    labels_of(instance),
                    tuple(sorted({"summary": "down", **annotations}.items())),
                    START,
                    self.now if ended else self.now + timedelta(minutes=4),
                    "http://p:9090/graph?g0.expr=up+%3D%3D+0&g0.tab=1",
                )
            ]
        )
        self.alertmanager.posts.clear()

    def annotations(self) -> dict[str, str]:
        (only,) = self.alertmanager.held()
        return dict(only.annotations)

    def turn_after(self, seconds: float) -> int:
        """How many were posted."""
        self.now += timedelta(seconds=seconds)
        return self.enriching.turn().went_out


def labels_of(instance: str) -> frames.Labels:
    return (("alertname", "Down"), ("instance", instance), ("policy", "x"), ("policy_rule", "1"))


@pytest.fixture
def world() -> World:
    return World()


def test_an_alert_gets_annotations_and_stays_what_it_is(world: World) -> None:
    world.prometheus_sends()
    (before,) = world.alertmanager.held()
    assert world.turn_after(5) == 1
    (after,) = world.alertmanager.held()
    given = dict(after.annotations)
    assert (given["value"], given["expected"], given["summary"]) == ("0", "other than 0", "down")
    assert {"ack_url", "silence_url", "chart_url", "graph_url"} <= given.keys()
    assert (after.labels, after.fingerprint) == (before.labels, before.fingerprint)
    assert (after.starts_at, after.ends_at) == (before.starts_at, before.ends_at)
    assert after.generator_url == before.generator_url
    # What is told is cut to the millisecond; what is posted must not be earlier than what is kept.
    ((posted_,),) = world.alertmanager.posts
    assert posted_.starts_at > before.starts_at + timedelta(microseconds=999)


def test_what_is_there_is_not_posted_again(world: World) -> None:
    world.prometheus_sends()
    assert [world.turn_after(5) for _ in range(12)] == [1, *[0] * 11]


def test_what_prometheus_has_replaced_is_put_back_with_the_value_of_now(world: World) -> None:
    world.prometheus_sends()
    world.turn_after(5)
    world.now += timedelta(seconds=60)
    world.reader.answers["up"] = {(("instance", "web-1"),): 0.5}
    world.prometheus_sends()
    assert "value" not in world.annotations()
    assert world.turn_after(5) == 1
    assert world.annotations()["value"] == "0.5"


def test_what_was_found_out_just_now_is_not_asked_again(world: World) -> None:
    world.prometheus_sends()
    world.turn_after(5)
    asked = len(world.reader.asked)
    world.prometheus_sends()
    assert world.turn_after(5) == 1
    assert len(world.reader.asked) == asked


def test_a_value_that_is_not_there_yet_is_looked_for_soon_and_not_for_ever(world: World) -> None:
    world.reader.answers["up"] = {}
    world.prometheus_sends()
    assert world.turn_after(5) == 1
    assert "value" not in world.annotations()
    world.reader.answers["up"] = {(("instance", "web-1"),): 0.0}
    assert world.turn_after(5) == 1
    assert world.annotations()["value"] == "0"
    world.reader.answers["up"] = {}
    world.prometheus_sends("web-2")
    asked = []
    for _ in range(10):
        before = len(world.reader.asked)
        world.turn_after(5)
        asked.append(len(world.reader.asked) - before)
    assert sum(each > 0 for each in asked) == 1 + enriching.MOST_SOON


def test_what_a_rule_says_itself_stays(world: World) -> None:
    world.prometheus_sends(value="nothing answers", expected="an answer")
    world.turn_after(5)
    given = world.annotations()
    assert (given["value"], given["expected"]) == ("nothing answers", "an answer")
    assert "ack_url" in given


def test_an_alert_that_has_ended_stays_so(world: World) -> None:
    world.prometheus_sends()
    world.turn_after(5)
    world.prometheus_sends(ended=True)
    assert world.turn_after(5) == 0
    assert world.alertmanager.held() == ()


def test_an_alert_that_ends_while_values_are_read_stays_so(world: World) -> None:
    world.prometheus_sends()
    world.before_reading = lambda: world.prometheus_sends(ended=True)
    assert world.turn_after(5) == 0
    assert world.alertmanager.held() == ()


def test_an_alert_that_ends_just_before_it_is_posted_is_ended_at_the_next_turn(
    world: World,
) -> None:
    """Prometheus' word, then ours, which is the latest: it fires on."""
    active = alerts.Active(labels_of("web-1"), START, is_firing=True)
    world.evaluation.now = [active]
    world.prometheus_sends()
    post = world.alertmanager.post

    def ends_first(posted: Sequence[alerts.Posted]) -> None:
        if not posted:
            return
        world.alertmanager.post = post  # type: ignore[method-assign]
        world.prometheus_sends(ended=True)
        world.evaluation.now = []
        post(posted)

    world.alertmanager.post = ends_first  # type: ignore[method-assign]
    assert world.turn_after(5) == 1
    assert len(world.alertmanager.held()) == 1
    world.evaluation.failure = errors.UpstreamError("away", kind="timeout", retryable=True)
    with pytest.raises(errors.UpstreamError):
        world.turn_after(5)
    assert len(world.alertmanager.held()) == 1
    world.evaluation.failure = None
    assert world.turn_after(5) == 0
    assert world.alertmanager.held() == ()


def test_alerts_of_others_than_our_prometheus_are_never_ended(world: World) -> None:
    world.prometheus_sends()
    assert [world.turn_after(5) for _ in range(3)] == [1, 0, 0]
    assert len(world.alertmanager.held()) == 1


def test_external_labels_are_no_part_of_what_fires(world: World) -> None:
    labels = (*labels_of("web-1"), ("cluster", "eu"))
    world.evaluation.now = [alerts.Active(labels_of("web-1"), START, is_firing=True)]
    ends_at = START + timedelta(minutes=4)
    world.alertmanager.post([alerts.Posted(frames.labels_from_pairs(labels), (), START, ends_at)])
    assert world.turn_after(5) == 1
    assert world.turn_after(5) == 0
    assert len(world.alertmanager.held()) == 1
    world.evaluation.now = []
    assert world.turn_after(5) == 0
    assert len(world.alertmanager.held()) == 1  # what is not posted is not judged


def test_one_that_comes_while_values_are_read_has_its_turn_next(world: World) -> None:
    world.prometheus_sends()
    world.before_reading = lambda: world.prometheus_sends("web-2")
    assert world.turn_after(5) == 1
    world.before_reading = lambda: None
    assert world.turn_after(5) == 1


@pytest.mark.parametrize("own", [(), (("cluster", "eu"),)])
def test_one_that_has_a_label_of_prometheus_itself_is_judged_too(
    world: World, own: frames.Labels
) -> None:
    """Added on the way to Alertmanager, or there anyway."""
    labels = frames.labels_from_pairs((*labels_of("web-1"), ("cluster", "eu")))
    evaluated = frames.labels_from_pairs((*labels_of("web-1"), *own))
    world.evaluation.now = [alerts.Active(evaluated, START, is_firing=True)]
    ends_at = START + timedelta(minutes=4)
    world.alertmanager.post([alerts.Posted(labels, (), START, ends_at)])
    assert world.turn_after(5) == 1
    world.evaluation.now = []
    assert world.turn_after(5) == 0
    assert world.alertmanager.held() == ()


def test_the_watchdog_is_left_alone(world: World) -> None:
    """Its annotation tells how fresh it is, and must not be put back."""
    labels = (("alertname", "Watchdog"),)
    ends_at = START + timedelta(minutes=4)
    world.alertmanager.post([alerts.Posted(labels, (("evaluated_at", "1"),), START, ends_at)])
    assert world.turn_after(5) == 0


def test_an_expression_that_prometheus_refuses_fails_no_turn(world: World) -> None:
    """Another server may have raised the alert, with words that ours does not know."""
    world.prometheus_sends()
    world.reader.failure = errors.UpstreamError("refused", kind="query", retryable=False)
    assert world.turn_after(5) == 1
    assert "ack_url" in world.annotations()
    asked = len(world.reader.asked)
    assert [world.turn_after(5) for _ in range(5)] == [0] * 5
    assert len(world.reader.asked) == asked + enriching.MOST_SOON


def test_an_alert_that_is_nearly_over_is_left_alone(world: World) -> None:
    world.prometheus_sends()
    assert world.turn_after(4 * 60 - 10) == 0


def test_an_alert_that_is_nearly_over_once_values_are_read_is_left_alone(world: World) -> None:
    world.prometheus_sends()

    def take_long() -> None:
        world.now += timedelta(seconds=10)

    world.before_reading = take_long
    assert world.turn_after(4 * 60 - 20) == 0
    assert len(world.alertmanager.held()) == 1


def test_what_another_detector_has_posted_in_between_is_left_alone(world: World) -> None:
    world.prometheus_sends()
    world.before_reading = lambda: world.prometheus_sends(
        value="0", expected="1", graph_url="g", chart_url="c", ack_url="theirs", silence_url="s"
    )
    assert world.turn_after(5) == 0
    assert world.annotations()["ack_url"] == "theirs"


def test_of_what_is_held_no_more_nothing_is_kept(world: World) -> None:
    world.prometheus_sends()
    world.turn_after(5)
    world.alertmanager.restart()
    world.turn_after(5)
    world.reader.answers["up"] = {(("instance", "web-1"),): 0.5}
    world.prometheus_sends()
    assert world.turn_after(5) == 1
    assert world.annotations()["value"] == "0.5"


def test_the_newest_are_first_and_no_more_than_some(world: World) -> None:
    old = [posted(number, START - timedelta(hours=1)) for number in range(enriching.MOST)]
    new = [posted(number, START) for number in range(enriching.MOST, enriching.MOST + 3)]
    world.alertmanager.post([*old, *new])
    world.alertmanager.posts.clear()
    assert world.turn_after(5) == enriching.MOST
    (first,) = world.alertmanager.posts
    assert {each.labels for each in new} <= {each.labels for each in first}
    assert world.turn_after(5) == 3


def posted(number: int, starts_at: datetime) -> alerts.Posted:
    labels = (("alertname", "Many"), ("number", str(number)))
    return alerts.Posted(labels, (), starts_at, START + timedelta(hours=1))


def test_without_prometheus_links_are_told_and_the_rest_comes_later(world: World) -> None:
    world.prometheus_sends()
    world.reader.failure = errors.UpstreamError("down", kind="unreachable", retryable=True)
    with pytest.raises(errors.UpstreamError, match="down"):
        world.turn_after(5)
    assert "ack_url" in world.annotations()
    assert world.turn_after(5) == 0
    world.reader.failure = None
    assert world.turn_after(30) == 1
    assert world.annotations()["value"] == "0"


def test_what_was_found_out_beside_a_failure_is_found_out_again_soon(world: World) -> None:
    """An anomaly's value may be told, and its cause not."""
    world.reader.answers["load1"] = {(("instance", "web-1"),): 7.0}
    labels = (("alertname", "Busy"), ("instance", "web-1"))
    page, ends_at = "http://p:9090/graph?g0.expr=load1", START + timedelta(hours=1)
    world.alertmanager.post([alerts.Posted(labels, (), START, ends_at, page)])
    world.prometheus_sends()

    def fail() -> None:
        raise errors.StoreError("down", retryable=True)

    world.before_reading = fail
    with pytest.raises(errors.StoreError, match="down"):
        world.turn_after(5)
    world.before_reading = lambda: None
    assert [world.turn_after(5) for _ in range(6)] == [0, 0, 0, 0, 0, 1]
    assert world.reader.asked == ["load1", "load1", "up"]


def test_an_alertmanager_that_is_down_is_told(world: World) -> None:
    world.alertmanager.failure = errors.UpstreamError("gone", kind="unreachable", retryable=True)
    with pytest.raises(errors.UpstreamError, match="gone"):
        world.turn_after(5)


def test_turns_follow_each_other_closely_while_they_are_short(world: World) -> None:
    world.prometheus_sends()
    world.turn_after(5)
    assert world.enriching.pause() == enriching.OFTEN

    def take_long() -> None:
        world.now += timedelta(seconds=0.3)

    world.before_reading = take_long
    world.prometheus_sends("web-2")
    world.turn_after(40)
    assert world.enriching.pause() == timedelta(seconds=3)
    world.alertmanager.failure = errors.UpstreamError("gone", kind="unreachable", retryable=True)
    with pytest.raises(errors.UpstreamError):
        world.turn_after(5)
    assert world.enriching.pause() == enriching.EVERY
