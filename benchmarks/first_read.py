"""The first read of 10,000 series x 1 day at 60 s, by both roads, beside the floor.

python -m benchmarks.first_read

The floor is a bare client that asks for the same chunks and throws them away. Each reading runs in
a process of its own, whose peak memory is measured. The server holds everything in its head.
"""

from __future__ import annotations

import json
import pathlib
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from datetime import timedelta

import numpy as np

from benchmarks import load, report
from detector import frames
from detector.prometheus import chunks, connection, reader, selectors, writer
from detector.stack import debian
from tests import stack

SERIES, STEPS, STEP_MS = 10_000, 1_440, 60_000
ROUNDS = 5
CHUNKS_TO_FLOOR, CHUNKS_S, JSON_S, MEMORY_MIB = 1.5, 1.0, 3.0, 350.0
LOOKBACK = timedelta(minutes=5)
TIMEOUT = timedelta(seconds=60)


def floor(url: str, end_ms: int) -> int:
    """Bytes of the chunks, read and discarded."""
    matchers = selectors.plain_matchers(load.METRIC) or ()
    start_ms = end_ms - (STEPS - 1) * STEP_MS - LOOKBACK // timedelta(milliseconds=1)
    body = chunks.request(matchers, start_ms, end_ms)
    client = connection.Client(url, timeout=TIMEOUT)
    buffer = memoryview(bytearray(1 << 20))
    total = 0
    with client.stream("POST", chunks.PATH, body=body, headers=chunks.HEADERS) as stream:
        while count := stream.readinto(buffer):
            total += count
    return total


def read(url: str, end_ms: int, expr: str, *, from_steps: int) -> frames.Frame:
    """The whole frame by our reader."""
    by = reader.Reader(
        url,
        timeout=TIMEOUT,
        auth=None,
        lookback=LOOKBACK,
        clock=time.time,
        chunks_from_steps=from_steps,
    )
    return by.read_range(
        expr,
        start_ms=end_ms - (STEPS - 1) * STEP_MS,
        end_ms=end_ms,
        step_ms=STEP_MS,
        table=frames.SeriesTable(),
    )


def one(road: str, url: str, end_ms: int) -> dict[str, float]:
    """Seconds of wall and CPU, peak memory in MiB, and what was read, of one reading."""
    writer.warm_up()
    began, cpu = time.perf_counter(), time.process_time()
    if road == "floor":
        samples = float(floor(url, end_ms))
    else:
        expr = f"{load.METRIC} + 0" if road == "json blocks" else load.METRIC
        frame = read(url, end_ms, expr, from_steps=0 if road == "chunks" else 10**9)
        samples = float(np.isfinite(frame.values).sum())
        if samples != SERIES * STEPS:
            raise SystemExit(f"{road}: {samples:.0f} samples")
    return {
        "wall": time.perf_counter() - began,
        "cpu": time.process_time() - cpu,
        "peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        "read": samples,
    }


def main() -> list[str]:
    """Load a server and time the roads in turn; the names of the figures that were missed."""
    source = debian.Source(pathlib.Path(".cache/debian"), debian.Suite.HOST, print)
    if "--next" in sys.argv:
        source = debian.Source(pathlib.Path(".cache/debian"), debian.Suite.NEXT, print)
    with tempfile.TemporaryDirectory() as folder:
        server = stack.prometheus(source.find("prometheus"), pathlib.Path(folder))
        server.start()
        try:
            return measure(server.url)
        finally:
            server.kill9()


def measure(url: str) -> list[str]:
    """Run everything against this server."""
    end_ms = int(time.time() * 1000) // STEP_MS * STEP_MS
    times_ms = range(end_ms - (STEPS + 5) * STEP_MS, end_ms + 1, STEP_MS)
    began = time.perf_counter()
    samples = load.Load(url, SERIES).append(times_ms)
    took = time.perf_counter() - began
    print(f"loaded {samples:,} samples in {took:.0f} s ({samples / took:,.0f}/s)")
    roads = ("floor", "chunks", "json", "json blocks")
    runs: dict[str, list[dict[str, float]]] = {road: [] for road in roads}
    for _ in range(ROUNDS):
        for road in roads:
            runs[road].append(in_a_process(road, url, end_ms))
    return figures(runs)


def in_a_process(road: str, url: str, end_ms: int) -> dict[str, float]:
    """The reading, in a process of its own."""
    argv = [sys.executable, "-m", "benchmarks.first_read", "one", road, url, str(end_ms)]
    done = subprocess.run(argv, capture_output=True, check=True, timeout=300)
    result: dict[str, float] = json.loads(done.stdout)
    return result


def figures(runs: dict[str, list[dict[str, float]]]) -> list[str]:
    """Print medians and limits; the names of those that were missed."""
    table = report.Report(f"First read of {SERIES:,} series x {STEPS:,} steps")
    medians = {
        road: {key: statistics.median(run[key] for run in results) for key in results[0]}
        for road, results in runs.items()
    }
    walls = {"chunks": CHUNKS_S, "json": JSON_S}
    for road, row in medians.items():
        table.add(report.Figure(f"{road}: wall", row["wall"], "s", walls.get(road)))
        table.add(report.Figure(f"{road}: client CPU", row["cpu"], "s"))
        limit = MEMORY_MIB if road in walls else None
        table.add(report.Figure(f"{road}: peak memory", row["peak"], "MiB", limit))
    ratios = [
        ours["wall"] / below["wall"]
        for ours, below in zip(runs["chunks"], runs["floor"], strict=True)
    ]
    title = f"chunks: ratio to the floor, median of {len(ratios)}"
    table.add(report.Figure(title, statistics.median(ratios), "x", CHUNKS_TO_FLOOR))
    return table.missed


if __name__ == "__main__":
    if sys.argv[1:2] == ["one"]:
        print(json.dumps(one(sys.argv[2], sys.argv[3], int(sys.argv[4]))))
        sys.exit(0)
    sys.exit(bool(main()))
