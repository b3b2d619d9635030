"""Reads the body of a call into its type, or says what is wrong with it."""

from __future__ import annotations

from typing import Any

from pydantic import ValidationError

from runtime.errors import InvalidRequest
from runtime.schema import interactions, network
from runtime.schema.faults import explain
from runtime.schema.interactions import CreateInteraction, Request, refuse_unserved_tools

_TOP = set(CreateInteraction.model_fields)
_NESTED = {
    name
    for model in [*vars(interactions).values(), *vars(network).values()]
    if isinstance(model, type) and issubclass(model, Request)
    for name in model.model_fields
}


def read_request(body: Any) -> CreateInteraction:
    """The request in a body of `POST /interactions`. Raises `InvalidRequest`, naming fields."""
    if not isinstance(body, dict):
        raise InvalidRequest("The body must be a JSON object.")
    refuse_unserved_tools(body)
    try:
        return CreateInteraction.model_validate(body)
    except ValidationError as error:
        raise InvalidRequest(explain(error, body, known=_TOP, nested=_NESTED)) from error
