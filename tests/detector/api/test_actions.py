"""The pages that addresses in messages lead to."""

from __future__ import annotations

import re
from concurrent import futures
from datetime import datetime, timedelta
from typing import cast

import pytest
import requests

from detector import alerts, errors, links
from detector.api import actions, limits
from tests import living
from tests.detector.api.conftest import SIGNER, FakeClock, Served
from tests.factories import T0, at, notification
from tests.fakes.alertmanager import FakeAlertmanager
from tests.fakes.episodes import FakeEpisodeStore
from tests.fakes.manual import FakeLinkStore, FakeManualStore

LABELS = (("alertname", "HighCpu"), ("instance", "web-1"), ("severity", "high"))
FINGERPRINT = alerts.fingerprint_of(LABELS)
BEGAN = T0 + timedelta(microseconds=1_234)
ACK, SILENCE = links.Action.ACK, links.Action.SILENCE


@pytest.fixture
def fires(served: Served) -> Served:
    served.alertmanager.post([alerts.Posted(LABELS, (), BEGAN, at(86_400))])
    told = notification(FINGERPRINT, starts_at=BEGAN, labels=LABELS)
    served.store.record([told], received_at=at(0))
    served.store.learn({(FINGERPRINT, BEGAN): (("expected", "40 %"), ("value", "93 %"))})
    return served


def address(
    action: links.Action = ACK, *, at: datetime = T0, fingerprint: alerts.Fingerprint = FINGERPRINT
) -> str:
    """The path of a link."""
    target = links.Target(fingerprint, BEGAN, links.expiry(at))
    return links.Links("", SIGNER).action(action, target)


def get(served: Served, path: str, method: str = "GET") -> requests.Response:
    return requests.request(method, served.url + path, timeout=10)


def press(served: Served, path: str, **fields: str) -> requests.Response:
    return requests.post(served.url + path, data=fields, timeout=10)


def status(served: Served) -> alerts.Status:
    episode = served.store.episode(1)
    assert episode is not None
    return episode.status


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("action", links.Action)
def test_looking_changes_nothing(fires: Served, action: links.Action, method: str) -> None:
    before = fires.store.episode(1)
    for _ in range(3):
        assert get(fires, address(action), method).status_code == 200
    assert (fires.store.episode(1), fires.alertmanager.silences()) == (before, ())


def test_page_says_what_it_is_about_and_has_one_button(fires: Served) -> None:
    page = get(fires, address()).text
    for said in ("HighCpu", "CPU is at 93 %", "web-1", "high", "2026-03-01 12:00 UTC", "40 %"):
        assert said in page
    assert re.findall(r"<button>(.*?)</button>", page) == ["Acknowledge"]
    assert "<select" not in page
    choice = get(fires, address(SILENCE)).text
    assert re.findall(r"<button>(.*?)</button>", choice) == ["Silence this alert"]
    assert re.findall(r'<option value="(.*?)"', choice) == ["1h", "4h", "12h", "1d", "3d", "7d"]


def test_page_takes_nothing_from_elsewhere_and_leaves_no_trace(fires: Served) -> None:
    answer = get(fires, address())
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    policy = answer.headers["content-security-policy"]
    assert policy.startswith("default-src 'none'; style-src 'sha256-")
    assert policy.endswith("form-action 'self'; frame-ancestors 'none'; base-uri 'none'")
    assert answer.headers["referrer-policy"] == "no-referrer"
    assert answer.headers["cache-control"] == "no-store"
    assert not re.search(r"<script|src=|href=|url\(|@import|style=", answer.text)
    assert 'name="viewport" content="width=device-width' in answer.text


def test_button_acknowledges_once(fires: Served) -> None:
    done = press(fires, address(), note="on my way")
    assert done.status_code == 200
    assert "Acknowledged: HighCpu" in done.text
    episode = fires.store.episode(1)
    assert episode is not None
    assert (episode.status, episode.owner) == ("acknowledged", "by link")
    assert episode.transitions[-1].note == "on my way"
    for again in (press(fires, address()), get(fires, address())):
        assert again.status_code == 410
        assert "used at 2026-03-01 12:00 UTC: acknowledged, by link" in again.text
    assert len(fires.alertmanager.silences()) == 1


def test_used_link_stays_used_when_somebody_gives_the_alert_back(fires: Served) -> None:
    press(fires, address())
    fires.clock.pass_(timedelta(seconds=1))
    fires.living.answers.unacknowledge(1, by="ben")
    assert press(fires, address()).status_code == 410
    assert status(fires) is alerts.Status.FIRING


def test_two_who_press_at_once_acknowledge_once(fires: Served) -> None:
    with futures.ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: press(fires, address()).status_code, range(8)))
    assert answers.count(200) == 1
    assert set(answers) <= {200, 409, 410}
    assert len([s for s in fires.alertmanager.silences() if s.state == "active"]) == 1


@pytest.mark.parametrize(
    ("given", "hours"), [("4h", 4), ("7d", 168), ("400d", 1), ("", 1), ("<b>", 1)]
)
def test_button_silences_for_a_time_of_the_list(fires: Served, given: str, hours: int) -> None:
    done = press(fires, address(SILENCE), **{"for": given})
    assert done.status_code == 200, done.text
    (silence,) = fires.alertmanager.silences()
    assert silence.ends_at == T0 + timedelta(hours=hours)
    assert (silence.created_by, silence.comment) == ("by link", "mda: no reason given")
    assert status(fires) is alerts.Status.SILENCED


def test_body_that_is_no_form_is_an_empty_one(fires: Served) -> None:
    answer = requests.post(fires.url + address(), data=b"\xff\x00", timeout=10)
    assert answer.status_code == 200
    assert status(fires) is alerts.Status.ACKNOWLEDGED


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_address_that_is_not_ours_is_not_there(fires: Served, method: str) -> None:
    right = address()
    other = "0" * 16
    for wrong in (
        right[:-1] + ("A" if right[-1] != "A" else "B"),
        right.replace("/ack/", "/silence/"),
        right.replace("/ack/", "/resolve/"),
        right.replace(FINGERPRINT, other),
        right.replace(FINGERPRINT, "..%2f.."),
        right.replace("/ack/", "/<b>/"),
    ):
        answer = get(fires, wrong, method)
        assert answer.status_code == 404, wrong
        assert "<b>" not in answer.text
    assert status(fires) is alerts.Status.FIRING


def test_address_expires(fires: Served) -> None:
    fires.clock.pass_(timedelta(days=9))
    for answer in (get(fires, address()), press(fires, address())):
        assert answer.status_code == 410
        assert "good until 2026-03-09" in answer.text
    assert status(fires) is alerts.Status.FIRING


def test_alert_that_is_over_has_no_button(fires: Served) -> None:
    end = notification(FINGERPRINT, starts_at=BEGAN, labels=LABELS, ends_at=at(60))
    fires.store.record([end], received_at=at(65))
    page = get(fires, address())
    assert page.status_code == 200
    assert "It is over" in page.text
    assert "<button" not in page.text
    assert press(fires, address()).status_code == 409


def test_what_somebody_has_done_already_is_said(fires: Served) -> None:
    fires.living.answers.acknowledge(1, by="ann")
    page = get(fires, address()).text
    assert "Acknowledged already: ann." in page
    assert "<button" not in page
    assert "<button" in get(fires, address(SILENCE)).text
    pressed = press(fires, address())
    assert (pressed.status_code, "ann has acknowledged it already" in pressed.text) == (409, True)
    assert get(fires, address()).status_code == 200  # it was not used: nothing was done


def test_alert_that_is_silenced_has_no_button_to_silence_it(fires: Served) -> None:
    press(fires, address(SILENCE), **{"for": "1h"})
    page = get(fires, address(SILENCE, at=T0 + timedelta(days=1))).text
    assert "Silenced already." in page
    assert "<button" not in page


def test_alert_that_is_not_known_yet_is_said(served: Served) -> None:
    for answer in (get(served, address()), press(served, address())):
        assert answer.status_code == 404
        assert "try again in a minute" in answer.text


def test_servers_that_are_away_are_said_and_the_link_is_not_used(fires: Served) -> None:
    fires.alertmanager.failure = errors.UpstreamError("away", kind="timeout", retryable=True)
    answer = press(fires, address())
    assert (answer.status_code, "Nothing was done" in answer.text) == (503, True)
    assert answer.headers["retry-after"] == "1"
    fires.alertmanager.failure = None
    fires.links.failure = errors.StoreError("canary", retryable=True)
    answer = get(fires, address())
    assert (answer.status_code, "canary" in answer.text) == (503, False)
    fires.links.failure = None
    assert press(fires, address()).status_code == 200


class LinksThatCannotBeKept(FakeLinkStore):
    """Knows no use of a link, and fails at each that it is to keep."""

    def use(self, signature: str, use: alerts.LinkUse, *, expires: datetime) -> bool:
        raise errors.StoreError("canary", retryable=True)


@pytest.mark.parametrize(
    ("action", "said", "status"),
    [(ACK, "Acknowledged", "acknowledged"), (SILENCE, "Silenced", "silenced")],
)
def test_what_was_done_is_said_though_the_memory_fails_after_it(
    action: links.Action, said: str, status: str
) -> None:
    clock, store = FakeClock(), FakeEpisodeStore()
    store.record([notification(FINGERPRINT, starts_at=BEGAN, labels=LABELS)], received_at=at(0))
    alertmanager, used = FakeAlertmanager(clock), LinksThatCannotBeKept()
    parts = living.parts(
        store, SIGNER, clock, alertmanager=alertmanager, manual=FakeManualStore(), used=used
    )
    pressed = actions.Actions(
        store, used, parts.answers, SIGNER, longest=timedelta(days=7), clock=clock
    )
    *_, fingerprint, starts_at_ms, expires, signature = address(action).split("/")
    page = pressed.do(action, links.Given(fingerprint, starts_at_ms, expires, signature), {})
    text = bytes(page.body).decode()
    assert (page.status_code, f"<h1>{said}: HighCpu</h1>" in text) == (200, True)
    assert "It is done, but the memory of alerts does not answer" in text
    assert ("Nothing was done" in text, "canary" in text) == (False, False)
    episode = store.episode(1)
    assert episode is not None
    assert episode.status == status
    assert len(alertmanager.silences()) == 1


def test_hostile_labels_are_text_on_the_page(served: Served) -> None:
    hostile = (
        ("alertname", "<script>alert(1)</script>\"'&"),
        ("long", "x" * 200_000),
        ("z", "</dd><img src=x onerror=alert(1)>\ud800"),
        *((f"z{n:02}", "v") for n in range(40)),
    )
    fingerprint = alerts.fingerprint_of(tuple(p for p in hostile if p[0] != "z"))
    served.store.record(
        [
            notification(
                fingerprint,
                starts_at=BEGAN,
                labels=hostile,
                annotations=(("summary", "<h1>{{ .Labels }}</h1>"),),
            )
        ],
        received_at=at(1),
    )
    answer = get(served, address(fingerprint=fingerprint))
    assert answer.status_code == 200
    assert "<script" not in answer.text
    assert "<img" not in answer.text
    assert "&lt;h1&gt;{{ .Labels }}&lt;/h1&gt;" in answer.text
    assert "and 22 labels more" in answer.text
    assert len(answer.text) < 20_000


def test_pages_are_limited_by_rate_like_the_rest(served: Served) -> None:
    name = limits.RateLimit.__name__
    (limit,) = [m for m in served.app.user_middleware if getattr(m.cls, "__name__", "") == name]
    exempt = cast("tuple[str, ...]", limit.kwargs["exempt"])
    assert "/metrics".startswith(exempt)
    assert not address().startswith(exempt)
