"""The chat: every subject of the core, put together over one set of ports."""

from __future__ import annotations

from roost.chat.accounts import Accounts
from roost.chat.bookmarks import Bookmarks
from roost.chat.channels import Channels
from roost.chat.core import Core
from roost.chat.delivery import Delivery, Renderers
from roost.chat.emoji import EmojiSet
from roost.chat.files import Files
from roost.chat.groups import Groups
from roost.chat.inbox import Inbox
from roost.chat.invites import Invites
from roost.chat.later import Later
from roost.chat.messages import Messages
from roost.chat.people import People
from roost.chat.pictures import Pictures
from roost.chat.ports import Blobs, Clock, Push
from roost.chat.preferences import Preferences
from roost.chat.presence import Presence
from roost.chat.profiles import Profiles
from roost.chat.reactions import Reactions
from roost.chat.reads import Reads
from roost.chat.roles import Roles
from roost.chat.search import Search
from roost.chat.stars import Stars
from roost.chat.streams import Streams
from roost.storage.jobs import Queue
from roost.storage.table import Table

MAX_UPLOAD = 10 * 1024 * 1024 - 16 * 1024  # bytes of a file that comes through the server: an HTTP API's, less a form's


class Chat:
    """What the surfaces call. `renderers` say how each kind of connection is told of an event."""

    def __init__(
        self,
        table: Table,
        push: Push,
        clock: Clock,
        renderers: Renderers,
        queue: Queue | None = None,
        blobs: Blobs | None = None,
        upload_bytes: int = MAX_UPLOAD,
    ) -> None:
        self.core = Core(table, push, clock, lambda receivers: Delivery(table, receivers, push, renderers))
        self.channels = Channels(self.core)
        self.people = People(self.core, self.channels)
        self.roles = Roles(self.core, self.channels, self.people)
        self.profiles = Profiles(self.core, self.people, self.roles)
        self.presence = Presence(self.core, self.people, self.profiles)
        self.groups = Groups(self.core, self.people)
        self.invites = Invites(self.core, self.channels)
        self.accounts = Accounts(self.core, self.channels, self.people, self.invites)
        self.preferences = Preferences(self.core, self.people)
        self.messages = Messages(self.core, self.channels)
        self.reactions = Reactions(self.core, self.channels, self.messages)
        self.reads = Reads(self.core, self.channels)
        self.streams = Streams(self.core, self.channels, self.people)
        self.search = Search(self.core, self.channels, self.people)
        jobs = queue or Queue(table, clock.now_us)
        self.pictures = Pictures(blobs)
        self.bookmarks = Bookmarks(self.core, self.channels)
        self.emoji = EmojiSet(self.core, self.pictures)
        self.stars = Stars(self.core, self.channels, self.messages)
        self.inbox = Inbox(self.core, self.channels, self.messages)
        self.files = Files(self.core, self.channels, self.messages, jobs, blobs, upload_bytes)
        self.later = Later(self.core, jobs, self.channels, self.people, self.messages, self.files)
