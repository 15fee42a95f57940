"""From the outcomes of a scrape to the body of its answer."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping

from exporter import exposition, scrape, telemetry

_FAMILY = re.compile(rb"(?m)^(?=# HELP )")


class Assembly:
    """Puts blocks together; a family that a collector before had already is left out."""

    def __init__(self, own: telemetry.Telemetry, *, self_metrics: bool) -> None:
        self._own = own
        self._self_metrics = self_metrics
        own_block = own.collect() if self_metrics else []
        self._own_names = exposition.family_names(own_block)
        self._names: tuple[str, ...] = ()
        self._statuses = telemetry.status_template(())

    def body(self, outcomes: Mapping[str, scrape.Outcome], *, openmetrics: bool) -> bytes:
        """The whole exposition; OpenMetrics with its end mark."""
        names = tuple(outcomes)
        if names != self._names:
            self._statuses, self._names = telemetry.status_template(names), names
        blocks = [outcome.block for outcome in outcomes.values()]
        statuses = exposition.Filled(self._statuses, telemetry.status_values(outcomes))
        blocks = self._distinct([*blocks, statuses])
        if self._self_metrics:
            blocks.append(self._own.collect())
        parts = [exposition.render(block, openmetrics=openmetrics) for block in blocks]
        if openmetrics:
            parts.append(exposition.EOF)
        return b"".join(parts)

    def _distinct(self, blocks: list[exposition.Block]) -> list[exposition.Block]:
        # Templates are of known, different names; only families from outside can clash.
        taken = set(self._own_names)
        for block in blocks:
            if isinstance(block, exposition.Filled):
                taken |= block.template.names
        distinct: list[exposition.Block] = []
        for block in blocks:
            if isinstance(block, exposition.Filled):
                distinct.append(block)
                continue
            kept = [metric for metric in block if exposition.announced_name(metric) not in taken]
            taken |= exposition.family_names(kept)
            self._own.duplicate_families += len(block) - len(kept)
            distinct.append(kept)
        return distinct


def only_families(body: bytes, names: Collection[str]) -> bytes:
    """The families of a body whose announced name is wanted (the filter name[])."""
    wanted = {name.encode() for name in names}
    kept = [
        part
        for part in _FAMILY.split(body)
        if part.startswith(b"# HELP ") and part.split(b" ", 3)[2] in wanted
    ]
    text = b"".join(part.removesuffix(exposition.EOF) for part in kept)
    return text + (exposition.EOF if body.endswith(exposition.EOF) else b"")
