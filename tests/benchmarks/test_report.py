from __future__ import annotations

import pytest

from benchmarks import report


@pytest.mark.parametrize(
    ("value", "at_most", "at_least", "says"),
    [
        (2.0, None, None, "2.000 s"),
        (2.0, 2.0, None, "at most 2   ok"),
        (2.1, 2.0, None, "at most 2   MISSED"),
        (2.0, None, 2.0, "at least 2   ok"),
        (1.9, None, 2.0, "at least 2   MISSED"),
    ],
)
def test_a_figure_stands_beside_its_limit(
    value: float,
    at_most: float | None,
    at_least: float | None,
    says: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    table = report.Report("Speed")
    table.add(report.Figure("wall", value, "s", at_most, at_least))
    assert capsys.readouterr().out.rstrip().endswith(says)
    assert table.missed == (["wall"] if "MISSED" in says else [])
