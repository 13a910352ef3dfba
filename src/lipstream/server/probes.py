"""``/healthz``, ``/readyz`` and ``/metrics``, for monitoring."""

from __future__ import annotations

from dataclasses import asdict
from http import HTTPStatus

from fastapi import APIRouter
from fastapi.responses import JSONResponse, Response
from prometheus_client import CONTENT_TYPE_LATEST

from lipstream.server.service import Service


def probe_routes(service: Service) -> APIRouter:
    """Endpoints for load balancers, orchestrators and Prometheus."""
    router = APIRouter()

    @router.get("/healthz", summary="Whether the process is alive")
    async def healthz() -> dict[str, str]:
        return {"status": "ok"}

    @router.get(
        "/readyz",
        summary="Whether it is ready for work",
        responses={503: {"description": "Not ready, with the reason."}},
    )
    async def readyz() -> JSONResponse:
        if service.state == "ready":
            studio = await service.studio()
            problems = {name: problem.message for name, problem in studio.problems.items()}
            absent = [asdict(model) for model in studio.absent]
            ready = {"status": "ready", "engines": studio.engines, "problems": problems, "absent": absent}
            return JSONResponse(ready)
        answer: dict[str, str] = {"status": service.state}
        if service.problem:
            answer |= {"message": service.problem.message, "code": service.problem.code}
        return JSONResponse(answer, status_code=HTTPStatus.SERVICE_UNAVAILABLE)

    @router.get("/metrics", summary="Counters for Prometheus", response_class=Response)
    async def metrics() -> Response:
        return Response(service.metrics.text(), media_type=CONTENT_TYPE_LATEST)

    return router
