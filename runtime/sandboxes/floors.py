"""Known holes in what sandboxes stand on, and from which version on they are closed. Pure.

Distributions close holes without a new upstream version: a Debian revision such as
`1.1.5+ds1-1+deb12u1` is compared with the revision that has the fix.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

Version = tuple[int, ...]
_REVISION = re.compile(r"\+deb(\d+)u(\d+)$")


@dataclass(frozen=True, slots=True)
class Hole:
    """One hole, or some of one kind."""

    component: str
    cves: str
    effect: str
    fixed: tuple[Version, ...]
    """The first good version of each branch, oldest branch first; later branches are good."""
    since: Version = (0,)
    debian: tuple[tuple[Version, int, int], ...] = ()
    """Upstream version, Debian release and the update that has the fix."""

    def is_open(self, version: str) -> bool:
        """Whether `version` is known to have it."""
        upstream = version_of(version)
        if upstream < self.since or self._has_backport(version):
            return False
        branch = [good for good in self.fixed if good[:2] == upstream[:2]]
        return upstream < (branch[0] if branch else self._next_good(upstream))

    def _next_good(self, upstream: Version) -> Version:
        """Between two branches with fixes there is none; above the newest all have it."""
        return next((good for good in self.fixed if good > upstream), (0,))

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
        "CVE-2026-41567, -42306, -41568",
        "`docker cp` on a sandbox runs its programs as root of the host; Sandlot never calls it",
        fixed=((29, 5, 2),),
    ),
    Hole(
        "containerd",
        "CVE-2024-40635",
        "a user id above 32 bits in an image becomes root",
        fixed=((1, 6, 38), (1, 7, 27), (2, 0, 4)),
        debian=(((1, 6, 20), 12, 2),),
    ),
    Hole(
        "runc",
        "CVE-2024-21626",
        "a leaked descriptor opens the host to a container",
        fixed=((1, 1, 12),),
        debian=(((1, 1, 5), 12, 1),),
    ),
    Hole(
        "runc",
        "CVE-2025-31133, -52565, -52881",
        "races at the start of a container write to the host's /proc",
        fixed=((1, 2, 8), (1, 3, 3)),
    ),
    Hole(
        "runc",
        "CVE-2026-41579",
        "a link in a hostile image leads out of the container's /dev",
        fixed=((1, 3, 6), (1, 4, 3)),
        since=(1, 3),
    ),
    Hole(
        "kernel",
        "CVE-2026-80521",
        "a program can get out of its container, unless your distribution has the fix",
        fixed=((7, 1, 10),),
        since=(6, 10),
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
    fixed = {good for hole in HOLES if hole.component == component for good in hole.fixed}
    texts = [".".join(map(str, version)) for version in sorted(fixed)]
    return "update to " + " or ".join(text for text in texts if not open_holes(component, text))
