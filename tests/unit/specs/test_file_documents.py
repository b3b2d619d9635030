"""`docs/agents.md`, `docs/configuration.md` and the example say what the code says."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args, get_origin

import pytest
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from runtime.schema.model import FunctionDeclaration
from runtime.schema.network import allowed_hosts
from runtime.schema.settings import Settings
from runtime.specs.agent_file import AGENT_FILE, GoogleSearchEntry, McpServerEntry
from runtime.specs.agents import load_agents
from runtime.specs.file_models import file_key, file_model, model_inside
from runtime.specs.settings import PROVIDER_VARIABLES, load_settings
from runtime.specs.units import format_duration, format_size

ROOT = Path(__file__).parents[3]
AGENTS_PAGE = (ROOT / "docs" / "agents.md").read_text(encoding="utf-8")
SETTINGS_PAGE = (ROOT / "docs" / "configuration.md").read_text(encoding="utf-8")
TOOL_ENTRIES = [FunctionDeclaration, McpServerEntry, GoogleSearchEntry]
_ROW = re.compile(r"^\| (`[^|]+`) \| ([^|]+) \|", re.MULTILINE)


def keys_of(model: type[BaseModel], at: str = "") -> Iterator[tuple[str, str, FieldInfo]]:
    """Path, name in the code and field of every key; of a mapping only what is inside it."""
    for name, info in model.model_fields.items():
        key = at + file_key(name)
        inner = model_inside(info.annotation)
        if inner is None:
            yield key, name, info
        else:
            yield from keys_of(inner, key + _step(info.annotation))


def _step(annotation: Any) -> str:
    origin = get_origin(annotation)
    return {list: "[].", dict: ".NAME."}.get(origin, ".") if get_args(annotation) else "."


def agent_keys() -> list[tuple[str, str, FieldInfo]]:
    tools = [key for entry in TOOL_ENTRIES for key in keys_of(entry, "tools[].")]
    return [*keys_of(AGENT_FILE), *(key for key in tools if key[1] != "type")]


def settings_keys() -> list[tuple[str, str, FieldInfo]]:
    return [*keys_of(file_model(Settings))]


def rows(page: str) -> list[tuple[str, str]]:
    return [(key.strip("`"), default.strip(" `")) for key, default in _ROW.findall(page)]


def written(name: str, default: object) -> str:
    if isinstance(default, bool):
        return str(default).lower()
    if name.endswith("_bytes"):
        assert isinstance(default, int)
        return format_size(default)
    if name.endswith("_seconds"):
        assert isinstance(default, float)
        return format_duration(default)
    return f"{default:g}" if isinstance(default, float) else str(default)


@pytest.mark.parametrize(
    ("page", "keys"), [(AGENTS_PAGE, agent_keys()), (SETTINGS_PAGE, settings_keys())]
)
def test_every_key_is_described_and_no_other(
    page: str, keys: list[tuple[str, str, FieldInfo]]
) -> None:
    documented = {key for key, _ in rows(page)}
    known = {key for key, _, _ in keys}
    steps = [re.split(r"\[\]|\.", key) for key in known]
    containers = {".".join(step[:end]) for step in steps for end in range(1, len(step))}
    front_matter = {"name", "description"}
    others = {"type", "code_execution", "filesystem", "browser", "antigravity", "tour"}
    assert sorted(known - documented) == []
    looks_like_key = re.compile(r"[a-z_]+((\[\])?\.\w+)*")
    unknown = {key for key in documented - known - containers if looks_like_key.fullmatch(key)}
    assert sorted(unknown - front_matter - others - {"researcher"}) == []


@pytest.mark.parametrize(
    ("page", "keys"), [(AGENTS_PAGE, agent_keys()), (SETTINGS_PAGE, settings_keys())]
)
def test_defaults_are_those_of_the_code(page: str, keys: list[tuple[str, str, FieldInfo]]) -> None:
    documented = rows(page)
    for key, name, info in keys:
        defaults = [default for documented_key, default in documented if documented_key == key]
        default = None if info.default_factory else info.default
        if info.is_required():
            assert "required" in defaults, key
        elif isinstance(default, bool | int | float | str) and default != "":
            assert written(name, default) in defaults, key
        else:
            assert set(defaults) != {"required"}, key


def test_every_variable_is_described() -> None:
    sources = [
        path
        for path in (ROOT / "runtime").rglob("*.py")
        if "guest" not in path.parts and path.name != "docker_plan.py"
    ]
    texts = "".join(path.read_text(encoding="utf-8") for path in sources)
    used = set(re.findall(r"\bSANDLOT_[A-Z_]+\b", texts))
    used |= {variable for variables in PROVIDER_VARIABLES.values() for variable in variables}
    section = SETTINGS_PAGE.partition("## Environment variables")[2]
    assert {"SANDLOT_API_KEY", "SANDLOT_CONFIG"} <= used
    assert used == set(re.findall(r"`([A-Z_]+)`", section))


def test_the_agent_of_the_page_is_valid(tmp_path: Path) -> None:
    found = re.findall(r"^```yaml\n(.*?)^```", AGENTS_PAGE, re.MULTILINE | re.DOTALL)
    example, network, tools, sandbox = found
    skill = re.search(r"^```markdown\n(.*?)^```", AGENTS_PAGE, re.MULTILINE | re.DOTALL)
    assert skill is not None
    folder = tmp_path / "skills" / "house-style"
    folder.mkdir(parents=True)
    (folder / "SKILL.md").write_text(skill[1], encoding="utf-8")
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "log.txt").write_text("x\n")
    (tmp_path / "agent.yaml").write_text(example, encoding="utf-8")
    (tmp_path / "tools.yaml").write_text(f"id: tools\n{tools}", encoding="utf-8")
    (tmp_path / "network.yaml").write_text(f"id: network\n{network}", encoding="utf-8")
    (tmp_path / "sandbox.yaml").write_text(f"id: sandbox\n{sandbox}", encoding="utf-8")
    catalog = load_agents([tmp_path, ROOT / "agents"], Settings())
    assert catalog.get("sandbox").sandbox.memory_bytes == 1024**3
    assert [skill.name for skill in catalog.get("notes").skills] == ["report", "house-style"]
    assert [tool["type"] for tool in catalog.get("tools").other_tools] == ["mcp_server"]
    hosts = allowed_hosts(catalog.get("network").network or "disabled")
    assert [host.credential for host in hosts] == [None, None, "github"]


def test_the_configurations_of_the_pages_are_valid(tmp_path: Path) -> None:
    examples = re.findall(r"^```yaml\n(.*?)^```", SETTINGS_PAGE, re.MULTILINE | re.DOTALL)
    example = (ROOT / "sandlot.example.yaml").read_text(encoding="utf-8")
    assert examples
    for number, text in enumerate([*examples, example]):
        path = tmp_path / f"{number}.yaml"
        path.write_text(text, encoding="utf-8")
        settings = load_settings(path, {"HOME": str(tmp_path)})
        assert settings.models.default or settings.egress.allow_internal


def test_what_is_commented_out_in_the_example_is_valid(tmp_path: Path) -> None:
    (tmp_path / "my-agents").mkdir()
    lines = (ROOT / "sandlot.example.yaml").read_text(encoding="utf-8").splitlines()
    code = re.compile(r"^( *)# ((?:  )?[\w.\"*-]+:.*)$")
    text = "\n".join(code.sub(r"\1\2", line) for line in lines)
    path = tmp_path / "all.yaml"
    path.write_text(text, encoding="utf-8")
    keys = dict.fromkeys(("GEMINI_API_KEY", "OPENAI_API_KEY", "ANTHROPIC_API_KEY"), "x")
    settings = load_settings(path, {"HOME": str(tmp_path), **keys})
    assert set(settings.models.providers) == {"ollama", "google", "openai", "anthropic"}
    assert settings.sandbox.memory_bytes == 2 * 1024**3
    assert settings.agents == [str(tmp_path / "my-agents")]
