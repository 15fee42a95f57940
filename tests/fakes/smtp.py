"""A mail server on loopback, as far as RFC 5321 and RFC 4954's PLAIN are needed; it keeps what it
takes and can refuse on plan."""

from __future__ import annotations

import email
import email.message
import email.policy
import socketserver
import threading
from typing import Self


class FakeSmtp:
    """Takes every mail, unless `refusals` holds answers to the next ones.

    mails   as they came, oldest first
    logins  what clients said after AUTH
    """

    def __init__(self) -> None:
        self.mails: list[bytes] = []
        self.logins: list[str] = []
        self.refusals: list[str] = []
        self._server = _Server(("127.0.0.1", 0), _Handler)
        self._server.kept = self
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))
        self.port = int(self._server.server_address[1])

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def parsed(self) -> list[email.message.EmailMessage]:
        """The mails, headers and parts decoded."""
        return [email.message_from_bytes(mail, policy=email.policy.default) for mail in self.mails]


class _Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True
    block_on_close = False
    kept: FakeSmtp


class _Handler(socketserver.StreamRequestHandler):
    server: _Server

    def handle(self) -> None:
        kept = self.server.kept
        self._say("220 mail.example.org")
        while line := self.rfile.readline().decode().strip():
            verb = line.split()[0].upper()
            if verb == "EHLO":
                self._say("250-mail.example.org")
                self._say("250 AUTH PLAIN")
            elif verb == "AUTH":
                kept.logins.append(line)
                self._say("235 2.7.0 ok")
            elif verb == "MAIL" and kept.refusals:
                self._say(kept.refusals.pop(0))
            elif verb == "DATA":
                self._say("354 go on")
                kept.mails.append(b"".join(iter(self.rfile.readline, b".\r\n")))
                self._say("250 ok")
            elif verb == "QUIT":
                self._say("221 bye")
                return
            else:
                self._say("250 ok")

    def _say(self, line: str) -> None:
        self.wfile.write(f"{line}\r\n".encode())
