"""A mail server on loopback that keeps what it is given, and can refuse on plan."""

from __future__ import annotations

import email
import email.message
import email.policy
import gc
import ssl
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from aiosmtpd import controller, smtp

from tests import certificates, stack

USERNAME, PASSWORD = "monitor@example.org", "canary-mail-password"
MOST_BYTES = 10_000_000


@dataclass(frozen=True)
class Taken:
    """A mail as it came."""

    sender: str
    recipients: tuple[str, ...]
    content: bytes

    @property
    def message(self) -> email.message.EmailMessage:
        """Parsed."""
        return email.message_from_bytes(self.content, policy=email.policy.default)

    def part(self, kind: str) -> str:
        """The text of this content type."""
        for each in self.message.walk():
            if each.get_content_type() == kind:
                text: str = each.get_content()
                return text
        raise AssertionError(f"no {kind} in {self.content!r}")


class Mailbox:
    """Fills from its beginning to its end.

    taken     who wrote to whom, and what, in order
    refusals  answers to the next ones, which are not taken
    ca_file   what has to be trusted, in a folder: with one, STARTTLS and the right AUTH are wanted;
              else everybody is heard
    """

    def __init__(self, folder: Path | None = None) -> None:
        self.port = stack.free_port()
        self.taken: list[Taken] = []
        self.refusals: list[str] = []
        wants: dict[str, Any] = {"auth_require_tls": False}
        if folder is not None:
            self.ca_file = certificates.make(folder)
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(self.ca_file)
            wants = {"tls_context": context, "require_starttls": True, "auth_required": True}
        self._is_open = folder is None
        self._served: controller.Controller | None = controller.Controller(
            self,
            hostname="127.0.0.1",
            port=self.port,
            auth_exclude_mechanism=["LOGIN"],  # whose questions Alertmanager knows in other words
            authenticator=self._authenticate,
            data_size_limit=MOST_BYTES,
            **wants,
        )

    def __enter__(self) -> Self:
        assert self._served is not None
        self._served.start()
        return self

    def __exit__(self, *_: object) -> None:
        assert self._served is not None
        with warnings.catch_warnings():
            # aiosmtpd leaves the connection of before STARTTLS to the collector, unclosed.
            warnings.simplefilter("ignore", ResourceWarning)
            self._served.stop()
            self._served = None
            gc.collect()

    def messages(self) -> list[email.message.EmailMessage]:
        """All of them, parsed."""
        return [each.message for each in self.taken]

    async def handle_MAIL(
        self, server: Any, session: Any, envelope: Any, address: str, options: list[str]
    ) -> str:
        if self.refusals:
            return self.refusals.pop(0)
        envelope.mail_from = address
        envelope.mail_options.extend(options)
        return "250 OK"

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:
        taken = Taken(envelope.mail_from, tuple(envelope.rcpt_tos), envelope.content)
        self.taken.append(taken)
        return "250 taken"

    def _authenticate(
        self, server: Any, session: Any, envelope: Any, way: str, given: Any
    ) -> smtp.AuthResult:
        is_right = (given.login, given.password) == (USERNAME.encode(), PASSWORD.encode())
        return smtp.AuthResult(success=is_right or self._is_open, handled=is_right or self._is_open)
