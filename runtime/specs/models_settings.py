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
        ("models", "aliases", name): _alias_problem(name, models) for name in models.aliases
    }
    for name in models.context_tokens:
        problems["models", "context_tokens", name] = _problem(name, models)
    problems["models", "default"] = _problem(models.default, models) if models.default else None
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


def _alias_problem(name: str, models: ModelsSettings) -> str | None:
    chain = [name]
    while (target := models.aliases[chain[-1]]) in models.aliases:
        chain.append(target)
        if target in chain[:-1]:
            return f"leads to no model: {' -> '.join(chain)}"
    return _problem(models.aliases[name], models)


def _problem(target: str, models: ModelsSettings) -> str | None:
    """What is wrong with the name of a model: an alias, or `provider/name`."""
    if target in models.aliases:
        return None
    provider, slash, name = target.partition("/")
    if not slash or not provider or not name:
        hint = f"; of the aliases, {did_you_mean(target, models.aliases)}"
        return f"`{target}` is neither an alias nor `provider/name`" + hint * bool(models.aliases)
    known = _ALWAYS | models.providers.keys()
    if provider not in known:
        return f"there is no provider `{provider}`; {did_you_mean(provider, known)}"
    return None


def _is_url(text: str) -> bool:
    return re.fullmatch(r"https?://[^\s/]+\S*", text) is not None
