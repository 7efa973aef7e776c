"""The table of operations: everything a front end can do is a row of it, and nothing else.

`invoke` is the one way in. It checks the arguments, runs the operation, turns what went wrong into
the error result, and puts what was asked and what came of it on record.
"""

import asyncio
import logging
from collections.abc import Mapping
from typing import Any

from console_automation.core.text import iso, one_line
from console_automation.engine.engine import Engine
from console_automation.errors import BadRequest, ConsoleAutomationError
from console_automation.operations.access import check_access
from console_automation.operations.checking import checked, unknown
from console_automation.operations.cluster_jobs import action_for
from console_automation.operations.cluster_table import CLUSTER_OPERATIONS
from console_automation.operations.definition_table import DEFINITION_OPERATIONS
from console_automation.operations.job_table import JOB_OPERATIONS
from console_automation.operations.operation import Answer, Operation
from console_automation.operations.schedule_table import SCHEDULE_OPERATIONS
from console_automation.operations.session_table import SESSION_OPERATIONS
from console_automation.operations.submission import Call
from console_automation.operations.workflow_table import WORKFLOW_OPERATIONS
from console_automation.ports.stores import AuditRecord

log = logging.getLogger(__name__)

_LONGEST_ERROR = 1000
_SUBJECTS = ("jobId", "sessionId", "scheduleId", "runId")
_GIVEN_UP = "given up"  # by the client; what it asked for may have happened


OPERATIONS: Mapping[str, Operation] = {
    each.name: each
    for each in (
        *JOB_OPERATIONS,
        *SESSION_OPERATIONS,
        *DEFINITION_OPERATIONS,
        *WORKFLOW_OPERATIONS,
        *SCHEDULE_OPERATIONS,
        *CLUSTER_OPERATIONS,
    )
}


async def invoke(
    engine: Engine,
    name: str,
    arguments: object,
    call: Call,
    *,
    offered: Mapping[str, Operation] = OPERATIONS,
) -> Answer:
    """Carry out an operation for a client. Never raises for what the client did wrong.

    `arguments` are what the client sent, whatever that is; None stands for none.
    """
    operation = offered.get(name)
    if operation is None:
        return refusal(engine, BadRequest(unknown("tool", name, list(offered)), field="name"))
    try:
        request = checked(operation.request, {} if arguments is None else arguments)
        if not call.principal.is_admin:
            await check_access(engine, call, operation, request)
        result = await action_for(operation, request)(engine, call, request)
        answer = Answer(result, operation.text(result))
    except ConsoleAutomationError as error:
        answer = refusal(engine, error, cancelled=name == "console_cancel_job")
        if operation.read_only and not call.principal.is_admin:
            _record(engine, operation, arguments, call, answer.view, error.code)
    except asyncio.CancelledError:
        if not operation.read_only:
            _record(engine, operation, arguments, call, {}, _GIVEN_UP)
        raise
    except Exception:
        log.exception("%s failed", name)
        answer = refusal(engine, ConsoleAutomationError())
    if not operation.read_only:
        outcome = str(answer.view["code"]) if answer.is_error else "ok"
        _record(engine, operation, arguments, call, answer.view, outcome)
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


def _record(
    engine: Engine,
    operation: Operation,
    arguments: object,
    call: Call,
    view: Mapping[str, Any],
    outcome: str,
) -> None:
    """Put a request that wanted to change something on record, with its outcome."""
    asked = arguments if isinstance(arguments, dict) else {}
    places = (view, view.get("run", {}), view.get("schedule", {}), asked)
    about = (each.get(name) for name in _SUBJECTS for each in places)
    subject = next(filter(None, about), None)
    command = asked.get("command", asked.get("name"))
    record = AuditRecord(
        at=engine.jobs.clock.now(),
        client=call.client,
        operation=operation.name,
        job_id=one_line(subject, 100) if isinstance(subject, str) else None,
        outcome=outcome,
        detail=one_line(command, 200) if isinstance(command, str) else "",
    )
    saved = engine.jobs.ledger.store.record(record)
    saved.add_done_callback(log_failure)


def log_failure(saved: Any) -> None:
    """Log it when what was to be put on record could not be."""
    if not saved.cancelled() and saved.exception() is not None:
        log.error("a request could not be put on record: %s", saved.exception())
