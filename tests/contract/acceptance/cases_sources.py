"""What environments begin with."""

from __future__ import annotations

from typing import Any

from tests.contract.acceptance.registry import acceptance
from tests.contract.acceptance.world import World, code_results, fence, refused

MEBIBYTE = 1024 * 1024


def inline(target: str, content: str) -> dict[str, Any]:
    return {"type": "inline", "target": target, "content": content}


@acceptance(34)
async def a_repository_is_cloned(world: World) -> None:
    url = "https://git.test/tool.git"
    interaction = await world.create(
        fence("bash", "cat /workspace/tool/readme; git -C /workspace/tool log --format=%s"),
        environment={
            "type": "remote",
            "sources": [{"type": "repository", "source": url, "target": "/workspace/tool"}],
        },
    )
    assert code_results(interaction) == ["from a repository\nFirst.\n"]
    shown = await world.sdk.environments.get(id=interaction.environment_id)
    (source,) = shown.sources
    assert (source.type, source.source, source.target) == ("repository", url, "/workspace/tool")


@acceptance(36)
async def inline_sources_have_limits(world: World) -> None:
    too_much = [
        [inline("/", "x")],
        [inline("/workspace/a", "x" * (MEBIBYTE + 1))],
        [inline(f"/workspace/{name}", "x" * MEBIBYTE) for name in "abc"],
    ]
    for sources in too_much:
        error = await refused(
            "BadRequestError",
            world.create,
            prompt="Begin.",
            environment={"type": "remote", "sources": sources},
        )
        assert error["code"] == "invalid_request"
        assert "environment.sources" in error["message"]
