from __future__ import annotations

from pathlib import Path

import pytest

from runtime.errors import InvalidRequest, NotFound
from runtime.schema.agents import AgentLimits, AgentSpec, DataSource
from runtime.schema.limits import SandboxLimits
from runtime.schema.sandbox_tools import SANDBOX_TOOLS, TOOL_GROUPS
from runtime.schema.settings import LimitsSettings, Settings
from runtime.specs.agents import load_agents, validate_path
from runtime.specs.mistakes import MistakesFound

SKILL = "---\nname: {name}\ndescription: What {name} is for.\n---\nHow to.\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("report", "maths"):
        place = tmp_path / "skills" / name
        place.mkdir(parents=True)
        (place / "SKILL.md").write_text(SKILL.format(name=name))
    (tmp_path / "data").mkdir()
    for name in ("a.csv", "b.csv"):
        (tmp_path / "data" / name).write_text("x\n")
    return tmp_path


def mistakes_of(folder: Path, text: str) -> list[str]:
    path = folder / "agent.yaml"
    path.write_text(text)
    found = [str(mistake) for mistake in validate_path(path)]
    return [line.replace(f"{path}:", "").replace(str(folder), "DIR") for line in found]


def load(folder: Path, text: str) -> AgentSpec:
    (folder / "agent.yaml").write_text(text)
    (spec,) = load_agents([folder]).list()
    return spec


@pytest.mark.parametrize(
    ("text", "mistakes"),
    [
        ("", ["1:1: is empty"]),
        ("- id: a\n", ["1:1: must be a mapping, not a list"]),
        ("descripton: x\n", None),
        (
            "id: a\ninstrutions: |\n  Hi.\n",
            ["2:1: instrutions: unknown key; did you mean `instructions`?"],
        ),
        (
            "id: a b\naliases: [ok, -x, ok, a b]\n",
            [
                "1:5: id: must be letters, digits, `.`, `_` and `-` (at most 128), "
                "starting with a letter or digit",
                "2:15: aliases[1]: must be letters, digits, `.`, `_` and `-` (at most 128), "
                "starting with a letter or digit",
                "2:19: aliases[2]: `ok` stands here twice",
                "2:23: aliases[3]: must be letters, digits, `.`, `_` and `-` (at most 128), "
                "starting with a letter or digit",
                "2:23: aliases[3]: `a b` stands here twice",
            ],
        ),
        ("id: 12\n", ["1:5: id: must be text, not a number; put it in quotes"]),
        ("id:\n", ["1:4: id: must be text, not empty"]),
        ("id: a\nmodel: ''\n", ["2:8: model: is empty"]),
        ("id: a\naliases: b\n", ["2:10: aliases: must be a list, not text"]),
        (
            "id: a\ntools: [brwser, view_fil, 7, {name: x}, function, mcp_server]\n",
            [
                "2:9: tools[0]: unknown tool `brwser`; did you mean `browser`?",
                "2:17: tools[1]: unknown tool `view_fil`; did you mean `view_file`?",
                "2:27: tools[2]: must be the name of a tool, or a mapping with a `type`",
                "2:30: tools[3]: must be the name of a tool, or a mapping with a `type`",
                "2:41: tools[4]: needs more than a name: "
                "write `- type: function` and its keys below it",
                "2:51: tools[5]: needs more than a name: "
                "write `- type: mcp_server` and its keys below it",
            ],
        ),
        (
            "id: a\ntools:\n  - {type: browser, headless: true}\n  - {type: computer_use}\n",
            [
                "3:21: tools[0].headless: "
                "unknown key; a tool of type `browser` has no keys of its own",
                "4:12: tools[1].type: unknown tool `computer_use`; known are "
                + ", ".join(
                    sorted(
                        {
                            *SANDBOX_TOOLS,
                            *TOOL_GROUPS,
                            "function",
                            "google_search",
                            "mcp_server",
                            "url_context",
                        }
                    )
                ),
            ],
        ),
        (
            "id: a\ntools:\n"
            "  - {type: function, name: view_file}\n"
            "  - {type: function, nam: x}\n"
            "  - {type: function, name: f, parameters: {type: array}}\n"
            "  - {type: function, name: g}\n"
            "  - {type: function, name: g}\n"
            "  - {type: function, name: 1g}\n",
            [
                "3:28: tools[0].name: `view_file` is the name of a built-in tool",
                "4:5: tools[1].name: is missing",
                "4:22: tools[1].nam: unknown key; did you mean `name`?",
                "5:43: tools[2].parameters: must be a JSON Schema with `type: object`",
                "7:28: tools[4].name: there are two functions `g`",
                "8:28: tools[5].name: must be letters, digits and _ . - (at most 64), "
                "not starting with a digit",
            ],
        ),
        (
            "id: a\ntools:\n"
            "  - {type: mcp_server, name: s, url: nowhere}\n"
            "  - {type: mcp_server, name: s, ulr: http://x}\n"
            "  - {type: mcp_server, name: s, url: 'http://x/mcp', headers: {n: 1}}\n",
            [
                "3:38: tools[0].url: must be an http:// or https:// URL",
                "4:5: tools[1].url: is missing",
                "4:33: tools[1].ulr: unknown key; did you mean `url`?",
                "5:67: tools[2].headers.n: must be text, not a number; put it in quotes",
            ],
        ),
        (
            "id: a\ntools:\n"
            "  - {type: mcp_server, name: Weather, url: 'http://x/mcp'}\n"
            "  - {type: mcp_server, name: a__b, url: 'http://x/mcp'}\n",
            [
                "3:30: tools[0].name: must be lower-case letters, digits, _ and - only",
                "4:30: tools[1].name: has at most 40 characters, no '__' and no '_' at its end, "
                "since tools are called server__tool",
            ],
        ),
        (
            "id: a\nskills: [reprot, ./nowhere]\n",
            [
                "2:10: skills[0]: there is no skill `reprot`; did you mean `report`? "
                "(a path contains a `/`, like ./reprot)",
                "2:18: skills[1]: there is no folder DIR/nowhere",
            ],
        ),
        (
            "id: a\nskills: [report, ./skills/report]\n",
            ["2:18: skills[1]: there are two skills `report`"],
        ),
        (
            "id: a\ndata_sources:\n"
            "  - data/c.csv\n"
            "  - path: data/*.json\n"
            "  - {path: data, target: data}\n"
            "  - {path: data, target: /etc}\n"
            "  - {path: data, target: /workspace/../etc}\n"
            "  - {target: /workspace/x}\n"
            "  - {path: data, tarket: /workspace/x}\n",
            None,
        ),
        (
            "id: a\ndata_sources:\n"
            "  - data/c.csv\n"
            "  - path: data/*.json\n"
            "  - {path: data, target: data}\n"
            "  - {path: data, target: /etc}\n"
            "  - {path: data, target: /workspace/../etc}\n",
            [
                "3:5: data_sources[0].path: there is no file or folder DIR/data/c.csv",
                "4:11: data_sources[1].path: nothing matches DIR/data/*.json",
                "5:26: data_sources[2].target: "
                "must be an absolute path without `..`, such as /workspace/data",
                "6:26: data_sources[3].target: "
                "must be in /workspace: nothing else of a sandbox can be written",
                "7:26: data_sources[4].target: "
                "must be an absolute path without `..`, such as /workspace/data",
            ],
        ),
        (
            "id: a\ndata_sources:\n"
            "  - {path: data/a.csv, target: /workspace/x}\n"
            "  - {path: data/b.csv, target: /workspace/x}\n",
            [
                "4:5: data_sources[1]: DIR/data/a.csv and DIR/data/b.csv "
                "would both become /workspace/x"
            ],
        ),
        (f"id: a\ndata_sources: [{'x' * 300}]\n", None),
        (
            "id: a\nenvironment_variables: {DEBUG: 1, 2X: y, OK: 'on'}\n",
            ["2:32: environment_variables.DEBUG: must be text, not a number; put it in quotes"],
        ),
        (
            "id: a\nenvironment_variables:\n  2X: y\n  A-B: z\n",
            [
                "3:3: environment_variables.2X: "
                "a variable's name is letters, digits and _, not starting with a digit",
                "4:3: environment_variables.A-B: "
                "a variable's name is letters, digits and _, not starting with a digit",
            ],
        ),
        (
            "id: a\ngeneration: {temperature: hot, thinking_level: hgh, top_k: 3, seed: 1.5}\n",
            [
                "2:27: generation.temperature: must be a number, not text",
                "2:48: generation.thinking_level: must be one of "
                "minimal, low, medium, high, xhigh; did you mean `high`?",
                "2:53: generation.top_k: unknown key; did you mean `top_p`?",
                "2:69: generation.seed: must be a whole number, not a decimal number",
            ],
        ),
        (
            "id: a\nlimits: {max_steps: 0, timeout: 2 days, timeout_seconds: 5, "
            "tool_timeout: 30d}\n",
            [
                "2:21: limits.max_steps: must be at least 1",
                "2:33: limits.timeout: `2 days` is not a duration; "
                "write it like 90s, 15m, 1h30m or 7d",
                "2:41: limits.timeout_seconds: unknown key; did you mean `timeout`?",
                "2:75: limits.tool_timeout: must be at most 1d",
            ],
        ),
        (
            "id: a\ninstructions: Hi.\ninstructions_file: no.md\n",
            [
                "3:1: instructions_file: stands beside `instructions`; keep one of the two",
                "3:20: instructions_file: DIR/no.md cannot be read: No such file or directory",
            ],
        ),
        (
            "id: a\nid: b\ntools: !python [x]\nmodel: [x]\n",
            [
                "2:1: id: stands here twice, first in line 1",
                "3:8: tools: the tag `!python` is not allowed here",
                "4:8: model: must be text, not a list",
            ],
        ),
    ],
)
def test_mistakes_say_where_and_what(folder: Path, text: str, mistakes: list[str] | None) -> None:
    found = mistakes_of(folder, text)
    if mistakes is None:
        assert found
        assert all(line.split(":")[0].isdigit() for line in found)
    else:
        assert found == mistakes


@pytest.mark.parametrize(
    ("text", "mistake"),
    [
        ("Just text.\n", "1:1: must begin with front matter: `---`, name, description, `---`"),
        ("---\nname: x\n---\n", "2:1: description: is missing"),
        ("---\nname: X y\ndescription: d\n---\n", "2:7: name: must be lower-case words joined by"),
        ("---\nname: x\ndescription: a: b\n---\n", "3:15: not valid YAML: mapping values are not"),
        (
            "---\nname: x\ndescription: " + "d" * 1025 + "\n---\n",
            "3:14: description: must be at most",
        ),
    ],
)
def test_mistakes_of_a_skill_stand_in_its_file(folder: Path, text: str, mistake: str) -> None:
    path = folder / "skills" / "report" / "SKILL.md"
    path.write_text(text)
    (found,) = mistakes_of(folder, "id: a\nskills: [report]\n")
    assert found.startswith(f"DIR/skills/report/SKILL.md:{mistake}")


def test_a_small_agent_gets_the_defaults(folder: Path) -> None:
    spec = load(folder, "id: small\n")
    assert spec.sandbox_tools == list(SANDBOX_TOOLS)
    assert spec.limits == AgentLimits()
    assert spec.model is None
    assert spec.source == f"{folder / 'agent.yaml'}:1"


def test_a_whole_agent(folder: Path) -> None:
    (folder / "words.md").write_text("Do it well.\n")
    spec = load(
        folder,
        """
id: whole
aliases: [w1, w2]
description: All keys.
model: google/x
instructions_file: words.md
tools:
  - browser_click
  - filesystem
  - {type: code_execution}
  - google_search
  - type: function
    name: ask
    description: Ask the user.
    parameters: {type: object, properties: {question: {type: string}}}
  - {type: mcp_server, name: weather, url: "http://localhost:1/mcp", allowed_tools: [today]}
skills: [report, ./skills/maths]
data_sources:
  - data/a.csv
  - {path: data, target: /workspace/all}
  - {path: "data/*.csv", target: /workspace/each}
  - {path: data/b.csv, target: /workspace/}
environment_variables: {MODE: fast}
generation: {temperature: 0, thinking_level: low, stop_sequences: [END]}
limits: {max_steps: 5, timeout: 1h30m, tool_timeout: 45, max_total_tokens: 1000}
""",
    )
    data = folder / "data"
    assert spec.aliases == ["w1", "w2"]
    assert spec.instructions == "Do it well."
    assert spec.sandbox_tools == ["code_execution", *TOOL_GROUPS["filesystem"], "browser_click"]
    assert [function.name for function in spec.functions] == ["ask"]
    assert [tool["type"] for tool in spec.other_tools] == ["google_search", "mcp_server"]
    assert spec.other_tools[1]["allowed_tools"] == ["today"]
    assert [(s.name, s.folder) for s in spec.skills] == [
        ("report", folder / "skills" / "report"),
        ("maths", folder / "skills" / "maths"),
    ]
    assert spec.data_sources == [
        DataSource(path=data / "a.csv", target="/workspace/data/a.csv"),
        DataSource(path=data, target="/workspace/all"),
        DataSource(path=data / "a.csv", target="/workspace/each/a.csv"),
        DataSource(path=data / "b.csv", target="/workspace/each/b.csv"),
        DataSource(path=data / "b.csv", target="/workspace/b.csv"),
    ]
    assert spec.environment_variables == {"MODE": "fast"}
    assert spec.generation.temperature == 0
    assert spec.generation.stop_sequences == ["END"]
    assert spec.limits == AgentLimits(
        max_steps=5, timeout_seconds=5400, tool_timeout_seconds=45, max_total_tokens=1000
    )
    assert type(spec.limits) is AgentLimits


def test_no_tools_means_none(folder: Path) -> None:
    assert load(folder, "id: a\ntools: []\n").sandbox_tools == []


def test_agents_are_found_by_id_and_alias(folder: Path) -> None:
    (folder / "b.yml").write_text("id: beta\naliases: [second]\n")
    (folder / "a.yaml").write_text("id: alpha\n")
    catalog = load_agents([folder])
    assert [spec.id for spec in catalog.list()] == ["alpha", "beta"]
    assert catalog.get("second").id == "beta"
    with pytest.raises(NotFound) as caught:
        catalog.get("alhpa")
    assert caught.value.message == (
        "There is no agent `alhpa`; did you mean `alpha`? The agents are alpha, beta."
    )
    with pytest.raises(NotFound, match="no agent `zzz`; known are alpha, beta, second"):
        catalog.get("zzz")


def test_names_that_clash_are_mistakes_that_name_both_places(folder: Path) -> None:
    (folder / "a.yaml").write_text("id: alpha\naliases: [one]\n")
    (folder / "b.yaml").write_text("id: beta\naliases:\n  - two\n  - one\n")
    (folder / "c.yaml").write_text("description: x\nid: alpha\n")
    with pytest.raises(MistakesFound) as caught:
        load_agents([folder])
    taken = f"is taken by the agent `alpha` of {folder}/a.yaml:1"
    assert caught.value.message.splitlines() == [
        f"{folder}/b.yaml:4:5: aliases[1]: `one` {taken}",
        f"{folder}/c.yaml:2:5: id: `alpha` {taken}",
    ]
    assert isinstance(caught.value, InvalidRequest)


def test_mistakes_of_all_files_are_found_at_once(folder: Path) -> None:
    (folder / "a.yaml").write_text("id: [\n")
    (folder / "b.yaml").write_text("id: b\nx: 1\n")
    assert [mistake.file for mistake in validate_path(folder)] == [
        str(folder / "a.yaml"),
        str(folder / "b.yaml"),
    ]


def test_a_skill_is_also_looked_up_in_the_other_folders(folder: Path, tmp_path: Path) -> None:
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "my.yaml").write_text("id: my\nskills: [report]\n")
    catalog = load_agents([folder, mine])
    assert catalog.get("my").skills[0].folder == folder / "skills" / "report"
    assert validate_path(mine / "my.yaml", [folder]) == []
    assert len(validate_path(mine / "my.yaml")) == 1


def test_paths_that_hold_nothing(tmp_path: Path) -> None:
    (missing,) = validate_path(tmp_path / "no")
    assert str(missing) == f"{tmp_path}/no: there is no such file or folder"
    (nothing,) = validate_path(tmp_path)
    assert str(nothing) == f"{tmp_path}: holds no agents (files *.yaml or *.yml)"
    with pytest.raises(MistakesFound, match="there is no such folder of agents"):
        load_agents([tmp_path / "no"])
    assert load_agents([tmp_path]).list() == []


def test_no_agent_asks_for_more_than_the_operator_allows(folder: Path) -> None:
    path = folder / "agent.yaml"
    path.write_text(
        "id: a\nlimits:\n  timeout: 2h\n  max_steps: 5\n"
        "sandbox: {memory: 8GiB, cpus: 1, sent: 1TiB}\n"
    )
    settings = Settings(limits=LimitsSettings(timeout_seconds=3600.0))
    found = [str(mistake).replace(f"{path}:", "") for mistake in validate_path(path, (), settings)]
    assert found == [
        "3:12: limits.timeout: 7200 s is more than is allowed here, 3600 s "
        "(`limits.timeout` of the configuration)",
        "5:19: sandbox.memory: 8192 MiB is more than is allowed here, 4096 MiB "
        "(`sandbox.memory` of the configuration)",
        "5:40: sandbox.sent: 1048576 MiB is more than is allowed here, 5120 MiB "
        "(`egress.sent` of the configuration)",
    ]
    with pytest.raises(MistakesFound):
        load_agents([folder], settings)
    assert validate_path(path) == [], "without a configuration nothing is known of it"


def test_what_sandboxes_get_is_read_with_units(folder: Path) -> None:
    spec = load(folder, "id: a\nsandbox: {memory: 1GiB, cpus: 0.5, pids: 64, sent: 0}\n")
    assert spec.sandbox == SandboxLimits(memory_bytes=1024**3, cpus=0.5, pids=64, sent_bytes=0)
    assert mistakes_of(folder, "id: a\nsandbox: {memory: 1MiB, pid: 64}\n") == [
        "2:19: sandbox.memory: must be at least 256MiB",
        "2:25: sandbox.pid: unknown key; did you mean `pids`?",
    ]


def test_rules_for_the_network_and_ids_of_credentials_are_checked(folder: Path) -> None:
    text = """\
id: a
environment_variables:
  TOKEN: {credential: a b}
network:
  allowlist:
    - domain: https://api.test/x
    - domain: "*"
      credential: key
    - domain: api.test
      credential: ../x
      transform: {Host: b}
tools:
  - {type: mcp_server, name: m, url: "https://mcp.test/", credential: -x}
"""
    form = "must be the id of a credential: at most 63 letters, digits, and . _ - between them"
    assert mistakes_of(folder, text) == [
        f"3:23: environment_variables.TOKEN.credential: {form}",
        "6:15: network.allowlist[0].domain: 'https://api.test/x' is not a host of an allowlist. "
        "Write a name (api.example.com), all names below one (*.example.com), an IP address, or * "
        "for every host; each also with a port (api.example.com:8443), without scheme and path.",
        "8:19: network.allowlist[1].credential: needs a host or `*.suffix` as domain; "
        "with `*` it could be sent anywhere",
        f"10:19: network.allowlist[2].credential: {form}",
        "11:19: network.allowlist[2].transform.Host: is a header that cannot be set: it says how "
        "messages are framed or routed",
        f"13:71: tools[0].credential: {form}",
    ]
