"""Jobs and their output as resources, and being told when they change instead of polling.

`job://{jobId}` is the job as JSON, `job://{jobId}/output{?since,limit}` a page of its output. Clients
of the older era subscribe, those of the newer one listen; a notification says only that there is
something new, never what.
"""

import asyncio
import json
import re
from collections import OrderedDict
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

import mcp_types as types
from mcp import MCPError
from mcp.server.context import ServerRequestContext
from mcp.server.session import ServerSession
from mcp.server.subscriptions import SUBSCRIPTION_ID_META_KEY

from console_automation.core.job import Job
from console_automation.core.text import sanitize
from console_automation.engine.engine import Engine
from console_automation.engine.feed import Change
from console_automation.engine.output import OutputQuery
from console_automation.errors import JobNotFound
from console_automation.operations.jobs import job_view
from console_automation.ports import JobFilter

if TYPE_CHECKING:
    from console_automation.frontends.mcp.tasks import Tasks

_LISTED = 50
_MOST_SUBSCRIPTIONS = 1024
_OUTPUT_PAUSE = 0.25  # a job that floods makes four notifications a second, not thousands
_URI = re.compile(r"job://([A-Za-z0-9_-]+)(/output)?")

Context = ServerRequestContext[Any]


class Notification(types.Notification[dict[str, Any], str]):
    """A notification whose method and parameters are given as they go over the wire."""

    method: str
    params: dict[str, Any]


class Resources:
    """Serves resources and tells subscribers of changes."""

    tasks: "Tasks"

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._sessions: OrderedDict[tuple[int, str], ServerSession] = OrderedDict()
        self._streams: set[_Stream] = set()
        self._followers: dict[str, asyncio.Task[None]] = {}
        self._background: set[asyncio.Task[None]] = set()
        self._stop_listening = engine.jobs.ledger.feed.listen(self._changed)

    def close(self) -> None:
        """End every subscription."""
        self._stop_listening()
        for stream in self._streams:
            stream.news.put_nowait(None)
        for task in (*self._followers.values(), *self._background):
            task.cancel()

    # -- reading -----------------------------------------------------------------------------

    async def list(
        self, ctx: Context, params: types.PaginatedRequestParams | None
    ) -> types.ListResourcesResult:
        """Return the newest jobs and their output as resources."""
        jobs, _ = await self._engine.jobs.ledger.page(JobFilter(), before=None, limit=_LISTED)
        found = [each for job in jobs for each in _resources_of(job)]
        return types.ListResourcesResult(resources=found)

    async def list_templates(
        self, ctx: Context, params: types.PaginatedRequestParams | None
    ) -> types.ListResourceTemplatesResult:
        """Return how the URIs of all jobs are made."""
        return types.ListResourceTemplatesResult(
            resource_templates=[
                types.ResourceTemplate(
                    uri_template="job://{jobId}",
                    name="job",
                    title="Job",
                    description="A job: status, verdict, timing, usage.",
                    mime_type="application/json",
                ),
                types.ResourceTemplate(
                    uri_template="job://{jobId}/output{?since,limit}",
                    name="job-output",
                    title="Job output",
                    description="A page of what a job printed, after chunk number `since`.",
                    mime_type="text/plain",
                ),
            ]
        )

    async def read(
        self, ctx: Context, params: types.ReadResourceRequestParams
    ) -> types.ReadResourceResult:
        """Return a job as JSON, or a page of its output as text."""
        uri = str(params.uri)
        job_id, is_output = _parsed(uri)
        try:
            if is_output:
                text, kind = await self._output(job_id, uri), "text/plain"
            else:
                job = await self._engine.jobs.ledger.get(job_id)
                text, kind = json.dumps(job_view(self._engine, job)), "application/json"
        except JobNotFound as error:
            raise MCPError(types.INVALID_PARAMS, error.message, {"uri": uri}) from None
        return types.ReadResourceResult(
            contents=[types.TextResourceContents(uri=uri, mime_type=kind, text=text)]
        )

    async def _output(self, job_id: str, uri: str) -> str:
        query = parse_qs(urlsplit(uri).query)
        settings = self._engine.settings
        try:
            since = int(query.get("since", ["0"])[0])
            limit = int(query.get("limit", [str(settings.output_page_chunks)])[0])
        except ValueError:
            raise MCPError(
                types.INVALID_PARAMS, "since and limit are whole numbers", {"uri": uri}
            ) from None
        wanted = OutputQuery(
            since=max(0, since), max_bytes=settings.output_page_bytes, max_chunks=max(1, limit)
        )
        page = await self._engine.output.read(job_id, wanted)
        return sanitize("".join(chunk.text for chunk in page.page.chunks))

    # -- being told: the older era -----------------------------------------------------------

    async def subscribe(
        self, ctx: Context, params: types.SubscribeRequestParams
    ) -> types.EmptyResult:
        """Have this connection told when a resource changes."""
        uri = str(params.uri)
        job_id, is_output = _parsed(uri)
        self._sessions[_client_of(ctx.session), uri] = ctx.session
        if len(self._sessions) > _MOST_SUBSCRIPTIONS:
            self._sessions.popitem(last=False)
        if is_output:
            self._follow(job_id)
        return types.EmptyResult()

    async def unsubscribe(
        self, ctx: Context, params: types.UnsubscribeRequestParams
    ) -> types.EmptyResult:
        """Tell this connection no more about a resource."""
        self._sessions.pop((_client_of(ctx.session), str(params.uri)), None)
        return types.EmptyResult()

    # -- being told: the newer era -----------------------------------------------------------

    async def listen(
        self, ctx: Context, params: types.SubscriptionsListenRequestParams
    ) -> types.SubscriptionsListenResult:
        """Serve one stream of notifications until the client leaves it."""
        wanted = params.notifications
        task_ids = self.tasks.granted(ctx, (wanted.model_extra or {}).get("taskIds"))
        uris = [str(uri) for uri in wanted.resource_subscriptions or ()]
        meta = {SUBSCRIPTION_ID_META_KEY: ctx.request_id}
        honored: dict[str, Any] = {}
        if uris:
            honored["resourceSubscriptions"] = uris
        if wanted.resources_list_changed:
            honored["resourcesListChanged"] = True
        if task_ids:
            honored["taskIds"] = task_ids
        stream = _Stream(frozenset(uris), frozenset(task_ids), bool(wanted.resources_list_changed))
        self._streams.add(stream)
        for uri in uris:
            job_id, is_output = _parsed(uri)
            if is_output:
                self._follow(job_id)

        async def send(method: str, about: dict[str, Any]) -> None:
            note = Notification(method=method, params={**about, "_meta": meta})
            await ctx.session.send_notification(note, related_request_id=ctx.request_id)  # type: ignore[arg-type]

        try:
            await send("notifications/subscriptions/acknowledged", {"notifications": honored})
            for task_id in task_ids:
                stream.news.put_nowait(("notifications/tasks", {"taskId": task_id}))
            while (item := await stream.news.get()) is not None:
                method, about = item
                if method == "notifications/tasks":
                    about = await self.tasks.state(about["taskId"])
                await send(method, about)
        finally:
            self._streams.discard(stream)
        return types.SubscriptionsListenResult(_meta=meta)

    # -- telling -----------------------------------------------------------------------------

    def _changed(self, change: Change) -> None:
        job = change.after
        if self._sessions or self._streams:
            self._tell(f"job://{job.id}")
            for stream in self._streams:
                if change.before is None and stream.wants_list:
                    stream.offer("notifications/resources/list_changed", {})
                if job.id in stream.task_ids and change.before is not None:
                    stream.offer("notifications/tasks", {"taskId": job.id})

    def _tell(self, uri: str) -> None:
        for stream in self._streams:
            if uri in stream.uris:
                stream.offer("notifications/resources/updated", {"uri": uri})
        for (_, subscribed), session in self._sessions.items():
            if subscribed == uri:
                self._in_background(session.send_resource_updated(uri))

    def _in_background(self, sending: Any) -> None:
        task = asyncio.ensure_future(sending)
        self._background.add(task)
        task.add_done_callback(self._background.discard)

    def _follow(self, job_id: str) -> None:
        """Watch a job's output for as long as somebody wants to hear of it and more may come."""
        if job_id not in self._followers:
            task = asyncio.create_task(self._follow_output(job_id))
            self._followers[job_id] = task
            task.add_done_callback(lambda _: self._followers.pop(job_id, None))

    async def _follow_output(self, job_id: str) -> None:
        uri = f"job://{job_id}/output"
        cursor = 0
        while self._is_wanted(uri):
            query = OutputQuery(since=cursor, max_bytes=1, max_chunks=1, wait=30.0)
            try:
                read = await self._engine.output.read(job_id, query)
            except JobNotFound:
                return
            cursor = max(read.counts.last_sequence, read.page.next_since)
            if read.page.chunks:
                self._tell(uri)
            if read.job.is_terminal:
                return
            await asyncio.sleep(_OUTPUT_PAUSE)

    def _is_wanted(self, uri: str) -> bool:
        return any(uri in stream.uris for stream in self._streams) or any(
            subscribed == uri for _, subscribed in self._sessions
        )


class _Stream:
    """One listener of the newer era: what it wants, and what it has not been told yet."""

    def __init__(self, uris: frozenset[str], task_ids: frozenset[str], wants_list: bool) -> None:
        self.uris = uris
        self.task_ids = task_ids
        self.wants_list = wants_list
        self.news: asyncio.Queue[tuple[str, dict[str, Any]] | None] = asyncio.Queue()
        self._last: tuple[str, dict[str, Any]] | None = None

    def offer(self, method: str, about: dict[str, Any]) -> None:
        """Queue a cue, unless the same one is still waiting to be sent."""
        item = (method, about)
        if not (self.news.qsize() and item == self._last):
            self.news.put_nowait(item)
            self._last = item


def _client_of(session: ServerSession) -> int:
    """Return what tells one connection from another; a session object is made per request."""
    return id(session._connection)


def _parsed(uri: str) -> tuple[str, bool]:
    match = _URI.fullmatch(uri.partition("?")[0])
    if match is None:
        raise MCPError(
            types.INVALID_PARAMS, "there are job://{jobId} and job://{jobId}/output", {"uri": uri}
        )
    return match[1], match[2] is not None


def _resources_of(job: Job) -> "list[types.Resource]":
    title = sanitize(job.spec.name or job.spec.command.line)[:80]
    return [
        types.Resource(
            uri=f"job://{job.id}", name=job.id, title=title, mime_type="application/json"
        ),
        types.Resource(
            uri=f"job://{job.id}/output",
            name=f"{job.id}-output",
            title=f"Output of {title}",
            mime_type="text/plain",
        ),
    ]
