"""Running functions: what the server asks of whoever runs them.

The runners stand beside: `in_process.py` (threads of this process) and `isolated.py` (AWS's own runtime client in
processes of their own). `roost serve` brings its own, which calls the chat without either.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol


@dataclass(frozen=True, slots=True)
class Returned:
    """The handler returned. `payload` is its value after JSON, as API Gateway sees it."""

    payload: Any


@dataclass(frozen=True, slots=True)
class Failed:
    """The handler raised, crashed, could not be imported, returned what is not JSON, or ran over its own time limit.

    `type` and `message` are Lambda's errorType and errorMessage. Clients are never shown them.
    """

    type: str
    message: str


@dataclass(frozen=True, slots=True)
class IntegrationTimeout:
    """The gateway stopped waiting while the function was still running."""


Outcome = Returned | Failed | IntegrationTimeout

#: Called exactly once per invocation, on the event loop's thread.
Done = Callable[[Outcome], None]


class Functions(Protocol):
    """Runs functions. All methods are called on the event loop's thread."""

    async def start(self) -> None:
        """Get ready; raises `DefinitionError` if a handler cannot be found."""

    def invoke(self, function: str, event: Mapping[str, Any], done: Done, *, integration_timeout: float = 29.0) -> None:
        """Call the function with this key and tell `done` how it ended; never raises, never blocks.

        `integration_timeout` is in seconds. Invocations run side by side; no order is promised.
        """

    async def stop(self) -> None:
        """Wait a little for what is running, then end it."""
