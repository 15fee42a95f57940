"""Files that are replaced as a whole."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from detector import errors, whole


def test_a_file_has_the_mode_that_was_asked_for_whatever_the_mask(tmp_path: Path) -> None:
    before = os.umask(0o077)
    try:
        whole.write(tmp_path / "rules", "a")
        whole.write(tmp_path / "secret", b"\xff", 0o600)
    finally:
        os.umask(before)
    found = {each.name: each.stat().st_mode & 0o777 for each in tmp_path.iterdir()}
    assert found == {"rules": 0o644, "secret": 0o600}
    assert (tmp_path / "secret").read_bytes() == b"\xff"


def test_who_reads_a_file_that_is_replaced_goes_on_with_the_one_of_before(tmp_path: Path) -> None:
    path = tmp_path / "made" / "below" / "rules.yml"
    whole.write(path, "before")
    with path.open() as reader:
        whole.write(path, "after")
        assert reader.read() == "before"
    assert path.read_text() == "after"


def test_what_a_crash_left_behind_is_in_nobodys_way(tmp_path: Path) -> None:
    left = tmp_path / ".rules.yml.unfinished"
    left.write_text("half of it")
    left.chmod(0o400)
    whole.write(tmp_path / "rules.yml", "a")
    assert [each.name for each in tmp_path.iterdir()] == ["rules.yml"]


def test_what_cannot_be_written_leaves_nothing_behind(tmp_path: Path) -> None:
    taken = tmp_path / "taken"
    taken.mkdir()
    with pytest.raises(OSError, match="Is a directory"):
        whole.write(taken, "a")
    with pytest.raises(errors.ConfigError, match=r"^--out: .*taken: Is a directory: name a file"):
        whole.write_asked_for(taken, "a", flag="--out")
    assert list(tmp_path.iterdir()) == [taken]


def test_a_file_that_is_not_there_is_removed_too(tmp_path: Path) -> None:
    path = tmp_path / "rules.yml"
    path.write_text("a")
    whole.remove(path)
    whole.remove(path)
    assert list(tmp_path.iterdir()) == []
