"""What can be typed after `sandlot`, with its help. What it does is imported when it is typed."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from runtime.cli.credential_commands import credentials
from runtime.cli.environment_commands import environments
from runtime.cli.options import SETTINGS, AsJson, Config, StateDir

_EPILOG = """
Exit status: 0 done, 1 failed or incomplete, 2 wrong usage, 3 controller cannot be reached or
started, 4 the run waits for a function of yours, 130 interrupted. `shell` and `exec` pass on the
status of what they ran. The API key is found in the state folder, or in `$SANDLOT_API_KEY`; a
controller elsewhere is named by `$SANDLOT_URL`.
"""
app = typer.Typer(
    name="sandlot",
    help="Run agents in sandboxes of your own, over the Gemini Interactions API.",
    epilog=_EPILOG,
    **SETTINGS,
)
agents = typer.Typer(help="Look at agents and check their files.", **SETTINGS)
image = typer.Typer(help="The sandbox image.", **SETTINGS)
app.add_typer(agents, name="agents")
app.add_typer(image, name="image")
keys = typer.Typer(help="API keys: make, list and revoke them.", **SETTINGS)
projects = typer.Typer(help="Projects, to which keys and all that they make belong.", **SETTINGS)
app.add_typer(keys, name="keys")
app.add_typer(projects, name="projects")
app.add_typer(credentials, name="credentials")
app.add_typer(environments, name="environments")

Environment = Annotated[str, typer.Argument(metavar="ENV", help="The id of an environment.")]
Interaction = Annotated[str, typer.Argument(metavar="ID", help="The id of an interaction.")]


@app.callback()
def options(
    debug: Annotated[
        bool, typer.Option("--debug", envvar="SANDLOT_DEBUG", help="Show where an error is from.")
    ] = False,
) -> None:
    """Run agents in sandboxes of your own, over the Gemini Interactions API."""
    del debug  # The error boundary looks for it, also when nothing else could be read.


@app.command(epilog="Example: `sandlot serve --port 8080`")
def serve(
    host: Annotated[
        str | None, typer.Option(help="Where to listen. [default: 127.0.0.1]", show_default=False)
    ] = None,
    port: Annotated[
        int | None,
        typer.Option(
            min=0,
            max=65535,
            help="Which port; 0 is any. [default: the first free one from 8080 to 8099]",
            show_default=False,
        ),
    ] = None,
    state_dir: StateDir = None,
    config: Config = None,
    while_used: Annotated[bool, typer.Option("--while-used", hidden=True)] = False,
) -> None:
    """Serve the API until it is interrupted.

    The API key is made at the first start. An address that other machines can reach needs a key
    of your own, in `$SANDLOT_API_KEY` or in the configuration.
    """
    from runtime.cli import serve as serving

    order = serving.ServeOrder(host, port, state_dir, config, while_used)
    serving.serve(order)


@app.command(epilog='Example: `sandlot run data-analyst "What sells best?" --file sales.csv`')
def run(
    agent: Annotated[str, typer.Argument(metavar="AGENT", help="The id or alias of an agent.")],
    task: Annotated[
        str | None,
        typer.Argument(
            metavar="TASK",
            help="What to do; `-` is standard input. Agents that play a script need none.",
            show_default=False,
        ),
    ] = None,
    model: Annotated[str | None, typer.Option(help="Another model than the agent's.")] = None,
    file: Annotated[
        list[Path] | None,
        typer.Option(metavar="FILE", help="Put a file into /workspace first; can be repeated."),
    ] = None,
    environment: Annotated[
        str | None, typer.Option(metavar="ENV", help="Go on in this environment.")
    ] = None,
    background: Annotated[
        bool, typer.Option("--background", help="Print the id and leave it at work.")
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the final interaction as JSON, the rest aside.")
    ] = False,
    show: Annotated[
        bool, typer.Option("--show/--no-show", help="Show the steps, or only the answer.")
    ] = True,
    download: Annotated[
        bool, typer.Option("--download/--no-download", help="Fetch the files that it made.")
    ] = True,
    output: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Where files and pictures go. [default: ./output/AGENT-TIME]",
            show_default=False,
        ),
    ] = None,
    timeout: Annotated[
        float | None, typer.Option(metavar="SECONDS", min=0.1, help="Cancel it after so long.")
    ] = None,
    state_dir: StateDir = None,
) -> None:
    """Run an agent and watch it work.

    Without a running controller one is started for the occasion. Ctrl-C cancels the run, a second
    one leaves at once.
    """
    from runtime.cli.orders import RunOrder
    from runtime.cli.runs import run as run_agent

    order = RunOrder(
        agent=agent,
        task=task,
        model=model,
        files=file or [],
        environment=environment,
        background=background,
        as_json=as_json,
        show=show,
        download=download,
        output=output,
        timeout=timeout,
        state_dir=state_dir,
    )
    raise typer.Exit(run_agent(order))


@app.command(epilog="Example: `sandlot ps --limit 5`")
def ps(
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, help="How many at most.")] = 20,
    as_json: AsJson = False,
    state_dir: StateDir = None,
) -> None:
    """List interactions, the latest first."""
    from runtime.cli.listings import show_runs

    show_runs(state_dir, limit=limit, as_json=as_json)


@app.command(epilog="Example: `sandlot logs int_0198… --follow`")
def logs(
    id: Interaction,
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Go on until it has settled.")
    ] = False,
    output: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Save the pictures there.")
    ] = None,
    state_dir: StateDir = None,
) -> None:
    """Show what happened in an interaction."""
    from runtime.cli.listings import show_log

    raise typer.Exit(show_log(state_dir, id, follow=follow, output=output))


@app.command(epilog="Example: `sandlot network 0198f2… --limit 20`")
def network(
    env: Environment,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, help="How many at most.")] = 50,
    as_json: AsJson = False,
    state_dir: StateDir = None,
) -> None:
    """Show what an environment may reach, and what became of what it asked for, oldest first."""
    from runtime.cli.listings import show_network

    show_network(state_dir, env, limit=limit, as_json=as_json)


@app.command(epilog="Example: `sandlot cancel int_0198…`")
def cancel(id: Interaction, state_dir: StateDir = None) -> None:
    """Cancel an interaction and print its status then."""
    from runtime.cli.listings import cancel as cancel_interaction

    cancel_interaction(state_dir, id)


@app.command(epilog="Example: `sandlot shell 0198f2…`")
def shell(env: Environment, state_dir: StateDir = None) -> None:
    """Open a terminal in an environment's sandbox."""
    from runtime.cli import terminal

    raise typer.Exit(terminal.shell(state_dir, env))


@app.command(
    name="exec",
    epilog="Example: `sandlot exec 0198f2… -- ls -la`",
    context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False},
)
def execute(
    env: Environment,
    command: Annotated[list[str], typer.Argument(metavar="-- CMD...", help="What to run.")],
    cwd: Annotated[
        str | None, typer.Option(metavar="PATH", help="Where to run it. [default: /workspace]")
    ] = None,
    state_dir: StateDir = None,
) -> None:
    """Run a command in an environment's sandbox; options of sandlot come before ENV."""
    from runtime.cli import terminal

    raise typer.Exit(terminal.execute(state_dir, env, command, cwd))


@app.command(epilog="Example: `sandlot cp 0198f2…:report.html .`")
def cp(
    source: Annotated[str, typer.Argument(metavar="SOURCE", help="A path, or ENV:PATH.")],
    destination: Annotated[str, typer.Argument(metavar="DEST", help="ENV:PATH, or a path.")],
    limit: Annotated[
        str, typer.Option(metavar="SIZE", help="Take at most so much out of an environment.")
    ] = "16GiB",
    state_dir: StateDir = None,
) -> None:
    """Copy a file or a folder out of an environment or into it.

    A PATH in an environment that is not absolute starts in /workspace.
    """
    from runtime.cli.copying import run_copy

    run_copy(state_dir, source, destination, limit)


@agents.command(name="list", epilog="Example: `sandlot agents list`")
def list_agents(as_json: AsJson = False, state_dir: StateDir = None) -> None:
    """List the agents."""
    from runtime.cli.listings import show_agents

    show_agents(state_dir, as_json=as_json)


@agents.command(name="show", epilog="Example: `sandlot agents show antigravity`")
def show_agent(
    agent: Annotated[str, typer.Argument(metavar="AGENT", help="The id or alias of an agent.")],
    state_dir: StateDir = None,
) -> None:
    """Print one agent as JSON."""
    from runtime.cli.listings import show_agent as print_agent

    print_agent(state_dir, agent)


@agents.command(name="validate", epilog="Example: `sandlot agents validate agents/`")
def validate_agents(
    path: Annotated[Path, typer.Argument(metavar="PATH", help="A file, or a folder of them.")],
    config: Config = None,
) -> None:
    """Print every mistake in the files of agents, as `file:line:column: field: what is wrong`."""
    from runtime.cli.validation import validate

    raise typer.Exit(validate(path, config))


@app.command(epilog="Example: `sandlot models --json`")
def models(as_json: AsJson = False, state_dir: StateDir = None) -> None:
    """List the models that agents and callers can name."""
    from runtime.cli.listings import show_models

    show_models(state_dir, as_json=as_json)


@keys.command(name="create", epilog="Example: `sandlot keys create --project team --name CI`")
def create_key(
    project: Annotated[
        str | None, typer.Option(metavar="NAME", help="Of this project; its first key makes it.")
    ] = None,
    scopes: Annotated[
        str, typer.Option(metavar="LIST", help="What it may do: run, read, admin.")
    ] = "run,read",
    name: Annotated[str | None, typer.Option(metavar="TEXT", help="For people.")] = None,
    as_json: AsJson = False,
    state_dir: StateDir = None,
) -> None:
    """Make an API key and print it, this one time."""
    from runtime.cli import keyring

    keyring.create_key(state_dir, project, scopes, name, as_json=as_json)


@keys.command(name="list", epilog="Example: `sandlot keys list --project team`")
def list_keys(
    project: Annotated[
        str | None, typer.Option(metavar="NAME", help="Of this project alone.")
    ] = None,
    as_json: AsJson = False,
    state_dir: StateDir = None,
) -> None:
    """List API keys, revoked ones too. What they are is not kept, only how they begin."""
    from runtime.cli import keyring

    keyring.show_keys(state_dir, project, as_json=as_json)


@keys.command(name="revoke", epilog="Example: `sandlot keys revoke key_0198…`")
def revoke_key(
    id: Annotated[str, typer.Argument(metavar="ID", help="The id of a key, not the key.")],
    state_dir: StateDir = None,
) -> None:
    """End an API key at once, with what it has open; its runs go on."""
    from runtime.cli import keyring

    keyring.revoke_key(state_dir, id)


@projects.command(name="list", epilog="Example: `sandlot projects list`")
def list_projects(as_json: AsJson = False, state_dir: StateDir = None) -> None:
    """List projects and how much each has."""
    from runtime.cli import keyring

    keyring.show_projects(state_dir, as_json=as_json)


@projects.command(name="delete", epilog="Example: `sandlot projects delete team`")
def delete_project(
    name: Annotated[str, typer.Argument(metavar="NAME", help="The name of a project.")],
    state_dir: StateDir = None,
) -> None:
    """Delete a project with its keys and credentials, unless it has anything else."""
    from runtime.cli import keyring

    keyring.delete_project(state_dir, name)


@image.command(name="build", epilog="Example: `sandlot image build`")
def build_image(
    base: Annotated[
        str | None,
        typer.Option(
            metavar="IMAGE",
            help="Build on this image. [default: `$SANDLOT_BASE_IMAGE`, else Debian stable]",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Build the sandbox image unless it is there."""
    from runtime.cli.images import build_image as build

    build(base)


@app.command(epilog="Example: `sandlot doctor`")
def doctor(config: Config = None, as_json: AsJson = False) -> None:
    """Check this machine: what is fine, what is not, and how to mend it."""
    from runtime.cli.doctor import doctor as examine

    examine(config, as_json=as_json)


@app.command(epilog="Example: `sandlot version`")
def version() -> None:
    """Print the version, and that of the protocol between controller and sandbox."""
    from runtime import __version__
    from runtime.schema.protocol import PROTOCOL_VERSION

    typer.echo(f"sandlot {__version__} (sandbox protocol {PROTOCOL_VERSION})")
