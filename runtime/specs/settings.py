"""The configuration of a controller: `sandlot.yaml` and the environment, made into `Settings`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import SecretStr

from runtime.schema.settings import (
    CredentialsSettings,
    ModelsSettings,
    ProviderSettings,
    Settings,
)
from runtime.specs.file_models import check, file_model, plain
from runtime.specs.interpolation import interpolate
from runtime.specs.mistakes import Mistake, MistakesFound, in_order
from runtime.specs.models_settings import models_mistakes
from runtime.specs.networks import egress_mistakes, outbound_mistakes
from runtime.specs.paths import is_folder, is_there
from runtime.specs.project_names import NAME_RULE, is_project_name
from runtime.specs.search_settings import search_mistakes
from runtime.specs.yaml_marks import Document, read_document

CONFIG_VARIABLE = "SANDLOT_CONFIG"
STATE_VARIABLE = "SANDLOT_STATE_DIR"
KEY_VARIABLE = "SANDLOT_API_KEY"
CREDENTIALS_VARIABLE = "SANDLOT_CREDENTIALS_KEY"
PROVIDER_VARIABLES = {
    "google": ("GEMINI_API_KEY", "GOOGLE_API_KEY"),
    "openai": ("OPENAI_API_KEY",),
    "anthropic": ("ANTHROPIC_API_KEY",),
}
"""Where each provider's own tools look for its key; the first one that is set counts."""
FILE_NAME = "sandlot.yaml"

_SETTINGS_FILE = file_model(Settings)

GOOGLE_DEFAULT = "google/gemini-flash-latest"
"""The default model where nothing but a Google key in the environment is configured."""


def load_settings(path: Path | None, environ: Mapping[str, str]) -> Settings:
    """The configuration, complete: paths absolute, kinds of providers and their keys filled in.

    The file is `path`, else `$SANDLOT_CONFIG`, else `./sandlot.yaml`, else
    `~/.config/sandlot/sandlot.yaml`, else none.

    Raises:
        MistakesFound: With every mistake of the file.

    """
    found = find_settings(path, environ)
    settings = _read(found, environ) if found else Settings()
    return _complete(settings, found, environ)


def find_settings(path: Path | None, environ: Mapping[str, str]) -> Path | None:
    """The configuration file that counts; None when there is none."""
    named = path or _path_in(environ, CONFIG_VARIABLE)
    if named is not None:
        return named
    candidates = [Path(FILE_NAME), _config_home(environ) / "sandlot" / FILE_NAME]
    return next((candidate for candidate in candidates if is_there(candidate)), None)


def _read(path: Path, environ: Mapping[str, str]) -> Settings:
    document = read_document(path)
    if not document.mistakes or document.data is not None:
        settings = _check(document, environ)
        if settings is not None and not document.mistakes:
            return settings
    raise MistakesFound(in_order(document.mistakes))


def _check(document: Document, environ: Mapping[str, str]) -> Settings | None:
    # A file with nothing but comments is the example as it ships: every default.
    if document.data is None:
        return Settings()
    document.data = interpolate(document, document.data, environ)
    found = check(document, _SETTINGS_FILE)
    if found is None:
        return None
    document.add_new(
        [
            *models_mistakes(document, found.models),
            *search_mistakes(document, found.search),
            *egress_mistakes(document, found.egress),
            *outbound_mistakes(document, found.outbound),
            *_nameless_projects(document, found),
            *_missing_folders(document, found),
        ]
    )
    return plain(Settings, found)


def _nameless_projects(document: Document, settings: Settings) -> list[Mistake]:
    # Quotas of a project that cannot be would be kept by nobody.
    return [
        document.mistake(
            ("quotas", "projects", name), f"no project has this name: {NAME_RULE}", key=True
        )
        for name in settings.quotas.projects
        if not is_project_name(name)
    ]


def _missing_folders(document: Document, settings: Settings) -> list[Mistake]:
    base = Path(document.file).absolute().parent
    return [
        document.mistake(("agents", index), f"there is no folder {base / folder}")
        for index, folder in enumerate(settings.agents)
        if not folder.startswith("~") and not is_folder(base / folder)
    ]


def _complete(settings: Settings, path: Path | None, environ: Mapping[str, str]) -> Settings:
    base = (path or Path(FILE_NAME)).absolute().parent
    state = _path_in(environ, STATE_VARIABLE) or _below(base, settings.state_dir, environ)
    key = environ.get(KEY_VARIABLE)
    server: dict[str, Any] = {"api_key": SecretStr(key)} if key else {}
    ca_files = [str(_below(base, file, environ)) for file in settings.egress.ca_files]
    return settings.model_copy(
        update={
            "state_dir": str((state or _home(environ) / ".local/state/sandlot").absolute()),
            "agents": [str(_below(base, folder, environ)) for folder in settings.agents],
            "models": _with_providers(settings.models, environ),
            "server": settings.server.model_copy(update=server),
            "egress": settings.egress.model_copy(update={"ca_files": ca_files}),
            "credentials": _with_keys(settings.credentials, environ),
        }
    )


def _with_keys(credentials: CredentialsSettings, environ: Mapping[str, str]) -> CredentialsSettings:
    """With those of the environment first; there may be several, with blanks between them."""
    found = [SecretStr(key) for key in environ.get(CREDENTIALS_VARIABLE, "").split()]
    return credentials.model_copy(update={"keys": [*found, *credentials.keys]})


def _with_providers(models: ModelsSettings, environ: Mapping[str, str]) -> ModelsSettings:
    """Fills in kinds and keys. Where no provider is named, those with a key in the environment."""
    providers = models.providers or {
        name: ProviderSettings() for name in PROVIDER_VARIABLES if _provider_key(name, environ)
    }
    filled = {name: _filled(name, value, environ) for name, value in providers.items()}
    default = models.default
    if default is None and not models.providers and "google" in filled:
        default = GOOGLE_DEFAULT
    return models.model_copy(update={"providers": filled, "default": default})


def _filled(name: str, provider: ProviderSettings, environ: Mapping[str, str]) -> ProviderSettings:
    update: dict[str, Any] = {"kind": provider.kind or name}
    key = _provider_key(update["kind"], environ)
    # A key from the environment goes to the provider's own address, never to another one.
    if key and provider.api_key is None and provider.base_url is None:
        update["api_key"] = SecretStr(key)
    return provider.model_copy(update=update)


def _provider_key(kind: str, environ: Mapping[str, str]) -> str | None:
    keys = (environ.get(variable) for variable in PROVIDER_VARIABLES.get(kind, ()))
    return next((key for key in keys if key), None)


def _below(base: Path, text: str | None, environ: Mapping[str, str]) -> Path | None:
    if text is None:
        return None
    if text == "~" or text.startswith("~/"):
        return _home(environ) / text[2:]
    return base / text


def _path_in(environ: Mapping[str, str], variable: str) -> Path | None:
    value = environ.get(variable)
    return Path(value) if value else None


def _home(environ: Mapping[str, str]) -> Path:
    return _path_in(environ, "HOME") or Path.home()


def _config_home(environ: Mapping[str, str]) -> Path:
    return _path_in(environ, "XDG_CONFIG_HOME") or _home(environ) / ".config"
