"""`users.admin`, `tokens`: what admins decide about people, and the tokens that people give to programs.

Slack's own client calls `users.admin.setRegular` and its like; they are not public, and what is said of them here is
Roost's own. `tokens` are Roost's altogether.
"""

from __future__ import annotations

from typing import Any

from roost.chat.rights import check_admin
from roost.slack import users
from roost.slack.arguments import Arguments, names
from roost.slack.call import Call
from roost.storage.items import TokenRow

_MAX_LIFE = 10 * 365 * 86400  # seconds


class User(Arguments, frozen=True):
    """Whom it is about."""

    user: str


class CreateToken(Arguments, frozen=True):
    """`tokens.create`"""

    label: str = ""
    scopes: str | list[str] = ""
    expires_in: int = 0  #: seconds; 0: never


class ListTokens(Arguments, frozen=True):
    """`tokens.list`"""

    user: str = ""
    all: bool = False


class RevokeToken(Arguments, frozen=True):
    """`tokens.revoke`"""

    token_id: str
    user: str = ""


# -- people ------------------------------------------------------------------------------------------------------------


def set_owner(call: Call, arguments: User) -> dict[str, Any]:
    """`users.admin.setOwner`: for owners alone."""
    return _set_role(call, arguments, "owner")


def set_admin(call: Call, arguments: User) -> dict[str, Any]:
    """`users.admin.setAdmin`"""
    return _set_role(call, arguments, "admin")


def set_regular(call: Call, arguments: User) -> dict[str, Any]:
    """`users.admin.setRegular`"""
    return _set_role(call, arguments, "member")


def set_restricted(call: Call, arguments: User) -> dict[str, Any]:
    """`users.admin.setRestricted`: they keep the channels that they belong to, and see no others."""
    return _set_role(call, arguments, "restricted")


def _set_role(call: Call, arguments: User, role: str) -> dict[str, Any]:
    return {"user": users.shape(call, call.chat.roles.set_role(call.person, arguments.user, role))}


def set_inactive(call: Call, arguments: User) -> dict[str, Any]:
    """`users.admin.setInactive`: their tokens are refused and their connections closed at once."""
    return {"user": users.shape(call, call.chat.roles.deactivate(call.person, arguments.user))}


def set_active(call: Call, arguments: User) -> dict[str, Any]:
    """`users.admin.setActive`: let somebody back in, who signs in anew."""
    return {"user": users.shape(call, call.chat.roles.reactivate(call.person, arguments.user))}


def sign_out(call: Call, arguments: User) -> dict[str, Any]:
    """`users.admin.signOut`: end every session of somebody."""
    call.chat.roles.sign_out(call.person, arguments.user)
    return {}


def password_link(call: Call, arguments: User) -> dict[str, Any]:
    """`users.admin.createPasswordLink`: a link with which somebody chooses a new password, within a day."""
    check_admin(call.person)
    call.chat.roles.check_may_change(call.person, arguments.user)
    code, row = call.chat.invites.for_password(call.chat.people.row(arguments.user), call.person.id)
    return {"code": code, "url": f"{call.url}password#{code}", "expires": row.expires}


# -- tokens ------------------------------------------------------------------------------------------------------------


def create_token(call: Call, arguments: CreateToken) -> dict[str, Any]:
    """`tokens.create`: the token is in the answer and nowhere else."""
    seconds = min(max(arguments.expires_in, 0), _MAX_LIFE)
    scopes = names(arguments.scopes)
    token, row = call.chat.roles.create_token(call.who, arguments.label, scopes, seconds)
    return {"token": token, "info": _shape(row)}


def list_tokens(call: Call, arguments: ListTokens) -> dict[str, Any]:
    """`tokens.list`: one's own; as an admin somebody else's, or everybody's."""
    chat, user = call.chat, arguments.user or call.person.id
    chat.roles.check_may_change(call.person, user)
    wanted = [user]
    if arguments.all:
        check_admin(call.person)
        wanted = [row.id for row in chat.people.everybody()]
    return {"tokens": [_shape(row) for each in wanted for row in chat.people.tokens(each)]}


def revoke_token(call: Call, arguments: RevokeToken) -> dict[str, Any]:
    """`tokens.revoke`: the event streams that it opened are closed."""
    call.chat.roles.revoke_token(call.person, arguments.user or call.person.id, arguments.token_id)
    return {}


def _shape(row: TokenRow) -> dict[str, Any]:
    return {
        "id": row.id,
        "user": row.user,
        "kind": row.kind,
        "label": row.label,
        "scopes": row.scopes,
        "created": row.created,
        "expires": row.expires,
    }
