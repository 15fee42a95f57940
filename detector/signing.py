"""Paths that only we can have made: each carries a signature of what stands before it."""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
from dataclasses import dataclass, field
from pathlib import Path

from detector import errors, whole

SIGNATURE_BYTES = 16
"""128 bits, which nobody guesses by asking."""
KEY_FILE = "callback_key"
"""In MDA_HOME."""
KEY_BYTES = 32
OWNER_ONLY = 0o600


@dataclass(frozen=True, slots=True)
class Signer:
    """Signs texts, and knows its signatures again."""

    key: bytes = field(repr=False)

    def signature(self, text: str) -> str:
        """22 characters that may stand in a path.

        >>> Signer(b"key").signature("vonage/1")
        'zjkBA8zcFPqpoSlfLcmpGg'
        """
        made = hmac.new(self.key, text.encode("utf-8", "replace"), hashlib.sha256).digest()
        return base64.urlsafe_b64encode(made[:SIGNATURE_BYTES]).decode().rstrip("=")

    def is_right(self, text: str, signature: str) -> bool:
        """Whether the signature is that of the text; in constant time."""
        return same(self.signature(text), signature)


def same(one: str, other: str) -> bool:
    """Whether two texts are the same, in constant time."""
    return hmac.compare_digest(one.encode("utf-8", "replace"), other.encode("utf-8", "replace"))


def key_of(home: Path) -> bytes:
    """The secret that this detector signs with, made once. Raises ConfigError."""
    path = home / KEY_FILE
    try:
        if not path.exists():
            whole.write(path, secrets.token_hex(KEY_BYTES) + "\n", OWNER_ONLY)
        key = path.read_bytes().strip()
    except OSError as error:
        raise errors.ConfigError(f"{path}: {error.strerror}") from error
    if len(key) < KEY_BYTES:
        raise errors.ConfigError(f"{path}: {KEY_BYTES} characters are needed: delete it")
    return key
