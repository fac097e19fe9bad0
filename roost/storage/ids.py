"""New ids, in Slack's form: a letter for the kind, then capitals and digits."""

from __future__ import annotations

import secrets

_ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"  # Crockford's: no I, L, O, U to misread
_LENGTH = 10  # 50 random bits; a clash is refused by the condition that writes the item


def new_id(prefix: str) -> str:
    """`new_id("C")` is like `C7Z3K9QW2XA`."""
    bits = int.from_bytes(secrets.token_bytes(7))
    return prefix + "".join(_ALPHABET[(bits >> (5 * place)) & 31] for place in range(_LENGTH))
