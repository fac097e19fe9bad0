"""What people and channels may be called."""

from __future__ import annotations

import unicodedata

from roost.chat.errors import (
    InvalidNameMaxlength,
    InvalidNameRequired,
    InvalidNameSpecials,
    InvalidUserName,
)

MAX_NAME = 80  # characters, of people as of channels: Slack's limit

#: Characters that change the direction of what follows: U+061C, U+200E-200F, U+202A-202E, U+2066-2069.
BIDI = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
_INVISIBLE = frozenset({"Cc", "Cs", "Zl", "Zp"})  # controls, lone surrogates, line and paragraph separators


def clean_user_name(name: str) -> str:
    """A display name without what cannot be seen. Raises `InvalidUserName` if nothing or too much is left."""
    kept = "".join(c for c in name if unicodedata.category(c) not in _INVISIBLE and c not in BIDI)
    kept = kept.strip()
    if not kept or len(kept) > MAX_NAME or all(unicodedata.category(c) == "Cf" for c in kept):
        raise InvalidUserName
    return kept


def fold(name: str) -> str:
    """The form in which two names are compared: letters in one case, compatible characters alike."""
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", name).casefold())


def check_channel_name(name: str) -> None:
    """Raise unless this is a channel name: 1 to 80 lower-case letters of any script, digits, `-` and `_`."""
    if not name:
        raise InvalidNameRequired
    if len(name) > MAX_NAME:
        raise InvalidNameMaxlength
    if not all(c in "-_" or _is_name_character(c) for c in name):
        raise InvalidNameSpecials


def _is_name_character(c: str) -> bool:
    category = unicodedata.category(c)
    return category in ("Ll", "Lm", "Lo", "Mn", "Mc", "Nd")
