"""What the container runtimes are that Docker may know, by the names they are registered under."""

from __future__ import annotations


def is_gvisor(runtime: str) -> bool:
    """Whether it is gVisor: a kernel of its own, in user space."""
    return "runsc" in runtime


def is_kata(runtime: str) -> bool:
    """Whether it is Kata Containers: a virtual machine for each container."""
    return "kata" in runtime


def is_strong(runtime: str) -> bool:
    """Whether it puts a kernel of its own between a sandbox and the host's."""
    return is_gvisor(runtime) or is_kata(runtime)
