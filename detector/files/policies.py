"""Policies in files and folders."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import yaml

from detector import errors
from detector.policy import documents, revisions

T = TypeVar("T")
SUFFIXES = {".yml", ".yaml", ".json"}
MOST_BYTES = 10_000_000


@dataclass(frozen=True, slots=True)
class Loaded:
    """A policy, the file that it stands in, and its place there, which knows lines."""

    document: documents.Document
    file: Path
    node: yaml.Node


def load(paths: Iterable[Path]) -> list[Loaded]:
    """The policies of these files, and of all files in these folders.

    Raises ConfigError for a path that can't be read, PolicyError with the faults of all files.
    """
    found: list[Loaded] = []
    faults: list[errors.PolicyError] = []
    for file in dict.fromkeys(_files(paths)):
        try:
            found += [Loaded(each, file, node) for each, node in _read(file)]
        except errors.PolicyError as exc:
            faults.append(exc)
    faults += _taken_names(found)
    if faults:
        raise errors.PolicyErrors(faults)
    return found


def each_made(loaded: Iterable[Loaded], make: Callable[[Loaded], T]) -> list[T]:
    """What is made of each policy. Raises PolicyErrors with the faults of all, by line."""
    found: list[T] = []
    faults: list[errors.PolicyError] = []
    for each in loaded:
        try:
            found.append(make(each))
        except errors.PolicyError as exc:
            faults.append(documents.with_lines(exc, each.node))
    if faults:
        raise errors.PolicyErrors(faults)
    return found


def _files(paths: Iterable[Path]) -> Iterator[Path]:
    for path in paths:
        if not path.is_dir():
            yield path
            continue
        inside = sorted(each for each in path.rglob("*") if each.suffix in SUFFIXES)
        if not inside:
            suffixes = ", ".join(sorted(SUFFIXES))
            raise errors.ConfigError(f"{path}: no policy is in it: {suffixes} are looked for")
        yield from inside


def _read(file: Path) -> list[tuple[documents.Document, yaml.Node]]:
    try:
        if file.stat().st_size > MOST_BYTES:
            raise errors.ConfigError(f"{file}: larger than {MOST_BYTES // 1_000_000} MB")
        text = file.read_text(encoding="utf-8")
    except OSError as exc:
        raise errors.ConfigError(f"{file}: {exc.strerror}") from exc
    except UnicodeDecodeError as exc:
        raise errors.ConfigError(f"{file}: not UTF-8: byte {exc.start + 1} is wrong") from exc
    return documents.from_yaml(text, str(file))


def _taken_names(found: Iterable[Loaded]) -> Iterator[errors.PolicyError]:
    first: dict[str, Loaded] = {}
    for each in found:
        other = first.setdefault(revisions.name_key(each.document.name), each)
        if other is not each:
            fault = errors.PolicyFault(
                "name", each.document.name, f"{other.file} has a policy of this name too"
            )
            error = errors.PolicyError(str(each.file), [fault])
            yield documents.with_lines(error, each.node)
