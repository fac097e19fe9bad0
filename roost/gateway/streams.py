"""DynamoDB streams to functions, as Lambda's event source mappings do it: one batch of a shard at a time, in order.

Only from the endpoint that the person names. What fails is tried again a few times and then passed over, where AWS goes
on until the record is a day old. Source: AWS Lambda developer guide, "Using AWS Lambda with Amazon DynamoDB".
"""

from __future__ import annotations

import asyncio
import base64
import logging
from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import partial
from typing import Any

from roost.gateway.definition import Stream
from roost.gateway.functions import Functions, Outcome, Returned
from roost.gateway.tables import local_client

log = logging.getLogger("roost.gateway")

_LOOK_SECONDS = 0.25  # between two looks at a stream; AWS has the same
_TRIES = 3
_AGAIN_SECONDS = 1.0
_LONGEST = 900.0


class Streams:
    """Follows the streams that functions are attached to."""

    def __init__(self, streams: Sequence[Stream], functions: Functions, *, endpoint: str, region: str) -> None:
        self._functions = functions
        self._tables = local_client("dynamodb", endpoint, region)
        self._api = local_client("dynamodbstreams", endpoint, region)
        self._streams = streams
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        """Begin with what is written from now on, or where a stream begins if its function asks for that."""
        for stream in self._streams:
            shards: dict[str, str | None] = {}
            try:
                await self._open(stream, shards)
            except Exception as error:  # noqa: BLE001  as in `_follow`, which goes on trying
                log.warning("the stream of %s cannot be read yet: %s", stream.table, error)
            self._tasks.append(asyncio.create_task(self._follow(stream, shards)))

    async def stop(self) -> None:
        """Follow them no more."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _follow(self, stream: Stream, shards: dict[str, str | None]) -> None:
        """Until cancelled. A stream that cannot be read is said once, and looked at again.

        `shards` holds an iterator for each, or None once it is closed and read.
        """
        said = False
        while True:
            try:
                await self._look(stream, shards)
                said = False
            except asyncio.CancelledError:
                raise
            except Exception as error:  # noqa: BLE001  botocore's, and whatever an emulator answers
                shards.clear()
                if not said:
                    log.warning("the stream of %s cannot be read: %s", stream.table, error)
                said = True
                await asyncio.sleep(_AGAIN_SECONDS)
            await asyncio.sleep(_LOOK_SECONDS)

    async def _look(self, stream: Stream, shards: dict[str, str | None]) -> None:
        if not any(shards.values()):
            await self._open(stream, shards)
        for shard, iterator in list(shards.items()):
            if iterator is not None:
                answer = await asyncio.to_thread(
                    self._api.get_records, ShardIterator=iterator, Limit=min(stream.batch_size, 1000)
                )
                if answer["Records"]:
                    await self._deliver(stream, answer["Records"])
                shards[shard] = answer.get("NextShardIterator")

    async def _open(self, stream: Stream, shards: dict[str, str | None]) -> None:
        """An iterator for each shard that is new; shards that come later are read from their beginning."""
        table = await asyncio.to_thread(self._tables.describe_table, TableName=stream.table)
        arn = table["Table"]["LatestStreamArn"]
        described = await asyncio.to_thread(self._api.describe_stream, StreamArn=arn)
        position = "TRIM_HORIZON" if shards else stream.position
        for each in described["StreamDescription"]["Shards"]:
            shard = each["ShardId"]
            if shard not in shards:
                answer = await asyncio.to_thread(
                    self._api.get_shard_iterator, StreamArn=arn, ShardId=shard, ShardIteratorType=position
                )
                shards[shard] = answer["ShardIterator"]

    async def _deliver(self, stream: Stream, records: Sequence[Mapping[str, Any]]) -> None:
        event = {"Records": [_plain({**record, "eventSourceARN": stream.arn}) for record in records]}
        for attempt in range(_TRIES):
            if attempt:
                await asyncio.sleep(_AGAIN_SECONDS)
            future: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
            done = partial(_settle, future)
            self._functions.invoke(stream.function, event, done, integration_timeout=_LONGEST)
            if isinstance(await future, Returned):
                return
        log.error("%d records of %s are passed over: %s fails", len(records), stream.table, stream.function)


def _settle(future: asyncio.Future[Outcome], outcome: Outcome) -> None:
    if not future.done():
        future.set_result(outcome)


def _plain(value: Any) -> Any:
    """What boto3 has read as JSON has it: times in seconds, bytes in base64."""
    if isinstance(value, Mapping):
        return {key: _plain(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_plain(each) for each in value]
    if isinstance(value, datetime):
        return value.timestamp()
    return base64.b64encode(value).decode() if isinstance(value, bytes) else value
