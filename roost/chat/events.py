"""What can happen in a chat. Each is stored in its channel's log before anybody is told."""

from __future__ import annotations

from dataclasses import dataclass

from roost.chat.model import ChannelId, Message


@dataclass(frozen=True, slots=True)
class MessagePosted:
    """Somebody said something."""

    message: Message
    channel_name: str

    @property
    def channel(self) -> ChannelId:
        """Whose log it is in."""
        return self.message.channel


Event = MessagePosted
