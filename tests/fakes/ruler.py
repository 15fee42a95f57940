"""A ruler with the rules API of Mimir and Cortex, as far as we use it, on loopback.

https://grafana.com/docs/mimir/latest/references/http-api/#ruler
"""

from __future__ import annotations

import http.server
import json
import threading
import urllib.parse
from typing import Any

import yaml

PREFIX = "/prometheus"


class FakeRuler:
    """Groups by (tenant, namespace, name).

    refuses  part of a group's name that is answered with 400
    breaks   part of a group's name that is stored or taken away, and answered with 500
    loses    part of a group's name that is neither stored nor taken away, and answered as if it was
    """

    def __init__(self) -> None:
        self.groups: dict[tuple[str, str, str], dict[str, Any]] = {}
        self.refuses = self.breaks = self.loses = ""
        self.requests: list[str] = []
        fake = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                fake.get(self)

            def do_POST(self) -> None:
                fake.post(self)

            def do_DELETE(self) -> None:
                fake.delete(self)

            def log_message(self, format: str, *args: object) -> None:
                pass

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}{PREFIX}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def get(self, asked: http.server.BaseHTTPRequestHandler) -> None:
        tenant = asked.headers.get("X-Scope-OrgID", "anonymous")
        mine = {key: group for key, group in self.groups.items() if key[0] == tenant}
        path = asked.path.removeprefix(PREFIX)
        if path.startswith("/api/v1/rules"):
            groups = [
                {
                    "name": name,
                    "file": namespace,
                    "rules": [
                        {"name": rule["alert"], "labels": rule["labels"], "health": "ok"}
                        for rule in group["rules"]
                    ],
                }
                for (_, namespace, name), group in mine.items()
            ]
            _answer(asked, 200, json.dumps({"status": "success", "data": {"groups": groups}}))
            return
        namespace, _ = _place(path)
        found = [group for key, group in mine.items() if key[1] == namespace]
        if not found:
            _answer(asked, 404, "no rule groups found")
            return
        _answer(asked, 200, yaml.safe_dump({namespace: found}))

    def post(self, asked: http.server.BaseHTTPRequestHandler) -> None:
        namespace, _ = _place(asked.path.removeprefix(PREFIX))
        group = yaml.safe_load(asked.rfile.read(int(asked.headers["Content-Length"])))
        self.requests.append(f"POST {group['name']}")
        if self._is(self.refuses, group["name"]):
            _answer(asked, 400, "invalid rules config")
            return
        tenant = asked.headers.get("X-Scope-OrgID", "anonymous")
        if not self._is(self.loses, group["name"]):
            self.groups[tenant, namespace, group["name"]] = group
        _answer(asked, 500 if self._is(self.breaks, group["name"]) else 202, "{}")

    def delete(self, asked: http.server.BaseHTTPRequestHandler) -> None:
        namespace, name = _place(asked.path.removeprefix(PREFIX))
        self.requests.append(f"DELETE {name}")
        if self._is(self.loses, name):
            _answer(asked, 202, "{}")
            return
        tenant = asked.headers.get("X-Scope-OrgID", "anonymous")
        is_there = self.groups.pop((tenant, namespace, name), None) is not None
        status = 202 if is_there else 404
        _answer(asked, 500 if self._is(self.breaks, name) else status, "{}")

    @staticmethod
    def _is(part: str, name: str) -> bool:
        return part != "" and part in name


def _place(path: str) -> tuple[str, str]:
    """Namespace and group."""
    parts = path.removeprefix("/config/v1/rules/").split("/")
    return urllib.parse.unquote(parts[0]), urllib.parse.unquote(parts[1]) if parts[1:] else ""


def _answer(asked: http.server.BaseHTTPRequestHandler, status: int, text: str) -> None:
    body = text.encode()
    asked.send_response(status)
    asked.send_header("Content-Length", str(len(body)))
    asked.end_headers()
    asked.wfile.write(body)
