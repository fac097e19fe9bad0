"""Ids of the forms that AWS gives: connections, requests, messages, HTTP requests."""

from __future__ import annotations

import base64
import os

_BYTES = 11  # 16 characters of URL-safe base64, padding included; observed on AWS
_POOL = 11 * 372  # one read of the system's random source serves this many bytes


class Ids:
    """Makes ids: 16 characters, URL-safe base64 of 11 random bytes, so always ending in `=`."""

    def __init__(self) -> None:
        self._pool = b""
        self._next = 0

    def new(self) -> str:
        """An id of a connection or of a request."""
        if self._next + _BYTES > len(self._pool):
            self._pool = os.urandom(_POOL)
            self._next = 0
        start = self._next
        self._next = start + _BYTES
        return base64.urlsafe_b64encode(self._pool[start : start + _BYTES]).decode()

    def message(self, connection_id: str) -> str:
        """An id of a message. On AWS it ends as its connection's id does."""
        return self.new()[:9] + connection_id[9:]
