"""A mail server on loopback that wants AUTH and STARTTLS, and keeps what it is given."""

from __future__ import annotations

import email
import email.message
import email.policy
import gc
import ipaddress
import ssl
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from aiosmtpd import controller, smtp
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from tests import stack

USERNAME, PASSWORD = "monitor@example.org", "canary-mail-password"
MOST_BYTES = 10_000_000


@dataclass
class Mailbox:
    """Who wrote to whom, and what, in order."""

    port: int
    ca_file: Path
    taken: list[Taken] = field(default_factory=list)


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


class _Handler:
    def __init__(self, mailbox: Mailbox) -> None:
        self._mailbox = mailbox

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:
        taken = Taken(envelope.mail_from, tuple(envelope.rcpt_tos), envelope.content)
        self._mailbox.taken.append(taken)
        return "250 taken"


def _authenticate(server: Any, session: Any, envelope: Any, way: str, given: Any) -> Any:
    is_right = (given.login, given.password) == (USERNAME.encode(), PASSWORD.encode())
    return smtp.AuthResult(success=is_right, handled=is_right)


@contextmanager
def mail_server(folder: Path) -> Iterator[Mailbox]:
    """A mailbox that fills while this lasts."""
    mailbox = Mailbox(stack.free_port(), folder / "mail-ca.pem")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(_certificate(folder, mailbox.ca_file))
    served = controller.Controller(
        _Handler(mailbox),
        hostname="127.0.0.1",
        port=mailbox.port,
        tls_context=context,
        require_starttls=True,
        auth_required=True,
        auth_exclude_mechanism=["LOGIN"],  # whose questions Alertmanager knows in other words
        authenticator=_authenticate,
        data_size_limit=MOST_BYTES,
    )
    served.start()
    try:
        yield mailbox
    finally:
        with warnings.catch_warnings():
            # aiosmtpd leaves the connection of before STARTTLS to the collector, unclosed.
            warnings.simplefilter("ignore", ResourceWarning)
            served.stop()
            del served
            gc.collect()


def _certificate(folder: Path, ca_file: Path) -> Path:
    """The file with a key and a certificate for 127.0.0.1; the latter alone in ca_file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "test")])
    here = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(here, critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    form, closed = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ca_file.write_bytes(made.public_bytes(pem))
    pair = folder / "mail-pair.pem"
    pair.write_bytes(key.private_bytes(pem, form, closed) + made.public_bytes(pem))
    return pair
