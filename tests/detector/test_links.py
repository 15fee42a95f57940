"""Signed addresses of messages: those that we made are read, no others."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest

from detector import alerts, errors, links, signing

NOW = datetime(2026, 5, 4, 14, 30, tzinfo=UTC)
STARTS_AT = datetime(2026, 5, 4, 14, 25, 1, 123000, tzinfo=UTC)
SIGNER = signing.Signer(b"a key of a test")
TARGET = links.Target(
    alerts.Fingerprint("a1b2c3d4e5f60718"), STARTS_AT, datetime(2026, 5, 12, tzinfo=UTC)
)
MADE = links.Links("https://mda.example.org/prefix/", SIGNER)


def given(url: str) -> links.Given:
    """The last four parts of an address."""
    return links.Given(*url.removesuffix(".png").split("/")[-4:])


def read_chart(given_: links.Given, *, at: datetime = NOW) -> links.Target:
    return links.read_chart(given_, SIGNER, at=at)


def test_addresses_stand_below_the_public_one() -> None:
    start = "https://mda.example.org/prefix"
    rest = "/a1b2c3d4e5f60718/1777904701123/1778544000/"
    assert MADE.chart(TARGET).startswith(f"{start}/api/charts{rest}")
    assert MADE.chart(TARGET).endswith(".png")
    assert MADE.action(links.Action.ACK, TARGET).startswith(f"{start}/alerts/ack{rest}")
    assert MADE.action(links.Action.SILENCE, TARGET).startswith(f"{start}/alerts/silence{rest}")


def test_what_was_made_is_read() -> None:
    assert read_chart(given(MADE.chart(TARGET))) == TARGET
    for action in links.Action:
        url = MADE.action(action, TARGET)
        assert links.read_action(action, given(url), SIGNER, at=NOW) == TARGET


def test_an_address_says_one_thing_only() -> None:
    ack = given(MADE.action(links.Action.ACK, TARGET))
    with pytest.raises(errors.LinkError, match="no message has this address"):
        links.read_action(links.Action.SILENCE, ack, SIGNER, at=NOW)
    with pytest.raises(errors.LinkError, match="no message has this address"):
        read_chart(ack)


@pytest.mark.parametrize(
    "change",
    [
        lambda each: links.Given("0" * 16, each.starts_at_ms, each.expires, each.signature),
        lambda each: links.Given(each.fingerprint, "0", each.expires, each.signature),
        lambda each: links.Given(
            each.fingerprint, each.starts_at_ms, str(int(each.expires) + 1), each.signature
        ),
        lambda each: links.Given(each.fingerprint, each.starts_at_ms, each.expires, ""),
        lambda each: links.Given(each.fingerprint, each.starts_at_ms, each.expires, "é\ud800"),
        lambda each: links.Given("..", "-1", "1e9", each.signature),
        lambda each: links.Given(each.fingerprint, "9" * 400, "9" * 400, each.signature),
    ],
)
def test_what_was_changed_is_refused(change: Callable[[links.Given], links.Given]) -> None:
    with pytest.raises(errors.LinkError, match="no message has this address") as caught:
        read_chart(change(given(MADE.chart(TARGET))))
    assert not caught.value.is_expired


def test_what_another_detector_made_is_refused() -> None:
    other = links.Links("https://mda.example.org", signing.Signer(b"another key"))
    with pytest.raises(errors.LinkError, match="no message has this address"):
        read_chart(given(other.chart(TARGET)))


def test_an_address_expires() -> None:
    made = given(MADE.chart(TARGET))
    assert read_chart(made, at=TARGET.expires - timedelta(seconds=1)) == TARGET
    with pytest.raises(errors.LinkError, match="was good until 2026-05-12") as caught:
        read_chart(made, at=TARGET.expires)
    assert caught.value.is_expired


def test_addresses_of_one_day_expire_together() -> None:
    day = datetime(2026, 5, 4, tzinfo=UTC)
    expected = datetime(2026, 5, 12, tzinfo=UTC)
    assert links.expiry(day) == expected
    assert links.expiry(day + timedelta(hours=23, minutes=59)) == expected
    assert links.expiry(day + timedelta(days=1)) == expected + timedelta(days=1)
    assert links.expiry(NOW) - NOW > links.LIFETIME
