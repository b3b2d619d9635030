"""What a conversation was before: the chain of `previous_interaction_id`, oldest step first."""

from __future__ import annotations

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

MAX_CHAIN = 1000

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class History:
    """All steps of a chain, and its last interaction."""

    steps: list[Step] = field(default_factory=list[Step])
    previous: InteractionSummary | None = None


async def load_history(store: Store, previous_id: str | None) -> History:
    """The chain that ends with `previous_id`.

    Raises `NotFound` for a missing link, `InvalidRequest` while the last one is running.
    """
    links: list[InteractionRecord] = []
    following = previous_id
    while following is not None and len(links) < MAX_CHAIN:
        record = await store.interactions.get(following)
        if record is None or not record.summary.store:
            raise _missing(following, links)
        links.append(record)
        following = record.summary.previous_interaction_id
    if not links:
        return History()
    if links[0].summary.status not in SETTLED:
        raise InvalidRequest(
            f"previous_interaction_id: the interaction {links[0].summary.id} is in progress; "
            "wait until it has ended, or cancel it."
        )
    steps = [step for link in reversed(links) for step in await link_steps(store, link)]
    return History(steps, links[0].summary)


def _missing(missing: str, links: list[InteractionRecord]) -> NotFound:
    if not links:
        return NotFound(f"previous_interaction_id: there is no interaction '{missing[:80]}'.")
    return NotFound(
        f"previous_interaction_id: the conversation cannot be continued, because its earlier "
        f"interaction {missing} was deleted."
    )


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
