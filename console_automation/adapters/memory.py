"""The ports without a world: fakes that keep the same contracts, for tests and for experiments."""

import asyncio
from asyncio import Future, get_running_loop
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace

from console_automation.adapters.memory_schedules import MemorySchedules
from console_automation.adapters.memory_workflows import MemoryWorkflows
from console_automation.core.definition import JobDefinition
from console_automation.core.job import Job, Status
from console_automation.core.messages import Message
from console_automation.core.session import CommandStatus, Session, SessionCommand
from console_automation.core.timing import Timings, summarize
from console_automation.errors import Unavailable
from console_automation.ports.stores import (
    AuditRecord,
    DefinitionStore,
    Entry,
    JobFilter,
    Keys,
    Outbox,
    ScheduleStore,
    SessionStore,
    WorkflowStore,
)

_SAMPLE = 1000


class MemoryStore:
    """A Store that forgets everything with the process."""

    def __init__(self) -> None:
        self._jobs: dict[str, Job] = {}
        self._journal: list[Entry] = []
        self._audit: list[AuditRecord] = []
        self._results: dict[str, str] = {}
        self._is_open = False
        self.sessions: SessionStore = MemorySessions(self._done)
        self.schedules: ScheduleStore = MemorySchedules(
            self._done, lambda why: failing(Unavailable(why))
        )
        self.definitions: DefinitionStore = MemoryDefinitions(self._done)
        self._outbox = MemoryOutbox(self._done)
        self.outbox: Outbox = self._outbox
        self.workflows: WorkflowStore = MemoryWorkflows(
            self._done,
            lambda why: failing(Unavailable(why)),
            lambda: list(self._jobs.values()),
            self._outbox.add,
        )

    async def open(self) -> None:
        """Make the store ready."""
        self._is_open = True

    async def close(self) -> None:
        """Refuse writes from now on, and let those that were given return."""
        self._is_open = False
        await asyncio.sleep(0)

    def insert(
        self, job: Job, entries: Sequence[Entry], messages: Sequence[Message] = ()
    ) -> Future[None]:
        """Add a new job, its first journal entries, and messages."""
        key = job.spec.idempotency_key
        if job.id in self._jobs or (key is not None and self._with_key(key)):
            return failing(Unavailable(f"job {job.id} or its key is there already"))
        return self._done(lambda: self._put(job, entries, messages))

    def update(
        self,
        job: Job,
        entries: Sequence[Entry],
        messages: Sequence[Message] = (),
        *,
        urgent: bool = True,
    ) -> Future[None]:
        """Replace a job's state, append to its journal, and post messages; a finished job is final."""
        stored = self._jobs.get(job.id)
        final = stored is None or stored.is_terminal
        return self._done(lambda: self._put(stored if final else job, entries, messages))

    def append(self, entries: Sequence[Entry]) -> Future[None]:
        """Append to the journal."""
        return self._done(lambda: self._journal.extend(entries))

    async def result(self, job_id: str) -> str | None:
        """Return a job's result."""
        return self._results.get(job_id)

    def record(self, record: AuditRecord) -> Future[None]:
        """Append to the audit."""
        return self._done(lambda: self._audit.append(record))

    async def get(self, job_id: str) -> Job | None:
        """Return a job."""
        return self._jobs.get(job_id)

    async def find_by_key(self, key: str) -> Job | None:
        """Return the job submitted under an idempotency key."""
        return self._with_key(key)

    async def named(self, name: str) -> list[Job]:
        """Return the active or else the newest job of a name, of every project; newest first."""
        first: dict[str, Job] = {}
        for job in sorted(self._jobs.values(), key=lambda job: (not job.is_terminal, job.id)):
            if job.spec.name == name:
                first[job.spec.project] = job
        return sorted(first.values(), key=lambda job: job.id, reverse=True)

    async def begun_with(
        self, prefix: str, *, limit: int, owner: str | None = None
    ) -> tuple[list[Job], int]:
        """Return the jobs whose id begins with this, newest first, and how many there are."""
        begun = [job for key, job in self._jobs.items() if key.startswith(prefix)]
        found = [job for job in begun if owner in (None, job.spec.owner)]
        return sorted(found, key=lambda job: job.id, reverse=True)[:limit], len(found)

    async def unfinished(self) -> list[Job]:
        """Return every job without a terminal status, oldest first."""
        return sorted((j for j in self._jobs.values() if not j.is_terminal), key=lambda j: j.id)

    async def page(
        self, wanted: JobFilter, *, before: str | None, limit: int
    ) -> tuple[list[Job], int]:
        """Return jobs newest first, and how many match in all."""
        found = [job for job in self._jobs.values() if _matches(job, wanted)]
        older = [job for job in found if before is None or job.id < before]
        return sorted(older, key=lambda job: job.id, reverse=True)[:limit], len(found)

    async def counts(self) -> dict[Status, int]:
        """Return how many jobs have each status."""
        counts: dict[Status, int] = {}
        for job in self._jobs.values():
            counts[job.status] = counts.get(job.status, 0) + 1
        return counts

    async def timings(self) -> Timings:
        """Return how long the latest finished jobs waited and ran."""
        latest = sorted(self._finished(), key=_end, reverse=True)[:_SAMPLE]
        return summarize((job.spec.created_at, job.started_at, _end(job)) for job in latest)

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
        """Return finished jobs that ended before a time, sparing the newest `keep`."""
        finished = (j for j in self._finished() if project in (None, j.spec.project or None))
        newest = sorted(finished, key=_end, reverse=True)
        if keep:
            if len(newest) < keep:
                return []
            ended_before = min(ended_before, _end(newest[keep - 1]))
        found = [job for job in newest if job.status in statuses and _end(job) < ended_before]
        if keys is not None:
            found = [job for job in found if keys.match(job.spec.idempotency_key or "")]
        return found[::-1][:limit]

    def delete(self, job_ids: Sequence[str]) -> Future[None]:
        """Forget finished jobs with their journal."""
        return self._done(lambda: self._forget(job_ids))

    async def journal(self, job_id: str) -> list[Entry]:
        """Return a job's journal, oldest first."""
        return [entry for entry in self._journal if entry.job_id == job_id]

    async def audit(self, *, limit: int) -> list[AuditRecord]:
        """Return the newest audit records, newest first."""
        return self._audit[::-1][:limit]

    async def trim_audit(self, *, before: float) -> None:
        """Forget audit records older than a time."""
        self._audit = [record for record in self._audit if record.at >= before]

    def _finished(self) -> list[Job]:
        return [job for job in self._jobs.values() if job.is_terminal]

    def _with_key(self, key: str) -> Job | None:
        return next((j for j in self._jobs.values() if j.spec.idempotency_key == key), None)

    def _put(self, job: Job | None, entries: Sequence[Entry], messages: Sequence[Message]) -> None:
        if job is not None:
            self._jobs[job.id] = replace(job, result=None)
            if job.result is not None:
                self._results[job.id] = job.result
        self._journal += entries
        self._outbox.add(messages)

    def _forget(self, job_ids: Sequence[str]) -> None:
        gone = {job.id for job in self._finished() if job.id in job_ids}
        self._jobs = {key: job for key, job in self._jobs.items() if key not in gone}
        self._journal = [entry for entry in self._journal if entry.job_id not in gone]
        self._results = {key: data for key, data in self._results.items() if key not in gone}

    def _done(self, work: Callable[[], None]) -> Future[None]:
        if not self._is_open:
            return failing(Unavailable("The store is closed."))
        work()
        done: Future[None] = get_running_loop().create_future()
        get_running_loop().call_soon(_resolve, done)
        return done


class MemoryDefinitions:
    """The definitions of a MemoryStore; `done` makes a write of a piece of work."""

    def __init__(self, done: Callable[[Callable[[], None]], Future[None]]) -> None:
        self._done = done
        self._definitions: dict[str, JobDefinition] = {}

    def save(self, definition: JobDefinition) -> Future[None]:
        """Add a definition, or replace the one of that name."""
        return self._done(lambda: self._definitions.update({definition.name: definition}))

    async def all(self) -> list[JobDefinition]:
        """Return the definitions by name."""
        return [self._definitions[name] for name in sorted(self._definitions)]

    def delete(self, name: str) -> Future[None]:
        """Forget a definition."""
        return self._done(lambda: self._forget(name))

    def _forget(self, name: str) -> None:
        self._definitions.pop(name, None)


class MemorySessions:
    """The sessions of a MemoryStore; `done` makes a write of a piece of work."""

    def __init__(self, done: Callable[[Callable[[], None]], Future[None]]) -> None:
        self._done = done
        self._sessions: dict[str, Session] = {}
        self._typed: dict[str, SessionCommand] = {}

    def save(self, session: Session) -> Future[None]:
        """Add a session, or replace its state; a closed one is final."""
        stored = self._sessions.get(session.id)
        final = stored if stored and stored.is_terminal else session
        return self._done(lambda: self._sessions.update({session.id: final}))

    async def get(self, session_id: str) -> Session | None:
        """Return a session."""
        return self._sessions.get(session_id)

    async def live(self) -> list[Session]:
        """Return the sessions that are not closed, oldest first."""
        return sorted((s for s in self._sessions.values() if s.is_live), key=lambda s: s.id)

    async def latest(self, *, limit: int) -> list[Session]:
        """Return sessions, newest first."""
        return sorted(self._sessions.values(), key=lambda s: s.id, reverse=True)[:limit]

    async def closed(self, *, before: float, limit: int) -> list[Session]:
        """Return the sessions that were closed before a time, oldest first."""
        closed = [(s.closed_at, s) for s in self._sessions.values() if s.closed_at is not None]
        return [s for at, s in sorted(closed, key=lambda each: each[0]) if at < before][:limit]

    def delete(self, session_id: str) -> Future[None]:
        """Forget a closed session and what was typed into it."""
        return self._done(lambda: self._forget(session_id))

    def save_command(self, command: SessionCommand) -> Future[None]:
        """Add a command, or replace its state."""
        return self._done(lambda: self._typed.update({command.id: command}))

    async def commands(self, session_id: str, *, limit: int) -> list[SessionCommand]:
        """Return what was typed into a session, newest first."""
        typed = [c for c in self._typed.values() if c.session_id == session_id]
        return sorted(typed, key=lambda c: c.typed_at, reverse=True)[:limit]

    async def running_commands(self) -> list[SessionCommand]:
        """Return the commands whose end has not been seen, oldest first."""
        running = [c for c in self._typed.values() if c.status is CommandStatus.RUNNING]
        return sorted(running, key=lambda c: c.typed_at)

    def _forget(self, session_id: str) -> None:
        if session_id in self._sessions and self._sessions[session_id].is_terminal:
            del self._sessions[session_id]
            gone = [c.id for c in self._typed.values() if c.session_id == session_id]
            for command_id in gone:
                del self._typed[command_id]


class MemoryOutbox:
    """The messages of a MemoryStore; `done` makes a write of a piece of work."""

    def __init__(self, done: Callable[[Callable[[], None]], Future[None]]) -> None:
        self._done = done
        self._messages: dict[str, Message] = {}

    def add(self, messages: Sequence[Message]) -> None:
        """Add messages, as part of a write."""
        for message in messages:
            self._messages.setdefault(message.id, message)

    def post(self, messages: Sequence[Message]) -> Future[None]:
        """Add messages; one whose id is known is left as it is."""
        return self._done(lambda: self.add(messages))

    def postpone(self, message: Message) -> Future[None]:
        """Replace a message's attempts and when it is due."""
        known = {message.id: message} if message.id in self._messages else {}
        return self._done(lambda: self._messages.update(known))

    def remove(self, message_id: str) -> Future[None]:
        """Forget a message."""
        return self._done(lambda: self._forget(message_id))

    def _forget(self, message_id: str) -> None:
        self._messages.pop(message_id, None)

    async def due(self, *, at: float, each: int, limit: int) -> list[Message]:
        """Return the messages due at a time, at most `each` to one receiver, in turns."""
        due = [message for message in self._messages.values() if message.due_at <= at]
        rounds: list[list[Message]] = [[] for _ in range(each)]
        taken: Counter[str] = Counter()
        for message in sorted(due, key=lambda m: (m.due_at, m.id)):
            place = taken[message.receiver]
            taken[message.receiver] += 1
            if place < each:
                rounds[place].append(message)
        return [message for one in rounds for message in one][:limit]

    async def next_due(self, *, after: float) -> float | None:
        """Return when the next message is due that is not due yet."""
        return min((m.due_at for m in self._messages.values() if m.due_at > after), default=None)


def _resolve(done: Future[None]) -> None:
    if not done.done():
        done.set_result(None)


def _reject(done: Future[None], error: Exception) -> None:
    if not done.done():
        done.set_exception(error)


def failing(error: Exception) -> Future[None]:
    """Return a write that fails."""
    failed: Future[None] = get_running_loop().create_future()
    get_running_loop().call_soon(_reject, failed, error)
    return failed


def _end(job: Job) -> float:
    assert job.completed_at is not None
    return job.completed_at


def _matches(job: Job, wanted: JobFilter) -> bool:
    spec = job.spec
    return (
        (not wanted.statuses or job.status in wanted.statuses)
        and (wanted.session_id is None or spec.session_id == wanted.session_id)
        and (wanted.name is None or spec.name == wanted.name)
        and wanted.project in (None, spec.project or None)
        and wanted.owner in (None, spec.owner)
        and all(spec.tags.get(key) == value for key, value in wanted.tags.items())
    )
