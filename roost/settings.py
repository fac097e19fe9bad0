"""How one deployment behaves: read once, then frozen."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Settings:
    """What the chat is told from outside."""

    guests: bool = True  #: people without an account may talk
    limits: bool = False  #: each connection may send so much a minute
    origins: tuple[str, ...] = ()  #: web origins that may open a socket, besides the server's own

    @classmethod
    def from_environment(cls, environ: Mapping[str, str]) -> Settings:
        """`ROOST_GUESTS` and `ROOST_LIMITS` (`on` or `off`), `ROOST_ORIGINS` (separated by blanks)."""
        return cls(
            guests=environ.get("ROOST_GUESTS", "off") == "on",
            limits=environ.get("ROOST_LIMITS", "on") == "on",
            origins=tuple(environ.get("ROOST_ORIGINS", "").split()),
        )
