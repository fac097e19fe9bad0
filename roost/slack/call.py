"""One call of a method: who calls, and what they call on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from roost.chat.chat import Chat
from roost.chat.model import Channel, Person
from roost.chat.people import Bearer
from roost.slack.errors import ApiError


@dataclass(frozen=True, slots=True)
class Call:
    """What every method is given beside its arguments."""

    chat: Chat
    bearer: Bearer | None  #: None where a method needs no token and none was shown
    url: str  #: the server's own address, ending in `/`
    socket_url: str  #: where event streams are opened, ending in `/`
    ip: str  #: of the caller, as API Gateway saw it
    given: Mapping[str, Any] = field(default_factory=dict)  #: every argument as it came, those nobody knows as well

    @property
    def who(self) -> Bearer:
        """The caller's token. Raises `not_authed`."""
        if self.bearer is None:
            raise ApiError("not_authed")
        return self.bearer

    @property
    def person(self) -> Person:
        """Who calls. Raises `not_authed`."""
        return self.who.person

    def may(self, scope: str) -> bool:
        """Whether the caller's token has a scope; one without any has all."""
        scopes = self.who.token.scopes
        return not scopes or scope in scopes

    def channel(self, channel: str) -> Channel:
        """The conversation of an argument, an id. Raises `ChannelNotFound`, also where it is hidden from the caller:
        whatever else is wrong with the call, the answer is the same as for one that is not there."""
        return self.chat.channels.visible(self.person, channel)
