from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator, Mapping

import pytest
from prometheus_client.core import GaugeMetricFamily

from exporter import assembly, exposition, procfs, scrape, telemetry
from exporter.collectors import contract
from tests.exporter import host


def quick() -> exposition.Block:
    return host.GAUGE


def absent() -> exposition.Block:
    raise procfs.NoData("nothing of the kind")


def broken() -> exposition.Block:
    raise ValueError("unexpected text")


def scraper(
    collectors: Mapping[str, contract.Collector], deadline_s: float = 5.0
) -> scrape.Scraper:
    return scrape.Scraper(collectors, dict.fromkeys(collectors, deadline_s), time.monotonic)


def outcomes(made: scrape.Scraper) -> dict[str, scrape.Outcome]:
    begun = made.begin(made.names)
    while not begun.wait(0.005):
        pass
    return made.finish(begun)


@pytest.fixture
def hanging() -> Iterator[host.Hanging]:
    made = host.Hanging()
    yield made
    made.released.set()


def test_a_failing_collector_and_one_without_data_leave_the_rest_alone() -> None:
    made = scraper({"a": host.Calling(broken), "b": host.Calling(absent), "c": host.Calling(quick)})
    found = outcomes(made)
    assert {name: outcome.status for name, outcome in found.items()} == {
        "a": scrape.Status.FAILED,
        "b": scrape.Status.NO_DATA,
        "c": scrape.Status.OK,
    }
    assert found["a"].reason == "ValueError: unexpected text"


def test_a_hung_collector_costs_its_deadline_once_and_later_scrapes_nothing(
    hanging: host.Hanging,
) -> None:
    made = scraper({"a": hanging, "b": host.Calling(quick)}, deadline_s=0.3)
    started = time.monotonic()
    first = outcomes(made)
    assert 0.3 <= time.monotonic() - started < 2.0
    assert first["a"].status is scrape.Status.FAILED
    assert first["a"].reason == "past its deadline of 0.3 s"
    assert first["b"].status is scrape.Status.OK
    started = time.monotonic()
    for _ in range(20):
        assert outcomes(made)["a"].status is scrape.Status.FAILED
    assert time.monotonic() - started < 3.0  # 20 deadlines would be 6 s
    assert hanging.calls == 1


def test_hung_collectors_wait_side_by_side_not_one_after_the_other() -> None:
    several = {f"h{number}": host.Hanging() for number in range(6)}
    made = scraper({**several, "last": host.Calling(quick)}, deadline_s=0.5)
    started = time.monotonic()
    found = outcomes(made)
    assert time.monotonic() - started < 2.5  # six deadlines would be 3 s
    assert found["last"].status is scrape.Status.OK
    for one in several.values():
        one.released.set()


def test_what_a_late_run_brings_is_thrown_away_and_the_next_run_is_new(
    hanging: host.Hanging,
) -> None:
    made = scraper({"a": hanging}, deadline_s=0.5)  # in which a run that does not hang is done
    assert outcomes(made)["a"].status is scrape.Status.FAILED
    hanging.released.set()
    deadline = time.monotonic() + 5
    while outcomes(made)["a"].status is not scrape.Status.OK:
        assert time.monotonic() < deadline
    assert hanging.calls == 2


def test_a_stuck_thread_is_not_piled_up(hanging: host.Hanging) -> None:
    made = scraper({"a": hanging, "b": host.Calling(quick)}, deadline_s=0.02)
    outcomes(made)
    before = threading.active_count()
    for _ in range(50):
        outcomes(made)
    assert threading.active_count() <= before + 1


def test_two_scrapes_at_once_share_one_run(hanging: host.Hanging) -> None:
    made = scraper({"a": hanging})
    one, other = made.begin(["a"]), made.begin(["a"])
    assert not one.wait(0.02)
    hanging.released.set()
    while not (one.wait(0.005) and other.wait(0.005)):
        pass
    assert hanging.calls == 1
    assert {made.finish(s)["a"].status for s in (one, other)} == {scrape.Status.OK}


def test_a_change_of_status_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    act = host.Calling(broken)
    made = scraper({"a": act})
    with caplog.at_level(logging.INFO):
        outcomes(made)
        outcomes(made)
        act.act = quick
        outcomes(made)
    assert [record.message for record in caplog.records] == [
        "collector failed",
        "collector works again",
    ]


def body_of(found: Mapping[str, scrape.Outcome], *, openmetrics: bool = False) -> str:
    own = telemetry.Telemetry()
    return assembly.Assembly(own, self_metrics=True).body(found, openmetrics=openmetrics).decode()


def test_the_body_says_how_each_collector_fared() -> None:
    made = scraper({"a": host.Calling(broken), "b": host.Calling(absent), "c": host.Calling(quick)})
    lines = body_of(outcomes(made)).splitlines()
    for line in (
        'node_scrape_collector_success{collector="a"} 0',
        'node_scrape_collector_success{collector="b"} 0',
        'node_scrape_collector_success{collector="c"} 1',
        'exporter_collector_status{collector="a",status="failed"} 1',
        'exporter_collector_status{collector="b",status="no_data"} 1',
        'exporter_collector_status{collector="b",status="failed"} 0',
        'exporter_collector_status{collector="c",status="ok"} 1',
        "fake_value 1",
    ):
        assert line in lines


def test_a_family_that_another_collector_has_is_left_out_and_counted() -> None:
    made = scraper(
        {
            "a": host.Calling(lambda: [GaugeMetricFamily("fake_value", "Another.", 2)]),
            "b": host.Calling(quick),
        }
    )
    lines = body_of(outcomes(made)).splitlines()
    assert "fake_value 1" in lines
    assert "fake_value 2.0" not in lines
    assert "exporter_scrape_duplicate_families_total 1.0" in lines


def test_openmetrics_ends_with_its_mark_once_even_when_filtered() -> None:
    made = scraper({"a": host.Calling(quick)})
    body = body_of(outcomes(made), openmetrics=True)
    assert body.count("# EOF\n") == 1
    assert assembly.only_families(body.encode(), ["fake_value"]) == (
        b"# HELP fake_value A value.\n# TYPE fake_value gauge\nfake_value 1\n# EOF\n"
    )
