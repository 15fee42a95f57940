"""`mda policy preview` told wrong: one line each, and what it shows of a preview."""

from __future__ import annotations

import dataclasses
import io
import json
import math
import re
from datetime import timedelta
from pathlib import Path

import matplotlib.image
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detector import config, errors, frames
from detector.policies import picture, preview, preview_text, rows, strips
from detector.policy import actions, firing
from detector.services import previews
from tests import stack
from tests.detector import test_cli
from tests.detector.policies.test_validating import EXAMPLES, PAGE
from tests.detector.policy import factories

HOUR_MS = 3_600_000
PERIOD = previews.Period(0, 47 * HOUR_MS, HOUR_MS)
HOSTILE = 'a "b\\c" $x^2$ {{ [red]\n é'


def series(
    name: str, *spells: tuple[int, int | None, int | None], job: str = "j"
) -> previews.Series:
    """A series with spells: since, firing and until, in hours."""
    labels: frames.Labels = (("instance", name), ("job", job))
    made = tuple(
        firing.Spell(labels, since * HOUR_MS, _ms(fires), _ms(until))
        for since, fires, until in spells
    )
    bounds = [PERIOD.bounds(each) for each in made]
    lengths = [timedelta(milliseconds=until - fires) for _, fires, until in bounds]
    none = timedelta(0)
    return previews.Series(
        previews.name_of(labels), labels, made, sum(lengths, none), max(lengths, default=none)
    )


def _ms(hours: int | None) -> int | None:
    return None if hours is None else hours * HOUR_MS


def rule(
    *each: previews.Series,
    looked_at: int | None = 5,
    number: int = 1,
    shut: tuple[tuple[int, int], ...] = (),
) -> previews.Rule:
    return previews.Rule(
        number=number,
        priority=1,
        severity=actions.Severity.HIGH,
        shut=shut,
        condition="metric_threshold",
        action="alert",
        series=each,
        looked_at=looked_at,
        fired_ratio=0.25,
    )


def previewed(*rules: previews.Rule, warned: tuple[previews.Warned, ...] = ()) -> preview.Previewed:
    return preview.Previewed("p.yml", previews.Preview("High CPU Alert", PERIOD, rules, warned))


A, B = series("a", (3, 5, 9), (40, 42, None)), series("b", (10, None, 12))
SHOWN = """\
High CPU Alert  p.yml
1970-01-01 00:00:00 to 1970-01-02 23:00:00 UTC, evaluated every 1h, as if it had been saved when \
that began
warning  rule 2: it matches nothing

rule 1 high metric_threshold: fired 2 times for 1 of 5 series, 10h in all, 6h at the longest; \
something fired 25 % of the time
  instance="a" │   ··▆███▅                                ··▃██████│ 2x 10h
  instance="b" │          ···                                      │ only waited
                01-01 00:00         01-01 23:30         01-02 23:00

rule 2 high metric_threshold: never fired; it looks at 0 series

action alert: asked for 2 times, on 1 target (rule 1)"""
NOTHING = previews.Warned(2, previews.Doubt.NOTHING, "it matches nothing")


def run(folder: Path, *arguments: str, **env: str) -> tuple[int, str]:
    ran = test_cli.run(folder, "policy", "preview", *arguments, **env)
    assert ran.stdout == ""
    return ran.returncode, ran.stderr


@pytest.mark.parametrize(
    ("days", "step", "said"),
    [
        (0, None, "--days: 0: above 0 to 366 is allowed"),
        (math.nan, None, "--days: nan: above 0 to 366 is allowed"),
        (367, None, "--days: 367: above 0 to 366 is allowed"),
        (1, "soon", "--step: 'soon': a number of seconds or a duration"),
        (1, "1ms", "--step: '1ms': 1s to 1d is allowed"),
        (1, "2d", "--step: '2d': 1s to 1d is allowed"),
        (30, "1s", "--days: 30: 2592001 evaluations, 1 s apart: 250000 are allowed: ask for fewer"),
    ],
)
def test_wrong_options_are_told(days: float, step: str | None, said: str) -> None:
    options = preview.Options((Path("p.yml"),), days, step)
    with pytest.raises(errors.ConfigError, match=f"^{re.escape(said)}"):
        preview.run(config.Settings(), options, now=factories.NOW)


def test_wrong_policies_are_told_with_their_lines_before_anything_is_read(tmp_path: Path) -> None:
    wrong = EXAMPLES[0].replace("cpu_percent", "load_per_cpu").replace("threshold: 80.0, ", "")
    (tmp_path / "a.yml").write_text(wrong)
    (tmp_path / "b.yml").write_text(wrong.replace("High", "Other"))
    status, err = run(tmp_path, "a.yml", "b.yml")
    assert status == 2
    assert [line.split(": ")[1] for line in err.splitlines()] == ["a.yml:5", "b.yml:5"]
    assert "rules.0.condition.threshold: a number is needed" in err


def test_a_prometheus_that_does_not_answer_is_status_1_and_names_the_policy(tmp_path: Path) -> None:
    (tmp_path / "p.yml").write_text(EXAMPLES[0])
    url = f"http://127.0.0.1:{stack.free_port()}"
    status, err = run(tmp_path, "p.yml", "--days", "1", MDA_PROMETHEUS__URL=url)
    assert status == 1
    assert err.startswith("mda: p.yml: High CPU Alert: ")
    assert "refused" in err


def test_a_preview_for_a_terminal() -> None:
    found = previewed(rule(A, B), rule(number=2, looked_at=0), warned=(NOTHING,))
    assert "\n".join(line.plain for line in preview_text.lines(found, 80)) == SHOWN


def test_series_beyond_what_a_terminal_shows_are_one_line() -> None:
    many = [series(f"s{number:02}", (1, 2, 3)) for number in range(23)]
    lines = [line.plain for line in preview_text.lines(previewed(rule(*many)), 80)]
    assert sum("│" in line for line in lines) == preview_text.MOST_SERIES
    assert "  and 3 more series: 3x 3h" in lines
    assert lines[-1] == "action alert: asked for 23 times, on 23 targets (rule 1)"


@pytest.mark.parametrize(
    ("shown", "said"),
    [
        (rule(), "never fired; it looks at 5 series"),
        (rule(looked_at=None), "never fired"),
        (rule(B), "never fired; 1 of 5 series only waited"),
        (rule(B, looked_at=None), "never fired; 1 series only waited"),
    ],
)
def test_a_rule_that_never_fired_says_so(shown: previews.Rule, said: str) -> None:
    assert preview_text.head(shown) == said


def test_a_terminal_without_blocks_is_told_eighths() -> None:
    found = previewed(rule(A, series("é", (10, None, 12))))
    lines = [line.plain for line in preview_text.lines(found, 80, encoding="ascii")]
    assert lines[4:6] == [
        '  instance="a" |   ..68885                                ..3888888| 2x 10h',
        '  instance="?" |          ...                                      | only waited',
    ]


def test_a_policy_that_fired_nothing_asked_for_nothing() -> None:
    (*_, last) = preview_text.lines(previewed(rule()), 80)
    assert last.plain == "rule 1 high metric_threshold: never fired; it looks at 5 series"


@pytest.mark.parametrize("width", [1, 60, 200])
def test_a_strip_fits_the_terminal(width: int) -> None:
    named = series("x" * 100, (3, 5, 9))
    lines = [line.plain for line in preview_text.lines(previewed(rule(named, B)), width)]
    strips_ = [line for line in lines if "│" in line]
    assert {len(line.rsplit("│", 1)[0]) for line in strips_} == {
        max(width, preview_text.LEAST_WIDTH) - len(" only waited") - 1
    }


def test_a_preview_for_a_script() -> None:
    found = preview_text.summary_of(previewed(rule(A), warned=(NOTHING,)))
    spell = {"since": "1970-01-01T03:00:00Z", "firing": "1970-01-01T05:00:00Z"}
    later = {"since": "1970-01-02T16:00:00Z", "firing": "1970-01-02T18:00:00Z"}
    assert json.loads(json.dumps(found)) == {
        "policy": "High CPU Alert",
        "source": "p.yml",
        "start": "1970-01-01T00:00:00Z",
        "end": "1970-01-02T23:00:00Z",
        "step_s": 3600,
        "evaluations": 48,
        "rules": [
            {
                "rule": 1,
                "priority": 1,
                "severity": "high",
                "condition": "metric_threshold",
                "action": "alert",
                "times": 2,
                "series_fired": 1,
                "series_looked_at": 5,
                "fired_ratio": 0.25,
                "firing_s": 36000,
                "longest_s": 21600,
                "money": [],
                "series": [
                    {
                        "labels": {"instance": "a", "job": "j"},
                        "times": 2,
                        "firing_s": 36000,
                        "longest_s": 21600,
                        "spells": [
                            {**spell, "until": "1970-01-01T09:00:00Z"},
                            {**later, "until": None},
                        ],
                    }
                ],
            }
        ],
        "asked": [{"rule": 1, "action": "alert", "times": 2, "targets": 1}],
        "warnings": [{"rule": 2, "kind": "nothing", "text": "it matches nothing"}],
    }


def test_names_leave_out_what_all_series_share() -> None:
    one = (("instance", "a"), ("job", "j"))
    assert strips.short_names([one]) == ['instance="a",job="j"']
    assert strips.short_names([one, (("job", "j"),)]) == ['instance="a"', "no labels"]


SPELLS = st.lists(
    st.tuples(st.integers(0, 46), st.integers(0, 10), st.integers(1, 10)).map(
        lambda each: (each[0], each[0] + each[1], each[0] + each[1] + each[2])
    ),
    max_size=3,
)


@settings(deadline=None)
@given(SPELLS, st.integers(1, 200))
def test_a_strip_is_as_wide_as_asked_and_shows_that_something_fired(
    spells: list[tuple[int, int, int]], width: int
) -> None:
    each = series("a", *spells)
    strip = strips.strip(each.spells, PERIOD, width)
    fires = any(begin < 48 for _, begin, _ in spells)
    assert len(strip) == width
    assert any(sign in strips.HEIGHTS for sign in strip) == fires


@pytest.mark.parametrize("width", [20, 40, 41, 100])
def test_the_axis_says_when_a_strip_begins_and_ends(width: int) -> None:
    axis = strips.axis(PERIOD, width)
    assert axis.startswith("01-01 00:00 ")
    assert axis.endswith(" 01-02 23:00")
    assert len(axis) == max(width, 24)


def size_of(png: bytes) -> tuple[int, ...]:
    return matplotlib.image.imread(io.BytesIO(png)).shape


def test_a_picture_grows_with_its_series_and_takes_any_name() -> None:
    few = size_of(picture.drawn([previewed(rule(A)).found]))
    hostile = series(HOSTILE, (1, 2, 3))
    many = [series(f"s{number}", (1, 2, 3), (5, None, 6)) for number in range(30)]
    shut = ((0, 5 * HOUR_MS), (20 * HOUR_MS, 48 * HOUR_MS))
    both = previewed(rule(hostile, *many, shut=shut), rule(number=2), warned=(NOTHING,) * 3)
    large = size_of(picture.drawn([both.found]))
    assert few[1] == large[1] == round(picture.WIDTH_IN * 144)
    assert large[0] > few[0] + rows.MOST_SERIES * picture.ROW_IN * 144


def test_a_picture_leaves_out_rules_that_nobody_could_look_at() -> None:
    many = [rule(A, number=number) for number in range(1, picture.MOST_RULES + 3)]
    at_most = previewed(*many[: picture.MOST_RULES])
    low, high = (size_of(picture.drawn([each.found])) for each in (at_most, previewed(*many)))
    assert 0 < high[0] - low[0] < picture.ROW_IN * 144


def test_a_picture_is_written_whole_or_the_file_is_named(tmp_path: Path) -> None:
    found = [previewed(rule(A)).found]
    picture.write(tmp_path / "new" / "p.png", found)
    assert (tmp_path / "new" / "p.png").read_bytes().startswith(b"\x89PNG")
    assert [each.name for each in (tmp_path / "new").iterdir()] == ["p.png"]
    with pytest.raises(errors.ConfigError, match=r"--png: .*/p.png/q.png: .*: name a file"):
        picture.write(tmp_path / "new" / "p.png" / "q.png", found)
    (tmp_path / "folder").mkdir()
    with pytest.raises(errors.ConfigError, match=r"--png: .*/folder: Is a directory"):
        picture.write(tmp_path / "folder", found)
    assert [*(tmp_path / "folder").parent.glob(".*")] == []


def test_every_severity_has_its_colours() -> None:
    assert set(preview_text.COLOURS) == set(rows.COLOURS) == set(actions.Severity)


def test_the_page_has_every_doubt() -> None:
    rows = [line.split("|")[1] for line in PAGE.splitlines() if line.startswith("| `")]
    assert all(any(f"`{doubt}`" in row for row in rows) for doubt in previews.Doubt)


def test_money_at_stake_has_a_line_below_the_rule() -> None:
    costly = dataclasses.replace(rule(A), money=(previews.Money("EUR", 1, 1234.5, 234.5),))
    lines = [line.plain for line in preview_text.lines(previewed(costly), 100)]
    head = next(at for at, line in enumerate(lines) if line.startswith("rule 1 "))
    assert lines[head + 1] == (
        "  money: 1,234.50 EUR at the most, of 1 series; 234.50 EUR of it above the limit"
    )
