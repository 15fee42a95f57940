"""Rules sent to a ruler, against a stand-in of its API."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

import pytest
import yaml

from detector import errors
from detector.policy import compiler, documents
from detector.prometheus import connection, ruler
from tests import stack
from tests.detector.policy import factories
from tests.fakes.ruler import FakeRuler


@pytest.fixture
def fake() -> Iterator[FakeRuler]:
    fake = FakeRuler()
    yield fake
    fake.stop()


def publisher(url: str) -> ruler.Ruler:
    client = connection.Client(url, timeout=timedelta(seconds=10))
    return ruler.Ruler(client, None, headers={"X-Scope-OrgID": "team"})


def compiled(name: str, revision: int = 1, threshold: float = 80) -> compiler.Compiled:
    tree = factories.tree(factories.above(threshold), name=name)
    return compiler.compiled(documents.parse(tree, "p"), revision, factories.GIVEN)


def publish(to: ruler.Ruler, *policies: compiler.Compiled) -> None:
    with to.publishing(policies):
        pass


def test_only_what_has_changed_is_sent(fake: FakeRuler) -> None:
    made = publisher(fake.url)
    publish(made, compiled("a"), compiled("b/c d"))
    assert set(fake.groups) == {
        ("team", "monitor-drift-agent", "policy a"),
        ("team", "monitor-drift-agent", "policy b/c d"),
    }
    fake.requests.clear()
    publish(made, compiled("a"), compiled("b/c d"))
    assert fake.requests == []
    publish(made, compiled("a", threshold=90), compiled("new"))
    assert fake.requests == ["POST policy a", "POST policy new", "DELETE policy b/c d"]


def test_groups_of_others_are_left_alone(fake: FakeRuler) -> None:
    fake.groups["team", "theirs", "x"] = {"name": "x", "rules": []}
    fake.groups["others", "monitor-drift-agent", "x"] = {"name": "x", "rules": []}
    made = publisher(fake.url)
    publish(made, compiled("a"))
    publish(made)
    assert set(fake.groups) == {("team", "theirs", "x"), ("others", "monitor-drift-agent", "x")}


def test_what_is_refused_puts_back_what_was_changed(
    fake: FakeRuler, caplog: pytest.LogCaptureFixture
) -> None:
    made = publisher(fake.url)
    publish(made, compiled("a"), compiled("gone"))
    before = dict(fake.groups)
    fake.refuses = "wrong"
    with pytest.raises(
        errors.PublishError, match="answers 400 to POST of policy wrong: invalid rules config"
    ) as refusal:
        publish(made, compiled("a", 2, 90), compiled("new"), compiled("wrong"))
    assert not refusal.value.retryable
    assert fake.groups == before
    assert caplog.records == []


def test_what_could_not_be_put_back_is_sent_the_next_time(
    fake: FakeRuler, caplog: pytest.LogCaptureFixture
) -> None:
    made = publisher(fake.url)
    publish(made, compiled("a"))
    before = dict(fake.groups)
    with pytest.raises(ZeroDivisionError), made.publishing([compiled("a", threshold=90)]):  # noqa: PT012 - a block
        fake.refuses = "a"
        raise ZeroDivisionError
    assert [each.message for each in caplog.records] == ["groups of before not put back"]
    fake.refuses = ""
    publish(made, compiled("a"))
    assert fake.groups == before


def test_a_restart_sends_what_it_cannot_know_to_be_the_same(fake: FakeRuler) -> None:
    publish(publisher(fake.url), compiled("a"))
    fake.requests.clear()
    publish(publisher(fake.url), compiled("a"))
    assert fake.requests == ["POST policy a"]


def test_what_somebody_changed_or_took_away_is_sent_again(fake: FakeRuler) -> None:
    made = publisher(fake.url)
    publish(made, compiled("a"), compiled("b"))
    wanted = dict(fake.groups)
    fake.groups["team", "monitor-drift-agent", "policy a"] = yaml.safe_load(compiled("a", 2).text)[
        0
    ]
    del fake.groups["team", "monitor-drift-agent", "policy b"]
    publish(made, compiled("a"), compiled("b"))
    assert fake.groups == wanted


def test_what_is_stored_but_answered_as_failed_is_put_back(fake: FakeRuler) -> None:
    made = publisher(fake.url)
    publish(made, compiled("a"), compiled("gone"))
    before = dict(fake.groups)
    for name, wanted in (
        ("new", [compiled("a"), compiled("gone"), compiled("new")]),
        ("gone", [compiled("a")]),
    ):
        fake.breaks = name
        with pytest.raises(
            errors.PublishError, match=f"answers 500 to .* of policy {name}"
        ) as told:
            publish(made, *wanted)
        assert told.value.retryable
        assert fake.groups == before
        fake.breaks = ""


def test_what_a_ruler_says_it_has_done_is_looked_at(fake: FakeRuler) -> None:
    made = publisher(fake.url)
    publish(made, compiled("a"), compiled("gone"))
    before = dict(fake.groups)
    for name, wanted, words in (
        ("a", [compiled("a", 2, 90), compiled("gone")], "has not stored policy a, revision 2"),
        ("gone", [compiled("a")], "still has policy gone"),
    ):
        fake.loses = name
        with pytest.raises(errors.PublishError, match=words):
            publish(made, *wanted)
        assert fake.groups == before
    fake.loses = ""
    publish(made, compiled("a", 2, 90))
    assert set(fake.groups) == {("team", "monitor-drift-agent", "policy a")}


def test_a_ruler_that_is_away_is_told() -> None:
    made = publisher(f"http://127.0.0.1:{stack.free_port()}/prometheus")
    with pytest.raises(errors.PublishError, match=r"ruler: .*Connection refused") as refusal:
        publish(made, compiled("a"))
    assert refusal.value.retryable


class Saying(connection.Client):
    """Gets the same answer to whatever it asks."""

    def __init__(self, body: bytes) -> None:
        super().__init__("http://mimir", timeout=timedelta(seconds=10))
        self.body = body

    def call(self, *_: object, **__: object) -> connection.Answer:
        return connection.Answer(200, {}, self.body)


@pytest.mark.parametrize(
    "body",
    [
        b"monitor-drift-agent: [{no: name}]",
        b"monitor-drift-agent: [7]",
        b"monitor-drift-agent: [{name: a, rules: [7]}]",
        b"<p>Who are you?</p>",
        b"{'",
        b"\xff",
    ],
)
def test_what_is_no_ruler_is_told(body: bytes) -> None:
    made = ruler.Ruler(Saying(body), None, headers={})
    with pytest.raises(errors.PublishError, match="its groups are not readable"):
        publish(made, compiled("a"))
