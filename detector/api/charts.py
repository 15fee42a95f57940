"""Pictures for messages: /api/charts/{fingerprint}/{starts_at_ms}/{expires}/{signature}.png."""

from collections.abc import Callable
from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Path, Response

from detector import errors, links, signing
from detector.api import problems
from detector.services import charting

MAX_AGE_S = 60
Part = Annotated[str, Path(max_length=100)]


def router(
    signer: signing.Signer,
    draw: Callable[[links.Target], bytes],
    *,
    clock: Callable[[], datetime],
) -> APIRouter:
    """The route, which needs no token: the path is one."""
    routes = APIRouter(prefix=links.CHARTS, tags=["alerts"])

    @routes.get(
        "/{fingerprint}/{starts_at_ms}/{expires}/{signature}.png",
        response_class=Response,
        responses={200: {"content": {"image/png": {}}, "description": "The picture."}},
    )
    def chart(fingerprint: Part, starts_at_ms: Part, expires: Part, signature: Part) -> Response:
        """The series of an alert about its start, with what was expected of it."""
        given = links.Given(fingerprint, starts_at_ms, expires, signature)
        try:
            target = links.read_chart(given, signer, at=clock())
        except errors.LinkError as error:
            raise problems.Problem(410 if error.is_expired else 404, str(error)) from error
        try:
            drawn = draw(target)
        except errors.NotFoundError as error:
            raise problems.Problem(404, str(error)) from error
        except charting.BusyError:
            raise problems.Problem(
                503, "too many charts are asked for at once", headers={"Retry-After": "5"}
            ) from None
        except errors.UpstreamError as error:
            if not error.retryable:
                text = "chart: Prometheus does not give this alert's series"
                raise problems.Problem(502, text) from error
            raise _away("Prometheus") from error
        except charting.AlertmanagerAwayError as error:
            raise _away("Alertmanager") from error
        except errors.StoreError as error:
            raise _away("the memory of alerts") from error
        headers = {"Cache-Control": f"private, max-age={MAX_AGE_S}"}
        return Response(drawn, media_type="image/png", headers=headers)

    return routes


def _away(who: str) -> problems.Problem:
    """Without the server's address or what it says, for whoever holds the link."""
    headers = {"Retry-After": problems.RETRY_AFTER_S}
    return problems.Problem(503, f"chart: {who} does not answer", headers=headers)
