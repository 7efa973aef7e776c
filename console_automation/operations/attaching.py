"""What a terminal that is attached to a session, or to a job on a terminal, does beside reading output.

These are operations of the daemon's own protocol, for the command line. They are no tools: what a
model does with a terminal is in `session_table`.
"""

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NotRequired

from typing_extensions import TypedDict

from console_automation.core.job import Job, TerminalSize
from console_automation.core.session import Sizing
from console_automation.engine.engine import Engine
from console_automation.errors import BadRequest, Conflict, Unavailable
from console_automation.operations.operation import Operation
from console_automation.operations.requests import Cols, JobId, Request, Rows
from console_automation.operations.submission import Call


class Attach(Request):
    """See what a terminal shows."""

    id: JobId


class Type(Request):
    """Type bytes, in base64."""

    id: JobId
    data: str


class Resize(Request):
    """Change the terminal's size."""

    id: JobId
    cols: Cols
    rows: Rows


class AttachResult(TypedDict):
    """What draws the screen, in base64, and the last chunk of output that is in it."""

    success: bool
    jobId: NotRequired[str]
    sessionId: NotRequired[str]
    screen: str
    nextSince: int


class TypeResult(TypedDict):
    """How many bytes were taken."""

    success: bool
    accepted: int


class ResizeResult(TypedDict):
    """It is done."""

    success: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class _JobTerminal:
    """The terminal of a job's latest run."""

    run_id: str
    sizes: tuple[Sizing, ...]


async def attach(engine: Engine, call: Call, request: Attach) -> AttachResult:
    """Return what another terminal has to print to show the same."""
    result: AttachResult = {"success": True, "screen": "", "nextSince": 0}
    screen = b""
    session = await engine.consoles.find(request.id)
    if session is not None:
        counts = engine.session_output.counts(session)
        screen, result["nextSince"] = await engine.screens.again(session, counts)
        result["sessionId"] = session.id
    else:
        job, size = await _job_on_terminal(engine, request.id)
        if job.run_id is not None:
            sizes = (Sizing(at=job.spec.created_at, size=size),)
            terminal = _JobTerminal(run_id=job.run_id, sizes=sizes)
            counts = engine.output.counts(job)
            screen, result["nextSince"] = await engine.screens.again(terminal, counts)
        result["jobId"] = job.id
    result["screen"] = base64.b64encode(screen).decode("ascii")
    return result


async def type_bytes(engine: Engine, call: Call, request: Type) -> TypeResult:
    """Have bytes typed as they are, be they text or not."""
    try:
        data = base64.b64decode(request.data, validate=True)
    except binascii.Error as error:
        raise BadRequest(f"data is no base64: {error}", field="data") from None
    text = data.decode("utf-8", "surrogateescape")
    if await engine.consoles.find(request.id) is not None:
        accepted = await engine.consoles.send(request.id, text)
    else:
        run_id = await _run_of_job(engine, request.id)
        accepted = await engine.jobs.host.send_input(run_id, text, eof=False)
    return {"success": True, "accepted": accepted}


async def resize(engine: Engine, call: Call, request: Resize) -> ResizeResult:
    """Change the size of the terminal."""
    size = TerminalSize(cols=request.cols, rows=request.rows)
    if await engine.consoles.find(request.id) is not None:
        await engine.consoles.resize(request.id, size)
    else:
        await engine.jobs.host.resize(await _run_of_job(engine, request.id), size)
    return {"success": True}


async def _job_on_terminal(engine: Engine, job_id: str) -> tuple[Job, TerminalSize]:
    """Return a job and the size its terminal began with. Raises JobNotFound, Conflict if it has none."""
    job = await engine.jobs.ledger.get(job_id)
    size = job.spec.command.terminal
    if size is None:
        raise Conflict(f"Job {job.id} has no terminal.", jobId=job.id)
    return job, size


async def _run_of_job(engine: Engine, job_id: str) -> str:
    """Return the run that has a job's terminal.

    Raises JobNotFound, Conflict when there is none, Unavailable when there is none yet.
    """
    job, _ = await _job_on_terminal(engine, job_id)
    if job.is_terminal:
        raise Conflict(f"Job {job.id} is over: {job.status}.", jobId=job.id)
    if job.run_id is None or not job.is_live:
        raise Unavailable(f"Job {job.id} does not run yet.", jobId=job.id)
    return job.run_id


def _told(result: AttachResult | TypeResult | ResizeResult) -> str:
    return ""  # no model reads it


#: In the audit is that somebody has attached, not each key.
ATTACHING: Mapping[str, Operation] = {
    each.name: each
    for each in (
        Operation(
            toolset="attaching",
            name="attach",
            title="Attach",
            description="Return what another terminal has to print to show the same.",
            request=Attach,
            result=AttachResult,
            run=attach,
            text=_told,
        ),
        Operation(
            toolset="attaching",
            name="type",
            title="Type",
            description="Have bytes typed as they are.",
            request=Type,
            result=TypeResult,
            run=type_bytes,
            text=_told,
            read_only=True,
        ),
        Operation(
            toolset="attaching",
            name="resize",
            title="Resize",
            description="Change the size of the terminal.",
            request=Resize,
            result=ResizeResult,
            run=resize,
            text=_told,
            read_only=True,
        ),
    )
}
