"""Metric families as bytes: cached templates for hot groups, prometheus_client for the rest.

A template holds everything of a group but its values, in both formats, so that a scrape only
puts values in. Formats: the text format 0.0.4 and OpenMetrics 1.0.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final, Literal, NamedTuple

from prometheus_client import exposition, registry
from prometheus_client.core import Metric
from prometheus_client.openmetrics import exposition as openmetrics_exposition

Kind = Literal["counter", "gauge", "untyped"]
EOF: Final = b"# EOF\n"
TOTAL: Final = b"_total"


def escape_label(value: bytes) -> bytes:
    r"""A label value as both formats want it; bytes that are not UTF-8 become U+FFFD.

    >>> escape_label(b'C:\\"x"')
    b'C:\\\\\\"x\\"'
    """
    text = value.decode("utf-8", "replace").encode()
    return text.replace(b"\\", b"\\\\").replace(b'"', b'\\"').replace(b"\n", b"\\n")


def labels(**pairs: bytes) -> bytes:
    """The braces of one series: labels(device=b"sda") gives {device="sda"}."""
    inner = b",".join(
        key.encode() + b'="' + escape_label(value) + b'"' for key, value in sorted(pairs.items())
    )
    return b"{" + inner + b"}"


@dataclass(frozen=True, slots=True)
class Family:
    """A family of a template: its series in order, each with one slot for its value.

    series  the braces of each series, b"" for a series without labels
    slot    bytes-% conversion of the values: %b for digits kept as read, %d for ints; b""
            where the values are constant and stand in `series` behind the braces
    """

    name: bytes
    kind: Kind
    help: bytes
    series: Sequence[bytes] = (b"",)
    slot: bytes = b"%b"


class Template:
    """A group of families, laid out once for both formats."""

    def __init__(self, families: Sequence[Family]) -> None:
        self.names = frozenset(family.name.decode() for family in families)
        self.text = b"".join(_laid_out(family, openmetrics=False) for family in families)
        self.openmetrics = b"".join(_laid_out(family, openmetrics=True) for family in families)


class Filled(NamedTuple):
    """A template and one value per slot, in the order of its families and their series."""

    template: Template
    values: tuple[bytes | int | float, ...]


Block = Filled | Sequence[Metric]
"""What a collector gives: a filled template, or families of prometheus_client."""


def _laid_out(family: Family, *, openmetrics: bool) -> bytes:
    kind: bytes = family.kind.encode()
    announced = family.name
    if openmetrics:
        kind = b"unknown" if kind == b"untyped" else kind
        announced = announced.removesuffix(TOTAL) if kind == b"counter" else announced
    head = b"# HELP %b %b\n# TYPE %b %b\n" % (announced, family.help, announced, kind)
    lines = [(family.name + series).replace(b"%", b"%%") for series in family.series]
    tail = b" " + family.slot + b"\n" if family.slot else b"\n"
    return head.replace(b"%", b"%%") + b"".join(line + tail for line in lines)


class _Given(registry.Collector):
    """prometheus_client renders what a collector collects; this one collects what it was given."""

    def __init__(self, metrics: Iterable[Metric]) -> None:
        self._metrics = metrics

    def collect(self) -> Iterable[Metric]:
        return self._metrics


def render(block: Block, *, openmetrics: bool) -> bytes:
    """The lines of a block; OpenMetrics without its end mark."""
    if isinstance(block, Filled):
        template = block.template.openmetrics if openmetrics else block.template.text
        return template % block.values
    if not block:
        return b""
    given = _Given(block)
    if openmetrics:
        # Only this half of prometheus_client lacks types.
        body: bytes = openmetrics_exposition.generate_latest(given)  # type: ignore[no-untyped-call]
        return body.removesuffix(EOF)
    return exposition.generate_latest(given)


def family_names(block: Block) -> frozenset[str]:
    """The names of a block's families as their HELP lines have them in the text format."""
    if isinstance(block, Filled):
        return block.template.names
    return frozenset(announced_name(metric) for metric in block)


def announced_name(metric: Metric) -> str:
    """The name of a family in the text format: prometheus_client cuts _total off counters."""
    return f"{metric.name}_total" if metric.type == "counter" else metric.name
