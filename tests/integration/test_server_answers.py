"""What a real Prometheus answers to each kind of bad sample, which our sender relies on.

Written down for 2.42 and 3.5; when a newer server answers otherwise, this says so first.
"""

from __future__ import annotations

import time

import cramjam
import numpy as np
import pytest
import requests

from detector import frames
from detector.prometheus import encode, outputs
from detector.stack import debian
from tests import conftest, stack

WINDOW = "storage: {tsdb: {out_of_order_time_window: 1h}}\n"
NO_WINDOW = "global: {}\n"
MINUTE_MS, HOUR_MS, DAY_MS = 60_000, 3_600_000, 86_400_000
PLAIN: frames.Labels = (("__name__", "probe"), ("a", "1"))


def _write(url: str, time_ms: int, value: float, labels: frames.Labels = PLAIN) -> int:
    template = encode.Template([labels])
    body = template.body(np.array([value]), np.array([time_ms], np.int64))
    answer = requests.post(
        f"{url}/api/v1/write",
        data=bytes(cramjam.snappy.compress_raw(bytes(body))),
        headers=encode.Protocol.V1.headers,
        timeout=10,
    )
    return answer.status_code


@pytest.fixture
def is_next(stack_binaries: stack.Binaries) -> bool:
    return stack_binaries.suite is debian.Suite.NEXT


@pytest.mark.parametrize("window", [False, True])
def test_times_out_of_line_are_answered_as_the_sender_expects(
    prometheus: conftest.MakePrometheus, is_next: bool, window: bool
) -> None:
    url = prometheus(config_text=WINDOW if window else NO_WINDOW).url
    now_ms = int(time.time() * 1000)

    answers = {
        "in order": _write(url, now_ms, 1.0),
        "exact duplicate": _write(url, now_ms, 1.0),
        "another value": _write(url, now_ms, 2.0),
        "a minute older": _write(url, now_ms - MINUTE_MS, 3.0),
        "two hours older": _write(url, now_ms - 2 * HOUR_MS, 4.0),
    }

    assert answers == {
        "in order": 204,
        "exact duplicate": 204,
        "another value": 400,
        "a minute older": 204 if window else 400,
        "two hours older": 500 if window and not is_next else 400,
    }


def test_a_sample_a_day_ahead_is_refused_or_blocks_all_later_ones(
    prometheus: conftest.MakePrometheus, is_next: bool
) -> None:
    url = prometheus(config_text=NO_WINDOW).url
    now_ms = int(time.time() * 1000)

    ahead = _write(url, now_ms + DAY_MS, 1.0)
    other = _write(url, now_ms, 1.0, (("__name__", "other"),))

    assert (ahead, other) == ((400, 204) if is_next else (204, 400))


@pytest.mark.parametrize(
    "labels",
    [
        (("z", "1"), ("__name__", "probe"), ("a", "1")),
        (("__name__", "bad-name"),),
        (("__name__", "probe"), ("bad-label", "1")),
        (("a", "1"),),
        (("__name__", "probe"), ("a", "")),
    ],
    ids=["unsorted", "bad metric name", "bad label name", "no name", "empty value"],
)
def test_labels_that_the_server_takes_unchecked_are_refused_by_us(
    prometheus: conftest.MakePrometheus, labels: frames.Labels
) -> None:
    url = prometheus(config_text=NO_WINDOW).url

    assert _write(url, int(time.time() * 1000), 1.0, labels) == 204
    assert outputs.problem(labels) is not None


def test_a_label_given_twice_is_refused_by_us_whatever_the_server_says(
    prometheus: conftest.MakePrometheus, is_next: bool
) -> None:
    labels = (("__name__", "probe"), ("a", "1"), ("a", "2"))
    url = prometheus(config_text=NO_WINDOW).url

    assert _write(url, int(time.time() * 1000), 1.0, labels) == (204 if is_next else 500)
    assert outputs.problem(labels) is not None


def test_a_label_value_of_200_kb_is_taken_and_comes_back(
    prometheus: conftest.MakePrometheus,
) -> None:
    labels = (("__name__", "probe"), ("a", "x" * 200_000))
    server = prometheus(config_text=NO_WINDOW)
    now_s = int(time.time())

    assert _write(server.url, now_s * 1000, 1.0, labels) == 204
    assert outputs.problem(labels) is None
    found = server.query("probe", time=str(now_s))
    assert len(found[0]["metric"]["a"]) == 200_000
