"""What every channel is made of."""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Callable, Collection, Sequence
from typing import Any, NamedTuple

import pydantic

from detector import config, whole
from detector.stack import tokens

Tree = dict[str, Any]

SHORT = '{{ template "mda.short" . }}'
PLAIN = '{{ template "mda.plain" . }}'
"""One line, and some lines, of plain text (rules/templates)."""


class Version(NamedTuple):
    """A release of Alertmanager.

    >>> Version(0, 25) < Version(0, 25, 1), str(Version(0, 28, 0))
    (True, '0.28.0')
    """

    major: int
    minor: int
    patch: int = 0

    def __str__(self) -> str:
        return ".".join(map(str, self))


OLDEST = Version(0, 25)
"""The oldest that we write for."""


@dataclasses.dataclass(frozen=True, slots=True)
class Secrets:
    """A folder of files, each one secret, which Alertmanager reads when it sends.

    written  the names of those that were written here
    """

    folder: pathlib.Path
    mode: int
    written: set[str] = dataclasses.field(default_factory=set)

    def write(self, name: str, text: str) -> str:
        """The path of the secret's file."""
        whole.write(self.folder / name, text, self.mode)
        self.written.add(name)
        return str(self.folder / name)

    def keep_written(self, names: Collection[str]) -> None:
        """Remove those of these files that were not written here; they need not be there."""
        for name in sorted(set(names) - self.written):
            if (self.folder / name).exists():
                whole.remove(self.folder / name)

    def token(self, name: str) -> str:
        """The path of a file with a random token, made once."""
        tokens.ensure(self.folder / name, self.mode)
        return str(self.folder / name)


@dataclasses.dataclass(frozen=True, slots=True)
class Place:
    """What a configuration is written for.

    detector    host:port, as Alertmanager reaches it
    token_file  with the token that the detector's webhooks ask for
    version     of that Alertmanager
    """

    secrets: Secrets
    detector: str
    token_file: str
    version: Version


@dataclasses.dataclass(frozen=True, slots=True)
class Reach:
    """Whom a channel is to tell, and of what.

    name        of the receiver
    severities  of the alerts
    team        whose alerts; empty for those of all teams that have no receiver of their own
    target      address, number or name, where the channel knows several
    policies    of the team: their alerts are its too, unless they carry another team's label
    """

    name: str
    severities: tuple[str, ...]
    team: str = ""
    target: str = ""
    policies: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True, slots=True)
class Channel:
    """A way by which people are told.

    name      of the channel
    kind      key of its integrations in a receiver
    reaches   whom it tells as the settings are; nobody where they say nothing of it
    missing   names of the settings without which it tells nobody
    complete  puts what settings say into an integration for this reach, and into `global`; one
              that is empty is not in the file, and gets all that it needs
    owns      whether an integration of its kind is one of its own
    since     the first Alertmanager that has it with all secrets in files
    prefix    of its keys in `global`; empty if it has none
    matchers  of its routes, beside those for severity and team
    secrets   names of its files in the folder of secrets
    """

    name: str
    kind: str
    reaches: Callable[[config.Settings], list[Reach]]
    missing: Callable[[config.Settings], list[str]]
    complete: Callable[[Tree, Tree, Reach, config.Settings, Place], None]
    owns: Callable[[Tree], bool] = lambda _: True
    since: Version = OLDEST
    prefix: str = ""
    matchers: tuple[str, ...] = ()
    secrets: tuple[str, ...] = ()


def by_secret(
    name: str,
    kind: str,
    key: str,
    *,
    secret: Callable[[config.Settings], pydantic.SecretStr | None],
    severities: Callable[[config.Settings], tuple[str, ...]],
    complete: Callable[[Tree, config.Settings, Place], None],
    since: Version = OLDEST,
    needs: tuple[str, ...] = (),
    secrets: tuple[str, ...] = (),
    owns: Callable[[Tree], bool] = lambda _: True,
) -> Channel:
    """A channel with one receiver, which is there once its secret is set.

    key       of the secret in the channel's settings; with `_file` also that of its file in an
              integration
    complete  puts whatever else settings say into an integration
    needs     names of settings beside the secret's
    secrets   names of files beside the secret's
    """
    file = f"{name}_{key}"

    def reaches(settings: config.Settings) -> list[Reach]:
        return [] if secret(settings) is None else [Reach(name, severities(settings))]

    def missing(settings: config.Settings) -> list[str]:
        return [file.upper(), *needs] if secret(settings) is None else []

    def complete_all(
        integration: Tree, global_: Tree, reach: Reach, settings: config.Settings, place: Place
    ) -> None:
        given = secret(settings)
        if given is not None:
            integration[f"{key}_file"] = place.secrets.write(file, given.get_secret_value())
        complete(integration, settings, place)

    return Channel(
        name,
        kind,
        reaches,
        missing,
        complete_all,
        owns=owns,
        since=since,
        secrets=(file, *secrets),
    )


def of_teams(
    channel: str,
    settings: config.Settings,
    severities: tuple[str, ...],
    target: Callable[[str, config.Team], str | None],
) -> list[Reach]:
    """The teams that have receivers of their own, in their order.

    severities  where a team names none
    target      whom of a team a channel tells, by its name; nothing where it tells nobody
    """
    return [
        Reach(f"{channel}-{name}", team.severities or severities, name, whom, team.policies)
        for name, team in settings.teams.items()
        if (whom := target(name, team))
    ]


def left_out(receiver: str, missing: Sequence[str]) -> str:
    """Why a receiver tells nobody, by the names of the settings that it lacks.

    >>> left_out("email", ["EMAIL_SMTP_SERVER", "EMAIL_TO"])
    "receiver 'email' left out: EMAIL_SMTP_SERVER and EMAIL_TO not set"
    """
    return f"receiver {receiver!r} left out: {' and '.join(missing)} not set"


def webhook_of_ours(place: Place, path: str) -> Tree:
    """An integration that posts to the detector."""
    authorization = {"type": "Bearer", "credentials_file": place.token_file}
    return {
        "url": f"http://{place.detector}{path}",
        "send_resolved": True,
        "http_config": {"authorization": authorization},
    }
