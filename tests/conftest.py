from __future__ import annotations

import signal

import pytest

# Started in the background of a script, they would be ignored, here and in every program that a
# test starts; these tests interrupt.
for interrupt in (signal.SIGINT, signal.SIGQUIT):
    if signal.getsignal(interrupt) is signal.SIG_IGN:
        default = signal.default_int_handler if interrupt == signal.SIGINT else signal.SIG_DFL
        signal.signal(interrupt, default)


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"
