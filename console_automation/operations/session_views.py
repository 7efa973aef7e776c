"""What clients see of sessions: the shapes of the results, and how they are made from the records."""

from typing import Any, NotRequired

from typing_extensions import TypedDict

from console_automation.core.job import OutputCounts
from console_automation.core.screen import ScreenSnapshot
from console_automation.core.session import Session, SessionCommand
from console_automation.core.text import iso, sanitize, signal_name
from console_automation.engine.output import OutputPage
from console_automation.operations.views import ChunkView, OutputView, chunk_views


class CommandView(TypedDict):
    """A command in a session; its output lies after chunk `since`, up to chunk `until`."""

    commandId: str
    command: str
    status: str
    exitCode: int | None
    startedAt: str
    durationMs: NotRequired[int]
    since: int
    until: NotRequired[int]


class SessionView(TypedDict):
    """A session."""

    sessionId: str
    name: NotRequired[str]
    command: str
    shell: NotRequired[str]
    host: NotRequired[str]
    status: str
    closing: NotRequired[str]
    error: NotRequired[str]
    exitCode: NotRequired[int]
    signal: NotRequired[str]
    pid: NotRequired[int]
    createdAt: str
    closedAt: NotRequired[str]
    cols: int
    rows: int
    output: OutputView


class CreateResult(TypedDict):
    """An open session and what it has printed so far."""

    success: bool
    sessionId: str
    pid: NotRequired[int]
    ready: bool
    status: str
    exitCode: NotRequired[int]
    output: str
    nextSince: int


class TypedResult(TypedDict):
    """What was typed was taken; read what it brings about after chunk `since`."""

    success: bool
    sessionId: str
    accepted: int
    since: int


class SessionOutputResult(TypedDict):
    """A page of output."""

    success: bool
    sessionId: str
    output: list[ChunkView]
    nextSince: int
    hasMore: bool
    droppedBytes: int
    firstAvailableSequence: int | None
    status: str


class MatchResult(TypedDict):
    """The match and what surrounds it."""

    success: bool
    sessionId: str
    match: str
    groups: NotRequired[list[str]]
    before: str
    after: str
    nextSince: int


class Cursor(TypedDict):
    """Where the cursor is, from 0."""

    row: int
    column: int
    visible: bool


class ScreenResult(TypedDict):
    """The screen as a person would see it; blank rows at its end are left out."""

    success: bool
    sessionId: str
    screen: str
    cursor: Cursor
    cols: int
    rows: int
    title: str
    alternateScreen: bool
    status: str
    nextSince: int


class SizeResult(TypedDict):
    """The terminal's size."""

    success: bool
    sessionId: str
    cols: int
    rows: int


class SessionListResult(TypedDict):
    """Sessions, newest first."""

    success: bool
    sessions: list[SessionView]
    open: int
    maximum: int


class StateResult(TypedDict):
    """How a session stands. state: idle, executing, waiting_for_input, opening, closing, closed."""

    success: bool
    sessionId: str
    state: str
    session: SessionView
    workingDirectory: NotRequired[str]
    foreground: NotRequired[str]
    currentCommand: NotRequired[CommandView]
    history: list[CommandView]


class HistoryResult(TypedDict):
    """Commands, newest first."""

    success: bool
    sessionId: str
    commands: list[CommandView]


class StopResult(TypedDict):
    """How the session ended."""

    success: bool
    sessionId: str
    stopped: bool
    status: str
    closing: NotRequired[str]
    exitCode: NotRequired[int]
    message: str


class SessionCleanupResult(TypedDict):
    """What went."""

    success: bool
    removed: list[str]
    stopped: list[str]


def _present(view: dict[str, Any]) -> Any:
    return {key: value for key, value in view.items() if value is not None}


def session_view(session: Session, counts: OutputCounts) -> SessionView:
    """Return a session as clients see it; what does not apply is left out."""
    spec, end = session.spec, session.exit
    view: SessionView = _present(
        {
            "sessionId": session.id,
            "name": spec.name,
            "command": spec.command.line,
            "shell": spec.shell,
            "host": spec.host,
            "status": session.phase.value,
            "closing": session.closing,
            "error": session.error and sanitize(session.error),
            "exitCode": end.code if end else None,
            "signal": signal_name(end.signal) if end and end.signal else None,
            "pid": session.pid,
            "createdAt": iso(spec.created_at),
            "closedAt": iso(session.closed_at) if session.closed_at else None,
            "cols": session.size.cols,
            "rows": session.size.rows,
            "output": {
                "bytes": counts.bytes,
                "droppedBytes": counts.dropped_bytes,
                "chunks": counts.last_sequence,
                "lastSequence": counts.last_sequence,
            },
        }
    )
    return view


def command_view(command: SessionCommand) -> CommandView:
    """Return a command as clients see it."""
    began = command.began_at or command.typed_at
    took = None if command.ended_at is None else round(max(0.0, command.ended_at - began) * 1000)
    view: CommandView = _present(
        {
            "commandId": command.id,
            "command": command.line,
            "status": command.status.value,
            "startedAt": iso(began),
            "durationMs": took,
            "since": command.since,
            "until": command.until,
        }
    )
    view["exitCode"] = command.exit_code
    return view


def output_view(read: OutputPage[Session], *, raw: bool) -> SessionOutputResult:
    """Return a page as clients see it."""
    return {
        "success": True,
        "sessionId": read.printer.id,
        "output": chunk_views(read.page.chunks, raw=raw),
        "nextSince": read.page.next_since,
        "hasMore": read.page.has_more,
        "droppedBytes": read.counts.dropped_bytes,
        "firstAvailableSequence": read.page.first_available,
        "status": read.printer.phase.value,
    }


def screen_view(session: Session, screen: ScreenSnapshot, cursor: int) -> ScreenResult:
    """Return a screen as clients see it."""
    return {
        "success": True,
        "sessionId": session.id,
        "screen": "\n".join(screen.lines).rstrip("\n"),
        "cursor": {
            "row": screen.cursor_row,
            "column": screen.cursor_column,
            "visible": screen.cursor_visible,
        },
        "cols": screen.cols,
        "rows": screen.rows,
        "title": screen.title,
        "alternateScreen": screen.alternate,
        "status": session.phase.value,
        "nextSince": cursor,
    }
