"""What watches us asks: health, readiness, own metrics, state."""

import pydantic
from fastapi import APIRouter, Depends, Request, Response
from prometheus_client import CollectorRegistry, exposition

from detector.api import auth, problems
from detector.services import status

_STATUS = pydantic.TypeAdapter(status.Status)


class Readiness(pydantic.BaseModel):
    """Whether every part works."""

    ready: bool


def router(source: status.StatusSource, registry: CollectorRegistry) -> APIRouter:
    """Probes without a token, as Prometheus and container runtimes expect them."""
    routes = APIRouter(tags=["probes"])

    # The one route on the event loop: it must answer when every thread is taken.
    @routes.head("/-/healthy", include_in_schema=False)
    @routes.get("/-/healthy")
    async def healthy() -> Response:
        """The process serves."""
        return Response("healthy\n", media_type="text/plain")

    @routes.head("/-/ready", include_in_schema=False, response_model=None)
    @routes.get("/-/ready", response_model=Readiness)
    def ready() -> Response | Readiness:
        """Every part works; else 503 with the reasons."""
        now = source.status()
        if now.ready:
            return Readiness(ready=True)
        reasons = list(now.reasons)
        return problems.response(
            503, "; ".join(reasons) or "not ready", ready=False, reasons=reasons
        )

    @routes.get("/metrics", response_class=Response)
    def metrics(request: Request) -> Response:
        """Own metrics, in OpenMetrics or the text format as asked for."""
        encode, content_type = exposition.choose_encoder(request.headers.get("accept", ""))
        return Response(encode(registry), headers={"Content-Type": content_type})

    return routes


def status_router(source: status.StatusSource, guard: auth.Guard) -> APIRouter:
    """GET /api/status."""
    routes = APIRouter(tags=["status"], dependencies=[Depends(guard)])

    @routes.get("/api/status", response_model=status.Status)
    def show_status() -> Response:
        """What every query and loop is doing; a number that is not finite is null."""
        return Response(_STATUS.dump_json(source.status()), media_type="application/json")

    return routes
