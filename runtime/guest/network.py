"""What programs in a sandbox are told of its network: the proxy, and which authorities to trust.

The files lie in a folder that the supervisor alone writes and everybody reads. The image's own
store of certificates leads there, too, so that programs which know no variable trust the same ones.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from pathlib import Path

from runtime.guest.roles import SUPERVISOR, is_split
from runtime.schema.protocol import GuestNetwork

PROXY_PORT = 3128
PROXY = f"http://127.0.0.1:{PROXY_PORT}"
DIRECTORY = Path(os.environ.get("SANDLOT_TRUST", "/run/trust"))
BUNDLE = "ca-certificates.crt"
"""All authorities: the system's and the network's."""
ADDED = "network.crt"
"""Those of the network alone."""
POLICY = "chromium.json"
SYSTEM_BUNDLE = Path("/usr/share/sandlot/ca-certificates.crt")
"""The image's own authorities; `/etc/ssl/certs` leads to the folder above."""
NODE_AGENTS = "/usr/share/sandlot/agents.cjs"
"""Makes Node.js programs use the proxy also where they have agents of their own."""
NOT_PROXIED = "localhost,127.0.0.1,::1,.localhost,workspace.sandlot"

_PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY")
_BUNDLES = (
    "SSL_CERT_FILE",
    "REQUESTS_CA_BUNDLE",
    "CURL_CA_BUNDLE",
    "PIP_CERT",
    "GIT_SSL_CAINFO",
    "AWS_CA_BUNDLE",
    "GRPC_DEFAULT_SSL_ROOTS_FILE_PATH",
)
_ADDITIONS = ("NODE_EXTRA_CA_CERTS", "DENO_CERT")
_CERTIFICATE = re.compile(r"-----BEGIN CERTIFICATE-----(.*?)-----END CERTIFICATE-----", re.DOTALL)


def variables(directory: Path = DIRECTORY) -> dict[str, str]:
    """The environment variables by which programs find the proxy and trust its certificates."""
    proxies = {spelling: PROXY for name in _PROXIES for spelling in (name, name.lower())}
    return {
        **proxies,
        "NO_PROXY": NOT_PROXIED,
        "no_proxy": NOT_PROXIED,
        "NODE_USE_ENV_PROXY": "1",
        "NODE_OPTIONS": f"--require={NODE_AGENTS}",
        **dict.fromkeys(_BUNDLES, str(directory / BUNDLE)),
        **dict.fromkeys(_ADDITIONS, str(directory / ADDED)),
    }


def merged(given: Mapping[str, str], network: GuestNetwork | None) -> dict[str, str]:
    """The caller's variables and the network's, which win; options for Node.js are joined.

    There is one way out, so another proxy, or a store without its authority, can only break things.
    """
    if network is None:
        return dict(given)
    ours = variables()
    if "NODE_OPTIONS" in given:
        ours["NODE_OPTIONS"] += f" {given['NODE_OPTIONS']}"
    return {**given, **ours}


def make_directory(directory: Path = DIRECTORY) -> None:
    """Make the folder, writable for the supervisor; done as root, before any other process runs."""
    if not is_split():
        return
    group, mask = os.getegid(), os.umask(0o002)
    os.setegid(SUPERVISOR.uid)  # there is no right to change owners: a new folder gets this group
    try:
        directory.mkdir(mode=0o775)
    finally:
        os.setegid(group)
        os.umask(mask)
    (directory / BUNDLE).symlink_to(SYSTEM_BUNDLE)


def publish(
    certificates: str, directory: Path = DIRECTORY, system_bundle: Path = SYSTEM_BUNDLE
) -> None:
    """Let everybody trust `certificates` (PEM), beside the system's. Raises `OSError`."""
    system = system_bundle.read_text(encoding="ascii", errors="replace")
    _write(directory / ADDED, certificates)
    _write(directory / BUNDLE, f"{system.rstrip()}\n{certificates}")
    _write(directory / POLICY, json.dumps({"CACertificates": _encoded(certificates)}))


def _encoded(certificates: str) -> list[str]:
    """Each certificate as Chromium's policies want it: DER in base64, without line ends."""
    return ["".join(found.split()) for found in _CERTIFICATE.findall(certificates)]


def _write(path: Path, text: str) -> None:
    """Put a file in the place of the one there, whole at any moment."""
    fresh = path.with_name(f"{path.name}.new")
    fresh.write_text(text, encoding="utf-8")
    fresh.replace(path)
