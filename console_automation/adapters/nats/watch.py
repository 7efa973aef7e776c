"""Watching a bucket: a consumer of our own, made anew where the last one has stopped."""

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any

from nats.aio.msg import Msg

from console_automation.adapters.nats.connection import Connection
from console_automation.adapters.nats.live import Live, Refused
from console_automation.adapters.nats.pull import SECOND, Pull
from console_automation.errors import Unavailable
from console_automation.ports.cluster import Gone, Stored

BATCH = 100  # what may wait for the reader at once
IDLE = 60  # seconds after which the server forgets a consumer whose reader is gone
PAUSE = 0.25  # seconds between two consumers
OPERATION = "KV-Operation"
MARKER = "Nats-Marker-Reason"


class Missed(Unavailable):
    """Something may have happened that the watch has not seen."""


class Place:
    """How far a watch has come in a stream, and whether it can go on from there."""

    def __init__(self, stream: str, longest: float) -> None:
        self.stream = stream
        self.seen = 0
        self.begun: int | None = None  #: the last message there was when the watch began
        self._longest = longest
        self._heard = time.monotonic()
        self._created: str | None = None

    def hear(self) -> None:
        """Note that up to now nothing was missed."""
        self._heard = time.monotonic()

    def pass_over(self, message: Msg, count: int) -> None:
        """Go on behind a message, which is to be the consumer's that many."""
        sequence = message.metadata.sequence
        if sequence.consumer != count:
            raise Unavailable(f"A message of {self.stream} was lost on the way.")
        self.seen = sequence.stream
        self.hear()

    async def _check(self, live: Live) -> int:
        """Return the stream's last sequence number. Raises Missed when something may be.

        That is so where the stream is another one, has lost its end, or has forgotten what was deleted.
        """
        info = await live.api(f"STREAM.INFO.{self.stream}")
        last = int(info["state"]["last_seq"])
        if self._created not in (None, info["created"]) or last < self.seen:
            raise Missed(f"{self.stream} is not what it was; begin again.")
        if time.monotonic() - self._heard > self._longest:
            raise Missed(f"{self.stream} was out of sight for too long; begin again.")
        self._created = info["created"]
        if self.begun is None:
            self.begun = last
        return last

    def is_news(self, record: Stored | Gone) -> bool:
        """Whether it is worth telling: a record that was gone before has never been told of."""
        return isinstance(record, Stored) or self.begun is None or self.seen > self.begun

    async def consumer(self, live: Live) -> tuple[str, int]:
        """Return the name of a consumer that begins here, and the number of the last message there is."""
        try:
            last = await self._check(live)
            config: dict[str, Any] = {
                "deliver_policy": "by_start_sequence",
                "opt_start_seq": self.seen + 1,
                "ack_policy": "none",
                "mem_storage": True,
                "inactive_threshold": IDLE * SECOND,
            }
            body = {"stream_name": self.stream, "config": config}
            made = await live.api(f"CONSUMER.CREATE.{self.stream}", body)
        except Refused as error:
            raise Missed(f"{self.stream} cannot be watched: {error}.") from error
        return str(made["name"]), last


async def watch(
    connection: Connection, stream: str, prefix: str, *, longest: float
) -> AsyncIterator[Stored | Gone | None]:
    """Keep what `Records.watch` promises, over `longest` seconds without a connection at most."""
    place = Place(stream, longest)
    live = connection.live()
    told = False
    while True:
        try:
            consumer, last = await place.consumer(live)
            async with Pull(live, stream, consumer) as pull:
                async for message in everything(pull, place, last):
                    if message is not None:
                        found = record(message, prefix)
                        if place.is_news(found):
                            yield found
                    elif not told:
                        told = True
                        yield None
        except Missed:
            raise
        except Unavailable:
            await asyncio.sleep(PAUSE)
            live = await connection.next_live(within=longest)


async def everything(pull: Pull, place: Place, last: int) -> AsyncIterator[Msg | None]:
    """Yield what there is up to a number, then None, then whatever comes, and None now and then."""
    count = 0
    while place.seen < last and (found := await pull.present(BATCH)):
        for message in found:
            count += 1
            place.pass_over(message, count)
            yield message
    yield None
    async for coming in pull.follow(BATCH):
        if coming is None:
            place.hear()
        else:
            count += 1
            place.pass_over(coming, count)
        yield coming


def record(message: Msg, prefix: str) -> Stored | Gone:
    """Return what a message says about a record."""
    key, headers = message.subject.removeprefix(prefix), message.headers or {}
    if OPERATION in headers or MARKER in headers:
        return Gone(key=key)
    return Stored(key=key, value=message.data, revision=message.metadata.sequence.stream)
