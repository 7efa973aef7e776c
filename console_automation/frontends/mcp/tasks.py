"""The Tasks extension (SEP-2663, `io.modelcontextprotocol/tasks`): a long command becomes a task.

A task is a view of a job: its id is the job's, its state is the job's row, so it is durable before
the client hears of it and outlives every process. For a client that declares the extension,
`console_execute_command` answers at once with a task when the command is not done within a moment;
the task's result is what the tool would have returned.
"""

from dataclasses import replace
from typing import Any

import mcp_types as types
from mcp import MCPError
from mcp.server.context import ServerRequestContext
from mcp.server.lowlevel import Server
from pydantic import Field

from console_automation.core.job import Job
from console_automation.core.text import iso
from console_automation.engine.engine import Engine
from console_automation.errors import JobNotFound
from console_automation.frontends.mcp.principals import of_the_user
from console_automation.operations import texts
from console_automation.operations.jobs import command_result, job_view
from console_automation.operations.operation import Answer
from console_automation.operations.submission import Call
from console_automation.operations.table import invoke

EXTENSION = "io.modelcontextprotocol/tasks"
_MODERN = frozenset({"2026-07-28"})
_PATIENCE = 2.0  # seconds until a command that is not done becomes a task
_MOST_TASKS = 1024
_POLL_MS = 1_000
_TASK_TOOL = "console_execute_command"

Context = ServerRequestContext[Any]


class TaskParams(types.RequestParams):
    """Names a task."""

    task_id: str


class UpdateParams(TaskParams):
    """Answers to a task's questions; ours have none."""

    input_responses: dict[str, Any] = Field(default_factory=dict)


class Tasks:
    """Serves jobs as tasks."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def register(self, server: Server[Any]) -> None:
        """Add the extension's methods and announce it."""
        server.extensions[EXTENSION] = {}
        server.add_request_handler("tasks/get", TaskParams, of_the_user(self._get))
        server.add_request_handler("tasks/update", UpdateParams, of_the_user(self._update))
        server.add_request_handler("tasks/cancel", TaskParams, of_the_user(self._cancel))

    def wants(self, ctx: Context, tool: str, arguments: object) -> bool:
        """Whether this call may be answered with a task: a command in a session is no job."""
        in_session = isinstance(arguments, dict) and arguments.get("sessionId") is not None
        return tool == _TASK_TOOL and not in_session and _declared(ctx)

    async def granted(self, ctx: Context, task_ids: object) -> list[str]:
        """Return those of the tasks a listener asks for that there are, if it may ask at all."""
        if not isinstance(task_ids, list):
            return []
        _require(ctx)
        asked = [each for each in task_ids[:_MOST_TASKS] if isinstance(each, str)]
        return [each for each in asked if await self.find(each) is not None]

    async def run(self, name: str, arguments: object, call: Call) -> dict[str, Any]:
        """Run the command; answer with its result, or with a task when it takes longer."""
        answer = await invoke(self._engine, name, arguments, replace(call, patience=_PATIENCE))
        if answer.is_error or answer.view["status"] not in ("pending", "running"):
            return result_of(answer)
        job = await self._engine.jobs.ledger.get(str(answer.view["jobId"]))
        return {"resultType": "task", **await self._wire(job)}

    async def find(self, task_id: str) -> dict[str, Any] | None:
        """Return a task as it goes over the wire, None for an unknown one."""
        try:
            return await self._wire(await self._engine.jobs.ledger.get(task_id))
        except JobNotFound:
            return None

    async def _get(self, ctx: Context, params: TaskParams) -> dict[str, Any]:
        self._check(ctx, params)
        return {"resultType": "complete", **await self._wire(await self._job(params.task_id))}

    async def _update(self, ctx: Context, params: UpdateParams) -> dict[str, Any]:
        self._check(ctx, params)
        await self._job(params.task_id)
        return {"resultType": "complete"}

    async def _cancel(self, ctx: Context, params: TaskParams) -> dict[str, Any]:
        self._check(ctx, params)
        await self._job(params.task_id)
        grace = self._engine.settings.kill_grace_ms / 1000
        await self._engine.jobs.cancel(params.task_id, signal=15, grace=grace, by="tasks/cancel")
        return {"resultType": "complete"}

    def _check(self, ctx: Context, params: TaskParams) -> None:
        _require(ctx)
        if ctx.request is not None and ctx.request.headers.get("mcp-name") != params.task_id:
            raise MCPError(
                types.HEADER_MISMATCH, "the Mcp-Name header does not match params.taskId"
            )

    async def _job(self, task_id: str) -> Job:
        try:
            return await self._engine.jobs.ledger.get(task_id)
        except JobNotFound:
            raise MCPError(types.INVALID_PARAMS, "Unknown task", {"taskId": task_id}) from None

    async def _wire(self, job: Job) -> dict[str, Any]:
        engine = self._engine
        last = job.completed_at or job.started_at or job.spec.created_at
        wire: dict[str, Any] = {
            "taskId": job.id,
            "status": "working",
            "statusMessage": texts.job_line(job_view(engine, job)),
            "createdAt": iso(job.spec.created_at),
            "lastUpdatedAt": iso(last),
            "ttlMs": engine.settings.retain_jobs_ms,
            "pollIntervalMs": _POLL_MS,
        }
        if job.is_terminal and job.status == "cancelled":
            wire["status"] = "cancelled"
        elif job.is_terminal:
            result = await command_result(engine, job, 0.0)
            wire["status"] = "completed"
            wire["result"] = result_of(Answer(result, texts.command(result)))
        return wire


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
