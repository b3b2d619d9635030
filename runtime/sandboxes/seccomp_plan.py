"""Decides which system calls a sandbox may make, from the profile in `sandbox-image/`. Pure."""

from __future__ import annotations

import json
from typing import Any

_MOUNTS, _CGROUP, _HOST_NAME, _IPC = 0x00020000, 0x02000000, 0x04000000, 0x08000000
_USER = 0x10000000
_NEVER_NEW = _MOUNTS | _CGROUP | _HOST_NAME | _IPC
_ALL_BUT_USER = 0xFFFFFFFF ^ _USER
_GVISOR_NAMES = ("pselect",)
"""What it calls calls that the profile allows under the kernel's names."""


def with_browser_sandbox(profile: str) -> str:
    """The profile, and what Chromium needs for its own sandbox: user, pid and net namespaces.

    The guest takes them away again from everything but the browser before it gives up its
    rights, see `runtime.guest.confinement`.
    """
    read: dict[str, Any] = json.loads(profile)
    rules: list[dict[str, Any]] = [rule for rule in read["syscalls"] if rule["names"] != ["clone"]]
    rules += [
        _allowed("clone", _masked(_NEVER_NEW)),
        _allowed("unshare", _masked(_ALL_BUT_USER)),
        _allowed("chroot"),
    ]
    return json.dumps({**read, "syscalls": rules})


def for_gvisor(profile: str) -> str:
    """The profile as gVisor reads it, where it is registered with `--oci-seccomp`.

    It answers EPERM whatever error a rule names, and C libraries make no thread after that; its
    own answer to `clone3` is the one they want. The guest's second filter refuses it to all but
    the browser.
    """
    read: dict[str, Any] = json.loads(profile)
    rules: list[dict[str, Any]] = [rule for rule in read["syscalls"] if rule["names"] != ["clone3"]]
    rules += [_allowed(name) for name in ("clone3", *_GVISOR_NAMES)]
    return json.dumps({**read, "syscalls": rules})


def _allowed(name: str, *arguments: dict[str, Any]) -> dict[str, Any]:
    return {"names": [name], "action": "SCMP_ACT_ALLOW", "args": list(arguments)}


def _masked(mask: int) -> dict[str, Any]:
    """The first argument has none of these bits."""
    return {"index": 0, "value": mask, "valueTwo": 0, "op": "SCMP_CMP_MASKED_EQ"}
