"""What is wrong with the `models` of a configuration beyond the types of its values."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import get_args

from runtime.schema.settings import ModelsSettings, ProviderKind, ProviderSettings
from runtime.specs.mistakes import Loc, Mistake, did_you_mean
from runtime.specs.yaml_marks import Document

_KINDS: tuple[str, ...] = get_args(ProviderKind)
# These need no entry: `script` is built in, the others may get their key from the environment.
_ALWAYS = {"script", "google", "openai", "anthropic"}
_NAME = re.compile(r"[a-z0-9][a-z0-9_-]*")


def models_mistakes(document: Document, models: ModelsSettings) -> Iterator[Mistake]:
    """The mistakes of `models`, which were read from `document`."""
    for name, provider in models.providers.items():
        yield from _provider(document, name, provider)
    problems: dict[Loc, str | None] = {
        ("models", "aliases", name): _target_problem(target, models)
        for name, target in models.aliases.items()
    }
    problems["models", "default"] = _default_problem(models)
    yield from (document.mistake(loc, problem) for loc, problem in problems.items() if problem)


def _provider(document: Document, name: str, provider: ProviderSettings) -> Iterator[Mistake]:
    loc: Loc = ("models", "providers", name)
    if name == "script":
        yield document.mistake(loc, "is built in; use another name", key=True)
    elif not _NAME.fullmatch(name):
        message = "a provider's name is lower-case letters, digits, _ and -"
        yield document.mistake(loc, message, key=True)
    elif provider.kind is None and name not in _KINDS:
        message = f"needs a `kind` ({', '.join(_KINDS)}) since its name is none"
        yield document.mistake(loc, message, key=True)
    if (provider.kind or name) == "openai_compatible" and provider.base_url is None:
        message = "needs a `base_url`, such as http://localhost:11434/v1"
        yield document.mistake(loc, message, key=True)
    if provider.base_url is not None and not _is_url(provider.base_url):
        message = "must be an http:// or https:// URL"
        yield document.mistake((*loc, "base_url"), message)


def _default_problem(models: ModelsSettings) -> str | None:
    default = models.default
    if default is None or default in models.aliases:
        return None
    if "/" not in default:
        hint = did_you_mean(default, models.aliases)
        return f"`{default}` is neither an alias nor `provider/name`; of the aliases, {hint}"
    return _target_problem(default, models)


def _target_problem(target: str, models: ModelsSettings) -> str | None:
    provider, slash, name = target.partition("/")
    if not slash or not provider or not name:
        return f"`{target}` is not of the form `provider/name`"
    known = _ALWAYS | models.providers.keys()
    if provider not in known:
        return f"there is no provider `{provider}`; {did_you_mean(provider, known)}"
    return None


def _is_url(text: str) -> bool:
    return re.fullmatch(r"https?://[^\s/]+\S*", text) is not None
