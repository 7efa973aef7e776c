"""Where things are kept, durable.

Writes are ordered: one takes its place at the call, not when it is awaited, and what was given first is
committed first. A write that has returned is on the disk; one that raises has changed nothing.
"""

from asyncio import Future
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from console_automation.core.definition import JobDefinition
from console_automation.core.job import Job, Status
from console_automation.core.messages import Message
from console_automation.core.schedule import Execution, Schedule, Version
from console_automation.core.session import Session, SessionCommand
from console_automation.core.timing import Timings
from console_automation.core.workflow import Registration, Trigger
from console_automation.core.workflow_run import RunSummary, StepState, WorkflowRun


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One line of a job's journal: what happened. `data` is small and holds no secret."""

    job_id: str
    at: float
    event: str
    data: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditRecord:
    """What somebody asked for and what came of it."""

    at: float
    client: str
    operation: str
    job_id: str | None  #: or the session's
    outcome: str  #: "ok", the code of the refusal, or "given up": the client did not wait
    detail: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class JobFilter:
    """Which jobs a listing wants; empty fields want all. `tags` must all be there and equal.

    A job of before there were projects is in none of them.
    """

    statuses: tuple[Status, ...] = ()
    session_id: str | None = None
    name: str | None = None
    project: str | None = None
    owner: str | None = None
    tags: Mapping[str, str] = field(default_factory=dict)


class SessionStore(Protocol):
    """The console sessions and what was typed into them, durable. Writes are those of the Store."""

    def save(self, session: Session) -> Future[None]:
        """Add a session, or replace its state. A closed session is final, whatever is asked."""
        ...

    async def get(self, session_id: str) -> Session | None:
        """Return a session."""
        ...

    async def live(self) -> list[Session]:
        """Return the sessions that are not closed, oldest first."""
        ...

    async def latest(self, *, limit: int) -> list[Session]:
        """Return sessions, newest first."""
        ...

    async def closed(self, *, before: float, limit: int) -> list[Session]:
        """Return the sessions that were closed before a time, oldest first."""
        ...

    def delete(self, session_id: str) -> Future[None]:
        """Forget a closed session and what was typed into it; any other is left alone."""
        ...

    def save_command(self, command: SessionCommand) -> Future[None]:
        """Add a command, or replace its state."""
        ...

    async def commands(self, session_id: str, *, limit: int) -> list[SessionCommand]:
        """Return what was typed into a session, newest first."""
        ...

    async def running_commands(self) -> list[SessionCommand]:
        """Return the commands whose end has not been seen, oldest first."""
        ...


class DefinitionStore(Protocol):
    """The job definitions that were registered at run time, durable. Writes are those of the Store."""

    def save(self, definition: JobDefinition) -> Future[None]:
        """Add a definition, or replace the one of that name."""
        ...

    async def all(self) -> list[JobDefinition]:
        """Return the definitions by name."""
        ...

    def delete(self, name: str) -> Future[None]:
        """Forget a definition; an unknown name is no error."""
        ...


class Outbox(Protocol):
    """The messages that are not delivered yet, durable. Writes are those of the Store."""

    def post(self, messages: Sequence[Message]) -> Future[None]:
        """Add messages; one whose id is known is left as it is."""
        ...

    def postpone(self, message: Message) -> Future[None]:
        """Replace a message's attempts and when it is due."""
        ...

    def remove(self, message_id: str) -> Future[None]:
        """Forget a message; an unknown id is no error."""
        ...

    async def due(self, *, at: float, each: int, limit: int) -> list[Message]:
        """Return the messages due at a time, at most `each` to one receiver, longest due first; but the
        second of a receiver after the first of all others, and so on."""
        ...

    async def next_due(self, *, after: float) -> float | None:
        """Return when the next message is due that is not due yet, None when there is none."""
        ...


class ScheduleStore(Protocol):
    """The schedules, their versions and what became of their fires, durable. Writes are those of the
    Store."""

    def save(self, schedule: Schedule, *executions: Execution, keep: int) -> Future[None]:
        """Add a schedule, or replace its state, with new executions, in one transaction.

        Its version is added if it is new; one that is there never changes, and neither does an
        execution. The newest `keep` executions are kept, as many versions, and the active one.
        Fails with Unavailable when another schedule of project and owner has the name.
        """
        ...

    async def several(self, schedule_ids: Sequence[str]) -> list[Schedule]:
        """Return those that there are of these schedules."""
        ...

    async def named(self, name: str) -> list[Schedule]:
        """Return the schedules of a name, of every project, oldest first."""
        ...

    async def page(
        self,
        *,
        after: str | None,
        limit: int,
        project: str | None = None,
        owner: str | None = None,
    ) -> tuple[list[Schedule], int]:
        """Return schedules oldest first, newer than the schedule `after`, and how many there are in
        all, or of a project or an owner."""
        ...

    async def upcoming(self) -> list[tuple[str, float]]:
        """Return the ids of the active schedules, and when the next fire of each is due."""
        ...

    async def versions(self, schedule_id: str) -> list[Version]:
        """Return a schedule's versions, newest first."""
        ...

    async def executions(self, schedule_id: str, *, limit: int) -> list[Execution]:
        """Return what became of a schedule's fires, newest first."""
        ...

    async def unended(self) -> list[Execution]:
        """Return the executions whose job's end is not on record."""
        ...

    def end(self, job_id: str, *, status: str, at: float) -> Future[None]:
        """Put the end of an execution's job on record; the first is final."""
        ...

    def delete(self, schedule_id: str) -> Future[None]:
        """Forget a schedule with its versions and executions; an unknown id is no error."""
        ...


class WorkflowStore(Protocol):
    """The workflows and their runs, durable. Writes are those of the Store."""

    def save(self, registration: Registration) -> Future[None]:
        """Add a workflow, or replace its owner's of that name in its project."""
        ...

    async def all(self) -> list[Registration]:
        """Return the workflows, by project, name and owner."""
        ...

    def delete(self, project: str, name: str, owner: str) -> Future[None]:
        """Forget a workflow; its runs stay. An unknown one is no error."""
        ...

    def add_run(self, run: WorkflowRun) -> Future[None]:
        """Add a run, with the steps that it takes over from another, in one transaction.

        Fails with Unavailable when another run has its key.
        """
        ...

    def save_run(self, run: WorkflowRun, messages: Sequence[Message] = ()) -> Future[None]:
        """Replace a run's state, but for its steps, and post messages, in one transaction. A run that is
        over is final, whatever is asked."""
        ...

    def save_step(self, run_id: str, step_id: str, state: StepState) -> Future[None]:
        """Keep how a step ended. It may wait a moment for other writes to share a transaction."""
        ...

    async def run(self, run_id: str) -> WorkflowRun | None:
        """Return a run with those of its steps that are over."""
        ...

    async def run_by_key(self, key: str) -> WorkflowRun | None:
        """Return the run that has a key."""
        ...

    async def unfinished(self) -> list[WorkflowRun]:
        """Return the runs that are not over, oldest first."""
        ...

    async def latest(
        self, *, project: str | None, name: str | None, limit: int, owner: str | None = None
    ) -> Sequence[RunSummary]:
        """Return runs newest first; of one owner if one is given."""
        ...

    async def unanswered(
        self, trigger: Trigger, registration: Registration, *, limit: int
    ) -> list[Job]:
        """Return finished jobs whose end was to start a workflow since it was registered and for which
        there is no run, of whom it hears; oldest first."""
        ...

    def prune(self, *, ended_before: float) -> Future[None]:
        """Forget runs that ended before a time, but for those whose trigger is a job that is kept:
        these are what tells that its end has been answered."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Keys:
    """The jobs whose idempotency keys begin with a prefix; or, unless `is_theirs`, all others."""

    prefix: str
    is_theirs: bool

    def match(self, key: str) -> bool:
        """Whether a job with this key is meant."""
        return key.startswith(self.prefix) is self.is_theirs


class Store(Protocol):
    """The jobs and their journal, durable.

    Writes are ordered: one takes its place at the call, not when it is awaited, and what was given
    first is committed first. A write that has returned is on the disk.
    Every method may raise Unavailable (StoreFull when it is for want of space); a write that raises
    has changed nothing.
    """

    sessions: SessionStore
    schedules: ScheduleStore
    workflows: WorkflowStore
    definitions: DefinitionStore
    outbox: Outbox

    async def open(self) -> None:
        """Make the store ready, creating it when there is none.

        Raises StoreDamaged, StoreNewer, StoreSwapped or Unavailable, and has then changed nothing.
        """
        ...

    async def close(self) -> None:
        """Finish every write that was given, then let go. Idempotent."""
        ...

    def insert(
        self, job: Job, entries: Sequence[Entry], messages: Sequence[Message] = ()
    ) -> Future[None]:
        """Add a new job, its first journal entries, and messages, in one transaction."""
        ...

    def update(
        self,
        job: Job,
        entries: Sequence[Entry],
        messages: Sequence[Message] = (),
        *,
        urgent: bool = True,
    ) -> Future[None]:
        """Replace a job's state, append to its journal, and post messages, in one transaction.

        A write that is not urgent may wait up to 50 ms for another to share its transaction.
        """
        ...

    def append(self, entries: Sequence[Entry]) -> Future[None]:
        """Append to the journal. Not urgent: it waits a moment for company."""
        ...

    async def result(self, job_id: str) -> str | None:
        """Return a finished job's result as JSON, None when it has none."""
        ...

    def record(self, record: AuditRecord) -> Future[None]:
        """Append to the audit."""
        ...

    async def get(self, job_id: str) -> Job | None:
        """Return a job."""
        ...

    async def find_by_key(self, key: str) -> Job | None:
        """Return the job that was submitted under an idempotency key."""
        ...

    async def named(self, name: str) -> list[Job]:
        """Return, of every project that has jobs of this name, the active one or else the newest;
        newest first."""
        ...

    async def begun_with(
        self, prefix: str, *, limit: int, owner: str | None = None
    ) -> tuple[list[Job], int]:
        """Return the jobs whose id begins with this, newest first, and how many there are; of one owner
        if one is given."""
        ...

    async def unfinished(self) -> list[Job]:
        """Return every job without a terminal status, oldest first."""
        ...

    async def page(
        self, wanted: JobFilter, *, before: str | None, limit: int
    ) -> tuple[list[Job], int]:
        """Return jobs newest first, older than the job `before`, and how many match in all."""
        ...

    async def counts(self) -> dict[Status, int]:
        """Return how many jobs have each status; statuses without jobs may be missing."""
        ...

    async def timings(self) -> Timings:
        """Return how long the latest 1,000 finished jobs waited and ran."""
        ...

    async def expired(
        self,
        *,
        statuses: Sequence[Status],
        ended_before: float,
        keep: int,
        limit: int,
        project: str | None = None,
        keys: Keys | None = None,
    ) -> list[Job]:
        """Return finished jobs that ended before a time, oldest first, sparing the newest `keep`.

        With `project` it is about that project's jobs alone; `keys` says whose idempotency keys count.
        """
        ...

    def delete(self, job_ids: Sequence[str]) -> Future[None]:
        """Forget finished jobs with their journal; an unknown id is no error."""
        ...

    async def journal(self, job_id: str) -> list[Entry]:
        """Return a job's journal, oldest first."""
        ...

    async def audit(self, *, limit: int) -> list[AuditRecord]:
        """Return the newest audit records, newest first."""
        ...

    async def trim_audit(self, *, before: float) -> None:
        """Forget audit records older than a time."""
        ...
