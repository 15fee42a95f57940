"""A picture of previews: below each policy its rules, below each rule its series over time."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from matplotlib import figure, patches

from detector import drawing, whole
from detector.policies import preview_text, rows
from detector.policy import actions, promql
from detector.services import previews

WIDTH_IN = 11.5
ROW_IN, HEAD_IN, FOOT_IN, TITLE_IN, LINE_IN = 0.235, 0.46, 0.36, 0.66, 0.19
EDGE, LEFT, RIGHT = 0.014, 0.245, 0.885
"""Of the width: where text begins, where time begins and ends, before the figures of a row."""
MOST_RULES = 40
"""A picture of more could not be looked at."""
LINE_CHARS = 160
WARNING, SOFT = "#b45309", "#5b6875"


@dataclass(frozen=True, slots=True)
class _Block:
    """A rule's part of the sheet; title_in is 0 but above the first rule of a policy."""

    preview: previews.Preview
    rule: previews.Rule
    title_in: float
    rows_in: float

    @property
    def height_in(self) -> float:
        return self.title_in + HEAD_IN + self.rows_in + FOOT_IN


def write(path: Path, found: Sequence[previews.Preview]) -> None:
    """Write the picture as PNG. Raises ConfigError where the file can't be written."""
    whole.write_asked_for(path, drawn(found), flag="--png")


def drawn(found: Sequence[previews.Preview]) -> bytes:
    """A PNG of the first MOST_RULES rules."""
    blocks = [_block(each, rule) for each in found for rule in each.rules]
    left_out = len(blocks[MOST_RULES:])
    blocks = blocks[:MOST_RULES]
    whole_in = sum(block.height_in for block in blocks) + (LINE_IN if left_out else 0)
    sheet = figure.Figure(figsize=(WIDTH_IN, whole_in), facecolor=drawing.LIGHT.ground)
    top_in = whole_in
    for block in blocks:
        if block.title_in:
            _title(sheet, block.preview, top_in / whole_in, whole_in)
        bottom_in = top_in - block.title_in - HEAD_IN - block.rows_in
        box = (LEFT, bottom_in / whole_in, RIGHT - LEFT, block.rows_in / whole_in)
        rows.draw(sheet.add_axes(box), block.rule, block.preview.period)
        _head(sheet, block.rule, (bottom_in + block.rows_in + 0.08) / whole_in)
        top_in -= block.height_in
    if left_out:
        text = f"and {left_out} more rules: preview fewer policies to see them"
        sheet.text(EDGE, 0.3 * LINE_IN / whole_in, text, fontsize=9, color=SOFT)
    return drawing.png(sheet)


def _block(each: previews.Preview, rule: previews.Rule) -> _Block:
    is_first = rule is each.rules[0]
    title_in = TITLE_IN + LINE_IN * len(_warnings(each)) if is_first else 0.0
    return _Block(each, rule, title_in, ROW_IN * max(len(rows.rows_of(rule)), 1))


def _title(sheet: figure.Figure, each: previews.Preview, top: float, whole_in: float) -> None:
    lines = [(0.14, each.policy, 14.0, drawing.LIGHT.text), (0.43, _subtitle(each), 9.0, SOFT)]
    for number, line in enumerate(_warnings(each)):
        lines.append((0.66 + LINE_IN * number, line, 8.5, WARNING))
    for place, (inches, text, size, colour) in enumerate(lines):
        sheet.text(
            EDGE,
            top - inches / whole_in,
            drawing.plain(text),
            va="top",
            fontsize=size,
            fontweight="normal" if place else "bold",
            color=colour,
        )
    _legend(sheet, each, top - 0.1 / whole_in)


def _legend(sheet: figure.Figure, each: previews.Preview, top: float) -> None:
    fires, waits = rows.COLOURS[actions.Severity.INFO]
    marks = [(fires, "fires"), (waits, "waits for its time")]
    if any(rule.shut for rule in each.rules):
        marks.append((rows.SHUT, "outside its hours"))
    sheet.legend(
        handles=[patches.Patch(color=colour, label=text) for colour, text in marks],
        loc="upper right",
        bbox_to_anchor=(1 - EDGE, top),
        ncols=len(marks),
        frameon=False,
        borderaxespad=0,
        fontsize=8.5,
        labelcolor=drawing.LIGHT.text,
        handlelength=1.1,
        handleheight=0.7,
        columnspacing=1.4,
    )


def _subtitle(each: previews.Preview) -> str:
    period = each.period
    start, end = preview_text.instant(period.start_ms), preview_text.instant(period.end_ms)
    return f"{start} to {end} UTC, evaluated every {promql.duration(period.step)}"


def _warnings(each: previews.Preview) -> list[str]:
    return [line for warned in each.warnings for line in textwrap.wrap(f"⚠ {warned}", LINE_CHARS)]


def _head(sheet: figure.Figure, rule: previews.Rule, bottom: float) -> None:
    sheet.text(
        EDGE,
        bottom,
        f"rule {rule.number}  {rule.severity}",
        color=rows.COLOURS[rule.severity][0],
        fontsize=9.5,
        fontweight="bold",
        va="bottom",
    )
    text = f"{rule.condition} → {rule.action}: {preview_text.head(rule)}"
    sheet.text(LEFT, bottom, drawing.plain(text), color=drawing.LIGHT.text, fontsize=9, va="bottom")
