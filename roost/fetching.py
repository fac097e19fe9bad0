"""Fetching from somebody else's server, with care: no redirects, and neither for long nor for much.

Imported where it is used: urllib takes the e-mail package with it, a tenth of what a function needs to start.
"""

from __future__ import annotations

import urllib.request
from collections.abc import Mapping
from typing import Any


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """Redirects are errors: they could lead anywhere."""

    def redirect_request(self, *_: Any, **__: Any) -> None:
        """None: urllib raises the answer as an error."""


def fetched(url: str, body: bytes | None, headers: Mapping[str, str], *, seconds: float, most: int) -> bytes:
    """What a server answers, to a POST where there is a body. `seconds` is for each wait. Raises `OSError`, or
    `ValueError` where the answer has more than `most` bytes."""
    request = urllib.request.Request(url, body, dict(headers))  # noqa: S310  whoever calls has looked at the address
    with urllib.request.build_opener(_NoRedirects).open(request, timeout=seconds) as answer:
        read: bytes = answer.read(most + 1)
    if len(read) > most:
        raise ValueError("the answer is too long")
    return read
