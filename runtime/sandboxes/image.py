"""Finds the sandbox image or builds it from this checkout. Decisions are in `image_plan`."""

from __future__ import annotations

import fcntl
import io
import os
import subprocess
from collections import deque
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import docker
import docker.errors

import runtime
from runtime import clock
from runtime.errors import SandboxUnavailable, StorageFull
from runtime.sandboxes import image_plan as plan
from runtime.sandboxes import image_trust as trust
from runtime.sandboxes.docker_connection import connected
from runtime.schema.protocol import PROTOCOL_VERSION

Progress = Callable[[plan.ImageProgress], None]

_PACKAGE: Final = Path(runtime.__file__).parent
_SOURCES: Final = _PACKAGE.parent / "sandbox-image"
_CONTEXT: Final = ("Dockerfile", "*.lock", "steps/**/*", "etc/**/*")
_GUEST_CODE: Final = (
    "__init__.py",
    "clock.py",
    "errors.py",
    "ids.py",
    "guest/**/*",
    "loop/**/*",
    "schema/**/*",
)
_BUILD_TIMEOUT: Final = 3600
_TAIL_LINES: Final = 400


@dataclass(frozen=True, slots=True)
class ImageFacts:
    """What is known of an image that is there."""

    name: str
    size_bytes: int
    version: str | None
    protocol: int | None


def image_tag(*, base: str | None = None) -> str:
    """The name of the image that belongs to this checkout.

    Raises SandboxUnavailable where this installation has no `sandbox-image` folder to build from.
    """
    return plan.tag_of(runtime.__version__, _content(_context(), base))


def find_image(name: str) -> ImageFacts | None:
    """What Docker knows of an image; None where it has none of this name.

    Raises SandboxUnavailable when the Docker daemon does not answer.
    """
    with connected() as client:
        try:
            attributes: dict[str, Any] = client.api.inspect_image(name)
        except docker.errors.ImageNotFound:
            return None
    labels: dict[str, str] = attributes["Config"].get("Labels") or {}
    version = labels.get(plan.LABEL_VERSION)
    return ImageFacts(name, int(attributes["Size"]), version, plan.protocol_of(labels))


def ensure_image(progress: Progress, *, base: str | None = None) -> str:
    """Build the image of this checkout unless it is there; return its name.

    The base is `base`, else `$SANDLOT_BASE_IMAGE`, else Debian stable as it is here, from a
    registry, or bootstrapped. Blocks for minutes when there is something to build.

    Raises SandboxUnavailable without a daemon or a base, for a refused download and for a build
    that fails, and StorageFull when the disk is full.
    """
    files = _context()
    content = _content(files, base)
    name = plan.tag_of(runtime.__version__, content)
    if find_image(name) is not None:
        return name
    labels = plan.labels_of(runtime.__version__, PROTOCOL_VERSION, content)
    with connected() as client, _one_at_a_time(), _Build(client, progress) as build:
        if find_image(name) is None:
            chosen = build.choose_base(base or os.environ.get("SANDLOT_BASE_IMAGE"))
            build.run(name, files, base=chosen, labels=labels)
    return name


def log_path() -> Path:
    """Where the output of the latest build is."""
    return _state_dir() / "image-build.log"


class _Build:
    """One build: talks to the daemon, reports progress, keeps a log."""

    def __init__(self, client: docker.DockerClient, progress: Progress) -> None:
        self._client = client
        self._progress = progress
        self._started = clock.monotonic()
        self._at = plan.BuildStep(0, 0, "choosing a base image")
        self._tail: deque[str] = deque(maxlen=_TAIL_LINES)
        self._of_step: deque[str] = deque(maxlen=_TAIL_LINES)

    def __enter__(self) -> _Build:
        return self

    def __exit__(self, *_: object) -> None:
        log_path().write_text("\n".join(self._tail) + "\n", "utf-8")

    def choose_base(self, wanted: str | None) -> str:
        for name in plan.base_candidates(wanted):
            if self._is_local(name):
                return name
        name = wanted or plan.DEFAULT_BASE
        if self._pull(name):
            return name
        if wanted:
            raise SandboxUnavailable(
                f"The base image {wanted} is not here and cannot be pulled: check its name, or "
                "unset SANDLOT_BASE_IMAGE to have one made."
            )
        self._bootstrap()
        return plan.BOOTSTRAPPED_BASE

    def run(
        self, name: str, files: list[plan.ContextFile], *, base: str, labels: dict[str, str]
    ) -> None:
        arguments = {"BASE_IMAGE": base, **trust.proxy_arguments(os.environ)}
        context = plan.pack([*files, *trust.collect()])
        stream: Iterator[dict[str, Any]] = self._client.api.build(
            fileobj=io.BytesIO(context),
            custom_context=True,
            tag=name,
            buildargs=arguments,
            labels=labels,
            network_mode="host",
            rm=True,
            forcerm=True,
            decode=True,
            timeout=_BUILD_TIMEOUT,
        )
        self._follow(stream)
        if not self._is_local(name):
            raise self._failure("The Docker daemon ended in the middle of the build: try again.")

    def _is_local(self, name: str) -> bool:
        try:
            self._client.api.inspect_image(name)
        except docker.errors.ImageNotFound:
            return False
        return True

    def _pull(self, name: str) -> bool:
        self._say(plan.BuildStep(0, 0, f"pulling {name}"))
        try:
            for message in self._client.api.pull(name, stream=True, decode=True):
                self._line(str(message.get("status", message)))
        except docker.errors.APIError as error:
            self._line(f"cannot pull {name}: {error}")
            return False
        return self._is_local(name)

    def _bootstrap(self) -> None:
        self._say(plan.BuildStep(0, 0, "making a base image of Debian, as no registry answers"))
        files = {each.name: each.data for each in trust.collect()}
        with TemporaryDirectory(prefix="sandlot-base-") as folder:
            settings, archive = Path(folder, "apt.conf"), Path(folder, "base.tar")
            settings.write_bytes(files[f"{plan.TRUST_FOLDER}apt.conf"])
            mirrors = files[f"{plan.TRUST_FOLDER}mirrors"].decode()
            command = plan.bootstrap_command(str(_SOURCES / "bootstrap"), mirrors)
            self._run_bootstrap(command, archive, {**os.environ, "APT_CONF": str(settings)})
            repository, _, tag = plan.BOOTSTRAPPED_BASE.partition(":")
            self._client.api.import_image_from_file(str(archive), repository=repository, tag=tag)

    def _run_bootstrap(
        self, command: list[str], archive: Path, environment: dict[str, str]
    ) -> None:
        with (
            archive.open("wb") as output,
            subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.PIPE,
                env=environment,
                text=True,
                errors="replace",
            ) as process,
        ):
            assert process.stderr is not None
            for line in process.stderr:
                self._line(line)
        if process.returncode != 0:
            raise self._failure(
                "No base image can be had: no registry answers, and mmdebstrap did not make one. "
                "Install it with `apt-get install mmdebstrap`, or name a base image that is here "
                "in SANDLOT_BASE_IMAGE."
            )

    def _follow(self, stream: Iterator[dict[str, Any]]) -> None:
        for message in stream:
            if "error" in message:
                self._line(str(message["error"]))
                raise self._failure("The sandbox image could not be built.")
            text = str(message.get("stream") or message.get("status") or "")
            step = plan.parse_step(text)
            if step is not None:
                self._say(step)
            self._line(text)

    def _say(self, step: plan.BuildStep) -> None:
        self._at = replace(step, what=step.what or self._at.what)
        self._of_step.clear()
        self._report("")

    def _line(self, text: str) -> None:
        line = text.strip()
        if line:
            self._tail.append(line)
            self._of_step.append(line)
            self._report(line.splitlines()[-1][:200])

    def _report(self, detail: str) -> None:
        seconds = clock.monotonic() - self._started
        step = self._at
        self._progress(plan.ImageProgress(step.number, step.total, step.what, seconds, detail))

    def _failure(self, fallback: str) -> Exception:
        text = "\n".join(self._of_step)
        if plan.is_disk_full(text):
            return StorageFull("The disk is full: the sandbox image needs 8 GB free to build.")
        return SandboxUnavailable(
            f"{plan.explain(text, fallback)} The end of the build's output is in {log_path()}."
        )


def _context() -> list[plan.ContextFile]:
    if not (_SOURCES / "Dockerfile").is_file():
        raise SandboxUnavailable(
            "This installation has no sandbox-image folder to build the sandbox image from: run "
            "from a source checkout, or name an image as sandbox.image in sandlot.yaml."
        )
    return [*_files(_SOURCES, _CONTEXT, ""), *_files(_PACKAGE, _GUEST_CODE, "runtime/")]


def _files(folder: Path, patterns: tuple[str, ...], prefix: str) -> Iterator[plan.ContextFile]:
    for pattern in patterns:
        for path in folder.glob(pattern):
            if path.is_file() and path.suffix != ".pyc":
                name = prefix + path.relative_to(folder).as_posix()
                yield plan.ContextFile(name, path.read_bytes(), os.access(path, os.X_OK))


def _content(files: list[plan.ContextFile], base: str | None) -> str:
    wanted = base or os.environ.get("SANDLOT_BASE_IMAGE") or plan.DEFAULT_BASE
    return plan.content_hash(files, wanted)


def _state_dir() -> Path:
    named = os.environ.get("SANDLOT_STATE_DIR")
    folder = Path(named) if named else Path.home() / ".local/state/sandlot"
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    return folder


@contextmanager
def _one_at_a_time() -> Generator[None]:
    """Two processes that need the image build it once."""
    with (_state_dir() / "image-build.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
