"""Whether the controller lives, and whether it can work."""

from __future__ import annotations

import anyio
from fastapi import APIRouter, Response
from fastapi.responses import JSONResponse

from runtime.api.services import Probe, Services, ServicesDep
from runtime.errors import SandlotError
from runtime.schema import resources

router = APIRouter(tags=["health"])

PROBE_SECONDS = 1.0
OK = "ok"


@router.head("/livez", include_in_schema=False)
@router.get("/livez", response_class=JSONResponse, responses={200: {"model": resources.Health}})
async def livez() -> Response:
    """The process answers; nothing else is looked at."""
    return JSONResponse({"status": OK})


@router.head("/healthz", include_in_schema=False)
@router.head("/readyz", include_in_schema=False)
@router.get(
    "/healthz",
    name="healthz",
    response_class=JSONResponse,
    responses={200: {"model": resources.Health}, 503: {"model": resources.Health}},
)
@router.get(
    "/readyz",
    response_class=JSONResponse,
    responses={200: {"model": resources.Health}, 503: {"model": resources.Health}},
)
async def readyz(services: ServicesDep) -> Response:
    """Store and sandboxes answer; else 503, with what does not."""
    checks = await _checks(services)
    ready = all(found == OK for found in checks.values())
    status = "ready" if ready else "not_ready"
    body = {"status": status, "version": services.version, "checks": checks}
    return JSONResponse(body, 200 if ready else 503)


async def _checks(services: Services) -> dict[str, str]:
    found: dict[str, str] = {}

    async def check(name: str, probe: Probe) -> None:
        found[name] = await _outcome(probe)

    async with anyio.create_task_group() as tasks:
        for name, probe in services.probes.items():
            tasks.start_soon(check, name, probe)
    if services.draining.is_set():
        found["server"] = "is shutting down"
    return dict(sorted(found.items()))


async def _outcome(probe: Probe) -> str:
    try:
        with anyio.fail_after(PROBE_SECONDS):
            await probe()
    except TimeoutError:
        return f"did not answer within {PROBE_SECONDS:g} s"
    except SandlotError as error:
        return error.message
    return OK
