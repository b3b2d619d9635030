"""HTTP: translates requests into calls of the controller, and its answers into the wire's JSON."""

from __future__ import annotations

from runtime.api.app import create_app
from runtime.api.auth import FixedKeys
from runtime.api.server import DrainingServer
from runtime.api.services import KeyRing, Probe, Services

__all__ = ["DrainingServer", "FixedKeys", "KeyRing", "Probe", "Services", "create_app"]
