"""A real controller whose models are answered by a server that speaks one provider's wire."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import SecretStr

from runtime.schema.agents import AgentSpec
from runtime.schema.settings import ModelsSettings, ProviderSettings
from tests.contract.model_servers import ModelServer, Reply, model_server, sse
from tests.contract.model_wires import KEY, Wire
from tests.support.local_controller import ANTIGRAVITY, LocalController, local_controller


def said(wire: Wire, text: str) -> Reply:
    """An answer that is this text."""
    return sse(*wire.text(text), named=wire.named)


def called(wire: Wire, call_id: str, name: str, **arguments: Any) -> Reply:
    """An answer that is one tool call."""
    return sse(*wire.call(call_id, name, arguments), named=wire.named)


@dataclass(frozen=True, slots=True)
class Provided:
    """A controller, and the server behind its models."""

    wire: Wire
    server: ModelServer
    controller: LocalController

    async def create(self, **body: Any) -> dict[str, Any]:
        """`POST /v1/interactions` with the wire's model; the JSON of the answer."""
        async with self.controller.http() as http:
            model = {} if "agent" in body else {"model": f"{self.wire.kind}/{self.wire.model}"}
            answer = await http.post("/v1/interactions", json={**model, **body})
            return answer.json()


@asynccontextmanager
async def provided(
    wire: Wire,
    folder: Path,
    *replies: Reply,
    agents: Sequence[AgentSpec] = (ANTIGRAVITY,),
    settings: dict[str, Any] | None = None,
) -> AsyncIterator[Provided]:
    """`settings` are further ones of `models`."""
    async with model_server(*replies) as server:
        provider = ProviderSettings(
            kind=wire.kind, base_url=server.address + wire.base_path, api_key=SecretStr(KEY)
        )
        models = ModelsSettings(
            default=f"{wire.kind}/{wire.model}", providers={wire.kind: provider}, **(settings or {})
        )
        async with local_controller(folder, agents, models=models) as controller:
            yield Provided(wire, server, controller)


def output_text(interaction: dict[str, Any]) -> str:
    """The text of the trailing model output, as the SDKs compute it."""
    found = ""
    for step in reversed(interaction["steps"]):
        if step["type"] == "model_output":
            found = "".join(part.get("text", "") for part in step["content"]) + found
        elif step["type"] != "thought" and (found or step["type"] == "user_input"):
            break
    return found
