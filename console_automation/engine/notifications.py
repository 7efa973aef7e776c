"""Telling whoever asked that something has ended: messages leave the outbox when they are delivered.

A message is in the outbox before anybody can see the end that it tells of, and stays there until its
receiver has taken it, or has failed to so often that it is given up. So no crash loses one; one that
was taken in the moment of a crash is delivered twice, under the same id.

A receiver that is slow or gone holds up its own messages alone: it has a few places, and there are more
of them in all.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from enum import StrEnum
from typing import Protocol

from console_automation.config import Settings
from console_automation.core.job import Command, JobSpec
from console_automation.core.messages import Message
from console_automation.core.notify import Channel
from console_automation.core.retry import RetryPolicy
from console_automation.engine.commands import project_of, resolve
from console_automation.engine.jobs import JobManager
from console_automation.errors import (
    BadRequest,
    Conflict,
    ConsoleAutomationError,
    Unavailable,
)
from console_automation.ports.stores import Entry

log = logging.getLogger(__name__)

_AT_ONCE = 32
_AT_ONCE_EACH = 4  #: to one receiver
_STORE_RETRY_SECONDS = 1.0


class Courier(Protocol):
    """Takes messages to receivers, in one way."""

    async def deliver(self, message: Message) -> None:
        """Return when the receiver has taken the message. May be cancelled at any moment.

        Raises BadRequest when no attempt can succeed, Unavailable when a later one may. What they say
        holds no secret.
        """
        ...


class Outcome(StrEnum):
    """What became of an attempt to deliver."""

    DELIVERED = "delivered"  #: the receiver has it
    POSTPONED = "postponed"  #: it failed, and will be tried again
    GIVEN_UP = "given_up"  #: it failed for good, or once too often


Listener = Callable[[Message, Outcome], None]


def tries(settings: Settings) -> RetryPolicy:
    """Return how often a message is tried, and with which pauses."""
    return RetryPolicy(
        max_attempts=settings.notify_attempts,
        backoff=settings.notify_backoff_ms / 1000,
        max_backoff=settings.notify_max_backoff_ms / 1000,
    )


class CommandCourier:
    """Tells by a shell line: an ordinary job, of which there is one however often this is asked."""

    def __init__(self, manager: JobManager) -> None:
        self._manager = manager

    async def deliver(self, message: Message) -> None:
        """Submit the job. Raises BadRequest when there cannot be one, Unavailable, LimitReached."""
        settings = self._manager.settings
        executable, argv, _ = resolve(
            message.target, None, shell=True, cwd=message.cwd, environment=message.environment
        )
        command = Command(
            line=message.target,
            args=None,
            shell=True,
            executable=executable,
            argv=argv,
            cwd=message.cwd,
            environment=message.environment,
            stdin=message.body,
            timeout=settings.job_timeout_ms / 1000 or None,
            grace=settings.kill_grace_ms / 1000,
            output_limit=settings.output_limit_bytes,
        )
        spec = JobSpec(
            command=command,
            created_at=self._manager.clock.now(),
            client="notification",
            project=project_of(message.cwd),
            tags={"notify": message.job_id or message.id},
            retry=RetryPolicy(max_attempts=3),
            idempotency_key=message.id,
            fingerprint=message.id,
        )
        try:
            await self._manager.submit(spec)
        except Conflict as error:
            raise BadRequest(error.message) from None


class Notifications:
    """Sees to the messages in the outbox."""

    def __init__(self, manager: JobManager, couriers: Mapping[Channel, Courier]) -> None:
        settings = manager.settings
        self._manager = manager
        self._store = manager.ledger.store
        self._couriers = {Channel.COMMAND: CommandCourier(manager), **couriers}
        self._patience = settings.notify_timeout_ms / 1000
        self._policy = tries(settings)
        self._listeners: list[Listener] = []
        self._under_way: dict[str, asyncio.Task[None]] = {}
        self._news = asyncio.Event()
        self._loop: asyncio.Task[None] | None = None

    # -- life --------------------------------------------------------------------------------

    def open(self) -> None:
        """Begin to deliver, also what an earlier process left."""
        self._manager.ledger.posted = self._news.set
        self._loop = asyncio.create_task(self._forever())

    async def close(self) -> None:
        """Let go: what is not delivered stays in the outbox."""
        tasks = [*self._under_way.values(), *filter(None, [self._loop])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def listen(self, listener: Listener) -> None:
        """Have every attempt's outcome told."""
        self._listeners.append(listener)

    async def post(self, messages: Sequence[Message]) -> None:
        """Have messages delivered that no job's end brings; when this returns they are on the disk."""
        await self._store.outbox.post(messages)
        self._news.set()

    # -- delivering --------------------------------------------------------------------------

    async def _forever(self) -> None:
        while True:
            self._news.clear()
            try:
                pause = await self._begin_due()
            except ConsoleAutomationError as error:
                log.error("the outbox cannot be read, will try again: %s", error)
                pause = _STORE_RETRY_SECONDS
            try:
                async with asyncio.timeout(pause):
                    await self._news.wait()
            except TimeoutError:
                pass

    async def _begin_due(self) -> float | None:
        """Begin what is due, as far as there are places; return seconds until there is more.

        What is read may be under way already, but not all of it while there is a place. One whose delivery
        ends while the outbox is read may be in what was read: it was under way before.
        """
        before = set(self._under_way)
        now = self._manager.clock.now()
        due = await self._store.outbox.due(at=now, each=_AT_ONCE_EACH, limit=_AT_ONCE)
        for message in due:
            if message.id not in before and len(self._under_way) < _AT_ONCE:
                self._under_way[message.id] = asyncio.create_task(self._see_to(message))
        next_due = await self._store.outbox.next_due(after=now)
        return None if next_due is None else max(0.0, next_due - self._manager.clock.now())

    async def _see_to(self, message: Message) -> None:
        try:
            failure = await self._attempt(message)
            if failure is None:
                await self._insist(lambda: self._store.outbox.remove(message.id))
                self._tell(message, Outcome.DELIVERED)
            else:
                await self._failed(replace(message, attempts=message.attempts + 1), failure)
        finally:
            del self._under_way[message.id]
            self._news.set()

    async def _attempt(self, message: Message) -> ConsoleAutomationError | None:
        """Try to deliver; return what went wrong."""
        try:
            async with asyncio.timeout(self._patience):
                await self._couriers[message.channel].deliver(message)
        except TimeoutError:
            return Unavailable(f"no answer within {self._patience:g} s (setting notify_timeout_ms)")
        except ConsoleAutomationError as error:
            return error
        except Exception:
            log.exception("delivering %s failed", message.id)
            return Unavailable("the delivery failed inside the product; the log says why")
        return None

    async def _failed(self, message: Message, failure: ConsoleAutomationError) -> None:
        is_final = isinstance(failure, BadRequest)
        if is_final or message.attempts >= self._policy.max_attempts:
            await self._give_up(message, failure.message)
            return
        pause = self._policy.pause(message.attempts, message.id)
        due = replace(message, due_at=self._manager.clock.now() + pause)
        log.info("%s to %s failed, next try in %g s: %s", due.id, due.receiver, pause, failure)
        await self._insist(lambda: self._store.outbox.postpone(due))
        self._tell(message, Outcome.POSTPONED)

    async def _give_up(self, message: Message, why: str) -> None:
        log.warning("%s to %s is given up: %s", message.id, message.receiver, why)
        await self._insist(lambda: self._note(message, why))
        await self._insist(lambda: self._store.outbox.remove(message.id))
        self._tell(message, Outcome.GIVEN_UP)

    async def _note(self, message: Message, why: str) -> None:
        """Say in the journal of the job, if it is about one that still is there, what went wrong."""
        if message.job_id is None or await self._store.get(message.job_id) is None:
            return
        data = {"id": message.id, "channel": message.channel.value, "error": why}
        at = self._manager.clock.now()
        entry = Entry(job_id=message.job_id, at=at, event="NotificationFailed", data=data)
        await self._store.append([entry])

    async def _insist(self, write: Callable[[], Awaitable[None]]) -> None:
        """Write until the store takes it: nothing shall be delivered again because a disk is full."""
        while True:
            try:
                await write()
                return
            except Unavailable as error:
                log.error("the outbox cannot be written, will try again: %s", error)
                await asyncio.sleep(_STORE_RETRY_SECONDS)

    def _tell(self, message: Message, outcome: Outcome) -> None:
        for listener in self._listeners:
            listener(message, outcome)
