"""Candidates compared on a past that is made up, and the choice among them."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest
import yaml

from detector import config, errors, frames
from detector.autotune import job, text
from detector.models import checks, smoothing
from detector.services import backtesting, pasts, tuning

STEP_MS = 300_000
DAYS = 10
STEPS = DAYS * 288


def history_of(values: frames.Floats) -> backtesting.History:
    times_ms = 1_700_006_400_000 + np.arange(len(values), dtype=np.int64) * STEP_MS
    labels = tuple((("instance", str(row)),) for row in range(values.shape[1]))
    return backtesting.History(labels, frames.Frame(times_ms, np.asfortranarray(values), STEP_MS))


def tune(
    values: frames.Floats,
    *,
    ml: bool = False,
    budget: str = "1 per day per series",
    **given: object,
) -> job.Tuning:
    query = config.Query.model_validate(
        {"name": "q", "expr": "x", "step": "5m", "budget": budget, **given}
    )
    settings = config.Settings.model_validate(
        {"presets": (), "queries": (query,), "ml_detection_enabled": ml}
    )
    return job.tune(settings, query, pasts.HistoryPast(history_of(values)), subject="q")


def outcome(
    found: job.Tuning, *, chosen: job.Candidate | None = None, file: Path | None = None
) -> job.Outcome:
    return job.Outcome(file, (replace(found, chosen=chosen or found.chosen),))


def restless(series: int) -> frames.Floats:
    """Noise that is another size every six hours: what the past says of the present is little."""
    rng = np.random.default_rng(4)
    size = np.repeat(np.exp(rng.normal(0, 1.2, size=(STEPS // 72, series))), 72, axis=0)
    return np.asarray(50 + size * rng.normal(size=(STEPS, series)))


def _share(candidate: job.Candidate) -> float:
    assert candidate.tried.found is not None
    return candidate.tried.found


def test_settings_that_do_well_are_kept() -> None:
    found = tune(50 + checks.noise(STEPS, 6))
    assert found.candidates[0].name == job.OF_NOW
    assert found.allowed_per_week == pytest.approx(42)
    assert found.chosen.keeps_to_budget
    assert _share(found.candidates[0]) > 0.7
    assert 0.3 < found.candidates[0].tried.by_size[5.0] <= 1.0
    assert found.candidates[0].tried.by_size[10.0] > 0.9


def test_gates_that_let_trouble_pass_are_seen_in_what_is_found() -> None:
    quiet = 50 + checks.noise(STEPS, 6)
    open_, shut = tune(quiet), tune(quiet, min_deviation=1e6)
    assert _share(shut.candidates[0]) < 0.4 < _share(open_.candidates[0])
    # The gate is the owner's word: no candidate takes it away.
    assert all(each.tried.by_size[10.0] == 0 for each in shut.candidates)


def test_a_band_is_widened_until_the_budget_is_kept() -> None:
    found = tune(restless(6), budget="1 per week per series")
    of_now, streaming, *_ = found.candidates
    assert not of_now.keeps_to_budget
    assert streaming.changes["model"] == "streaming"
    assert float(str(streaming.changes["band_scale"])) > 1
    assert streaming.tried.per_week < of_now.tried.per_week
    assert found.chosen is streaming
    said = text.text_of(outcome(found))
    assert f"{of_now.tried.per_week:.1f}" in said
    assert "keeps to the budget, which the settings of now do not" in said


def test_a_candidate_has_a_width_of_its_own_whatever_the_settings_say() -> None:
    found = tune(50 + checks.noise(STEPS, 6), band_scale=3)
    of_now, streaming, *_ = found.candidates
    assert of_now.changes == {}
    assert streaming.changes == {"model": "streaming", "band_scale": 1.0}
    assert found.chosen is streaming
    assert _share(streaming) > _share(of_now)


def test_a_past_without_a_whole_series_is_refused() -> None:
    values = 50 + checks.noise(STEPS, 2)
    values[::5] = np.nan
    with pytest.raises(errors.NotEnoughData, match="q: no series without gaps and anomalies"):
        tune(values)


def test_progress_is_told_by_candidates(capsys: pytest.CaptureFixture[str]) -> None:
    tune(50 + checks.noise(STEPS, 1))
    assert capsys.readouterr().err.endswith("tried 5 of 5 ways of q\n")


def test_where_nothing_keeps_to_the_budget_nothing_is_changed() -> None:
    candidates = (
        job.Candidate("as it is", {}, _tried(0.9, 9.0), False),
        job.Candidate("streaming, band x 3", {"band_scale": 3.0}, _tried(0.9, 4.0), False),
    )
    chosen = job._best(candidates)
    assert chosen is candidates[0]
    held_back = (chosen.tried, chosen.tried)
    said = text.text_of(
        job.Outcome(None, (job.Tuning("q", "q", 10.0, 1.0, candidates, chosen, held_back),))
    )
    assert (
        "None keeps to the budget; streaming, band x 3 tells least (4.0 a week). "
        "A larger budget, or gates such as min_deviation, are needed."
    ) in said
    assert "In the configuration" not in said


@pytest.mark.parametrize("ml", [False, True])
def test_models_are_tried_one_at_a_time(*, ml: bool) -> None:
    found = tune(50 + checks.noise(STEPS, 4), ml=ml)
    fits: list[object] = [[], *([{"name": name}] for name in job.BESIDE)]
    assert [each.changes.get("models") for each in found.candidates[2:]] == [
        *(fits if ml else ()),
        *([{"name": name}] for name in smoothing.NAMES),
    ]
    assert all(0 < _share(each) <= 1 for each in found.candidates)


def test_what_is_said_can_be_put_into_the_configuration() -> None:
    found = tune(restless(3))
    chosen = job.Candidate("x", {"model": "streaming", "band_scale": 1.5}, _tried(0.8), True)
    said = text.text_of(outcome(found, chosen=chosen))
    snippet = yaml.safe_load(said[said.index("under q:") + len("under q:") :])
    assert config.Query.model_validate({"name": "q", "expr": "x", **snippet}).band_scale == (
        1.5,
        1.5,
    )
    assert text.summary_of(outcome(found))["chosen"] == found.chosen.name


def _tried(found: float, per_week: float = 1.0) -> tuning.Tried:
    return tuning.Tried(per_week, found, {}, timedelta(0))


def test_a_later_candidate_has_to_find_clearly_more() -> None:
    given = [("now", 0.70, True), ("slightly", 0.71, True), ("wild", 0.99, False)]
    better = [*given, ("better", 0.75, True)]
    assert [
        job._best(tuple(job.Candidate(n, {}, _tried(f), k) for n, f, k in each)).name
        for each in (given, better)
    ] == ["now", "better"]
    none = tuple(job.Candidate(str(n), {}, _tried(0.9, n), False) for n in (9.0, 3.0, 5.0))
    assert job._best(none).name == "9.0"


def test_a_short_history_is_refused() -> None:
    values = checks.noise(STEPS, 2)
    values[:-288] = np.nan  # asked for, and not there
    for held in (values, values[-288:]):
        with pytest.raises(errors.NotEnoughData, match=r"q: 1\.0 days of history: 2 are needed"):
            tune(held)


@pytest.mark.parametrize(
    ("options", "line"),
    [
        (job.Options(), "autotune: one of FILE, --query NAME and --expr PROMQL is needed"),
        (job.Options(query="q", expr="x"), "one of FILE, --query NAME and --expr PROMQL is needed"),
        (job.Options(file=Path("f.csv"), expr="x"), "one of FILE, --query NAME and --expr PROMQL"),
        (job.Options(query="q", days=0), "--days: 0: above 0 to 366 is allowed"),
        (job.Options(query="no"), "--query: 'no': no such query in settings: q allowed"),
        (job.Options(file=Path("absent.csv")), "absent.csv: No such file or directory"),
    ],
)
def test_wrong_options_are_one_line(options: job.Options, line: str) -> None:
    settings = config.Settings.model_validate(
        {"presets": (), "queries": ({"name": "q", "expr": "x"},)}
    )
    with pytest.raises(errors.ConfigError) as caught:
        job.run(settings, options, now_ms=0)
    assert line in str(caught.value)
