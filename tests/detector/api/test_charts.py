"""Pictures for messages: who has a signed address gets one, nobody else does."""

from __future__ import annotations

from datetime import timedelta

import pytest
import requests

from detector import alerts, errors, links
from detector.services import charting
from tests.detector.api.conftest import API_TOKEN, SIGNER, Served


def address(served: Served, *, good_for: timedelta = timedelta(days=1)) -> str:
    now = served.clock()
    target = links.Target(alerts.Fingerprint("a1b2c3d4e5f60718"), now, now + good_for)
    return links.Links(served.url, SIGNER).chart(target)


def away(*, retryable: bool) -> errors.UpstreamError:
    return errors.UpstreamError(
        "http://prometheus.internal:9090: canary", kind="query", retryable=retryable
    )


def test_who_has_the_address_gets_the_picture(served: Served) -> None:
    served.drawn.append(b"\x89PNG")
    answer = requests.get(address(served), timeout=5)
    assert (answer.status_code, answer.content) == (200, b"\x89PNG")
    assert answer.headers["content-type"] == "image/png"
    assert answer.headers["cache-control"] == "private, max-age=60"


def test_an_address_of_somebody_else_is_none(served: Served) -> None:
    right = address(served)
    other = right.replace("a1b2", "a1b3")
    answer = requests.get(other, headers={"Authorization": f"Bearer {API_TOKEN}"}, timeout=5)
    assert (answer.status_code, answer.json()["detail"]) == (
        404,
        "no message has this address: see that it was copied whole",
    )


def test_an_address_that_has_expired_says_so(served: Served) -> None:
    answer = requests.get(address(served, good_for=timedelta(days=-1)), timeout=5)
    assert answer.status_code == 410
    assert answer.json()["detail"].startswith("this address was good until ")


@pytest.mark.parametrize(
    ("failure", "status", "detail"),
    [
        (errors.NotFoundError("chart: nothing to draw"), 404, "chart: nothing to draw"),
        (charting.BusyError(), 503, "too many charts are asked for at once"),
        (away(retryable=True), 503, "chart: Prometheus does not answer"),
        (charting.AlertmanagerAwayError(), 503, "chart: Alertmanager does not answer"),
        (
            errors.StoreError("PostgreSQL at canary", retryable=True),
            503,
            "chart: the memory of alerts does not answer",
        ),
        (away(retryable=False), 502, "chart: Prometheus does not give this alert's series"),
    ],
)
def test_what_cannot_be_drawn_is_told(
    served: Served, failure: Exception, status: int, detail: str
) -> None:
    served.drawn.append(failure)
    answer = requests.get(address(served), timeout=5)
    assert (answer.status_code, answer.json()["detail"]) == (status, detail)
