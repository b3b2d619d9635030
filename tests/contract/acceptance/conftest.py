from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import ExitStack
from pathlib import Path

import pytest
from anyio.from_thread import start_blocking_portal

from runtime.sandboxes.image import ensure_image
from tests.contract.acceptance.front import front
from tests.contract.acceptance.manifest import JAVASCRIPT
from tests.contract.acceptance.workers import Worker, worker
from tests.contract.acceptance.world import Place
from tests.support.mcp_world import weather
from tests.support.outside import outside
from tests.support.repositories import add_repository
from tests.support.sandlot import running_controller
from tests.support.web_world import web

for _path in Path(__file__).parent.glob("cases_*.py"):
    pytest.register_assert_rewrite(f"{__package__}.{_path.stem}")

CONFIG = """
sandbox: {{image: {image}, memory: 1GiB, workspace: 256MiB, max_running: 4}}
search: {{provider: searxng, base_url: "{site}"}}
outbound: {{allow: [127.0.0.1]}}
egress: {{upstream_proxy: "{upstream}", ca_files: [{ca}]}}
models:
  providers: {{local: {{kind: openai_compatible, base_url: "{back}/model/v1"}}}}
  aliases:
    gemini-3.7-flash: script/inline
    gemini-3.5-flash-lite: script/inline
    gemini-flash-latest: local/recall
"""


@pytest.fixture(scope="session")
def place(tmp_path_factory: pytest.TempPathFactory) -> Generator[Place]:
    image = ensure_image(lambda _: None)
    with start_blocking_portal() as portal, ExitStack() as stack:
        site = stack.enter_context(portal.wrap_async_context_manager(web()))
        mcp, seen = stack.enter_context(portal.wrap_async_context_manager(weather()))
        beyond = stack.enter_context(outside())
        door, back = stack.enter_context(portal.wrap_async_context_manager(front(seen, beyond)))
        beyond.repositories = tmp_path_factory.mktemp("repositories")
        add_repository(beyond.repositories, "tool.git", readme=b"from a repository\n")
        folder = tmp_path_factory.mktemp("acceptance")
        ca = folder / "ca.pem"
        ca.write_text(beyond.certificates.pem, encoding="ascii")
        config = CONFIG.format(image=image, site=site, back=back, upstream=beyond.upstream, ca=ca)
        controller = stack.enter_context(running_controller(folder, config))
        door.controller = controller.url
        environment = controller.run("Begin.").environment_id
        assert environment is not None
        yield Place(
            url=controller.url,
            api_key=controller.api_key,
            door=door.door,
            back=back,
            mcp=mcp,
            site=site,
            environment=environment,
        )


@pytest.fixture(scope="session")
def worker_of(
    place: Place, tmp_path_factory: pytest.TempPathFactory
) -> Generator[Callable[[str], Worker]]:
    """The program that runs tests of a kind, started when it is first needed."""
    logs: Path = tmp_path_factory.mktemp("workers")
    started: dict[bool, Worker] = {}
    with ExitStack() as stack:

        def find(kind: str) -> Worker:
            is_javascript = kind == JAVASCRIPT
            if is_javascript not in started:
                log = logs / f"{kind}.log"
                started[is_javascript] = stack.enter_context(worker(kind, place, log))
            return started[is_javascript]

        yield find
