"""Interactions seen as long-running operations."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from runtime import clock
from runtime.controller.interactions import InteractionService
from runtime.controller.views import operation_view
from runtime.errors import InvalidRequest
from runtime.ids import is_id
from runtime.schema.events import SETTLED
from runtime.store import InteractionSummary, Store

Json = dict[str, Any]
STATUSES = sorted(SETTLED | {"in_progress"})


@dataclass(frozen=True, slots=True)
class OperationQuery:
    """Which operations a caller wants to see."""

    page_size: int = 50
    page_token: str | None = None
    done: bool | None = None
    status: str | None = None


class OperationService:
    """The operation-status view."""

    def __init__(self, store: Store, interactions: InteractionService) -> None:
        self._store = store
        self._interactions = interactions

    async def page(self, project_id: str, query: OperationQuery) -> Json:
        """Newest first, without their responses. Raises `InvalidRequest`."""
        if query.page_token is not None and not is_id(query.page_token):
            raise InvalidRequest("page_token: is not one that this API gave out.")
        if query.status is not None and query.status not in STATUSES:
            raise InvalidRequest(f"status: use one of {', '.join(STATUSES)}.")
        found = await self._store.interactions.page(
            project_id,
            limit=query.page_size + 1,
            before=query.page_token,
            statuses=None if query.status is None else [query.status],
            settled=query.done,
        )
        shown = found[: query.page_size]
        moment = clock.now()
        page: Json = {"operations": [operation_view(summary, moment) for summary in shown]}
        if len(found) > len(shown):
            page["next_page_token"] = shown[-1].id
        return page

    async def get(self, project_id: str, interaction_id: str) -> Json:
        """One operation, with its response once it is done. Raises `NotFound`."""
        summary = await self._interactions.summary(project_id, interaction_id)
        response = await self._response(summary)
        return operation_view(summary, clock.now(), response=response)

    async def cancel(self, project_id: str, interaction_id: str) -> Json:
        """Stop it; the operation afterwards. Raises `NotFound`."""
        await self._interactions.cancel(project_id, interaction_id)
        return await self.get(project_id, interaction_id)

    async def _response(self, summary: InteractionSummary) -> Json | None:
        if summary.status not in SETTLED - {"failed", "cancelled"}:
            return None
        return await self._interactions.view(summary.project_id, summary.id)
