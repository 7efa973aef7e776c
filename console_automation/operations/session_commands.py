"""Commands in a session's shell, and what jobs take over from a session."""

import re
import time
from dataclasses import replace

from console_automation.core.job import Channel
from console_automation.core.session import CommandStatus, Session
from console_automation.core.shells import INTERRUPT, ShellKind, parse_report, quoted
from console_automation.core.text import one_line, sanitize
from console_automation.engine.commands import check_directory
from console_automation.engine.engine import Engine
from console_automation.engine.executions import occupied, shell_of
from console_automation.engine.tracker import Execution, Typed
from console_automation.errors import BadRequest
from console_automation.operations import requests as ask
from console_automation.operations.sessions import wait_until
from console_automation.operations.submission import Call, telling
from console_automation.operations.views import CommandResult

_LONGEST_LINE = 128 << 10
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_INTERRUPT_SECONDS = 2.0
_NOT_IN_A_SESSION = ("stdin", "shell")


async def execute_in_session(
    engine: Engine, call: Call, request: ask.ExecuteCommand, session_id: str
) -> CommandResult:
    """Type a command into a session's shell and wait for its end."""
    session = await engine.consoles.get_live(session_id)
    settings, options = engine.settings, request.options
    tracker = await engine.consoles.executions.tracker(session)
    kind = shell_of(session, tracker) or ShellKind.SH
    line = _line(session, request, kind)
    if tracker.at_prompt and not tracker.is_executing:
        _check_foreground(engine, session)
    asked = " ".join([request.command, *(request.args or ())])
    execution = await engine.consoles.executions.execute(session, line, asked=asked)
    typed = Typed(since=execution.command.since, text="", marked=True)
    engine.consoles.note_input(session.id, typed)
    wait = settings.max_wait_ms if options.timeout is None else options.timeout
    wait = min(wait / 1000, settings.max_wait_ms / 1000, call.patience)
    began = time.monotonic()
    ended = wait_until(execution.settled, wait)
    said = f"{one_line(request.command, 40)} is running in {session.id}"
    if not await telling(settings, call, wait, ended, lambda: said) and options.kill_on_timeout:
        await engine.consoles.send(session.id, INTERRUPT)
        await wait_until(execution.settled, _INTERRUPT_SECONDS)
    session = await engine.consoles.get(session.id)
    result = _result(session, execution, time.monotonic() - began)
    if result["status"] == "running":
        result["nextSince"] = tracker.cursor
        result["fullScreen"] = tracker.modes.alternate_screen
    return result


def _check_foreground(engine: Engine, session: Session) -> None:
    """Raise Conflict when something typed by hand runs: sh tells nothing of it, and what it prints
    may look like a prompt's mark."""
    if session.pid is not None and session.spec.host is None:
        front = engine.processes.foreground(session.pid)
        if front is not None and front.pid != session.pid:
            raise occupied(session)


def _result(session: Session, execution: Execution, waited: float) -> CommandResult:
    command = execution.command
    took, shown = waited, execution.shown
    if command.ended_at is not None:
        took = max(0.0, command.ended_at - (command.began_at or command.typed_at))
    result: CommandResult = {
        "success": True,
        "sessionId": session.id,
        "commandId": command.id,
        "status": command.status.value,
        "exitCode": command.exit_code,
        "durationMs": round(took * 1000),
        "output": sanitize(shown.decode("utf-8", "replace")),
        "omittedBytes": execution.printed - len(shown),
        "nextSince": command.since if command.until is None else command.until,
    }
    if session.is_terminal and command.status is not CommandStatus.RUNNING:
        result["sessionClosed"] = True
    return result


def _line(session: Session, request: ask.ExecuteCommand, kind: ShellKind) -> str:
    """Return what the shell is to execute. Raises BadRequest."""
    options = request.options
    for name in _NOT_IN_A_SESSION:
        if getattr(options, name) is not None:
            raise BadRequest(
                f"options.{name} is for commands without a session; in a session type it as you"
                " would at the prompt.",
                field=f"options.{name}",
            )
    line = request.command
    if request.args is not None:
        line = " ".join(quoted(kind, word) for word in (request.command, *request.args))
    exports = [_export(kind, name, value) for name, value in options.environment.items()]
    if exports:
        line = "\n".join([*exports, line])
    if options.working_directory is not None:
        if session.spec.host is None:
            check_directory(options.working_directory)
        line = f"cd {quoted(kind, options.working_directory)} && eval {quoted(kind, line)}"
    size = len(line.encode("utf-8", "surrogatepass"))
    if size > _LONGEST_LINE:
        raise BadRequest(
            f"command: {size} bytes are too much to be typed into a shell ({_LONGEST_LINE} at most)."
            " Write it to a file and run that.",
            field="command",
        )
    return line


def _export(kind: ShellKind, name: str, value: str) -> str:
    if not _VARIABLE.fullmatch(name):
        raise BadRequest(
            f"options.environment: {one_line(name, 40)!r} is not the name of a shell's variable.",
            field="options.environment",
        )
    return f"export {name}={quoted(kind, value)}"


async def in_scope(engine: Engine, call: Call, session_id: str | None) -> Call:
    """Return the call as it is made from within a console session, if that is what the id names.

    Any other id is just a name that jobs are grouped by. Raises SessionClosed.
    """
    session = await engine.consoles.find(session_id) if session_id else None
    if session is None or session.spec.host is not None:
        return call
    session = await engine.consoles.get_live(session.id)
    environment = dict(session.spec.command.environment)
    cwd = session.pid and engine.processes.directory(session.pid)
    data = engine.consoles.host.report(session.run_id, Channel.REPORT)
    reported = parse_report(data) if data else None
    if reported is not None:
        cwd, environment = reported
    return replace(call, environment=environment, cwd=cwd or session.spec.command.cwd)
