"""The project's own files that are no Python: configurations and rules."""

from __future__ import annotations

import pathlib

from detector import errors

NEEDED = ("prometheus.yml", "alertmanager.yml", "rules")


def find(working_folder: pathlib.Path) -> pathlib.Path:
    """The folder with prometheus.yml, alertmanager.yml and rules/: here, else beside our code.

    Raises StackError when neither has them.
    """
    beside_the_code = pathlib.Path(__file__).resolve().parents[2]
    for folder in (working_folder.absolute(), beside_the_code):
        if all((folder / name).exists() for name in NEEDED):
            return folder
    raise errors.StackError(
        f"no {', '.join(NEEDED)} in {working_folder.absolute()}: run this in the project's folder"
    )
