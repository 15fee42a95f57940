"""HTTP/1.1 as far as an exporter needs it (RFC 9112): parse a request's head, build an answer.

A request with a body is refused: nothing here takes one.
"""

from __future__ import annotations

import re
import urllib.parse
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

MAX_HEAD_BYTES: Final = 16 * 1024
_REQUEST_LINE: Final = re.compile(rb"([A-Z]{1,20}) (/[\x21-\x7e]*) HTTP/1\.([01])")
_FIELD: Final = re.compile(rb"([!#$%&'*+\-.^_`|~0-9A-Za-z]+):[ \t]*([\x09\x20-\x7e\x80-\xff]*)")
_REASONS: Final = {
    200: b"OK",
    400: b"Bad Request",
    401: b"Unauthorized",
    404: b"Not Found",
    405: b"Method Not Allowed",
    408: b"Request Timeout",
    431: b"Request Header Fields Too Large",
    501: b"Not Implemented",
    503: b"Service Unavailable",
}


class BadRequest(Exception):
    """A request that is not answered with what it asks for."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status


@dataclass(frozen=True, slots=True)
class Request:
    """The head of a request; names of fields in lower case, the last of equal ones counts."""

    method: str
    path: str
    query: Mapping[str, tuple[str, ...]]
    fields: Mapping[str, str]
    keep_alive: bool


@dataclass(frozen=True, slots=True)
class Response:
    """An answer; the fields that every answer has are added when it is written."""

    status: int
    body: bytes
    content_type: bytes = b"text/plain; charset=utf-8"
    extra: bytes = b""


def parse_head(head: bytes) -> Request:
    """The request whose head (without the empty line at its end) this is.

    Raises BadRequest with the status to answer.
    """
    line, *lines = head.split(b"\r\n")
    match = _REQUEST_LINE.fullmatch(line)
    if match is None:
        raise BadRequest(400, "the request line is not that of HTTP/1.1")
    fields: dict[str, str] = {}
    for raw in lines:
        field = _FIELD.fullmatch(raw)
        if field is None:
            raise BadRequest(400, "a header field is malformed")
        name = field[1].decode("ascii").lower()
        if name in fields and name in ("host", "content-length", "authorization"):
            raise BadRequest(400, f"the header field {name} stands twice")
        fields[name] = field[2].decode("latin-1").strip()
    is_1_1 = match[3] == b"1"
    if is_1_1 and "host" not in fields:
        raise BadRequest(400, "the header field host is missing")
    if "transfer-encoding" in fields or fields.get("content-length", "0") != "0":
        raise BadRequest(400, "a body is not taken here")
    path, _, query = match[2].decode("ascii").partition("?")
    return Request(
        match[1].decode("ascii"),
        urllib.parse.unquote(path),
        _parse_query(query),
        fields,
        _keeps_alive(fields.get("connection", ""), is_1_1=is_1_1),
    )


def _parse_query(query: str) -> dict[str, tuple[str, ...]]:
    if not query:
        return {}
    try:
        parsed = urllib.parse.parse_qs(query, keep_blank_values=True, max_num_fields=200)
    except ValueError as error:
        raise BadRequest(400, "the query has too many fields") from error
    return {name: tuple(values) for name, values in parsed.items()}


def _keeps_alive(connection: str, *, is_1_1: bool) -> bool:
    tokens = {token.strip().lower() for token in connection.split(",")}
    return "close" not in tokens and (is_1_1 or "keep-alive" in tokens)


def qualities(value: str) -> dict[str, float]:
    """Quality by item of an Accept or Accept-Encoding field, parameters but q kept in the item.

    >>> qualities("text/plain;version=0.0.4;q=0.5,*/*;q=0.1")
    {'text/plain;version=0.0.4': 0.5, '*/*': 0.1}
    """
    found: dict[str, float] = {}
    for item in value.lower().split(","):
        parts = [part.strip() for part in item.split(";")]
        quality = 1.0
        for part in parts[1:]:
            if part.startswith("q="):
                try:
                    quality = min(1.0, max(0.0, float(part[2:])))
                except ValueError:
                    quality = 0.0
        if parts[0]:
            found[";".join(part for part in parts if not part.startswith("q="))] = quality
    return found


def wants_openmetrics(accept: str) -> bool:
    """Whether OpenMetrics 1.0 is preferred to the text format, as Prometheus asks it to be."""
    openmetrics = text = 0.0
    for item, quality in qualities(accept).items():
        kind, *parameters = item.split(";")
        if kind == "application/openmetrics-text":
            if not parameters or "version=1.0.0" in parameters:
                openmetrics = max(openmetrics, quality)
        elif kind in ("text/plain", "text/*", "*/*"):
            text = max(text, quality)
    return openmetrics > 0 and openmetrics >= text


def accepts_gzip(accept_encoding: str) -> bool:
    """Whether the client takes gzip (RFC 9110, 12.5.3)."""
    found = qualities(accept_encoding)
    return found.get("gzip", found.get("*", 0.0)) > 0


def written(response: Response, *, keep_alive: bool, with_body: bool) -> bytes:
    """The bytes of an answer."""
    head = b"HTTP/1.1 %d %b\r\nContent-Type: %b\r\nContent-Length: %d\r\n%b%b\r\n" % (
        response.status,
        _REASONS[response.status],
        response.content_type,
        len(response.body),
        response.extra,
        b"" if keep_alive else b"Connection: close\r\n",
    )
    return head + response.body if with_body else head
