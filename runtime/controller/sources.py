"""What a caller puts into a new environment: files that come with the call, and repositories.

Pure: everything is checked before anything runs, with the field that holds it.
"""

from __future__ import annotations

import base64
import binascii
import posixpath
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from runtime.controller.network_rules import is_disabled
from runtime.controller.plan import InlineFile, Repository
from runtime.egress.policy import Policy
from runtime.egress.rules import HostRule, Rules
from runtime.errors import InvalidRequest
from runtime.outbound.hosts import Authority, read_authority
from runtime.schema.interactions import Source
from runtime.schema.network import Network, allowed_hosts
from runtime.schema.settings import EgressSettings

WORKSPACE = "/workspace"
MAX_FILE_BYTES = 1024 * 1024
MAX_TOTAL_BYTES = 2 * 1024 * 1024
MAX_REPOSITORIES = 20
MAX_URL_CHARACTERS = 2048
_PORTS = {"https": 443, "http": 80}
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,200}")
_UNPLAIN = re.compile(r"[^!-~]|[\\?#]")


@dataclass(frozen=True, slots=True)
class Sources:
    """The sources of a call, read."""

    files: list[InlineFile] = field(default_factory=list[InlineFile])
    repositories: dict[str, Repository] = field(default_factory=dict[str, Repository])
    """By where they stand in the call."""
    shown: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    """As the environment shows them, without the content of files."""


@dataclass(frozen=True, slots=True)
class Reach:
    """What a new environment will reach, and where that was said."""

    network: Network
    where: str
    egress: EgressSettings
    """What the operator allows beside the public Internet."""


def read_sources(sources: list[Source]) -> Sources:
    """The sources of a call. Raises `InvalidRequest` for any that cannot be had."""
    found, targets, total = Sources(), dict[str, str](), 0
    for index, source in enumerate(sources):
        path = f"environment.sources[{index}]"
        shown = source.model_dump(exclude_none=True, exclude={"content"})
        if source.type == "repository":
            repository = _repository(source, path)
            found.repositories[path] = repository
            target = repository.target
            shown["target"] = target
        else:
            content = _content(source, path)
            total += len(content)
            target = _target(source.target or "", f"{path}.target", "file")
            encoded = base64.b64encode(content).decode("ascii")
            found.files.append(InlineFile(target=target, content_base64=encoded))
        if target in targets:
            raise InvalidRequest(f"{path}.target: '{target}' is given twice.")
        targets[target] = path
        found.shown.append(shown)
    if total > MAX_TOTAL_BYTES:
        raise InvalidRequest(
            f"environment.sources: together they are larger than {MAX_TOTAL_BYTES} bytes."
        )
    _check_repositories(found, targets)
    return found


def check_reach(repositories: Mapping[str, Repository], reach: Reach) -> None:
    """Whether the environment may reach the hosts of its repositories. Raises `InvalidRequest`.

    What a name leads to, and whether a credential is of use, shows when they are cloned.
    """
    if not repositories:
        return
    hosts = tuple(HostRule(domain=host.domain) for host in allowed_hosts(reach.network))
    policy = Policy(Rules(hosts=hosts, allow_internal=tuple(reach.egress.allow_internal)))
    for path, repository in repositories.items():
        if is_disabled(reach.network):
            raise InvalidRequest(f"{path}.source: cannot be cloned, {reach.where} is 'disabled'.")
        authority = _authority(repository.url)
        verdict = policy.decide(authority)
        if verdict.rule is None:
            shown = authority.host if _has_usual_port(repository.url) else authority
            raise InvalidRequest(f"{path}.source: {shown} is not in {reach.where}.")
        if not verdict.allowed:
            raise InvalidRequest(f"{path}.source: {verdict.reason}")


def _content(source: Source, path: str) -> bytes:
    if source.type != "inline":
        raise InvalidRequest(
            f"{path}.type: sources of type '{source.type}' are not supported; use 'inline' or "
            "'repository'."
        )
    if source.source is not None:
        raise InvalidRequest(f"{path}.source: an inline source has 'content' instead.")
    if source.content is None:
        raise InvalidRequest(f"{path}.content: is missing.")
    content = _decoded(source.content, source.encoding, path)
    if len(content) > MAX_FILE_BYTES:
        raise InvalidRequest(f"{path}.content: is larger than {MAX_FILE_BYTES} bytes.")
    return content


def _decoded(content: str, encoding: str | None, path: str) -> bytes:
    if encoding != "base64":
        return content.encode()
    try:
        return base64.b64decode(content, validate=True)
    except (binascii.Error, ValueError) as error:
        raise InvalidRequest(f"{path}.content: is not valid base64.") from error


def _repository(source: Source, path: str) -> Repository:
    if source.content is not None or source.encoding is not None:
        raise InvalidRequest(f"{path}: a repository has a 'source', and no content or encoding.")
    url = source.source
    if not url:
        raise InvalidRequest(f"{path}.source: is missing; give the URL of the repository.")
    try:
        name = _checked_url(url)
    except InvalidRequest as error:
        raise InvalidRequest(f"{path}.source: {error.message}") from None
    where = f"{path}.target"
    if source.target:
        return Repository(url=url, target=_target(source.target.rstrip("/"), where, "folder"))
    if not _NAME.fullmatch(name):
        raise InvalidRequest(f"{where}: is missing, and the URL's last part cannot be a folder.")
    return Repository(url=url, target=f"{WORKSPACE}/{name}")


def _checked_url(url: str) -> str:
    """The repository's name. The URL itself is not repeated in an error: it may hold a secret."""
    if len(url) > MAX_URL_CHARACTERS:
        raise InvalidRequest(f"a URL has at most {MAX_URL_CHARACTERS} characters.")
    scheme, separator, rest = url.partition("://")
    if not separator or scheme not in _PORTS:
        raise InvalidRequest("must begin with https:// or http://.")
    if "@" in rest.partition("/")[0]:
        raise InvalidRequest(
            "must not hold a user or a password; give the host a 'credential' or a 'transform' in "
            "environment.network.allowlist."
        )
    if _UNPLAIN.search(url):
        raise InvalidRequest("must have no blanks, control characters, backslashes, '?' and '#'.")
    _authority(url)
    name = rest.partition("/")[2].strip("/").rpartition("/")[2]
    if not name:
        raise InvalidRequest("names no repository, only a host.")
    return name.removesuffix(".git")


def _authority(url: str) -> Authority:
    parts = urlsplit(url)
    return read_authority(parts.netloc, _PORTS[parts.scheme])


def _has_usual_port(url: str) -> bool:
    return _authority(url).port == _PORTS[urlsplit(url).scheme]


def _target(asked: str, where: str, kind: str) -> str:
    """Where it goes: the workspace is the only place in a sandbox that can be written."""
    if not asked.strip("/") or asked.endswith("/") or "\0" in asked or ".." in asked.split("/"):
        raise InvalidRequest(f"{where}: must be the path of a {kind} below {WORKSPACE}.")
    target = posixpath.normpath(asked)
    if not target.startswith("/"):
        return _below(f"{WORKSPACE}/{target}", where, kind)
    target = "/" + target.lstrip("/")
    if target.startswith("/.agents/"):
        return WORKSPACE + target
    return _below(target, where, kind)


def _below(target: str, where: str, kind: str) -> str:
    target = posixpath.normpath(target)
    if target == WORKSPACE:
        raise InvalidRequest(f"{where}: must be the path of a {kind} below {WORKSPACE}.")
    if not target.startswith(f"{WORKSPACE}/"):
        raise InvalidRequest(f"{where}: '{target}' does not lie below {WORKSPACE}.")
    return target


def _check_repositories(found: Sources, targets: Mapping[str, str]) -> None:
    """A repository is cloned into a folder of its own; files may go into it afterwards."""
    if len(found.repositories) > MAX_REPOSITORIES:
        raise InvalidRequest(f"environment.sources: at most {MAX_REPOSITORIES} are repositories.")
    for path, repository in found.repositories.items():
        folder = posixpath.dirname(repository.target)
        while folder != "/":
            if folder in targets:
                raise InvalidRequest(
                    f"{path}.target: '{repository.target}' lies inside the target of "
                    f"{targets[folder]}."
                )
            folder = posixpath.dirname(folder)
