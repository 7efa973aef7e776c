"""The kinds of resources: a row for each. Lists, templates, addresses and reading all go by this table."""

import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs, urlsplit

import mcp_types as types
from mcp import MCPError

from console_automation.core.access import LOCAL
from console_automation.core.text import sanitize
from console_automation.engine.engine import Engine
from console_automation.engine.output import OutputQuery, OutputReader
from console_automation.engine.recordings import newest_recording
from console_automation.operations.jobs import job_view
from console_automation.operations.submission import Call
from console_automation.operations.table import invoke
from console_automation.ports.stores import JobFilter

_RECORDING_BYTES = 1 << 20
_PAGE = "{?since,limit}"

Reader = Callable[[Engine, str, str], Awaitable[str]]  #: gets an id, and the URI it is in
Listed = list[tuple[str, str]]  #: ids and titles
Printed = Callable[[Engine], OutputReader[Any]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """What can be read: the thing itself, or more of it. `query` is what its URI may end with."""

    title: str
    description: str
    read: Reader
    mime_type: str = "text/plain"
    query: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """A kind of things that are resources, listed with the toolset whose name is its plural."""

    id_name: str
    parts: Mapping[str, Part]  #: by the last word of the URI, "" for the thing itself
    latest: Callable[[Engine, int], Awaitable[Listed]]
    printed: Printed | None = None  #: the output with which all parts but "" grow


# -- what there is -------------------------------------------------------------------------------


async def _jobs(engine: Engine, limit: int) -> Listed:
    jobs, _ = await engine.jobs.ledger.page(JobFilter(), before=None, limit=limit)
    return [(each.id, each.spec.name or each.spec.command.line) for each in jobs]


async def _sessions(engine: Engine, limit: int) -> Listed:
    sessions = await engine.consoles.latest(limit=limit)
    return [(each.id, each.spec.name or each.spec.command.line) for each in sessions]


async def _runs(engine: Engine, limit: int) -> Listed:
    runs = await engine.workflows.latest(project=None, name=None, limit=limit, principal=LOCAL)
    return [(each.id, each.name) for each in runs]


async def _schedules(engine: Engine, limit: int) -> Listed:
    schedules, _ = await engine.schedules.store.page(after=None, limit=limit)
    return [(each.id, each.name) for each in schedules]


# -- reading -------------------------------------------------------------------------------------


async def _answer(engine: Engine, operation: str, about: dict[str, str], uri: str) -> Any:
    """Return what an operation that only looks tells. Raises MCPError."""
    call = Call(client="resource", environment={}, cwd="/")
    answer = await invoke(engine, operation, about, call)
    if answer.is_error:
        raise MCPError(types.INVALID_PARAMS, str(answer.view["error"]), {"uri": uri})
    return {name: value for name, value in answer.view.items() if name != "success"}


def _answer_of(operation: str, id_name: str) -> Reader:
    async def read(engine: Engine, id: str, uri: str) -> str:
        return json.dumps(await _answer(engine, operation, {id_name: id}, uri))

    return read


async def _job(engine: Engine, id: str, uri: str) -> str:
    return json.dumps(job_view(engine, await engine.jobs.ledger.get(id)))


async def _screen(engine: Engine, id: str, uri: str) -> str:
    answer = await _answer(engine, "console_get_screen", {"sessionId": id}, uri)
    return str(answer["screen"])


async def _recording(engine: Engine, id: str, uri: str) -> str:
    return await newest_recording(engine.session_output, id, max_bytes=_RECORDING_BYTES)


def _printed_by_jobs(engine: Engine) -> OutputReader[Any]:
    return engine.output


def _printed_by_sessions(engine: Engine) -> OutputReader[Any]:
    return engine.session_output


def _page_of(printed: Printed) -> Reader:
    async def read(engine: Engine, id: str, uri: str) -> str:
        settings = engine.settings
        query = _query(uri, settings.output_page_bytes, settings.output_page_chunks)
        page = await printed(engine).read(id, query)
        return sanitize("".join(chunk.text for chunk in page.page.chunks))

    return read


def _query(uri: str, max_bytes: int, max_chunks: int) -> OutputQuery:
    """Return the page of output that a URI asks for by `since` and `limit`. Raises MCPError."""
    query = parse_qs(urlsplit(uri).query)
    try:
        since = int(query.get("since", ["0"])[0])
        limit = int(query.get("limit", [str(max_chunks)])[0])
    except ValueError:
        raise MCPError(
            types.INVALID_PARAMS, "since and limit are whole numbers", {"uri": uri}
        ) from None
    return OutputQuery(since=max(0, since), max_bytes=max_bytes, max_chunks=max(1, limit))


# -- the table -----------------------------------------------------------------------------------


def _document(title: str, description: str, read: Reader) -> Part:
    return Part(title=title, description=description, read=read, mime_type="application/json")


#: By scheme.
KINDS: Mapping[str, Kind] = {
    "job": Kind(
        id_name="jobId",
        latest=_jobs,
        printed=_printed_by_jobs,
        parts={
            "": _document("Job", "A job: status, verdict, timing, usage.", _job),
            "output": Part(
                title="Job output",
                description="A page of what a job printed, after chunk number `since`.",
                query=_PAGE,
                read=_page_of(_printed_by_jobs),
            ),
        },
    ),
    "session": Kind(
        id_name="sessionId",
        latest=_sessions,
        printed=_printed_by_sessions,
        parts={
            "": _document(
                "Session",
                "A session: state, size, directory, current command, latest commands.",
                _answer_of("console_get_session_state", "sessionId"),
            ),
            "screen": Part(
                title="Screen of a session",
                description="What its terminal shows.",
                read=_screen,
            ),
            "output": Part(
                title="Session output",
                description="A page of what a session printed, after chunk number `since`.",
                query=_PAGE,
                read=_page_of(_printed_by_sessions),
            ),
            "recording": Part(
                title="Recording of a session",
                description="Its output with times, as an asciicast; of a long one the newest part.",
                mime_type="application/x-asciicast",
                read=_recording,
            ),
        },
    ),
    "workflow": Kind(
        id_name="runId",
        latest=_runs,
        parts={
            "": _document(
                "Workflow run",
                "A run of a workflow: status, and how each step stands.",
                _answer_of("console_get_workflow_status", "runId"),
            )
        },
    ),
    "schedule": Kind(
        id_name="scheduleId",
        latest=_schedules,
        parts={
            "": _document(
                "Schedule",
                "A schedule: its next run, versions, and how its latest runs ended.",
                _answer_of("console_get_schedule", "scheduleId"),
            )
        },
    ),
}
