"""Our exporter as a child process, and a raw client."""

from __future__ import annotations

import http.client
import os
import pathlib
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping

START_TIMEOUT_S = 20.0


class Child:
    """`python -m exporter` on a port of its own; its log goes to a file."""

    def __init__(
        self, folder: pathlib.Path, port: int, config: str = "", env: Mapping[str, str] = {}
    ) -> None:
        self.port = port
        path = folder / "exporter.yml"
        path.write_text(f"listen_address: 127.0.0.1:{port}\n{config}")
        self.log = folder / "exporter.log"
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "exporter", "serve", "--config", str(path)],
                stderr=log,
                env={**os.environ, **env},
            )
        self._wait_listening()

    def _wait_listening(self) -> None:
        deadline = time.monotonic() + START_TIMEOUT_S
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                return
            except OSError:
                assert self.process.poll() is None, self.log.read_text()
                assert time.monotonic() < deadline
                time.sleep(0.02)

    def get(
        self, path: str = "/metrics", method: str = "GET", **fields: str
    ) -> tuple[http.client.HTTPResponse, bytes]:
        """Answer and body; `accept_encoding="gzip"` sets that header field."""
        headers = {name.replace("_", "-"): value for name, value in fields.items()}
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        connection.request(method, path, headers=headers)
        answer = connection.getresponse()
        body = answer.read()
        connection.close()
        return answer, body

    def raw(self, sent: bytes) -> bytes:
        """Everything that comes back until the server closes."""
        with socket.create_connection(("127.0.0.1", self.port), 10) as client:
            client.sendall(sent)
            received = b""
            while chunk := client.recv(65536):
                received += chunk
        return received

    def status(self, field: str) -> int:
        text = pathlib.Path(f"/proc/{self.process.pid}/status").read_text()
        return int(text.split(f"{field}:")[1].split()[0])

    def open_fds(self) -> int:
        return len(list(pathlib.Path(f"/proc/{self.process.pid}/fd").iterdir()))

    def stop(self, timeout_s: float = 10.0) -> int:
        """End it in order; its exit status."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(timeout_s)
        finally:
            self.process.kill()
            self.process.wait()
