"""The database of commands that need one."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from detector import config


def with_database(settings: config.Settings) -> config.Settings:
    """The settings with a well formed DATABASE_URL; without one, that of `mda up`, if it has one.

    Raises ConfigError, StackError.
    """
    import pydantic

    from detector import checks
    from detector.stack import postgres

    if settings.database_url is None:
        url = postgres.url_of(settings.home)
        settings = settings.model_copy(update={"database_url": url and pydantic.SecretStr(url)})
    checks.raise_first_wrong([checks.database_url(settings)])
    return settings
