"""A small client of Sandlot's API, asynchronous and blocking.

from runtime.client import Client

with Client() as client:
    run = client.interactions.create(agent="antigravity", input="Plot a sine wave.")
    print(run.status, run.output_text)
"""

from __future__ import annotations

from runtime.client.aio import AsyncClient
from runtime.client.blocking import Client
from runtime.client.faults import ControllerUnreachable, UnexpectedAnswer
from runtime.client.records import (
    Agent,
    Environment,
    EnvironmentFile,
    Interaction,
    Model,
    NetworkEvent,
    Operation,
    StreamEvent,
    UploadedFile,
)
from runtime.client.stream import EventStream
from runtime.schema.credentials import Credential

__all__ = [
    "Agent",
    "AsyncClient",
    "Client",
    "ControllerUnreachable",
    "Credential",
    "Environment",
    "EnvironmentFile",
    "EventStream",
    "Interaction",
    "Model",
    "NetworkEvent",
    "Operation",
    "StreamEvent",
    "UnexpectedAnswer",
    "UploadedFile",
]
