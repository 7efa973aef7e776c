"""The floor of a job of the cluster: what is written and read for one, by nats-py alone.

A record is made, a hint published and fetched, the record read, changed, the hint acknowledged, the record
changed again. Nothing is run, sealed, decoded or watched.
"""

import asyncio
import time
from collections.abc import Iterator
from contextlib import suppress

import nats
import nats.errors
from nats.aio.msg import Msg
from nats.js import JetStreamContext
from nats.js.api import RetentionPolicy, StreamConfig
from nats.js.kv import KeyValue

_BUCKET, _HINTS = "floor", "floor-hints"
_QUEUE = "floor.hints.any"


async def seconds_for(url: str, count: int, at_once: int, *, size: int) -> float:
    """Return how long so many take, so many of them at once, with records of that size."""
    async with await nats.connect(url) as client:
        stream = client.jetstream()
        bucket = await stream.create_key_value(bucket=_BUCKET)
        hints = StreamConfig(
            name=_HINTS, subjects=[f"{_QUEUE}.>"], retention=RetentionPolicy.WORK_QUEUE
        )
        await stream.add_stream(hints)
        queue = await stream.pull_subscribe(f"{_QUEUE}.>", durable="any")
        began = time.perf_counter()
        left = iter(range(count))
        async with asyncio.TaskGroup() as group:
            for _ in range(at_once):
                group.create_task(_submit(stream, bucket, left, bytes(size)))
            group.create_task(_take(queue, bucket, count, at_once, bytes(size)))
        taken = time.perf_counter() - began
        await stream.delete_stream(_HINTS)
        await stream.delete_key_value(_BUCKET)
    return taken


async def _submit(
    stream: JetStreamContext, bucket: KeyValue, left: Iterator[int], body: bytes
) -> None:
    for number in left:
        await bucket.create(str(number), body)
        await stream.publish(f"{_QUEUE}.{number}")


async def _take(
    queue: JetStreamContext.PullSubscription,
    bucket: KeyValue,
    count: int,
    at_once: int,
    body: bytes,
) -> None:
    async with asyncio.TaskGroup() as group:
        while count:
            with suppress(nats.errors.TimeoutError):
                for hint in await queue.fetch(min(count, at_once), timeout=1):
                    count -= 1
                    group.create_task(_see_through(hint, bucket, body))


async def _see_through(hint: Msg, bucket: KeyValue, body: bytes) -> None:
    key = hint.subject.rpartition(".")[2]
    entry = await bucket.get(key)
    claimed = await bucket.update(key, body, last=entry.revision)
    await hint.ack()
    await bucket.update(key, body + body, last=claimed)
