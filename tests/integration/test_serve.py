"""`python -m detector serve` as a process of its own, with its servers killed and hung."""

from __future__ import annotations

import contextlib
import os
import signal
import stat
import time
from collections.abc import Iterator

import psutil
import pytest
import requests

from tests import conftest, stack

pytestmark = pytest.mark.usefixtures("compiled_kernels")

CANARY = "canary-password-83f1"
SCRAPE_ITSELF = """\
global: {scrape_interval: 1s}
storage: {tsdb: {out_of_order_time_window: 1h}}
scrape_configs: [{job_name: itself, static_configs: [{targets: ["127.0.0.1:{port}"]}]}]
"""
STOPS_WITHIN_S = 5.0
STALLS_WITHIN_S = 45.0


class Detector(stack.Detector):
    """A detector that scores two queries every second."""

    def __init__(self, prometheus: stack.Prometheus, postgres: stack.Postgres, **env: str) -> None:
        settings = {
            "MDA_QUERIES": (
                '[{"name": "samples", "expr": '
                '"rate(prometheus_tsdb_head_samples_appended_total[10s])"},'
                ' {"name": "memory", "expr": "process_resident_memory_bytes"}]'
            ),
            "METRIC_COLLECTION_INTERVAL": "1",
            "ML_DETECTION_ENABLED": "true",
        }
        url = postgres.url.replace("mda@", f"mda:{CANARY}@")
        super().__init__(prometheus, url, **(settings | env))

    @property
    def log(self) -> str:
        return self.child.program.log_path.read_text()

    def ready(self) -> requests.Response:
        return requests.get(f"{self.url}/-/ready", timeout=20)

    def await_ready(self, status: int, timeout_s: float) -> requests.Response:
        """The first answer of this status."""
        found: list[requests.Response] = []

        def is_there() -> bool:
            found.append(self.ready())
            return found[-1].status_code == status

        stack.wait_until(is_there, timeout_s, f"/-/ready to answer {status}")
        return found[-1]

    def token(self, name: str = "token") -> str:
        return (self.home / name).read_text().strip()

    def get(self, path: str, timeout_s: float = 20) -> requests.Response:
        return requests.get(
            f"{self.url}{path}",
            headers={"Authorization": f"Bearer {self.token()}"},
            timeout=timeout_s,
        )

    def post(self, path: str) -> requests.Response:
        headers = {"Authorization": f"Bearer {self.token()}"}
        return requests.post(f"{self.url}{path}", headers=headers, timeout=20)

    def terminate(self) -> tuple[int | None, float]:
        """Its exit status after SIGTERM, and how long it took."""
        began = time.monotonic()
        self.child.ask_to_stop()
        self.child.wait(4 * STOPS_WITHIN_S)
        return self.child.poll(), time.monotonic() - began


@contextlib.contextmanager
def hung(server: stack.Server) -> Iterator[None]:
    """The server and its children stopped, so that it takes connections and answers nothing.

    Not by process group: each process of PostgreSQL that serves a connection has one of its own.
    """
    parent = psutil.Process(server.child.pid)
    parent.suspend()
    offspring = parent.children(recursive=True)
    for child in offspring:
        child.suspend()
    try:
        yield
    finally:
        for process in (*offspring, parent):
            process.resume()


@pytest.fixture
def prometheus_server(prometheus: conftest.MakePrometheus) -> stack.Prometheus:
    return prometheus(config_text=SCRAPE_ITSELF)


@pytest.fixture
def detector(
    prometheus_server: stack.Prometheus, own_postgres: stack.Postgres
) -> Iterator[Detector]:
    """Running and ready."""
    served = Detector(prometheus_server, own_postgres)
    served.start()
    served.await_ready(200, 20)
    yield served
    served.kill9()


def test_it_is_red_while_postgresql_is_down_and_names_it(
    detector: Detector, own_postgres: stack.Postgres
) -> None:
    own_postgres.kill9()
    red = detector.await_ready(503, 15)
    own_postgres.restart()
    detector.await_ready(200, 15)

    assert "PostgreSQL" in red.json()["detail"]
    assert any("PostgreSQL" in reason for reason in red.json()["reasons"])


def test_it_is_red_while_postgresql_hangs_and_says_so_at_once(
    detector: Detector, own_postgres: stack.Postgres
) -> None:
    with hung(own_postgres):
        red = detector.await_ready(503, 30)
        while_hung = detector.metrics()
    detector.await_ready(200, 20)

    assert "PostgreSQL" in red.json()["reasons"][0]
    assert red.elapsed.total_seconds() < 5
    assert "detector_ready 0.0" in while_hung


def test_it_is_red_while_prometheus_hangs_and_green_again_after(
    detector: Detector, prometheus_server: stack.Prometheus
) -> None:
    stalled = 'detector_loop_stalled{loop="scoring"}'
    stack.wait_until(lambda: prometheus_server.query("anomaly_score"), 20, "the first scores")
    with hung(prometheus_server):
        red = detector.await_ready(503, STALLS_WITHIN_S)
        while_hung = detector.metrics()
    detector.await_ready(200, 20)

    assert "scoring" in red.text, (red.headers, red.text)
    assert f"{stalled} 1.0" in while_hung
    assert f"{stalled} 0.0" in detector.metrics()
    assert detector.child.is_running()


def test_sigterm_ends_it_in_time_even_while_postgresql_hangs(
    detector: Detector, own_postgres: stack.Postgres
) -> None:
    at_peace = detector.terminate()
    detector.start()
    detector.await_ready(200, 20)
    with hung(own_postgres):
        with pytest.raises(requests.Timeout):
            detector.get("/api/alerts", timeout_s=0.5)  # goes on to hang on the database
        while_hung = detector.terminate()

    assert (at_peace[0], while_hung[0]) == (0, 0), detector.log
    assert max(at_peace[1], while_hung[1]) < STOPS_WITHIN_S


def test_with_detection_turned_off_it_serves_says_so_and_writes_no_scores(
    prometheus_server: stack.Prometheus, own_postgres: stack.Postgres
) -> None:
    detector = Detector(prometheus_server, own_postgres, ANOMALY_DETECTION_ENABLED="false")
    detector.start()
    try:
        detector.await_ready(200, 20)
        told = detector.get("/api/status").json()
        metrics = detector.metrics()
        alerts = detector.get("/api/alerts")
        time.sleep(3)  # three steps, in which scores would come
        scores = prometheus_server.query("count_over_time(anomaly_score[1m])")
    finally:
        detector.stop()

    assert "ANOMALY_DETECTION_ENABLED" in " ".join(told["notes"])
    assert told["queries"] == []
    assert alerts.status_code == 200
    assert "detector_anomaly_detection_enabled 0.0" in metrics
    assert scores == []


def test_tokens_are_made_for_the_owner_alone_and_kept(detector: Detector) -> None:
    paths = [detector.home / "token", detector.home / "webhook_token"]
    modes = [stat.S_IMODE(path.stat().st_mode) for path in paths]
    texts = [path.read_text() for path in paths]
    detector.restart()

    assert modes == [0o600, 0o600]
    assert len(set(texts)) == 2
    assert [path.read_text() for path in paths] == texts
    assert detector.get("/api/status").status_code == 200


def test_secrets_stand_in_no_log_line_no_metric_and_no_answer(
    detector: Detector, own_postgres: stack.Postgres
) -> None:
    webhook = f"{detector.url}/api/webhooks/alertmanager"
    bearer = {"Authorization": f"Bearer {detector.token('webhook_token')}"}
    wrong = {"Authorization": f"Bearer x{detector.token()}"}
    answers = {
        "status": detector.get("/api/status"),
        "alerts": detector.get("/api/alerts"),
        "no such alert": detector.get("/api/alerts/999999"),
        "wrong parameter": detector.get("/api/alerts?limit=-1"),
        "no such path": detector.get("/api/nothing"),
        "wrong token": requests.get(f"{detector.url}/api/status", headers=wrong, timeout=10),
        "wrong body": requests.post(webhook, data=b"{", headers=bearer, timeout=10),
    }
    own_postgres.kill9()
    answers["red"] = detector.await_ready(503, 15)
    answers["store down"] = detector.get("/api/alerts")
    answers["status, store down"] = detector.get("/api/status")
    answers["metrics"] = requests.get(f"{detector.url}/metrics", timeout=10)
    detector.terminate()

    assert answers["wrong token"].status_code == 401
    assert answers["store down"].status_code >= 500
    shown = {name: f"{answer.headers}{answer.text}" for name, answer in answers.items()}
    shown["log"] = detector.log
    assert 'msg="serving"' in shown["log"]
    secrets = [CANARY, detector.token(), detector.token("webhook_token")]
    assert [name for name, text in shown.items() if any(each in text for each in secrets)] == []


def test_its_configuration_is_reloaded_and_a_wrong_one_refused(
    prometheus_server: stack.Prometheus, own_postgres: stack.Postgres
) -> None:
    file = prometheus_server.folder / "mda.yml"
    memory = "  - {name: memory, expr: process_resident_memory_bytes}\n"
    fds = "  - {name: fds, expr: process_open_fds}\n"
    file.write_text(f"queries:\n{memory}")
    detector = Detector(prometheus_server, own_postgres, MDA_QUERIES="", MDA_CONFIG_FILE=str(file))
    try:
        detector.start()
        detector.await_ready(200, 20)
        assert _scored(detector) == {"memory"}

        file.write_text(f"queries:\n{memory}{fds}thresholds: {{cpu: 55}}\n")
        assert _cpu_threshold(detector) == 80
        os.kill(detector.child.pid, signal.SIGHUP)
        stack.wait_until(lambda: _scored(detector) == {"memory", "fds"}, 20, "another query")
        assert _cpu_threshold(detector) == 55

        file.write_text(f"queries:\n{fds}{fds}")
        refused = detector.post("/api/reload")
        assert refused.status_code == 422
        assert refused.json()["detail"] == (
            f"{file}: queries: fds: a name may be used once (presets too)"
        )
        assert "detector_config_last_reload_successful 0.0" in detector.metrics()
        assert _scored(detector) == {"memory", "fds"}

        file.write_text("queries:\n  - {name: fds, expr: 'sum(('}\n")
        assert "query fds: " in detector.post("/api/reload").json()["detail"]

        file.write_text(f"queries:\n{fds}")
        stack.wait_until(
            lambda: prometheus_server.query('anomaly_score{query="memory"}'), 20, "a score"
        )
        assert detector.post("/api/reload").json() == {
            "kept": ["fds"],
            "added": [],
            "changed": [],
            "removed": ["memory"],
        }
        stack.wait_until(
            lambda: not prometheus_server.query('anomaly_score{query="memory"}'),
            20,
            "the scores to end",
        )
        assert 'detector_query_series{query="memory"}' not in detector.metrics()
        assert "detector_config_last_reload_successful 1.0" in detector.metrics()
    finally:
        detector.kill9()


def _cpu_threshold(detector: Detector) -> float:
    """What a policy is compared with that names no threshold."""
    (metric,) = detector.get("/api/metrics?name=cpu_percent").json()["metrics"]
    return float(metric["threshold"])


def _scored(detector: Detector) -> set[str]:
    """Names of the queries that run."""
    return {each["name"] for each in detector.get("/api/status").json()["queries"]}
