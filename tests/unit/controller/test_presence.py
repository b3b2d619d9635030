"""Calls that last, and the end of their key."""

from __future__ import annotations

import pytest

from runtime.controller.presence import Presence
from runtime.errors import Unauthenticated
from runtime.schema.callers import Caller

pytestmark = pytest.mark.anyio
REVOKED = Caller("team", frozenset({"read"}), "key_1")
OTHER = Caller("team", frozenset({"read"}), "key_2")


async def test_with_its_key_a_call_ends_and_one_that_was_let_in_before_does_not_begin() -> None:
    presence = Presence()
    stay, other = presence.enter(REVOKED), presence.enter(OTHER)
    await presence.end(REVOKED.key_id)
    assert stay.is_ended and stay.scope.cancel_called
    assert not other.is_ended
    with pytest.raises(Unauthenticated, match="revoked"):
        presence.enter(REVOKED)
    presence.enter(OTHER).leave()
    stay.leave()
    assert presence.count("team") == 1
