from __future__ import annotations

import base64
from typing import Any

import pytest

from runtime.controller.network_rules import NETWORK
from runtime.controller.plan import Repository
from runtime.controller.sources import (
    MAX_FILE_BYTES,
    MAX_REPOSITORIES,
    Reach,
    check_reach,
    read_sources,
)
from runtime.errors import InvalidRequest
from runtime.schema.interactions import Source
from runtime.schema.settings import EgressSettings

GIT = "https://git.example.com/team/tool"


def repository(url: Any = GIT, **more: Any) -> Source:
    return Source.model_validate({"type": "repository", "source": url, **more})


def inline(target: str, content: str = "text") -> Source:
    return Source.model_validate({"type": "inline", "content": content, "target": target})


def one(source: Source) -> Repository:
    (found,) = read_sources([source]).repositories.values()
    return found


@pytest.mark.parametrize(
    ("url", "target", "lands"),
    [
        (GIT, None, "/workspace/tool"),
        (f"{GIT}.git", None, "/workspace/tool"),
        (f"{GIT}/", None, "/workspace/tool"),
        ("http://git.example.com:8080/tool.git", None, "/workspace/tool"),
        (GIT, "/workspace/a/b/", "/workspace/a/b"),
        (GIT, "code", "/workspace/code"),
        (GIT, "./code/.", "/workspace/code"),
        (GIT, "//workspace//code", "/workspace/code"),
        (GIT, "/.agents/skills", "/workspace/.agents/skills"),
        ("https://git.example.com/o/..", "/workspace/x", "/workspace/x"),
    ],
)
def test_a_repository_lands_below_the_workspace(url: str, target: str | None, lands: str) -> None:
    found = one(repository(url, target=target))
    assert (found.url, found.target) == (url, lands)


@pytest.mark.parametrize(
    ("url", "why"),
    [
        (None, "source: is missing"),
        ("", "source: is missing"),
        ("git.example.com/o/r", "must begin with https://"),
        ("git@git.example.com:o/r", "must begin with https://"),
        ("ssh://git.example.com/o/r", "must begin with https://"),
        ("file:///etc", "must begin with https://"),
        ("ext::sh -c id", "must begin with https://"),
        ("HTTPS://git.example.com/o/r", "must begin with https://"),
        ("--upload-pack=id", "must begin with https://"),
        ("https://git.example.com", "names no repository"),
        ("https://git.example.com//", "names no repository"),
        ("https:///o/r", "is not a host and port"),
        ("https://git.example.com:/o/r", "is not a host and port"),
        ("https://git.example.com:99999/o/r", "no valid port"),
        ("https://127.1/o/r", "neither a host name nor a plain IP address"),
        ("https://git.example.com\\@evil.test/o/r", "must not hold a user"),
        ("https://git.example.com/o/r\nx", "must have no blanks"),
        ("https://git.example.com/o/r x", "must have no blanks"),
        ("https://git.example.com/o/r?ref=main", "must have no blanks"),
        ("https://git.example.com/o/r#main", "must have no blanks"),
        ("https://git.example.com/o/r\N{LATIN SMALL LETTER E WITH ACUTE}", "must have no blanks"),
        (f"https://git.example.com/{'a' * 3000}", "at most 2048 characters"),
    ],
)
def test_what_is_no_url_of_a_repository_is_refused(url: str | None, why: str) -> None:
    with pytest.raises(InvalidRequest) as refusal:
        read_sources([inline("/workspace/x"), repository(url, target="/workspace/r")])
    assert refusal.value.message.startswith("environment.sources[1].")
    assert why in refusal.value.message


@pytest.mark.parametrize(
    "url", ["https://me:hunter2@git.example.com/o/r", "https://hunter2@git.example.com/o/r"]
)
def test_a_password_in_a_url_is_refused_and_not_repeated(url: str) -> None:
    with pytest.raises(InvalidRequest, match="credential") as refusal:
        read_sources([repository(url)])
    assert "hunter2" not in refusal.value.message


@pytest.mark.parametrize(
    "target", ["/", "/workspace", "/workspace/", ".", "../x", "/etc/x", "/workspace/../x", "a\0b"]
)
def test_a_target_that_is_not_below_the_workspace_is_refused(target: str) -> None:
    with pytest.raises(InvalidRequest, match=r"^environment\.sources\[0\]\.target: "):
        read_sources([repository(target=target)])


def test_a_name_that_cannot_be_a_folder_needs_a_target() -> None:
    for url in ("https://git.example.com/o/..", "https://git.example.com/o/.git"):
        with pytest.raises(InvalidRequest, match="target: is missing"):
            read_sources([repository(url)])


@pytest.mark.parametrize(
    "others",
    [
        [repository()],
        [inline("/workspace/tool")],
        [repository(target="/workspace/tool/inner")],
        [repository(target="/workspace/tool/a/b")],
    ],
)
def test_no_two_sources_have_one_place(others: list[Source]) -> None:
    for sources in ([repository(), *others], [*others, repository()]):
        with pytest.raises(InvalidRequest, match=r"given twice|lies inside the target of"):
            read_sources(sources)


def test_a_repository_below_a_file_is_refused() -> None:
    with pytest.raises(InvalidRequest, match="lies inside"):
        read_sources([repository(target="/workspace/a/b"), inline("/workspace/a")])


def test_files_may_go_into_a_repository() -> None:
    found = read_sources([repository(), inline("/workspace/tool/notes.md")])
    assert [file.target for file in found.files] == ["/workspace/tool/notes.md"]
    assert found.shown == [
        {"type": "repository", "source": GIT, "target": "/workspace/tool"},
        {"type": "inline", "target": "/workspace/tool/notes.md"},
    ]


def test_there_are_only_so_many_repositories() -> None:
    sources = [repository(target=f"r{number}") for number in range(MAX_REPOSITORIES + 1)]
    assert len(read_sources(sources[:-1]).repositories) == MAX_REPOSITORIES
    with pytest.raises(InvalidRequest, match=f"at most {MAX_REPOSITORIES}"):
        read_sources(sources)


def test_a_repository_has_no_content() -> None:
    for more in ({"content": "x"}, {"encoding": "base64"}):
        with pytest.raises(InvalidRequest, match="has a 'source', and no content"):
            read_sources([repository(**more)])


@pytest.mark.parametrize("kind", ["gcs", "skill_registry"])
def test_other_sources_are_refused_in_words(kind: str) -> None:
    source = Source.model_validate({"type": kind, "source": "gs://b/p", "target": "/workspace/d"})
    with pytest.raises(InvalidRequest, match=f"'{kind}' are not supported; use 'inline' or"):
        read_sources([source])


def test_inline_files_have_limits() -> None:
    encoded = base64.b64encode(b"\xff").decode()
    source = Source(type="inline", content=encoded, encoding="base64", target="/workspace/a")
    assert read_sources([source]).files[0].content_base64 == encoded
    with pytest.raises(InvalidRequest, match=r"sources\[0\].content: is larger"):
        read_sources([inline("/workspace/a", "x" * (MAX_FILE_BYTES + 1))])
    with pytest.raises(InvalidRequest, match="together they are larger"):
        read_sources([inline(f"/workspace/{name}", "x" * MAX_FILE_BYTES) for name in "abc"])


def check(url: str, network: Any, **egress: Any) -> None:
    repositories = read_sources([repository(url, target="r")]).repositories
    settings = EgressSettings.model_validate(egress)
    check_reach(
        repositories, Reach(NETWORK.validate_python(network), "environment.network", settings)
    )


@pytest.mark.parametrize(
    ("url", "domain"),
    [
        (GIT, "git.example.com"),
        (GIT, "*.example.com"),
        (GIT, "*"),
        ("http://git.example.com:3000/r", "git.example.com"),
        ("https://git.example.com:7443/r", "git.example.com:7443"),
        ("https://GIT.example.com./r", "git.example.com"),
    ],
)
def test_a_host_of_the_allowlist_may_be_cloned_from(url: str, domain: str) -> None:
    check(url, {"allowlist": [{"domain": domain}]})


@pytest.mark.parametrize(
    ("url", "network", "why"),
    [
        (GIT, "disabled", "cannot be cloned, environment.network is 'disabled'"),
        (GIT, {"allowlist": []}, "git.example.com is not in environment.network"),
        (GIT, {"allowlist": ["example.com"]}, "git.example.com is not in environment.network"),
        (
            "https://git.example.com:7443/r",
            {"allowlist": ["git.example.com:443"]},
            "git.example.com:7443 is not in environment.network",
        ),
        ("https://git.example.com:7443/r", {"allowlist": ["*"]}, "is not on one of the ports"),
        ("https://git.internal/r", {"allowlist": ["*"]}, "is a name of a private network"),
        ("http://10.0.0.1/r", {"allowlist": ["*"]}, "not public"),
    ],
)
def test_a_host_that_cannot_be_reached_is_refused(url: str, network: Any, why: str) -> None:
    with pytest.raises(InvalidRequest) as refusal:
        check(url, network)
    assert refusal.value.message.startswith("environment.sources[0].source: ")
    assert why in refusal.value.message


def test_what_the_operator_allows_inside_may_be_cloned_from() -> None:
    check("http://git.internal:7000/r", {"allowlist": ["*"]}, allow_internal=["git.internal"])
