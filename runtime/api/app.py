"""The application: routes, their guards, their errors. Nothing is decided here."""

from __future__ import annotations

from collections.abc import Sequence

from fastapi import APIRouter, Depends, FastAPI

from runtime.api import (
    catalogs,
    credentials,
    files,
    health,
    interactions,
    keys,
    operations,
    sockets,
    unserved,
    uploads,
)
from runtime.api import environments as environment_routes
from runtime.api.addresses import Addresses, KnownHosts
from runtime.api.auth import authenticate
from runtime.api.compat import openai
from runtime.api.documents import add_documents
from runtime.api.environments import EnvironmentServices
from runtime.api.faults import LastResort, add_handlers
from runtime.api.inert import NoSniffing
from runtime.api.services import Services
from runtime.controller.credentials import CredentialService

PREFIX = "/v1"
"""The version in the routes; every version that clients write is brought to it."""
UPLOAD_PREFIX = "/upload/v1"
OPENAI_PREFIX = "/openai/v1"


def create_app(
    services: Services,
    environments: EnvironmentServices | None = None,
    more: Sequence[APIRouter] = (),
    uploaded: files.FileServices | None = None,
    stored: CredentialService | None = None,
) -> FastAPI:
    """The ASGI application; without `environments` and `uploaded` it serves none, no files either.

    `more` are further routers; `stored` are the credentials, if it serves any.
    """
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
    guards = [Depends(authenticate)]
    own = (
        interactions.router,
        operations.router,
        catalogs.router,
        keys.router,
        unserved.router,
    )
    for router in (*own, *more):
        app.include_router(router, prefix=PREFIX, dependencies=guards)
    if environments is not None:
        app.state.environments = environments
        app.include_router(environment_routes.router, prefix=PREFIX, dependencies=guards)
        app.include_router(sockets.router, prefix=PREFIX, dependencies=guards)
        app.include_router(uploads.router, prefix=UPLOAD_PREFIX, dependencies=guards)
    if uploaded is not None:
        app.state.files = uploaded
        app.include_router(files.router, prefix=PREFIX, dependencies=guards)
        app.include_router(files.starts, prefix=UPLOAD_PREFIX, dependencies=guards)
        app.include_router(files.continuations, prefix=UPLOAD_PREFIX)
    if stored is not None:
        app.state.credentials = stored
        app.include_router(credentials.router, prefix=PREFIX, dependencies=guards)
    app.include_router(openai.router, prefix=OPENAI_PREFIX, dependencies=guards)
    app.include_router(health.router)
    add_documents(app)
    add_handlers(app)
    # The one that is added last sees a request first.
    app.add_middleware(KnownHosts, bound_to=services.settings.host, more=services.allowed_hosts)
    app.add_middleware(Addresses)
    app.add_middleware(LastResort)
    app.add_middleware(openai.OpenAIErrors)
    app.add_middleware(NoSniffing)
    return app
