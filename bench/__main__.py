"""`python -m bench`: measures, prints a table, writes JSON."""

from __future__ import annotations

import argparse
import os
import platform
import sys
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from bench import (
    api,
    browser,
    calls,
    cancel,
    chain,
    cold,
    egress,
    files,
    isolation,
    memory,
    neighbour,
    prompts,
    streams,
    tour,
)
from bench.document import encode
from bench.failures import NotMeasured
from bench.figures import Figure, Missing, Report
from bench.table import render
from bench.world import World, opened
from runtime import clock
from runtime.errors import SandlotError

DEFAULT_JSON = Path("build/bench.json")


@dataclass(frozen=True, slots=True)
class Measurement:
    """What is measured together, and the names of its figures."""

    names: tuple[str, ...]
    measure: Callable[[World], list[Figure]]


MEASUREMENTS = (
    Measurement(("cold",), cold.measure),
    Measurement(("isolation",), isolation.measure),
    Measurement(("cell", "bash"), calls.measure),
    Measurement(("page",), browser.measure),
    Measurement(("memory",), memory.measure),
    Measurement(("upload", "download", "growth"), files.measure),
    Measurement(("prompt",), prompts.measure),
    Measurement(("cancel",), cancel.measure),
    Measurement(("tour",), tour.measure),
    Measurement(("get", "get_p99", "create", "sustained"), api.measure),
    Measurement(("chain",), chain.measure),
    Measurement(
        ("egress", "egress_plain", "egress_call", "egress_secret", "egress_many"), egress.measure
    ),
    Measurement(("neighbour", "neighbour_create", "neighbour_cell"), neighbour.measure),
    Measurement(("first_event", "fan_out", "stream_memory"), streams.measure),
)
NAMES = tuple(name for one in MEASUREMENTS for name in one.names)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure; the exit status is 0, with `--strict` 1 when a target is missed."""
    options = parser().parse_args(arguments)
    started, machine = clock.rfc3339(clock.now()), describe_machine()
    try:
        with opened(quick=options.quick) as world:
            machine["image"] = world.image
            figures, missing = run(world, options.only or NAMES)
    except SandlotError as error:
        print(f"nothing can be measured: {error.message}", file=sys.stderr)
        return 1 if options.strict else 0
    machine["load after"] = load()
    report = Report(machine, started, options.quick, tuple(figures), tuple(missing))
    print(render(report), end="")
    options.json.parent.mkdir(parents=True, exist_ok=True)
    options.json.write_text(encode(report), encoding="utf-8")
    print(f"\nwritten to {options.json}")
    return 1 if options.strict and not report.all_met else 0


def run(world: World, wanted: Sequence[str]) -> tuple[list[Figure], list[Missing]]:
    """Every wanted figure, and those that could not be had: the others go on."""
    figures: list[Figure] = []
    missing: list[Missing] = []
    for measurement in MEASUREMENTS:
        names = [name for name in measurement.names if name in wanted]
        if names:
            found, failed = attempt(partial(measurement.measure, world), names)
            figures += found
            missing += failed
    return figures, missing


def attempt(
    measure: Callable[[], list[Figure]], names: Sequence[str]
) -> tuple[list[Figure], list[Missing]]:
    """The figures of these names, or why they are missing. Prints what was not foreseen."""
    try:
        return [figure for figure in measure() if figure.name in names], []
    except NotMeasured as error:
        reason = str(error)
    except SandlotError as error:
        reason = f"{error.code}: {error.message}"
    except Exception as error:  # noqa: BLE001 - one broken measurement must not cost the others
        traceback.print_exc()
        reason = f"{type(error).__name__}: {error}"
    return [], [Missing(name, reason) for name in names]


def describe_machine() -> dict[str, str | int | float]:
    """What one has to know of the machine to read the figures."""
    pages, page_bytes = os.sysconf("SC_PHYS_PAGES"), os.sysconf("SC_PAGE_SIZE")
    return {
        "CPUs": os.cpu_count() or 0,
        "memory GiB": round(pages * page_bytes / 1024**3),
        "load before": load(),
        "Linux": platform.release(),
        "Python": platform.python_version(),
    }


def load() -> float:
    """How many programs wanted a CPU at once, averaged over the last minute."""
    return round(os.getloadavg()[0], 1)


def parser() -> argparse.ArgumentParser:
    """The options."""
    parser = argparse.ArgumentParser("python -m bench", description=__doc__)
    parser.add_argument(
        "--only",
        action="append",
        choices=NAMES,
        metavar="NAME",
        help=f"measure only this; can be repeated: {', '.join(NAMES)}",
    )
    parser.add_argument("--quick", action="store_true", help="few rounds and a smaller file")
    parser.add_argument(
        "--json", type=Path, default=DEFAULT_JSON, metavar="PATH", help=f"default: {DEFAULT_JSON}"
    )
    parser.add_argument("--strict", action="store_true", help="end with 1 if a target is missed")
    return parser


if __name__ == "__main__":
    sys.exit(main())
