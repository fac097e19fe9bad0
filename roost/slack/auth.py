"""`api`, `auth`, `rtm`: who is calling, the ways in and out, and the way to the event stream.

Signing up, in and out are Roost's own: Slack has no public methods for them.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

from roost.chat.errors import TooManyTries
from roost.chat.zones import known_zone
from roost.slack import shapes
from roost.slack.arguments import Arguments, Upload
from roost.slack.call import Call
from roost.slack.errors import ApiError, TooFast
from roost.storage.items import UserRow


class Nothing(Arguments, frozen=True):
    """No arguments."""


class Test(Arguments, frozen=True):
    """`api.test`"""

    error: str = ""


class Revoke(Arguments, frozen=True):
    """`auth.revoke`"""

    test: bool = False


def test_api(call: Call, arguments: Test) -> dict[str, Any]:
    """`api.test`: what came in goes out; fails when asked to."""
    args = {name: value for name, value in call.given.items() if not isinstance(value, Upload)}
    if arguments.error:
        raise ApiError(arguments.error, args=args)
    return {"args": args}


def test(call: Call, arguments: Nothing) -> dict[str, Any]:
    """`auth.test`: whose token it is."""
    who, workspace = call.who, call.chat.core.workspace
    answer = {
        "url": call.url,
        "team": workspace.name,
        "user": who.person.name,
        "team_id": workspace.team,
        "user_id": who.person.id,
        "is_enterprise_install": False,
    }
    if who.person.bot:
        answer |= {"bot_id": who.person.bot, "app_id": who.person.app}
    if who.token.expires:
        answer["expires_in"] = who.token.expires - call.chat.core.now
    return answer


def revoke(call: Call, arguments: Revoke) -> dict[str, Any]:
    """`auth.revoke`: the caller's token stands for nobody any more; its event streams are closed."""
    if not arguments.test:
        call.chat.people.revoke(call.who)
    return {"revoked": not arguments.test}


def rtm_connect(call: Call, arguments: Nothing) -> dict[str, Any]:
    """`rtm.connect`: an address that opens one event stream within half a minute."""
    workspace, person = call.chat.core.workspace, call.person
    ticket = call.chat.streams.ticket(call.who)
    return {
        "url": f"{call.socket_url}?ticket={ticket}",
        "self": {"id": person.id, "name": person.name},
        "team": {"id": workspace.team, "name": workspace.name, "domain": "roost"},
        "epoch": workspace.epoch,
    }


# -- in and out: Roost's own -------------------------------------------------------------------------------------------


class SignUp(Arguments, frozen=True):
    """`auth.signup`"""

    code: str
    email: str
    password: str
    name: str = ""
    real_name: str = ""
    tz: str = ""


class SignIn(Arguments, frozen=True):
    """`auth.signin`"""

    email: str
    password: str


class Exchange(Arguments, frozen=True):
    """`auth.exchange`"""

    code: str


class ResetPassword(Arguments, frozen=True):
    """`auth.resetPassword`"""

    code: str
    password: str


class SetPassword(Arguments, frozen=True):
    """`auth.setPassword`"""

    new_password: str
    password: str = ""


class SetEmail(Arguments, frozen=True):
    """`auth.setEmail`"""

    email: str
    password: str = ""


def sign_up(call: Call, arguments: SignUp) -> dict[str, Any]:
    """`auth.signup`: become a member by the code of a set-up or an invite link."""
    with _throttled():
        token, row = call.chat.accounts.sign_up(
            arguments.code,
            arguments.email,
            arguments.password,
            name=arguments.name,
            real_name=arguments.real_name,
            tz=known_zone(arguments.tz) if arguments.tz else "",
            ip=call.ip,
        )
    return _session(call, token, row)


def sign_in(call: Call, arguments: SignIn) -> dict[str, Any]:
    """`auth.signin`: a session token for an address and its password."""
    with _throttled():
        token, row = call.chat.accounts.sign_in(arguments.email, arguments.password, ip=call.ip)
    return _session(call, token, row)


def exchange(call: Call, arguments: Exchange) -> dict[str, Any]:
    """`auth.exchange`: a session token for the code with which an identity provider's answer ends."""
    token, row = call.chat.accounts.exchange(arguments.code)
    return _session(call, token, row)


def reset_password(call: Call, arguments: ResetPassword) -> dict[str, Any]:
    """`auth.resetPassword`: choose a password by the code of a password link; every other session ends."""
    with _throttled():
        token, row = call.chat.accounts.reset_password(arguments.code, arguments.password, ip=call.ip)
    return _session(call, token, row)


def sign_out(call: Call, arguments: Nothing) -> dict[str, Any]:
    """`auth.signout`: this session ends; its event streams are closed."""
    call.chat.people.revoke(call.who)
    return {}


def sign_out_everywhere(call: Call, arguments: Nothing) -> dict[str, Any]:
    """`auth.signoutEverywhere`: every session of the caller ends, on all devices. Tokens of programs stay."""
    call.chat.roles.sign_out(call.person, call.person.id)
    return {}


def set_password(call: Call, arguments: SetPassword) -> dict[str, Any]:
    """`auth.setPassword`: every other session of the caller ends."""
    with _throttled():
        call.chat.accounts.set_password(call.who, arguments.password, arguments.new_password)
    return {}


def set_email(call: Call, arguments: SetEmail) -> dict[str, Any]:
    """`auth.setEmail`"""
    with _throttled():
        row = call.chat.accounts.set_email(call.who, arguments.password, arguments.email)
    return {"user": shapes.user(row, call.chat.core.workspace.team, email=True, url=call.url)}
    return {"user": shapes.user(row, call.chat.core.workspace.team, email=True, now=call.chat.core.now)}


def _session(call: Call, token: str, row: UserRow) -> dict[str, Any]:
    workspace = call.chat.core.workspace
    team = {"id": workspace.team, "name": workspace.name}
    return {"token": token, "user": shapes.user(row, workspace.team, email=True, url=call.url), "team": team}
    shown = shapes.user(row, workspace.team, email=True, now=call.chat.core.now)
    return {"token": token, "user": shown, "team": team}


@contextlib.contextmanager
def _throttled() -> Iterator[None]:
    """Too many tries are Slack's 429."""
    try:
        yield
    except TooManyTries as refusal:
        raise TooFast(refusal.seconds) from None
