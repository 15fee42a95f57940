"""A whole stack, as `mda up` runs it, in a folder of its own, and what can be asked of it."""

from __future__ import annotations

import json
import os
import pathlib
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from typing import Any

import requests

from detector import client
from tests import stack

ROOT = pathlib.Path(__file__).resolve().parents[2]
UP_TIMEOUT_S = 240.0
STOP_TIMEOUT_S = 15.0


class LiveStack:
    """`python -m detector up` as a child; start() waits until everything serves."""

    def __init__(
        self, home: pathlib.Path, environ: Mapping[str, str], binaries: stack.Binaries
    ) -> None:
        self.home = home
        folders = {binaries.find(name).parent for name in ("prometheus", "alertmanager")}
        folders |= {binaries.find(name).parent for name in ("promtool", "amtool")}
        path = os.pathsep.join([*map(str, sorted(folders)), os.environ["PATH"]])
        own = {  # another whole stack may choose its ports at the same time
            "MDA_PROMETHEUS__URL": f"http://127.0.0.1:{stack.free_port()}",
            "MDA_ALERTMANAGER__URL": f"http://127.0.0.1:{stack.free_port()}",
            "MDA_LISTEN_ADDRESS": f"127.0.0.1:{stack.free_port()}",
        }
        self._environ = {**os.environ, **own, **environ, "MDA_HOME": str(home), "PATH": path}
        self._log = home / "up.log"
        self._child: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start, or start again on the same data."""
        self.home.mkdir(parents=True, exist_ok=True)
        (self.home / "urls.json").unlink(missing_ok=True)
        with self._log.open("ab") as log:
            self._child = subprocess.Popen(
                [sys.executable, "-m", "detector", "up"],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=self._environ,
                cwd=ROOT,
            )
        stack.wait_until(self._serves, UP_TIMEOUT_S, "mda up to serve")

    def stop(self) -> float:
        """End it by SIGTERM; gives the seconds that took."""
        assert self._child is not None
        began = time.monotonic()
        self._child.send_signal(signal.SIGTERM)
        try:
            self._child.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self._child.kill()
            self._child.wait()
            raise
        return time.monotonic() - began

    @property
    def pid(self) -> int:
        """Of `mda up` itself."""
        assert self._child is not None
        return self._child.pid

    @property
    def output(self) -> str:
        """What it has printed."""
        return self._log.read_text(encoding="utf-8", errors="replace")

    def url(self, part: str) -> str:
        """Where a part listens."""
        urls: dict[str, str] = json.loads((self.home / "urls.json").read_text())
        return urls[part]

    @property
    def prometheus_url(self) -> str:
        return self.url("prometheus")

    def query(self, expr: str) -> list[dict[str, Any]]:
        """The result of an instant query."""
        answer = requests.get(
            f"{self.prometheus_url}/api/v1/query", params={"query": expr}, timeout=10
        )
        answer.raise_for_status()
        result: list[dict[str, Any]] = answer.json()["data"]["result"]
        return result

    def api(self, path: str, **wanted: str) -> Any:
        """A GET of the detector's API, with its token."""
        token = (self.home / "token").read_text().strip()
        answer = requests.get(
            f"{self.url('detector')}{path}",
            params=wanted,
            headers={"Authorization": f"Bearer {token}"},
            timeout=10,
        )
        answer.raise_for_status()
        return answer.json()

    @property
    def policies(self) -> client.PolicyManager:
        """The Python client, with the stack's token."""
        token = (self.home / "token").read_text()
        return client.PolicyManager(self.url("detector"), token=token)

    def _serves(self) -> bool:
        assert self._child is not None
        if self._child.poll() is not None:
            raise AssertionError(f"mda up ended with {self._child.returncode}:\n{self.output}")
        if not (self.home / "urls.json").exists():
            return False
        urls = json.loads((self.home / "urls.json").read_text())
        return all(
            requests.get(f"{urls[part]}{path}", timeout=2).ok
            for part, path in (
                ("exporter", "/-/healthy"),
                ("prometheus", "/-/ready"),
                ("alertmanager", "/-/ready"),
                ("detector", "/-/healthy"),
            )
        )
