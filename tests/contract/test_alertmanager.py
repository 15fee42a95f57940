"""What every ports.AlertSource, AlertPoster and Silencer holds: the client and the fake."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Protocol

import pytest

from detector import alerts, errors, frames, ports
from detector.alertmanager import client
from tests import stack
from tests.conftest import MakeAlertmanager
from tests.fakes.alertmanager import FakeAlertmanager

ODD: tuple[frames.Labels, ...] = (
    (("alertname", "HighCPU"), ("instance", "web-1")),
    (("a", "b"), ("ab", ""), ("alertname", "empty value")),
    (("A", "capitals first"), ("_", "low line"), ("a", "then small")),
    (("alertname", "Grüße 🚨 日本"), ("path", 'C:\\temp\n"quoted"\t{{ .x }}')),
    (("alertname", "<b>&amp;</b>"), ("long", "x" * 20_000)),
    (("alertname", "same bytes"), ("b", "cd"), ("bc", "d")),
)


class Alertmanager(ports.AlertSource, ports.AlertPoster, ports.Silencer, Protocol):
    """All that we ask of it."""


def now() -> datetime:
    """To the millisecond, as Alertmanager tells it."""
    found = datetime.now(UTC)
    return found.replace(microsecond=found.microsecond // 1000 * 1000)


@pytest.fixture(params=["fake", "real"])
def alertmanager_(request: pytest.FixtureRequest) -> Alertmanager:
    if request.param == "fake":
        return FakeAlertmanager(lambda: datetime.now(UTC))
    make: MakeAlertmanager = request.getfixturevalue("alertmanager")
    return client.Client(make().url)


def posted(
    labels: frames.Labels = ODD[0],
    *,
    starts_at: datetime | None = None,
    ends_at: datetime | None = None,
    **annotations: str,
) -> alerts.Posted:
    return alerts.Posted(
        labels, tuple(sorted(annotations.items())), starts_at or now(), ends_at, "http://g/graph"
    )


def in_minutes(minutes: float) -> datetime:
    return now() + timedelta(minutes=minutes)


def test_what_is_posted_is_held(alertmanager_: Alertmanager) -> None:
    began, ends = in_minutes(-3), in_minutes(3)
    given = posted(starts_at=began, ends_at=ends, summary="busy")
    alertmanager_.post([given])
    (found,) = alertmanager_.held()
    assert abs(found.updated_at - now()) < timedelta(seconds=10)
    assert found == alerts.Held(
        fingerprint=alerts.fingerprint_of(given.labels),
        starts_at=began,
        ends_at=ends,
        updated_at=found.updated_at,
        labels=given.labels,
        annotations=(("summary", "busy"),),
        generator_url="http://g/graph",
        receivers=("nobody",),
    )


def test_fingerprints_are_those_of_alertmanager(alertmanager_: Alertmanager) -> None:
    alertmanager_.post([posted(labels) for labels in ODD])
    found = {each.labels: each.fingerprint for each in alertmanager_.held()}
    assert found == {
        frames.labels_from_pairs(labels): alerts.fingerprint_of(labels) for labels in ODD
    }


def test_annotations_that_come_later_replace_those_before(alertmanager_: Alertmanager) -> None:
    began = in_minutes(-3)
    alertmanager_.post([posted(starts_at=began, ends_at=in_minutes(3), summary="busy")])
    (before,) = alertmanager_.held()
    alertmanager_.post([posted(starts_at=began, ends_at=in_minutes(2), value="97 %")])
    (after,) = alertmanager_.held()
    assert after.annotations == (("value", "97 %"),)
    assert (after.starts_at, after.ends_at) == (began, before.ends_at)


def test_it_says_when_it_was_started(alertmanager_: Alertmanager) -> None:
    assert timedelta(0) <= datetime.now(UTC) - alertmanager_.started_at() < timedelta(minutes=1)


def test_what_has_ended_is_held_no_more(alertmanager_: Alertmanager) -> None:
    began = in_minutes(-3)
    alertmanager_.post([posted(starts_at=began), posted(ODD[2])])
    alertmanager_.post([posted(starts_at=began, ends_at=now())])
    assert [each.labels for each in alertmanager_.held()] == [ODD[2]]


def test_one_without_an_end_lasts_for_a_while(alertmanager_: Alertmanager) -> None:
    alertmanager_.post([posted()])
    (found,) = alertmanager_.held()
    assert timedelta(minutes=4) < found.ends_at - now() < timedelta(minutes=6)


def test_nothing_is_posted_of_nothing(alertmanager_: Alertmanager) -> None:
    alertmanager_.post([])
    assert alertmanager_.held() == ()


def test_an_alert_without_labels_is_refused(alertmanager_: Alertmanager) -> None:
    with pytest.raises(errors.UpstreamError) as caught:
        alertmanager_.post([posted(())])
    assert (caught.value.kind, caught.value.retryable) == ("refused", False)


def silence(*matchers: alerts.Matcher, starts_at: datetime | None = None) -> alerts.NewSilence:
    return alerts.NewSilence(matchers, starts_at or now(), in_minutes(60), "anna", "a move")


def is_muted(alertmanager_: Alertmanager, labels: frames.Labels, by: str) -> bool:
    found = {each.labels: each.silenced_by for each in alertmanager_.held()}
    return found[labels] == (by,)


def test_a_silence_mutes_what_all_its_matchers_hold_of(alertmanager_: Alertmanager) -> None:
    other = (("alertname", "HighCPU"), ("instance", "db-1"))
    alertmanager_.post([posted(), posted(other)])
    new = silence(
        alerts.Matcher("alertname", "High.*", is_regex=True),
        alerts.Matcher("instance", "db-1", is_equal=False),
    )
    silence_id = alertmanager_.silence(new)
    stack.wait_until(lambda: is_muted(alertmanager_, ODD[0], silence_id), 10, "it to be muted")
    assert {each.labels: each.silenced_by for each in alertmanager_.held()}[other] == ()
    (found,) = alertmanager_.silences()
    assert abs(found.starts_at - new.starts_at) < timedelta(seconds=5)
    assert found == alerts.Silence(
        id=silence_id,
        matchers=new.matchers,
        starts_at=found.starts_at,
        ends_at=new.ends_at,
        created_by="anna",
        comment="a move",
        state=alerts.SilenceState.ACTIVE,
    )


@pytest.mark.parametrize(
    ("matcher", "found"),
    [
        (alerts.Matcher("alertname", "HighCPU"), ODD[:1]),
        (alerts.Matcher("alertname", "High.*", is_regex=True), ODD[:1]),
        (alerts.Matcher("path", dict(ODD[3])["path"]), ODD[3:4]),
        (alerts.Matcher("alertname", dict(ODD[3])["alertname"]), ODD[3:4]),
        (alerts.Matcher("path", "", is_equal=False), ODD[3:4]),
        (alerts.Matcher("alertname", "nothing"), ()),
    ],
)
def test_what_matchers_hold_of_is_told(
    alertmanager_: Alertmanager, matcher: alerts.Matcher, found: tuple[frames.Labels, ...]
) -> None:
    alertmanager_.post([posted(ODD[0]), posted(ODD[3])])
    assert [each.labels for each in alertmanager_.matched([matcher])] == list(found)
    both = [matcher, alerts.Matcher("alertname", "none of these", is_equal=False)]
    assert [each.labels for each in alertmanager_.matched(both)] == list(found)


def test_a_silence_can_come_later(alertmanager_: Alertmanager) -> None:
    alertmanager_.silence(silence(alerts.Matcher("a", "b"), starts_at=in_minutes(5)))
    assert [each.state for each in alertmanager_.silences()] == [alerts.SilenceState.PENDING]


def test_a_silence_that_is_expired_is_over_and_stays_so(alertmanager_: Alertmanager) -> None:
    silence_id = alertmanager_.silence(silence(alerts.Matcher("a", "b")))
    alertmanager_.expire(silence_id)
    over = [alerts.SilenceState.EXPIRED]
    stack.wait_until(
        lambda: [each.state for each in alertmanager_.silences()] == over, 5, "it to be over"
    )
    alertmanager_.expire(silence_id)
    alertmanager_.expire("4e9fe4a5-56ae-4a7e-9a3f-1d6a0d8f3b1c")
    assert [each.state for each in alertmanager_.silences()] == over


def test_a_silence_of_nothing_is_refused(alertmanager_: Alertmanager) -> None:
    with pytest.raises(errors.UpstreamError) as caught:
        alertmanager_.silence(silence())
    assert (caught.value.kind, caught.value.retryable) == ("refused", False)
