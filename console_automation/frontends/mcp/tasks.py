"""The Tasks extension (SEP-2663, `io.modelcontextprotocol/tasks`): a long call becomes a task.

A task is a view of a job or of a workflow run: its id is theirs, its state is their row, so it is
durable before the client hears of it and outlives every process. For a client that declares the
extension, `console_execute_command` answers at once with a task when the command is not done within a
moment, and `console_execute_workflow` when it is to wait for the run's end; the task's result is what
the tool would have returned.
"""

from dataclasses import dataclass, replace
from typing import Any

import mcp_types as types
from mcp import MCPError
from mcp.server.context import ServerRequestContext
from mcp.server.lowlevel import Server
from pydantic import Field

from console_automation.core.job import Job, Status
from console_automation.core.text import iso
from console_automation.core.workflow_run import WorkflowRun, summary
from console_automation.engine.engine import Engine
from console_automation.errors import JobNotFound, WorkflowNotFound
from console_automation.frontends.mcp.principals import of_the_user
from console_automation.operations import texts, workflow_texts
from console_automation.operations.jobs import command_result, job_view
from console_automation.operations.operation import Answer
from console_automation.operations.submission import Call
from console_automation.operations.table import invoke
from console_automation.operations.workflow_views import run_view
from console_automation.operations.workflows import run_result

EXTENSION = "io.modelcontextprotocol/tasks"
_MODERN = frozenset({"2026-07-28"})
_PATIENCE = 2.0  # seconds until a call whose work is not done becomes a task
_MOST_TASKS = 1024
_POLL_MS = 1_000
_OPEN = (Status.PENDING, Status.RUNNING)

Context = ServerRequestContext[Any]


class TaskParams(types.RequestParams):
    """Names a task."""

    task_id: str


class UpdateParams(TaskParams):
    """Answers to a task's questions; ours have none."""

    input_responses: dict[str, Any] = Field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """How a job or a workflow run stands, as a task. `answer` is the tool's, once it is over."""

    id: str
    status: Status
    line: str
    created_at: float
    changed_at: float
    answer: Answer | None


class Tasks:
    """Serves jobs and workflow runs as tasks."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def register(self, server: Server[Any]) -> None:
        """Add the extension's methods and announce it."""
        server.extensions[EXTENSION] = {}
        server.add_request_handler("tasks/get", TaskParams, of_the_user(self._get))
        server.add_request_handler("tasks/update", UpdateParams, of_the_user(self._update))
        server.add_request_handler("tasks/cancel", TaskParams, of_the_user(self._cancel))

    def wants(self, ctx: Context, tool: str, arguments: object) -> bool:
        """Whether this call may be answered with a task: a command in a session is no job, and who
        does not wait for a run wants its id."""
        given = arguments if isinstance(arguments, dict) else {}
        may_take_long = {
            "console_execute_command": given.get("sessionId") is None,
            "console_execute_workflow": bool(given.get("waitMs")),
        }
        return may_take_long.get(tool, False) and _declared(ctx)

    async def granted(self, ctx: Context, task_ids: object) -> list[str]:
        """Return those of the tasks a listener asks for that there are, if it may ask at all."""
        if not isinstance(task_ids, list):
            return []
        _require(ctx)
        asked = [each for each in task_ids[:_MOST_TASKS] if isinstance(each, str)]
        return [each for each in asked if await self.find(each) is not None]

    async def run(self, name: str, arguments: object, call: Call) -> dict[str, Any]:
        """Carry out a call; answer with its result, or with a task when it takes longer."""
        answer = await invoke(self._engine, name, arguments, replace(call, patience=_PATIENCE))
        if answer.is_error:
            return result_of(answer)
        begun = answer.view.get("run", answer.view)
        if begun["status"] not in _OPEN:
            return result_of(answer)
        task = await self._task(str(begun.get("runId") or begun["jobId"]))
        return {"resultType": "task", **self._wire(task)}

    async def find(self, task_id: str) -> dict[str, Any] | None:
        """Return a task as it goes over the wire, None for an unknown one."""
        try:
            return self._wire(await self._task(task_id))
        except (JobNotFound, WorkflowNotFound):
            return None

    async def _get(self, ctx: Context, params: TaskParams) -> dict[str, Any]:
        self._check(ctx, params)
        return {"resultType": "complete", **await self._known(params.task_id)}

    async def _update(self, ctx: Context, params: UpdateParams) -> dict[str, Any]:
        self._check(ctx, params)
        await self._known(params.task_id)
        return {"resultType": "complete"}

    async def _cancel(self, ctx: Context, params: TaskParams) -> dict[str, Any]:
        self._check(ctx, params)
        await self._known(params.task_id)
        engine = self._engine
        if _is_run(params.task_id):
            await engine.workflows.cancel(params.task_id)
        else:
            grace = engine.settings.kill_grace_ms / 1000
            await engine.jobs.cancel(params.task_id, signal=15, grace=grace, by="tasks/cancel")
        return {"resultType": "complete"}

    def _check(self, ctx: Context, params: TaskParams) -> None:
        _require(ctx)
        if ctx.request is not None and ctx.request.headers.get("mcp-name") != params.task_id:
            raise MCPError(
                types.HEADER_MISMATCH, "the Mcp-Name header does not match params.taskId"
            )

    async def _known(self, task_id: str) -> dict[str, Any]:
        found = await self.find(task_id)
        if found is None:
            raise MCPError(types.INVALID_PARAMS, "Unknown task", {"taskId": task_id})
        return found

    async def _task(self, task_id: str) -> Task:
        engine = self._engine
        if _is_run(task_id):
            return _task_of_run(engine, await engine.workflows.runs.get(task_id))
        return await _task_of_job(engine, await engine.jobs.ledger.get(task_id))

    def _wire(self, task: Task) -> dict[str, Any]:
        wire: dict[str, Any] = {
            "taskId": task.id,
            "status": "working",
            "statusMessage": task.line,
            "createdAt": iso(task.created_at),
            "lastUpdatedAt": iso(task.changed_at),
            "ttlMs": self._engine.settings.retain_jobs_ms,
            "pollIntervalMs": _POLL_MS,
        }
        if task.status is Status.CANCELLED:
            wire["status"] = "cancelled"
        elif task.answer is not None:
            wire["status"] = "completed"
            wire["result"] = result_of(task.answer)
        return wire


def _is_run(task_id: str) -> bool:
    return task_id.startswith("workflow-")


async def _task_of_job(engine: Engine, job: Job) -> Task:
    answer = None
    if job.is_terminal:
        result = await command_result(engine, job, 0.0)
        answer = Answer(result, texts.command(result))
    return Task(
        id=job.id,
        status=job.status,
        line=texts.job_line(job_view(engine, job)),
        created_at=job.spec.created_at,
        changed_at=job.completed_at or job.started_at or job.spec.created_at,
        answer=answer,
    )


def _task_of_run(engine: Engine, run: WorkflowRun) -> Task:
    result = run_result(engine, run)
    steps = (state.ended_at for state in run.steps.values())
    return Task(
        id=run.id,
        status=run.status,
        line=workflow_texts.run_line(run_view(summary(run))),
        created_at=run.spec.created_at,
        changed_at=run.ended_at or max(filter(None, steps), default=run.spec.created_at),
        answer=Answer(result, workflow_texts.ran(result)) if run.is_over else None,
    )


def result_of(answer: Answer) -> dict[str, Any]:
    """Return an answer as the result of a tool call."""
    return {
        "content": [{"type": "text", "text": answer.text}],
        "structuredContent": answer.view,
        "isError": answer.is_error,
        "resultType": "complete",
    }


def _declared(ctx: Context) -> bool:
    capabilities = ctx.session.client_capabilities
    extensions = capabilities.extensions if capabilities else None
    return ctx.protocol_version in _MODERN and EXTENSION in (extensions or {})


def _require(ctx: Context) -> None:
    if ctx.protocol_version not in _MODERN:
        raise MCPError(types.METHOD_NOT_FOUND, "Method not found")
    if not _declared(ctx):
        raise MCPError(
            types.MISSING_REQUIRED_CLIENT_CAPABILITY,
            f"declare the extension {EXTENSION} to use tasks",
            {"requiredCapabilities": {"extensions": {EXTENSION: {}}}},
        )
