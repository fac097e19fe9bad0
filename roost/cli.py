"""The roost command. Each command imports what it needs when it runs, so that every one of them starts fast."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import os
import re
import sys
import time
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

import click

from roost import __version__

if TYPE_CHECKING:
    from roost.chat.chat import Chat
    from roost.local.serve import Running

T = TypeVar("T")

_MANY_FILES = 65_536

_ON_OFF = click.Choice(["on", "off"])
_DATA = click.option(
    "--data", type=click.Path(file_okay=False, path_type=Path), envvar="ROOST_DATA", help="Where data is kept."
)
_TABLE = click.option(
    "--table",
    metavar="URL",
    envvar="ROOST_TABLE_URL",
    help="A DynamoDB table instead: dynamodb://NAME?endpoint=&region=",
)
_ROLE = click.Choice(["owner", "admin", "member", "restricted"])
_URL = click.option("--url", default="http://127.0.0.1:8000/", show_default=True, help="Where people find the server.")
_JSON = click.option("--json", "as_json", is_flag=True, help="Answer as JSON.")


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="roost")
def main() -> None:
    """Team chat that scales to zero."""


# -- serve ------------------------------------------------------------------------------------------------------------


@main.command()
@click.option("--host", default="127.0.0.1", show_default=True, envvar="ROOST_HOST", help="Address to listen on.")
@click.option("--port", default=8000, show_default=True, envvar="ROOST_PORT", type=click.IntRange(0, 65535))
@_DATA
@_TABLE
@click.option("--guests", type=_ON_OFF, envvar="ROOST_GUESTS", help="Let people talk without an account.")
@click.option("--limits", type=_ON_OFF, envvar="ROOST_LIMITS", help="Limit how fast each connection may send.")
@click.option("--verbose", is_flag=True, help="A log line per event.")
@click.option("--json-logs", is_flag=True, help="Log lines as JSON.")
def serve(
    host: str,
    port: int,
    data: Path | None,
    table: str | None,
    guests: str | None,
    limits: str | None,
    verbose: bool,
    json_logs: bool,
) -> None:
    """Chat: everything in one process. Prints what to open; Ctrl-C stops it.

    Guests are on and limits are off where only this machine can reach the server, the other way round elsewhere.
    """
    from roost.gateway.log import set_up
    from roost.local.serve import serve as run
    from roost.settings import Oidc, Settings

    set_up(json=json_logs)
    private = _is_loopback(host)
    settings = Settings(
        guests=private if guests is None else guests == "on",
        limits=not private if limits is None else limits == "on",
        url=os.environ.get("ROOST_URL", ""),
        oidc=Oidc.from_environment(os.environ),
    )

    def announce(running: Running) -> None:
        _announce(running, settings.guests)

    folder = data or _data_directory()
    _run(run(host, port, folder, settings, announce, table_url=table, log_events=verbose))


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
        f"  data            {running.place}",
    ]
    if running.setup:
        lines += ["", f"  make yourself its owner   http://{shown}:{running.port}/setup#{running.setup}"]
    if not guests:
        lines += ["", "  Guests are off, since other machines can reach this server; --guests on lets them talk."]
    click.echo("\n".join(lines))


# -- people -----------------------------------------------------------------------------------------------------------


@main.group()
def user() -> None:
    """Members of the workspace. The server must be stopped, unless its data is in a DynamoDB table."""


@user.command("add")
@click.argument("name")
@click.option("--email", default="", help="Their e-mail address, to sign in with.")
@click.option("--role", type=_ROLE, default="member", show_default=True, help="What they may.")
@click.option("--password-stdin", is_flag=True, help="Read their password from standard input.")
@_DATA
@_TABLE
@_JSON
def user_add(
    name: str, email: str, role: str, password_stdin: bool, data: Path | None, table: str | None, as_json: bool
) -> None:
    """Make NAME a member."""
    from roost.local import admin

    password = sys.stdin.readline().rstrip("\r\n") if password_stdin else ""
    row = _administer(data, table, lambda chat: admin.add(chat, name, role, email=email, password=password))
    _answer(as_json, f"{row.name} is {_a(row.role)}", {"id": row.id, "name": row.name, "role": row.role})


@user.command("list")
@_DATA
@_TABLE
@_JSON
def user_list(data: Path | None, table: str | None, as_json: bool) -> None:
    """List the members."""
    from roost.local import admin

    rows = _administer(data, table, admin.members)
    lines = [f"{r.id}  {r.name}  {r.role}{'  deactivated' if r.deactivated else ''}" for r in rows]
    shown = [{"id": r.id, "name": r.name, "role": r.role, "email": r.email, "deleted": r.deactivated} for r in rows]
    _answer(as_json, "\n".join(lines), shown)


@user.command("role")
@click.argument("name")
@click.argument("role", type=_ROLE)
@_DATA
@_TABLE
@_JSON
def user_role(name: str, role: str, data: Path | None, table: str | None, as_json: bool) -> None:
    """Give the member NAME another ROLE."""
    from roost.local import admin

    row = _administer(data, table, lambda chat: admin.set_role(chat, name, role))
    _answer(as_json, f"{row.name} is {_a(row.role)}", {"id": row.id, "name": row.name, "role": row.role})


@user.command("deactivate")
@click.argument("name")
@_DATA
@_TABLE
@_JSON
def user_deactivate(name: str, data: Path | None, table: str | None, as_json: bool) -> None:
    """Let the member NAME out: their tokens are refused from now on."""
    from roost.local import admin

    row = _administer(data, table, lambda chat: admin.deactivate(chat, name))
    _answer(as_json, f"{row.name} is deactivated", {"id": row.id, "name": row.name, "deleted": True})


@user.command("reactivate")
@click.argument("name")
@_DATA
@_TABLE
@_JSON
def user_reactivate(name: str, data: Path | None, table: str | None, as_json: bool) -> None:
    """Let NAME back in, who was deactivated."""
    from roost.local import admin

    row = _administer(data, table, lambda chat: admin.reactivate(chat, name))
    _answer(as_json, f"{row.name} is back", {"id": row.id, "name": row.name, "deleted": False})


@user.command("setup-link")
@_URL
@_DATA
@_TABLE
@_JSON
def user_setup_link(url: str, data: Path | None, table: str | None, as_json: bool) -> None:
    """Make a link that makes the workspace's owner: it is shown once, and used once."""
    from roost.local import admin

    code = _administer(data, table, admin.setup_code)
    link = f"{url.rstrip('/')}/setup#{code}"
    _answer(as_json, link, {"url": link, "code": code})


@user.command("password-link")
@click.argument("name")
@_URL
@_DATA
@_TABLE
@_JSON
def user_password_link(name: str, url: str, data: Path | None, table: str | None, as_json: bool) -> None:
    """Make a link with which the member NAME chooses a new password, within a day."""
    from roost.local import admin

    code = _administer(data, table, lambda chat: admin.password_code(chat, name))
    link = f"{url.rstrip('/')}/password#{code}"
    _answer(as_json, link, {"url": link, "code": code})


def _a(role: str) -> str:
    return {"owner": "an owner", "admin": "an admin", "restricted": "a restricted guest"}.get(role, "a member")


@main.group()
def token() -> None:
    """Tokens, with which a member logs in. The server must be stopped, unless its data is in a DynamoDB table."""


@token.command("create")
@click.argument("name")
@click.option("--label", default="", help="What it is for.")
@click.option("--scopes", default="", help="What it may, with commas between: chat:write,channels:read; else all.")
@_DATA
@_TABLE
@_JSON
def token_create(name: str, label: str, scopes: str, data: Path | None, table: str | None, as_json: bool) -> None:
    """Make a token for the member NAME: it is shown once, and kept only as a hash."""
    from roost.local import admin

    wanted = tuple(scope.strip() for scope in scopes.split(",") if scope.strip())
    made = _administer(data, table, lambda chat: admin.token(chat, name, label, wanted))
    _answer(as_json, made, {"token": made})


@token.command("list")
@click.argument("name")
@_DATA
@_TABLE
@_JSON
def token_list(name: str, data: Path | None, table: str | None, as_json: bool) -> None:
    """List the tokens of the member NAME, by the ids that revoke them."""
    from roost.local import admin

    rows = _administer(data, table, lambda chat: admin.tokens(chat, name))
    lines = [f"{row.id}  {row.kind}  {row.label or '-'}  {','.join(row.scopes) or 'everything'}" for row in rows]
    shown = [{"id": r.id, "kind": r.kind, "label": r.label, "scopes": r.scopes, "created": r.created} for r in rows]
    _answer(as_json, "\n".join(lines), shown)


@token.command("revoke")
@click.argument("name")
@click.argument("token_id", metavar="ID")
@_DATA
@_TABLE
@_JSON
def token_revoke(name: str, token_id: str, data: Path | None, table: str | None, as_json: bool) -> None:
    """Revoke the token with this ID of the member NAME."""
    from roost.local import admin

    _administer(data, table, lambda chat: admin.revoke_token(chat, name, token_id))
    _answer(as_json, f"{token_id} is revoked", {"id": token_id, "revoked": True})


def _administer(data: Path | None, table: str | None, act: Callable[[Chat], T]) -> T:
    """Do something with the data; a refusal is one line."""
    from roost.chat.errors import Refused
    from roost.local.admin import opened
    from roost.storage.table import TableError

    try:
        with opened(data or _data_directory(), table) as chat:
            return act(chat)
    except Refused as refusal:
        _fail(refusal.sentence)
    except TableError as error:
        _fail(str(error))


def _answer(as_json: bool, text: str, value: object) -> None:
    import json

    click.echo(json.dumps(value) if as_json else text)


# -- cost -------------------------------------------------------------------------------------------------------------


_SOME = click.FloatRange(min=0)
_POSITIVE = click.FloatRange(min=0, min_open=True)
_ASSUMPTIONS: dict[str, tuple[click.ParamType[Any], str]] = {
    "people": (click.IntRange(min=1), "Estimate for a team of so many, in place of what was metered."),
    "messages": (_SOME, "Messages per person and working day."),
    "days": (_SOME, "Working days in a month."),
    "hours": (_SOME, "Hours connected on such a day."),
    "receivers": (_SOME, "Connected people whom a message reaches; by the team's size if not given."),
    "reactions": (_SOME, "Reactions per message."),
    "edits": (_SOME, "Edits per message."),
    "other_events": (_SOME, "Joins, pins and the like per message."),
    "searches": (_SOME, "Searches per message."),
    "thread_reads": (_SOME, "Threads opened per message."),
    "mark_reads": (_SOME, "Channels marked read per message."),
    "page_reads": (_SOME, "Channels opened and pages of history read per message."),
    "index_writes": (_SOME, "Write units of the search index per message."),
    "boot_requests": (_SOME, "HTTP requests of a client that starts, once a day."),
    "resume_requests": (_SOME, "HTTP requests of a client that connects again."),
    "ping_minutes": (_POSITIVE, "Minutes between a client's signs of life."),
    "reconnect_minutes": (_POSITIVE, "Minutes that a connection lives."),
    "channels": (_SOME, "Channels of a person."),
    "memory": (_POSITIVE, "MB of each Lambda function."),
    "files": (_SOME, "GB of files per person."),
}


def _assumptions(command: Callable[..., None]) -> Callable[..., None]:
    for name, (kind, about) in reversed(_ASSUMPTIONS.items()):
        command = click.option(f"--{name.replace('_', '-')}", type=kind, help=about)(command)
    return command


@main.command()
@_DATA
@_TABLE
@click.option("--month", metavar="YYYY-MM", help="Which month; the last one with any use if not given.")
@_JSON
@_assumptions
def cost(data: Path | None, table: str | None, month: str | None, as_json: bool, **assumptions: Any) -> None:
    """What this use would cost on AWS, from metered calls; or what a team's would, with --people and the like."""
    from roost.cost import report
    from roost.cost.estimate import Assumptions
    from roost.cost.use import Folder
    from roost.local.store import use_folder

    given = {name: value for name, value in assumptions.items() if value is not None}
    if given:
        answer = report.estimated(Assumptions(**given))
        _answer(as_json, report.estimated_text(answer), answer)
        return
    folder = Folder(use_folder(data or _data_directory(), table))
    wanted = month or folder.newest_month() or time.strftime("%Y-%m", time.gmtime())
    if not re.fullmatch(r"\d{4}-\d\d", wanted):
        raise click.BadParameter(f"{wanted!r} is not YYYY-MM", param_hint="--month")
    answer = report.metered(wanted, folder.month(wanted))
    nothing = f"Nothing was metered in {wanted}. roost cost --people 50 estimates what a team would use."
    _answer(as_json, report.metered_text(answer) if answer["days"] else nothing, answer)


# -- gateway ----------------------------------------------------------------------------------------------------------


@main.command()
@click.argument("file", type=click.Path(path_type=Path), default=Path())
@click.option("--stage", help="The stage to run; the file's own by default, else dev.")
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", default=8000, show_default=True, type=click.IntRange(0, 65535), help="0: any free one.")
@click.option("--isolated", is_flag=True, help="Run functions under AWS's runtime client, in processes of their own.")
@click.option(
    "--python",
    type=click.Path(path_type=Path),
    help="The Python to isolate them in, if not this one; has awslambdaric.",
)
@click.option("--dynamodb", metavar="URL", help="DynamoDB endpoint: declared tables are created there.")
@click.option("--set", "overrides", multiple=True, metavar="NAME=VALUE", help="A value the file leaves to the cloud.")
@click.option("--opt", "options", multiple=True, metavar="NAME=VALUE", help="A value for ${opt:NAME}.")
@click.option("--environments", default=10, show_default=True, type=click.IntRange(1, 1000), help="Most per function.")
@click.option("--time-scale", default=1.0, show_default=True, help="Multiplies every time limit, for tests.")
@click.option("--skip-authorizers", is_flag=True, help="Let everybody through who cannot be authorized here.")
@click.option("--signed", is_flag=True, help="Refuse pushes and invocations that the functions' key did not sign.")
@click.option("--json-logs", is_flag=True, help="Log lines as JSON.")
@click.option(
    "--data", type=click.Path(file_okay=False, path_type=Path), help="Where the gateway keeps its certificate."
)
def gateway(file: Path, **options: Any) -> None:
    """Run a serverless app: FILE is a serverless.yml or a SAM template.yaml, or a folder that has one."""
    from roost.gateway.log import set_up
    from roost.gateway.run import Options, run

    set_up(json=options.pop("json_logs"))
    options["overrides"] = _pairs(options["overrides"], "--set")
    options["options"] = _pairs(options["options"], "--opt")
    options["isolated"] = options["isolated"] or options["python"] is not None
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

    _allow_many_files()
    try:
        with asyncio.Runner(loop_factory=_loop_factory()) as runner:
            runner.run(main_coroutine)
    except (GatewayError, DefinitionError, TableError) as error:
        _fail(str(error))
    except OSError as error:
        click.echo(
            f"roost: {error.strerror or error}: {error.filename}" if error.filename else f"roost: {error}", err=True
        )
        sys.exit(1)


def _allow_many_files() -> None:
    """Raise the soft limit on open files to the hard one: a connection is a file, and 1,024 is a usual soft limit."""
    try:
        import resource
    except ImportError:  # Windows has no such limit
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _MANY_FILES if hard == resource.RLIM_INFINITY else min(hard, _MANY_FILES)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        with contextlib.suppress(ValueError, OSError):  # some systems promise more than they give
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def _fail(reason: str) -> NoReturn:
    click.echo(f"roost: {reason}", err=True)
    sys.exit(1)


def _loop_factory() -> Any:
    try:
        import uvloop
    except ImportError:  # Windows
        return None
    return uvloop.new_event_loop
