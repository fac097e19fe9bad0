"""`team`, `bots`: the workspace, and the apps in it."""

from __future__ import annotations

from typing import Any

import msgspec

from roost.slack.arguments import Arguments
from roost.slack.auth import Nothing
from roost.slack.call import Call
from roost.slack.errors import ApiError


def info(call: Call, arguments: Nothing) -> dict[str, Any]:
    """`team.info`"""
    workspace = call.chat.core.workspace
    team = {"id": workspace.team, "name": workspace.name, "domain": "roost", "email_domain": "", "url": call.url}
    return {"team": team | {"icon": {"image_default": True}}}


class SetPref(Arguments, frozen=True):
    """`team.prefs.set`"""

    name: str
    value: str


def get_prefs(call: Call, arguments: Nothing) -> dict[str, Any]:
    """`team.prefs.get`: what the workspace is set to."""
    kept = call.chat.preferences.team()
    return {"prefs": {name: msgspec.json.decode(value) for name, value in kept.items()}}


def set_prefs(call: Call, arguments: SetPref) -> dict[str, Any]:
    """`team.prefs.set`: for admins."""
    call.chat.preferences.set_team(call.person, arguments.name, arguments.value)
    return {}


def get_profile(call: Call, arguments: Nothing) -> dict[str, Any]:
    """`team.profile.get`: Roost has no fields beside Slack's own."""
    return {"profile": {"fields": [], "sections": []}}


class Bot(Arguments, frozen=True):
    """`bots.info`"""

    bot: str = ""


def bot(call: Call, arguments: Bot) -> dict[str, Any]:
    """`bots.info`: an app's bot, by its `B…`."""
    row = next((row for row in call.chat.people.everybody() if row.bot and row.bot == arguments.bot), None)
    if row is None:
        raise ApiError("bot_not_found")
    shown = {"id": row.bot, "app_id": row.app, "user_id": row.id, "name": row.real_name or row.name, "icons": {}}
    return {"bot": shown | {"deleted": row.deactivated, "updated": row.updated}}
