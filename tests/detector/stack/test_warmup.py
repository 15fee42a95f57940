"""What the terminal shows between the start and the first scores."""

from __future__ import annotations

import http.server
import io
import json
import pathlib
import threading
from collections.abc import Callable, Iterator

import pytest
import rich.console

from detector.stack import status, warmup

TOP = status.Top({"__name__": "x", "instance": "a:9100", "query": "host_cpu"}, 0.314)
LOUD = status.Top({"device": "[sda]"}, 7.0)


def query(name: str, state: str, seen: int = 0, series: int = 1, *top: status.Top) -> status.Query:
    return status.Query(name, series, seen, 24, state, top)


WAITING = status.Status((query("host_cpu", "waiting", 0, 0), query("host_disk", "waiting", 0, 0)))
WARMING = status.Status((query("host_cpu", "warming_up", 7), query("host_disk", "failing", 0, 0)))
HALF = status.Status(
    (query("host_cpu", "scoring", 24, 1, TOP), query("host_disk", "warming_up", 20))
)
SCORED = status.Status(
    (
        query("host_cpu", "scoring", 24, 1, TOP),
        query("host_disk", "scoring", 24, 3, LOUD, TOP),
        query("host_pressure_io", "waiting", 0, 0),
    )
)


class Screen:
    """A display on a terminal made of text."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *, is_terminal: bool) -> None:
        self.text = io.StringIO()
        console = rich.console.Console(
            file=self.text, force_terminal=is_terminal, width=110, color_system=None
        )
        self.now: status.Status | None = None
        self.reads = 0
        monkeypatch.setattr(warmup, "READ_EVERY_S", 0.0)
        monkeypatch.setattr(warmup, "LINE_EVERY_S", 0.0)
        self.display = warmup.Display(console, self.read)

    def read(self) -> status.Status | None:
        self.reads += 1
        return self.now

    def show(self, *seen: status.Status | None) -> str:
        """All that stands on the terminal after these answers."""
        for self.now in seen:
            self.display.turn()
        return self.text.getvalue()


@pytest.fixture
def plain(monkeypatch: pytest.MonkeyPatch) -> Screen:
    return Screen(monkeypatch, is_terminal=False)


def test_a_detector_that_does_not_answer_shows_nothing(plain: Screen) -> None:
    assert plain.show(None, status.Status(), None) == ""


def test_plain_lines_say_seen_of_needed_and_do_not_repeat_themselves(plain: Screen) -> None:
    lines = plain.show(WAITING, WARMING, WARMING).splitlines()
    assert len(lines) == 2
    assert lines[0].endswith("warming up: host_cpu no series yet, host_disk no series yet")
    assert lines[1].endswith(
        "host_cpu 7/24 samples, 1 series, host_disk failing, see logs/detector.log"
    )


def test_the_first_scores_are_shown_once_when_no_query_is_on_its_way(plain: Screen) -> None:
    assert "First scores" not in plain.show(HALF)
    shown = plain.show(SCORED)
    rows = {line.split()[0]: line.split()[1:] for line in shown.splitlines() if "host_" in line}
    assert rows["host_cpu"] == ["1", "0.31", "instance=a:9100"]
    assert rows["host_disk"] == ["3", "7.00", "device=[sda]"]
    assert rows["host_pressure_io"] == ["0", "-", "no", "series"]
    reads = plain.reads
    assert plain.show(SCORED, WARMING) == shown
    assert plain.reads == reads


def test_notes_are_said_once(plain: Screen) -> None:
    off = status.Status(notes=("anomaly detection is turned off",))
    assert plain.show(off, off).count("anomaly detection is turned off") == 1


def test_a_terminal_gets_a_bar_a_query_that_is_taken_away_at_the_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    screen = Screen(monkeypatch, is_terminal=True)
    screen.show(WARMING)
    screen.display.close()
    assert "7/24 samples, 1 series" in screen.text.getvalue()
    assert "First scores" in screen.show(SCORED)


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        code, body = self.server.answer  # type: ignore[attr-defined] # set by the fixture
        if self.headers["Authorization"] != "Bearer t0ken":
            code = 401
        self.send_response(code)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Nothing."""


@pytest.fixture
def ask(tmp_path: pathlib.Path) -> Iterator[Callable[[int, bytes], status.Status | None]]:
    """What is understood of an answer."""
    (tmp_path / "token").write_text("t0ken\n")
    with http.server.HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()

        def answer(code: int, body: bytes) -> status.Status | None:
            server.answer = (code, body)  # type: ignore[attr-defined] # read by the handler
            return status.read(f"127.0.0.1:{server.server_port}", tmp_path / "token")

        yield answer
        server.shutdown()
        thread.join()


def test_the_detectors_answer_is_read_whatever_else_it_says(
    ask: Callable[[int, bytes], status.Status | None],
) -> None:
    body = {
        "ready": True,
        "reasons": [],
        "queries": [
            {
                "name": "host_cpu",
                "expr": "x",
                "series": 1,
                "samples_seen": 7,
                "samples_needed": 24,
                "state": "warming_up",
                "last_success": None,
                "top": [{"labels": {"a": "b"}, "score": 0.5, "expected": 1.0, "value": 2}],
            }
        ],
        "notes": ["well"],
    }
    assert ask(200, json.dumps(body).encode()) == status.Status(
        (status.Query("host_cpu", 1, 7, 24, "warming_up", (status.Top({"a": "b"}, 0.5),)),),
        ("well",),
    )


@pytest.mark.parametrize(
    ("code", "body"),
    [(503, b"{}"), (200, b"<html>"), (200, b'{"queries": [{"name": 5}]}'), (200, b"\xff")],
)
def test_an_answer_that_is_not_understood_is_none(
    ask: Callable[[int, bytes], status.Status | None], code: int, body: bytes
) -> None:
    assert ask(code, body) is None


def test_no_server_and_no_token_are_none(tmp_path: pathlib.Path) -> None:
    assert status.read("127.0.0.1:1", tmp_path / "token") is None
    (tmp_path / "token").write_text("t0ken")
    assert status.read("127.0.0.1:1", tmp_path / "token") is None
