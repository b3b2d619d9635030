"""`/openapi.json`, and `/docs`: a page of our own that needs nothing from the network."""

from __future__ import annotations

from html import escape
from typing import Any

from fastapi import FastAPI, Response
from fastapi.openapi.utils import get_openapi
from fastapi.responses import HTMLResponse, JSONResponse
from pydantic.json_schema import models_json_schema

from runtime.api.compat.openai.requests import ChatRequest, ResponsesRequest
from runtime.api.compat.schemas import GuideInteraction
from runtime.api.credentials import BODIES as CREDENTIALS
from runtime.api.credentials import UPDATES as NEW_CREDENTIALS
from runtime.schema.interactions import CreateInteraction
from runtime.schema.keys import CreateKey
from runtime.schema.resources import WaitRequest

_REF = "#/components/schemas/{model}"
_BODIES = (
    CreateInteraction,
    GuideInteraction,
    WaitRequest,
    CreateKey,
    ResponsesRequest,
    ChatRequest,
    *CREDENTIALS,
    *NEW_CREDENTIALS,
)
_OPEN = {"health"}
"""Tags of routes that need no key."""
_DESCRIPTION = """\
Sandlot speaks the Gemini Interactions API: the official SDKs work against it unmodified, with
`base_url` set to its address. The routes stand under `/v1`; `/v1beta`, `/v1alpha`, `/v1beta1` and
`/{version}/projects/{project}/locations/{location}` lead to the same ones. Every call needs the
API key, as `x-goog-api-key` or as bearer token. Every error has the same shape, `ErrorBody`; below
`/openai/v1`, where the routes of OpenAI's API stand, it is `OpenAIErrorBody`."""
_STYLE = """\
body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem}
code,pre{font:14px/1.4 ui-monospace,monospace;background:#8882;border-radius:4px;padding:.1em .3em}
pre{padding:.8em;overflow:auto}summary{cursor:pointer;padding:.3rem 0}h2{margin-top:2rem}
table{border-collapse:collapse}td,th{padding:.2rem .8rem .2rem 0;text-align:left;vertical-align:top}
:root{color-scheme:light dark}"""


def add_documents(app: FastAPI) -> None:
    """Serve both documents, open to everyone who reaches the controller."""

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = build_openapi(app)
        return app.openapi_schema

    async def document() -> Response:
        return JSONResponse(openapi())

    async def page() -> Response:
        policy = "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'"
        return HTMLResponse(render(openapi()), headers={"Content-Security-Policy": policy})

    app.openapi = openapi
    app.add_api_route("/openapi.json", document, include_in_schema=False)
    app.add_api_route("/docs", page, include_in_schema=False)


def build_openapi(app: FastAPI) -> dict[str, Any]:
    """The OpenAPI document of all routes."""
    document = get_openapi(
        title=app.title, version=app.version, description=_DESCRIPTION, routes=app.routes
    )
    components = document.setdefault("components", {})
    _, bodies = models_json_schema([(model, "validation") for model in _BODIES], ref_template=_REF)
    # What the answers hold is described by FastAPI; only what is missing is added.
    components["schemas"] = {**bodies["$defs"], **components.get("schemas", {})}
    components["securitySchemes"] = {
        "ApiKey": {"type": "apiKey", "in": "header", "name": "x-goog-api-key"},
        "Bearer": {"type": "http", "scheme": "bearer"},
    }
    for operations in document["paths"].values():
        for operation in operations.values():
            # FastAPI foresees a 422 that this API never answers.
            operation["responses"].pop("422", None)
            if not _OPEN & {*operation.get("tags", [])}:
                operation["security"] = [{"ApiKey": []}, {"Bearer": []}]
    for name in ("HTTPValidationError", "ValidationError"):
        components["schemas"].pop(name, None)
    return document


def render(document: dict[str, Any]) -> str:
    """The OpenAPI document as a page."""
    info = document["info"]
    routes = [
        _route(method, path, operation)
        for path, operations in document["paths"].items()
        for method, operation in operations.items()
    ]
    schemas = [_schema(name, schema) for name, schema in document["components"]["schemas"].items()]
    return "\n".join(
        [
            '<!doctype html><html lang="en"><meta charset="utf-8">',
            f"<title>{escape(info['title'])} API</title><style>{_STYLE}</style>",
            f"<h1>{escape(info['title'])} {escape(info['version'])}</h1>",
            f"<p>{escape(info['description'])}</p>",
            '<p><a href="openapi.json">openapi.json</a></p><h2>Routes</h2>',
            *routes,
            "<h2>Schemas</h2>",
            *schemas,
            "</html>",
        ]
    )


def _route(method: str, path: str, operation: dict[str, Any]) -> str:
    rows = [
        _row(parameter["name"], parameter["in"], parameter.get("description", ""))
        for parameter in operation.get("parameters", [])
    ]
    body = operation.get("requestBody", {}).get("content", {}).get("application/json", {})
    if body:
        rows.append(_row("body", _kind(body["schema"]), ""))
    for status, answer in operation["responses"].items():
        schema = answer.get("content", {}).get("application/json", {}).get("schema", {})
        rows.append(_row(status, _kind(schema), answer.get("description", "")))
    return (
        f"<details><summary><code>{method.upper()} {escape(path)}</code> "
        f"{escape(operation.get('description', ''))}</summary>"
        f"<table>{''.join(rows)}</table></details>"
    )


def _schema(name: str, schema: dict[str, Any]) -> str:
    rows = [
        _row(field, _kind(found), found.get("description", ""))
        for field, found in schema.get("properties", {}).items()
    ]
    return (
        f'<details id="{escape(name)}"><summary><code>{escape(name)}</code> '
        f"{escape(schema.get('description', ''))}</summary><table>{''.join(rows)}</table></details>"
    )


def _row(name: str, kind: str, text: str) -> str:
    return f"<tr><th>{escape(name)}<td>{kind}<td>{escape(text)}"


def _kind(schema: dict[str, Any]) -> str:
    """The type of a schema in HTML, with links to the schemas that it names."""
    if "$ref" in schema:
        name = escape(schema["$ref"].rpartition("/")[2])
        return f'<a href="#{name}">{name}</a>'
    for union in ("anyOf", "oneOf"):
        if union in schema:
            return " | ".join(_kind(member) for member in schema[union])
    if schema.get("type") == "array":
        return f"list of {_kind(schema.get('items', {}))}"
    if "enum" in schema:
        return " | ".join(escape(repr(value)) for value in schema["enum"])
    return escape(repr(schema["const"]) if "const" in schema else str(schema.get("type", "any")))
