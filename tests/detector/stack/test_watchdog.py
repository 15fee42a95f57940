"""What the supervisor says of silence, and which part it names; each part a stand-in."""

from __future__ import annotations

import json
import pathlib
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import datetime, timedelta

import pytest

from detector.stack import addresses, watchdog
from tests import faults, stack
from tests.factories import at


class Given:
    """A watch at a clock that is put on by hand."""

    def __init__(self, last: datetime | None = None) -> None:
        self.last, self.now_s, self.asked, self.looked = last, 1000.0, 0, 0
        self.said: list[str] = []
        self.watch = watchdog.Watch(
            self._read,
            late_after=timedelta(minutes=3),
            find_cause=self._cause,
            say=self.said.append,
            monotonic_s=lambda: self.now_s,
        )

    def _read(self) -> datetime | None:
        self.looked += 1
        return self.last

    def _cause(self) -> str:
        self.asked += 1
        return "detector does not answer"

    def pass_(self, seconds: float) -> None:
        for _ in range(round(seconds)):
            self.now_s += 1.0
            self.watch.turn()


SILENT = "no Watchdog for 3 min: alerts do not arrive: detector does not answer"


@pytest.mark.parametrize("last", [None, at(-10_000), at(10_000)])
def test_silence_is_said_once_from_the_start_on(last: datetime | None) -> None:
    given = Given(last)
    given.pass_(180)
    assert given.said == []
    assert given.looked == 1 + 90
    given.pass_(600)
    assert (given.said, given.asked) == ([SILENT], 1)


def test_each_one_that_comes_starts_the_count_anew_and_ends_a_silence() -> None:
    given = Given()
    for second in (0, 75, 150):
        given.last = at(second)
        given.pass_(170)
    assert given.said == []
    given.pass_(300)
    given.last = at(-700)  # a clock that was put back
    given.pass_(30)
    assert given.said == [SILENT, "Watchdog comes again after 8 min"]
    given.pass_(200)
    assert given.said[2:] == [SILENT]


def test_a_file_that_goes_away_is_silence() -> None:
    given = Given(at(0))
    given.last = None
    given.pass_(200)
    given.last = at(0)
    given.pass_(5)
    assert given.said == [SILENT], "the one of before is none that comes again"


class Parts:
    """Prometheus, Alertmanager and detector as far as they are asked."""

    def __init__(self, open_parts: ExitStack) -> None:
        self.down: set[str] = set()
        self.refused = ""
        self.raised: list[str] = ["Watchdog"]
        self.held: object = [{"status": {"silencedBy": []}}]
        servers = {
            part: open_parts.enter_context(faults.Receiver(self._answer(part)))
            for part in ("prometheus", "alertmanager", "detector")
        }
        ports = {part: server.url.removeprefix("http://") for part, server in servers.items()}
        self.addresses = addresses.Addresses(exporter="127.0.0.1:1", **ports)

    def _answer(self, part: str) -> faults.Answer:
        def answer(received: faults.Received) -> faults.Planned:
            if part in self.down or received.path == self.refused:
                return faults.Planned(503)
            if received.path == "/api/v1/alerts":
                named = [{"labels": {"alertname": name}} for name in self.raised]
                return as_json({"data": {"alerts": named}})
            if received.path.startswith("/api/v2/alerts"):
                return as_json(self.held)
            return faults.Planned(200)

        return answer

    def cause(self) -> str:
        return watchdog.cause(self.addresses, lambda part: pathlib.Path(f"/logs/{part}.log"))


def as_json(tree: object) -> faults.Planned:
    return faults.Planned(200, {}, json.dumps(tree).encode())


@pytest.fixture
def parts() -> Iterator[Parts]:
    with ExitStack() as open_parts:
        yield Parts(open_parts)


@pytest.mark.parametrize("part", ["prometheus", "alertmanager", "detector"])
def test_the_part_that_does_not_answer_is_named(parts: Parts, part: str) -> None:
    parts.down = {part, "detector"}
    assert parts.cause() == f"{part} does not answer: look at /logs/{part}.log"


def test_a_part_that_is_not_there_at_all_is_named(parts: Parts) -> None:
    gone = addresses.Addresses("127.0.0.1:1", f"127.0.0.1:{stack.free_port()}", "a:1", "a:2")
    said = watchdog.cause(gone, lambda part: pathlib.Path(f"/logs/{part}.log"))
    assert said == "prometheus does not answer: look at /logs/prometheus.log"


def test_the_hop_that_fails_between_parts_that_answer_is_named(parts: Parts) -> None:
    assert parts.cause() == (
        "alertmanager does not bring it to the detector: look at /logs/alertmanager.log"
    )
    parts.held = [{"status": {"silencedBy": ["4e1b"]}}]
    assert parts.cause() == (
        "a silence mutes it, and whatever else it matches: "
        f"expire http://{parts.addresses.alertmanager}/#/silences/4e1b"
    )
    parts.held = []
    assert parts.cause() == (
        "prometheus does not hand it to alertmanager: look at /logs/prometheus.log"
    )
    parts.raised = ["HostHighCpu"]
    assert parts.cause() == (
        f"prometheus does not raise it: look at http://{parts.addresses.prometheus}/rules"
    )


def test_an_answer_that_is_none_of_ours_is_no_reason_to_stop(parts: Parts) -> None:
    parts.held = {"not": "a list"}
    assert parts.cause() == (
        "prometheus or alertmanager cannot be asked about it: Expected `array`, got `object`"
    )
    parts.refused = "/api/v1/alerts"
    assert parts.cause() == (
        "prometheus or alertmanager cannot be asked about it: "
        f"{parts.addresses.prometheus} answers 503"
    )
