"""Routes of agents and models."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Response
from fastapi.responses import JSONResponse

from runtime.api.faults import documented
from runtime.api.services import ServicesDep
from runtime.schema import resources

router = APIRouter()

MAX_PAGE = 1000
DEFAULT_PAGE = 100
PageSize = Annotated[int, Query(ge=0, le=MAX_PAGE)]


@router.get(
    "/agents",
    tags=["agents"],
    response_class=JSONResponse,
    responses={200: {"model": resources.AgentPage}, **documented(400)},
)
async def list_agents(
    services: ServicesDep, page_size: PageSize = DEFAULT_PAGE, page_token: str | None = None
) -> Response:
    """All agents, by id."""
    return JSONResponse(services.catalogs.agents(page_size or DEFAULT_PAGE, page_token or None))


@router.get(
    "/agents/{agent_id}",
    tags=["agents"],
    response_class=JSONResponse,
    responses={200: {"model": resources.Agent}, **documented(404)},
)
async def get_agent(agent_id: str, services: ServicesDep) -> Response:
    """One agent, by id or alias."""
    return JSONResponse(services.catalogs.agent(agent_id))


@router.get(
    "/models",
    tags=["models"],
    response_class=JSONResponse,
    responses={200: {"model": resources.ModelPage}, **documented(400)},
)
async def list_models(
    services: ServicesDep, page_size: PageSize = DEFAULT_PAGE, page_token: str | None = None
) -> Response:
    """The models that can be asked for by name."""
    return JSONResponse(services.catalogs.models(page_size or DEFAULT_PAGE, page_token or None))


@router.get(
    "/models/{model:path}",
    tags=["models"],
    response_class=JSONResponse,
    responses={200: {"model": resources.Model}, **documented(404)},
)
async def get_model(model: str, services: ServicesDep) -> Response:
    """One model."""
    return JSONResponse(services.catalogs.model(model))
