"""Passwords: which are too weak, and argon2id.

The parameters are OWASP's first recommendation for argon2id (Password Storage Cheat Sheet): 19 MiB, two passes, one
lane. A hash says which it was made with, so that one made with less is made anew when its owner signs in.
"""

from __future__ import annotations

import functools
from pathlib import Path
from typing import TYPE_CHECKING

from roost.chat.errors import PasswordTooLong, WeakPassword

if TYPE_CHECKING:
    from argon2 import PasswordHasher

MIN_LENGTH = 8  # characters: NIST SP 800-63B
MAX_LENGTH = 1024
MEMORY_KIB = 19 * 1024
PASSES = 2
LANES = 1

#: A hash with the parameters above of a password that nobody knows: what the password of an unknown person is compared
#: with, so that the answer takes as long as for one who is known.
_NOBODYS = "$argon2id$v=19$m=19456,t=2,p=1$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"


def check(password: str, *own: str) -> None:
    """Return if this may be somebody's password; `own` is what they are called. Raises `WeakPassword` or
    `PasswordTooLong`."""
    if len(password) > MAX_LENGTH:
        raise PasswordTooLong
    lower = password.casefold()
    if len(password) < MIN_LENGTH or len(set(lower)) < 3 or lower in _common():
        raise WeakPassword
    if lower in {name.casefold() for name in own}:
        raise WeakPassword("Choose a password that is not your name or address.")


@functools.cache
def _common() -> frozenset[str]:
    """What everybody tries first: those of 8 characters and more among the most frequent passwords of public leaks, as
    the zxcvbn project (MIT licence) lists them, and some of our own."""
    return frozenset(Path(__file__).with_name("common_passwords.txt").read_text().split())


@functools.cache
def _hasher() -> PasswordHasher:
    from argon2 import PasswordHasher  # here, since few calls need it and it is slow to import

    return PasswordHasher(time_cost=PASSES, memory_cost=MEMORY_KIB, parallelism=LANES)


def hashed(password: str) -> str:
    """A password as it may be kept."""
    return _hasher().hash(password)


def verified(kept: str, password: str) -> bool:
    """Whether this is the password of a hash. With no hash at all it takes as long, and is not."""
    from argon2.exceptions import InvalidHashError, VerificationError

    try:
        return _hasher().verify(kept or _NOBODYS, password) and bool(kept)
    except (VerificationError, InvalidHashError):
        return False


def outdated(kept: str) -> bool:
    """Whether a hash was made with other parameters than today's."""
    return _hasher().check_needs_rehash(kept)
