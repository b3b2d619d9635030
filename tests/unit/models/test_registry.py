from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import SecretStr

from runtime.errors import ModelNotConfigured
from runtime.models.registry import Models
from runtime.schema.model import Generation
from runtime.schema.settings import ModelsSettings, ProviderSettings

KEY = ProviderSettings(api_key=SecretStr("k"))
LOCAL = ProviderSettings(kind="openai_compatible", base_url="http://localhost:1/v1", vision=False)


def models(folders: list[Path] | None = None, **settings: Any) -> Models:
    return Models(ModelsSettings(**settings), folders or [])


@pytest.fixture
def full() -> Models:
    return models(
        default="fast",
        providers={"google": KEY, "local": LOCAL, "openai": ProviderSettings()},
        aliases={
            "fast": "google/gemini-3.8-flash",
            "slow": "fast",
            "*": "local/qwen3",
            "demo": "script/inline",
            "google/old": "google/new",
            "google/same": "google/same",
            "ring": "bell",
            "bell": "ring",
            "gone": "nowhere/x",
        },
    )


@pytest.mark.parametrize(
    ("name", "target"),
    [
        (None, "google/gemini-3.8-flash"),
        ("", "google/gemini-3.8-flash"),
        ("fast", "google/gemini-3.8-flash"),
        ("slow", "google/gemini-3.8-flash"),
        ("google/gemini-2.5-pro", "google/gemini-2.5-pro"),
        ("google/old", "google/new"),
        ("google/same", "google/same"),
        ("local/org/model:7b", "local/org/model:7b"),
        ("gpt-5", "local/qwen3"),
        ("unknown/gpt-5", "local/qwen3"),
        ("demo", "script/inline"),
        ("script/inline", "script/inline"),
    ],
)
def test_where_a_name_leads(full: Models, name: str | None, target: str) -> None:
    model, found = full.resolve(name)
    assert found == target
    assert model.info.target == target


def test_what_is_known_of_a_model(full: Models) -> None:
    google = full.resolve("fast")[0].info
    local = full.resolve("local/x")[0].info

    assert (google.provider, google.vision, google.documents) == ("google", True, True)
    assert google.context_tokens == 1_048_576
    assert (local.provider, local.vision, local.documents) == ("local", False, False)
    assert local.context_tokens is None


@pytest.mark.parametrize(
    ("name", "tokens"),
    [
        ("google/gemma-3-27b-it", 131_072),
        ("openai/gpt-4.1-mini", 1_047_576),
        ("openai/gpt-5.6", 272_000),
        ("openai/gpt-4", 8192),
        ("openai/gpt-4o", 128_000),
        ("anthropic/claude-opus-5", 200_000),
        ("local/qwen3", None),
        ("small/qwen3", 8000),
        ("small/big", 50_000),
        ("huge", 9_000_000),
        ("script/inline", 1_000_000),
    ],
)
def test_how_much_a_model_reads(name: str, tokens: int | None) -> None:
    known = models(
        providers={
            **dict.fromkeys(("google", "openai", "anthropic"), KEY),
            "local": LOCAL,
            "small": LOCAL.model_copy(update={"context_tokens": 8000}),
        },
        aliases={"huge": "google/gemini-3.8-flash"},
        context_tokens={"small/big": 50_000, "huge": 9_000_000},
        compact_at=0.5,
    )
    found = known.info(name)
    assert (found.context_tokens, found.compact_at) == (tokens, 0.5)


def test_what_a_model_does_not_take(full: Models) -> None:
    seeded = Generation(seed=1)
    assert full.unsupported("fast", seeded) is None
    assert full.unsupported("local/x", seeded) is None
    assert full.unsupported("demo", seeded) is None
    field, sentence = full.unsupported("openai/gpt-5.6", seeded) or ("", "")
    assert field == "seed" and "openai/gpt-5.6" in sentence


def test_the_models_that_have_names(full: Models) -> None:
    known = {info.id: info.target for info in full.known()}
    assert known == {
        "script/inline": "script/inline",
        "fast": "google/gemini-3.8-flash",
        "slow": "google/gemini-3.8-flash",
        "demo": "script/inline",
        "google/old": "google/new",
        "google/same": "google/same",
    } | {"gone": "local/qwen3"}


@pytest.mark.parametrize("name", ["ring", "bell"])
def test_aliases_that_go_in_a_circle(full: Models, name: str) -> None:
    with pytest.raises(ModelNotConfigured, match=r"leads to no model: .*ring -> bell|bell -> ring"):
        full.resolve(name)


def test_a_long_chain_ends() -> None:
    chain = {f"a{n}": f"a{n + 1}" for n in range(50)}
    with pytest.raises(ModelNotConfigured, match="leads to no model"):
        models(aliases=chain).resolve("a0")


def test_without_a_key_there_are_the_scripts(tmp_path: Path) -> None:
    (tmp_path / "tour.yaml").write_text("turns:\n  - say: hi")
    bare = models([tmp_path])

    assert [info.id for info in bare.known()] == ["script/inline", "script/tour"]
    assert bare.describe() == "script/inline\nscript/tour"
    assert bare.resolve("script/tour")[1] == "script/tour"
    with pytest.raises(ModelNotConfigured, match="script/inline, script/tour"):
        bare.resolve("script/none")


@pytest.mark.parametrize(
    ("name", "provider", "target"),
    [
        ("gemini-3.8-flash", "google", "google/gemini-3.8-flash"),
        ("gpt-5", "openai", "openai/gpt-5"),
        ("claude-opus-5", "anthropic", "anthropic/claude-opus-5"),
        ("qwen3", "openai_compatible", "openai_compatible/qwen3"),
        ("na me: {x}", "openai_compatible", "openai_compatible/na me: {x}"),
    ],
)
def test_a_missing_model_comes_with_lines_that_configure_it(
    name: str, provider: str, target: str
) -> None:
    with pytest.raises(ModelNotConfigured) as caught:
        models().resolve(name)

    sentence, _, example = caught.value.message.partition("\n\n")
    assert f'"{name}" is not configured' in sentence
    assert "Configured are: script/inline." in sentence
    made = yaml.safe_load(example)["models"]
    assert made["aliases"] == {name: target}
    assert list(made["providers"]) == [provider]
    settings = ModelsSettings.model_validate(made)
    assert Models(settings).resolve(name)[1] == target


def test_following_the_advice_for_a_provider_name_works() -> None:
    with pytest.raises(ModelNotConfigured) as caught:
        models().resolve("anthropic/claude-opus-5")

    made = yaml.safe_load(caught.value.message.partition("\n\n")[2])["models"]
    settings = ModelsSettings.model_validate(made)
    assert Models(settings).resolve("anthropic/claude-opus-5")[1] == "anthropic/claude-opus-5"


def test_no_model_asked_for_and_no_default() -> None:
    with pytest.raises(ModelNotConfigured, match=r"no default one.*Configured are") as caught:
        models().resolve(None)
    assert "default" in yaml.safe_load(caught.value.message.partition("\n\n")[2])["models"]


def test_a_huge_name_is_not_repeated() -> None:
    with pytest.raises(ModelNotConfigured) as caught:
        models().resolve("x" * 1_000_000)
    assert len(caught.value.message) < 2000


def test_a_provider_without_a_key_says_which_line_it_lacks(full: Models) -> None:
    with pytest.raises(ModelNotConfigured, match="OPENAI_API_KEY") as caught:
        full.resolve("openai/gpt-5")
    made = yaml.safe_load(caught.value.message.partition("\n\n")[2])
    assert made["models"]["providers"]["openai"]["api_key"] == "${env:OPENAI_API_KEY}"


def test_a_provider_whose_kind_nobody_knows() -> None:
    with pytest.raises(ModelNotConfigured, match="'mine' needs a `kind`"):
        models(providers={"mine": KEY}).resolve("mine/x")
    assert models(providers={"mine": KEY}, aliases={"m": "mine/x"}).known()[1:] == []


def test_a_server_without_an_address_says_so() -> None:
    with pytest.raises(ModelNotConfigured, match="base_url"):
        models(providers={"openai_compatible": KEY}).resolve("openai_compatible/x")


def test_no_sdk_is_loaded_before_it_is_needed() -> None:
    program = (
        "import sys\n"
        "from runtime.models.registry import Models\n"
        "from runtime.schema.settings import ModelsSettings\n"
        "Models(ModelsSettings.model_validate({'providers': {'openai': {'api_key': 'k'},"
        " 'google': {'api_key': 'k'}, 'anthropic': {'api_key': 'k'}}})).resolve('openai/x')\n"
        "print([name for name in ('openai', 'anthropic', 'google.genai') if name in sys.modules])"
    )
    run = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert run.stdout.strip() == "[]"
