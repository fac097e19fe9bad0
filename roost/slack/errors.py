"""What a call is refused with, beyond what the core refuses."""

from __future__ import annotations

from typing import Any

from roost.chat.errors import Refused


class ApiError(Refused):
    """A refusal that only the Web API knows, by Slack's code. `more` stands beside `ok` and `error` in the answer."""

    def __init__(self, code: str, **more: Any) -> None:
        super().__init__()
        self.code = code
        self.more = more


class InvalidArguments(ApiError):
    """Arguments that are not as the method wants them; says which."""

    def __init__(self, problem: str) -> None:
        super().__init__("invalid_arguments", response_metadata={"messages": [f"[ERROR] {problem}"]})


class TooFast(ApiError):
    """Over the rate. `seconds`: when to try again."""

    def __init__(self, seconds: int) -> None:
        super().__init__("ratelimited")
        self.seconds = seconds
