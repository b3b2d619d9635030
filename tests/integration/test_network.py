"""What a sandbox reaches: what its rules allow, with what they add, and nothing else."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest

from runtime.sandboxes.image import ensure_image
from tests.support.outside import Outside, outside
from tests.support.sandlot import RunningController, fence, results, running_controller

CONFIG = """
sandbox: {{image: {image}, memory: 1GiB, workspace: 256MiB, max_running: 2}}
egress: {{upstream_proxy: "{upstream}", ca_files: [{ca}]}}
"""
TOKEN = "canary-8a1f5e7b3c"


@pytest.fixture(scope="module")
def world() -> Generator[Outside]:
    with outside() as world:
        yield world


@pytest.fixture(scope="module")
def controller(
    tmp_path_factory: pytest.TempPathFactory, world: Outside
) -> Generator[RunningController]:
    folder = tmp_path_factory.mktemp("network")
    (folder / "ca.pem").write_text(world.certificates.pem, encoding="ascii")
    image = ensure_image(lambda _: None)
    config = CONFIG.format(image=image, upstream=world.upstream, ca=folder / "ca.pem")
    with running_controller(folder / "state", config) as controller:
        yield controller


def allowing(*entries: Any, **more: Any) -> dict[str, Any]:
    return {"type": "remote", "network": {"allowlist": [*entries]}, **more}


def curl(*urls: str) -> str:
    """Each URL in turn, with a line for what went wrong."""
    return fence("bash", *(f"curl -sS -m 30 '{url}' 2>&1 || true" for url in urls))


def test_allowed_hosts_are_reached_and_no_others(
    controller: RunningController, world: Outside
) -> None:
    rules = allowing({"domain": "api.test", "transform": {"Authorization": f"Bearer {TOKEN}"}})
    # The class in the pattern keeps it from matching itself.
    search = (
        "grep -rls '8a1f5e7[b]3c' /workspace /tmp /run /etc /proc/[0-9]*/environ "
        "/proc/[0-9]*/cmdline 2>/dev/null; echo searched"
    )
    prompt = curl("https://api.test/x", "https://other.test/", "http://other.test/")
    run = controller.run("\n".join([prompt, fence("bash", search)]), rules)
    allowed, tunnel, plain, found = results(run)
    assert "api.test" in allowed
    assert TOKEN not in str(run)
    assert world.last("api.test").headers["authorization"] == f"Bearer {TOKEN}"
    assert "other.test is not in this environment's allowlist" in plain
    assert "403" in tunnel
    assert found.strip() == "searched"
    assert not [one for one in world.asked if "other.test" in one]


def test_a_list_of_headers_does_the_same(controller: RunningController, world: Outside) -> None:
    rules = allowing({"domain": "list.test", "transform": [{"X-One": "1"}, {"X-Two": "2"}]})
    controller.run(curl("https://list.test/"), rules)
    assert world.last("list.test").headers.items() >= {"x-one": "1", "x-two": "2"}.items()


def test_a_wildcard_matches_what_is_below(controller: RunningController) -> None:
    run = controller.run(
        curl("https://a.wild.test/", "https://b.a.wild.test/", "http://wild.test/"),
        allowing({"domain": "*.wild.test"}),
    )
    below, deeper, itself = results(run)
    assert "a.wild.test" in below
    assert "b.a.wild.test" in deeper
    assert "wild.test is not in" in itself


def test_without_a_network_nothing_is_reached(controller: RunningController) -> None:
    run = controller.run(
        "\n".join([curl("https://api.test/"), fence("bash", "env | grep -ci proxy; ip addr")]),
        {"type": "remote", "network": "disabled"},
    )
    refused, inside = results(run)
    assert "curl: (" in refused
    assert inside.startswith("0")


def test_an_empty_list_reaches_nothing_and_says_so(controller: RunningController) -> None:
    run = controller.run(curl("http://api.test/"), allowing())
    assert "nothing is allowed" in results(run)[0]


def test_new_rules_replace_the_old_ones_and_files_stay(
    controller: RunningController, world: Outside
) -> None:
    first = controller.run(
        fence("bash", "echo kept > note.txt; curl -sS https://first.test/"),
        allowing({"domain": "first.test", "transform": {"X-Token": "old"}}),
    )
    second = controller.run(
        "\n".join(
            [curl("http://first.test/", "https://second.test/"), "```bash\ncat note.txt\n```"]
        ),
        allowing(
            {"domain": "second.test", "transform": {"X-Token": "new"}},
            environment_id=first.environment_id,
        ),
    )
    assert second.environment_id == first.environment_id
    gone, reached, note = results(second)
    assert "first.test is not in" in gone
    assert "second.test" in reached
    assert note.strip() == "kept"
    assert world.last("second.test").headers["x-token"] == "new"


def test_a_network_can_come_later_and_go_again(controller: RunningController) -> None:
    first = controller.run(fence("bash", "echo kept > note.txt"), {"network": "disabled"})
    identity = {"environment_id": first.environment_id}
    later = controller.run(
        fence("bash", "cat note.txt; curl -sS https://later.test/"),
        allowing({"domain": "later.test"}, **identity),
    )
    assert "kept" in results(later)[0]
    assert "later.test" in results(later)[0]
    gone = controller.run(curl("http://later.test/"), {**identity, "network": "disabled"})
    assert "nothing is allowed" in results(gone)[0]


def test_what_became_of_each_request_can_be_read(controller: RunningController) -> None:
    run = controller.run(
        curl("https://api.test/", "http://other.test/"), allowing({"domain": "api.test"})
    )
    events = controller.decisions(run, "other.test", "api.test")
    (refused,) = [event for event in events if event.host == "other.test"]
    (allowed,) = [event for event in events if event.host == "api.test"]
    assert (refused.verdict, refused.port) == ("refused", 80)
    assert "allowlist" in (refused.reason or "")
    assert (allowed.verdict, allowed.rule, allowed.kind) == ("allowed", "api.test", "tunnel")
    assert allowed.bytes_in > 0


def test_what_is_shown_and_stored_holds_no_header(
    controller: RunningController, world: Outside
) -> None:
    rules = allowing({"domain": "api.test", "transform": {"X-Token": TOKEN}})
    run = controller.run("Nothing to do.", rules)
    assert run.environment_id is not None
    environment = controller.client.environments.get(run.environment_id).model_dump()
    assert environment["network"] == {"allowlist": [{"domain": "api.test"}]}
    stored = b"".join(path.read_bytes() for path in controller.folder.path.glob("sandlot.db*"))
    assert TOKEN.encode() not in stored
    assert json.dumps(TOKEN).encode() not in stored


def test_what_may_be_received_is_bounded_and_told(
    controller: RunningController, world: Outside
) -> None:
    world.pages["/large"] = bytes(3_000_000)
    rules = allowing("large.test", "over.test", limits={"received_bytes": 1_000_000})
    fetch = "curl -sS -m 30 http://large.test/large 2>&1 | wc -c"
    run = controller.run(fence("bash", fetch, "curl -sS -m 30 http://over.test/"), rules)
    first, second = results(run)
    assert int(first) < 1_100_000
    assert "bytes" in second
    events = controller.decisions(run, "large.test", "over.test")
    assert {event.verdict for event in events} == {"closed", "refused"}


def test_a_proxy_that_is_killed_is_replaced_with_all_rules(
    controller: RunningController, world: Outside
) -> None:
    rules = allowing({"domain": "kept.test", "transform": {"X-Token": "again"}})
    first = controller.run(curl("https://kept.test/"), rules)
    (proxy,) = [
        pid
        for listed in Path(f"/proc/{controller.process.pid}/task").glob("*/children")
        for pid in listed.read_text().split()
        if b"runtime.egress" in Path(f"/proc/{pid}/cmdline").read_bytes()
    ]
    os.kill(int(proxy), signal.SIGKILL)
    again = controller.run(
        curl("https://kept.test/", "http://other.test/"), first.environment_id or ""
    )
    reached, refused = results(again)
    assert "kept.test" in reached
    assert "other.test is not in" in refused
    assert world.last("kept.test").headers["x-token"] == "again"
    assert len([one for one in world.seen if one.host == "kept.test"]) == 2
