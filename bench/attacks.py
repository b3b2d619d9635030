"""What a sandbox does that wants to be a bad neighbour."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import docker

from bench.inside import hostile_guest
from runtime.schema.protocol import PROTOCOL_VERSION
from tests.support.sandlot import fence

BEGUN = "begun"
_SPIN = "echo begun; for i in $(seq 64); do nice -n -20 sh -c 'while :; do :; done' & done; wait"
_BOMB = "echo begun; bomb() { bomb | bomb & }; while :; do bomb; sleep 0.2; done"
_CHURN = """
import mmap
print("begun", flush=True)
while True:
    block = mmap.mmap(-1, 1536 * 1024 * 1024)
    for at in range(0, len(block), 4096):
        block[at] = 1
    block.close()
"""
_DISK = (
    "echo begun; while :; do dd if=/dev/zero of=/workspace/big bs=1M count=1024 conv=fsync; "
    "rm -f /workspace/big; done 2>/dev/null"
)
_MANY_FILES = """
import os
print("begun", flush=True)
while True:
    os.makedirs("/workspace/many", exist_ok=True)
    for n in range(100_000): os.close(os.open(f"/workspace/many/{n}", os.O_CREAT))
    for n in range(100_000): os.unlink(f"/workspace/many/{n}")
"""
_DISPLAYS = """
from IPython.display import display
print("begun", flush=True)
while True: display("x" * 1000)
"""
ATTACKS = {
    "64 busy loops": fence("bash", _SPIN),
    "a fork bomb": fence("bash", _BOMB),
    "memory churn": fence("python", _CHURN),
    "dd in a loop": fence("bash", _DISK),
    "100,000 files again and again": fence("python", _MANY_FILES),
    "output without end": fence("bash", "echo begun; yes"),
    "displays without end": fence("python", _DISPLAYS),
}
"""Prompts that play themselves; each says `begun` and never ends."""


@contextmanager
def hostile_image(image: str) -> Generator[str]:
    """An image whose guest is `bench.inside.hostile_guest`; removed at the end."""
    name = "sandlot/bench-hostile:latest"
    client = docker.from_env()
    try:
        client.images.build(fileobj=_context(image), custom_context=True, tag=name, rm=True)
        yield name
        client.images.remove(name, force=True)
    finally:
        client.close()


def _context(image: str) -> io.BytesIO:
    guest = Path(hostile_guest.__file__).read_text(encoding="utf-8")
    guest = guest.replace("else 3)", f"else {PROTOCOL_VERSION})")
    target = "/opt/sandlot/lib/runtime/guest/__main__.py"
    files = {"Dockerfile": f"FROM {image}\nCOPY guest.py {target}\n", "guest.py": guest}
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as tar:
        for name, text in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(text.encode())
            tar.addfile(entry, io.BytesIO(text.encode()))
    packed.seek(0)
    return packed
