"""The configuration of a controller: what `sandlot.yaml` may say. Loaded by `runtime.specs`."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field, SecretStr

from runtime.schema.base import Strict
from runtime.schema.network import Allowlist
from runtime.schema.quotas import QuotasSettings
from runtime.schema.sealing_keys import read_key

Tokens = Annotated[int, Field(ge=1000)]
ProviderKind = Literal["google", "openai", "anthropic", "openai_compatible"]


class ProviderSettings(Strict):
    """How to reach one provider of models."""

    kind: ProviderKind | None = None
    """The wire it speaks; may be left out where the provider's name is a kind."""
    base_url: str | None = None
    """Where it is; needed for `openai_compatible`, else the provider's own address."""
    api_key: SecretStr | None = None
    """Write it as `${env:NAME}`."""
    timeout_seconds: float = Field(default=600.0, gt=0)
    """For one whole call."""
    max_retries: int = Field(default=4, ge=0, le=10)
    vision: bool = True
    """Whether its models take pictures."""
    audio: bool | None = None
    """Whether its models take sounds; None for what is known of the provider and the model."""
    context_tokens: int | None = Field(default=None, ge=1000)
    """How much its models can read; None for what is known of the provider and the model."""


class ModelsSettings(Strict):
    """Which models there are and what callers may call them."""

    default: str | None = None
    """The model of agents that name none: an alias, or `provider/name`."""
    providers: dict[str, ProviderSettings] = Field(default_factory=dict[str, ProviderSettings])
    aliases: dict[str, str] = Field(default_factory=dict[str, str])
    """Names that callers use, to `provider/name`; the name `*` catches every other."""
    context_tokens: dict[str, Tokens] = Field(default_factory=dict[str, int])
    """How much single models can read, by `provider/name` or alias; wins over their provider's."""
    compact_at: float = Field(default=0.8, ge=0.1, le=0.95)
    """Share of a model's context at which older steps of a conversation are compacted."""


class ServerSettings(Strict):
    """Where the API listens and who may use it."""

    host: str = "127.0.0.1"
    port: int = Field(default=8080, ge=0, le=65535)
    api_key: SecretStr | None = None
    """Wins over the key in the state folder; `SANDLOT_API_KEY` wins over both."""
    max_body_bytes: int = Field(default=32 * 1024 * 1024, gt=0)


class FilesSettings(Strict):
    """The files that callers upload for interactions."""

    file_size_bytes: int = Field(default=2 * 1024**3, ge=1024)
    """The largest file."""
    total_size_bytes: int = Field(default=20 * 1024**3, ge=1024)
    """Of all files together."""
    retention_seconds: float = Field(default=48 * 3600.0, gt=0)
    """A file is deleted after this long."""
    inline_size_bytes: int = Field(default=20 * 1024**2, ge=1024)
    """Pictures, sounds, films and PDFs that one call of a model may carry, together."""


class SandboxSettings(Strict):
    """What one sandbox gets, and how long it is kept."""

    image: str | None = None
    """The sandbox image; the one built from `sandbox-image/` when left out."""
    runtime: str = Field(default="runc", pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")
    """`runc`, `runsc`, `kata`, or another name that the Docker daemon knows a runtime by."""
    strict: bool = False
    """Whether to refuse to start on what is too weak to keep strangers apart."""
    browser_sandbox: bool = True
    """Whether Chromium gets user namespaces, and nothing else does, for its own sandbox."""
    memory_bytes: int = Field(default=4 * 1024**3, ge=256 * 1024**2)
    cpus: float = Field(default=2.0, gt=0)
    pids: int = Field(default=768, ge=64)
    workspace_bytes: int = Field(default=4 * 1024**3, ge=64 * 1024**2)
    workspace_inodes: int = Field(default=400_000, ge=1000)
    file_size_bytes: int = Field(default=2 * 1024**3, ge=1024**2)
    open_files: int = Field(default=4096, ge=256)
    """Files and sockets of one process."""
    max_running: int = Field(default=8, ge=1)
    """Sandboxes that may live at once; more interactions wait."""
    start_timeout_seconds: float = Field(default=60.0, gt=0)
    source_timeout_seconds: float = Field(default=300.0, gt=0)
    """For fetching one source of a new environment."""
    source_size_bytes: int = Field(default=500 * 1024**2, ge=1024**2)
    """Of one repository that a new environment begins with, its history included."""
    idle_seconds: float = Field(default=900.0, gt=0)
    """An environment without a run is stopped after this long; its files stay."""
    retention_seconds: float = Field(default=7 * 86400.0, gt=0)
    """A stopped environment is deleted after this long without use."""


SearchProvider = Literal["searxng", "brave", "tavily", "google"]


class SearchSettings(Strict):
    """Who answers the searches of the tool `google_search`."""

    provider: SearchProvider
    base_url: str | None = None
    """Where it is; needed for `searxng`, else the provider's own address."""
    api_key: SecretStr | None = None
    """Needed for all but `searxng`; write it as `${env:NAME}`."""
    engine_id: str | None = None
    """Of the Programmable Search Engine; needed for `google`."""
    timeout_seconds: float = Field(default=15.0, gt=0)
    """For one search."""


class OutboundSettings(Strict):
    """Where the controller connects to for callers and models: MCP servers, pages, search."""

    allow: list[str] = Field(default_factory=list[str])
    """Hosts, IP addresses and networks beside the public Internet, each also with `:port`."""


class EgressSettings(Strict):
    """What sandboxes may reach, and how they get there."""

    default: Literal["open", "disabled"] | Allowlist = "open"
    """The network of environments for which neither the call nor the agent says anything."""
    allow_internal: list[str] = Field(default_factory=list[str])
    """Hosts, IP addresses and networks that are not public, each also with `:port`; an environment
    reaches them only where its own rules allow them, too."""
    upstream_proxy: SecretStr | None = None
    """`http://[user:password@]host[:port]`, or `https://`: where everything goes through."""
    ca_files: list[str] = Field(default_factory=list[str])
    """Files with more certificates that servers are signed by; relative to the file."""
    connections: int = Field(default=256, ge=1, le=4096)
    """Of one sandbox at once."""
    sent_bytes: int = Field(default=5 * 1024**3, ge=0)
    """What one sandbox may send while it lives."""
    received_bytes: int = Field(default=50 * 1024**3, ge=0)
    """What one sandbox may receive while it lives."""


def _sealing_key(key: SecretStr) -> SecretStr:
    read_key(key.get_secret_value())
    return key


class CredentialsSettings(Strict):
    """What stored credentials, and other secrets that are stored, are sealed with."""

    keys: list[Annotated[SecretStr, AfterValidator(_sealing_key)]] = Field(
        default_factory=list[SecretStr]
    )
    """The first one seals, all of them open; write them as `${env:NAME}`."""


class LimitsSettings(Strict):
    """The most that agents and calls may ask for one interaction."""

    max_steps: int = Field(default=10_000, ge=1, le=10_000)
    """Turns of the model."""
    timeout_seconds: float = Field(default=86_400.0, gt=0, le=86_400)
    """For the whole interaction."""
    tool_timeout_seconds: float = Field(default=86_400.0, gt=0, le=86_400)
    """For one tool call."""
    max_total_tokens: int | None = Field(default=None, ge=1)
    """Input, output and thinking together; None bounds nothing."""
    output_chars: int = Field(default=200_000, ge=1000, le=1_000_000)
    """Of one result of code execution."""
    log_bytes: int = Field(default=256 * 1024**2, ge=64 * 1024, le=1024**3)
    """Of all steps of an interaction, as they are stored."""


class Settings(Strict):
    """The whole file."""

    state_dir: str | None = None
    """Where everything is kept; `$SANDLOT_STATE_DIR`, else `~/.local/state/sandlot`."""
    agents: list[str] = Field(default_factory=list[str])
    """More folders with agents, beside the ones that ship; relative to the file."""
    models: ModelsSettings = ModelsSettings()
    server: ServerSettings = ServerSettings()
    sandbox: SandboxSettings = SandboxSettings()
    limits: LimitsSettings = LimitsSettings()
    files: FilesSettings = FilesSettings()
    quotas: QuotasSettings = QuotasSettings()
    search: SearchSettings | None = None
    outbound: OutboundSettings = OutboundSettings()
    egress: EgressSettings = EgressSettings()
    credentials: CredentialsSettings = CredentialsSettings()
