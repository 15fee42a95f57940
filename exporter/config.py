"""One frozen model of all settings: defaults < YAML < environment < secrets from files."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import pydantic
from pydantic import Field

PREFIX = "EXPORTER_"
CONFIG_FILE = "EXPORTER_CONFIG_FILE"
SECRETS: dict[str, tuple[str, ...]] = {
    "EXPORTER_AUTH__BEARER_TOKEN": ("auth", "bearer_token"),
}
"""Names that may also be given as NAME_FILE, a file that holds the value."""

# Defaults of Debian's prometheus-node-exporter 1.5.0 (debian/patches there hide lo and loop).
MOUNT_POINTS_EXCLUDE = (
    r"^/(dev|proc|run|sys|mnt|media|var/lib/docker/.+|var/lib/containers/storage/.+)($|/)"
)
FS_TYPES_EXCLUDE = (
    r"^(autofs|binfmt_misc|bpf|cgroup2?|configfs|debugfs|devpts|devtmpfs|fusectl|hugetlbfs|iso9660"
    r"|mqueue|nsfs|overlay|proc|procfs|pstore|rpc_pipefs|securityfs|selinuxfs|squashfs|sysfs"
    r"|tracefs)$"
)
DISKS_EXCLUDE = r"^(ram|loop|fd|(h|s|v|xv)d[a-z]|nvme\d+n\d+p)\d+$"
NETWORK_DEVICES_EXCLUDE = r"^lo$"
VMSTAT_FIELDS = r"^(oom_kill|pgpg|pswp|pg.*fault).*"

_UNIT_S = {"ms": 0.001, "s": 1.0, "m": 60.0}
_HASH = re.compile(r"scrypt\$(?:[0-9a-f]{2})+\$[0-9a-f]{128}")
_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m)?")


class ConfigError(Exception):
    """Wrong configuration; the message is one line for the operator."""


def parse_duration(value: object) -> object:
    """A timedelta from seconds or from "500ms", "1s", "2m"; anything else unchanged.

    >>> parse_duration("500ms")
    datetime.timedelta(microseconds=500000)
    """
    if isinstance(value, str):
        match = _DURATION.fullmatch(value)
        if match is None:
            raise ValueError("a number of seconds or a duration such as 500ms, 1s, 2m")
        return timedelta(seconds=float(match[1]) * _UNIT_S[match[2] or "s"])
    return value


def parse_pattern(value: object) -> object:
    """The text of a regular expression that compiles; None and other types unchanged."""
    if isinstance(value, str):
        try:
            re.compile(value)
        except re.error as error:
            raise ValueError(f"a regular expression ({error})") from None
    return value


def check_timeout(value: timedelta) -> timedelta:
    """A time that a scrape may be waited for, unchanged."""
    if not timedelta(milliseconds=10) <= value <= timedelta(minutes=1):
        raise ValueError("a duration from 10ms to 1m")
    return value


Timeout = Annotated[
    timedelta, pydantic.BeforeValidator(parse_duration), pydantic.AfterValidator(check_timeout)
]
Pattern = Annotated[str, pydantic.BeforeValidator(parse_pattern)]


class Section(pydantic.BaseModel):
    """A part of the settings: frozen, unknown keys refused."""

    model_config = pydantic.ConfigDict(extra="forbid", frozen=True)


class CollectorSettings(Section):
    """What every collector has: whether it runs, and how long a scrape waits for it."""

    enabled: bool = True
    deadline: Timeout = timedelta(seconds=1)


class DeviceFilter(CollectorSettings):
    """Devices by name: what `device_include` matches (all when it is not set), less the rest."""

    device_include: Pattern | None = None
    device_exclude: Pattern | None = None

    @pydantic.model_validator(mode="after")
    def _one_of_both(self) -> Self:
        if self.device_include and "device_exclude" in self.model_fields_set:
            raise ValueError("device_include and device_exclude exclude each other: set one")
        return self


class DiskstatsSettings(DeviceFilter):
    device_exclude: Pattern | None = DISKS_EXCLUDE


class NetdevSettings(DeviceFilter):
    device_exclude: Pattern | None = NETWORK_DEVICES_EXCLUDE


class FilesystemSettings(CollectorSettings):
    mount_points_exclude: Pattern = MOUNT_POINTS_EXCLUDE
    fs_types_exclude: Pattern = FS_TYPES_EXCLUDE
    mount_timeout: Timeout = timedelta(milliseconds=500)


class VmstatSettings(CollectorSettings):
    fields: Pattern = VMSTAT_FIELDS


class TextfileSettings(CollectorSettings):
    directory: Path | None = None


class Collectors(Section):
    """One section a collector, of the collector's name."""

    cpu: CollectorSettings = CollectorSettings()
    diskstats: DiskstatsSettings = DiskstatsSettings()
    filefd: CollectorSettings = CollectorSettings()
    filesystem: FilesystemSettings = FilesystemSettings()
    hwmon: CollectorSettings = CollectorSettings()
    loadavg: CollectorSettings = CollectorSettings()
    meminfo: CollectorSettings = CollectorSettings()
    netdev: NetdevSettings = NetdevSettings()
    pressure: CollectorSettings = CollectorSettings()
    sockstat: CollectorSettings = CollectorSettings()
    stat: CollectorSettings = CollectorSettings()
    textfile: TextfileSettings = TextfileSettings()
    thermal_zone: CollectorSettings = CollectorSettings()
    time: CollectorSettings = CollectorSettings()
    uname: CollectorSettings = CollectorSettings()
    vmstat: VmstatSettings = VmstatSettings()

    def of(self, name: str) -> CollectorSettings:
        """The section of the collector of this name."""
        section: CollectorSettings = getattr(self, name)
        return section


class Paths(Section):
    """Where the kernel's views are mounted; in a container, where the host's are."""

    procfs: Path = Path("/proc")
    sysfs: Path = Path("/sys")
    rootfs: Path = Path("/")
    udev: Path = Path("/run/udev/data")


class Tls(Section):
    cert_file: Path | None = None
    key_file: Path | None = None

    @pydantic.model_validator(mode="after")
    def _both_or_none(self) -> Self:
        if (self.cert_file is None) != (self.key_file is None):
            raise ValueError("cert_file and key_file belong together: set both or none")
        return self


class User(Section):
    """A user of basic authentication: a scrypt hash, or a file that holds the password."""

    password_hash: pydantic.SecretStr | None = None
    password_file: Path | None = None

    @pydantic.model_validator(mode="after")
    def _exactly_one(self) -> Self:
        if (self.password_hash is None) == (self.password_file is None):
            raise ValueError("a user has either password_hash or password_file")
        if self.password_hash and not _HASH.fullmatch(self.password_hash.get_secret_value()):
            raise ValueError("password_hash is what mda-exporter hash-password prints")
        return self


class Auth(Section):
    """Who may read /metrics: everybody, the users, or the bearer of the token."""

    users: dict[str, User] = {}
    bearer_token: pydantic.SecretStr | None = Field(None, min_length=1)

    @pydantic.model_validator(mode="after")
    def _users_or_token(self) -> Self:
        if self.users and self.bearer_token:
            raise ValueError("users and bearer_token exclude each other: set one")
        return self


class Log(Section):
    level: Literal["debug", "info", "warning", "error"] = "info"
    format: Literal["logfmt", "json"] = "logfmt"


class Settings(Section):
    """All settings of the exporter."""

    listen_address: str = Field("127.0.0.1:9100", pattern=r"^(\[[0-9a-fA-F:]+\]|[^\s:]*):\d{1,5}$")
    self_metrics: bool = True
    tls: Tls = Tls()
    auth: Auth = Auth()
    paths: Paths = Paths()
    collectors: Collectors = Collectors()
    log: Log = Log()


def load(config_file: Path | None, environ: Mapping[str, str] | None = None) -> Settings:
    """The settings from a YAML file and an environment (this process' own by default).

    Raises ConfigError: one line that names the file or variable, the key, the value, what is
    allowed.
    """
    env = dict(os.environ) if environ is None else dict(environ)
    if config_file is None and env.get(CONFIG_FILE):
        config_file = Path(env[CONFIG_FILE])
    tree = _yaml_tree(config_file) if config_file else {}
    origin: dict[tuple[str, ...], str] = {}
    for name, path, value in _environment(env):
        _put(tree, path, value, name)
        origin[path] = name
    try:
        return Settings.model_validate(tree)
    except pydantic.ValidationError as error:
        raise ConfigError(_line(error, origin, config_file)) from None


def secret_from_file(path: Path, name: str) -> str:
    """The text of a file that holds one secret, without the newline at its end.

    Raises ConfigError naming the key or variable `name` that named the file.
    """
    try:
        text = path.read_text(encoding="utf-8").strip()
    except OSError as error:
        raise ConfigError(
            f"{name}: {path}: {error.strerror}: name a file that can be read"
        ) from None
    except UnicodeDecodeError:
        raise ConfigError(f"{name}: {path}: not UTF-8 text") from None
    if not text:
        raise ConfigError(f"{name}: {path}: empty: a secret of one line is expected")
    return text


def _yaml_tree(path: Path) -> dict[str, Any]:
    import yaml  # only who has a file pays for its memory

    try:
        tree = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}: name a file that can be read") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: not YAML: {' '.join(str(error).split())}") from None
    if tree is None:
        return {}
    if not isinstance(tree, dict):
        raise ConfigError(f"{path}: {type(tree).__name__}: keys with values are expected")
    return tree


def _environment(env: Mapping[str, str]) -> Iterator[tuple[str, tuple[str, ...], object]]:
    """(name, path, value) of each variable that is a setting, the strongest last."""
    for name in sorted(env):
        if not name.startswith(PREFIX) or name == CONFIG_FILE or not env[name]:
            continue
        if name.endswith("_FILE") and name.removesuffix("_FILE") in SECRETS:
            continue
        yield name, tuple(name.removeprefix(PREFIX).lower().split("__")), _parsed(env[name])
    for name, path in SECRETS.items():
        file = env.get(f"{name}_FILE")
        if file:
            yield f"{name}_FILE", path, secret_from_file(Path(file), f"{name}_FILE")


def _parsed(text: str) -> object:
    """Mappings may be given as JSON; all else stays text, which pydantic converts."""
    if text.startswith("{"):
        try:
            return json.loads(text)
        except ValueError:
            return text
    return text


def _put(tree: dict[str, Any], path: tuple[str, ...], value: object, name: str) -> None:
    node = tree
    for key in path[:-1]:
        child = node.get(key)
        node[key] = child = {} if child is None else child
        if not isinstance(child, dict):
            raise ConfigError(f"{name}: {key} is not a section: see docs/configuration.md")
        node = child
    node[path[-1]] = value


_ALLOWED = {"extra_forbidden": "unknown key: see docs/configuration.md"}
_SECRET_KEYS = {"bearer_token", "password_hash", "users", "auth"}


def _line(
    error: pydantic.ValidationError, origin: dict[tuple[str, ...], str], file: Path | None
) -> str:
    first = error.errors(include_url=False)[0]
    path = tuple(str(part) for part in first["loc"])
    source = next((name for at, name in origin.items() if at[: len(path)] == path[: len(at)]), None)
    where = f"environment {source}" if source else str(file or "settings")
    message = _ALLOWED.get(first["type"], first["msg"].removeprefix("Value error, "))
    if not path:
        return f"{where}: {message}"
    value = "(hidden)" if path[-1] in _SECRET_KEYS or path[0] == "auth" else repr(first["input"])
    return f"{where}: {'.'.join(path)}: {value[:200]}: {message}"
