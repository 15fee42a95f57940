"""What can go wrong, as one tree.

MdaError
├── ConfigError            a setting, a file or a flag is wrong: one line, exit 2
├── NotEnoughData          a window, a fit or a calibration has too little to stand on
├── UpstreamError          Prometheus or Alertmanager failed or answered what we cannot read
├── StoreError             PostgreSQL failed or refused
└── StackError             a part of the local stack cannot be had, started or stopped
"""

from __future__ import annotations


class MdaError(Exception):
    """Base of every error that this program raises on purpose; its text is one line."""


class ConfigError(MdaError):
    """A setting is wrong; the text reads `source: key.path: value: what is allowed`."""


class NotEnoughData(MdaError):
    """Too few samples to do what was asked; the text says how many there are and are needed."""


class UpstreamError(MdaError):
    """A server that we call failed.

    kind       a bounded word for metrics: unreachable, timeout, status, decode, refused, query
    retryable  the same call may succeed later without a change on our side
    """

    def __init__(self, message: str, *, kind: str, retryable: bool) -> None:
        super().__init__(message)
        self.kind = kind
        self.retryable = retryable


class StoreError(MdaError):
    """PostgreSQL failed; retryable when the same statement may succeed later."""

    def __init__(self, message: str, *, retryable: bool) -> None:
        super().__init__(message)
        self.retryable = retryable


class StackError(MdaError):
    """A part of the local stack is missing or does not start; the text says the way out."""
