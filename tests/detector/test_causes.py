from __future__ import annotations

import itertools

import numpy as np
import pytest

from detector import causes, frames
from detector.causes import Deviation
from tests.factories import at


def _series(size: float = 0.0, since: float | None = None, **labels: str) -> Deviation:
    pairs = frames.labels_from_pairs(labels.items())
    return Deviation(pairs, size, None if since is None else at(since))


REGIONS = [
    _series(size=3.0 if region == "eu" else 0.0, region=region, service=service)
    for region in ("eu", "us", "ap")
    for service in ("web", "db")
]


@pytest.mark.parametrize(
    ("series", "expected"),
    [
        ([], []),
        ([_series(instance="a"), _series(instance="b")], []),
        ([_series(2.0, instance="a"), _series(2.0, instance="b")], []),
        ([_series(2.0, instance="a"), _series(instance="b")], [{"instance": "a"}]),
        (REGIONS, [{"region": "eu"}]),
        (
            [
                _series(5.0 if (r, s) == ("eu", "db") else 0.0, region=r, service=s)
                for r, s in itertools.product(("eu", "us", "ap"), ("web", "db", "mq"))
            ],
            [{"region": "eu", "service": "db"}, {"region": "eu"}, {"service": "db"}],
        ),
    ],
    ids=["none", "calm", "all alike", "one of two", "a region", "a pair"],
)
def test_what_carries_the_deviation_comes_first(
    series: list[Deviation], expected: list[dict[str, str]]
) -> None:
    assert [dict(each.labels) for each in causes.rank(series)] == expected


def test_cause_says_how_much_it_holds() -> None:
    (cause,) = causes.rank(REGIONS)

    assert cause.coverage == pytest.approx(1.0)
    assert cause.lift == pytest.approx(3.0)
    assert cause.score == pytest.approx(np.log(3.0))
    assert (cause.series, cause.deviating) == (2, 2)


def test_values_of_the_same_series_are_told_of_together() -> None:
    series = [
        _series(2.0, instance="a:9100", node="a", __name__="up"),
        _series(0.0, instance="b:9100", node="b", __name__="up"),
    ]

    (cause,) = causes.rank(series)

    assert (cause.labels, cause.same) == ((("instance", "a:9100"),), (("node", "a"),))


def test_of_equal_ones_the_earliest_comes_first() -> None:
    series = [
        _series(2.0, 60, instance="a"),
        _series(2.0, 0, instance="b"),
        *(_series(instance=f"calm-{n}") for n in range(4)),
    ]

    assert [dict(each.labels) for each in causes.rank(series)] == [
        {"instance": "b"},
        {"instance": "a"},
    ]


def test_one_series_far_out_does_not_hide_a_region() -> None:
    series = [*REGIONS, _series(1e9, region="us", service="mq")]

    assert {"region": "eu"} in [dict(each.labels) for each in causes.rank(series)][:2]


SIZES = {"region": 4, "service": 6, "version": 3, "zone": 3}
LAYOUTS = 300


def _faulty_layout(rng: np.random.Generator) -> tuple[list[Deviation], frames.Labels]:
    """Series of 3 or 4 dimensions, most of those of one value or pair out, noise elsewhere."""
    names = list(SIZES)[: int(rng.integers(3, 5))]
    every = list(itertools.product(*(range(SIZES[name]) for name in names)))
    labels = [
        frames.labels_from_pairs(
            [*((n, f"{n}-{v}") for n, v in zip(names, each, strict=True)), ("instance", str(row))]
        )
        for row, each in enumerate(every)
        if rng.random() < 0.8
    ]
    faulty = rng.choice(len(names), int(rng.integers(1, 3)), replace=False)
    culprit = frames.labels_from_pairs(
        (names[i], f"{names[i]}-{rng.integers(SIZES[names[i]])}") for i in faulty
    )
    sizes = np.where(rng.random(len(labels)) < 0.05, rng.exponential(1.0, len(labels)), 0.0)
    hit = np.array([set(culprit) <= set(each) for each in labels])
    hit &= rng.random(len(labels)) < 0.9
    sizes[hit] += rng.lognormal(0.5, 0.8, int(hit.sum()))
    return [Deviation(each, float(size)) for each, size in zip(labels, sizes, strict=True)], culprit


def test_injected_culprit_is_among_the_first_three_in_nine_of_ten_layouts() -> None:
    rng = np.random.default_rng(7)
    first = among_three = 0
    for _ in range(LAYOUTS):
        series, culprit = _faulty_layout(rng)
        found = [each.labels for each in causes.rank(series)[:3]]
        first += found[:1] == [culprit]
        among_three += culprit in found

    print(f"culprit first in {first / LAYOUTS:.0%}, among three in {among_three / LAYOUTS:.0%}")
    assert among_three >= 0.9 * LAYOUTS
