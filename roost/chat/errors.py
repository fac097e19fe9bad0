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
