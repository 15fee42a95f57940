"""Where providers tell what became of an SMS: /api/receipts/{provider}/{reference}/{signature}.

The path is made for each message and signed, so whoever knows it may speak of this message alone.
It is short, since Vonage takes no callback address of more than 100 characters.
"""

import json
import urllib.parse
from collections.abc import Callable, Mapping
from typing import Annotated

import pydantic
from fastapi import APIRouter, Depends, Path, Request

from detector import messages, signing
from detector.api import bodies, problems

PREFIX = "/api/receipts"
MOST_FIELDS = 100


def path(signer: signing.Signer, provider: str, reference: str) -> str:
    """Below which receipts of this message are taken."""
    return f"{PREFIX}/{provider}/{reference}/{signer.signature(f'{provider}/{reference}')}"


class Taken(pydantic.BaseModel):
    """Whether the receipt was news."""

    changed: bool


PATH = "/{provider}/{reference}/{signature}"
Provider = Annotated[str, Path(max_length=50)]
Reference = Annotated[str, Path(max_length=50)]
Signature = Annotated[str, Path(max_length=100)]
Parse = Callable[[Mapping[str, str]], messages.Receipt | None]
Receive = Callable[[str, messages.Receipt], bool]


def router(
    signer: signing.Signer, parsers: Mapping[str, Parse], receive: Receive, read: bodies.Reader
) -> APIRouter:
    """The route, which needs no token: the path is one.

    parsers  of each provider's parameters
    """
    routes = APIRouter(prefix=PREFIX, tags=["webhooks"])

    def take(provider: str, reference: str, form: Mapping[str, str]) -> Taken:
        found = parsers[provider](form)
        return Taken(changed=found is not None and receive(reference, found))

    def check(provider: Provider, reference: Reference, signature: Signature) -> None:
        if provider not in parsers or not signer.is_right(f"{provider}/{reference}", signature):
            raise problems.Problem(404, "no message has this address")

    @routes.get(PATH, dependencies=[Depends(check)])
    def receipt_by_query(request: Request, provider: Provider, reference: Reference) -> Taken:
        """Take a receipt; repeated and late ones change nothing."""
        return take(provider, reference, dict(request.query_params))

    @routes.post(PATH, dependencies=[Depends(check)])
    def receipt_by_body(
        request: Request,
        provider: Provider,
        reference: Reference,
        body: Annotated[bytes, Depends(read)],
    ) -> Taken:
        """The same as a form or as JSON."""
        return take(provider, reference, _form(request, body))

    return routes


def _form(request: Request, body: bytes) -> dict[str, str]:
    """The parameters, wherever a provider puts them. Raises Problem 400, 422."""
    given = dict(request.query_params)
    kind = request.headers.get("content-type", "").split(";")[0].strip().lower()
    if not body:
        return given
    if kind == "application/json":
        try:
            tree = json.loads(body)
        except (ValueError, RecursionError):
            raise problems.Problem(400, "body: not JSON") from None
        if not isinstance(tree, dict):
            raise problems.Problem(422, "body: an object is expected")
        return given | {str(name): str(value) for name, value in tree.items()}
    try:
        pairs = urllib.parse.parse_qsl(
            body.decode(), keep_blank_values=True, max_num_fields=MOST_FIELDS
        )
    except ValueError:
        raise problems.Problem(400, "body: not a form") from None
    return given | dict(pairs)
