"""Known holes in what sandboxes stand on, and from which version on they are closed. Pure.

Distributions close holes without a new upstream version: a Debian revision such as
`1.1.5+ds1-1+deb12u1` is compared with the revision whose changelog names the fix. What cannot be
used against a sandbox, because Docker or Sandlot never does what it takes, is not listed.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

Version = tuple[int, ...]
_REVISION = re.compile(r"\+deb(\d+)u(\d+)(?:\+b\d+)?$")
_ALWAYS = (0,)
_NEVER = 10**9
"""In place of a number of a branch that has no fix."""


@dataclass(frozen=True, slots=True)
class Hole:
    """One hole, or some of one kind."""

    component: str
    cves: str
    effect: str
    source: str
    """Where the versions come from."""
    affected: tuple[tuple[Version, Version], ...]
    """The first bad and the first good version of each branch."""
    debian: tuple[tuple[Version, int, int], ...] = ()
    """Upstream version, Debian release and the update that has the fix."""

    def is_open(self, version: str) -> bool:
        """Whether `version` is known to have it."""
        upstream = version_of(version)
        bad = any(first <= upstream < good for first, good in self.affected)
        return bad and not self._has_backport(version)

    def _has_backport(self, version: str) -> bool:
        revision = _REVISION.search(version)
        return revision is not None and any(
            version_of(version) == upstream
            and int(revision[1]) == release
            and int(revision[2]) >= update
            for upstream, release, update in self.debian
        )


HOLES = (
    Hole(
        "docker",
        "CVE-2026-41567, CVE-2026-41568, CVE-2026-42306",
        "`docker cp` on a sandbox runs its programs as root of the host, or mounts over the host's "
        "files; Sandlot never calls it, a person might",
        "https://www.cve.org/CVERecord?id=CVE-2026-41567",
        ((_ALWAYS, (29, 5, 1)),),
    ),
    Hole(
        "containerd",
        "CVE-2024-40635",
        "a user id above 31 bits in an image becomes root",
        "https://github.com/containerd/containerd/security/advisories/GHSA-265r-hfxg-fhmg, "
        "Debian's changelog of containerd 1.6.20~ds1-1+deb12u2",
        ((_ALWAYS, (1, 6, 38)), ((1, 7), (1, 7, 27)), ((2,), (2, 0, 4))),
        debian=(((1, 6, 20), 12, 2),),
    ),
    Hole(
        "runc",
        "CVE-2024-21626",
        "a leaked descriptor opens the host to a container",
        "https://www.cve.org/CVERecord?id=CVE-2024-21626, "
        "Debian's changelog of runc 1.1.5+ds1-1+deb12u1",
        ((_ALWAYS, (1, 1, 12)),),
        debian=(((1, 1, 5), 12, 1),),
    ),
    Hole(
        "runc",
        "CVE-2025-31133, CVE-2025-52565, CVE-2025-52881",
        "races at the start of a container write to the host's /proc",
        "https://github.com/opencontainers/runc/security/advisories/GHSA-9493-h29p-rfm2",
        ((_ALWAYS, (1, 2, 8)), ((1, 3), (1, 3, 3))),
    ),
    Hole(
        "runsc",
        "CVE-2025-2713",
        "files that are not for all users of a sandbox can be read by them",
        "https://www.cve.org/CVERecord?id=CVE-2025-2713",
        ((_ALWAYS, (20250319,)),),
    ),
    Hole(
        "kernel",
        "CVE-2026-80521",
        "a program can get out of its container by closing sockets, unless your distribution has "
        "the fix",
        "https://www.cve.org/CVERecord?id=CVE-2026-80521",
        (((6, 1, 141), (6, 1, _NEVER)), ((6, 6, 93), (6, 6, _NEVER)), ((6, 10), (7, 1, 10))),
    ),
)


def version_of(text: str) -> Version:
    """The leading numbers of a version: `1.1.5+ds1` is (1, 1, 5); nothing at all is ()."""
    match = re.match(r"\D*(\d+(?:\.\d+)*)", text)
    return tuple(int(part) for part in match[1].split(".")) if match else ()


def open_holes(component: str, version: str) -> list[Hole]:
    """The known holes of a version, oldest first."""
    return [hole for hole in HOLES if hole.component == component and hole.is_open(version)]


def mend_of(holes: list[Hole]) -> str:
    """To which versions to update: those that have none of the known holes."""
    component = holes[0].component
    known = [hole for hole in HOLES if hole.component == component]
    fixed = {good for hole in known for _, good in hole.affected if _NEVER not in good}
    texts = [".".join(map(str, version)) for version in sorted(fixed)]
    return "update to " + " or ".join(text for text in texts if not open_holes(component, text))
