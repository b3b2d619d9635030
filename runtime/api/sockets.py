"""WebSockets."""

from fastapi import APIRouter

router = APIRouter(tags=["environments"])
