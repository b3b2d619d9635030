"""`python -m runtime.egress`: the proxy process. Started by the controller, with two socket pairs.

It gives up every right it does not need before it serves anything: it opens no file afterwards.
"""

from __future__ import annotations

import argparse
import codecs
import ctypes
import logging
import os
import resource
import signal
import socket
import sys
from collections.abc import Sequence

import anyio
import anyio.to_thread
import structlog

from runtime.egress.channel import Channel
from runtime.egress.lookups import SystemLookups
from runtime.egress.protocol import MAX_ORDER_BYTES
from runtime.egress.server import Server

_PR_SET_DUMPABLE = 4
_PR_SET_NO_NEW_PRIVS = 38


async def serve(orders: socket.socket, events: socket.socket, uid: int | None) -> None:
    """Serve until the controller closes its ends."""
    await rehearse()
    renounce(uid)
    first = await Channel.of(orders, MAX_ORDER_BYTES)
    second = await Channel.of(events, MAX_ORDER_BYTES)
    try:
        await Server(first, second, SystemLookups()).run()
    finally:
        with anyio.CancelScope(shield=True):
            await first.aclose()
            await second.aclose()


async def rehearse() -> None:
    """Do once what loads modules when it is first done: they may not be readable afterwards."""
    for codec in ("ascii", "idna", "latin-1"):
        codecs.lookup(codec)
    await anyio.to_thread.run_sync(os.getpid)
    await anyio.getaddrinfo("127.0.0.1", 80, type=socket.SOCK_STREAM)


def renounce(uid: int | None) -> None:
    """Take a user id of its own, and leave no memory behind when it breaks down."""
    descriptors = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (descriptors, descriptors))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if uid is not None:
        os.setgroups([])
        os.setresgid(uid, uid, uid)
        os.setresuid(uid, uid, uid)
    libc = ctypes.CDLL(None, use_errno=True)
    # A change of user id hides /proc/self/fd, from where certificates are loaded.
    for option, value in ((_PR_SET_DUMPABLE, 1), (_PR_SET_NO_NEW_PRIVS, 1)):
        if libc.prctl(option, value, 0, 0, 0) != 0:
            raise OSError(ctypes.get_errno(), "prctl failed")


def log_to_stderr() -> None:
    """One JSON line per message; tracebacks without the values of variables."""
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso"),
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the process."""
    parser = argparse.ArgumentParser("python -m runtime.egress", description=__doc__)
    parser.add_argument("--orders", type=int, required=True, help="descriptor of a socket")
    parser.add_argument("--events", type=int, required=True, help="descriptor of a socket")
    parser.add_argument("--uid", type=int, help="user and group id to run as")
    options = parser.parse_args(arguments)
    # The controller ends this process by closing its ends, also when it is killed.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    log_to_stderr()
    orders, events = (socket.socket(fileno=number) for number in (options.orders, options.events))
    anyio.run(serve, orders, events, options.uid)


if __name__ == "__main__":
    main()
