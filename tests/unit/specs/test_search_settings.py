from __future__ import annotations

from pathlib import Path

import pytest

from runtime.specs.mistakes import MistakesFound
from runtime.specs.settings import load_settings


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("search: {provider: searxng}\n", "1:1: search: needs a `base_url`"),
        ("search: {provider: brave}\n", "1:1: search: needs an `api_key`"),
        ("search: {provider: google, api_key: k}\n", "1:1: search: needs an `engine_id`"),
        ("search: {provider: bing}\n", "1:20: search.provider: must be one of searxng, brave"),
        (
            "search: {provider: searxng, base_url: localhost}\n",
            "1:39: search.base_url: must be an http:// or https:// URL",
        ),
        ("outbound: {allow: localhost}\n", "1:19: outbound.allow"),
    ],
)
def test_mistakes(tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "sandlot.yaml"
    path.write_text(text)
    with pytest.raises(MistakesFound) as caught:
        load_settings(path, {"HOME": str(tmp_path)})
    assert words in str(caught.value)


def test_a_search_provider_with_its_key_from_the_environment(tmp_path: Path) -> None:
    path = tmp_path / "sandlot.yaml"
    path.write_text(
        "search: {provider: google, api_key: '${env:KEY}', engine_id: e, timeout: 5s}\n"
        "outbound: {allow: ['10.0.0.0/8']}\n"
    )
    settings = load_settings(path, {"HOME": str(tmp_path), "KEY": "k1"})
    assert settings.search is not None
    assert settings.search.api_key is not None
    assert settings.search.api_key.get_secret_value() == "k1"
    assert settings.search.timeout_seconds == 5
    assert settings.outbound.allow == ["10.0.0.0/8"]
