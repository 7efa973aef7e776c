"""Jobs and their output as resources.

`job://{jobId}` is the job as JSON, `job://{jobId}/output{?since,limit}` a page of its output.
"""

import json
import re
from typing import Any
from urllib.parse import parse_qs, urlsplit

import mcp_types as types
from mcp import MCPError
from mcp.server.context import ServerRequestContext

from console_automation.core.job import Job
from console_automation.core.text import sanitize
from console_automation.engine.engine import Engine
from console_automation.engine.output import OutputQuery
from console_automation.errors import JobNotFound
from console_automation.operations.jobs import job_view
from console_automation.ports import JobFilter

_LISTED = 50
_URI = re.compile(r"job://([A-Za-z0-9_-]+)(/output)?")

Context = ServerRequestContext[Any]


class Resources:
    """Serves resources."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

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
        job_id, is_output = parsed(uri)
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


def parsed(uri: str) -> tuple[str, bool]:
    """Return the job a URI names and whether its output is meant. Raises MCPError."""
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
