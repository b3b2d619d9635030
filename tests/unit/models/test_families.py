from __future__ import annotations

import pytest
from pydantic import SecretStr

from runtime.errors import ModelNotConfigured
from runtime.models.registry import Models
from runtime.schema.settings import ModelsSettings, ProviderSettings

GOOGLE = {"google": ProviderSettings(kind="google", api_key=SecretStr("k"))}


def test_a_models_own_name_finds_its_provider() -> None:
    models = Models(ModelsSettings(providers=GOOGLE))
    assert models.resolve("gemini-3.7-flash")[1] == "google/gemini-3.7-flash"


def test_an_alias_wins_and_so_does_the_catch_all() -> None:
    named = {"gemini-3.7-flash": "script/inline"}
    assert (
        Models(ModelsSettings(providers=GOOGLE, aliases=named)).resolve("gemini-3.7-flash")[1]
        == "script/inline"
    )
    every = Models(ModelsSettings(providers=GOOGLE, aliases={"*": "script/inline"}))
    assert every.resolve("gemini-3.7-flash")[1] == "script/inline"


def test_without_the_provider_the_name_is_not_configured() -> None:
    with pytest.raises(ModelNotConfigured):
        Models(ModelsSettings(providers=GOOGLE)).check("claude-opus")
