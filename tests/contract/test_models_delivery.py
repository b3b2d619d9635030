"""What every provider adapter does alike: retries, deadlines, errors, hanging up."""

from __future__ import annotations

from contextlib import aclosing

import anyio
import pytest

from runtime.clock import monotonic
from runtime.errors import (
    ContextExceeded,
    ModelAuthFailed,
    ModelFault,
    ModelRateLimited,
    ModelRefused,
    ModelUnavailable,
)
from runtime.models.connection import Patience
from runtime.models.delivery import RetryPolicy
from runtime.schema.model import ModelDone, TextPart
from tests.contract.model_servers import BREAK, STALL, Reply, failure, model_server, sse, sse_chunks
from tests.contract.model_wires import KEY, QUICK, WIRES, Wire, ask, parts_of, remote_model

pytestmark = pytest.mark.anyio


@pytest.fixture(params=list(WIRES))
def wire(request: pytest.FixtureRequest) -> Wire:
    return WIRES[request.param]


def hello(wire: Wire) -> Reply:
    return sse(*wire.text("hello"), named=wire.named)


def begun(wire: Wire, end: str) -> Reply:
    """An answer up to its first text, and then `end`."""
    events = wire.text("hel")
    until = next(index for index, event in enumerate(events) if "hel" in str(event))
    return Reply(chunks=[*sse_chunks(*events[: until + 1], named=wire.named), end])


async def test_an_answer_is_streamed_and_counted(wire: Wire) -> None:
    async with (
        model_server(hello(wire)) as server,
        remote_model(wire, server.address) as model,
    ):
        *said, done = await parts_of(model, ask())

    assert said == [TextPart(text="hello")]
    assert isinstance(done, ModelDone)
    assert done.reason == "stop"
    usage = done.usage
    assert (usage.total_input_tokens, usage.total_cached_tokens) == (100, 60)
    assert (usage.total_output_tokens, usage.total_thought_tokens) == (7, 5)
    assert usage.total_tokens == 112
    (asked,) = server.asked
    assert asked.path == wire.path
    assert asked.headers[wire.key_header].removeprefix("Bearer ") == KEY


async def test_a_rate_limit_is_waited_out(wire: Wire) -> None:
    slow_down = failure(429, wire.error("slow down"), retry_after="0.3")
    async with (
        model_server(slow_down, hello(wire)) as server,
        remote_model(wire, server.address) as model,
    ):
        start = monotonic()
        said, _ = await parts_of(model, ask())

    assert said == TextPart(text="hello")
    assert len(server.asked) == 2
    assert monotonic() - start >= 0.3


async def test_a_rate_limit_that_stays_is_an_error(wire: Wire) -> None:
    async with (
        model_server(failure(429, wire.error("slow down"))) as server,
        remote_model(wire, server.address) as model,
    ):
        with pytest.raises(ModelRateLimited, match=r"limits the rate .*\(429\): slow down"):
            await parts_of(model, ask())

    assert len(server.asked) == 1 + QUICK.max_retries


async def test_a_server_error_is_tried_again(wire: Wire) -> None:
    async with (
        model_server(failure(500, wire.error("oops")), failure(503, {}), hello(wire)) as server,
        remote_model(wire, server.address) as model,
    ):
        said, _ = await parts_of(model, ask())

    assert said == TextPart(text="hello")
    assert len(server.asked) == 3


async def test_a_server_that_stays_broken_is_an_error(wire: Wire) -> None:
    broken = Reply(502, ["<html>Bad gateway</html>"], content_type="text/html")
    async with (
        model_server(broken) as server,
        remote_model(wire, server.address) as model,
    ):
        with pytest.raises(ModelUnavailable, match="Bad gateway"):
            await parts_of(model, ask())

    assert len(server.asked) == 1 + QUICK.max_retries


async def test_a_wrong_key_is_an_error_at_once_that_does_not_show_it(wire: Wire) -> None:
    async with (
        model_server(failure(401, wire.error(f"the key {KEY} is wrong"))) as server,
        remote_model(wire, server.address) as model,
    ):
        with pytest.raises(ModelAuthFailed) as caught:
            await parts_of(model, ask())

    assert "the key [key] is wrong" in caught.value.message
    assert f"models.providers.{wire.kind}.api_key" in caught.value.message
    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None
    assert len(server.asked) == 1


@pytest.mark.parametrize(
    ("status", "message", "fault", "says"),
    [
        (404, "no such model", ModelRefused, "has no model"),
        (400, "a field is wrong", ModelRefused, "a field is wrong"),
        (400, "prompt is too long: 9 tokens > 8", ContextExceeded, "too long"),
        (403, "not for you", ModelAuthFailed, "not for you"),
    ],
)
async def test_an_error_that_a_retry_cannot_help(
    wire: Wire, status: int, message: str, fault: type[ModelFault], says: str
) -> None:
    async with (
        model_server(failure(status, wire.error(message))) as server,
        remote_model(wire, server.address) as model,
    ):
        with pytest.raises(fault, match=says):
            await parts_of(model, ask())

    assert len(server.asked) == 1


async def test_a_refused_connection_names_the_address(wire: Wire) -> None:
    async with model_server(hello(wire)) as server:
        address = server.address
    async with remote_model(wire, address) as model:
        with pytest.raises(ModelUnavailable, match=f"no connection to {address}"):
            await parts_of(model, ask())


async def test_an_answer_that_never_begins_is_given_up(wire: Wire) -> None:
    patience = Patience(first_byte_seconds=0.2)
    once = RetryPolicy(max_retries=0)

    async def accept(stream: anyio.abc.SocketStream) -> None:
        async with stream:
            await stream.receive()
            await anyio.sleep_forever()

    listener = await anyio.create_tcp_listener(local_host="127.0.0.1")
    port = listener.extra(anyio.abc.SocketAttribute.local_port)
    async with (
        listener,
        anyio.create_task_group() as tasks,
        remote_model(wire, f"http://127.0.0.1:{port}", patience=patience, retries=once) as model,
    ):
        tasks.start_soon(listener.serve, accept)
        with pytest.raises(ModelUnavailable, match=r"no answer within 0\.2 s"):
            await parts_of(model, ask())
        tasks.cancel_scope.cancel()


async def test_an_answer_that_stalls_is_given_up_and_not_begun_again(wire: Wire) -> None:
    patience = Patience(between_chunks_seconds=0.2)
    async with (
        model_server(begun(wire, STALL)) as server,
        remote_model(wire, server.address, patience=patience) as model,
    ):
        parts = []
        with pytest.raises(ModelUnavailable, match=r"nothing came for 0\.2 s"):
            async with aclosing(model.stream(ask())) as stream:
                async for part in stream:
                    parts.append(part)  # noqa: PERF401 - what came before the error counts
        with anyio.fail_after(30):
            await server.hung_up.wait()

    assert parts == [TextPart(text="hel")]
    assert len(server.asked) == 1


async def test_a_connection_that_breaks_in_the_answer_is_an_error(wire: Wire) -> None:
    async with (
        model_server(begun(wire, BREAK)) as server,
        remote_model(wire, server.address) as model,
    ):
        with pytest.raises(ModelUnavailable):
            await parts_of(model, ask())

    assert len(server.asked) == 1


async def test_a_stream_that_ends_before_the_answer_is_tried_again(wire: Wire) -> None:
    async with (
        model_server(Reply(chunks=["\n"]), hello(wire)) as server,
        remote_model(wire, server.address) as model,
    ):
        said, _ = await parts_of(model, ask())

    assert said == TextPart(text="hello")
    assert len(server.asked) == 2


async def test_the_whole_call_has_a_deadline(wire: Wire) -> None:
    async with (
        model_server(begun(wire, STALL)) as server,
        remote_model(wire, server.address, timeout_seconds=1.5) as model,
    ):
        with pytest.raises(ModelUnavailable, match=r"within 1\.5 s .*timeout_seconds"):
            await parts_of(model, ask())
        with anyio.fail_after(30):
            await server.hung_up.wait()


async def test_a_pause_that_would_outlast_the_deadline_is_not_begun(wire: Wire) -> None:
    async with (
        model_server(failure(429, wire.error("slow"), retry_after="300")) as server,
        remote_model(wire, server.address, timeout_seconds=60.0) as model,
    ):
        with anyio.fail_after(30), pytest.raises(ModelRateLimited):
            await parts_of(model, ask())

    assert len(server.asked) == 1


async def test_a_cancelled_call_hangs_up(wire: Wire) -> None:
    async with (
        model_server(begun(wire, STALL)) as server,
        remote_model(wire, server.address) as model,
    ):
        with anyio.CancelScope() as scope:
            async with aclosing(model.stream(ask())) as stream:
                async for _ in stream:
                    scope.cancel()
        with anyio.fail_after(30):
            await server.hung_up.wait()


async def test_a_consumer_that_stops_early_hangs_up(wire: Wire) -> None:
    async with (
        model_server(begun(wire, STALL)) as server,
        remote_model(wire, server.address) as model,
    ):
        async with aclosing(model.stream(ask())) as stream:
            async for _ in stream:
                break
        with anyio.fail_after(30):
            await server.hung_up.wait()


async def test_calls_at_once_do_not_mix(wire: Wire) -> None:
    answers: dict[int, str] = {}

    async with (
        model_server(
            *(sse(*wire.text(f"answer {n}"), named=wire.named) for n in range(5))
        ) as server,
        remote_model(wire, server.address) as model,
    ):

        async def call(number: int) -> None:
            said, _ = await parts_of(model, ask())
            assert isinstance(said, TextPart)
            answers[number] = said.text

        async with anyio.create_task_group() as tasks:
            for number in range(5):
                tasks.start_soon(call, number)

    assert sorted(answers.values()) == [f"answer {n}" for n in range(5)]
