from __future__ import annotations

from collections.abc import Generator
from pathlib import Path

import pytest

from runtime.sandboxes.image import ensure_image
from tests.support.sandlot import RunningController, running_controller

CONFIG = """
sandbox:
  image: {image}
  memory: 1GiB
  workspace: 256MiB
  max_running: 4
"""


@pytest.fixture(scope="session")
def image() -> str:
    return ensure_image(lambda _: None)


@pytest.fixture(scope="session")
def sandlot(image: str, tmp_path_factory: pytest.TempPathFactory) -> Generator[RunningController]:
    state_dir: Path = tmp_path_factory.mktemp("state")
    with running_controller(state_dir, CONFIG.format(image=image)) as controller:
        yield controller
    assert controller.containers() == [], "a container stayed behind"
