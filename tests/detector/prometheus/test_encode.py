"""Our encoder against google.protobuf's decoder."""

from __future__ import annotations

import math

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies as st

from detector import frames
from detector.prometheus import blocks, encode, outputs
from tests import prompb
from tests.detector.prometheus import recording

NAMES = st.from_regex(r"[a-zA-Z_][a-zA-Z0-9_]{0,30}", fullmatch=True)
VALUES = st.text(min_size=1, max_size=300).filter(lambda text: _is_utf8(text))
LABELS = st.dictionaries(NAMES, VALUES, max_size=6).map(
    lambda pairs: frames.labels_from_pairs([*pairs.items(), ("__name__", "m")])
)
FLOATS = st.floats(allow_nan=False) | st.sampled_from([0.0, -0.0, math.inf, -math.inf, 5e-324])
NO_DEADLINE = hypothesis.settings(deadline=None)
"""The first example loads compiled code."""
TIMES = st.integers(0, encode.END_TIME_MS - 1)


def _is_utf8(text: str) -> bool:
    return text.encode(errors="replace").decode() == text


def _decoded(body: bytes, protocol: encode.Protocol) -> recording.Decoded:
    if protocol is encode.Protocol.V1:
        message = prompb.V1["WriteRequest"].FromString(body)
        return [
            (
                tuple((x.name, x.value) for x in s.labels),
                [(p.timestamp, p.value) for p in s.samples],
            )
            for s in message.timeseries
        ]
    message = prompb.V2["Request"].FromString(body)
    found = []
    for series in message.timeseries:
        texts = [message.symbols[reference] for reference in series.labels_refs]
        pairs = tuple(zip(texts[::2], texts[1::2], strict=True))
        found.append((pairs, [(point.timestamp, point.value) for point in series.samples]))
    return found


def _words(value: float) -> int:
    return int(np.array([value]).view(np.int64)[0])


@pytest.mark.parametrize("protocol", list(encode.Protocol))
@NO_DEADLINE
@hypothesis.given(st.lists(st.tuples(LABELS, st.none() | FLOATS, TIMES), max_size=8))
def test_what_is_encoded_is_what_google_decodes(
    protocol: encode.Protocol, rows: list[tuple[frames.Labels, float | None, int]]
) -> None:
    template = encode.Template([labels for labels, _, _ in rows], protocol=protocol)
    values = np.array([math.nan if value is None else value for _, value, _ in rows], np.float64)
    times_ms = np.array([time_ms for _, _, time_ms in rows], np.int64)
    wanted = [
        (labels, [(time_ms, _words(value))]) for labels, value, time_ms in rows if value is not None
    ]
    for _ in range(2):  # what a call leaves in the template must not show in the next
        body = bytes(template.body(values, times_ms))
        got = [
            (labels, [(time_ms, _words(value)) for time_ms, value in points])
            for labels, points in _decoded(body, protocol)
        ]
        assert got == wanted


@pytest.mark.parametrize("protocol", list(encode.Protocol))
@NO_DEADLINE
@hypothesis.given(
    st.lists(st.none() | LABELS, min_size=1, max_size=6),
    st.lists(st.none() | LABELS, min_size=1, max_size=6),
)
def test_a_template_made_from_an_earlier_one_is_as_good_as_new(
    protocol: encode.Protocol,
    before: list[frames.Labels | None],
    after: list[frames.Labels | None],
) -> None:
    mixed = [*before[:3], *after]
    old = encode.Template(before, protocol=protocol)
    values, times_ms = np.ones(len(mixed)), np.full(len(mixed), recording.NOW_MS)
    grown = encode.Template(mixed, protocol=protocol, like=old).body(values, times_ms)
    fresh = encode.Template(mixed, protocol=protocol).body(values, times_ms)
    assert _decoded(bytes(grown), protocol) == _decoded(bytes(fresh), protocol)


def test_several_samples_of_a_series_stand_in_one_entry() -> None:
    labels = (("__name__", "m"),)
    template = encode.Template([labels], samples=3)
    body = template.body(np.array([1.0, 2.0, 3.0]), np.array([10, 20, 30]))
    assert _decoded(bytes(body), encode.Protocol.V1) == [
        (labels, [(10, 1.0), (20, 2.0), (30, 3.0)])
    ]


@NO_DEADLINE
@hypothesis.given(st.dictionaries(st.text(min_size=1, max_size=12), VALUES, max_size=6))
def test_output_labels_are_valid_whatever_the_source(pairs: dict[str, str]) -> None:
    source = frames.labels_from_pairs(pairs.items())
    assert outputs.problem(outputs.output_labels(source, "anomaly_score", query="q")) is None


def test_a_clash_with_our_labels_becomes_exported_however_often() -> None:
    source = (("exported_query", "a"), ("kind", "b"), ("query", "c"))
    assert dict(outputs.output_labels(source, "m", query="q", kind="spike")) == {
        "__name__": "m",
        "query": "q",
        "kind": "spike",
        "exported_query": "a",
        "exported_exported_query": "c",
        "exported_kind": "b",
    }


def test_rows_that_differ_by_name_alone_are_refused_until_the_first_is_gone() -> None:
    table = frames.SeriesTable()
    first = table.row((("__name__", "a"), ("host", "1")))
    second = table.row((("__name__", "b"), ("host", "1")))
    known = blocks.QueryBlocks("q")
    assert known.follow(table) == 1
    assert known.usable.tolist() == [True, False]
    table.forget([first])
    assert known.follow(table) == 0
    assert known.usable.tolist() == [False, True]
    assert second == 1


def test_a_row_given_to_another_series_is_written_under_its_labels() -> None:
    table = recording.table_of(2)
    known = blocks.QueryBlocks("q")
    known.follow(table)
    table.forget([0])
    table.row((("__name__", "up"), ("host", "new")))
    known.follow(table)
    (block,) = known.blocks
    body = block.template(encode.Protocol.V1).body(np.ones(8), np.ones(8, dtype=np.int64))
    hosts = [dict(labels)["host"] for labels, _ in _decoded(bytes(body), encode.Protocol.V1)]
    assert hosts == ["new"] * 4 + ["1"] * 4
