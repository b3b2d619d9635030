"""SQL: interactions, logs, environments, files. The only package that speaks to a database."""

from __future__ import annotations

from runtime.store.bounds import BoundReached, Bounds
from runtime.store.credentials import CredentialExists, CredentialRecord, TooManyCredentials
from runtime.store.environments import EnvironmentRecord, NetworkChange
from runtime.store.events import EventPage, Logged
from runtime.store.files import FileRecord, Files, NameTaken
from runtime.store.idempotency import AlreadyClaimed, Claim, Claimed
from runtime.store.interactions import InteractionRecord, InteractionSummary
from runtime.store.journal import Beginning, Progress, Settlement
from runtime.store.keys import KeyRecord
from runtime.store.projects import NotEmpty, ProjectRecord
from runtime.store.sessions import SessionMoved, SessionRecord, Turn
from runtime.store.store import Store

__all__ = [
    "AlreadyClaimed",
    "Beginning",
    "BoundReached",
    "Bounds",
    "Claim",
    "Claimed",
    "CredentialExists",
    "CredentialRecord",
    "EnvironmentRecord",
    "EventPage",
    "FileRecord",
    "Files",
    "InteractionRecord",
    "InteractionSummary",
    "KeyRecord",
    "Logged",
    "NameTaken",
    "NetworkChange",
    "NotEmpty",
    "Progress",
    "ProjectRecord",
    "SessionMoved",
    "SessionRecord",
    "Settlement",
    "Store",
    "TooManyCredentials",
    "Turn",
]
