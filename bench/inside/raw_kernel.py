"""A Jupyter kernel by `jupyter_client` alone: the floor of starting one and of one cell.

Run as a module it starts a kernel, runs a cell in it, and prints the seconds from start to result.
"""

from __future__ import annotations

import json
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from jupyter_client.blocking.client import BlockingKernelClient
from jupyter_client.kernelspec import KernelSpec
from jupyter_client.manager import KernelManager

CELL = "1 + 1"
RESULT = "2"
READY_SECONDS = 60
REPLY_SECONDS = 30
_SPEC = KernelSpec(
    argv=["/usr/bin/python3", "-m", "ipykernel", "-f", "{connection_file}"],
    display_name="python",
    language="python",
)


class _Manager(KernelManager):
    """Knows one kernel, without looking for kernels on the disk."""

    @property
    def kernel_spec(self) -> KernelSpec:
        return _SPEC


@contextmanager
def raw_kernel() -> Generator[BlockingKernelClient]:
    """A kernel on ipc sockets that has answered."""
    with TemporaryDirectory() as folder:
        manager = _Manager(transport="ipc", connection_file=str(Path(folder) / "connection.json"))
        manager.start_kernel(cwd=folder)
        client: BlockingKernelClient = manager.client()
        client.start_channels()
        try:
            client.wait_for_ready(timeout=READY_SECONDS)
            yield client
        finally:
            client.stop_channels()
            manager.shutdown_kernel(now=True)


def run_cell(client: BlockingKernelClient, code: str = CELL) -> None:
    """Run a cell that gives `RESULT`; returns when that, its end and its reply have come."""
    request = client.execute(code, allow_stdin=False)
    shown = ""
    while True:
        message = client.get_iopub_msg(timeout=REPLY_SECONDS)
        if message["parent_header"].get("msg_id") != request:
            continue
        content = message["content"]
        if message["msg_type"] == "execute_result":
            shown = content["data"]["text/plain"]
        if content.get("execution_state") == "idle":
            break
    while client.get_shell_msg(timeout=REPLY_SECONDS)["parent_header"].get("msg_id") != request:
        pass
    if shown != RESULT:
        raise RuntimeError(f"the raw kernel said {shown!r}, not {RESULT!r}")


def main() -> None:
    """Print the seconds from the start of a kernel to its first result, as JSON."""
    started = time.perf_counter()
    with raw_kernel() as client:
        run_cell(client)
        seconds = time.perf_counter() - started
    print(json.dumps({"seconds": seconds}))


if __name__ == "__main__":
    main()
