from __future__ import annotations

import io
import re

import pytest
import rich.console

from detector.score import progress


def test_a_line_is_printed_at_the_end_where_there_is_no_terminal(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with progress.shown(30) as advance:
        advance(10)
        advance(20)
    assert capsys.readouterr() == ("", "scored 30 of 30 rows\n")


def test_what_is_counted_has_a_name(capsys: pytest.CaptureFixture[str]) -> None:
    with progress.shown(2, word="tried", unit="ways") as advance:
        advance(2)
    assert capsys.readouterr().err == "tried 2 of 2 ways\n"


def test_a_bar_is_drawn_on_a_terminal() -> None:
    screen = rich.console.Console(file=io.StringIO(), force_terminal=True, width=80)
    with progress.shown(30, screen) as advance:
        advance(10)
        advance(20)
    assert isinstance(screen.file, io.StringIO)
    assert "30/30" in re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", screen.file.getvalue())
