"""Jobs and sessions, and what they print, as resources."""

import json
from collections.abc import Container
from typing import Any

import mcp_types as types
from mcp import MCPError
from mcp.server.context import ServerRequestContext

from console_automation.core.text import sanitize
from console_automation.engine.engine import Engine
from console_automation.engine.output import OutputReader
from console_automation.engine.recordings import newest_recording
from console_automation.errors import JobNotFound, SessionNotFound
from console_automation.frontends.mcp.addresses import Address, page_of, parsed
from console_automation.operations.jobs import job_view
from console_automation.operations.submission import Call
from console_automation.operations.table import invoke
from console_automation.ports.stores import JobFilter

_LISTED = 50
_RECORDING_BYTES = 1 << 20
_JSON, _TEXT, _CAST = "application/json", "text/plain", "application/x-asciicast"

#: URI template, name, title, description and type; the toolset is that of the scheme.
_TEMPLATES = (
    ("job://{jobId}", "job", "Job", "A job: status, verdict, timing, usage.", _JSON),
    (
        "job://{jobId}/output{?since,limit}",
        "job-output",
        "Job output",
        "A page of what a job printed, after chunk number `since`.",
        _TEXT,
    ),
    (
        "session://{sessionId}",
        "session",
        "Session",
        "A session: state, size, directory, current command, latest commands.",
        _JSON,
    ),
    (
        "session://{sessionId}/screen",
        "session-screen",
        "Screen of a session",
        "What its terminal shows.",
        _TEXT,
    ),
    (
        "session://{sessionId}/output{?since,limit}",
        "session-output",
        "Session output",
        "A page of what a session printed, after chunk number `since`.",
        _TEXT,
    ),
    (
        "session://{sessionId}/recording",
        "session-recording",
        "Recording of a session",
        "Its output with times, as an asciicast; of a long one the newest part.",
        _CAST,
    ),
)

Context = ServerRequestContext[Any]


class Resources:
    """Serves resources; those of the toolsets are listed."""

    def __init__(self, engine: Engine, toolsets: Container[str]) -> None:
        self._engine = engine
        self._schemes = [each for each in ("job", "session") if f"{each}s" in toolsets]

    async def list(
        self, ctx: Context, params: types.PaginatedRequestParams | None
    ) -> types.ListResourcesResult:
        """Return the newest jobs and sessions and what they print."""
        found: list[types.Resource] = []
        if "job" in self._schemes:
            jobs, _ = await self._engine.jobs.ledger.page(JobFilter(), before=None, limit=_LISTED)
            for job in jobs:
                title = job.spec.name or job.spec.command.line
                found += _resources_of(Address(scheme="job", id=job.id), title)
        if "session" in self._schemes:
            for each in await self._engine.consoles.latest(limit=_LISTED):
                title = each.spec.name or each.spec.command.line
                found += _resources_of(Address(scheme="session", id=each.id), title)
        return types.ListResourcesResult(resources=found)

    async def list_templates(
        self, ctx: Context, params: types.PaginatedRequestParams | None
    ) -> types.ListResourceTemplatesResult:
        """Return how the URIs of all jobs and sessions are made."""
        templates = [
            types.ResourceTemplate(
                uri_template=uri, name=name, title=title, description=description, mime_type=kind
            )
            for uri, name, title, description, kind in _TEMPLATES
            if uri.partition(":")[0] in self._schemes
        ]
        return types.ListResourceTemplatesResult(resource_templates=templates)

    async def read(
        self, ctx: Context, params: types.ReadResourceRequestParams
    ) -> types.ReadResourceResult:
        """Return a job or a session as JSON, or a part of one as text."""
        uri = str(params.uri)
        address = parsed(uri)
        try:
            text = await self._text(address, uri)
        except (JobNotFound, SessionNotFound) as error:
            raise MCPError(types.INVALID_PARAMS, error.message, {"uri": uri}) from None
        return types.ReadResourceResult(
            contents=[types.TextResourceContents(uri=uri, mime_type=_type_of(address), text=text)]
        )

    async def _text(self, address: Address, uri: str) -> str:
        engine = self._engine
        match address.scheme, address.part:
            case _, "output":
                return await self._output(address, uri)
            case "job", _:
                job = await engine.jobs.ledger.get(address.id)
                return json.dumps(job_view(engine, job))
            case _, "screen":
                return str((await self._answer("console_get_screen", address))["screen"])
            case _, "recording":
                return await newest_recording(
                    engine.session_output, address.id, max_bytes=_RECORDING_BYTES
                )
        return json.dumps(await self._answer("console_get_session_state", address))

    async def _output(self, address: Address, uri: str) -> str:
        settings = self._engine.settings
        query = page_of(
            uri, max_bytes=settings.output_page_bytes, max_chunks=settings.output_page_chunks
        )
        is_job = address.scheme == "job"
        reader: OutputReader[Any] = self._engine.output if is_job else self._engine.session_output
        page = await reader.read(address.id, query)
        return sanitize("".join(chunk.text for chunk in page.page.chunks))

    async def _answer(self, operation: str, address: Address) -> dict[str, Any]:
        """Return what an operation that only looks tells of a session. Raises MCPError."""
        call = Call(client="resource", environment={}, cwd="/")
        answer = await invoke(self._engine, operation, {"sessionId": address.id}, call)
        if answer.is_error:
            message = str(answer.view["error"])
            raise MCPError(types.INVALID_PARAMS, message, {"uri": address.uri})
        return {name: value for name, value in answer.view.items() if name != "success"}


def _type_of(address: Address) -> str:
    known = {None: _JSON, "recording": _CAST}
    return known.get(address.part, _TEXT)


def _resources_of(owner: Address, title: str) -> "list[types.Resource]":
    title = sanitize(title)[:80]
    return [
        types.Resource(
            uri=each.uri,
            name=f"{each.id}-{each.part}" if each.part else each.id,
            title=f"{each.part.capitalize()} of {title}" if each.part else title,
            mime_type=_type_of(each),
        )
        for each in (owner, *owner.parts)
    ]
