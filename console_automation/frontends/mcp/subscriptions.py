"""Telling clients that a job or its output has changed, so that they need not poll.

Clients of the older era subscribe, those of the newer one listen. A cue says only that there is
something new, never what: a client that is slow to read is told once of what changed many times, so
nobody's backlog grows beyond what they asked to hear of.
"""

import asyncio
import logging
from typing import Any

import mcp_types as types
from mcp import MCPError
from mcp.server.connection import Connection
from mcp.server.context import ServerRequestContext
from mcp.server.subscriptions import SUBSCRIPTION_ID_META_KEY

from console_automation.engine.engine import Engine
from console_automation.engine.feed import Change
from console_automation.engine.output import OutputQuery
from console_automation.errors import ConsoleAutomationError
from console_automation.frontends.mcp.resources import parsed
from console_automation.frontends.mcp.tasks import Tasks

log = logging.getLogger(__name__)

_MOST_SUBSCRIPTIONS = 1024
_OUTPUT_PAUSE = 0.25  # a job that floods makes four cues a second, not thousands
_UPDATED = "notifications/resources/updated"
_LIST_CHANGED = "notifications/resources/list_changed"
_TASK = "notifications/tasks"

Context = ServerRequestContext[Any]
Cue = tuple[str, str]  # the notification's method, and the URI or task id it is about


class Notification(types.Notification[dict[str, Any], str]):
    """A notification whose method and parameters are given as they go over the wire."""

    method: str
    params: dict[str, Any]


class Outbox:
    """What one client wants to hear of, and the cues that it has not been sent yet."""

    def __init__(self) -> None:
        self.uris: set[str] = set()
        self.task_ids: frozenset[str] = frozenset()
        self.wants_list = False
        self._cues: dict[Cue, None] = {}
        self._news = asyncio.Event()

    def put(self, method: str, about: str = "") -> None:
        """Leave a cue, unless the same one is still waiting to be sent."""
        self._cues[method, about] = None
        self._news.set()

    async def take(self) -> Cue:
        """Return the oldest cue once there is one."""
        while not self._cues:
            self._news.clear()
            await self._news.wait()
        cue = next(iter(self._cues))
        del self._cues[cue]
        return cue


class Subscriptions:
    """Everybody who wants to be told, and the watch on what they want to hear of."""

    def __init__(self, engine: Engine, tasks: Tasks) -> None:
        self._engine = engine
        self._tasks = tasks
        self._outboxes: set[Outbox] = set()
        self._subscribers: dict[Connection, Outbox] = {}
        self._followers: dict[str, asyncio.Task[None]] = {}
        engine.jobs.ledger.feed.listen(self._changed)

    def __len__(self) -> int:
        """Return how many clients want to be told of anything."""
        return len(self._outboxes)

    # -- the older era -----------------------------------------------------------------------

    async def subscribe(
        self, ctx: Context, params: types.SubscribeRequestParams
    ) -> types.EmptyResult:
        """Have this connection told when a resource changes."""
        self._watch(self._subscriber(ctx.session._connection), [str(params.uri)])
        return types.EmptyResult()

    async def unsubscribe(
        self, ctx: Context, params: types.UnsubscribeRequestParams
    ) -> types.EmptyResult:
        """Tell this connection no more about a resource."""
        outbox = self._subscribers.get(ctx.session._connection)
        if outbox:
            outbox.uris.discard(str(params.uri))
        return types.EmptyResult()

    def _subscriber(self, connection: Connection) -> Outbox:
        """Return the outbox of a connection, which is forwarded for as long as the connection lives."""
        outbox = self._subscribers.get(connection)
        if outbox is None:
            outbox = self._subscribers[connection] = Outbox()
            self._outboxes.add(outbox)
            forwarding = asyncio.create_task(_forward(outbox, connection))
            connection.exit_stack.callback(self._leave, connection, forwarding)
        return outbox

    def _leave(self, connection: Connection, forwarding: "asyncio.Task[None]") -> None:
        forwarding.cancel()
        self._outboxes.discard(self._subscribers.pop(connection))

    # -- the newer era -----------------------------------------------------------------------

    async def listen(
        self, ctx: Context, params: types.SubscriptionsListenRequestParams
    ) -> types.SubscriptionsListenResult:
        """Serve one stream of notifications until the client leaves it."""
        wanted = params.notifications
        outbox = Outbox()
        outbox.wants_list = bool(wanted.resources_list_changed)
        task_ids = await self._tasks.granted(ctx, (wanted.model_extra or {}).get("taskIds"))
        outbox.task_ids = frozenset(task_ids)
        uris = [str(uri) for uri in wanted.resource_subscriptions or ()]
        self._watch(outbox, uris)
        honored = {
            "resourceSubscriptions": uris,
            "resourcesListChanged": outbox.wants_list,
            "taskIds": task_ids,
        }
        about = {"notifications": {key: value for key, value in honored.items() if value}}
        self._outboxes.add(outbox)
        try:
            await _send(ctx, "notifications/subscriptions/acknowledged", about)
            for task_id in task_ids:
                outbox.put(_TASK, task_id)
            while True:
                await self._send_cue(ctx, *await outbox.take())
        finally:
            self._outboxes.discard(outbox)

    async def _send_cue(self, ctx: Context, method: str, subject: str) -> None:
        if method == _TASK:
            state = await self._tasks.find(subject)
            if state is not None:  # else it was cleaned up meanwhile
                await _send(ctx, method, state)
        else:
            await _send(ctx, method, {"uri": subject} if subject else {})

    # -- telling -----------------------------------------------------------------------------

    def _watch(self, outbox: Outbox, uris: list[str]) -> None:
        """Note what is to be told. Raises MCPError for what cannot be watched."""
        if len(outbox.uris.union(uris)) > _MOST_SUBSCRIPTIONS:
            raise MCPError(
                types.INVALID_PARAMS, f"one client may subscribe to {_MOST_SUBSCRIPTIONS} resources"
            )
        followed = [job_id for job_id, is_output in map(parsed, uris) if is_output]
        outbox.uris.update(uris)
        for job_id in followed:
            self._follow(job_id)

    def _changed(self, change: Change) -> None:
        job_id = change.after.id
        self._tell(f"job://{job_id}")
        for outbox in self._outboxes:
            if change.before is None and outbox.wants_list:
                outbox.put(_LIST_CHANGED)
            if change.before is not None and job_id in outbox.task_ids:
                outbox.put(_TASK, job_id)

    def _tell(self, uri: str) -> None:
        for outbox in self._outboxes:
            if uri in outbox.uris:
                outbox.put(_UPDATED, uri)

    def _follow(self, job_id: str) -> None:
        """Watch a job's output for as long as somebody wants to hear of it and more may come."""
        if job_id not in self._followers:
            task = asyncio.create_task(self._follow_output(job_id))
            self._followers[job_id] = task
            task.add_done_callback(lambda _: self._followers.pop(job_id, None))

    async def _follow_output(self, job_id: str) -> None:
        uri = f"job://{job_id}/output"
        cursor = 0
        while True:
            query = OutputQuery(since=cursor, max_bytes=1, max_chunks=1, wait=30.0)
            try:
                read = await self._engine.output.read(job_id, query)
            except ConsoleAutomationError as error:
                log.info("the output of %s is not followed: %s", job_id, error)
                return
            cursor = max(read.counts.last_sequence, read.page.next_since)
            if read.page.chunks:
                self._tell(uri)
            if read.printer.is_terminal or not any(uri in outbox.uris for outbox in self._outboxes):
                return
            await asyncio.sleep(_OUTPUT_PAUSE)


async def _forward(outbox: Outbox, connection: Connection) -> None:
    while True:
        _, uri = await outbox.take()
        if uri in outbox.uris:
            await connection.send_resource_updated(uri)


async def _send(ctx: Context, method: str, about: dict[str, Any]) -> None:
    """Send a notification on the stream that a client listens to."""
    meta = {SUBSCRIPTION_ID_META_KEY: ctx.request_id}
    note = Notification(method=method, params={**about, "_meta": meta})
    await ctx.session.send_notification(note, related_request_id=ctx.request_id)  # type: ignore[arg-type]
