"""Who may read the metrics: basic authentication (RFC 7617) or a bearer token (RFC 6750)."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import secrets
from collections.abc import Callable
from typing import Final

from exporter import config

# RFC 7914 asks 2^14 for interactive logins: 16 MiB and some 40 ms.
SCRYPT_N: Final = 2**14
SCRYPT_R: Final = 8
SCRYPT_P: Final = 1
# After a wrong password no other unknown one is hashed for so long, so that guessing costs us 5 %.
HASH_PAUSE_S: Final = 1.0
BASIC_CHALLENGE: Final = b'WWW-Authenticate: Basic realm="metrics", charset="UTF-8"\r\n'
BEARER_CHALLENGE: Final = b'WWW-Authenticate: Bearer realm="metrics"\r\n'


def hash_password(password: str, salt: bytes | None = None) -> str:
    """The value of password_hash for a password: scrypt$<salt>$<hash>, in hexadecimal."""
    salt = secrets.token_bytes(16) if salt is None else salt
    digest = hashlib.scrypt(password.encode(), salt=salt, n=SCRYPT_N, r=SCRYPT_R, p=SCRYPT_P)
    return f"scrypt${salt.hex()}${digest.hex()}"


class Access:
    """Decides on an Authorization field; a field that was right once is remembered as its MAC."""

    def __init__(self, settings: config.Auth, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._token = settings.bearer_token
        self._hashes = {
            name: user.password_hash.get_secret_value()
            for name, user in settings.users.items()
            if user.password_hash is not None
        }
        self._passwords = {
            name: config.secret_from_file(user.password_file, f"auth.users.{name}.password_file")
            for name, user in settings.users.items()
            if user.password_file is not None
        }
        self._key = secrets.token_bytes(32)
        self._known: set[bytes] = set()
        self._no_hash_before = 0.0
        self.is_open = self._token is None and not settings.users
        self.challenge = BEARER_CHALLENGE if self._token is not None else BASIC_CHALLENGE

    def allows(self, authorization: str) -> bool:
        """Whether this field opens the door; compared in constant time."""
        if self.is_open:
            return True
        mac = hmac.digest(self._key, authorization.encode(), "sha256")
        if mac in self._known:
            return True
        if self._is_right(authorization):
            self._known.add(mac)
            return True
        return False

    def _is_right(self, authorization: str) -> bool:
        scheme, _, credentials = authorization.partition(" ")
        if self._token is not None:
            given = credentials.strip().encode()
            right = self._token.get_secret_value().encode()
            return hmac.compare_digest(given, right) and scheme.lower() == "bearer"
        if scheme.lower() != "basic":
            return False
        try:
            name, colon, password = (
                base64.b64decode(credentials, validate=True).decode().partition(":")
            )
        except (binascii.Error, UnicodeDecodeError, ValueError):
            return False
        return bool(colon) and self._knows(name, password)

    def _knows(self, name: str, password: str) -> bool:
        plain = self._passwords.get(name)
        if plain is not None:
            return hmac.compare_digest(plain.encode(), password.encode())
        if not self._hashes:
            return False
        # An unknown name is hashed too, so that time does not tell which names exist.
        stored = self._hashes.get(name, next(iter(self._hashes.values())))
        now = self._monotonic()
        if now < self._no_hash_before:
            return False
        salt = bytes.fromhex(stored.split("$")[1])
        is_same = hmac.compare_digest(hash_password(password, salt), stored)
        if not (is_same and name in self._hashes):
            self._no_hash_before = now + HASH_PAUSE_S
            return False
        return True
