"""POST /api/reload: the configuration is read again."""

from collections.abc import Callable

from fastapi import APIRouter, Depends

from detector import errors
from detector.api import auth, problems
from detector.services import reloading

OFF = "anomaly detection is turned off: there are no queries to reload"


def router(reload: Callable[[], reloading.Changes] | None, guards: auth.Guards) -> APIRouter:
    """The route, for operators; 409 where nothing can be reloaded."""
    routes = APIRouter(tags=["status"], dependencies=[Depends(guards.operator)])

    @routes.post("/api/reload")
    def reload_configuration() -> reloading.Changes:
        """Read the configuration again: queries that have not changed go on as they are. 422 when
        something in it is wrong; then all is as it was."""
        if reload is None:
            raise problems.Problem(409, OFF)
        try:
            return reload()
        except errors.ConfigError as error:
            raise problems.Problem(422, str(error)) from error

    return routes
