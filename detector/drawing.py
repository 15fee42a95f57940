"""What every picture has in common: colours, a time axis, numbers, bytes of a PNG."""

from __future__ import annotations

import io
import warnings
from dataclasses import dataclass
from datetime import UTC
from typing import Literal

import matplotlib.dates
import numpy as np
import numpy.typing as npt
from matplotlib import axes, figure
from matplotlib.backends import backend_agg

from detector import frames

DPI = 144
_FORMATS = ["%Y", "%b %Y", "%b %d", "%b %d %H:%M", "%H:%M", "%H:%M:%S"]
"""Of ticks at years, months, days, hours, minutes, seconds."""


@dataclass(frozen=True, slots=True)
class Theme:
    """Colours that can be told apart on their ground, by the colour-blind too."""

    name: str
    ground: str
    text: str
    faint: str
    value: str
    expected: str
    band: str
    incident: str
    label: str
    score: str


LIGHT = Theme(
    name="light",
    ground="#ffffff",
    text="#1f2933",
    faint="#d5dbe1",
    value="#1d4f91",
    expected="#e08a00",
    band="#7fa7d6",
    incident="#d64545",
    label="#0b8457",
    score="#5b3f9b",
)
DARK = Theme(
    name="dark",
    ground="#161b22",
    text="#dfe6ee",
    faint="#38414d",
    value="#79b8ff",
    expected="#ffb454",
    band="#3f6ea5",
    incident="#ff6b6b",
    label="#45d19b",
    score="#c3a6ff",
)
THEMES = (LIGHT, DARK)


def dates(times_ms: frames.Ints) -> npt.NDArray[np.float64]:
    """Days since 1970, which is how matplotlib counts time."""
    return times_ms / 86_400_000.0


def time_axis(part: axes.Axes) -> None:
    """Ticks at round times, in UTC."""
    # matplotlib leaves these two without types.
    locator = matplotlib.dates.AutoDateLocator(minticks=4, maxticks=9, tz=UTC)  # type: ignore[no-untyped-call]
    formatter = matplotlib.dates.ConciseDateFormatter(  # type: ignore[no-untyped-call]
        locator, tz=UTC, formats=_FORMATS, zero_formats=_FORMATS, show_offset=False
    )
    part.xaxis.set_major_locator(locator)
    part.xaxis.set_major_formatter(formatter)


def value_axis(part: axes.Axes, low: float, high: float, *, below: float, above: float) -> None:
    """From low to high, with room at both ends: shares of what is between them."""
    room = (high - low) or max(abs(high) * 0.1, 1.0)
    part.set_ylim(low - below * room, high + above * room)


def style(part: axes.Axes, theme: Theme, *, lines: Literal["x", "y"] = "y") -> None:
    """No frame but the time axis, faint lines behind from this one's ticks."""
    part.set_facecolor(theme.ground)
    part.grid(visible=True, axis=lines, color=theme.faint, linewidth=0.6, alpha=0.7)
    part.set_axisbelow(True)
    for side in ("top", "right", "left"):
        part.spines[side].set_visible(False)
    part.spines["bottom"].set_color(theme.faint)
    part.tick_params(colors=theme.text, labelsize=8.5, length=0)


def short(number: float) -> str:
    """A number for an axis.

    >>> short(1_200_000.0), short(0.25), short(0.0), short(-45000.0)
    ('1.2M', '0.25', '0', '-45k')
    """
    for size, unit in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e4, "k")):
        if abs(number) >= size:
            scale = 1e3 if unit == "k" else size
            return f"{number / scale:.4g}{unit}"
    return f"{number:.4g}"


def plain(text: str) -> str:
    """Nothing in a label is taken for a formula."""
    return text.replace("$", r"\$").replace("\n", " ")


def png(drawn: figure.Figure, *, dpi: int = DPI) -> bytes:
    """The bytes of a PNG."""
    backend_agg.FigureCanvasAgg(drawn)
    written = io.BytesIO()
    with warnings.catch_warnings():
        # Of letters that the font lacks, which are drawn as boxes.
        warnings.filterwarnings("ignore", message="Glyph", category=UserWarning)
        drawn.savefig(written, format="png", dpi=dpi, facecolor=drawn.get_facecolor())
    return written.getvalue()
