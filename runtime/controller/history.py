"""What a conversation was before: the chain of `previous_interaction_id`, oldest step first."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Any

import structlog
from pydantic import ValidationError

from runtime.controller.folding import steps_of
from runtime.errors import InvalidRequest, NotFound
from runtime.schema.events import SETTLED
from runtime.schema.inputs import input_steps
from runtime.schema.steps import STEP, FunctionCallStep, FunctionResultStep, Step, as_result
from runtime.store import InteractionRecord, InteractionSummary, Store

KEPT_CHARACTERS = 64 * 1024**2

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class History:
    """All steps of a chain, and its last interaction."""

    steps: list[Step] = field(default_factory=list[Step])
    previous: InteractionSummary | None = None


@dataclass(frozen=True, slots=True)
class _Link:
    steps: list[Step]
    size: int


class Histories:
    """Loads chains; keeps what settled interactions hold, which never changes, in memory.

    Whether an interaction is still there is asked of the database each time.
    """

    def __init__(self, store: Store, kept_characters: int = KEPT_CHARACTERS) -> None:
        self._store = store
        self._kept: OrderedDict[str, _Link] = OrderedDict()
        self._kept_characters = kept_characters
        self._size = 0

    async def load(self, project_id: str, previous_id: str | None) -> History:
        """The chain of a project that ends with `previous_id`, however long it is.

        Raises `NotFound` for a missing link, `InvalidRequest` while the last one is running.
        """
        if previous_id is None:
            return History()
        chain = await self._store.interactions.chain(project_id, previous_id)
        if chain is None:
            raise NotFound(
                f"previous_interaction_id: there is no interaction '{previous_id[:80]}'."
            )
        if chain.lost is not None:
            raise _deleted(chain.lost)
        if chain.last.status not in SETTLED:
            raise InvalidRequest(
                f"previous_interaction_id: the interaction {chain.last.id} is in progress; "
                "wait until it has ended, or cancel it."
            )
        return History(await self._steps(project_id, chain.ids), chain.last)

    async def _steps(self, project_id: str, ids: list[str]) -> list[Step]:
        links = {found: self._kept[found] for found in ids if found in self._kept}
        missing = [found for found in ids if found not in links]
        for record in await self._store.interactions.many(project_id, missing):
            links[record.summary.id] = await self._read(record)
        for found in ids:
            if found not in links:
                raise _deleted(found)
            self._keep(found, links[found])
        return [step for found in ids for step in links[found].steps]

    async def _read(self, record: InteractionRecord) -> _Link:
        size = _characters(record.request["input"]) + _characters(record.steps)
        return _Link(await link_steps(self._store, record), size)

    def _keep(self, interaction_id: str, link: _Link) -> None:
        if interaction_id not in self._kept:
            self._size += link.size
        self._kept[interaction_id] = link
        self._kept.move_to_end(interaction_id)
        while self._size > self._kept_characters:
            self._size -= self._kept.popitem(last=False)[1].size


def _deleted(missing: str) -> NotFound:
    return NotFound(
        f"previous_interaction_id: the conversation cannot be continued, because its earlier "
        f"interaction {missing} was deleted."
    )


def _characters(value: Any) -> int:
    """About how much memory a JSON value takes; the overhead of small ones counts, too."""
    match value:
        case str():
            return 100 + len(value)
        case dict():
            return 200 + sum(_characters(item) for item in value.values())
        case list():
            return 100 + sum(_characters(item) for item in value)
        case _:
            return 50


async def link_steps(store: Store, record: InteractionRecord) -> list[Step]:
    """Input and output of one interaction; steps that cannot be read are left out."""
    made = await wire_steps(store, record)
    found: list[Step] = [*input_steps(record.request["input"])]
    for step in made:
        try:
            found.append(STEP.validate_python(step))
        except ValidationError:
            log.warning("unreadable step left out", interaction=record.summary.id)
    return found


async def wire_steps(store: Store, record: InteractionRecord) -> list[dict[str, Any]]:
    """The model's own steps, from the snapshot where there is one, else from the log."""
    if record.steps is not None:
        return record.steps
    return steps_of(await store.events.all(record.summary.id))


def check_results(history: list[Step], new: list[Step]) -> list[Step]:
    """The new steps, with the names of answered functions filled in.

    Raises `InvalidRequest` for a result that answers no call, or one answered before.
    """
    calls = {step.id: step.name for step in history if isinstance(step, FunctionCallStep)}
    answered = {found[0] for step in history if (found := as_result(step))}
    checked: list[Step] = []
    for index, step in enumerate(new):
        if isinstance(step, FunctionCallStep):
            calls[step.id] = step.name
        if isinstance(step, FunctionResultStep):
            _check_result(step, f"input[{index}].call_id", calls, answered)
            answered.add(step.call_id)
            step = step.model_copy(update={"name": step.name or calls[step.call_id]})
        checked.append(step)
    return checked


def _check_result(
    step: FunctionResultStep, path: str, calls: dict[str, str], answered: set[str]
) -> None:
    if step.call_id not in calls:
        raise InvalidRequest(
            f"{path}: no function call '{step.call_id[:80]}' is waiting for a result; "
            "is 'previous_interaction_id' missing?"
        )
    if step.call_id in answered:
        raise InvalidRequest(f"{path}: the function call '{step.call_id}' has its result already.")
