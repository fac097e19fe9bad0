"""`api`, `auth`, `team`, `rtm`: who is calling, and the way to the event stream."""

from __future__ import annotations

from typing import Any

from roost.slack.arguments import Arguments, Upload
from roost.slack.call import Call
from roost.slack.errors import ApiError


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


def team_info(call: Call, arguments: Nothing) -> dict[str, Any]:
    """`team.info`"""
    workspace = call.chat.core.workspace
    team = {"id": workspace.team, "name": workspace.name, "domain": "roost", "email_domain": "", "url": call.url}
    return {"team": team | {"icon": {"image_default": True}}}


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
