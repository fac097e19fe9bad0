"""Write docs/web-api.md from the table of methods: `python -m scripts.web_api`; `tests/slack/test_web_api_page.py`
compares."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

import msgspec

from roost.slack.methods import METHODS, TIERS, Method

PAGE = Path(__file__).resolve().parent.parent / "docs" / "web-api.md"

#: Slack's public methods that programs call, by family, and the codes of their own that Slack documents. A method that
#: is here and not in the table is one that we do not answer.
SLACK: dict[str, str] = {
    "api.test": "", "auth.test": "", "auth.revoke": "",
    "oauth.v2.access": "", "apps.connections.open": "", "apps.manifest.validate": "", "apps.manifest.create": "",
    "apps.manifest.update": "", "apps.manifest.export": "", "apps.manifest.delete": "",
    "rtm.connect": "", "bots.info": "bot_not_found", "team.info": "", "team.profile.get": "", "emoji.list": "",
    "chat.postMessage": "channel_not_found not_in_channel is_archived no_text msg_too_long invalid_blocks "
    "invalid_blocks_format invalid_attachments too_many_attachments markdown_text_conflict thread_not_found "
    "cannot_reply_to_message invalid_metadata_format invalid_metadata_schema",
    "chat.update": "channel_not_found message_not_found cant_update_message no_text msg_too_long invalid_blocks",
    "chat.delete": "channel_not_found message_not_found cant_delete_message",
    "chat.postEphemeral": "channel_not_found not_in_channel user_not_in_channel is_archived no_text",
    "chat.meMessage": "channel_not_found not_in_channel is_archived no_text",
    "chat.getPermalink": "channel_not_found message_not_found",
    "chat.scheduleMessage": "channel_not_found time_in_past time_too_far invalid_time "
    "restricted_too_many",
    "chat.scheduledMessages.list": "channel_not_found invalid_cursor",
    "chat.deleteScheduledMessage": "channel_not_found invalid_scheduled_message_id", "chat.unfurl": "",
    "conversations.list": "invalid_types invalid_limit invalid_cursor", "conversations.info": "channel_not_found",
    "conversations.create": "name_taken invalid_name_required invalid_name_specials invalid_name_maxlength",
    "conversations.join": "channel_not_found is_archived method_not_supported_for_channel_type",
    "conversations.leave": "channel_not_found cant_leave_general last_member is_archived",
    "conversations.invite": "channel_not_found already_in_channel cant_invite_self cant_invite user_not_found "
    "not_in_channel no_user too_many_users is_archived",
    "conversations.kick": "channel_not_found cant_kick_self not_in_channel cant_kick_from_general user_not_found "
    "not_authorized",
    "conversations.members": "channel_not_found invalid_limit invalid_cursor",
    "conversations.history": "channel_not_found not_in_channel invalid_ts_latest invalid_ts_oldest invalid_cursor",
    "conversations.replies": "channel_not_found thread_not_found bad_timestamp",
    "conversations.mark": "channel_not_found not_in_channel invalid_timestamp",
    "conversations.open": "users_list_not_supplied user_not_found too_many_users user_disabled channel_not_found",
    "conversations.close": "channel_not_found method_not_supported_for_channel_type",
    "conversations.rename": "channel_not_found not_authorized name_taken not_in_channel is_archived invalid_name_…",
    "conversations.setTopic": "channel_not_found too_long not_in_channel is_archived",
    "conversations.setPurpose": "channel_not_found too_long not_in_channel is_archived",
    "conversations.archive": "channel_not_found already_archived cant_archive_general",
    "conversations.unarchive": "channel_not_found not_archived",
    "users.conversations": "invalid_types invalid_cursor user_not_found",
    "users.list": "invalid_cursor", "users.info": "user_not_found", "users.lookupByEmail": "users_not_found",
    "users.getPresence": "user_not_found", "users.setPresence": "invalid_presence",
    "users.profile.get": "user_not_found", "users.profile.set": "invalid_profile too_long not_admin",
    "users.setPhoto": "bad_image too_large", "users.deletePhoto": "", "users.identity": "",
    "dnd.info": "user_not_found", "dnd.teamInfo": "no_users_provided", "dnd.setSnooze": "missing_duration too_long",
    "dnd.endSnooze": "snooze_not_active", "dnd.endDnd": "not_in_dnd",
    "usergroups.list": "", "usergroups.create": "name_already_exists handle_already_exists permission_denied",
    "usergroups.update": "no_such_subteam", "usergroups.enable": "no_such_subteam",
    "usergroups.disable": "no_such_subteam", "usergroups.users.list": "no_such_subteam",
    "usergroups.users.update": "no_such_subteam invalid_users no_users_provided",
    "reactions.add": "channel_not_found not_in_channel already_reacted invalid_name message_not_found bad_timestamp "
    "no_item_specified too_many_emoji is_archived",
    "reactions.remove": "channel_not_found no_reaction message_not_found bad_timestamp no_item_specified",
    "reactions.get": "channel_not_found message_not_found no_item_specified bad_timestamp",
    "reactions.list": "user_not_found",
    "pins.add": "channel_not_found already_pinned message_not_found no_item_specified bad_timestamp",
    "pins.remove": "channel_not_found no_pin message_not_found no_item_specified bad_timestamp",
    "pins.list": "channel_not_found",
    "bookmarks.add": "channel_not_found invalid_bookmark_type invalid_link too_many_bookmarks",
    "bookmarks.edit": "channel_not_found not_found", "bookmarks.remove": "channel_not_found not_found",
    "bookmarks.list": "channel_not_found",
    "stars.add": "already_starred message_not_found", "stars.remove": "not_starred", "stars.list": "",
    "reminders.add": "cannot_parse user_not_found cannot_add_bot cannot_add_others", "reminders.list": "",
    "reminders.info": "not_found", "reminders.complete": "not_found", "reminders.delete": "not_found",
    "search.messages": "no_query", "search.files": "no_query", "search.all": "no_query",
    "files.getUploadURLExternal": "missing_argument no_file_data file_too_large file_uploads_disabled",
    "files.completeUploadExternal": "file_not_found file_deleted file_update_failed channel_not_found "
    "not_in_channel channels_limit_exceeded",
    "files.info": "file_not_found file_deleted", "files.list": "user_not_found unknown_type",
    "files.delete": "file_not_found file_deleted cant_delete_file",
    "files.sharedPublicURL": "file_not_found file_deleted",
    "files.revokePublicURL": "file_not_found", "files.upload": "method_deprecated",
    "views.open": "", "views.push": "", "views.update": "", "views.publish": "", "dialog.open": "",
}  # fmt: skip

#: What of a method is not as Slack has it.
PARTLY: dict[str, str] = {
    "chat.postMessage": "`unfurl_links`, `unfurl_media`, `mrkdwn`, `parse` and `link_names` are ignored",
    "chat.update": "`file_ids` and `reply_broadcast` are ignored",
    "files.getUploadURLExternal": "a file is one request: 10 MB, on AWS 4.4 MB; `files.getUploadForm` takes more",
    "reminders.add": "for oneself alone, and once; words are English",
    "search.files": "words of names and titles; modifiers are words, too",
    "users.setPhoto": "the picture is kept as it comes: `crop_x`, `crop_y` and `crop_w` are ignored",
    "files.upload": "as at Slack since 2025: always `method_deprecated`",
    "rtm.connect": "`batch_presence_aware` and `presence_sub` are ignored: subscribe by frame",
    "team.info": "of this workspace alone",
    "users.list": "`include_locale` is ignored",
}

_INTRO = """# The Web API

Slack's, at `/api/{method}`: clients for Slack work by changing the base URL alone. This page is written by
`python -m scripts.web_api` from the table of methods, `roost/slack/methods.py`.

* Arguments are read from a form, a JSON body, a multipart body and the query; unknown ones are ignored.
* Every answer is JSON with `ok`, and has status 200; the one other status is 429, with `Retry-After`.
* R is the rate tier, per token and method, in calls a minute: {tiers}.
* A token without scopes may do all that its bearer may; one with scopes needs one of those named here.
* Beside its own codes a method may answer: `not_authed`, `invalid_auth`, `token_revoked`, `token_expired`,
  `account_inactive`, `not_allowed_token_type`, `missing_scope`, `invalid_arguments`, `invalid_array_arg`,
  `invalid_charset`, `invalid_form_data`, `invalid_json`, `json_not_object`, `invalid_post_type`, `ratelimited`,
  `fatal_error`, and, where it takes a list's place, `invalid_limit` and `invalid_cursor`.
* What is hidden from somebody is `channel_not_found`, as if it were not there.
* A method that is not here is `unknown_method`.

"""


def page() -> str:
    """The whole page."""
    tiers = ", ".join(f"{name} {calls}" for name, calls in TIERS.items())
    ours = [method for method in METHODS.values() if method.name in SLACK]
    own = [method for method in METHODS.values() if method.name not in SLACK]
    missing = [name for name in SLACK if name not in METHODS]
    parts = [_INTRO.replace("{tiers}", tiers)]
    parts.append("## Slack's methods\n\n" + _table(ours))
    parts.append("## Roost's own methods\n\nFor its own clients, under the names of Slack's own where it has one.\n")
    parts.append(_table(own))
    parts.append("## Not answered\n\n" + "\n".join(f"* `{name}`" for name in missing) + "\n")
    return "\n".join(parts)


def _table(methods: list[Method]) -> str:
    lines = ["| method | arguments | scopes | tokens | R | its own codes | |", "|---|---|---|---|---|---|---|"]
    return "\n".join(lines + [_row(each) for each in sorted(methods, key=lambda each: each.name)]) + "\n"


def _row(method: Method) -> str:
    scopes = ", ".join(f"`{each}`" for each in method.scopes)
    tokens = ", ".join(sorted(method.tokens)) or "none"
    codes = ", ".join(f"`{each}`" for each in _codes(method))
    note = f"partly: {PARTLY[method.name]}" if method.name in PARTLY else "answered"
    return f"| `{method.name}` | {_arguments(method)} | {scopes} | {tokens} | {method.tier} | {codes} | {note} |"


def _arguments(method: Method) -> str:
    """Their names; those that must be there with a star."""
    fields = msgspec.structs.fields(method.arguments)
    return ", ".join(f"`{each.encode_name}`{'*' if each.required else ''}" for each in fields)


def _codes(method: Method) -> list[str]:
    """The codes that Slack documents, and those that stand in the function itself."""
    written = re.findall(r'ApiError\("(\w+)"', inspect.getsource(method.function))
    return sorted({*SLACK.get(method.name, "").split(), *written, *method.missing.values()})


def main() -> None:
    """Write the page."""
    PAGE.write_text(page())


if __name__ == "__main__":
    main()
