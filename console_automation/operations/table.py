"""The table of operations: everything a front end can do is a row of it, and nothing else.

`invoke` is the one way in. It checks the arguments, runs the operation, turns what went wrong into
the error result, and puts what was asked and what came of it on record.
"""

import difflib
import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ValidationError

from console_automation.core.text import iso, one_line
from console_automation.engine.engine import Engine
from console_automation.errors import BadRequest, ConsoleAutomationError
from console_automation.operations import jobs, requests, texts, views
from console_automation.operations.submission import Call
from console_automation.ports import AuditRecord

log = logging.getLogger(__name__)

_LONGEST_ERROR = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """One use case. `result` is a TypedDict; `text` says the same to a model, in few words."""

    name: str
    title: str
    description: str
    request: type[BaseModel]
    result: type
    run: Callable[[Engine, Call, Any], Awaitable[Any]]
    text: Callable[[Any], str]
    read_only: bool = False
    destructive: bool = False
    idempotent: bool = False
    open_world: bool = False


@dataclass(frozen=True, slots=True)
class Answer:
    """What an operation came to. `view` matches the operation's result, or is the error result."""

    view: Mapping[str, Any]
    text: str
    is_error: bool = False


_OPERATIONS = (
    Operation(
        name="console_execute_command",
        title="Run a command",
        description=(
            "Run a shell command and return its exit code and output. If it is not done in time"
            " (45 s) it keeps running as a background job and you get its jobId: nothing is lost,"
            " nothing is killed. For what you know to take long, use console_execute_async."
        ),
        request=requests.ExecuteCommand,
        result=views.CommandResult,
        run=jobs.execute_command,
        text=texts.command,
        destructive=True,
        open_world=True,
    ),
    Operation(
        name="console_execute_async",
        title="Start a background job",
        description=(
            "Start a command as a background job and return its jobId at once. The job survives"
            " this client, the server and their crashes; its output and exit code are kept (24 h)."
            " Example: command='make -j4 test', options={timeout: 3600000, name: 'tests'}."
            " Then console_wait_for_jobs; read with console_get_job_output. Do not append '&' or"
            " nohup: processes left behind are ended with the job."
        ),
        request=requests.ExecuteAsync,
        result=views.ExecuteResult,
        run=jobs.execute_async,
        text=texts.executed,
        destructive=True,
        open_world=True,
    ),
    Operation(
        name="console_get_job_status",
        title="Job status",
        description=(
            "Return a job: status, exit code or signal, who ended it and why, timing, usage; why"
            " it is still pending. With waitMs it returns as soon as the job is over."
        ),
        request=requests.GetJobStatus,
        result=views.JobResult,
        run=jobs.get_job_status,
        text=texts.status,
        read_only=True,
        idempotent=True,
    ),
    Operation(
        name="console_get_job_output",
        title="Job output",
        description=(
            "Read a job's output, live or afterwards. Page with since=nextSince; never the same"
            " bytes twice. tail=20 for the last lines, grep='error' to search on the server,"
            " waitMs to wait for new output. Terminal control sequences are stripped."
        ),
        request=requests.GetJobOutput,
        result=views.OutputResult,
        run=jobs.get_job_output,
        text=texts.output,
        read_only=True,
        idempotent=True,
    ),
    Operation(
        name="console_wait_for_jobs",
        title="Wait for jobs",
        description=(
            "Wait until all of the jobs (or, with mode=any, one) are over, 45 s at most, and return"
            " them. Call again while `unfinished` is not empty: cheaper than polling."
        ),
        request=requests.WaitForJobs,
        result=views.WaitResult,
        run=jobs.wait_for_jobs,
        text=texts.waited,
        read_only=True,
        idempotent=True,
    ),
    Operation(
        name="console_cancel_job",
        title="Cancel a job",
        description=(
            "End a job and every process it started: SIGTERM, then after graceMs SIGKILL for"
            " whatever is left. Returns when they are gone. A finished job is left untouched."
        ),
        request=requests.CancelJob,
        result=views.CancelResult,
        run=jobs.cancel_job,
        text=texts.cancelled,
        destructive=True,
        idempotent=True,
    ),
    Operation(
        name="console_list_jobs",
        title="List jobs",
        description=(
            "List jobs, newest first, also those of earlier clients and sessions; filter by"
            " status, sessionId, name or tags."
        ),
        request=requests.ListJobs,
        result=views.ListResult,
        run=jobs.list_jobs,
        text=texts.listed,
        read_only=True,
        idempotent=True,
    ),
    Operation(
        name="console_send_job_input",
        title="Feed a job",
        description=(
            "Write text to the stdin of a running job that was started with options.keepStdin."
        ),
        request=requests.SendJobInput,
        result=views.InputResult,
        run=jobs.send_job_input,
        text=texts.fed,
        open_world=True,
    ),
    Operation(
        name="console_retry_job",
        title="Run a job again",
        description="Run a finished job's command again as a new job; the old record is kept.",
        request=requests.RetryJob,
        result=views.ExecuteResult,
        run=jobs.retry_job,
        text=texts.executed,
        destructive=True,
        open_world=True,
    ),
    Operation(
        name="console_get_job_metrics",
        title="Job figures",
        description="Return counts by status, slots in use, queue wait and run times, system load.",
        request=requests.GetJobMetrics,
        result=views.MetricsResult,
        run=jobs.get_job_metrics,
        text=texts.metrics,
        read_only=True,
        idempotent=True,
    ),
    Operation(
        name="console_cleanup_jobs",
        title="Remove finished jobs",
        description=(
            "Remove the records and output of finished jobs older than maxAge (default 24 h, which"
            " also happens by itself). Jobs that are not over are never touched."
        ),
        request=requests.CleanupJobs,
        result=views.CleanupResult,
        run=jobs.cleanup_jobs,
        text=texts.cleaned,
        destructive=True,
        idempotent=True,
    ),
)

OPERATIONS: Mapping[str, Operation] = {each.name: each for each in _OPERATIONS}


async def invoke(engine: Engine, name: str, arguments: object, call: Call) -> Answer:
    """Carry out an operation for a client. Never raises for what the client did wrong.

    `arguments` are what the client sent, whatever that is; None stands for none.
    """
    operation = OPERATIONS.get(name)
    if operation is None:
        return refusal(engine, BadRequest(_unknown("tool", name, list(OPERATIONS)), field="name"))
    try:
        request = _checked(operation.request, {} if arguments is None else arguments)
        result = await operation.run(engine, call, request)
        answer = Answer(result, operation.text(result))
    except ConsoleAutomationError as error:
        answer = refusal(engine, error, cancelled=name == "console_cancel_job")
    except Exception:
        log.exception("%s failed", name)
        answer = refusal(engine, ConsoleAutomationError())
    if not operation.read_only:
        _record(engine, operation, arguments, call, answer)
    return answer


def refusal(engine: Engine, error: ConsoleAutomationError, *, cancelled: bool = False) -> Answer:
    """Return the error result for an operation that did not happen."""
    details = {key: _bounded(value) for key, value in error.details.items() if value is not None}
    details["timestamp"] = iso(engine.jobs.clock.now())
    message = one_line(error.message, _LONGEST_ERROR)
    view: dict[str, Any] = {
        "success": False,
        "error": message,
        "code": error.code,
        "details": details,
    }
    if cancelled:
        view["cancelled"] = False
    return Answer(view, f"{error.code}: {message}", is_error=True)


def _bounded(value: Any) -> Any:
    return one_line(value, _LONGEST_ERROR) if isinstance(value, str) else value


def _checked(model: type[BaseModel], arguments: object) -> BaseModel:
    if not isinstance(arguments, dict):
        raise BadRequest(
            f"The arguments must be an object (they were {_shown(arguments)}).", field="arguments"
        )
    try:
        return model.model_validate(arguments)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False)[0]
        field = ".".join(str(part) for part in first["loc"])
        raise BadRequest(_complaint(model, first, field), field=one_line(field)) from None


def _complaint(model: type[BaseModel], error: Any, field: str) -> str:
    """Say what is wrong with an argument, what it was, and what would be right."""
    if error["type"] == "extra_forbidden":
        *path, name = error["loc"]
        name = _ALIASES.get(str(name), str(name))
        known = _fields_at(model, path)
        if "options" in known and name in _fields_at(model, [*path, "options"]):
            return f"The argument {name!r} belongs into options: {{'options': {{{name!r}: ...}}}}."
        return _unknown("argument", name, known)
    if error["type"] == "missing":
        return f"{field} is missing."
    wrong = error["msg"].removeprefix("Value error, ")
    if error["type"] in ("model_type", "dict_type"):
        wrong = "Input should be an object"
    return f"{one_line(field)}: {wrong} (it was {_shown(error['input'])})."


#: What models write out of habit, for which the spelling would suggest nothing.
_ALIASES = {"cwd": "workingDirectory", "env": "environment"}


def _shown(value: object) -> str:
    """Return what was given in few words, without looking at all of it: it may be huge, or deep."""
    if isinstance(value, dict):
        return f"an object with {len(value)} fields"
    if isinstance(value, list):
        return f"a list of {len(value)}"
    try:
        return one_line(repr(value[:60] if isinstance(value, str) else value), 60)
    except ValueError:
        return "a number with thousands of digits"


def _fields_at(model: type[BaseModel], path: list[Any]) -> list[str]:
    for part in path:
        for name, each in model.model_fields.items():
            if part in (name, each.alias):
                found = next(
                    (
                        kind
                        for kind in (each.annotation, *getattr(each.annotation, "__args__", ()))
                        if isinstance(kind, type) and issubclass(kind, BaseModel)
                    ),
                    None,
                )
                if found:
                    model = found
    return [each.alias or name for name, each in model.model_fields.items()]


def _unknown(kind: str, name: str, known: list[str]) -> str:
    name = one_line(name, 60)
    close = difflib.get_close_matches(name, known, n=1, cutoff=0.75)
    meant = f" Did you mean {close[0]!r}?" if close else f" Known: {', '.join(known) or 'none'}."
    return f"There is no {kind} {name!r}.{meant}"


def _record(
    engine: Engine,
    operation: Operation,
    arguments: object,
    call: Call,
    answer: Answer,
) -> None:
    """Put a request that wanted to change something on record, with its outcome."""
    asked = arguments if isinstance(arguments, dict) else {}
    job_id = answer.view.get("jobId") or asked.get("jobId")
    command = asked.get("command")
    record = AuditRecord(
        at=engine.jobs.clock.now(),
        client=call.client,
        operation=operation.name,
        job_id=one_line(job_id, 100) if isinstance(job_id, str) else None,
        outcome=str(answer.view["code"]) if answer.is_error else "ok",
        detail=one_line(command, 200) if isinstance(command, str) else "",
    )
    saved = engine.jobs.ledger.store.record(record)
    saved.add_done_callback(_log_failure)


def _log_failure(saved: Any) -> None:
    if not saved.cancelled() and saved.exception() is not None:
        log.error("a request could not be put on record: %s", saved.exception())
