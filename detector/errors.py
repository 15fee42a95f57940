"""What can go wrong, as one tree.

MdaError
├── ConfigError            a setting, a file or a flag is wrong: one line, exit 2
├── PolicyError            a policy cannot be taken as it is: one line for each fault, exit 2
├── NotEnoughData          a window, a fit or a calibration has too little to stand on
├── UpstreamError          Prometheus or Alertmanager failed or answered what we cannot read
├── StoreError             PostgreSQL failed or refused
├── NotFoundError          there is nothing of this id
├── ConflictError          what was to be changed is not as the change took it to be
├── PublishError           rules could not be published; those of before are in force
├── LinkError              an address of a message is not one that we made, or is too old
└── StackError             a part of the local stack cannot be had, started or stopped
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


class MdaError(Exception):
    """Base of every error that this program raises on purpose; its text is one line.

    Only that of PolicyError has one line for each fault.
    """


class ConfigError(MdaError):
    """A setting is wrong; the text reads `source: key.path: value: what is allowed`."""


@dataclass(frozen=True, slots=True)
class PolicyFault:
    """One thing that is wrong with a policy.

    path   keys and positions down to it, as in rules.0.condition.threshold; empty: the whole
    value  what was given there, as text, shortened
    text   what is allowed, or what is wrong
    line   in its file, from 1; None for what came over the API
    """

    path: str
    value: str
    text: str
    line: int | None = None

    def __str__(self) -> str:
        return ": ".join(part for part in (self.path, self.value, self.text) if part)


class PolicyError(MdaError):
    """A policy is wrong; its text has a line `source:line: key.path: value: text` a fault."""

    def __init__(self, source: str, faults: Sequence[PolicyFault]) -> None:
        self.source = source
        self.faults = tuple(faults)
        lines = (
            f"{source}{'' if fault.line is None else f':{fault.line}'}: {fault}"
            for fault in self.faults
        )
        super().__init__("\n".join(lines))


class PolicyErrors(PolicyError):
    """Several of them, of several sources."""

    def __init__(self, each: Sequence[PolicyError]) -> None:
        super().__init__(each[0].source, [fault for error in each for fault in error.faults])
        self.args = ("\n".join(map(str, each)),)


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


class NotFoundError(MdaError):
    """There is nothing of the id that was given; the text names both."""


class ConflictError(MdaError):
    """Somebody else was first.

    current  the revision that is there; None if it is the name that is taken
    """

    def __init__(self, message: str, *, current: int | None = None) -> None:
        super().__init__(message)
        self.current = current


class PublishError(MdaError):
    """Rules could not be published, or not be seen to be; those of before were put back.

    retryable  the same may succeed later without a change on our side
    """

    def __init__(self, message: str, *, retryable: bool) -> None:
        super().__init__(message)
        self.retryable = retryable


class LinkError(MdaError):
    """An address that somebody followed is not one of ours, or is_expired."""

    def __init__(self, message: str, *, is_expired: bool = False) -> None:
        super().__init__(message)
        self.is_expired = is_expired


class StackError(MdaError):
    """A part of the local stack is missing or does not start; the text says the way out."""
