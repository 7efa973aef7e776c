"""The table of operations: everything a front end can do is a row of it, and nothing else.

`invoke` is the one way in. It checks the arguments, runs the operation, turns what went wrong into
the error result, and puts what was asked and what came of it on record.
"""

import asyncio
import difflib
import logging
from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ValidationError

from console_automation.core.text import iso, one_line
from console_automation.engine.engine import Engine
from console_automation.errors import BadRequest, ConsoleAutomationError
from console_automation.operations.job_table import JOB_OPERATIONS
from console_automation.operations.operation import Answer, Operation
from console_automation.operations.schedule_table import SCHEDULE_OPERATIONS
from console_automation.operations.session_table import SESSION_OPERATIONS
from console_automation.operations.submission import Call
from console_automation.ports import AuditRecord

log = logging.getLogger(__name__)

_LONGEST_ERROR = 1000
_GIVEN_UP = "given up"  # by the client; what it asked for may have happened


OPERATIONS: Mapping[str, Operation] = {
    each.name: each for each in (*JOB_OPERATIONS, *SESSION_OPERATIONS, *SCHEDULE_OPERATIONS)
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
        return refusal(engine, BadRequest(_unknown("tool", name, list(offered)), field="name"))
    try:
        request = _checked(operation.request, {} if arguments is None else arguments)
        result = await operation.run(engine, call, request)
        answer = Answer(result, operation.text(result))
    except ConsoleAutomationError as error:
        answer = refusal(engine, error, cancelled=name == "console_cancel_job")
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
        return _misplaced(model, path, str(name))
    if error["type"] == "missing":
        return f"{field} is missing."
    wrong = error["msg"].removeprefix("Value error, ")
    if error["type"] in ("model_type", "dict_type"):
        wrong = "Input should be an object"
    return f"{one_line(field)}: {wrong} (it was {_shown(error['input'])})."


#: What models write out of habit, for which the spelling would suggest nothing.
_ALIASES = {"cwd": "workingDirectory", "workingDirectory": "cwd", "env": "environment"}


def _misplaced(model: type[BaseModel], path: list[Any], given: str) -> str:
    """Say where an argument belongs that is not known where it was given."""
    known = _fields_at(model, path)
    options = _fields_at(model, [*path, "options"]) if "options" in known else []
    alias = _ALIASES.get(given, given)
    for name in (given, alias):
        if name in options:
            return f"The argument {name!r} belongs into options: {{'options': {{{name!r}: ...}}}}."
    if alias in known:
        return f"There is no argument {given!r}. Did you mean {alias!r}?"
    return _unknown("argument", given, known)


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
    view: Mapping[str, Any],
    outcome: str,
) -> None:
    """Put a request that wanted to change something on record, with its outcome."""
    asked = arguments if isinstance(arguments, dict) else {}
    about = (
        each.get(name) for name in ("jobId", "sessionId", "scheduleId") for each in (view, asked)
    )
    subject = next(filter(None, about), None)
    command = asked.get("command")
    record = AuditRecord(
        at=engine.jobs.clock.now(),
        client=call.client,
        operation=operation.name,
        job_id=one_line(subject, 100) if isinstance(subject, str) else None,
        outcome=outcome,
        detail=one_line(command, 200) if isinstance(command, str) else "",
    )
    saved = engine.jobs.ledger.store.record(record)
    saved.add_done_callback(_log_failure)


def _log_failure(saved: Any) -> None:
    if not saved.cancelled() and saved.exception() is not None:
        log.error("a request could not be put on record: %s", saved.exception())
