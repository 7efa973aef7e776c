"""Pulling messages from a consumer: no more come than were asked for, and it is heard when none come."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from typing import Any, Self

import nats.errors
from nats.aio.msg import Msg

from console_automation.adapters.nats.live import PATIENCE, Live
from console_automation.errors import Unavailable

HEARTBEAT = 5  # seconds
ROUND = 6 * HEARTBEAT  # after which a request for messages is made again
SECOND = 10**9  # JetStream counts in nanoseconds
STATUS = "Status"
#: what the server says instead of a message: there is none; the time is over, or others wait; it is there
NOTHING_THERE, TIME_OVER, ALIVE = "404", "408", "100"


class Pull:
    """A place where one consumer's messages come to, for as long as it is used as a context."""

    def __init__(self, live: Live, stream: str, consumer: str) -> None:
        self._live = live
        self._call = f"$JS.API.CONSUMER.MSG.NEXT.{stream}.{consumer}"
        self._inbox = live.inbox()
        #: bounded by what is asked for; None: the connection has ended
        self._came: asyncio.Queue[Msg | None] = asyncio.Queue()

    async def __aenter__(self) -> Self:
        self._forget = self._live.at_end(lambda: self._came.put_nowait(None))
        self._subscription = await self._live.listen(self._inbox, self._came.put)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._forget()
        with contextlib.suppress(nats.errors.Error):  # the connection may be ending just now
            await self._subscription.unsubscribe()

    async def present(self, batch: int) -> list[Msg]:
        """Return up to so many of the messages that are there now."""
        await self._ask({"batch": batch, "no_wait": True})
        found: list[Msg] = []
        while len(found) < batch:
            message = await self._next(PATIENCE)
            if status_of(message) in (NOTHING_THERE, TIME_OVER):
                break
            found.append(self._checked(message))
        return found

    async def first(self, *, wait: float) -> Msg | None:
        """Return the first message that comes within so many seconds."""
        await self._ask({"batch": 1, "expires": max(1, int(wait * SECOND))})
        message = await self._next(wait + PATIENCE)
        return None if status_of(message) == TIME_OVER else self._checked(message)

    async def follow(self, batch: int) -> AsyncIterator[Msg | None]:
        """Yield every message that comes, and None now and then when there is none.

        No more than a batch wait for the reader.
        """
        body = {"batch": batch, "expires": ROUND * SECOND, "idle_heartbeat": HEARTBEAT * SECOND}
        while True:
            await self._ask(body)
            left = batch
            while left:
                message = await self._next(3 * HEARTBEAT)
                status = status_of(message)
                if status == TIME_OVER:
                    break
                if status == ALIVE:
                    yield None
                else:
                    yield self._checked(message)
                    left -= 1

    async def _ask(self, body: dict[str, Any]) -> None:
        await self._live.tell(self._call, json.dumps(body).encode(), reply=self._inbox)

    async def _next(self, silence: float) -> Msg:
        try:
            async with asyncio.timeout(silence):
                message = await self._came.get()
        except TimeoutError as error:
            raise Unavailable("The cluster has fallen silent.") from error
        if message is None:
            raise Unavailable("The connection to the cluster is lost.")
        return message

    @staticmethod
    def _checked(message: Msg) -> Msg:
        if status := status_of(message):
            why = (message.headers or {}).get("Description", "")
            raise Unavailable(f"The cluster hands out no messages: {status} {why}.")
        return message


def status_of(message: Msg) -> str | None:
    """Return what is said instead of a message."""
    return (message.headers or {}).get(STATUS) if not message.data else None
