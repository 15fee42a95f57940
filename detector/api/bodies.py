"""Bodies of requests, read no further than allowed."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from datetime import timedelta
from typing import TypeVar

import pydantic
from fastapi import Request
from starlette.requests import ClientDisconnect

from detector.api import problems

Reader = Callable[[Request], Awaitable[bytes]]
_Model = TypeVar("_Model", bound=pydantic.BaseModel)


def parsed(body: bytes, model: type[_Model], *, skip: int = 0) -> _Model:
    """What a body says. Raises Problem: 400 if it is not JSON, 422 if it is no such thing.

    skip  leading parts of a fault's path that are not told: of one kind among several, its name

    FastAPI would do it before it asks for a token.
    """
    try:
        return model.model_validate_json(body)
    except pydantic.ValidationError as error:
        found = error.errors(include_url=False)
    if found[0]["type"] == "json_invalid":
        raise problems.Problem(400, f"body: {found[0]['msg']}")
    fields = problems.fields_from(found, skip=skip)
    raise problems.Problem(422, "; ".join(each.line() for each in fields), fields=fields)


def described(model: type[pydantic.BaseModel]) -> dict[str, object]:
    """The openapi_extra of a route that reads such a body itself; what the model is made of must
    stand in answers too, where FastAPI finds it."""
    schema = model.model_json_schema(ref_template="#/components/schemas/{model}")
    schema.pop("$defs", None)
    return {"requestBody": {"required": True, "content": {"application/json": {"schema": schema}}}}


def described_whole(model: type[pydantic.BaseModel]) -> dict[str, object]:
    """The same of a model whose parts stand nowhere else: they are written out in place."""
    schema = model.model_json_schema()
    parts = schema.pop("$defs", {})
    whole = _written_out(schema, parts)
    return {"requestBody": {"required": True, "content": {"application/json": {"schema": whole}}}}


def _written_out(node: object, parts: Mapping[str, object]) -> object:
    if isinstance(node, list):
        return [_written_out(each, parts) for each in node]
    if not isinstance(node, dict):
        return node
    if "$ref" in node:
        found = _written_out(parts[node["$ref"].rpartition("/")[2]], parts)
        beside = {key: value for key, value in node.items() if key != "$ref"}
        return {**found, **beside} if isinstance(found, dict) else found
    return {
        key: _written_out(value, parts)
        for key, value in node.items()
        if key != "discriminator"  # whose mapping is of references
    }


def reader(*, max_bytes: int, deadline: timedelta, only_json: bool = True) -> Reader:
    """A dependency that gives the whole body of a request.

    It raises Problem: 413 above max_bytes (at once where Content-Length says so), 408 if the body
    is not there by the deadline, 415 where it is said to be anything but JSON and has to be.
    """
    too_large = problems.Problem(413, f"body: larger than the {max_bytes} bytes that are allowed")

    async def read(request: Request) -> bytes:
        if only_json:
            _check_is_json(request)
        if int(request.headers.get("content-length", "0")) > max_bytes:
            raise too_large
        body = bytearray()
        try:
            async with asyncio.timeout(deadline.total_seconds()):
                async for chunk in request.stream():
                    body += chunk
                    if len(body) > max_bytes:
                        raise too_large
        except TimeoutError:
            seconds = f"{deadline.total_seconds():g}"
            raise problems.Problem(
                408, f"body: not complete after {seconds} s", headers={"Connection": "close"}
            ) from None
        except ClientDisconnect:
            raise problems.Problem(400, "body: the connection ended before the body") from None
        return bytes(body)

    return read


def _check_is_json(request: Request) -> None:
    given = request.headers.get("content-type", "application/json")
    if given.split(";")[0].strip().lower() != "application/json":
        raise problems.Problem(
            415,
            f"Content-Type: {given[:100]!r}: must be application/json",
            headers={"Accept-Post": "application/json"},
        )
