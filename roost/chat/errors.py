"""What can be refused: a class for each, with Slack's code for it and a sentence for a person."""

from __future__ import annotations


class Refused(Exception):
    """A person asked for something that is not to be had. `code` is the public one, `sentence` says what to do."""

    code = "fatal_error"
    sentence = "That did not work."

    def __init__(self, sentence: str | None = None) -> None:
        super().__init__(self.code)
        if sentence is not None:
            self.sentence = sentence


class NoText(Refused):
    """A message without anything in it."""

    code = "no_text"
    sentence = "There is nothing to send."


class MessageTooLong(Refused):
    """A message over 40,000 characters or 30 KB."""

    code = "msg_too_long"
    sentence = "That is too long to send: at most 40,000 characters and 30 KB. Nothing was sent."


class InvalidCharset(Refused):
    """Text that is not Unicode."""

    code = "invalid_charset"
    sentence = "That is not valid text. Nothing was sent."


class InvalidNameRequired(Refused):
    """A channel name that is empty."""

    code = "invalid_name_required"
    sentence = "A channel needs a name."


class InvalidNameMaxlength(Refused):
    """A channel name over 80 characters."""

    code = "invalid_name_maxlength"
    sentence = "A channel name has at most 80 characters."


class InvalidNameSpecials(Refused):
    """A channel name with capitals, blanks or punctuation."""

    code = "invalid_name_specials"
    sentence = "A channel name is made of lower-case letters, digits, - and _."


class InvalidUserName(Refused):
    """A display name that is blank or over 80 characters."""

    code = "invalid_name"
    sentence = "A name has 1 to 80 characters that can be seen."


class NameTaken(Refused):
    """A name that belongs to somebody else."""

    code = "name_taken"
    sentence = "That name belongs to a member. Choose another."


class ChannelNotFound(Refused):
    """No such channel, or a private one of others: the answer is the same."""

    code = "channel_not_found"
    sentence = "There is no such channel."


class UserNotFound(Refused):
    """No such person."""

    code = "user_not_found"
    sentence = "There is no such person."


class InvalidAuth(Refused):
    """A token that is unknown, or of nobody."""

    code = "invalid_auth"
    sentence = "That token is not valid."


class AccountInactive(Refused):
    """A token of somebody who was deactivated."""

    code = "account_inactive"
    sentence = "That account is deactivated."


class NotAuthed(Refused):
    """Somebody without a seat: their connection is over, or was never let in."""

    code = "not_authed"
    sentence = "This connection is over. Connect again."


class UserIsRestricted(Refused):
    """A guest who wants what only members may do."""

    code = "user_is_restricted"
    sentence = "Guests may not do that."


class RateLimited(Refused):
    """Too much at once: of this person, or of the store."""

    code = "ratelimited"
    sentence = "Too much at once. Nothing was sent; try again in a moment."


class NotInChannel(Refused):
    """Somebody who does not belong to the channel."""

    code = "not_in_channel"
    sentence = "You do not belong to that channel. Join it first."


class AlreadyInChannel(Refused):
    """Somebody who belongs to it already."""

    code = "already_in_channel"
    sentence = "They belong to that channel already."


class IsArchived(Refused):
    """A channel that was archived."""

    code = "is_archived"
    sentence = "That channel is archived."


class AlreadyArchived(Refused):
    """A channel that was archived before."""

    code = "already_archived"
    sentence = "That channel is archived already."


class NotArchived(Refused):
    """A channel that was not archived."""

    code = "not_archived"
    sentence = "That channel is not archived."


class CantArchiveGeneral(Refused):
    """The channel that everybody is in."""

    code = "cant_archive_general"
    sentence = "#general cannot be archived."


class CantLeaveGeneral(Refused):
    """The channel that everybody is in."""

    code = "cant_leave_general"
    sentence = "Nobody can leave #general."


class CantKickFromGeneral(Refused):
    """The channel that everybody is in."""

    code = "cant_kick_from_general"
    sentence = "Nobody can be removed from #general."


class CantKickSelf(Refused):
    """Removing oneself is leaving."""

    code = "cant_kick_self"
    sentence = "You cannot remove yourself; leave instead."


class CantInviteSelf(Refused):
    """Inviting oneself is joining."""

    code = "cant_invite_self"
    sentence = "You cannot invite yourself."


class CantInvite(Refused):
    """Somebody who cannot be invited."""

    code = "cant_invite"
    sentence = "They cannot be invited."


class LastMember(Refused):
    """Nobody would be left in a private channel."""

    code = "last_member"
    sentence = "You are the last one here."


class MethodNotSupported(Refused):
    """What this kind of conversation does not know."""

    code = "method_not_supported_for_channel_type"
    sentence = "That cannot be done in this kind of conversation."


class NotAuthorized(Refused):
    """What takes another standing."""

    code = "not_authorized"
    sentence = "You may not do that."


class RestrictedAction(Refused):
    """What only admins may do."""

    code = "restricted_action"
    sentence = "Only an admin may do that."


class TooLong(Refused):
    """A topic or purpose over 250 characters."""

    code = "too_long"
    sentence = "That is too long: at most 250 characters."


class UsersNotSupplied(Refused):
    """A direct conversation with nobody."""

    code = "users_list_not_supplied"
    sentence = "With whom?"


class TooManyUsers(Refused):
    """A direct conversation with more than eight others."""

    code = "too_many_users"
    sentence = "A direct conversation has at most nine people."


class UserDisabled(Refused):
    """Somebody who was deactivated."""

    code = "user_disabled"
    sentence = "That account is deactivated."


class MessageNotFound(Refused):
    """No such message."""

    code = "message_not_found"
    sentence = "There is no such message."


class ThreadNotFound(Refused):
    """No such thread."""

    code = "thread_not_found"
    sentence = "There is no such thread."


class CantUpdateMessage(Refused):
    """A message of somebody else."""

    code = "cant_update_message"
    sentence = "You can change only what you wrote."


class CantDeleteMessage(Refused):
    """A message of somebody else."""

    code = "cant_delete_message"
    sentence = "You can delete only what you wrote."


class CannotReply(Refused):
    """A message that takes no replies."""

    code = "cannot_reply_to_message"
    sentence = "That message takes no replies."


class BadTimestamp(Refused):
    """A ts that is no ts."""

    code = "bad_timestamp"
    sentence = "That is not a message's ts."


class AlreadyReacted(Refused):
    """The same reaction again."""

    code = "already_reacted"
    sentence = "You reacted so already."


class NoReaction(Refused):
    """A reaction that is not there."""

    code = "no_reaction"
    sentence = "There is no such reaction of yours."


class TooManyEmoji(Refused):
    """More than 50 kinds of reaction."""

    code = "too_many_emoji"
    sentence = "That message has 50 kinds of reaction already."


class InvalidEmoji(Refused):
    """An emoji that does not exist."""

    code = "invalid_name"
    sentence = "There is no such emoji."


class AlreadyPinned(Refused):
    """A message that is pinned."""

    code = "already_pinned"
    sentence = "That is pinned already."


class NoPin(Refused):
    """A message that is not pinned."""

    code = "no_pin"
    sentence = "That is not pinned."


class TokenRevoked(Refused):
    """A token that was revoked."""

    code = "token_revoked"
    sentence = "That token was revoked."


class TokenExpired(Refused):
    """A token whose time is over."""

    code = "token_expired"
    sentence = "That token has expired."


class TooManyStreams(Refused):
    """The 21st event stream of one person."""

    code = "ratelimited"
    sentence = "You have 20 event streams open already."


class UserNotInChannel(Refused):
    """Somebody who does not belong to the channel, of whom something is wanted there."""

    code = "user_not_in_channel"
    sentence = "They do not belong to that channel."


class NoQuery(Refused):
    """A search for nothing."""

    code = "no_query"
    sentence = "What are you looking for?"


class QueryTooLong(Refused):
    """A search over 500 characters."""

    code = "invalid_arguments"
    sentence = "A search has at most 500 characters."


class TimeInPast(Refused):
    """A time that is over."""

    code = "time_in_past"
    sentence = "That time is over."


class TimeTooFar(Refused):
    """A time more than 120 days ahead."""

    code = "time_too_far"
    sentence = "That is more than 120 days ahead."


class TooManyScheduled(Refused):
    """More than 30 messages to one channel within five minutes."""

    code = "restricted_too_many"
    sentence = "At most 30 messages can be scheduled for one channel within five minutes."


class InvalidScheduledMessage(Refused):
    """No such scheduled message of theirs, or it is being posted."""

    code = "invalid_scheduled_message_id"
    sentence = "There is no such scheduled message."


class CannotParse(Refused):
    """A time in words that are not understood."""

    code = "cannot_parse"
    sentence = "That is not a time. Try: in 20 minutes, tomorrow at 9am."


class NotFound(Refused):
    """Something of one's own that is not there."""

    code = "not_found"
    sentence = "There is no such thing."


class FileNotFound(Refused):
    """No such file, or one that is not theirs to know."""

    code = "file_not_found"
    sentence = "There is no such file."


class FileIsDeleted(Refused):
    """A file that was deleted."""

    code = "file_deleted"
    sentence = "That file was deleted."


class CantDeleteFile(Refused):
    """A file of somebody else."""

    code = "cant_delete_file"
    sentence = "You can delete only what you uploaded."


class NoFileData(Refused):
    """A file without a byte, or none at all."""

    code = "no_file_data"
    sentence = "That file is empty."


class FileTooLarge(Refused):
    """A file over the limit."""

    code = "file_too_large"
    sentence = "That file is too large."


class FileUploadsDisabled(Refused):
    """A deployment without a place for files."""

    code = "file_uploads_disabled"
    sentence = "Files cannot be uploaded here."


class FileUpdateFailed(Refused):
    """A file whose bytes have not come."""

    code = "file_update_failed"
    sentence = "That file was not uploaded."


class BadImage(Refused):
    """What is no picture of a kind that is shown."""

    code = "bad_image"
    sentence = "That is no PNG, JPEG, GIF or WebP."


class WeakPassword(Refused):
    """A password under 8 characters, or one that everybody tries first."""

    code = "weak_password"
    sentence = "Choose a password of at least 8 characters that is not among the common ones."


class PasswordTooLong(Refused):
    """A password over 1,024 characters. Nothing is cut off, so none is taken that would have to be."""

    code = "password_too_long"
    sentence = "A password has at most 1,024 characters."


class InvalidEmail(Refused):
    """What is no e-mail address."""

    code = "invalid_email"
    sentence = "That is not an e-mail address."


class AlreadyInTeam(Refused):
    """An e-mail address that a member has."""

    code = "already_in_team"
    sentence = "A member has that e-mail address already."


class InvalidCode(Refused):
    """A set-up, invite or password link that is good for nothing: unknown, used up, withdrawn or too old."""

    code = "invalid_code"
    sentence = "That link is not valid any more. Ask for a new one."


class TooManyTries(Refused):
    """Too many failed tries to sign in. `seconds`: when to try again."""

    code = "ratelimited"
    sentence = "Too many tries. Wait a while."

    def __init__(self, seconds: int) -> None:
        super().__init__()
        self.seconds = seconds


class LastOwner(Refused):
    """The workspace would have no owner."""

    code = "restricted_action"
    sentence = "Somebody has to own the workspace. Make another owner first."


class CantUpdateAdmin(Refused):
    """An owner, whom only owners may change."""

    code = "cannot_update_admin_user"
    sentence = "Only an owner may change an owner."


class InviteNotFound(Refused):
    """No such invite."""

    code = "invite_not_found"
    sentence = "There is no such invite."


class InvalidRole(Refused):
    """A role that does not exist, or that nobody can be given so."""

    code = "invalid_role"
    sentence = "A role is owner, admin, member or restricted."


class TokenNotFound(Refused):
    """No such token."""

    code = "token_not_found"
    sentence = "There is no such token."


class InvalidScope(Refused):
    """A scope that does not exist, or that goes beyond one's own."""

    code = "invalid_scope"
    sentence = "A token may have only scopes that exist and that the token which makes it has."


class InvalidZone(Refused):
    """A time zone that does not exist."""

    code = "invalid_timezone"
    sentence = "There is no such time zone."


class InvalidPreference(Refused):
    """A setting that does not exist, or that cannot be so; or too many of them."""

    code = "invalid_prefs"
    sentence = "That cannot be set so."


class TooManyBookmarks(Refused):
    """More than 100 bookmarks of one conversation."""

    code = "too_many_bookmarks"
    sentence = "There are 100 bookmarks here already."


class InvalidLink(Refused):
    """What is no address of a web page."""

    code = "invalid_link"
    sentence = "A link begins with http:// or https://."


class AlreadyStarred(Refused):
    """What was kept before."""

    code = "already_starred"
    sentence = "You keep that already."


class NotStarred(Refused):
    """What was not kept."""

    code = "not_starred"
    sentence = "You do not keep that."


class EmojiTaken(Refused):
    """An emoji's name that there is."""

    code = "error_name_taken"
    sentence = "There is an emoji of that name."


class BadEmojiName(Refused):
    """What cannot be an emoji's name."""

    code = "error_bad_name_i18n"
    sentence = "An emoji's name is made of lower-case letters, digits, _ and -."


class EmojiNotFound(Refused):
    """No such emoji of the workspace's own."""

    code = "emoji_not_found"
    sentence = "There is no such emoji."


class EmojiTooLarge(Refused):
    """A picture over 128 KB."""

    code = "resized_but_still_too_large"
    sentence = "An emoji has at most 128 KB."


class NoPermission(Refused):
    """What only its maker or an admin may do."""

    code = "no_permission"
    sentence = "You may not do that."


class InvalidProfile(Refused):
    """A profile with something that cannot be so."""

    code = "invalid_profile"
    sentence = "That cannot be said so in a profile."


class InvalidStatusEmoji(Refused):
    """A status emoji that is none."""

    code = "profile_status_set_failed_not_valid_emoji"
    sentence = "There is no such emoji."


class ReservedName(Refused):
    """A name that means something else."""

    code = "reserved_name"
    sentence = "That name means something else. Choose another."


class NotAdmin(Refused):
    """What only admins may change of others."""

    code = "not_admin"
    sentence = "Only an admin may change that of somebody else."


class NotQuiet(Refused):
    """Quiet that is to end and is not."""

    code = "snooze_not_active"
    sentence = "There is no quiet to end."


class GroupNotFound(Refused):
    """No such user group."""

    code = "no_such_subteam"
    sentence = "There is no such group."


class HandleTaken(Refused):
    """A handle that another user group has."""

    code = "handle_already_exists"
    sentence = "That handle belongs to another group."


class InvalidHandle(Refused):
    """A handle that is none."""

    code = "invalid_handle"
    sentence = "A handle is made of 1 to 21 letters, digits, - _ and ."


class InvalidUsers(Refused):
    """People of whom somebody does not exist, or too many."""

    code = "invalid_users"
    sentence = "Somebody of them does not exist."


class UsersNotProvided(Refused):
    """A group of nobody."""

    code = "no_users_provided"
    sentence = "Who?"


class PermissionDenied(Refused):
    """What guests may not do with user groups."""

    code = "permission_denied"
    sentence = "Guests may not do that."


class NotInvited(Refused):
    """Somebody whom nobody invited, and of no domain whose people may come by themselves."""

    code = "not_authorized"
    sentence = "Nobody has invited that address. Ask an admin for an invite."
