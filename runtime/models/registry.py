"""Finds the model behind the name that a caller uses. Provider SDKs are loaded on first use."""

from __future__ import annotations

import gc
import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Protocol

import anyio
import anyio.to_thread

from runtime.errors import ModelNotConfigured
from runtime.models import anthropic_wire, chat_wire, google_wire, openai_wire
from runtime.models.abilities import taken_by
from runtime.models.choices import Refusal
from runtime.models.delivery import Provider, RemoteModel, RetryPolicy, Terms
from runtime.models.port import Model, ModelInfo
from runtime.models.script import INLINE, ScriptModel, Scripts
from runtime.models.windows import window_of
from runtime.schema.model import Generation
from runtime.schema.settings import ModelsSettings, ProviderSettings

SCRIPT = "script"
ANY_OTHER = "*"
LONGEST_CHAIN = 8
"""How many aliases may lead to one model."""


class Wire(Protocol):
    """The translation to one provider's API, without its SDK."""

    def refusals(self, settings: Generation, model: str) -> Iterator[Refusal]:
        """The settings that the model does not take."""
        ...


KINDS = {
    "google": ("runtime.models.google", "GoogleProvider"),
    "openai": ("runtime.models.openai", "OpenAIProvider"),
    "anthropic": ("runtime.models.anthropic", "AnthropicProvider"),
    "openai_compatible": ("runtime.models.openai_compatible", "ChatProvider"),
}
WIRES: dict[str, Wire] = {
    "google": google_wire,
    "openai": openai_wire,
    "anthropic": anthropic_wire,
    "openai_compatible": chat_wire,
}


class ProviderSlot:
    """One configured provider, made when it is first needed and then kept."""

    def __init__(self, name: str, settings: ProviderSettings, policy: RetryPolicy | None) -> None:
        self._name = name
        self._settings = settings
        self._policy = policy or RetryPolicy(max_retries=settings.max_retries)
        self._lock = anyio.Lock()
        self._provider: Provider | None = None
        self._refused_schemas: set[str] = set()

    @property
    def kind(self) -> str:
        """The wire it speaks. Raises `ModelNotConfigured` when nothing says which."""
        kind = self._settings.kind or self._name
        if kind not in KINDS:
            raise ModelNotConfigured(
                f"The provider {self._name!r} needs a `kind` in sandlot.yaml, "
                f"one of {', '.join(KINDS)}; or name it after its kind."
            )
        return kind

    def model(self, name: str) -> RemoteModel:
        """The provider's model of that name. Raises `ModelNotConfigured` without a key."""
        self._check()
        secret = self._settings.api_key
        terms = Terms(
            retries=self._policy,
            timeout_seconds=self._settings.timeout_seconds,
            secrets=(secret.get_secret_value(),) if secret else (),
            refused_schemas=self._refused_schemas,
        )
        return RemoteModel(self.info(name, f"{self._name}/{name}"), name, self.provider, terms)

    def info(self, name: str, called: str) -> ModelInfo:
        """What is known of the provider's model `name`, which callers know as `called`."""
        return ModelInfo(
            id=called,
            target=f"{self._name}/{name}",
            provider=self._name,
            context_tokens=self._settings.context_tokens or window_of(self.kind, name),
            takes=taken_by(self.kind, name, self._settings),
        )

    def refusals(self, name: str, settings: Generation) -> list[Refusal]:
        """The settings that its model `name` is known not to take."""
        return list(WIRES[self.kind].refusals(settings, name))

    async def provider(self) -> Provider:
        """The provider itself; the first call loads its SDK, which takes seconds."""
        async with self._lock:
            if self._provider is None:
                self._provider = await anyio.to_thread.run_sync(self._load)
                # An SDK is large, and it stays: later collections need not look at it.
                gc.freeze()
            return self._provider

    def _load(self) -> Provider:
        module, name = KINDS[self.kind]
        made: Provider = getattr(import_module(module), name)(self._settings)
        return made

    def _check(self) -> None:
        if self.kind == "openai_compatible" and self._settings.base_url is None:
            self._lacks(_access(self.kind))
        key = self._settings.api_key
        has_key = key is not None and bool(key.get_secret_value())
        if self.kind != "openai_compatible" and not has_key and self._settings.base_url is None:
            self._lacks(_access(self.kind))

    def _lacks(self, line: str) -> None:
        raise ModelNotConfigured(
            f"The provider {self._name!r} lacks a line in sandlot.yaml:\n\n"
            f"models:\n  providers:\n    {self._name}: {{{line}}}"
        )

    async def aclose(self) -> None:
        """Close its connections, if it was ever used."""
        if self._provider is not None:
            await self._provider.aclose()
            self._provider = None


def _key_name(kind: str) -> str:
    return {"google": "GEMINI_API_KEY"}.get(kind, f"{kind.upper()}_API_KEY")


FAMILIES = {
    "gemini-": "google",
    "gemma-": "google",
    "gpt-": "openai",
    "claude-": "anthropic",
}
"""How the names of a provider's own models begin; they are found without an alias."""


class Models:
    """All models there are. `folders` hold scripts, the first one winning."""

    def __init__(
        self,
        settings: ModelsSettings,
        folders: Sequence[Path] = (),
        policy: RetryPolicy | None = None,
    ) -> None:
        self._settings = settings
        self._scripts = Scripts(folders)
        self._slots = {
            name: ProviderSlot(name, provider, policy)
            for name, provider in settings.providers.items()
        }

    def resolve(self, name: str | None) -> tuple[Model, str]:
        """The model of that name (None: the default one), and its `provider/name`.

        Raises `ModelNotConfigured` with a sentence that says how to configure one.
        """
        target = self._target(name or self._settings.default or ANY_OTHER, name)
        provider, _, model = target.partition("/")
        if provider == SCRIPT:
            path = None if model == INLINE else self._scripts.find(model)
            return ScriptModel(_script_info(target, target), path), target
        return self._slots[provider].model(model), target

    @property
    def default(self) -> str | None:
        """The model of agents that name none."""
        return self._settings.default

    def info(self, name: str) -> ModelInfo:
        """What is known of a model. Raises `ModelNotConfigured`."""
        return self._configured(self.resolve(name)[0].info, name)

    def _configured(self, info: ModelInfo, called: str) -> ModelInfo:
        sizes = self._settings.context_tokens
        size = sizes.get(called) or sizes.get(info.target) or info.context_tokens
        return replace(info, context_tokens=size, compact_at=self._settings.compact_at)

    def check(self, name: str) -> None:
        """Raises `ModelNotConfigured` when there is no such model."""
        self.resolve(name)

    def unsupported(self, name: str, settings: Generation) -> Refusal | None:
        """A setting that the model is known not to take, and a sentence that says so."""
        provider, _, model = self._target(name, name).partition("/")
        refusals = [] if provider == SCRIPT else self._slots[provider].refusals(model, settings)
        return next(iter(refusals), None)

    def known(self) -> list[ModelInfo]:
        """The models that have a name of their own: scripts, the default, and aliases."""
        scripts = [f"{SCRIPT}/{name}" for name in self._embedded()]
        infos = {name: _script_info(name, name) for name in scripts}
        for name in [self._settings.default, *self._settings.aliases]:
            info = self._info(name) if name and name != ANY_OTHER else None
            if info is not None:
                infos.setdefault(info.id, info)
        return list(infos.values())

    def describe(self) -> str:
        """What there is, one line each, for people."""
        lines = [f"{SCRIPT}/{name}" for name in self._embedded()]
        lines += [f"{name}/NAME: any model of this provider" for name in self._slots]
        lines += [
            f"{'any other name' if name == ANY_OTHER else name} -> {target}"
            for name, target in self._settings.aliases.items()
        ]
        if self._settings.default:
            lines.append(f"default: {self._settings.default}")
        return "\n".join(lines)

    async def aclose(self) -> None:
        """Close the connections of all providers."""
        for slot in self._slots.values():
            await slot.aclose()

    def _embedded(self) -> list[str]:
        return [INLINE, *self._scripts.names()]

    def _info(self, name: str) -> ModelInfo | None:
        try:
            target = self._target(name, name)
            provider, _, model = target.partition("/")
            if provider == SCRIPT:
                return self._configured(_script_info(target, name), name)
            return self._configured(self._slots[provider].info(model, name), name)
        except ModelNotConfigured:
            return None

    def _target(self, name: str, asked: str | None) -> str:
        """The `provider/name` that a name leads to."""
        chain = [name]
        while (following := self._follow(chain[-1])) is not None:
            if following in chain or len(chain) > LONGEST_CHAIN:
                raise ModelNotConfigured(
                    f"The alias {name!r} leads to no model: {' -> '.join([*chain, following])}."
                )
            chain.append(following)
        if not self._leads_on(chain[-1]):
            raise ModelNotConfigured(self._advice(asked, chain))
        return chain[-1]

    def _follow(self, name: str) -> str | None:
        if name.startswith(f"{SCRIPT}/"):
            return None
        aliases = self._settings.aliases
        if aliases.get(name, name) != name:
            return aliases[name]
        return None if self._leads_on(name) else aliases.get(ANY_OTHER, self._of_family(name))

    def _of_family(self, name: str) -> str | None:
        """A model's own name, such as `gemini-…`, at the provider that is known to have it."""
        for start, provider in FAMILIES.items():
            if name.startswith(start) and provider in self._slots:
                return f"{provider}/{name}"
        return None

    def _leads_on(self, name: str) -> bool:
        provider, slash, model = name.partition("/")
        return bool(slash and model) and (provider == SCRIPT or provider in self._slots)

    def _advice(self, asked: str | None, chain: list[str]) -> str:
        if asked is None:
            problem = "No model was asked for, and sandlot.yaml has no default one."
        elif len(chain) > 1:
            problem = f"The model {_clipped(asked)} is not configured: it leads to {chain[-1]!r}."
        else:
            problem = f"The model {_clipped(asked)} is not configured."
        configured = ", ".join(self.describe().splitlines())
        return (
            f"{problem} Configured are: {configured}. "
            f"To configure it, write into sandlot.yaml:\n\n{_example(asked, chain[-1])}"
        )


def _example(asked: str | None, last: str) -> str:
    """The lines of sandlot.yaml that a model needs."""
    wanted = last if last != ANY_OTHER else "gemini-3.8-flash"
    kind, slash, model = wanted.partition("/")
    if not slash or kind not in KINDS:
        kind, model = _likely(wanted), wanted
    target = f"{kind}/{model}"
    lines = ["models:", f"  providers: {{{kind}: {{{_access(kind)}}}}}"]
    if asked is None:
        lines.append(f"  default: {_clipped(target)}")
    elif asked != target:
        lines.append(f"  aliases: {{{_clipped(asked)}: {_clipped(target)}}}")
    return "\n".join(lines)


def _clipped(text: str) -> str:
    """The text as JSON, and as YAML, of bearable length."""
    return json.dumps(text if len(text) <= 100 else f"{text[:100]}…", ensure_ascii=False)


def _likely(name: str) -> str:
    """The kind of provider that a model's name sounds like."""
    for start, kind in (("gemini", "google"), ("gpt", "openai"), ("claude", "anthropic")):
        if name.rpartition("/")[2].startswith(start):
            return kind
    return "openai_compatible"


def _access(kind: str) -> str:
    if kind == "openai_compatible":
        return "base_url: http://localhost:11434/v1"
    return f"api_key: '${{env:{_key_name(kind)}}}'"


def _script_info(target: str, called: str) -> ModelInfo:
    return ModelInfo(
        id=called, target=target, provider=SCRIPT, context_tokens=window_of(SCRIPT, target)
    )
