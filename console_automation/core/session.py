"""The life of a console session: a terminal with a program on it, and the commands typed into it.

The same rules as for jobs (`core.lifecycle`): everything that changes a session's phase is here, facts
are events, what is to be done about them are effects, and `closed` is final.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

from console_automation.core.job import Cause, Command, Exit, OutputCounts, Reason, TerminalSize
from console_automation.core.lifecycle import (
    Effect,
    Event,
    Exited,
    Lost,
    NotStarted,
    Started,
    StopRun,
)
from console_automation.core.shells import ShellKind
from console_automation.errors import InvalidTransition


class SessionPhase(StrEnum):
    """Where a session stands in its life."""

    OPENING = "opening"  #: on its way to a shim
    OPEN = "open"  #: its program runs on its terminal
    CLOSING = "closing"  #: its end was asked for
    CLOSED = "closed"  #: its program has ended, or is lost


class Closing(StrEnum):
    """Why a session is closed."""

    EXITED = "exited"  #: its program ended by itself
    STOPPED = "stopped"  #: a client asked for its end
    IDLE = "idle"  #: nothing was printed or typed for too long
    LIFETIME = "lifetime"  #: it was open for as long as a session may be
    SPAWN_ERROR = "spawn_error"  #: its program could not be started
    DISCONNECTED = "disconnected"  #: the connection to the other machine was lost or refused
    LOST = "lost"  #: its shim died, so nobody saw its end
    REBOOT = "reboot"  #: the machine went down while it was open


_CLOSINGS: Mapping[Cause, Closing] = {
    Cause.EXIT: Closing.EXITED,
    Cause.CANCEL: Closing.STOPPED,
    Cause.IDLE_TIMEOUT: Closing.IDLE,
    Cause.TIMEOUT: Closing.LIFETIME,
    Cause.SPAWN_ERROR: Closing.SPAWN_ERROR,
}

_LONGEST_HISTORY_OF_SIZES = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionSpec:
    """What a client asked for. Never changes."""

    command: Command
    created_at: float
    client: str
    name: str | None = None
    shell: ShellKind | None = None  #: how to type commands into it; None: it is no shell
    host: str | None = None  #: the machine that ssh connects to


@dataclass(frozen=True, slots=True, kw_only=True)
class Sizing:
    """The terminal has had this size since then."""

    at: float
    size: TerminalSize


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """A program on a terminal. Its one run has the session's id with `.1`."""

    id: str
    spec: SessionSpec
    phase: SessionPhase
    boot_id: str
    sizes: tuple[Sizing, ...]
    pid: int | None = None
    opened_at: float | None = None
    closed_at: float | None = None
    output: OutputCounts = OutputCounts()
    exit: Exit | None = None
    closing: Closing | None = None
    error: str | None = None

    @property
    def run_id(self) -> str:
        return f"{self.id}.1"

    @property
    def size(self) -> TerminalSize:
        return self.sizes[-1].size

    @property
    def is_terminal(self) -> bool:
        return self.phase is SessionPhase.CLOSED

    @property
    def is_live(self) -> bool:
        return self.phase is not SessionPhase.CLOSED


class CommandStatus(StrEnum):
    """How a command stands that was typed into a session."""

    RUNNING = "running"  #: typed; its end has not been seen
    COMPLETED = "completed"  #: ended with exit code 0
    FAILED = "failed"  #: ended with another exit code
    UNKNOWN = "unknown"  #: its end is not known


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionCommand:
    """A command typed into a session. `id` is what the shell's marks carry."""

    id: str
    session_id: str
    line: str
    typed_at: float
    since: int  #: the session's last sequence number when it was typed
    until: int | None = None  #: the sequence number of the chunk in which it ended
    began_at: float | None = None
    ended_at: float | None = None
    exit_code: int | None = None
    status: CommandStatus = CommandStatus.RUNNING

    def ended(self, *, at: float, exit_code: int | None, until: int) -> "SessionCommand":
        """Return the command with its end; without an exit code that is not known."""
        status = CommandStatus.COMPLETED if exit_code == 0 else CommandStatus.FAILED
        if exit_code is None:
            status = CommandStatus.UNKNOWN
        return replace(self, ended_at=at, exit_code=exit_code, until=until, status=status)


@dataclass(frozen=True, slots=True, kw_only=True)
class StopRequested(Event):
    """A client asked for the session's end."""

    signal: int
    grace: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Resized(Event):
    """The terminal has another size."""

    size: TerminalSize


@dataclass(frozen=True, slots=True, kw_only=True)
class Disconnected(Exited):
    """Its program was an ssh client, and it was the connection that ended."""

    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Close(Effect):
    """The session is over: settle what was typed into it and tell those who wait."""


Outcome = tuple[Session, tuple[Effect, ...]]

OPENING, OPEN, CLOSING, CLOSED = SessionPhase

#: (phase, event) -> the phase it leads to. A pair that is missing cannot happen.
TRANSITIONS: Mapping[tuple[SessionPhase, type[Event]], SessionPhase] = {
    (OPENING, Started): OPEN,
    (OPENING, Exited): CLOSED,
    (OPENING, Disconnected): CLOSED,
    (OPENING, Lost): CLOSED,
    (OPENING, NotStarted): CLOSED,
    (OPENING, StopRequested): CLOSING,
    (OPENING, Resized): OPENING,
    (OPEN, Exited): CLOSED,
    (OPEN, Disconnected): CLOSED,
    (OPEN, Lost): CLOSED,
    (OPEN, StopRequested): CLOSING,
    (OPEN, Resized): OPEN,
    (CLOSING, Started): CLOSING,
    (CLOSING, Exited): CLOSED,
    (CLOSING, Disconnected): CLOSED,
    (CLOSING, Lost): CLOSED,
    (CLOSING, NotStarted): CLOSED,
    (CLOSING, StopRequested): CLOSING,
    (CLOSING, Resized): CLOSING,
}


def new_session(session_id: str, spec: SessionSpec, *, boot_id: str) -> Session:
    """Return the newborn session."""
    assert spec.command.terminal is not None
    sizes = (Sizing(at=spec.created_at, size=spec.command.terminal),)
    return Session(
        id=session_id, spec=spec, phase=SessionPhase.OPENING, boot_id=boot_id, sizes=sizes
    )


def advance(session: Session, event: Event) -> Outcome:
    """Return the session after `event`, and what is to be done about it.

    News about a closed session changes nothing. Raises InvalidTransition.
    """
    if session.is_terminal:
        return session, ()
    phase = TRANSITIONS.get((session.phase, type(event)))
    if phase is None:
        raise InvalidTransition(job_id=session.id, phase=session.phase, event=type(event).__name__)
    new, effects = _HANDLERS[type(event)](session, event)
    return replace(new, phase=phase), effects


def _started(session: Session, event: Started) -> Outcome:
    return replace(session, pid=event.pid, opened_at=event.at), ()


def _exited(session: Session, event: Exited) -> Outcome:
    end = event.exit
    closed = replace(
        session,
        exit=end,
        closing=_CLOSINGS.get(end.cause, Closing.EXITED),
        opened_at=session.opened_at or end.started_at,
        closed_at=end.ended_at,
        output=end.output,
        error=end.error,
    )
    return closed, (Close(),)


def _disconnected(session: Session, event: Disconnected) -> Outcome:
    closed, effects = _exited(session, event)
    return replace(closed, closing=Closing.DISCONNECTED, error=event.why), effects


def _lost(session: Session, event: Lost) -> Outcome:
    closing = Closing.REBOOT if event.reason is Reason.REBOOT else Closing.LOST
    output = event.output or session.output
    return replace(session, closing=closing, closed_at=event.at, output=output), (Close(),)


def _not_started(session: Session, event: NotStarted) -> Outcome:
    if session.phase is SessionPhase.CLOSING:
        return replace(session, closing=Closing.STOPPED, closed_at=event.at), (Close(),)
    error = (
        "it was never started: the service or its supervisor ended while it was being opened."
        " console_create_session opens another."
    )
    closed = replace(session, closing=Closing.LOST, closed_at=event.at, error=error)
    return closed, (Close(),)


def _stop_requested(session: Session, event: StopRequested) -> Outcome:
    return session, (StopRun(run_id=session.run_id, signal=event.signal, grace=event.grace),)


def _resized(session: Session, event: Resized) -> Outcome:
    sizes = (*session.sizes, Sizing(at=event.at, size=event.size))
    return replace(session, sizes=sizes[-_LONGEST_HISTORY_OF_SIZES:]), ()


_HANDLERS: Mapping[type[Event], Callable[[Session, Any], Outcome]] = {
    Started: _started,
    Exited: _exited,
    Disconnected: _disconnected,
    Lost: _lost,
    NotStarted: _not_started,
    StopRequested: _stop_requested,
    Resized: _resized,
}
