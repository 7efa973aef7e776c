"""What clients see: the shapes of the results, and how they are made from the engine's records."""

import base64
from typing import Any, Literal, NotRequired

from typing_extensions import TypedDict

from console_automation.core.job import Job, OutputCounts, Status
from console_automation.core.output import Chunk
from console_automation.core.report import Progress
from console_automation.core.text import iso, sanitize, signal_name
from console_automation.engine.dispatcher import Standing
from console_automation.engine.output import OutputPage


class OutputView(TypedDict):
    """How much a job has printed; chunks are numbered from 1 to lastSequence."""

    bytes: int
    droppedBytes: int
    chunks: int
    lastSequence: int


class UsageView(TypedDict):
    """What the latest run cost."""

    cpuSeconds: float
    maxRssBytes: int


class LeftoverView(TypedDict):
    """A process that outlived the command."""

    pid: int
    command: str
    ended: bool


class TerminalView(TypedDict):
    """The size of the terminal that a job runs on."""

    cols: int
    rows: int


class ProgressView(TypedDict):
    """How far a job says it is."""

    done: float
    total: NotRequired[float]
    message: NotRequired[str]


class ChildView(TypedDict):
    """How a job stands on one of its workers."""

    host: str
    jobId: str
    status: Status
    exitCode: int | None
    error: NotRequired[str]


class LateView(TypedDict):
    """What a worker said of a run that had been given up; another run took its place."""

    host: str
    status: str
    exitCode: int | None


class JobView(TypedDict):
    """A job."""

    id: str
    name: NotRequired[str]
    command: str
    args: NotRequired[list[str]]
    shell: bool
    status: Status
    reason: NotRequired[str]
    error: NotRequired[str]
    exitCode: int | None
    signal: NotRequired[str]
    sessionId: NotRequired[str]
    createdAt: str
    startedAt: NotRequired[str]
    completedAt: NotRequired[str]
    durationMs: NotRequired[int]
    priority: int
    timeout: int
    tags: dict[str, str]
    workingDirectory: str
    project: NotRequired[str]
    attempt: int
    maxAttempts: int
    pid: NotRequired[int]
    queuePosition: NotRequired[int]
    waitingFor: NotRequired[str]
    dependsOn: NotRequired[list[str]]
    terminal: NotRequired[TerminalView]
    retryOf: NotRequired[str]
    definition: NotRequired[str]
    progress: NotRequired[ProgressView]
    logs: NotRequired[list[str]]
    output: OutputView
    usage: NotRequired[UsageView]
    leftovers: NotRequired[list[LeftoverView]]
    target: NotRequired[str]
    worker: NotRequired[str]
    children: NotRequired[list[ChildView]]
    refusals: NotRequired[list[str]]
    lateResults: NotRequired[list[LateView]]


class ChunkView(TypedDict):
    """A piece of output. With `raw`, content is base64."""

    content: str
    timestamp: str
    sequenceNumber: int
    type: Literal["stdout", "stderr"]


class JobResult(TypedDict):
    """One job."""

    success: bool
    job: JobView


class ExecuteResult(TypedDict):
    """A started job; with waitMs, and when it ended in time, the end of its output."""

    success: bool
    jobId: str
    status: Status
    job: JobView
    output: NotRequired[list[ChunkView]]


class CommandResult(TypedDict):
    """The end of a command, or the job it goes on as; in a session, the command in it."""

    success: bool
    jobId: NotRequired[str]
    sessionId: NotRequired[str]
    commandId: NotRequired[str]
    sessionClosed: NotRequired[bool]
    fullScreen: NotRequired[bool]
    status: str
    reason: NotRequired[str]
    error: NotRequired[str]
    exitCode: int | None
    signal: NotRequired[str]
    durationMs: int
    timeout: NotRequired[int]
    output: str
    omittedBytes: int
    nextSince: int
    leftovers: NotRequired[list[LeftoverView]]


class OutputResult(TypedDict):
    """A page of output."""

    success: bool
    jobId: str
    output: list[ChunkView]
    nextSince: int
    hasMore: bool
    droppedBytes: int
    firstAvailableSequence: int | None
    status: Status
    asOf: NotRequired[str]


class CancelResult(TypedDict):
    """What became of the request."""

    success: bool
    jobId: str
    cancelled: bool
    status: Status
    message: str


class ListResult(TypedDict):
    """A page of jobs, newest first."""

    success: bool
    jobs: list[JobView]
    total: int
    nextCursor: NotRequired[str]


class Concurrency(TypedDict):
    """Live runs."""

    current: int
    maximum: int


class Quantiles(TypedDict):
    """Milliseconds."""

    p50: float | None
    p95: float | None


class MetricsView(TypedDict):
    """The figures; the states add up to totalJobs."""

    totalJobs: int
    pendingJobs: int
    runningJobs: int
    completedJobs: int
    failedJobs: int
    cancelledJobs: int
    interruptedJobs: int
    queueSize: int
    concurrency: Concurrency
    averageExecutionTime: float | None
    queueWaitMs: Quantiles
    runTimeMs: Quantiles
    systemLoad: float


class MetricsResult(TypedDict):
    """The figures."""

    success: bool
    metrics: MetricsView


class CleanupResult(TypedDict):
    """How many jobs went and how many there are."""

    success: bool
    cleaned: int
    remaining: int


class WaitResult(TypedDict):
    """The jobs, and which of them are not over."""

    success: bool
    jobs: list[JobView]
    unfinished: list[str]


class InputResult(TypedDict):
    """How much was taken."""

    success: bool
    jobId: str
    bytesAccepted: int


def job_view(job: Job, counts: OutputCounts, standing: Standing | None) -> JobView:
    """Return a job as clients see it; what does not apply is left out."""
    spec, command, end = job.spec, job.spec.command, job.exit
    size = command.terminal
    view: dict[str, Any] = {
        "id": job.id,
        "name": spec.name,
        "command": command.line,
        "args": None if command.args is None else list(command.args),
        "shell": command.shell,
        "status": job.status.value,
        "reason": job.reason,
        "error": job.error and sanitize(job.error),
        "signal": signal_name(end.signal) if end and end.signal else None,
        "sessionId": spec.session_id,
        "createdAt": iso(spec.created_at),
        "startedAt": job.started_at and iso(job.started_at),
        "completedAt": job.completed_at and iso(job.completed_at),
        "durationMs": None if job.duration is None else round(job.duration * 1000),
        "priority": spec.priority,
        "timeout": round((command.timeout or 0) * 1000),
        "tags": dict(spec.tags),
        "workingDirectory": command.cwd,
        "project": spec.project or None,
        "attempt": job.attempt,
        "maxAttempts": spec.retry.max_attempts,
        "pid": job.pid,
        "queuePosition": standing and standing.position,
        "waitingFor": standing and standing.why,
        "dependsOn": list(spec.depends_on) or None,
        "retryOf": spec.retry_of,
        "definition": spec.contract and spec.contract.definition,
        "terminal": size and {"cols": size.cols, "rows": size.rows},
        "output": {
            "bytes": counts.bytes,
            "droppedBytes": counts.dropped_bytes,
            "chunks": counts.last_sequence,
            "lastSequence": counts.last_sequence,
        },
        "usage": end
        and end.usage
        and {"cpuSeconds": end.usage.cpu_seconds, "maxRssBytes": end.usage.max_rss_bytes},
        "leftovers": end
        and [
            {"pid": left.pid, "command": sanitize(left.command), "ended": left.ended}
            for left in end.leftovers
        ],
    }
    present = {key: value for key, value in view.items() if value is not None and value != []}
    present["exitCode"] = end.code if end and job.is_terminal else None
    present.setdefault("tags", {})
    if command.args is not None:
        present["args"] = list(command.args)
    return present  # type: ignore[return-value]


def progress_view(progress: Progress) -> ProgressView:
    """Return progress as clients see it."""
    view: ProgressView = {"done": progress.done}
    if progress.total is not None:
        view["total"] = progress.total
    if progress.message:
        view["message"] = sanitize(progress.message)
    return view


def chunk_views(chunks: tuple[Chunk, ...], *, raw: bool) -> list[ChunkView]:
    """Return chunks as clients see them: sanitized text, or base64."""
    return [
        {
            "content": base64.b64encode(chunk.data).decode() if raw else sanitize(chunk.text),
            "timestamp": iso(chunk.at),
            "sequenceNumber": chunk.sequence,
            "type": "stdout" if chunk.stream == "stdout" else "stderr",
        }
        for chunk in chunks
    ]


def output_view(read: OutputPage[Job], *, raw: bool) -> OutputResult:
    """Return a page as clients see it."""
    return {
        "success": True,
        "jobId": read.printer.id,
        "output": chunk_views(read.page.chunks, raw=raw),
        "nextSince": read.page.next_since,
        "hasMore": read.page.has_more,
        "droppedBytes": read.counts.dropped_bytes,
        "firstAvailableSequence": read.page.first_available,
        "status": read.printer.status,
    }
