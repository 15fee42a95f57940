"""Errors as RFC 9457 problem details, all of them: application/problem+json."""

from __future__ import annotations

import http
import logging
from collections.abc import Mapping, Sequence
from typing import Any

import fastapi
import pydantic
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse

from detector import errors

logger = logging.getLogger(__name__)

MEDIA_TYPE = "application/problem+json"
_VALUE_MAX_CHARS = 200
RETRY_AFTER_S = "1"
FAULTS_MAX = 50
"""Faults that an answer names, of a policy that may have thousands."""
NO_PARAMETER = "no such parameter: see /docs"
_NO_ROUTE = {404: "no such route", 405: "the route has not this method"}


class FieldProblem(pydantic.BaseModel):
    """One value that is not allowed: where it stands, what it was, what would do."""

    field: str
    value: str
    allowed: str

    def line(self) -> str:
        """All three on one line; a value that is missing is left out."""
        return ": ".join(part for part in (self.field, self.value, self.allowed) if part)


class ProblemDetails(pydantic.BaseModel):
    """The body of every error."""

    type: str = "about:blank"
    title: str
    status: int
    detail: str
    errors: list[FieldProblem] = []


class Problem(HTTPException):
    """Raised by a route to answer with an error."""

    def __init__(
        self,
        status: int,
        detail: str,
        *,
        fields: Sequence[FieldProblem] = (),
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(status, detail, dict(headers or {}))
        self.fields = list(fields)


RESPONSES: dict[int | str, dict[str, Any]] = {
    code: {
        "description": text,
        "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/ProblemDetails"}}},
    }
    for code, text in (("4XX", "The request is at fault."), ("5XX", "The server is at fault."))
}
"""What OpenAPI says of errors, for every route."""


def response(
    status: int,
    detail: str,
    *,
    fields: Sequence[FieldProblem] = (),
    headers: Mapping[str, str] | None = None,
    **members: object,
) -> JSONResponse:
    """An answer of this status; members are extension members of RFC 9457."""
    body = ProblemDetails(
        title=http.HTTPStatus(status).phrase, status=status, detail=detail, errors=list(fields)
    )
    return JSONResponse(
        {**body.model_dump(), **members},
        status,
        headers=dict(headers or {}),
        media_type=MEDIA_TYPE,
    )


def fields_from(error: Sequence[Mapping[str, Any]], *, skip: int = 0) -> list[FieldProblem]:
    """pydantic's list of errors in our words; `skip` leading parts of each path are left out."""
    return [
        FieldProblem(
            field=".".join(str(part) for part in each["loc"][skip:]) or "body",
            value="" if each["type"] == "missing" else repr(each.get("input"))[:_VALUE_MAX_CHARS],
            allowed=_allowed(each),
        )
        for each in error
        if not _only_lacks_what_is_wrong(each, error)
    ]


def _only_lacks_what_is_wrong(
    fault: Mapping[str, Any], faults: Sequence[Mapping[str, Any]]
) -> bool:
    """Whether a list is too short because what is in it was refused, which is told."""
    at = len(fault["loc"])
    return fault["type"] == "too_short" and any(
        each["loc"][:at] == fault["loc"] and len(each["loc"]) > at for each in faults
    )


def _allowed(error: Mapping[str, Any]) -> str:
    if error["type"] == "extra_forbidden":
        return NO_PARAMETER
    if error["type"] == "model_type":
        return "a JSON object is allowed"
    if error["type"] == "missing":
        return "it must be given"
    if error["type"] == "union_tag_not_found":
        return f"{error['ctx']['discriminator']} must be given".replace("'", "")
    if error["type"] == "union_tag_invalid":
        given = error["ctx"]
        return f"{given['discriminator']}: {given['expected_tags']} are allowed".replace("'", "")
    return str(error["msg"]).removeprefix("Value error, ")


def install(app: fastapi.FastAPI) -> None:
    """Make this application answer every error this way."""
    app.add_exception_handler(HTTPException, _on_http)
    app.add_exception_handler(RequestValidationError, _on_invalid)
    app.add_exception_handler(errors.StoreError, _on_store)
    app.add_exception_handler(errors.PolicyError, _on_policy)
    app.add_exception_handler(errors.NotFoundError, _on_missing)
    app.add_exception_handler(errors.ConflictError, _on_conflict)
    app.add_exception_handler(errors.PublishError, _on_unpublished)
    app.add_exception_handler(errors.StackError, _on_stack)
    app.add_exception_handler(errors.UpstreamError, _on_upstream)
    app.add_exception_handler(Exception, _on_bug)


async def _on_http(request: fastapi.Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)  # noqa: S101 - registered for it
    fields = error.fields if isinstance(error, Problem) else []
    detail = error.detail
    if not isinstance(error, Problem) and error.status_code in _NO_ROUTE:
        where = f"{request.method} {request.url.path}"[:_VALUE_MAX_CHARS]
        detail = f"{where}: {_NO_ROUTE[error.status_code]}: see /docs"
    return response(error.status_code, detail, fields=fields, headers=error.headers)


async def _on_invalid(_: fastapi.Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)  # noqa: S101 - registered for it
    fields = fields_from(error.errors(), skip=1)
    return response(422, "; ".join(each.line() for each in fields), fields=fields)


async def _on_store(_: fastapi.Request, error: Exception) -> JSONResponse:
    assert isinstance(error, errors.StoreError)  # noqa: S101 - registered for it
    if error.retryable:
        return response(503, str(error), headers={"Retry-After": RETRY_AFTER_S})
    logger.error("store refused", extra={"reason": str(error)})
    return response(500, "the store refused this: see the log")


async def _on_policy(_: fastapi.Request, error: Exception) -> JSONResponse:
    assert isinstance(error, errors.PolicyError)  # noqa: S101 - registered for it
    found = error.faults[:FAULTS_MAX]
    fields = [FieldProblem(field=f.path, value=f.value, allowed=f.text) for f in found]
    more = len(error.faults) - 1
    told = str(error.faults[0]) + (f" (and {more} more)" if more else "")
    return response(422, told, fields=fields)


async def _on_missing(_: fastapi.Request, error: Exception) -> JSONResponse:
    return response(404, str(error))


async def _on_conflict(request: fastapi.Request, error: Exception) -> JSONResponse:
    assert isinstance(error, errors.ConflictError)  # noqa: S101 - registered for it
    is_precondition = error.current is not None and "if-match" in request.headers
    return response(412 if is_precondition else 409, str(error), current_revision=error.current)


async def _on_unpublished(_: fastapi.Request, error: Exception) -> JSONResponse:
    """503 for what may pass, 502 for what Prometheus has against it."""
    assert isinstance(error, errors.PublishError)  # noqa: S101 - registered for it
    if error.retryable:
        return response(503, str(error), headers={"Retry-After": RETRY_AFTER_S})
    return response(502, str(error))


async def _on_upstream(_: fastapi.Request, error: Exception) -> JSONResponse:
    """422 for what Prometheus does not take of somebody's PromQL, else as of what is published."""
    assert isinstance(error, errors.UpstreamError)  # noqa: S101 - registered for it
    if error.kind == "query":
        return response(422, str(error))
    if error.retryable:
        return response(503, str(error), headers={"Retry-After": RETRY_AFTER_S})
    return response(502, str(error))


async def _on_stack(_: fastapi.Request, error: Exception) -> JSONResponse:
    logger.error("promtool failed", extra={"reason": str(error)})
    return response(500, str(error))


async def _on_bug(_request: fastapi.Request, _error: Exception) -> JSONResponse:
    """The server above logs the traceback, once."""
    return response(500, "unexpected error: see the log")
