"""`invites`: links that let people in. Roost's own; Slack's public methods send e-mails instead."""

from __future__ import annotations

from typing import Any

from roost.chat.accounts import fold_email
from roost.chat.invites import LIFE
from roost.slack.arguments import Arguments, names
from roost.slack.auth import Nothing
from roost.slack.call import Call
from roost.storage.items import InviteRow


class Create(Arguments, frozen=True):
    """`invites.create`"""

    role: str = "member"
    channels: str | list[str] = ""
    expires_in: int = LIFE
    uses: int = 1
    email: str = ""
    label: str = ""


class Revoke(Arguments, frozen=True):
    """`invites.revoke`"""

    invite: str


def create(call: Call, arguments: Create) -> dict[str, Any]:
    """`invites.create`: the link is in the answer and nowhere else."""
    code, row = call.chat.invites.create(
        call.person,
        role=arguments.role,
        channels=names(arguments.channels),
        seconds=arguments.expires_in,
        uses=arguments.uses,
        email=fold_email(arguments.email) if arguments.email else "",
        label=arguments.label[:250],
    )
    return {"invite": shape(row), "code": code, "url": f"{call.url}join#{code}"}


def list_(call: Call, arguments: Nothing) -> dict[str, Any]:
    """`invites.list`: those that are good for something still, without their codes."""
    return {"invites": [shape(row) for row in call.chat.invites.all(call.person)]}


def revoke(call: Call, arguments: Revoke) -> dict[str, Any]:
    """`invites.revoke`"""
    call.chat.invites.revoke(call.person, arguments.invite)
    return {}


def shape(row: InviteRow) -> dict[str, Any]:
    """An invite, without what it takes to use it."""
    shown: dict[str, Any] = {
        "id": row.id,
        "role": row.role,
        "channels": row.channels,
        "created": row.created,
        "created_by": row.by,
        "expires": row.expires,
        "uses_left": row.uses,
    }
    return shown | {name: getattr(row, name) for name in ("email", "label") if getattr(row, name)}
