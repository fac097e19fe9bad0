"""The roost command. Each command imports what it needs when it runs, so that every one of them starts fast."""

from __future__ import annotations

import asyncio
import ipaddress
import os
import sys
from collections.abc import Coroutine
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from roost import __version__

if TYPE_CHECKING:
    from roost.local.serve import Running

_ON_OFF = click.Choice(["on", "off"])


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="roost")
def main() -> None:
    """Team chat that scales to zero."""


# -- serve ------------------------------------------------------------------------------------------------------------


@main.command()
@click.option("--host", default="127.0.0.1", show_default=True, envvar="ROOST_HOST", help="Address to listen on.")
@click.option("--port", default=8000, show_default=True, envvar="ROOST_PORT", type=click.IntRange(0, 65535))
@click.option(
    "--data", type=click.Path(file_okay=False, path_type=Path), envvar="ROOST_DATA", help="Where data is kept."
)
@click.option("--guests", type=_ON_OFF, envvar="ROOST_GUESTS", help="Let people talk without an account.")
@click.option("--limits", type=_ON_OFF, envvar="ROOST_LIMITS", help="Limit how fast each connection may send.")
@click.option("--verbose", is_flag=True, help="A log line per event.")
@click.option("--json-logs", is_flag=True, help="Log lines as JSON.")
def serve(
    host: str, port: int, data: Path | None, guests: str | None, limits: str | None, verbose: bool, json_logs: bool
) -> None:
    """Chat: everything in one process. Prints what to open; Ctrl-C stops it.

    Guests are on and limits are off where only this machine can reach the server, the other way round elsewhere.
    """
    from roost.gateway.log import set_up
    from roost.local.serve import serve as run
    from roost.settings import Settings

    set_up(json=json_logs)
    private = _is_loopback(host)
    settings = Settings(
        guests=private if guests is None else guests == "on",
        limits=not private if limits is None else limits == "on",
    )
    _run(
        run(
            host, port, data or _data_directory(), settings, lambda r: _announce(r, settings.guests), log_events=verbose
        )
    )


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _data_directory() -> Path:
    import platformdirs

    return platformdirs.user_data_path("roost", appauthor=False)


def _announce(running: Running, guests: bool) -> None:
    shown = f"[{running.host}]" if ":" in running.host else running.host
    if running.host in ("0.0.0.0", "::"):  # noqa: S104  compared, not bound
        shown = "localhost"
    lines = [
        "Roost is running. Ctrl-C stops it.",
        "",
        f"  in a terminal   npx wscat -c ws://{shown}:{running.port}",
        f"  over HTTP       http://{shown}:{running.port}/",
        f"  data            {running.database}",
    ]
    if not guests:
        lines += ["", "  Guests are off, since other machines can reach this server; --guests on lets them talk."]
    click.echo("\n".join(lines))


# -- gateway ----------------------------------------------------------------------------------------------------------


@main.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--stage", help="The stage to run; the file's own by default, else dev.")
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", default=8000, show_default=True, type=click.IntRange(0, 65535), help="0: any free one.")
@click.option("--isolated", is_flag=True, help="Run functions under AWS's runtime client, in processes of their own.")
@click.option("--dynamodb", metavar="URL", help="DynamoDB endpoint: declared tables are created there.")
@click.option("--set", "overrides", multiple=True, metavar="NAME=VALUE", help="A value the file leaves to the cloud.")
@click.option("--opt", "options", multiple=True, metavar="NAME=VALUE", help="A value for ${opt:NAME}.")
@click.option("--environments", default=10, show_default=True, type=click.IntRange(1, 1000), help="Most per function.")
@click.option("--time-scale", default=1.0, show_default=True, help="Multiplies every time limit, for tests.")
@click.option("--signed", is_flag=True, help="Refuse @connections requests that the functions' key did not sign.")
@click.option("--json-logs", is_flag=True, help="Log lines as JSON.")
@click.option(
    "--data", type=click.Path(file_okay=False, path_type=Path), help="Where the gateway keeps its certificate."
)
def gateway(file: Path, **options: Any) -> None:
    """Run a serverless app: FILE is a serverless.yml or a SAM template.yaml."""
    from roost.gateway.log import set_up
    from roost.gateway.run import Options, run

    set_up(json=options.pop("json_logs"))
    options["overrides"] = _pairs(options["overrides"], "--set")
    options["options"] = _pairs(options["options"], "--opt")
    options["data"] = options["data"] or _data_directory() / "gateway"
    _run(run(Options(file=file, environ=dict(os.environ), **options), click.echo))


def _pairs(values: tuple[str, ...], option: str) -> dict[str, str]:
    pairs = {}
    for value in values:
        name, equals, text = value.partition("=")
        if not equals or not name:
            raise click.BadParameter(f"{value!r} is not NAME=VALUE", param_hint=option)
        pairs[name] = text
    return pairs


# -- shared -----------------------------------------------------------------------------------------------------------


def _run(main_coroutine: Coroutine[Any, Any, None]) -> None:
    """Run a server to its end; a reason for not starting becomes one line."""
    from roost.gateway.definition import DefinitionError
    from roost.gateway.server import GatewayError
    from roost.storage.table import TableError

    try:
        with asyncio.Runner(loop_factory=_loop_factory()) as runner:
            runner.run(main_coroutine)
    except (GatewayError, DefinitionError, TableError) as error:
        click.echo(f"roost: {error}", err=True)
        sys.exit(1)
    except OSError as error:
        click.echo(
            f"roost: {error.strerror or error}: {error.filename}" if error.filename else f"roost: {error}", err=True
        )
        sys.exit(1)


def _loop_factory() -> Any:
    try:
        import uvloop
    except ImportError:  # Windows
        return None
    return uvloop.new_event_loop
