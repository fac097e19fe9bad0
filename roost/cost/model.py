"""What cannot be metered on a laptop: how long Lambda would run and how much it would log. Stated once, for the meter
and the estimate alike; `docs/cost.md` has the reasons."""

from __future__ import annotations

MEMORY_GB = 0.5  # of each function: 512 MB
REQUEST_SECONDS = 0.016  # an event that reads something and answers
APPEND_SECONDS = 0.024  # an append besides: the transaction, and the channel's head before it
POST_SECONDS = 0.015  # one round of posts to @connections
POSTS_AT_ONCE = 32
FOLLOWED = 1  # requests of the function that follows an append through the table's stream; in a rush several share one
LOG_BYTES = 340  # a request's START, END and REPORT lines
SHARD_ABOVE = 2_000  # receivers that one function serves itself; above, others are invoked
SHARD = 2_500  # receivers for each of those


def rounds(receivers: int) -> int:
    """How many rounds of posts so many receivers take."""
    return -(-receivers // POSTS_AT_ONCE)


def shards(receivers: int) -> int:
    """How many further invocations so many receivers take."""
    return -(-receivers // SHARD) if receivers > SHARD_ABOVE else 0


def gb_seconds(requests: float, appends: float, post_rounds: float, memory_gb: float = MEMORY_GB) -> float:
    """What Lambda bills for time."""
    seconds = requests * REQUEST_SECONDS + appends * APPEND_SECONDS + post_rounds * POST_SECONDS
    return seconds * memory_gb


def log_gb(requests: float) -> float:
    """What CloudWatch takes in."""
    return requests * LOG_BYTES / 1e9
