"""Servers are killed while alerts are delivered: nothing acknowledged is lost, nothing doubled."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import json
import pathlib
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta

import pytest
import requests

from detector.api import auth
from tests import stack
from tests.conftest import MakeAlertmanager

STARTED = datetime.now(UTC).replace(microsecond=0) - timedelta(minutes=5)
CANARY = "canary-database-password"
WEBHOOK = "/api/webhooks/alertmanager"
ALERTMANAGER_CONFIG = """\
route:
  receiver: memory
  group_by: ["..."]
  group_wait: 0s
  group_interval: 1s
  repeat_interval: 1h
receivers:
  - name: memory
    webhook_configs:
      - url: {url}/api/webhooks/alertmanager
        http_config: {authorization: {credentials_file: {token_file}}}
"""


class Api:
    """The API as a real process; start() and kill9() keep its port."""

    def __init__(self, database_url: str, folder: pathlib.Path) -> None:
        self.token_file = folder / "token"
        auth.make_token_file(self.token_file)
        self.port = stack.free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.log = folder / "api.log"
        self.session = requests.Session()
        self.session.headers["Authorization"] = f"Bearer {self.token_file.read_text().strip()}"
        module = "tests.integration.api_child"
        arguments = [database_url, str(self.token_file), str(self.port)]
        self._argv = [sys.executable, "-m", module, *arguments]
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(self._argv, stdout=log, stderr=log)
        stack.wait_until(
            lambda: requests.get(f"{self.url}/-/healthy", timeout=1).ok, 30, "the API to serve"
        )

    def kill9(self) -> None:
        assert self._process is not None
        self._process.kill()
        self._process.wait()

    def stop(self) -> None:
        if self._process is not None:
            self._process.terminate()
            self._process.wait(10)

    def deliver(self, names: list[str], *, resolved: bool = False) -> bool:
        """Post one message as Alertmanager does; whether it was acknowledged."""
        try:
            answer = self.session.post(
                self.url + WEBHOOK, json=message(names, resolved=resolved), timeout=20
            )
        except requests.ConnectionError:
            return False
        assert answer.status_code in (200, 503), answer.text
        return answer.status_code == 200

    def stored(self) -> list[dict[str, str]]:
        """(name, state) of every episode in the database."""
        found: list[dict[str, str]] = []
        cursor = None
        while True:
            answer = self.session.get(
                f"{self.url}/api/alerts", params={"limit": 50, "cursor": cursor}, timeout=20
            )
            answer.raise_for_status()
            page = answer.json()
            found += [
                {"name": each["labels"]["name"], "state": each["state"]} for each in page["alerts"]
            ]
            cursor = page["next_cursor"]
            if cursor is None:
                return found

    def count(self, outcome: str) -> float:
        """detector_webhook_notifications_total of the running process."""
        line = f'detector_webhook_notifications_total{{outcome="{outcome}"}} '
        text = requests.get(f"{self.url}/metrics", timeout=10).text
        return sum(float(each.split()[1]) for each in text.splitlines() if each.startswith(line))


def message(names: list[str], *, resolved: bool = False) -> dict[str, object]:
    """A webhook message as Alertmanager 0.25 writes it, one alert a name."""
    ends_at = STARTED + timedelta(minutes=1)
    alerts = [
        {
            "status": "resolved" if resolved else "firing",
            "labels": {"alertname": "Fault", "name": name},
            "annotations": {"summary": f"alert {name}"},
            "startsAt": STARTED.isoformat(),
            "endsAt": ends_at.isoformat() if resolved else "0001-01-01T00:00:00Z",
            "generatorURL": "http://prometheus.example/graph",
            "fingerprint": f"{int(name):016x}",
        }
        for name in names
    ]
    return {"version": "4", "receiver": "memory", "alerts": alerts, "truncatedAlerts": 0}


@dataclasses.dataclass(frozen=True)
class Tally:
    """What came of the alerts, by name."""

    sent: int
    received: int
    doubled: int
    lost: int

    def __str__(self) -> str:
        return f"sent {self.sent} received {self.received} doubled {self.doubled} lost {self.lost}"


def tally(sent: list[str], stored: list[dict[str, str]]) -> Tally:
    names = [each["name"] for each in stored]
    return Tally(
        sent=len(sent),
        received=len(set(names) & set(sent)),
        doubled=len(names) - len(set(names)),
        lost=len(set(sent) - set(names)),
    )


Report = Callable[[Tally], None]


@pytest.fixture
def report(
    record_property: Callable[[str, object], None], request: pytest.FixtureRequest
) -> Report:
    """Shows the figures at the end of the run, whether or not the test fails."""

    def show(figures: Tally) -> None:
        record_property("tally", f"{request.node.name}: {figures}")

    return show


@pytest.fixture
def api(own_postgres: stack.Postgres, tmp_path: pathlib.Path) -> Iterator[Api]:
    served = Api(own_postgres.url.replace("mda@", f"mda:{CANARY}@"), tmp_path)
    served.start()
    yield served
    served.stop()


class Source:
    """Posts alerts to Alertmanager again and again, as Prometheus does while they fire."""

    def __init__(self, alertmanager_url: str) -> None:
        self.names: list[str] = []
        self._url = f"{alertmanager_url}/api/v2/alerts"
        self._ends_at: datetime | None = None
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="source")

    def fire(self, name: str) -> None:
        self.names.append(name)

    def resolve_all(self) -> None:
        self._ends_at = datetime.now(UTC)

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        self._thread.start()
        try:
            yield
        finally:
            self._stop.set()
            self._thread.join()

    def _run(self) -> None:
        while not self._stop.wait(0.3):
            ends_at = self._ends_at or datetime.now(UTC) + timedelta(minutes=4)
            alerts = [
                {
                    "labels": {"alertname": "Fault", "name": name},
                    "annotations": {"summary": f"alert {name}"},
                    "startsAt": STARTED.isoformat(),
                    "endsAt": ends_at.isoformat(),
                }
                for name in list(self.names)
            ]
            with contextlib.suppress(requests.ConnectionError):
                requests.post(self._url, json=alerts, timeout=10).raise_for_status()


@pytest.fixture
def alertmanager_to_api(alertmanager: MakeAlertmanager, api: Api) -> stack.Server:
    text = ALERTMANAGER_CONFIG.replace("{url}", api.url)
    return alertmanager(config_text=text.replace("{token_file}", str(api.token_file)))


def all_stored(api: Api, names: list[str], state: str) -> Callable[[], bool]:
    """Whether the API answers and every one of these names has this state."""

    def check() -> bool:
        try:
            stored = api.stored()
        except requests.HTTPError:
            return False
        return {each["name"] for each in stored if each["state"] == state} == set(names)

    return check


def wait_for_more(count: Callable[[], float], more: int, what: str) -> None:
    """Wait until count() has grown by so many."""
    known = count()
    stack.wait_until(lambda: count() >= known + more, 30, f"{more} more {what}")


def test_alertmanager_delivers_all_though_postgresql_is_killed(
    own_postgres: stack.Postgres, api: Api, alertmanager_to_api: stack.Server, report: Report
) -> None:
    source = Source(alertmanager_to_api.url)
    with source.running():
        for fall in range(3):
            for number in range(15):
                source.fire(str(fall * 20 + number))
            wait_for_more(lambda: api.count("stored"), 5, "deliveries under way")
            own_postgres.kill9()
            for number in range(15, 20):
                source.fire(str(fall * 20 + number))
            wait_for_more(lambda: api.count("failed"), 1, "a failed delivery")
            own_postgres.start()
        stack.wait_until(all_stored(api, source.names, "firing"), 60, "all alerts to be stored")
        source.resolve_all()
        stack.wait_until(all_stored(api, source.names, "resolved"), 60, "all to be resolved")
    figures = tally(source.names, api.stored())
    report(figures)
    assert figures == Tally(sent=60, received=60, doubled=0, lost=0)


def test_acknowledged_deliveries_survive_kills_of_postgresql(
    own_postgres: stack.Postgres, api: Api, report: Report
) -> None:
    """Four clients post without a pause; the server's life does not wait for a quiet moment."""
    acknowledged: list[list[str]] = [[] for _ in range(4)]
    refused = [0] * 4
    done = threading.Event()

    def post(client: int) -> None:
        poster = Api.__new__(Api)
        poster.url, poster.session = api.url, requests.Session()
        poster.session.headers.update(api.session.headers)
        number = client * 1_000_000
        while not done.is_set():
            names = [str(number), str(number + 1)]
            if poster.deliver(names):
                acknowledged[client] += names
                number += 2
            else:
                refused[client] += 1
                done.wait(0.02)

    clients = [threading.Thread(target=post, args=(each,)) for each in range(4)]
    for client in clients:
        client.start()
    for _ in range(4):
        wait_for_more(lambda: sum(map(len, acknowledged)), 50, "acknowledged alerts")
        own_postgres.kill9()
        wait_for_more(lambda: sum(refused), 1, "a refusal")
        own_postgres.start()
    done.set()
    for client in clients:
        client.join()
    sent = [name for names in acknowledged for name in names]
    figures = tally(sent, api.stored())
    report(figures)
    assert (figures.doubled, figures.lost) == (0, 0)
    assert figures.received == figures.sent > 200


def test_api_killed_between_receiving_and_answering_loses_and_doubles_nothing(
    api: Api, report: Report
) -> None:
    """Sent as Alertmanager sends: again until acknowledged."""
    sent: list[str] = []
    unanswered = 0
    for turn in range(8):
        names = [str(turn * 10 + number) for number in range(10)]
        sent += names
        with socket.create_connection(("127.0.0.1", api.port)) as connection:
            connection.sendall(raw_request(api, names))
            connection.settimeout(0.004 * turn + 0.0001)
            with contextlib.suppress(TimeoutError):
                connection.recv(1)
            api.kill9()
            connection.settimeout(5)
            with contextlib.suppress(ConnectionError):
                unanswered += connection.recv(1) == b""
        api.start()
        stack.wait_until(functools.partial(api.deliver, names), 20, "the second try")
    figures = tally(sent, api.stored())
    report(figures)
    assert unanswered >= 1, "no kill came before an answer: the test tested nothing"
    assert figures == Tally(sent=80, received=80, doubled=0, lost=0)


def raw_request(api: Api, names: list[str]) -> bytes:
    body = json.dumps(message(names)).encode()
    head = (
        f"POST {WEBHOOK} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
        f"Authorization: {api.session.headers['Authorization']!s}\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


def test_alertmanager_killed_notifies_again_and_nothing_is_doubled(
    api: Api, alertmanager_to_api: stack.Server, report: Report
) -> None:
    source = Source(alertmanager_to_api.url)
    for number in range(20):
        source.fire(str(number))
    with source.running():
        stack.wait_until(all_stored(api, source.names, "firing"), 30, "all alerts to be stored")
        alertmanager_to_api.kill9()
        alertmanager_to_api.start()
        stack.wait_until(lambda: api.count("duplicate") >= 20, 30, "all to be notified again")
        source.resolve_all()
        stack.wait_until(all_stored(api, source.names, "resolved"), 30, "all to be resolved")
    figures = tally(source.names, api.stored())
    report(figures)
    assert figures == Tally(sent=20, received=20, doubled=0, lost=0)


def test_password_and_token_are_written_nowhere_when_postgresql_falls(
    own_postgres: stack.Postgres, api: Api
) -> None:
    own_postgres.kill9()
    answers = [
        api.session.post(api.url + WEBHOOK, json=message(["1"]), timeout=20),
        *(api.session.get(api.url + path, timeout=20) for path in ("/api/alerts", "/metrics")),
    ]
    assert [each.status_code for each in answers] == [503, 503, 200]
    api.stop()
    written = api.log.read_text() + "".join(each.text + str(each.headers) for each in answers)
    assert "PostgreSQL: " in written
    assert CANARY not in written
    assert api.token_file.read_text().strip() not in written
