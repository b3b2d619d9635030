"""The application: routes, their guards, their errors. Nothing is decided here."""

from __future__ import annotations

from collections.abc import Sequence

from fastapi import APIRouter, Depends, FastAPI

from runtime.api import catalogs, health, interactions, operations
from runtime.api.addresses import Addresses, KnownHosts
from runtime.api.auth import authenticate
from runtime.api.documents import add_documents
from runtime.api.faults import LastResort, add_handlers
from runtime.api.services import Services

PREFIX = "/v1"
"""The version in the routes; every version that clients write is brought to it."""
UPLOAD_PREFIX = "/upload/v1"


def create_app(
    services: Services,
    more: Sequence[APIRouter] = (),
    uploads: Sequence[APIRouter] = (),
) -> FastAPI:
    """The ASGI application on `services`; `more` and `uploads` are of further resources."""
    app = FastAPI(
        title="Sandlot",
        version=services.version,
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        redirect_slashes=False,
        generate_unique_id_function=lambda route: route.name,
    )
    app.state.services = services
    for router in (interactions.router, operations.router, catalogs.router, *more):
        app.include_router(router, prefix=PREFIX, dependencies=[Depends(authenticate)])
    for router in uploads:
        app.include_router(router, prefix=UPLOAD_PREFIX, dependencies=[Depends(authenticate)])
    app.include_router(health.router)
    add_documents(app)
    add_handlers(app)
    # The one that is added last sees a request first.
    app.add_middleware(KnownHosts, bound_to=services.settings.host, more=services.allowed_hosts)
    app.add_middleware(Addresses)
    app.add_middleware(LastResort)
    return app
