"""The client half of the Tasks extension (SEP-2663), which the SDK leaves to others."""

import asyncio
from collections.abc import Sequence
from typing import Any, Literal

import mcp_types as types
from mcp.client import ClaimContext, ClientExtension, NotificationBinding, ResultClaim

EXTENSION = "io.modelcontextprotocol/tasks"
OVER = {"completed", "failed", "cancelled"}


class TaskParams(types.RequestParams):
    task_id: str


class UpdateParams(TaskParams):
    input_responses: dict[str, Any]


class Task(types.Result):
    """A task's state, as it comes in answers and notifications."""

    task_id: str
    status: str
    status_message: str | None = None
    created_at: str
    last_updated_at: str
    ttl_ms: int | None
    poll_interval_ms: int | None = None
    result: dict[str, Any] | None = None


class CreatedTask(Task):
    """The answer to a call that goes on as a task."""

    result_type: Literal["task"] = "task"


class GetTask(types.Request[TaskParams, Literal["tasks/get"]]):
    method: Literal["tasks/get"] = "tasks/get"
    params: TaskParams
    name_param = "taskId"


class CancelTask(types.Request[TaskParams, Literal["tasks/cancel"]]):
    method: Literal["tasks/cancel"] = "tasks/cancel"
    params: TaskParams
    name_param = "taskId"


class UpdateTask(types.Request[UpdateParams, Literal["tasks/update"]]):
    method: Literal["tasks/update"] = "tasks/update"
    params: UpdateParams
    name_param = "taskId"


class TasksClient(ClientExtension):
    """Declares the extension and sees tasks through. `polls` and `pushed` tell how."""

    identifier = EXTENSION

    def __init__(self) -> None:
        self.polls = 0
        self.pushed: list[Task] = []

    def claims(self) -> Sequence[ResultClaim[Any]]:
        return [ResultClaim(result_type="task", model=CreatedTask, resolve=self._see_through)]

    def notifications(self) -> Sequence[NotificationBinding[Any]]:
        return [
            NotificationBinding(method="notifications/tasks", params_type=Task, handler=self._push)
        ]

    async def _push(self, task: Task) -> None:
        self.pushed.append(task)

    async def _see_through(self, task: CreatedTask, context: ClaimContext) -> types.CallToolResult:
        state: Task = task
        while state.status not in OVER:
            self.polls += 1
            asked = GetTask(params=TaskParams(task_id=task.task_id))
            state = await context.session.send_request(asked, Task)
            await asyncio.sleep(0.01)
        assert state.result is not None
        return types.CallToolResult.model_validate(state.result)
