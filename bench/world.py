"""What every measurement gets: the image, a folder, containers, and a controller when it asks."""

from __future__ import annotations

import sys
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from bench.containers import Containers
from runtime.sandboxes.image import ensure_image
from runtime.sandboxes.image_plan import ImageProgress
from tests.support.sandlot import RunningController, running_controller


@dataclass(frozen=True, slots=True)
class World:
    """The surroundings of one run of the benchmarks."""

    image: str
    folder: Path
    containers: Containers
    quick: bool

    @property
    def config(self) -> str:
        """A `sandlot.yaml` that names the image: a change of the code meanwhile has no effect."""
        return f"sandbox:\n  image: {self.image}\n"

    def rounds(self, many: int, few: int) -> int:
        """How often to measure."""
        return few if self.quick else many

    def say(self, text: str) -> None:
        """Tell the person who waits what goes on."""
        print(text, file=sys.stderr, flush=True)

    def folder_of(self, name: str) -> Path:
        """A folder of one measurement."""
        folder = self.folder / name
        folder.mkdir(exist_ok=True)
        return folder

    @contextmanager
    def controller(self, name: str, config: str = "") -> Generator[RunningController]:
        """A controller of its own with the default limits, in a process of its own."""
        state_dir = self.folder_of(name) / "state"
        with running_controller(state_dir, self.config + config) as controller:
            yield controller


class _Told:
    """Says each step of the building of the image once."""

    def __init__(self) -> None:
        self._last = ""

    def tell(self, progress: ImageProgress) -> None:
        """Say the step unless it is the one said last."""
        if progress.what != self._last:
            self._last = progress.what
            print(f"image: {progress.what}", file=sys.stderr, flush=True)


@contextmanager
def opened(*, quick: bool) -> Generator[World]:
    """A world; at its end nothing of it is left. Raises `SandlotError` without Docker."""
    image = ensure_image(_Told().tell)
    with TemporaryDirectory(prefix="sandlot-bench-") as folder:
        containers = Containers(image, Path(folder))
        try:
            yield World(image, Path(folder), containers, quick)
        finally:
            containers.close()
