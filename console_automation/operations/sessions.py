"""The use cases about console sessions."""

import asyncio
import time
from dataclasses import replace

from console_automation.core.job import TerminalSize
from console_automation.core.keys import encode_key, paste
from console_automation.core.output import text_of
from console_automation.core.session import Session, SessionPhase
from console_automation.core.shells import ShellKind, is_integrated
from console_automation.core.text import human_seconds, sanitize
from console_automation.engine.consoles import session_closed
from console_automation.engine.engine import Engine
from console_automation.engine.expect import Expectation, wait_for_output
from console_automation.engine.output import OutputQuery
from console_automation.engine.tracker import Tracker, Typed
from console_automation.errors import Unavailable
from console_automation.operations import session_requests as ask
from console_automation.operations import session_views as view
from console_automation.operations.session_opening import session_spec
from console_automation.operations.session_texts import session_line
from console_automation.operations.submission import Call, newest, query_of, telling

_FIRST_OUTPUT_SECONDS = 1.0  #: a program that is no shell shows something within it, or later
_ANSWER_SECONDS = 1.0  #: a shell that starts does not read its terminal for that long
_MOMENT = 0.05
_SHOWN_COMMANDS = 5


async def create_session(
    engine: Engine, call: Call, request: ask.CreateSession
) -> view.CreateResult:
    """Open a session and wait until its shell is at its prompt."""
    spec = session_spec(engine, call, request)
    wait = min(engine.settings.session_ready_ms, engine.settings.max_wait_ms) / 1000
    born = await engine.consoles.create(spec)
    session = await engine.consoles.opened(born.id, timeout=wait)
    ready = session.phase is SessionPhase.OPEN
    first = OutputQuery(max_bytes=1, max_chunks=1, wait=min(wait, _FIRST_OUTPUT_SECONDS))
    has_marks = spec.shell is not None and is_integrated(spec.shell)
    has_prompt = ready and (spec.host is not None or has_marks)
    if has_prompt:
        ready = await _prompted(engine, session, wait)
    elif ready:
        await engine.session_output.read(session.id, first)
    read = await engine.session_output.read(session.id, newest(engine.settings))
    if has_prompt and ready and not sanitize(text_of(read.page.chunks)):
        # The mark of a prompt has come before its text.
        await engine.session_output.read(session.id, replace(first, since=read.page.next_since))
        read = await engine.session_output.read(session.id, newest(engine.settings))
    if read.printer.error is not None:
        raise session_closed(read.printer)
    result: view.CreateResult = {
        "success": True,
        "sessionId": session.id,
        "ready": ready and not read.printer.is_terminal,
        "status": read.printer.phase.value,
        "output": sanitize(text_of(read.page.chunks)),
        "nextSince": read.page.next_since,
    }
    if session.pid is not None:
        result["pid"] = session.pid
    if read.printer.exit and read.printer.exit.code is not None:
        result["exitCode"] = read.printer.exit.code
    return result


async def _prompted(engine: Engine, session: Session, wait: float) -> bool:
    """Wait for the shell's prompt; not for ever on a program that waits for an answer first."""
    limit = time.monotonic() + wait
    while True:
        pause = min(_ANSWER_SECONDS, max(0.0, limit - time.monotonic()))
        tracker = await engine.consoles.executions.prompt(session, timeout=pause)
        session = await engine.consoles.get(session.id)
        if tracker.at_prompt or session.pid is None or session.is_terminal:
            return tracker.at_prompt
        front = engine.processes.foreground(session.pid)
        if front is not None and front.is_waiting:
            return (await engine.consoles.executions.heard_out(session)).at_prompt
        if time.monotonic() >= limit:
            return False
        # When its program has just ended, that is told in a moment.
        await engine.consoles.changes.wait([session.id], enough=1, timeout=_MOMENT)


# -- typing ------------------------------------------------------------------------------------


async def send_input(engine: Engine, call: Call, request: ask.SendInput) -> view.TypedResult:
    """Type text; several lines go as a paste."""
    session = await engine.consoles.get_live(request.session_id)
    tracker = await engine.consoles.executions.tracker(session)
    is_paste = "\n" in request.input.rstrip("\r\n") and tracker.modes.bracketed_paste
    text = paste(request.input, bracketed=is_paste) + "\r" * request.enter
    return await _type(engine, session, tracker, text, said=request.input)


async def send_key(engine: Engine, call: Call, request: ask.SendKey) -> view.TypedResult:
    """Press a key."""
    session = await engine.consoles.get_live(request.session_id)
    tracker = await engine.consoles.executions.tracker(session)
    text = encode_key(request.key, application_cursor=tracker.modes.application_cursor)
    return await _type(engine, session, tracker, text, said="")


async def _type(
    engine: Engine, session: Session, tracker: Tracker, text: str, *, said: str
) -> view.TypedResult:
    since = tracker.cursor  # what is known of the shell is as of this chunk
    submits = text.endswith("\r") and tracker.at_prompt and not tracker.is_executing
    accepted = await engine.consoles.send(session.id, text)
    if text and not accepted:
        raise Unavailable(
            f"The input queue of {session.id} is full: its program does not read what was typed"
            " before. Wait until it does, or press ctrl+c, which empties the queue."
        )
    marked = submits and tracker.shell != ShellKind.SH  # which marks no commands typed by hand
    engine.consoles.note_input(session.id, Typed(since=since, text=said, marked=marked))
    return {"success": True, "sessionId": session.id, "accepted": accepted, "since": since}


async def resize_session(engine: Engine, call: Call, request: ask.ResizeSession) -> view.SizeResult:
    """Change the terminal's size."""
    size = TerminalSize(cols=request.cols, rows=request.rows)
    session = await engine.consoles.resize(request.session_id, size)
    return {
        "success": True,
        "sessionId": session.id,
        "cols": session.size.cols,
        "rows": session.size.rows,
    }


# -- reading -----------------------------------------------------------------------------------


async def get_output(
    engine: Engine, call: Call, request: ask.GetSessionOutput
) -> view.SessionOutputResult:
    """Return a page of output, waiting for some when that is wanted."""
    query = query_of(engine.settings, request.options)
    reading = engine.session_output.read(request.session_id, query)
    said = f"no output of {request.session_id} yet"
    read = await telling(engine.settings, call, query.wait, reading, lambda: said)
    return view.output_view(read, raw=request.options.raw)


async def wait_for(engine: Engine, call: Call, request: ask.WaitForOutput) -> view.MatchResult:
    """Wait until the session has printed what the pattern matches."""
    limit = engine.settings.max_wait_ms
    wait = min(limit if request.timeout is None else request.timeout, limit) / 1000
    session = await engine.consoles.get(request.session_id)
    typed, since = None, request.since
    if since is None:
        typed = engine.consoles.last_input(session.id)
        since = typed.since if typed else engine.session_output.counts(session).last_sequence
    wanted = Expectation(
        pattern=request.pattern,
        since=since,
        timeout=wait,
        ignore_case=request.ignore_case,
        typed=typed,
    )
    found = await telling(
        engine.settings,
        call,
        wait,
        wait_for_output(engine.session_output, session.id, wanted),
        lambda: "not printed yet",
    )
    result: view.MatchResult = {
        "success": True,
        "sessionId": session.id,
        "match": found.match,
        "before": found.before,
        "after": found.after,
        "nextSince": found.next_since,
    }
    if found.groups:
        result["groups"] = list(found.groups)
    return result


async def get_screen(engine: Engine, call: Call, request: ask.OfSession) -> view.ScreenResult:
    """Return what the terminal shows."""
    session = await engine.consoles.get(request.session_id)
    screen, cursor = await engine.screens.look(session, engine.session_output.counts(session))
    return view.screen_view(session, screen, cursor)


# -- how it stands -----------------------------------------------------------------------------


async def list_sessions(
    engine: Engine, call: Call, request: ask.ListSessions
) -> view.SessionListResult:
    """Return sessions, newest first."""
    consoles = engine.consoles
    live = sorted(consoles.live, key=lambda each: each.id, reverse=True)
    shown = await consoles.latest(limit=request.limit) if request.closed else live[: request.limit]
    return {
        "success": True,
        "sessions": [_view(engine, each) for each in shown],
        "open": len(live),
        "maximum": engine.settings.max_sessions,
    }


def _view(engine: Engine, session: Session) -> view.SessionView:
    return view.session_view(session, engine.session_output.counts(session))


async def get_session_state(
    engine: Engine, call: Call, request: ask.GetSessionState
) -> view.StateResult:
    """Return how a session stands, waiting for the end of its command when that is wanted."""
    session = await engine.consoles.get(request.session_id)
    if session.is_live:
        tracker = await engine.consoles.executions.tracker(session)
        execution = tracker.execution
        wait = min(request.wait_ms, engine.settings.max_wait_ms) / 1000
        if execution and not execution.settled.is_set() and wait:
            ended = wait_until(execution.settled, wait)
            await telling(engine.settings, call, wait, ended, lambda: "still running")
        session = await engine.consoles.get(session.id)
    return await _state(engine, session)


async def wait_until(event: asyncio.Event, timeout: float) -> bool:
    """Return whether the event has come before the time was up."""
    try:
        async with asyncio.timeout(timeout):
            await event.wait()
    except TimeoutError:
        pass
    return event.is_set()


async def _state(engine: Engine, session: Session) -> view.StateResult:
    commands = await engine.consoles.store.commands(session.id, limit=_SHOWN_COMMANDS)
    seen = [view.command_view(each) for each in commands]
    result: view.StateResult = {
        "success": True,
        "sessionId": session.id,
        "state": session.phase.value,
        "session": _view(engine, session),
        "history": [each for each in seen if each["status"] != "running"],
    }
    if session.phase is not SessionPhase.OPEN or session.pid is None:
        return result
    tracker = await engine.consoles.executions.at_rest(session)
    front = engine.processes.foreground(session.pid)
    if front is not None and front.is_waiting and not tracker.at_prompt:
        tracker = await engine.consoles.executions.heard_out(session)
    has_terminal = front is None or front.pid == session.pid  # sh tells nothing of what is typed
    if tracker.at_prompt and not tracker.is_executing and has_terminal:
        result["state"] = "idle"
    else:
        waits = front is not None and front.is_waiting is True and tracker.has_read
        result["state"] = "waiting_for_input" if waits else "executing"
    if front is not None and front.command:
        result["foreground"] = front.command
    if session.spec.host is None and (cwd := engine.processes.directory(session.pid)):
        result["workingDirectory"] = cwd
    execution = tracker.execution
    if execution and not execution.is_over:
        result["currentCommand"] = view.command_view(execution.command)
    return result


async def get_command_history(
    engine: Engine, call: Call, request: ask.GetCommandHistory
) -> view.HistoryResult:
    """Return what was executed in a session, newest first."""
    session = await engine.consoles.get(request.session_id)
    if session.is_live:
        await engine.consoles.executions.tracker(session)
    commands = await engine.consoles.store.commands(session.id, limit=request.limit)
    return {
        "success": True,
        "sessionId": session.id,
        "commands": [view.command_view(each) for each in commands],
    }


# -- ending ------------------------------------------------------------------------------------


async def stop_session(engine: Engine, call: Call, request: ask.StopSession) -> view.StopResult:
    """Close a session with everything in it."""
    before = await engine.consoles.get(request.session_id)
    grace = engine.settings.kill_grace_ms / 1000
    after = await engine.consoles.stop(before.id, force=request.force, grace=grace)
    line = session_line(_view(engine, after))
    if before.is_terminal:
        message = f"It was closed already: {line}. Nothing was changed."
    elif after.is_terminal:
        message = f"{line}. None of its processes is left."
    else:
        message = (
            f"Its terminal was hung up; whatever is left after {human_seconds(grace)} is killed."
            f" {line}"
        )
    result: view.StopResult = {
        "success": True,
        "sessionId": after.id,
        "stopped": not before.is_terminal,
        "status": after.phase.value,
        "message": message,
    }
    if after.closing:
        result["closing"] = after.closing.value
    if after.exit and after.exit.code is not None:
        result["exitCode"] = after.exit.code
    return result


async def cleanup_sessions(
    engine: Engine, call: Call, request: ask.CleanupSessions
) -> view.SessionCleanupResult:
    """Close the sessions nobody uses, and forget those that are closed."""
    options = request.options
    stopped: list[str] = []
    if options.inactive is not None:
        stopped = await engine.retention.close_inactive(options.inactive / 1000)
    removed = await engine.retention.clean_sessions(max_age=options.older_than / 1000)
    return {"success": True, "removed": removed, "stopped": stopped}
