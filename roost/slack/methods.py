"""The table of methods: name → function, arguments, scopes, rate tier; and how a call is answered.

Every answer is Slack-shaped with status 200, but 429 for a rate: client libraries take any other status for a breakdown
and repeat the call for half an hour.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from roost.slack import (
    admin,
    auth,
    bookmarks,
    chat,
    client,
    conversations,
    dnd,
    emoji,
    files,
    invites,
    photos,
    reactions,
    reminders,
    scheduled,
    search,
    stars,
    team,
    threads,
    usergroups,
    users,
)
from roost.slack.arguments import Arguments
from roost.slack.auth import Nothing

#: Calls a minute by tier, bursts included. Slack promises at least 1, 20, 50 and 100; S is a method's own.
TIERS = {1: 20, 2: 40, 3: 100, 4: 200, "S": 600}

PEOPLE = frozenset({"user", "session"})
EVERYBODY = PEOPLE | {"bot"}

_READ = ("channels:read", "groups:read", "im:read", "mpim:read")
_HISTORY = ("channels:history", "groups:history", "im:history", "mpim:history")
_WRITE = ("channels:manage", "channels:write", "groups:write", "im:write", "mpim:write")


@dataclass(frozen=True, slots=True)
class Method:
    """One row of the table."""

    name: str
    function: Callable[[Any, Any], dict[str, Any]]
    arguments: type[Arguments]
    scopes: tuple[str, ...] = ()  #: any of them; none: no scope is needed
    tier: int | str = 3
    tokens: frozenset[str] = EVERYBODY  #: kinds of token that may call; none: no token is needed
    missing: Mapping[str, str] = field(default_factory=dict)  #: the method's own code for an argument that is missing
    own: bool = False  #: Roost's own, not a public one of Slack's


_NOBODY: frozenset[str] = frozenset()
_ACCOUNT = ("account:write",)
_INVITES = ("admin.invites:write",)
_ADMIN = ("admin.users:write",)
_DND = ("dnd:write",)
_GROUPS = ("usergroups:write",)
_NAMELESS = {"name": "invalid_name_required"}
_QUERYLESS = {"query": "no_query"}
_MISSING = {"filename": "missing_argument", "length": "missing_argument"}
_PUT = ("files:write",)

METHODS: dict[str, Method] = {
    method.name: method
    for method in (
        Method("api.test", auth.test_api, auth.Test, tier=4, tokens=frozenset()),
        Method("auth.test", auth.test, Nothing, tier="S", tokens=EVERYBODY | {"app"}),
        Method("auth.revoke", auth.revoke, auth.Revoke),
        Method("auth.signup", auth.sign_up, auth.SignUp, tier=1, tokens=_NOBODY, own=True),
        Method("auth.signin", auth.sign_in, auth.SignIn, tier=2, tokens=_NOBODY, own=True),
        Method("auth.exchange", auth.exchange, auth.Exchange, tier=2, tokens=_NOBODY, own=True),
        Method("auth.resetPassword", auth.reset_password, auth.ResetPassword, tier=1, tokens=_NOBODY, own=True),
        Method("auth.signout", auth.sign_out, Nothing, tokens=PEOPLE, own=True),
        Method("auth.signoutEverywhere", auth.sign_out_everywhere, Nothing, _ACCOUNT, 2, PEOPLE, own=True),
        Method("auth.setPassword", auth.set_password, auth.SetPassword, _ACCOUNT, 2, PEOPLE, own=True),
        Method("auth.setEmail", auth.set_email, auth.SetEmail, _ACCOUNT, 2, PEOPLE, own=True),
        Method("invites.create", invites.create, invites.Create, _INVITES, 2, PEOPLE, own=True),
        Method("invites.list", invites.list_, Nothing, _INVITES, 2, PEOPLE, own=True),
        Method("invites.revoke", invites.revoke, invites.Revoke, _INVITES, 2, PEOPLE, own=True),
        Method("tokens.create", admin.create_token, admin.CreateToken, _ACCOUNT, 2, PEOPLE, own=True),
        Method("tokens.list", admin.list_tokens, admin.ListTokens, _ACCOUNT, 2, PEOPLE, own=True),
        Method("tokens.revoke", admin.revoke_token, admin.RevokeToken, _ACCOUNT, 2, PEOPLE, own=True),
        Method("users.admin.setOwner", admin.set_owner, admin.User, _ADMIN, 2, PEOPLE, own=True),
        Method("users.admin.setAdmin", admin.set_admin, admin.User, _ADMIN, 2, PEOPLE, own=True),
        Method("users.admin.setRegular", admin.set_regular, admin.User, _ADMIN, 2, PEOPLE, own=True),
        Method("users.admin.setRestricted", admin.set_restricted, admin.User, _ADMIN, 2, PEOPLE, own=True),
        Method("users.admin.setInactive", admin.set_inactive, admin.User, _ADMIN, 2, PEOPLE, own=True),
        Method("users.admin.setActive", admin.set_active, admin.User, _ADMIN, 2, PEOPLE, own=True),
        Method("users.admin.signOut", admin.sign_out, admin.User, _ADMIN, 2, PEOPLE, own=True),
        Method("users.admin.createPasswordLink", admin.password_link, admin.User, _ADMIN, 2, PEOPLE, own=True),
        Method("team.profile.get", team.get_profile, Nothing, ("users.profile:read",)),
        Method("bots.info", team.bot, team.Bot, ("users:read",)),
        Method("users.lookupByEmail", users.lookup_by_email, users.LookupByEmail, ("users:read.email",)),
        Method("users.identity", users.identity, Nothing, ("identity.basic",), tokens=PEOPLE),
        Method("users.profile.get", users.get_profile, users.GetProfile, ("users.profile:read",), 4),
        Method("users.profile.set", users.set_profile, users.SetProfile, ("users.profile:write",), 3, PEOPLE),
        Method("users.getPresence", users.get_presence, users.GetProfile, ("users:read",)),
        Method("users.setPresence", users.set_presence, users.SetPresence, ("users:write",), 2),
        Method("dnd.info", dnd.info, dnd.Info, ("dnd:read",)),
        Method("dnd.teamInfo", dnd.team_info, dnd.TeamInfo, ("dnd:read",), 2, missing={"users": "no_users_provided"}),
        Method("dnd.setSnooze", dnd.set_snooze, dnd.SetSnooze, _DND, 2, PEOPLE, {"num_minutes": "missing_duration"}),
        Method("dnd.endSnooze", dnd.end_snooze, Nothing, _DND, 2, PEOPLE),
        Method("dnd.endDnd", dnd.end_dnd, Nothing, _DND, 2, PEOPLE),
        Method("usergroups.list", usergroups.list_, usergroups.List, ("usergroups:read",), 2),
        Method("usergroups.create", usergroups.create, usergroups.Create, _GROUPS, 2),
        Method("usergroups.update", usergroups.update, usergroups.Update, _GROUPS, 2),
        Method("usergroups.enable", usergroups.enable, usergroups.One, _GROUPS, 2),
        Method("usergroups.disable", usergroups.disable, usergroups.One, _GROUPS, 2),
        Method("usergroups.users.list", usergroups.users, usergroups.Users, ("usergroups:read",), 2),
        Method("usergroups.users.update", usergroups.set_users, usergroups.SetUsers, _GROUPS, 2),
        Method("users.prefs.get", users.get_prefs, Nothing, _ACCOUNT, tokens=PEOPLE, own=True),
        Method("users.prefs.set", users.set_prefs, users.SetPrefs, _ACCOUNT, tokens=PEOPLE, own=True),
        Method("team.prefs.get", team.get_prefs, Nothing, ("team:read",), own=True),
        Method("team.prefs.set", team.set_prefs, team.SetPref, ("admin.teams:write",), 2, PEOPLE, own=True),
        Method("team.info", team.info, Nothing, ("team:read",)),
        Method("rtm.connect", auth.rtm_connect, Nothing, tier=1),
        Method("chat.postMessage", chat.post_message, chat.PostMessage, ("chat:write",), "S"),
        Method("chat.postEphemeral", chat.post_ephemeral, chat.PostEphemeral, ("chat:write",), 4),
        Method("chat.update", chat.update, chat.Update, ("chat:write",)),
        Method("chat.delete", chat.delete, chat.Delete, ("chat:write",)),
        Method("chat.meMessage", chat.me_message, chat.MeMessage, ("chat:write",), missing={"text": "no_text"}),
        Method("chat.getPermalink", chat.get_permalink, chat.GetPermalink, tier="S"),
        Method("chat.scheduleMessage", scheduled.schedule, scheduled.Schedule, ("chat:write",)),
        Method("chat.scheduledMessages.list", scheduled.list_, scheduled.List),
        Method("chat.deleteScheduledMessage", scheduled.delete, scheduled.Delete, ("chat:write",)),
        Method("conversations.list", conversations.list_, conversations.List, _READ, 2),
        Method("conversations.info", conversations.info, conversations.Info, _READ),
        Method("conversations.create", conversations.create, conversations.Create, _WRITE, 2, missing=_NAMELESS),
        Method("conversations.join", conversations.join, conversations.One, ("channels:join", "channels:write")),
        Method("conversations.leave", conversations.leave, conversations.One, _WRITE),
        Method("conversations.invite", conversations.invite, conversations.Invite, _WRITE),
        Method("conversations.kick", conversations.kick, conversations.Kick, _WRITE),
        Method("conversations.members", conversations.members_, conversations.Members, _READ, 4),
        Method("conversations.history", conversations.history, conversations.History, _HISTORY),
        Method("conversations.replies", conversations.replies, conversations.Replies, _HISTORY),
        Method("conversations.mark", conversations.mark, conversations.Mark, _WRITE),
        Method("conversations.open", conversations.open_, conversations.Open, _WRITE),
        Method("conversations.close", conversations.close, conversations.One, _WRITE, 2),
        Method("conversations.rename", conversations.rename, conversations.Rename, _WRITE, 2, missing=_NAMELESS),
        Method("conversations.setTopic", conversations.set_topic, conversations.SetTopic, _WRITE, 2),
        Method("conversations.setPurpose", conversations.set_purpose, conversations.SetPurpose, _WRITE, 2),
        Method("conversations.archive", conversations.archive, conversations.One, _WRITE, 2),
        Method("conversations.unarchive", conversations.unarchive, conversations.One, _WRITE, 2),
        Method("users.conversations", conversations.of_user, conversations.List, _READ),
        Method("users.list", users.list_, users.List, ("users:read",), 2),
        Method("users.info", users.info, users.Info, ("users:read",), 4, missing={"user": "user_not_found"}),
        Method("reactions.add", reactions.add, reactions.React, ("reactions:write",)),
        Method("reactions.remove", reactions.remove, reactions.React, ("reactions:write",), 2),
        Method("reactions.get", reactions.get, reactions.Get, ("reactions:read",)),
        Method("pins.add", reactions.pin, reactions.Pin, ("pins:write",), 2),
        Method("pins.remove", reactions.unpin, reactions.Pin, ("pins:write",), 2),
        Method("search.messages", search.messages, search.Search, ("search:read",), 2, PEOPLE, _QUERYLESS),
        Method("search.files", search.files, search.Search, ("search:read",), 2, PEOPLE, _QUERYLESS),
        Method("search.all", search.everything, search.Search, ("search:read",), 2, PEOPLE, _QUERYLESS),
        Method("pins.list", reactions.pins, reactions.Pins, ("pins:read",), 2),
        Method("conversations.markUnread", client.mark_unread, client.MarkUnread, _WRITE, own=True),
        Method("users.prefs.setNotifications", client.set_notifications, client.Notify, _WRITE, 3, PEOPLE, own=True),
        Method("client.counts", client.counts, Nothing, _READ, 3, PEOPLE, own=True),
        Method("activity.mentions", client.mentions, client.Mentions, _HISTORY, 3, PEOPLE, own=True),
        Method("subscriptions.thread.get", threads.get, threads.One, _HISTORY, 3, PEOPLE, own=True),
        Method("subscriptions.thread.add", threads.add, threads.Follow, _WRITE, 3, PEOPLE, own=True),
        Method("subscriptions.thread.remove", threads.remove, threads.One, _WRITE, 3, PEOPLE, own=True),
        Method("subscriptions.thread.mark", threads.mark, threads.Mark, _WRITE, 3, PEOPLE, own=True),
        Method("subscriptions.thread.clearAll", threads.clear_all, threads.View, _WRITE, 3, PEOPLE, own=True),
        Method("subscriptions.thread.getView", threads.get_view, threads.View, _HISTORY, 3, PEOPLE, own=True),
        Method("reactions.list", reactions.list_, reactions.List, ("reactions:read",), 2),
        Method("bookmarks.add", bookmarks.add, bookmarks.Add, ("bookmarks:write",), 2),
        Method("bookmarks.edit", bookmarks.edit, bookmarks.Edit, ("bookmarks:write",), 2),
        Method("bookmarks.remove", bookmarks.remove, bookmarks.Remove, ("bookmarks:write",), 2),
        Method("bookmarks.list", bookmarks.list_, bookmarks.List, ("bookmarks:read",)),
        Method("stars.add", stars.add, stars.Item, ("stars:write",), 2, PEOPLE),
        Method("stars.remove", stars.remove, stars.Item, ("stars:write",), 2, PEOPLE),
        Method("stars.list", stars.list_, stars.List, ("stars:read",), tokens=PEOPLE),
        Method("emoji.list", emoji.list_, Nothing, ("emoji:read",), 2),
        Method("emoji.add", emoji.add, emoji.Add, (), 2, PEOPLE, own=True),
        Method("emoji.remove", emoji.remove, emoji.Remove, (), 2, PEOPLE, own=True),
        Method("users.setPhoto", photos.set_photo, Nothing, ("users.profile:write",), 2, PEOPLE),
        Method("users.deletePhoto", photos.delete_photo, Nothing, ("users.profile:write",), 2, PEOPLE),
        Method("files.getUploadURLExternal", files.get_upload_url, files.GetUploadUrl, _PUT, 4, missing=_MISSING),
        Method("files.completeUploadExternal", files.complete, files.Complete, _PUT, 4),
        Method("files.getUploadForm", files.get_upload_form, files.GetUploadForm, _PUT, 4, own=True),
        Method("files.info", files.info, files.One, ("files:read",), 4),
        Method("files.list", files.list_, files.List, ("files:read",)),
        Method("files.delete", files.delete, files.One, _PUT),
        Method("files.sharedPublicURL", files.publish, files.One, _PUT, tokens=PEOPLE),
        Method("files.revokePublicURL", files.withdraw, files.One, _PUT, tokens=PEOPLE),
        Method("files.upload", files.retired, Nothing, (), 2),
        Method("reminders.add", reminders.add, reminders.Add, ("reminders:write",), 2, PEOPLE),
        Method("reminders.list", reminders.list_, Nothing, ("reminders:read",), 2, PEOPLE),
        Method("reminders.info", reminders.info, reminders.One, ("reminders:read",), 2, PEOPLE),
        Method("reminders.complete", reminders.complete, reminders.One, ("reminders:write",), 2, PEOPLE),
        Method("reminders.delete", reminders.delete, reminders.One, ("reminders:write",), 2, PEOPLE),
    )
}
