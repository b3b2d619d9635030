"""What goes into the sandbox image, what it is called, and what its builder says. Pure: no I/O."""

from __future__ import annotations

import hashlib
import io
import re
import tarfile
from collections.abc import Iterable
from dataclasses import dataclass

REPOSITORY = "sandlot/sandbox"
BASE_REPOSITORY = "sandlot/base"
DEFAULT_SUITE = "trixie"
DEFAULT_BASE = f"debian:{DEFAULT_SUITE}-slim"
BOOTSTRAPPED_BASE = f"{BASE_REPOSITORY}:{DEFAULT_SUITE}"

LABEL_VERSION = "sandlot.image.version"
LABEL_PROTOCOL = "sandlot.image.protocol"
LABEL_CONTENT = "sandlot.image.content"

TRUST_FOLDER = "trust/"
"""Host settings for the build stage: part of the context, never of the name or of the image."""

_HASH_LENGTH = 12
_STEP = re.compile(r"^Step (\d+)/(\d+) : (.*)", re.DOTALL)
_STEP_NAMES = {
    "RUN sh /steps/debian": "installing the packages of Debian, Chromium and fonts included",
    "RUN sh /steps/agent": "installing the agent's Python packages and Node.js",
    "RUN sh /steps/guest": "installing what the guest needs",
    "RUN sh /steps/finish": "making users and caches, cleaning up",
    "COPY --from=build / /": "flattening into one layer",
    "COPY runtime/ /opt/sandlot/lib/runtime/": "adding the guest",
}
_DISK_FULL = ("no space left on device", "enough free space", "disk quota exceeded")
_CAUSES: tuple[tuple[tuple[str, ...], str], ...] = (
    (
        ("certificate verify failed", "certificate is not trusted", "certificate verification"),
        "A download's certificate is not trusted: put your proxy's CA certificate into "
        "/usr/local/share/ca-certificates, run `update-ca-certificates` and try again.",
    ),
    (
        ("do not match the hashes", "hash sum mismatch", "hash mismatch"),
        "A download is not the file that the lock names: try again, and if it happens again "
        "look at what your package mirror serves.",
    ),
    (
        (
            "temporary failure resolving",
            "name or service not known",
            "failed to fetch",
            "could not connect",
            "connection refused",
            "connection timed out",
            "network is unreachable",
            "no matching distribution found",
            "could not find a version",
            "max retries exceeded",
            "no such host",
        ),
        "A download was refused or did not answer: check the network, and the proxy and mirror "
        "settings of apt and pip, which the build takes over from this machine.",
    ),
)


@dataclass(frozen=True, slots=True)
class ContextFile:
    """One file of the build context."""

    name: str
    """Its path in the context, with forward slashes."""
    data: bytes
    executable: bool = False


@dataclass(frozen=True, slots=True)
class ImageProgress:
    """How far the making of the image is."""

    step: int
    total: int
    what: str
    seconds: float
    """Since the start."""
    detail: str = ""
    """The latest line of output."""


@dataclass(frozen=True, slots=True)
class BuildStep:
    """One step of the builder."""

    number: int
    total: int
    what: str
    """Empty for the small steps, which belong to what came before."""


def content_hash(files: Iterable[ContextFile], base: str) -> str:
    """A short name for all that decides what is in the image, host settings left out."""
    digest = hashlib.sha256(base.encode())
    for file in sorted(files, key=lambda each: each.name):
        if file.name.startswith(TRUST_FOLDER):
            continue
        inner = hashlib.sha256(file.data).hexdigest()
        digest.update(f"{file.name}\0{file.executable:d}\0{inner}\n".encode())
    return digest.hexdigest()[:_HASH_LENGTH]


def tag_of(version: str, content: str) -> str:
    """The image's full name."""
    return f"{REPOSITORY}:{version.replace('+', '-')}-{content}"


def labels_of(version: str, protocol: int, content: str) -> dict[str, str]:
    """What the image says about itself."""
    return {
        LABEL_VERSION: version,
        LABEL_PROTOCOL: str(protocol),
        LABEL_CONTENT: content,
    }


def protocol_of(labels: dict[str, str]) -> int | None:
    """The guest protocol that an image speaks by its labels; None if it does not say."""
    value = labels.get(LABEL_PROTOCOL, "")
    return int(value) if value.isascii() and value.isdigit() else None


def pack(files: Iterable[ContextFile]) -> bytes:
    """The build context as a tar archive that depends on nothing but its files."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for file in sorted(files, key=lambda each: each.name):
            entry = tarfile.TarInfo(file.name)
            entry.size = len(file.data)
            entry.mode = 0o755 if file.executable else 0o644
            archive.addfile(entry, io.BytesIO(file.data))
    return buffer.getvalue()


def base_candidates(wanted: str | None) -> tuple[str, ...]:
    """The base images that will do when they are already here, best first."""
    return (wanted,) if wanted else (DEFAULT_BASE, BOOTSTRAPPED_BASE)


def parse_step(line: str) -> BuildStep | None:
    """The step that a line of the builder's output announces, if it does."""
    match = _STEP.match(line)
    if match is None:
        return None
    return BuildStep(int(match[1]), int(match[2]), _STEP_NAMES.get(match[3].strip(), ""))


def is_disk_full(text: str) -> bool:
    """Whether a failure's text says that the disk is full."""
    lowered = text.lower()
    return any(mark in lowered for mark in _DISK_FULL)


def explain(text: str, fallback: str) -> str:
    """One sentence for a person on why a build with this output failed."""
    lowered = text.lower()
    for marks, sentence in _CAUSES:
        if any(mark in lowered for mark in marks):
            return sentence
    return fallback


def bootstrap_command(script: str, mirrors: str, suite: str = DEFAULT_SUITE) -> list[str]:
    """How to call the bootstrap script: with this machine's mirrors, else with the default one."""
    archive, _, rest = mirrors.partition("\n")
    security = rest.strip()
    command = [script, suite]
    if archive:
        command += [f"deb {archive} {suite} main", f"deb {archive} {suite}-updates main"]
    if security:
        command.append(f"deb {security} {suite}-security main")
    return command
