"""Kernels are compiled before a stack starts, once for each state of their sources."""

from __future__ import annotations

import os
import pathlib

import pytest

from detector.stack import kernels


@pytest.fixture
def package(tmp_path: pathlib.Path) -> pathlib.Path:
    """Sources that a test may change; what is compiled are the real ones."""
    folder = tmp_path / "package"
    (folder / "models" / "kernels").mkdir(parents=True)
    (folder / "__pycache__").mkdir()
    (folder / "models" / "kernels" / "tail.py").write_text("one")
    return folder


def _said(home: pathlib.Path, package: pathlib.Path, **environ: str) -> list[str]:
    said: list[str] = []
    with kernels.compiled(home, {**os.environ, **environ}, said.append, package=package):
        pass
    return said


@pytest.mark.usefixtures("compiled_kernels")
def test_each_state_of_the_sources_is_compiled_once(
    tmp_path: pathlib.Path, package: pathlib.Path
) -> None:
    first, second = _said(tmp_path, package), _said(tmp_path, package)
    (package / "models" / "kernels" / "tail.py").write_text("two")
    third = _said(tmp_path, package)
    assert [len(first), len(second), len(third)] == [1, 0, 1]
    assert "kernels compiled in" in (tmp_path / "logs" / "warm-up.log").read_text()


def test_a_compilation_that_fails_holds_nothing_up_and_is_tried_again(
    tmp_path: pathlib.Path, package: pathlib.Path
) -> None:
    for _ in range(2):
        said = _said(tmp_path, package, MDA_CONFIG_FILE="/absent.yml")
        assert said[-1] == (
            f"the kernels were not compiled: {tmp_path}/logs/warm-up.log says why; "
            "the detector will do it"
        )
    assert "/absent.yml: No such file" in (tmp_path / "logs" / "warm-up.log").read_text()


def test_a_stack_that_cannot_start_does_not_wait_for_it(
    tmp_path: pathlib.Path, package: pathlib.Path
) -> None:
    said: list[str] = []
    with (
        pytest.raises(ValueError, match="a wrong port"),
        kernels.compiled(tmp_path, dict(os.environ), said.append, package=package),
    ):
        raise ValueError("a wrong port")
    assert len(said) == 1
    assert not [*(package / "__pycache__").iterdir()]
