"""Resources of the official SDKs that have nothing to do with sandboxes: a plain answer."""

from __future__ import annotations

from fastapi import APIRouter

from runtime.errors import NotImplementedYet

_METHODS = ["GET", "POST", "PATCH", "DELETE"]

router = APIRouter(include_in_schema=False)


@router.api_route("/voices", methods=_METHODS)
@router.api_route("/voices/{rest:path}", methods=_METHODS)
@router.api_route("/decisions", methods=_METHODS)
async def unserved() -> None:
    """Say that there is no such thing here. Raises `NotImplementedYet`."""
    raise NotImplementedYet("Voices and decisions are not part of Sandlot.")
