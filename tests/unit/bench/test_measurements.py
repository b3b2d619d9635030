from __future__ import annotations

import os
import re
import time
from pathlib import Path

import pytest

import bench
from bench.__main__ import DEFAULT_JSON, NAMES, attempt, parser
from bench.failures import NotMeasured
from bench.figures import Figure, Missing, Target
from bench.files import Transfers, Way, fill, loopback
from bench.memory import breakdown, in_use, is_calm, settle
from bench.processes import ProcessCost
from bench.samples import Samples
from runtime.errors import NotFound

MIB = 1024**2
MB = 10**6
VERSION_1 = {
    "usage": 100 * MB,
    "stats": {
        "rss": 1,
        "total_rss": 70 * MB,
        "total_cache": 25 * MB,
        "total_inactive_file": 10 * MB,
        "total_active_file": 12 * MB,
        "total_shmem": 3 * MB,
    },
}
VERSION_2 = {
    "usage": 100 * MB,
    "stats": {
        "anon": 70 * MB,
        "file": 25 * MB,
        "inactive_file": 10 * MB,
        "active_file": 12 * MB,
        "shmem": 3 * MB,
    },
}


@pytest.mark.parametrize("memory", [VERSION_1, VERSION_2])
def test_memory_in_use_is_what_docker_stats_shows(memory: dict[str, object]) -> None:
    assert in_use(memory) == 90 * MB
    assert list(breakdown(memory).values()) == [70.0, 12.0, 3.0, 5.0]


def test_memory_is_calm_when_a_dozen_readings_agree() -> None:
    assert not is_calm([80.0] * 11)
    assert is_calm([80.0] * 11 + [80.5])
    assert not is_calm([80.0] * 11 + [80.6])


def test_a_calm_value_is_the_last_one_read() -> None:
    values = iter([80.0] * 11 + [80.25])
    assert settle(lambda: next(values), poll_seconds=0.0) == 80.25


def test_the_peak_of_a_process_is_seen_after_it_has_passed() -> None:
    memory = ProcessCost(os.getpid())
    memory.forget_peak()
    block = bytearray(os.urandom(64 * MIB))
    del block
    assert 60 * MIB < memory.growth() < 200 * MIB
    memory.forget_peak()
    assert memory.growth() < 16 * MIB


def test_cpu_time_is_the_sum_of_what_was_worked() -> None:
    cost = ProcessCost(os.getpid())
    before, used = cost.cpu_seconds(), time.process_time()
    while time.process_time() < used + 0.1:
        sum(range(1000))
    assert 0.08 <= cost.cpu_seconds() - before < 1


def test_the_bare_server_takes_and_gives_bytes(tmp_path: Path) -> None:
    source, back = tmp_path / "source", tmp_path / "back"
    fill(source, 3)
    with loopback(2 * MIB) as client:
        (taken,) = client.environments.files.upload("any", "file.bin", source)
        given = client.environments.files.download("any", "file.bin", back)
    assert taken.size_bytes == 3 * MIB
    assert given == 2 * MIB and back.read_bytes() == bytes(2 * MIB)


def test_transfers_are_timed_and_checked(tmp_path: Path) -> None:
    source = tmp_path / "source"
    fill(source, 2)
    with loopback(2 * MIB) as client:
        transfers = Transfers(client, source, {"client": ProcessCost(os.getpid())})
        transfers.round("any")
        transfers.round("any")
    assert len(transfers.up.seconds) == len(transfers.down.seconds) == 2
    assert len(transfers.up.cpu["client"]) == 2
    with pytest.raises(NotMeasured, match="not the file that was sent"):
        transfers.check()  # the bare server gives zeros, whatever it was sent
    source.write_bytes(bytes(2 * MIB))
    transfers.check()


def test_a_transfer_that_loses_bytes_is_no_measurement(tmp_path: Path) -> None:
    source = tmp_path / "source"
    fill(source, 2)
    with loopback(1 * MIB) as client, pytest.raises(NotMeasured, match="1048576 came back"):
        Transfers(client, source, {}).round("any")


def test_speed_and_work_of_a_way() -> None:
    way = Way([2.0, 4.0], {"client": [0.5, 1.5]})
    assert way.speed(256).values == (128.0, 64.0)
    assert way.work(256) == {"client CPU s per GiB": 4.0}


def test_a_measurement_that_fails_is_missing_with_its_reason(
    capsys: pytest.CaptureFixture[str],
) -> None:
    def raising(error: Exception) -> list[Figure]:
        raise error

    assert attempt(lambda: raising(NotMeasured("no kernel")), ["cell", "bash"]) == (
        [],
        [Missing("cell", "no kernel"), Missing("bash", "no kernel")],
    )
    _, (missing,) = attempt(lambda: raising(NotFound("There is no script.")), ["tour"])
    assert missing == Missing("tour", "not_found: There is no script.")
    assert capsys.readouterr().err == ""
    _, (missing,) = attempt(lambda: raising(KeyError("x")), ["tour"])
    assert missing == Missing("tour", "KeyError: 'x'")
    assert "Traceback" in capsys.readouterr().err, "what was not foreseen is shown whole"


def test_only_the_wanted_figures_of_a_measurement_are_kept() -> None:
    figures = [
        Figure(name, "what", "ms", Samples((1.0,)), Target("value", 2.0))
        for name in ("cell", "bash")
    ]
    found, missing = attempt(lambda: figures, ["bash"])
    assert ([one.name for one in found], missing) == (["bash"], [])


def test_options() -> None:
    options = parser().parse_args([])
    assert (options.only, options.quick, options.strict, options.json) == (
        None,
        False,
        False,
        DEFAULT_JSON,
    )
    options = parser().parse_args(["--only", "cold", "--only", "tour", "--json", "x.json"])
    assert (options.only, options.json) == (["cold", "tour"], Path("x.json"))


def test_an_unknown_name_is_refused_with_the_known_ones(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(SystemExit) as ended:
        parser().parse_args(["--only", "warm"])
    assert ended.value.code == 2
    told = capsys.readouterr().err
    assert all(name in told for name in NAMES)


def test_the_document_explains_every_figure() -> None:
    text = (Path(bench.__file__).parents[1] / "docs" / "benchmarks.md").read_text(encoding="utf-8")
    rows = [line for line in text.splitlines() if line.startswith("| `")]
    explained = {name for row in rows for name in re.findall(r"`(\w+)`", row.split("|")[1])}
    assert explained == set(NAMES)
