"""The steady cycle beside its floor, against a real Prometheus.

Ours: one instant query, decode, score, encode, post four outputs a series, until the last answer.
The floor: a bare client that asks the same query, discards the answer and posts bodies of the same
outputs that were made ready before, over as many connections. Turn about, same server, same
minute.
"""

from __future__ import annotations

import http.client
import pathlib
import resource
import sys
import tempfile
import threading
import time
import urllib.parse
from collections.abc import Sequence
from datetime import timedelta
from statistics import median

import cramjam
import numpy as np
import requests

from benchmarks import load, report
from detector import frames, telemetry
from detector.models import budget, catalogue
from detector.models import scoring as models_scoring
from detector.prometheus import encode, outputs, reader, writer
from detector.services import scoring
from detector.stack import debian
from tests import stack

STEP_MS = 60_000
LEARNED_STEPS = 1_445
"""A day, learned before the first cycle: the budget of a series' first day is over, as it is in
steady state. Learned from frames of the same noise, since only cycles are measured here."""
LEVEL = 100.0
PAIRS = {1_000: 25, 10_000: 21, 100_000: 15}
LIMIT = 1.3
QUERY = "bench"
BLOCK = 2_500
CONFIG = "storage: {tsdb: {out_of_order_time_window: 1h}}\n"


class Post:
    """Ready bodies over one kept-alive connection."""

    def __init__(self, url: str, protocol: encode.Protocol) -> None:
        self._connection = http.client.HTTPConnection(urllib.parse.urlsplit(url).netloc)
        self._protocol = protocol

    def send(self, bodies: Sequence[bytes]) -> None:
        for body in bodies:
            self._connection.request("POST", "/api/v1/write", body, self._protocol.headers)
            answer = self._connection.getresponse()
            text = answer.read()
            assert answer.status in (200, 204), (answer.status, text[:200])


class Ours:
    """The product's own runner, reader, scorer and writer, at a clock that we move."""

    def __init__(self, url: str, clock_ms: list[int], *, ml: bool = False) -> None:
        self._clock_ms = clock_ms
        meters = telemetry.Telemetry()
        self.writer = writer.Writer(
            url,
            timeout=timedelta(seconds=60),
            auth=None,
            metrics=telemetry.WriterMeters(meters),
            clock=self._clock,
        )
        self.writer.start()
        self.runner = scoring.QueryRunner(
            scoring.Spec(
                name=QUERY,
                expr=load.METRIC,
                step=timedelta(milliseconds=STEP_MS),
                history=timedelta(0),
                catch_up=timedelta(hours=1),
                series_ttl=timedelta(days=1),
            ),
            reader=reader.Reader(
                url,
                timeout=timedelta(seconds=120),
                auth=None,
                lookback=timedelta(minutes=5),
                clock=self._clock,
            ),
            writer=self.writer,
            make_scorer=lambda: models_scoring.QueryScorer(
                step=timedelta(milliseconds=STEP_MS),
                budget=budget.parse_budget("1 per week per series"),
                models=catalogue.defaults() if ml else (),
            ),
            meters=meters,
            clock=self._clock,
        )
        self.cpu_s: list[float] = []

    def _clock(self) -> float:
        return self._clock_ms[0] / 1000

    def cycle(self) -> float:
        """Wall seconds of one cycle."""
        began, cpu = time.perf_counter(), time.process_time()
        self.runner.run()
        assert self.writer.flush(timedelta(minutes=2)), "not all scores were taken"
        self.cpu_s.append(time.process_time() - cpu)
        return time.perf_counter() - began


class Floor:
    """Reads and discards; posts what was made ready, over two connections as ours does."""

    def __init__(self, url: str, count: int, protocol: encode.Protocol) -> None:
        self._connection = http.client.HTTPConnection(urllib.parse.urlsplit(url).netloc)
        self._lanes = [Post(url, protocol) for _ in range(writer.LANES)]
        series = [
            outputs.output_labels(labels, metric, query="floor")
            for labels in load.series_labels(count)
            for metric in outputs.METRICS
        ]
        size = BLOCK * len(outputs.METRICS)
        self._templates = [
            encode.Template(series[at : at + size], protocol=protocol)
            for at in range(0, len(series), size)
        ]
        self._bodies: list[bytes] = []
        self.cpu_s: list[float] = []

    def make_ready(self, time_ms: int, values: frames.Floats) -> None:
        """The bodies of the next cycle: float64[N, 4] values at this time."""
        flat, at = values.ravel(), 0
        self._bodies = []
        for template in self._templates:
            part = flat[at : at + len(template.series)]
            at += len(part)
            body = template.body(part, np.full(len(part), time_ms))
            self._bodies.append(bytes(cramjam.snappy.compress_raw(bytes(body))))

    def cycle(self, time_ms: int) -> float:
        """Wall seconds of one cycle."""
        began, cpu = time.perf_counter(), time.process_time()
        target = f"/api/v1/query?query={load.METRIC}&time={time_ms / 1000:.3f}"
        self._connection.request("GET", target, headers={"Accept-Encoding": "identity"})
        answer = self._connection.getresponse()
        while answer.read(1 << 20):
            pass
        threads = [
            threading.Thread(target=lane.send, args=(self._bodies[number :: len(self._lanes)],))
            for number, lane in enumerate(self._lanes)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.cpu_s.append(time.process_time() - cpu)
        return time.perf_counter() - began


def _protocol(url: str) -> encode.Protocol:
    """What our writer settles on with this server."""
    answer = requests.get(f"{url}/api/v1/status/buildinfo", timeout=10).json()
    is_new = int(answer["data"]["version"].split(".")[0]) >= 3
    return encode.Protocol.V2 if is_new else encode.Protocol.V1


def measure(url: str, count: int, table: report.Report) -> None:
    """One size: pairs of cycles, then what the forest adds."""
    name = f"{count // 1000}k series"
    inputs = load.Load(url, count, levels=(LEVEL, LEVEL))
    pairs = PAIRS[count]
    now_ms = int(time.time() * 1000) // STEP_MS * STEP_MS
    first_ms = now_ms - (pairs + 4) * STEP_MS
    clock_ms = [first_ms]
    ours = Ours(url, clock_ms)
    _learn(ours.runner.scorer, count, first_ms)
    protocol = _protocol(url)
    floor = Floor(url, count, protocol)
    values = np.random.default_rng(1).random((count, len(outputs.METRICS)))
    ours_s, floor_s, ratios = [], [], []
    for pair in range(pairs + 2):
        time_ms = first_ms + pair * STEP_MS
        inputs.append([time_ms])
        clock_ms[0] = time_ms + STEP_MS // 2
        floor.make_ready(time_ms, values)
        if pair % 2:
            below, above = floor.cycle(time_ms), ours.cycle()
        else:
            above, below = ours.cycle(), floor.cycle(time_ms)
        if pair >= 2:
            ours_s.append(above)
            floor_s.append(below)
            ratios.append(above / below)
    table.add(report.Figure(f"{name}: wall of a cycle", median(ours_s), "s"))
    table.add(report.Figure(f"{name}: wall of the floor", median(floor_s), "s"))
    title = f"{name}: ratio, median of {len(ratios)} pairs, {protocol.name}"
    table.add(report.Figure(title, median(ratios), "x", LIMIT))
    table.add(report.Figure(f"{name}: client CPU of a cycle", median(ours.cpu_s[3:]), "s"))
    table.add(report.Figure(f"{name}: client CPU of the floor", median(floor.cpu_s[2:]), "s"))
    _forest(count, table)
    ours.writer.stop(timedelta(seconds=5))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    table.add(report.Figure(f"{name}: peak memory of this process", peak, "MiB"))


def _learn(scorer: models_scoring.QueryScorer, count: int, end_ms: int) -> None:
    """A day of noise before end_ms."""
    rng = np.random.default_rng(3)
    for block in np.array_split(np.arange(LEARNED_STEPS), 15):
        times_ms = end_ms - (LEARNED_STEPS - block.astype(np.int64)) * STEP_MS
        values = np.round(rng.normal(LEVEL, load.NOISE, (count, len(block))), 2)
        scorer.score(frames.Frame(times_ms, values.T, STEP_MS))


def _forest(count: int, table: report.Report) -> None:
    """Scoring one step of as many series, without and with a fitted forest."""
    rng = np.random.default_rng(2)
    took: dict[bool, float] = {}
    for ml in (False, True):
        scorer = models_scoring.QueryScorer(
            step=timedelta(milliseconds=STEP_MS),
            budget=budget.parse_budget("1 per week per series"),
            models=[catalogue.model_of("iforest")] if ml else (),
        )
        at_ms, spent = 0, []
        for turn in range(60):
            at_ms += STEP_MS
            frame = frames.Frame(
                np.array([at_ms], np.int64), rng.standard_normal((1, count)), STEP_MS
            )
            if ml and turn == 45:
                for job in scorer.refit_jobs():
                    scorer.adopt(job.run())
            began = time.perf_counter()
            scorer.score(frame)
            spent.append(time.perf_counter() - began)
        took[ml] = median(spent[-10:])
    name = f"{count // 1000}k series"
    table.add(report.Figure(f"{name}: scoring a step, streaming member", took[False], "s"))
    table.add(report.Figure(f"{name}: what the forest adds", took[True] - took[False], "s"))


def main(sizes: Sequence[int] = tuple(PAIRS)) -> list[str]:
    """The names of the figures that missed their limit."""
    table = report.Report("Steady cycle")
    source = debian.Source(pathlib.Path(".cache/debian"), debian.Suite.HOST, print)
    for count in sizes:
        with tempfile.TemporaryDirectory(prefix="mda-bench-") as folder:
            server = stack.prometheus(
                source.find("prometheus"), pathlib.Path(folder), config_text=CONFIG
            )
            server.start()
            try:
                measure(server.url, count, table)
            finally:
                server.kill9()
    return table.missed


if __name__ == "__main__":
    sys.exit(bool(main([int(size) for size in sys.argv[1:]] or tuple(PAIRS))))
