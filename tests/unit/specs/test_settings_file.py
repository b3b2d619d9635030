from __future__ import annotations

import os
from pathlib import Path

import pytest

from runtime.schema.settings import ProviderSettings, Settings
from runtime.specs.mistakes import MistakesFound
from runtime.specs.settings import load_settings

KEYS = {"GEMINI_API_KEY": "g", "OPENAI_API_KEY": "o", "ANTHROPIC_API_KEY": "a"}


def load(folder: Path, text: str, **environ: str) -> Settings:
    path = folder / "sandlot.yaml"
    path.write_text(text)
    return load_settings(path, {"HOME": str(folder), **environ})


def secret(provider: ProviderSettings) -> str | None:
    return provider.api_key.get_secret_value() if provider.api_key else None


@pytest.fixture
def empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "empty"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


@pytest.mark.parametrize(
    ("text", "mistakes"),
    [
        ("servr: {}\n", ["1:1: servr: unknown key; did you mean `server`?"]),
        (
            "server:\n  port: eighty\n  hots: x\n  max_body: 4 gigs\n",
            [
                "2:9: server.port: must be a whole number, not text",
                "3:3: server.hots: unknown key; did you mean `host`?",
                "4:13: server.max_body: `4 gigs` is not a size; write it like 512MiB, 4GiB or 2GB",
            ],
        ),
        ("server:\n  port: 70000\n", ["2:9: server.port: must be at most 65535"]),
        ("server:\n  port: yes\n", ["2:9: server.port: must be a whole number, not text"]),
        (
            "server:\n  port: true\n",
            ["2:9: server.port: must be a whole number, not true or false"],
        ),
        ("server: 1\n", ["1:9: server: must be a mapping, not a number"]),
        ("- server\n", ["1:1: must be a mapping, not a list"]),
        (
            "server:\n  host: 127\n",
            ["2:9: server.host: must be text, not a number; put it in quotes"],
        ),
        (
            "sandbox:\n  memory: 1MiB\n  idle: 1:30\n  memory_bytes: 1\n  cpus: 0\n",
            [
                "2:11: sandbox.memory: must be at least 256MiB",
                "3:9: sandbox.idle: `1:30` is not a duration; write it like 90s, 15m, 1h30m or 7d",
                "4:3: sandbox.memory_bytes: unknown key; did you mean `memory`?",
                "5:9: sandbox.cpus: must be more than 0",
            ],
        ),
        ("sandbox: {retention: .inf}\n", ["1:22: sandbox.retention: must be a finite number"]),
        (
            "models:\n  providers:\n    ollama: {base_url: 'http://localhost:11434/v1'}\n",
            [
                "3:5: models.providers.ollama: needs a `kind` "
                "(google, openai, anthropic, openai_compatible) since its name is none"
            ],
        ),
        (
            "models:\n  providers:\n    local: {kind: openai_compatible}\n",
            ["3:5: models.providers.local: needs a `base_url`, such as http://localhost:11434/v1"],
        ),
        (
            "models:\n  providers:\n    x: {kind: opnai, vision: on}\n",
            [
                "3:15: models.providers.x.kind: must be one of google, openai, anthropic, "
                "openai_compatible; did you mean `openai`?",
                "3:30: models.providers.x.vision: must be true or false, not text",
            ],
        ),
        (
            "models:\n  providers:\n    google: {base_url: example.com, timeout: 0}\n",
            ["3:46: models.providers.google.timeout: must be more than 0s"],
        ),
        (
            "models:\n  providers:\n    google: {base_url: example.com}\n"
            "    script: {}\n    A b: {}\n",
            [
                "3:24: models.providers.google.base_url: must be an http:// or https:// URL",
                "4:5: models.providers.script: is built in; use another name",
                "5:5: models.providers.A b: "
                "a provider's name is lower-case letters, digits, _ and -",
            ],
        ),
        (
            "models:\n  default: fast\n  aliases:\n    fasst: gogle/x\n    b: google\n",
            [
                "2:12: models.default: `fast` is neither an alias nor `provider/name`; "
                "of the aliases, did you mean `fasst`?",
                "4:12: models.aliases.fasst: there is no provider `gogle`; did you mean `google`?",
                "5:8: models.aliases.b: `google` is neither an alias nor `provider/name`; "
                "of the aliases, known are b, fasst",
            ],
        ),
        (
            "models:\n  aliases: {a: b, b: c, c: b, d: google/x, e: d}\n",
            [
                "2:16: models.aliases.a: leads to no model: a -> b -> c -> b",
                "2:22: models.aliases.b: leads to no model: b -> c -> b",
                "2:28: models.aliases.c: leads to no model: c -> b -> c",
            ],
        ),
        (
            "models: {default: fast}\n",
            ["1:19: models.default: `fast` is neither an alias nor `provider/name`"],
        ),
        (
            "models:\n  providers:\n    google:\n      api_key: ${env:NO_SUCH}\n",
            ["4:16: models.providers.google.api_key: the environment variable NO_SUCH is not set"],
        ),
        (
            "models:\n  default: ${HOME}\nstate_dir: ${env:A}/${env:B\n",
            [
                "2:12: models.default: `${HOME}` is not understood; write `${env:NAME}`",
                "3:12: state_dir: the environment variable A is not set",
                "3:12: state_dir: the environment variable B is not set",
            ],
        ),
        ("server: {port: 1, port: 2}\n", ["1:19: server.port: stands here twice, first in line 1"]),
        (
            "quotas:\n  projects:\n    Team: {running: 1}\n    team: {running: 1}\n",
            [
                "3:5: quotas.projects.Team: no project has this name: a name has 1 to 40 "
                "lower-case letters, digits and dashes, and no dash at its ends"
            ],
        ),
        ("server: [\n", None),
        (
            "state_dir: !!python/name:os.sep x\n",
            ["1:12: state_dir: the tag `!!python/name:os.sep` is not allowed here"],
        ),
    ],
)
def test_mistakes_say_where_and_what(tmp_path: Path, text: str, mistakes: list[str] | None) -> None:
    with pytest.raises(MistakesFound) as caught:
        load(tmp_path, text)
    lines = caught.value.message.splitlines()
    if mistakes is None:
        assert len(lines) == 1
    else:
        assert lines == [f"{tmp_path / 'sandlot.yaml'}:{mistake}" for mistake in mistakes]


def test_a_missing_agents_folder_is_a_mistake(tmp_path: Path) -> None:
    with pytest.raises(MistakesFound) as caught:
        load(tmp_path, "agents: [mine]\n")
    path = tmp_path / "sandlot.yaml"
    assert caught.value.message == f"{path}:1:10: agents[0]: there is no folder {tmp_path / 'mine'}"


def test_a_whole_file(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    settings = load(
        tmp_path,
        """
state_dir: state
agents: [mine, ~/more]
models:
  default: fast
  providers:
    ollama: {kind: openai_compatible, base_url: "http://localhost:11434/v1", vision: false}
    google: {api_key: "${env:MY_KEY}", timeout: 2m, max_retries: 1}
  aliases: {fast: ollama/qwen3, "*": google/some-model}
server: {port: 9000, max_body: 1MiB}
sandbox: {memory: 512MiB, cpus: 1, idle: 1h30m, retention: 2d}
""",
        MY_KEY="12345",
    )
    assert settings.state_dir == str(tmp_path / "state")
    assert settings.agents == [str(tmp_path / "mine"), str(tmp_path / "more")]
    google, ollama = settings.models.providers["google"], settings.models.providers["ollama"]
    assert (google.kind, secret(google), google.timeout_seconds) == ("google", "12345", 120.0)
    assert (ollama.kind, secret(ollama), ollama.vision) == ("openai_compatible", None, False)
    assert settings.models.default == "fast"
    assert settings.server.port == 9000
    assert settings.server.max_body_bytes == 1024**2
    assert settings.sandbox.memory_bytes == 512 * 1024**2
    assert settings.sandbox.idle_seconds == 5400
    assert settings.sandbox.retention_seconds == 2 * 86400
    assert type(settings) is Settings
    assert type(settings.sandbox) is type(Settings().sandbox)


def test_variables_may_stand_for_numbers_and_booleans(tmp_path: Path) -> None:
    settings = load(
        tmp_path,
        "server: {port: '${env:PORT}'}\n"
        "sandbox: {memory: '${env:MEMORY}', cpus: '${env:CPUS}'}\n"
        "models: {providers: {google: {vision: '${env:VISION}'}}}\n",
        PORT="81",
        MEMORY="1GiB",
        CPUS="1.5",
        VISION="false",
    )
    assert settings.server.port == 81
    assert settings.sandbox.memory_bytes == 1024**3
    assert settings.sandbox.cpus == 1.5
    assert settings.models.providers["google"].vision is False


def test_a_variable_that_is_no_number_is_a_mistake(tmp_path: Path) -> None:
    with pytest.raises(MistakesFound, match=r"1:16: server\.port: must be a whole number"):
        load(tmp_path, "server: {port: '${env:PORT}'}\n", PORT="http")


def test_a_key_is_never_shown(tmp_path: Path) -> None:
    with pytest.raises(MistakesFound) as caught:
        load(
            tmp_path,
            "models: {providers: {google: {api_key: '${env:K}', kind: '${env:K}', x: 1}}}\n",
            K="sk-secret",
        )
    assert "sk-secret" not in caught.value.message


def test_without_a_file_everything_has_its_default(empty_folder: Path) -> None:
    settings = load_settings(None, {"HOME": str(empty_folder)})
    state_dir = str(empty_folder / ".local/state/sandlot")
    assert settings == Settings(state_dir=state_dir)


def test_keys_of_the_environment_configure_their_providers(empty_folder: Path) -> None:
    providers = load_settings(None, {"HOME": str(empty_folder), **KEYS}).models.providers
    assert {name: (p.kind, secret(p)) for name, p in providers.items()} == {
        "google": ("google", "g"),
        "openai": ("openai", "o"),
        "anthropic": ("anthropic", "a"),
    }


def test_an_empty_key_is_none(empty_folder: Path) -> None:
    environ = {"HOME": str(empty_folder), "GEMINI_API_KEY": "", "GOOGLE_API_KEY": "second"}
    providers = load_settings(None, environ).models.providers
    assert secret(providers["google"]) == "second"


def test_keys_of_the_environment_fill_in_but_do_not_add(tmp_path: Path) -> None:
    text = "models: {providers: {google: {}, mine: {kind: openai}}}\n"
    providers = load(tmp_path, text, **KEYS).models.providers
    assert {name: secret(p) for name, p in providers.items()} == {"google": "g", "mine": "o"}


def test_a_file_without_providers_keeps_those_of_the_environment(tmp_path: Path) -> None:
    assert set(load(tmp_path, "server: {port: 1}\n", **KEYS).models.providers) == {
        "google",
        "openai",
        "anthropic",
    }


def test_a_key_of_the_environment_never_goes_to_another_address(tmp_path: Path) -> None:
    text = "models: {providers: {openai: {base_url: 'http://proxy.example/v1'}}}\n"
    assert secret(load(tmp_path, text, **KEYS).models.providers["openai"]) is None


def test_variables_win_over_the_file(tmp_path: Path) -> None:
    settings = load(
        tmp_path,
        "state_dir: here\nserver: {api_key: from-file}\n",
        SANDLOT_API_KEY="from-env",
        SANDLOT_STATE_DIR=str(tmp_path / "there"),
    )
    assert settings.state_dir == str(tmp_path / "there")
    assert settings.server.api_key is not None
    assert settings.server.api_key.get_secret_value() == "from-env"


def test_the_order_of_the_search(empty_folder: Path) -> None:
    def port(path: Path | None, **environ: str) -> int:
        return load_settings(path, {"HOME": str(empty_folder), **environ}).server.port

    home = empty_folder / ".config" / "sandlot" / "sandlot.yaml"
    home.parent.mkdir(parents=True)
    home.write_text("server: {port: 4}")
    assert port(None) == 4
    Path("sandlot.yaml").write_text("server: {port: 3}")
    assert port(None) == 3
    Path("env.yaml").write_text("server: {port: 2}")
    assert port(None, SANDLOT_CONFIG="env.yaml") == 2
    Path("explicit.yaml").write_text("server: {port: 1}")
    assert port(Path("explicit.yaml"), SANDLOT_CONFIG="env.yaml") == 1


@pytest.mark.parametrize("variable", [None, "SANDLOT_CONFIG"])
def test_a_named_file_must_be_there(empty_folder: Path, variable: str | None) -> None:
    path = None if variable else Path("no.yaml")
    environ = {variable: "no.yaml"} if variable else {}
    with pytest.raises(MistakesFound, match=r"^no\.yaml: cannot be read: No such file"):
        load_settings(path, environ)


@pytest.mark.parametrize("text", ["", "# nothing yet\n", "---\n"])
def test_an_empty_file_says_nothing(tmp_path: Path, text: str) -> None:
    assert load(tmp_path, text).server == Settings().server


def test_the_real_environment_loads() -> None:
    assert load_settings(None, {**os.environ, "SANDLOT_CONFIG": ""}).state_dir
