from __future__ import annotations

import pathlib

import pytest

from detector.stack import programs, render
from tests.detector.stack import receiving


@pytest.mark.parametrize(
    ("features", "flags"), [((), []), (("event-recorder",), ["--enable-feature=event-recorder"])]
)
def test_alertmanager_is_started_with_what_its_configuration_needs(
    features: tuple[str, ...], flags: list[str], tmp_path: pathlib.Path
) -> None:
    rendered = render.Rendered(
        tmp_path / "prometheus.yml", tmp_path / "alertmanager.yml", tmp_path, (), features
    )
    stack = programs.Stack(
        home=tmp_path,
        addresses=receiving.HERE,
        prometheus=tmp_path / "prometheus",
        promtool=tmp_path / "promtool",
        policies=None,
        alertmanager=tmp_path / "alertmanager",
        rendered=rendered,
        database=None,
        environ={},
        inherited={},
        config_file=None,
    )
    argv = {each.program.name: each.program.argv for each in programs.services(stack)}
    given = {name: [each for each in found if "feature" in each] for name, found in argv.items()}
    assert given.pop("alertmanager") == flags
    assert not any(given.values())
