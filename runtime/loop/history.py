"""Makes a history that every provider accepts: each call is followed by exactly one result."""

from __future__ import annotations

from runtime.schema.steps import Step, ToolCall, as_call, as_result, result_step, text_result

LOST = "This call was interrupted; whether it had an effect is unknown."


def repair(history: list[Step]) -> list[Step]:
    """The history with the results of a turn right behind its calls, and missing ones filled in.

    A turn's calls end where its first result or the next input stands. Results without a call,
    and second results of one call, are left out.
    """
    results = {found[0]: step for step in reversed(history) if (found := as_result(step))}
    repaired: list[Step] = []
    pending: list[ToolCall] = []
    for step in history:
        is_result = as_result(step) is not None
        if is_result or step.type == "user_input":
            _settle(repaired, pending, results)
        if is_result:
            continue
        call = as_call(step)
        if call is not None:
            pending.append(call)
        repaired.append(step)
    _settle(repaired, pending, results)
    return repaired


def _settle(repaired: list[Step], pending: list[ToolCall], results: dict[str, Step]) -> None:
    for call in pending:
        lost = result_step(call, text_result(LOST, is_error=True))
        repaired.append(results.get(call.id, lost))
    pending.clear()
