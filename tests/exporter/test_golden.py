"""The exposition of the fixture host, line by line.

To rewrite the golden files after a change that is meant: python -m tests.exporter.test_golden
"""

from __future__ import annotations

import os
import pathlib
import shutil
import tempfile
import time

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics
from prometheus_client.parser import text_string_to_metric_families as plain

from exporter import exposition, procfs
from exporter.collectors import contract, filesystem, mounts, table
from tests.exporter import host

GOLDEN = {
    False: pathlib.Path(__file__).parent / "golden.txt",
    True: pathlib.Path(__file__).parent / "golden.openmetrics.txt",
}


def fixture_collectors(textfiles: pathlib.Path) -> dict[str, contract.Collector]:
    """All collectors of the fixture host but uname, which asks the real one."""
    given = host.settings(
        collectors={"uname": {"enabled": False}, "textfile": {"directory": textfiles}}
    )
    made = host.host(given)
    collectors = table.build_enabled(made)
    section = given.collectors.filesystem
    collectors["filesystem"] = filesystem.LinuxFilesystem(
        given.paths,
        filesystem.Choice(section),
        mounts.MountSizes(1.0, made.monotonic, lambda path: host.size(1000 * len(path))),
    )
    return collectors


def fixture_exposition(*, is_openmetrics: bool) -> str:
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name) / "textfile"
        shutil.copytree(host.FIXTURES / "textfile", folder)
        for path in folder.iterdir():
            os.utime(path, (host.NOW, host.NOW))
        parts = [
            host.text(collector, openmetrics=is_openmetrics)
            for collector in fixture_collectors(folder).values()
        ]
        end = exposition.EOF.decode() if is_openmetrics else ""
        return "".join(parts).replace(name, "") + end


@pytest.fixture
def utc(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()


@pytest.mark.usefixtures("utc")
@pytest.mark.parametrize("is_openmetrics", [False, True])
def test_the_fixture_host_is_exposed_as_reviewed(is_openmetrics: bool) -> None:
    assert fixture_exposition(is_openmetrics=is_openmetrics) == GOLDEN[is_openmetrics].read_text()


def test_both_golden_files_parse_and_hold_the_same_samples() -> None:
    def samples(metrics: object) -> set[tuple[str, str, float]]:
        return {
            (sample.name, str(sorted(sample.labels.items())), sample.value)
            for metric in metrics  # type: ignore[attr-defined]  # both parsers yield metrics
            for sample in metric.samples
        }

    text = samples(plain(GOLDEN[False].read_text()))
    assert len(text) > 250
    strict = openmetrics(GOLDEN[True].read_text())  # type: ignore[no-untyped-call]
    assert samples(strict) == text


def test_every_collector_is_in_the_table_the_settings_and_the_docs() -> None:
    names = set(table.COLLECTORS)
    assert set(type(host.settings().collectors).model_fields) == names
    docs = (host.FIXTURES.parents[2] / "docs" / "metrics.md").read_text()
    assert {name for name in names if f"\n### {name}\n" in docs} == names


def test_without_the_kernel_files_psutil_serves_or_there_is_no_data() -> None:
    served = {}
    for name, collector in table.build_enabled(host.host(is_linux=False)).items():
        try:
            served[name] = host.text(collector)
        except procfs.NoData:
            continue
    assert {"cpu", "meminfo", "loadavg", "stat", "time", "uname"} <= set(served)
    assert {"vmstat", "pressure", "filefd", "sockstat", "thermal_zone"}.isdisjoint(served)
    assert "node_memory_MemAvailable_bytes " in served["meminfo"]
    assert 'node_cpu_seconds_total{cpu="0",mode="idle"} ' in served["cpu"]


def test_collectors_say_no_data_on_a_host_without_any_file(tmp_path: pathlib.Path) -> None:
    given = host.settings(
        paths={"procfs": tmp_path, "sysfs": tmp_path, "udev": tmp_path, "rootfs": tmp_path}
    )
    for name, collector in table.build_enabled(host.host(given)).items():
        if name in ("time", "uname"):
            continue
        with pytest.raises(procfs.NoData):
            collector.collect()


if __name__ == "__main__":
    os.environ["TZ"] = "UTC"
    time.tzset()
    for is_openmetrics, path in GOLDEN.items():
        path.write_text(fixture_exposition(is_openmetrics=is_openmetrics))
        print(path)
