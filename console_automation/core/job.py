"""The records the product is about: what to run, how it ended, and the promise to run it.

Everything here is frozen. A record changes by being replaced, and only `core.lifecycle` replaces a
Job's state. Times are epoch seconds, durations are seconds, sizes are bytes.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any

from console_automation.core.notify import Notify
from console_automation.core.retry import RetryPolicy


class Status(StrEnum):
    """The one flat word that clients see."""

    PENDING = "pending"  #: accepted, no run is live
    RUNNING = "running"  #: a run has been handed to a shim
    COMPLETED = "completed"  #: the command exited with 0
    FAILED = "failed"  #: the command ended otherwise, or could not be started
    CANCELLED = "cancelled"  #: somebody asked for its end
    INTERRUPTED = "interrupted"  #: its end is not known, and never will be


class Phase(StrEnum):
    """Where a job stands in its life; finer than Status while it is not over."""

    BLOCKED = "blocked"  #: waits for the jobs it depends on
    DELAYED = "delayed"  #: waits for the back-off before its next attempt
    READY = "ready"  #: waits in the queue for a free slot
    STARTING = "starting"  #: a run is on its way to a shim
    RUNNING = "running"  #: the shim has spawned the command
    STOPPING = "stopping"  #: its end was asked for, the shim is bringing it about
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"
    INTERRUPTED = "interrupted"


TERMINAL = frozenset({Phase.COMPLETED, Phase.FAILED, Phase.CANCELLED, Phase.INTERRUPTED})
LIVE = frozenset({Phase.STARTING, Phase.RUNNING, Phase.STOPPING})

STATUS_OF: Mapping[Phase, Status] = {
    Phase.BLOCKED: Status.PENDING,
    Phase.DELAYED: Status.PENDING,
    Phase.READY: Status.PENDING,
    Phase.STARTING: Status.RUNNING,
    Phase.RUNNING: Status.RUNNING,
    Phase.STOPPING: Status.RUNNING,
    Phase.COMPLETED: Status.COMPLETED,
    Phase.FAILED: Status.FAILED,
    Phase.CANCELLED: Status.CANCELLED,
    Phase.INTERRUPTED: Status.INTERRUPTED,
}


class Reason(StrEnum):
    """Why a job has its terminal status, where the status alone does not say."""

    EXIT_CODE = "exit_code"  #: the command exited with another code than 0
    SIGNAL = "signal"  #: a signal ended the command, and it was not ours
    TIMEOUT = "timeout"  #: it ran longer than its timeout
    IDLE_TIMEOUT = "idle_timeout"  #: it was silent for longer than its idle timeout
    SPAWN_ERROR = "spawn_error"  #: exec refused the program
    OUTPUT_LIMIT = "output_limit"  #: it printed more than its limit and was to be ended for it
    CANCELLED = "cancelled"  #: a client asked for its end
    LOST = "lost"  #: its shim died, so nobody saw its end
    REBOOT = "reboot"  #: the machine went down while it ran
    DEPENDENCY = "dependency"  #: a job it depends on did not complete
    RESULT = "result"  #: its result is missing, or not what its definition promises
    UNDELIVERED = "undelivered"  #: of a job of the cluster: no worker took it


class Cause(StrEnum):
    """Who ended a run, as its shim saw it."""

    EXIT = "exit"  #: the command itself, or somebody we do not know
    CANCEL = "cancel"
    TIMEOUT = "timeout"
    IDLE_TIMEOUT = "idle_timeout"
    OUTPUT_LIMIT = "output_limit"
    SPAWN_ERROR = "spawn_error"


class OnOutputLimit(StrEnum):
    """What happens when a job's retained output reaches its limit."""

    DROP_OLDEST = "drop_oldest"
    DROP_NEWEST = "drop_newest"
    KILL = "kill"


class Leftovers(StrEnum):
    """What happens to processes that outlive the job's main process."""

    END = "end"
    LEAVE = "leave"


class Channel(StrEnum):
    """A file of a run's own that its program may write to: CONSOLE_AUTOMATION_<NAME> says where."""

    REPORT = "report"  #: what a shell in a session tells of itself
    PROGRESS = "progress"  #: a job's progress and log, see `core.report`
    RESULT = "result"  #: a job's result, one JSON document


@dataclass(frozen=True, slots=True, kw_only=True)
class TerminalSize:
    """How large a terminal is, in characters."""

    cols: int
    rows: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """What to execute. Resolved: `executable` and `argv` are what exec gets, nothing is guessed later."""

    line: str  #: the command as the client wrote it
    args: tuple[str, ...] | None  #: the arguments as the client gave them
    shell: bool
    executable: str
    argv: tuple[str, ...]
    cwd: str
    environment: Mapping[str, str] = field(repr=False)
    stdin: str | None = field(default=None, repr=False)
    keep_stdin: bool = False
    merge_stderr: bool = False
    timeout: float | None = None
    idle_timeout: float | None = None
    grace: float = 5.0  #: between the polite signal and SIGKILL
    output_limit: int = 16 * 1024 * 1024  #: of disk, framing included
    on_output_limit: OnOutputLimit = OnOutputLimit.DROP_OLDEST
    leftovers: Leftovers = Leftovers.END
    terminal: TerminalSize | None = None  #: what it starts on; None: pipes
    hang_up: bool = False  #: its polite signal is SIGHUP, not SIGTERM
    reports: bool = False  #: it is given files for its progress and its result


@dataclass(frozen=True, slots=True, kw_only=True)
class OutputCounts:
    """How much a run printed, and how much of it is no longer there."""

    bytes: int = 0
    dropped_bytes: int = 0
    last_sequence: int = 0  #: sequence numbers count from 1, so this is also the number of chunks


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """What a run cost, of all processes its shim could account for."""

    cpu_seconds: float
    max_rss_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Leftover:
    """A process that was alive after the main process had ended."""

    pid: int
    command: str
    ended: bool  #: False: left alone as asked, or it could not be ended


@dataclass(frozen=True, slots=True, kw_only=True)
class Exit:
    """The fact a shim reports. `code` and `signal` are both None only when nothing was spawned."""

    cause: Cause
    code: int | None = None
    signal: int | None = None
    error: str | None = None  #: for a spawn error: the errno's name and what it was about
    started_at: float | None = None
    ended_at: float
    output: OutputCounts = OutputCounts()
    usage: Usage | None = None
    leftovers: tuple[Leftover, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Contract:
    """What a job owes to the definition it was made from. Stands when that is gone."""

    definition: str
    input: Mapping[str, Any]
    output_schema: Mapping[str, Any] | None = None  #: of its result; None: there need be none
    earlier: int = 0  #: attempts made before this job, by others: the cluster makes a job for each


@dataclass(frozen=True, slots=True, kw_only=True)
class JobSpec:
    """What a client asked for. Never changes after it was accepted."""

    command: Command
    created_at: float
    client: str  #: who asked, for the record
    name: str | None = None
    project: str = (
        ""  #: the git root of its directory, else that; "" for jobs of before there were any
    )
    session_id: str | None = None
    priority: int = 5
    tags: Mapping[str, str] = field(default_factory=dict)
    retry: RetryPolicy = RetryPolicy()
    depends_on: tuple[str, ...] = ()
    even_if_failed: bool = False  #: start when those are over, however they ended
    notify: tuple[Notify, ...] = ()  #: who is told of its end
    idempotency_key: str | None = None
    fingerprint: str = ""  #: of the request, to tell a repeated submission from a conflicting one
    retry_of: str | None = None
    contract: Contract | None = None
    owner: str = ""  #: the principal whose job it is; "" for jobs of before there were any

    def repeats(self, earlier: "JobSpec") -> bool:
        """Whether this is the request again that an earlier one with the same key was.

        Version 0.1.0 made fingerprints in another way. Its jobs, which have no project, are compared
        themselves.
        """
        if self.fingerprint == earlier.fingerprint:
            return True
        as_then = replace(
            self,
            created_at=earlier.created_at,
            client=earlier.client,
            project=earlier.project,
            owner=earlier.owner,
            fingerprint=earlier.fingerprint,
        )
        return not earlier.project and as_then == earlier


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """A promise to run a command until it has a terminal status."""

    id: str
    spec: JobSpec
    phase: Phase
    attempt: int = 0  #: attempts begun
    dispatches: int = 0  #: runs handed out, counting those that never began
    run_id: str | None = None  #: of the latest run
    output: OutputCounts = OutputCounts()  #: of all attempts, as far as their ends are known
    boot_id: str | None = None  #: of the machine's boot under which that run was handed out
    pid: int | None = None
    not_before: float | None = None
    started_at: float | None = None
    completed_at: float | None = None
    exit: Exit | None = None
    reason: Reason | None = None
    error: str | None = None
    result: str | None = (
        None  #: JSON; only on its way to the store, which does not give it back here
    )

    @property
    def status(self) -> Status:
        return STATUS_OF[self.phase]

    @property
    def is_terminal(self) -> bool:
        return self.phase in TERMINAL

    @property
    def is_live(self) -> bool:
        return self.phase in LIVE

    @property
    def command(self) -> Command:
        """The command as the latest attempt runs it: under a contract it is told which one that is."""
        command = self.spec.command
        if self.spec.contract is None:
            return command
        attempt = self.spec.contract.earlier + self.attempt
        variables = {**command.environment, "CONSOLE_AUTOMATION_ATTEMPT": str(attempt)}
        return replace(command, environment=variables)

    @property
    def duration(self) -> float | None:
        """Seconds from the start of the latest run to the end, None while either is unknown."""
        if self.started_at is None or self.completed_at is None:
            return None
        return max(0.0, self.completed_at - self.started_at)
