"""What can be typed after `sandlot credentials`, with its help. No secret is ever an argument."""

from __future__ import annotations

from typing import Annotated

import typer

from runtime.cli.options import SETTINGS, AsJson, StateDir

_SECRETS = """
Secrets are read from environment variables (`--from-env`), else from standard input, else typed
where nobody sees them. The type oauth2 has two: name them as `--from-env client_secret=NAME
--from-env refresh_token=NAME`, or give a JSON object with both.
"""
credentials = typer.Typer(
    help="Stored credentials: what agents may use and never see.", epilog=_SECRETS, **SETTINGS
)

Id = Annotated[str, typer.Argument(metavar="ID", help="The id of a credential.")]
FromEnv = Annotated[
    list[str] | None,
    typer.Option(metavar="[FIELD=]NAME", help="Take the secret from this environment variable."),
]
HeaderName = Annotated[
    str | None,
    typer.Option(metavar="NAME", help="bearer_token: the header. [default: Authorization]"),
]
Prefix = Annotated[
    str | None,
    typer.Option(metavar="TEXT", help="bearer_token: stands before the token. [default: Bearer]"),
]
ClientId = Annotated[str | None, typer.Option(metavar="TEXT", help="oauth2: the client's id.")]
TokenUrl = Annotated[
    str | None, typer.Option(metavar="URL", help="oauth2: where access tokens are fetched.")
]
Scope = Annotated[list[str] | None, typer.Option(metavar="SCOPE", help="oauth2; can be repeated.")]
Location = Annotated[
    list[str] | None,
    typer.Option(
        "--in",
        metavar="PLACE",
        help="environment_variable: header, query or body; can be repeated. [default: header]",
    ),
]
Domain = Annotated[
    list[str] | None,
    typer.Option(
        metavar="HOST",
        help="environment_variable: a host, or '*.suffix', that gets it; can be repeated.",
    ),
]


@credentials.command(
    name="create",
    epilog="Example: `gh auth token | sandlot credentials create github --type bearer_token`",
)
def create(
    id: Id,
    type: Annotated[
        str, typer.Option(metavar="TYPE", help="bearer_token, oauth2 or environment_variable.")
    ],
    from_env: FromEnv = None,
    header_name: HeaderName = None,
    prefix: Prefix = None,
    client_id: ClientId = None,
    token_url: TokenUrl = None,
    scope: Scope = None,
    location: Location = None,
    domain: Domain = None,
    state_dir: StateDir = None,
) -> None:
    """Store a credential. Its secret cannot be read again."""
    from runtime.cli import credentials as acts

    order = acts.Order(
        id, header_name, prefix, client_id, token_url, scope, location, domain, from_env or []
    )
    acts.create(state_dir, type, order)


@credentials.command(name="list", epilog="Example: `sandlot credentials list`")
def list_all(as_json: AsJson = False, state_dir: StateDir = None) -> None:
    """List the credentials, by id."""
    from runtime.cli import credentials as acts

    acts.show_all(state_dir, as_json=as_json)


@credentials.command(name="show", epilog="Example: `sandlot credentials show github`")
def show(id: Id, state_dir: StateDir = None) -> None:
    """Print one credential as JSON, without its secrets."""
    from runtime.cli import credentials as acts

    acts.show(state_dir, id)


@credentials.command(
    name="update", epilog="Example: `sandlot credentials update github --from-env NEW_TOKEN`"
)
def update(
    id: Id,
    secret: Annotated[
        bool,
        typer.Option("--secret", help="Read a new secret from standard input, or ask for it."),
    ] = False,
    from_env: FromEnv = None,
    header_name: HeaderName = None,
    prefix: Prefix = None,
    client_id: ClientId = None,
    token_url: TokenUrl = None,
    scope: Scope = None,
    location: Location = None,
    domain: Domain = None,
    state_dir: StateDir = None,
) -> None:
    """Give a credential new values; what is left out stays. They hold at once, everywhere."""
    from runtime.cli import credentials as acts

    order = acts.Order(
        id, header_name, prefix, client_id, token_url, scope, location, domain, from_env or []
    )
    acts.update(state_dir, order, asks=secret)


@credentials.command(name="delete", epilog="Example: `sandlot credentials delete github`")
def delete(id: Id, state_dir: StateDir = None) -> None:
    """Delete a credential; nothing is signed with it from then on."""
    from runtime.cli import credentials as acts

    acts.delete(state_dir, id)
