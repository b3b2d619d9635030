from __future__ import annotations

from pathlib import Path

import pytest

from runtime.specs.mistakes import MistakesFound
from runtime.specs.settings import load_settings


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("egress: {default: closed}\n", "1:19: egress.default"),
        (
            "egress: {default: {allowlist: [{domain: 'a*b'}]}}\n",
            "1:41: egress.default.allowlist[0]",
        ),
        (
            "egress:\n  allow_internal:\n    - db\n    - 'http://x'\n",
            "4:7: egress.allow_internal[1]",
        ),
        ("egress: {upstream_proxy: 'proxy:3128'}\n", "1:26: egress.upstream_proxy: The upstream"),
        ("egress: {ca_files: [none.pem]}\n", "1:21: egress.ca_files[0]: there is no file"),
        ("outbound:\n  allow: ['10.0.0.0/8', 'a b']\n", "2:25: outbound.allow[1]"),
    ],
)
def test_a_mistake_is_told_with_its_place(tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "sandlot.yaml"
    path.write_text(text)
    with pytest.raises(MistakesFound) as caught:
        load_settings(path, {"HOME": str(tmp_path)})
    assert words in str(caught.value)


def test_the_password_of_a_wrong_upstream_proxy_is_not_told(tmp_path: Path) -> None:
    path = tmp_path / "sandlot.yaml"
    path.write_text("egress:\n  upstream_proxy: ${env:UPSTREAM}\n")
    wrong = "socks5://me:secret-word@proxy:1080"
    with pytest.raises(MistakesFound) as caught:
        load_settings(path, {"HOME": str(tmp_path), "UPSTREAM": wrong})
    assert "2:19: egress.upstream_proxy" in str(caught.value)
    assert "secret-word" not in str(caught.value)
