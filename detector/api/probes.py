"""What watches us asks: health, readiness, own metrics, state."""

import asyncio
from concurrent import futures
from datetime import datetime, timedelta
from typing import Any

import pydantic
from fastapi import APIRouter, Depends, Request, Response
from prometheus_client import CollectorRegistry, exposition
from starlette.responses import PlainTextResponse

from detector.api import auth, problems
from detector.services import heartbeats, status

PATHS = ("/-/healthy", "/-/ready", "/-/watchdog", "/metrics")
_STATUS = pydantic.TypeAdapter(status.Status)
_METRICS: dict[int | str, dict[str, Any]] = {
    200: {
        "content": {
            each: {"schema": {"type": "string"}}
            for each in ("text/plain", "application/openmetrics-text")
        }
    }
}


class Readiness(pydantic.BaseModel):
    """Whether every part works."""

    ready: bool


class Arriving(pydantic.BaseModel):
    """When the alert Watchdog came last, which always fires."""

    came_at: datetime


def router(
    source: status.StatusSource,
    registry: CollectorRegistry,
    beats: heartbeats.Heartbeats,
    late_after: timedelta,
) -> APIRouter:
    """Probes without a token, as Prometheus and container runtimes expect them.

    They answer when every thread of the other routes is taken: on the event loop, and /metrics,
    which takes some 50 ms for a hundred queries, on a thread that it shares with nobody.
    """
    routes = APIRouter(tags=["probes"])
    writing = futures.ThreadPoolExecutor(1, thread_name_prefix="metrics")

    @routes.head("/-/healthy", include_in_schema=False)
    @routes.get("/-/healthy", response_class=PlainTextResponse)
    async def healthy() -> Response:
        """The process serves."""
        return PlainTextResponse("healthy\n")

    @routes.head("/-/ready", include_in_schema=False, response_model=None)
    @routes.get("/-/ready", response_model=Readiness)
    async def ready() -> Response | Readiness:
        """Every part works; else 503 with the reasons."""
        reasons = list(source.reasons())
        if not reasons:
            return Readiness(ready=True)
        return problems.response(503, "; ".join(reasons), ready=False, reasons=reasons)

    @routes.head("/-/watchdog", include_in_schema=False, response_model=None)
    @routes.get("/-/watchdog", response_model=Arriving)
    async def watchdog() -> Response | Arriving:
        """Alerts arrive: Watchdog has come lately from Prometheus by Alertmanager; else 503."""
        came_at, silence = beats.came_at, beats.silence()
        if came_at is not None and silence is not None and silence <= late_after:
            return Arriving(came_at=came_at)
        since = "yet" if silence is None else f"for {silence.total_seconds():.0f} s"
        return problems.response(
            503,
            f"no Watchdog {since}: alerts may not arrive: see docs/operations.md#watchdog",
            came_at=None if came_at is None else came_at.isoformat(),
        )

    @routes.get("/metrics", response_class=Response, responses=_METRICS)
    async def metrics(request: Request) -> Response:
        """Own metrics, in OpenMetrics or the text format as asked for."""
        encode, content_type = exposition.choose_encoder(request.headers.get("accept", ""))
        body = await asyncio.get_running_loop().run_in_executor(writing, encode, registry)
        return Response(body, headers={"Content-Type": content_type})

    return routes


def status_router(source: status.StatusSource, guards: auth.Guards) -> APIRouter:
    """GET /api/status."""
    routes = APIRouter(tags=["status"], dependencies=[Depends(guards.viewer)])

    @routes.get("/api/status", response_model=status.Status)
    def show_status() -> Response:
        """What every query and loop is doing; a number that is not finite is null."""
        return Response(_STATUS.dump_json(source.status()), media_type="application/json")

    return routes
