"""Telling clients that a resource or a task has changed, so that they need not poll.

Clients of the older era subscribe, those of the newer one listen. A cue says only that there is
something new, never what: a client that is slow to read is told once of what changed many times, so
nobody's backlog grows beyond what they asked to hear of.
"""

import asyncio
import logging
from functools import partial
from typing import Any

import mcp_types as types
from mcp import MCPError
from mcp.server.connection import Connection
from mcp.server.context import ServerRequestContext
from mcp.server.subscriptions import SUBSCRIPTION_ID_META_KEY

from console_automation.core.session import Session, SessionPhase
from console_automation.engine.engine import Engine
from console_automation.engine.feed import Change, News
from console_automation.engine.output import OutputQuery
from console_automation.errors import ConsoleAutomationError
from console_automation.frontends.mcp.addresses import Address, parsed
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
        self._followers: dict[Address, asyncio.Task[None]] = {}
        engine.jobs.ledger.feed.listen(self._changed)
        engine.consoles.feed.listen(self._session_changed)
        engine.workflows.runs.feed.listen(partial(self._heard, "workflow"))
        engine.schedules.feed.listen(partial(self._heard, "schedule"))

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
        followed = [address.owner for address in map(parsed, uris) if address.part]
        outbox.uris.update(uris)
        for owner in followed:
            self._follow(owner)

    def _changed(self, change: Change) -> None:
        self._heard("job", News(id=change.after.id, is_new=change.before is None))

    def _session_changed(self, session: Session) -> None:
        is_new = session.phase is SessionPhase.OPENING and len(session.sizes) == 1
        self._heard("session", News(id=session.id, is_new=is_new))
        if not is_new:  # it may have another size
            self._tell(Address(scheme="session", id=session.id, part="screen").uri)

    def _heard(self, scheme: str, news: News) -> None:
        self._tell(Address(scheme=scheme, id=news.id).uri)
        for outbox in self._outboxes:
            if news.is_new and outbox.wants_list:
                outbox.put(_LIST_CHANGED)
            if news.id in outbox.task_ids:
                outbox.put(_TASK, news.id)

    def _tell(self, uri: str) -> None:
        for outbox in self._outboxes:
            if uri in outbox.uris:
                outbox.put(_UPDATED, uri)

    def _follow(self, owner: Address) -> None:
        """Watch what something prints, as long as somebody wants to hear of it."""
        if owner not in self._followers:
            self._followers[owner] = asyncio.create_task(self._follow_output(owner))

    async def _follow_output(self, owner: Address) -> None:
        try:
            await self._tell_of_output(owner, [each.uri for each in owner.all if each.part])
        except ConsoleAutomationError as error:
            log.info("the output of %s is not followed: %s", owner.id, error)
        finally:
            del self._followers[owner]

    async def _tell_of_output(self, owner: Address, uris: list[str]) -> None:
        """Tell of output until nobody wants to hear of it, or there will be none."""
        assert owner.kind.printed is not None  # else it had no parts
        reader = owner.kind.printed(self._engine)
        cursor = 0
        while True:
            query = OutputQuery(since=cursor, max_bytes=1, max_chunks=1, wait=30.0)
            read = await reader.read(owner.id, query)
            cursor = max(read.counts.last_sequence, read.page.next_since)
            if read.page.chunks:
                for uri in uris:
                    self._tell(uri)
            is_wanted = any(not outbox.uris.isdisjoint(uris) for outbox in self._outboxes)
            if read.printer.is_terminal or not is_wanted:
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
