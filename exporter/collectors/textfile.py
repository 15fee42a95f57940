"""Metrics that other programs leave as files *.prom in a folder.

A file is served whole or not at all: malformed text, time stamps, or series that another file
has already make node_textfile_scrape_error 1, and the other files are served.
"""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from prometheus_client import parser
from prometheus_client.core import GaugeMetricFamily, Metric

from exporter import exposition, procfs
from exporter.collectors import contract

MAX_FILE_BYTES: Final = 16 * 2**20
# The lines of the text format 0.0.4: a name, labels, a value, perhaps a time stamp.
_LABEL: Final = r'[a-zA-Z_][a-zA-Z0-9_]*[ \t]*=[ \t]*"(?:[^"\\]|\\.)*"'
SAMPLE: Final = re.compile(
    r"[ \t]*[a-zA-Z_:][a-zA-Z0-9_:]*[ \t]*"
    rf"(?:\{{[ \t]*(?:{_LABEL}[ \t]*,?[ \t]*)*\}})?[ \t]*[0-9a-zA-Z.+-]+(?:[ \t]+-?\d+)?[ \t]*"
)
# To OpenMetrics a counter ends in _total: one that does not is served as untyped.
BARE_COUNTER: Final = re.compile(r"(?m)^# TYPE (\S+(?<!_total)) counter[ \t]*$")
logger = logging.getLogger(__name__)


def build(host: contract.Host) -> contract.Collector:
    """The collector for this host."""
    return Textfile(host.settings.collectors.textfile.directory)


@dataclass(frozen=True, slots=True)
class Parsed:
    """A file as it was when it was parsed, and why it is not served ("" if it is)."""

    version: tuple[int, int, int]
    families: tuple[Metric, ...]
    error: str


def parse_file(text: str, path: str) -> tuple[Metric, ...]:
    """The families of a text file; one without HELP gets a text that names the file.

    Raises Malformed for what is not the text format, and for time stamps.
    """
    try:
        families = tuple(_parsed(text))
    except (ValueError, IndexError, KeyError) as error:
        raise procfs.Malformed(f"not the text format: {error}") from error
    for metric in families:
        metric.documentation = metric.documentation or f"Metric read from {path}"
        if any(sample.timestamp is not None for sample in metric.samples):
            raise procfs.Malformed(f"{metric.name} has time stamps, which are not supported")
    return families


def _parsed(text: str) -> Iterator[Metric]:
    if text and not text.endswith("\n"):
        raise ValueError("the last line has no end: was the file written in place?")
    for line in text.split("\n"):  # prometheus_client lets much pass that Prometheus does not
        if line.strip() and not line.lstrip().startswith("#") and not SAMPLE.fullmatch(line):
            raise ValueError(f"{line[:80]!r} is no sample")
    honest = BARE_COUNTER.sub(r"# TYPE \1 untyped", text)
    yield from parser.text_string_to_metric_families(honest)


class Textfile:
    """A file is parsed again when it changed."""

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder
        self._parsed: dict[Path, Parsed] = {}
        self._refused: dict[Path, str] = {}

    def collect(self) -> exposition.Block:
        if self._folder is None:
            raise procfs.NoData("collectors.textfile.directory is not set")
        paths, is_readable = self._paths(self._folder)
        before, self._parsed = self._parsed, {}
        for path in paths:
            self._parsed[path] = self._read(path, before.get(path))
        served = merged({path: it for path, it in self._parsed.items() if not it.error})
        self._log_new(served.refused)
        is_error = len(served.paths) < len(paths) or not is_readable
        return [*served.families, *_about(served.paths, self._parsed, is_error)]

    def _log_new(self, refused: dict[Path, str]) -> None:
        for path, reason in refused.items():
            if self._refused.get(path) != reason:
                logger.error("textfile refused", extra={"file": str(path), "reason": reason})
        self._refused = refused

    def _paths(self, folder: Path) -> tuple[list[Path], bool]:
        try:
            return sorted(path for path in folder.iterdir() if path.suffix == ".prom"), True
        except OSError as error:
            logger.error(
                "cannot list the textfile folder",
                extra={"folder": str(folder), "reason": error.strerror},
            )
            return [], False

    def _read(self, path: Path, before: Parsed | None) -> Parsed:
        version = (0, 0, 0)
        try:
            status = path.stat()
            version = (status.st_mtime_ns, status.st_size, status.st_ino)
            if before is not None and before.version == version:
                return before
            if status.st_size > MAX_FILE_BYTES:
                raise procfs.Malformed(f"larger than {MAX_FILE_BYTES} bytes")
            text = procfs.read_once(path).decode("utf-8")
            return Parsed(version, parse_file(text, os.fspath(path)), "")
        except (OSError, ValueError, procfs.NoData) as error:
            if before is None or before.error != str(error):
                logger.error("textfile refused", extra={"file": str(path), "reason": str(error)})
            return Parsed(version, (), str(error))


@dataclass(frozen=True, slots=True)
class Served:
    """What the files hold together, whose series are in it, and why others' are not."""

    families: list[Metric]
    paths: list[Path]
    refused: dict[Path, str]


def merged(files: dict[Path, Parsed]) -> Served:
    """One family per name over all files; a file that clashes with an earlier one is left out.

    Two files may share a family of the same type and help, with different series.
    """
    by_name: dict[str, Metric] = {}
    seen: set[tuple[str, tuple[tuple[str, str], ...]]] = set()
    paths: list[Path] = []
    refused: dict[Path, str] = {}
    for path, parsed in files.items():
        series = [
            (sample.name, tuple(sorted(sample.labels.items())))
            for metric in parsed.families
            for sample in metric.samples
        ]
        reason = _clash(parsed, by_name) or (
            "has a series twice" if len({*series}) < len(series) or seen & {*series} else ""
        )
        if reason:
            refused[path] = reason
            continue
        seen.update(series)
        paths.append(path)
        for metric in parsed.families:
            _join(metric, by_name)
    return Served(list(by_name.values()), paths, refused)


def _clash(parsed: Parsed, by_name: dict[str, Metric]) -> str:
    for metric in parsed.families:
        other = by_name.get(metric.name)
        if other is not None and other.type != metric.type:
            return f"{metric.name} is {metric.type} here and {other.type} in another file"
    return ""


def _join(metric: Metric, by_name: dict[str, Metric]) -> None:
    if metric.name not in by_name:
        copy = Metric(metric.name, metric.documentation, metric.type)
        by_name[metric.name] = copy
    by_name[metric.name].samples = [*by_name[metric.name].samples, *metric.samples]


def _about(paths: list[Path], parsed: dict[Path, Parsed], is_error: bool) -> list[Metric]:
    error = GaugeMetricFamily(
        "node_textfile_scrape_error",
        "1 if there was an error opening or reading a file, 0 otherwise",
        int(is_error),
    )
    mtime = GaugeMetricFamily(
        "node_textfile_mtime_seconds",
        "Unixtime mtime of textfiles successfully read.",
        labels=["file"],
    )
    for path in paths:
        mtime.add_metric([os.fspath(path)], parsed[path].version[0] // 10**9)
    return [error, mtime] if paths else [error]
