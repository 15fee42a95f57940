"""Prometheus', Alertmanager's and the rules' files, written for the place they run in.

The shipped files are read, never changed; a rendered copy differs in addresses, intervals,
thresholds, recipients and paths, and in receivers left out for want of settings.
"""

from __future__ import annotations

import dataclasses
import pathlib
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from datetime import timedelta
from typing import Any

import yaml

from detector import config, errors, whole
from detector.stack import addresses as addresses_
from detector.stack import checkout, tokens
from detector.stack.receivers import assemble, base, events, handwritten, shape, versions

CHECK_TIMEOUT_S = 30
GENERATED = pathlib.Path("rules", "generated")
"""Where the detector publishes the rules of policies."""
TEMPLATES = "templates"
"""The folder of messages' templates, below the rules."""
# Read by whoever serves them; the detector and Alertmanager share a group in compose.
GROUP_MAY_READ = 0o640


@dataclasses.dataclass(frozen=True, slots=True)
class Tools:
    """promtool and amtool; without one its file is not checked."""

    promtool: pathlib.Path | None = None
    amtool: pathlib.Path | None = None


NO_TOOLS = Tools()


@dataclasses.dataclass(frozen=True, slots=True)
class Rendered:
    """Where the files are, and what a person should know about them, a line each.

    generated  the folder for rules of policies
    features   that Alertmanager is to be started with
    """

    prometheus: pathlib.Path
    alertmanager: pathlib.Path
    generated: pathlib.Path
    notes: tuple[str, ...]
    features: tuple[str, ...] = ()


def run(settings: config.Settings, out: pathlib.Path | None) -> list[str]:
    """`mda render`: into out for the containers of docker-compose.yml, else for `mda up`'s stack.

    Returns lines for the terminal. Raises StackError or ConfigError.
    """
    tools = Tools(promtool=_which("promtool"), amtool=_which("amtool"))
    if out is None:
        home = settings.home.absolute()
        addresses = addresses_.load(home)
        program = _which("prometheus-alertmanager") or _which("alertmanager")
        version = versions.of(settings, address=addresses.alertmanager, program=program)
        rendered = render(settings, addresses, home / "rendered", tools, version=version)
    else:  # what runs there is no program of this host
        addresses = addresses_.COMPOSE
        version = versions.of(settings, address=addresses.alertmanager, program=None)
        rendered = render(
            settings,
            addresses,
            out.absolute(),
            tools,
            secrets_mode=GROUP_MAY_READ,
            version=version,
            copies=True,
        )
    flags = [
        f"start Alertmanager with --enable-feature={feature}: else whom its receivers have told "
        "is not known per alert"
        for feature in rendered.features
    ]
    return [
        *rendered.notes,
        *flags,
        f"wrote {rendered.prometheus}",
        f"wrote {rendered.alertmanager}",
    ]


def render(
    settings: config.Settings,
    addresses: addresses_.Addresses,
    out_dir: pathlib.Path,
    tools: Tools = NO_TOOLS,
    *,
    secrets_mode: int = tokens.OWNER_ONLY,
    version: base.Version = base.OLDEST,
    copies: bool = False,
) -> Rendered:
    """Write prometheus.yml, alertmanager.yml, rules/ and secrets/ into out_dir, an absolute path.

    version  of the Alertmanager that reads it
    copies   whether a configuration of the user's own is copied, not used where it lies

    Raises ConfigError for settings that cannot work together, StackError when promtool or amtool
    refuses a file or the project's own files are not found.
    """
    source = checkout.find(pathlib.Path.cwd())
    _write_rules(source / "rules", out_dir / "rules", settings.thresholds)
    prometheus = out_dir / "prometheus.yml"
    tree = _moved(_read(source / "prometheus.yml"), addresses)
    _set_intervals(tree.setdefault("global", {}), settings.metric_collection_interval)
    tree["rule_files"] = [str(out_dir / pattern) for pattern in tree.get("rule_files", [])]
    _write(prometheus, tree)

    secrets = base.Secrets(out_dir / "secrets", secrets_mode)
    place = base.Place(secrets, addresses.detector, assemble.token_file(settings, secrets), version)
    if settings.alertmanager.config is None:
        shipped = source / "alertmanager.yml"
        tree = _moved(_read(shipped), addresses)
        shape.check(tree, shipped)
        tree["templates"] = [str(out_dir / pattern) for pattern in tree.get("templates", [])]
        notes = assemble.set_up(tree, settings, place)
        alertmanager = out_dir / "alertmanager.yml"
        _write(alertmanager, tree)
        _check(tools.amtool, ["check-config", str(alertmanager)])
    else:
        alertmanager = settings.alertmanager.config.absolute()
        tree = _read(alertmanager)
        _check(tools.amtool, ["check-config", str(alertmanager)])
        shape.check(tree, alertmanager)
        notes = list(handwritten.notes(tree, settings, place))
        if copies:
            text = alertmanager.read_text(encoding="utf-8")
            alertmanager = out_dir / "alertmanager.yml"
            whole.write(alertmanager, text)
    _check(tools.promtool, ["check", "config", str(prometheus)])
    features = (events.FEATURE,) if version >= events.SINCE and tree.get(events.KEY) else ()
    return Rendered(prometheus, alertmanager, out_dir / GENERATED, tuple(notes), features)


def prometheus_duration(duration: timedelta) -> str:
    """Prometheus' notation, in whole seconds where that is exact.

    >>> prometheus_duration(timedelta(seconds=5)), prometheus_duration(timedelta(seconds=2.5))
    ('5s', '2500ms')
    """
    milliseconds = round(duration / timedelta(milliseconds=1))
    return f"{milliseconds}ms" if milliseconds % 1000 else f"{milliseconds // 1000}s"


def _set_intervals(global_: dict[str, Any], interval: timedelta) -> None:
    for key in ("scrape_interval", "evaluation_interval"):
        global_[key] = prometheus_duration(interval)


def _write_rules(source: pathlib.Path, target: pathlib.Path, thresholds: config.Thresholds) -> None:
    """Copies of the hand-written rules, with our thresholds, and of the templates of messages;
    rules/generated is left alone."""
    (target.parent / GENERATED).mkdir(parents=True, exist_ok=True)
    for file in _files(source / TEMPLATES, target / TEMPLATES, "*.tmpl"):
        whole.write(target / TEMPLATES / file.name, file.read_text(encoding="utf-8"))
    for file in _files(source, target, "*.yml"):
        tree = _read(file)
        if _set_thresholds(tree, thresholds):
            _write(target / file.name, tree)
        else:
            whole.write(target / file.name, file.read_text())


def _files(source: pathlib.Path, target: pathlib.Path, pattern: str) -> list[pathlib.Path]:
    """Those that are to be copied; what the target has of others is removed."""
    files = sorted(source.glob(pattern))
    for leftover in {file.name for file in target.glob(pattern)} - {file.name for file in files}:
        (target / leftover).unlink()
    return files


def _set_thresholds(tree: dict[str, Any], thresholds: config.Thresholds) -> bool:
    """Whether the tree holds threshold series, which now have our numbers."""
    exprs = {
        f"monitor:{name}_threshold:percent": f"vector({value:g})"
        for name, value in thresholds.model_dump().items()
    }
    found = False
    for group in tree.get("groups", []):
        for rule in group["rules"]:
            if rule.get("record") in exprs:
                rule["expr"] = exprs[rule["record"]]
                found = True
    return found


def _moved(node: Any, addresses: addresses_.Addresses) -> Any:
    """A copy of the tree in which the addresses of compose are ours, and no key has no value."""
    moves = {
        old: getattr(addresses, part)
        for part, old in dataclasses.asdict(addresses_.COMPOSE).items()
    }
    return _replaced(node, moves)


def _replaced(node: Any, moves: Mapping[str, str]) -> Any:
    if isinstance(node, dict):
        return {key: _replaced(value, moves) for key, value in node.items() if value is not None}
    if isinstance(node, list):
        return [_replaced(value, moves) for value in node]
    if isinstance(node, str):
        for old, new in moves.items():
            if node == old:
                return new
            node = node.replace(f"//{old}/", f"//{new}/")
    return node


def _read(path: pathlib.Path) -> dict[str, Any]:
    try:
        tree = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as exc:
        raise errors.StackError(f"{path}: {exc.strerror}: name a file that can be read") from exc
    except (yaml.YAMLError, UnicodeDecodeError) as exc:
        raise errors.StackError(f"{path}: {' '.join(str(exc).split())}") from exc
    if not isinstance(tree, dict):
        raise errors.StackError(f"{path}: keys with values are expected")
    return tree


def _write(path: pathlib.Path, tree: dict[str, Any]) -> None:
    text = yaml.safe_dump(tree, sort_keys=False, allow_unicode=True, width=120)
    whole.write(path, f"# Written by mda render; edit the project's own file instead.\n{text}")


def _check(tool: pathlib.Path | None, arguments: list[str]) -> None:
    if tool is None:
        return
    ran = subprocess.run(  # noqa: S603 - argv, no shell
        [tool, *arguments], capture_output=True, text=True, timeout=CHECK_TIMEOUT_S, check=False
    )
    if ran.returncode != 0:
        said = " ".join(_complaints(f"{ran.stdout}\n{ran.stderr}"))
        raise errors.StackError(f"{tool.name} refuses {arguments[-1]}: {said}")


def _complaints(output: str) -> Iterator[str]:
    """What promtool and amtool find wrong, which may stand on the line that names the file."""
    for line in output.splitlines():
        _, failed, found = line.partition("FAILED: ")
        said = (found if failed else line).strip()
        if failed or (said and "SUCCESS" not in said and not said.startswith("Checking")):
            yield said


def _which(name: str) -> pathlib.Path | None:
    found = shutil.which(name)
    return pathlib.Path(found) if found else None
