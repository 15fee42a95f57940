"""Frames: a long one in blocks."""

from __future__ import annotations

import numpy as np

from detector import frames


def test_blocks_are_the_frame_in_order_in_the_same_memory() -> None:
    values = np.asfortranarray(np.arange(14, dtype=np.float64).reshape(7, 2))
    frame = frames.Frame(60_000 * np.arange(7), values, 60_000)
    blocks = list(frame.blocks(3))
    assert [len(block.times_ms) for block in blocks] == [3, 3, 1]
    assert np.array_equal(np.concatenate([block.values for block in blocks]), values)
    assert np.array_equal(np.concatenate([block.times_ms for block in blocks]), frame.times_ms)
    assert all(np.shares_memory(block.values, values) for block in blocks)
    assert {block.step_ms for block in blocks} == {60_000}


def test_a_frame_without_series_has_its_steps_in_blocks_too() -> None:
    frame = frames.Frame(60_000 * np.arange(3), np.zeros((3, 0)), 60_000)
    assert [block.values.shape for block in frame.blocks(2)] == [(2, 0), (1, 0)]
