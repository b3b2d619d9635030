from __future__ import annotations

from collections.abc import Iterator

import pytest
import structlog

from runtime.egress.protocol import ProxySettings
from tests.support.certificates import Certificates


@pytest.fixture(autouse=True)
def no_connection_fails() -> Iterator[None]:
    """What ends a connection is foreseen: nothing lands in the log as a mistake of ours."""
    with structlog.testing.capture_logs() as entries:
        yield
    assert [one for one in entries if one["event"] == "a connection failed"] == []


@pytest.fixture(scope="module")
def certificates() -> Certificates:
    return Certificates()


@pytest.fixture
def settings(certificates: Certificates) -> ProxySettings:
    return ProxySettings(certificates=certificates.pem)
