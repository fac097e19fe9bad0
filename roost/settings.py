"""How one deployment behaves: read once, then frozen."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Oidc:
    """The identity provider that people may sign in with."""

    issuer: str
    client_id: str
    client_secret: str
    domains: frozenset[str] = frozenset()  #: of whose addresses anybody may become a member; others need an invite

    @classmethod
    def from_environment(cls, environ: Mapping[str, str]) -> Oidc | None:
        """`ROOST_OIDC_ISSUER`, `ROOST_OIDC_CLIENT_ID`, `ROOST_OIDC_CLIENT_SECRET`, and `ROOST_OIDC_DOMAINS` (separated
        by blanks); None where no issuer is named."""
        issuer = environ.get("ROOST_OIDC_ISSUER", "")
        if not issuer:
            return None
        client_id, secret = environ.get("ROOST_OIDC_CLIENT_ID", ""), environ.get("ROOST_OIDC_CLIENT_SECRET", "")
        return cls(issuer, client_id, secret, frozenset(environ.get("ROOST_OIDC_DOMAINS", "").lower().split()))


@dataclass(frozen=True, slots=True)
class Settings:
    """What the chat is told from outside."""

    guests: bool = True  #: people without an account may talk
    limits: bool = False  #: each connection may send so much a minute
    origins: tuple[str, ...] = ()  #: web origins that may open a socket, besides the server's own
    url: str = ""  #: the server's web address, ending in `/`; empty: as each request names it
    address: str = "/"  #: the same where no request names it: in what is pushed
    socket_url: str = ""  #: where event streams are opened, ending in `/`; empty: the same host

    oidc: Oidc | None = None

    @property
    def home(self) -> str:
        """The server's web address as events give it."""
        return self.url or self.address

    @classmethod
    def from_environment(cls, environ: Mapping[str, str]) -> Settings:
        """`ROOST_GUESTS` and `ROOST_LIMITS` (`on` or `off`), `ROOST_ORIGINS` (separated by blanks), `ROOST_URL`,
        `ROOST_SOCKET_URL`, and those of `Oidc`."""
        return cls(
            guests=environ.get("ROOST_GUESTS", "off") == "on",
            limits=environ.get("ROOST_LIMITS", "on") == "on",
            origins=tuple(environ.get("ROOST_ORIGINS", "").split()),
            url=environ.get("ROOST_URL", ""),
            socket_url=environ.get("ROOST_SOCKET_URL", ""),
            oidc=Oidc.from_environment(environ),
        )
