"""The dead man's switch on real parts: each of them dies or hangs, and is named from outside."""

from __future__ import annotations

import os
import pathlib
import re
import signal
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
import requests
import yaml

from detector import config, last_watchdog
from detector.stack import addresses, render, watchdog
from tests import conftest, faults, stack

pytestmark = pytest.mark.usefixtures("compiled_kernels")

PROMETHEUS_CONFIG = """\
global: {{scrape_interval: 1s, evaluation_interval: 1s}}
rule_files: ["{rules}"]
alerting: {{alertmanagers: [{{static_configs: [{{targets: ["127.0.0.1:{port}"]}}]}}]}}
"""
SECRET = "canary-heartbeat-7d1e"
LATE_AFTER = timedelta(seconds=6)
"""Of which alerts come every 2 s here; a silence begins when Alertmanager repeats what is stale."""


class Chain:
    """Prometheus with our rule, Alertmanager with our route, detector, and the URL outside."""

    def __init__(
        self,
        prometheus: conftest.MakePrometheus,
        alertmanager: conftest.MakeAlertmanager,
        database_url: str,
        folder: pathlib.Path,
        outside: faults.Receiver,
    ) -> None:
        port = stack.free_port()
        rules = folder / "watchdog.yml"
        rules.write_text(yaml.safe_dump({"groups": [quick_rule()]}))
        self.prometheus = prometheus(
            PROMETHEUS_CONFIG.format(rules=rules, port=port),
            ["--rules.alert.resend-delay=1s"],
        )
        self.detector = stack.Detector(
            self.prometheus,
            database_url,
            ANOMALY_DETECTION_ENABLED="false",
            HEARTBEAT_URL=f"{outside.url}/{SECRET}",
            MDA_ALERTMANAGER__URL=f"http://127.0.0.1:{port}",
        )
        self.detector.start()
        self.addresses = addresses.Addresses(
            exporter="127.0.0.1:1",
            prometheus=self.prometheus.url.removeprefix("http://"),
            alertmanager=f"127.0.0.1:{port}",
            detector=self.detector.url.removeprefix("http://"),
        )
        self.alertmanager = alertmanager(self._routes(folder), port=port)
        self.outside = outside
        self.said: list[str] = []
        self.watch = watchdog.Watch(
            lambda: last_watchdog.read(self.detector.home),
            late_after=LATE_AFTER,
            find_cause=lambda: watchdog.cause(self.addresses, log_of),
            say=self.said.append,
        )

    def _routes(self, folder: pathlib.Path) -> str:
        environ = {"MDA_WEBHOOK_TOKEN_FILE": str(self.detector.home / "webhook_token")}
        rendered = render.render(config.load(None, environ), self.addresses, folder / "rendered")
        tree = yaml.safe_load(rendered.alertmanager.read_text())
        (route,) = [each for each in tree["route"]["routes"] if each["receiver"] == "heartbeat"]
        route.update({"group_interval": "1s", "repeat_interval": "1s"})
        return yaml.safe_dump(tree)

    def server(self, part: str) -> stack.Server:
        return {
            "prometheus": self.prometheus,
            "alertmanager": self.alertmanager,
            "detector": self.detector,
        }[part]

    def wait_said(self, pattern: str, timeout_s: float = 60) -> None:
        """Watch until the newest line is this."""

        def is_said() -> bool:
            self.watch.turn()
            return bool(self.said) and re.fullmatch(pattern, self.said[-1]) is not None

        stack.wait_until(is_said, timeout_s, f"{pattern} after {self.said}")

    def wait_beats(self, more: int = 2) -> None:
        known = len(self.outside.received)
        stack.wait_until(lambda: len(self.outside.received) >= known + more, 60, "heartbeats")

    def remembered(self) -> list[dict[str, Any]]:
        token = (self.detector.home / "token").read_text().strip()
        answer = requests.get(
            f"{self.detector.url}/api/alerts",
            headers={"Authorization": f"Bearer {token}"},
            timeout=10,
        )
        found: list[dict[str, Any]] = answer.json()["alerts"]
        return found


def quick_rule() -> dict[str, Any]:
    """The shipped group, evaluated every second."""
    tree = yaml.safe_load((conftest.ROOT / "rules" / "meta.yml").read_text())
    (group,) = [each for each in tree["groups"] if each["name"] == "watchdog"]
    return {**group, "interval": "1s"}


def log_of(part: str) -> pathlib.Path:
    return pathlib.Path(f"/logs/{part}.log")


@pytest.fixture
def outside() -> Iterator[faults.Receiver]:
    with faults.Receiver(lambda _: faults.Planned(200, body=b"OK")) as receiver:
        yield receiver


@pytest.fixture
def chain(
    prometheus: conftest.MakePrometheus,
    alertmanager: conftest.MakeAlertmanager,
    database_url: str,
    tmp_path: pathlib.Path,
    outside: faults.Receiver,
) -> Iterator[Chain]:
    made = Chain(prometheus, alertmanager, database_url, tmp_path, outside)
    yield made
    for part in ("prometheus", "alertmanager", "detector"):
        if made.server(part).child.is_running():
            os.kill(made.server(part).child.pid, signal.SIGCONT)
    made.detector.kill9()


Broken = tuple[Callable[[stack.Server], None], Callable[[stack.Server], None]]
KILLED: Broken = (lambda server: server.kill9(), lambda server: server.start())
HUNG: Broken = (
    lambda server: os.kill(server.child.pid, signal.SIGSTOP),
    lambda server: os.kill(server.child.pid, signal.SIGCONT),
)


@pytest.mark.timeout(300)
def test_each_part_that_dies_or_hangs_is_named_and_its_return_told(chain: Chain) -> None:
    chain.wait_beats()
    for part, (harm, mend) in (
        ("alertmanager", KILLED),
        ("prometheus", KILLED),
        ("detector", KILLED),
        ("prometheus", HUNG),
        ("detector", HUNG),
    ):
        before = len(chain.said)
        harm(chain.server(part))
        chain.wait_said(
            rf"no Watchdog for \d+ s: alerts do not arrive: {part} does not answer: "
            rf"look at /logs/{part}\.log"
        )
        mend(chain.server(part))
        chain.wait_said(r"Watchdog comes again after \d+ s")
        assert len(chain.said) == before + 2, chain.said
    chain.wait_beats()
    assert chain.remembered() == []
    assert {each.path for each in chain.outside.received} == {f"/{SECRET}"}
    written = "".join(
        chain.server(part).child.program.log_path.read_text(errors="replace")
        for part in ("prometheus", "alertmanager", "detector")
    )
    assert SECRET not in written + chain.detector.metrics()


def test_a_silence_that_mutes_all_is_named(chain: Chain) -> None:
    chain.wait_beats(1)
    now = time.time()
    times = {
        name: time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(at))
        for name, at in (("startsAt", now), ("endsAt", now + 600))
    }
    matchers = [{"name": "alertname", "value": ".+", "isRegex": True, "isEqual": True}]
    made = requests.post(
        f"{chain.alertmanager.url}/api/v2/silences",
        json={"matchers": matchers, "createdBy": "test", "comment": "all", **times},
        timeout=10,
    )
    made.raise_for_status()
    number = made.json()["silenceID"]
    chain.wait_said(
        r"no Watchdog for \d+ s: alerts do not arrive: a silence mutes it, and whatever else it "
        rf"matches: expire {chain.alertmanager.url}/#/silences/{number}"
    )
    requests.delete(f"{chain.alertmanager.url}/api/v2/silence/{number}", timeout=10)
    chain.wait_said(r"Watchdog comes again after \d+ s")


def test_a_url_that_is_away_is_told_again_until_it_takes_it(
    prometheus: conftest.MakePrometheus,
    alertmanager: conftest.MakeAlertmanager,
    database_url: str,
    tmp_path: pathlib.Path,
) -> None:
    plan = faults.in_turn([faults.Planned(503)] * 3, faults.Planned(200))
    with faults.Receiver(plan) as outside:
        chain = Chain(prometheus, alertmanager, database_url, tmp_path, outside)
        try:
            stack.wait_until(lambda: len(outside.received) > 4, 60, "it to be told")
            text = chain.detector.metrics()
            log = chain.detector.child.program.log_path.read_text()
        finally:
            chain.detector.kill9()
    assert 'detector_heartbeat_failures_total{kind="status"} 3.0' in text
    assert re.search(r"detector_heartbeat_last_success_timestamp_seconds [1-9]", text)
    assert log.count("heartbeat not passed on") == 1
    assert "heartbeat URL at 127.0.0.1: answered 503" in log
    assert SECRET not in log + text
