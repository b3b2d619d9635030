"""A controller that is told to stop while many streams are open."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import httpx2
import pytest

from bench.load.wire import request
from bench.servers import serving
from runtime.client.discovery import StateFolder
from runtime.client.discovery import running_controller as running_on

STREAMS = 200
WAIT_SECONDS = 60
KEY = "test-key"
ASK = json.dumps({"count": 1, "seconds": 0.01, "wait": True})


@contextmanager
def controller(folder: Path, model_url: str) -> Generator[subprocess.Popen[str]]:
    provider = f'{{kind: openai_compatible, base_url: "{model_url}/v1"}}'
    config = folder / "sandlot.yaml"
    config.write_text(f"models: {{providers: {{local: {provider}}}}}\n", encoding="utf-8")
    options = ["--port", "0", "--state-dir", str(folder / "state"), "--config", str(config)]
    process = subprocess.Popen(
        [sys.executable, "-m", "runtime.cli", "serve", *options],
        env={**os.environ, "SANDLOT_API_KEY": KEY},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        assert "listens" in process.stdout.readline()
        yield process
    finally:
        process.kill()
        process.wait(timeout=WAIT_SECONDS)


def start_run(url: str) -> str:
    """A run that waits for its model."""
    answer = httpx2.post(
        f"{url}/v1/interactions",
        json={"model": "local/clock", "input": ASK, "background": True},
        headers={"x-goog-api-key": KEY},
        timeout=WAIT_SECONDS,
    )
    assert answer.status_code == 200, answer.text
    return answer.json()["id"]


def open_stream(url: str, interaction: str) -> socket.socket:
    wanted = request("GET", f"/v1/interactions/{interaction}?stream=true", KEY)
    stream = socket.create_connection(("127.0.0.1", int(url.rpartition(":")[2])), WAIT_SECONDS)
    stream.sendall(wanted.encode())
    return stream


def read_to_the_end(stream: socket.socket) -> bytes:
    received = b""
    with stream:
        while piece := stream.recv(65536):
            received += piece
    return received


@pytest.mark.parametrize("stop", [signal.SIGTERM, signal.SIGINT])
def test_streams_end_cleanly_with_the_controller(tmp_path: Path, stop: signal.Signals) -> None:
    with serving("bench.model_server") as model, controller(tmp_path, model.url) as process:
        running = running_on(StateFolder(tmp_path / "state"))
        assert running is not None
        interaction = start_run(running.url)
        streams = [open_stream(running.url, interaction) for _ in range(STREAMS)]
        begun = [stream.recv(65536) for stream in streams]
        process.send_signal(stop)
        answers = [
            begin + read_to_the_end(stream) for begin, stream in zip(begun, streams, strict=True)
        ]
        _, told = process.communicate(timeout=WAIT_SECONDS)

    assert process.returncode == 0
    assert all(answer.startswith(b"HTTP/1.1 200") for answer in answers)
    assert all(b"\nid: 1\n" in answer for answer in answers)
    assert all(answer.endswith(b"\r\n0\r\n\r\n") for answer in answers), "whole, as HTTP has it"
    for noise in ("Traceback", "Task was destroyed", "never retrieved", "ASGI callable", "Cancel "):
        assert noise not in told, told
