"""The cluster's bus over NATS: streams for records and for hints, requests for questions."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

from nats.aio.msg import Msg

from console_automation.adapters.nats.access import Access
from console_automation.adapters.nats.connection import Connection
from console_automation.adapters.nats.hints import NatsHints
from console_automation.adapters.nats.live import Live, Refused
from console_automation.adapters.nats.pull import SECOND
from console_automation.adapters.nats.records import NatsRecords
from console_automation.errors import LimitReached, Unavailable
from console_automation.ports.cluster import Hint

IN_USE_WITH_OTHER_SETTINGS = 10058
_LIMITS = ("max_bytes", "max_age")
log = logging.getLogger(__name__)


class NatsBus:
    """Keeps ClusterBus. `max_bytes` is the room for each kind of record that is kept on disk."""

    def __init__(self, namespace: str, access: Access, *, lease: float, max_bytes: int) -> None:
        self._namespace = namespace
        self._lease = lease
        self._max_bytes = max_bytes
        self._connection = Connection(access, self._set_up)
        self.jobs = NatsRecords(self._connection, f"{namespace}-jobs")
        self.workers = NatsRecords(self._connection, f"{namespace}-workers")
        self.beats = NatsRecords(self._connection, f"{namespace}-beats")
        self._hints = NatsHints(self._connection, namespace)
        self._replies: dict[str, Callable[[bytes], Awaitable[bytes]]] = {}
        self._answering: set[asyncio.Task[None]] = set()

    @property
    def is_connected(self) -> bool:
        """Whether there is a connection on which nothing has gone wrong yet."""
        return self._connection.is_connected

    def open(self, connected: Callable[[], None]) -> None:
        """Begin to connect; `connected` is called when everything needed is there, too."""
        self._connection.open(connected)

    async def close(self) -> None:
        """Answer nobody any more, send what was to be sent, disconnect."""
        for task in self._answering:
            task.cancel()
        await self._connection.close()

    async def hint(self, queue: str, job_id: str) -> None:
        """Put a hint into a queue."""
        await self._hints.put(queue, job_id)

    async def hints(self, queue: str, *, limit: int, wait: float) -> list[Hint]:
        """Take hints out of a queue."""
        return list(await self._hints.read(queue, limit=limit, wait=wait))

    async def hinted(self) -> set[str]:
        """Return the ids of the jobs that have a hint."""
        return await self._hints.waiting()

    async def ask(self, host: str, question: bytes, *, timeout: float) -> bytes:
        """Where nobody listens the server says so at once."""
        live = self._connection.live()
        answer = await live.request(self._subject(host), question, timeout=timeout)
        return answer.data

    async def answer(self, host: str, reply: Callable[[bytes], Awaitable[bytes]]) -> None:
        """Answer each question in a task of its own."""
        self._replies[host] = reply
        if self.is_connected:
            await self._listen(self._connection.live(), host)

    def _subject(self, host: str) -> str:
        return f"{self._namespace}.ask.{host}"

    async def _set_up(self, live: Live) -> None:
        on_disk = {"storage": "file", "max_bytes": self._max_bytes}
        in_memory = {"storage": "memory", "max_age": int(self._lease * SECOND)}
        for config in (
            self.jobs.config(**on_disk),
            self.workers.config(**on_disk),
            self.beats.config(**in_memory),
            self._hints.config(),
        ):
            await make(live, config)
        for host in list(self._replies):
            await self._listen(live, host)

    async def _listen(self, live: Live, host: str) -> None:
        await live.listen(self._subject(host), partial(self._begin_answer, live, host))

    async def _begin_answer(self, live: Live, host: str, question: Msg) -> None:
        task = asyncio.create_task(self._answer(live, host, question))
        self._answering.add(task)
        task.add_done_callback(self._answering.discard)

    async def _answer(self, live: Live, host: str, question: Msg) -> None:
        try:
            await live.tell(question.reply, await self._replies[host](question.data))
        except (Unavailable, LimitReached) as error:
            log.warning("a question could not be answered: %s", error)
        except Exception:
            log.exception("a question could not be answered")


async def make(live: Live, config: dict[str, Any]) -> None:
    """Make a stream where there is none. One that is there is given the limits that are wanted where they
    are larger; whatever else somebody has set otherwise is left as it is."""
    try:
        await live.api(f"STREAM.CREATE.{config['name']}", config)
    except Refused as error:
        if error.code != IN_USE_WITH_OTHER_SETTINGS:
            raise
        await _widen(live, config)


async def _widen(live: Live, wanted: dict[str, Any]) -> None:
    name = wanted["name"]
    found = (await live.api(f"STREAM.INFO.{name}"))["config"]
    larger = {
        limit: wanted[limit]
        for limit in _LIMITS
        if 0 < found.get(limit, 0) < wanted.get(limit, 0)  # without a limit it is not positive
    }
    if not larger:
        log.info("the stream %s has other settings, and keeps them", name)
        return
    try:
        await live.api(f"STREAM.UPDATE.{name}", {**found, **larger})
        log.info("the stream %s has now %s", name, larger)
    except Refused as error:
        log.warning("the stream %s keeps its limits, %s is refused: %s", name, larger, error)
