"""The Store over SQLite: nouns in, statements out. The SQL itself is in queries.sql."""

import json
import sqlite3
import time
from asyncio import Future
from collections.abc import Callable, Sequence
from pathlib import Path

from console_automation.adapters.sqlite.database import Database, Statement, load_queries
from console_automation.adapters.sqlite.definitions import SqliteDefinitions
from console_automation.adapters.sqlite.outbox import SqliteOutbox
from console_automation.adapters.sqlite.rows import dump, job_of, row_of, state_of
from console_automation.adapters.sqlite.schedules import SqliteSchedules
from console_automation.adapters.sqlite.sessions import SqliteSessions
from console_automation.adapters.sqlite.workflows import SqliteWorkflows
from console_automation.core.job import Job, Status
from console_automation.core.messages import Message
from console_automation.core.timing import Timings, summarize
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
_LAST = "\U0010ffff"  #: sorts behind every character that an id has


class SqliteStore:
    """Keeps the jobs in `jobs.db` of a state directory."""

    def __init__(self, home: Path) -> None:
        self._database = Database(home / "jobs.db", home / "instance")
        self._sql = load_queries()
        self.sessions: SessionStore = SqliteSessions(self._database, self._sql)
        self.schedules: ScheduleStore = SqliteSchedules(self._database, self._sql)
        self.definitions: DefinitionStore = SqliteDefinitions(self._database, self._sql)
        self._outbox = SqliteOutbox(self._database, self._sql)
        self.outbox: Outbox = self._outbox
        self.workflows: WorkflowStore = SqliteWorkflows(self._database, self._sql, self._outbox)
        self._last_seq = 0

    def on_commit(self, told: Callable[[float], None]) -> None:
        """Have every commit's duration in seconds told, on the event loop."""
        self._database.commit_seconds = told

    async def open(self) -> None:
        """Open or create the database."""
        await self._database.open()

    async def close(self) -> None:
        """Finish all writes and close the database."""
        await self._database.close()

    def insert(
        self, job: Job, entries: Sequence[Entry], messages: Sequence[Message] = ()
    ) -> Future[None]:
        """Add a new job, its first journal entries, and messages."""
        new = (self._sql["insert_job"], row_of(job))
        return self._database.write([new, *self._lines(entries), *self._outbox.posts(messages)])

    def update(
        self,
        job: Job,
        entries: Sequence[Entry],
        messages: Sequence[Message] = (),
        *,
        urgent: bool = True,
    ) -> Future[None]:
        """Replace a job's state, append to its journal, and post messages."""
        changed = (self._sql["update_job"], state_of(job))
        statements = [changed, *self._lines(entries), *self._outbox.posts(messages)]
        if job.result is not None:
            values = {"job_id": job.id, "data": job.result}
            statements.append((self._sql["insert_result"], values))
        return self._database.write(statements, urgent=urgent)

    def append(self, entries: Sequence[Entry]) -> Future[None]:
        """Append to the journal, in a moment."""
        return self._database.write(self._lines(entries), urgent=False)

    async def result(self, job_id: str) -> str | None:
        """Return a job's result."""
        sql = self._sql["result_of"]

        def work(connection: sqlite3.Connection) -> str | None:
            row = connection.execute(sql, {"job_id": job_id}).fetchone()
            return row and str(row["data"])

        return await self._database.read(work)

    def record(self, record: AuditRecord) -> Future[None]:
        """Append to the audit."""
        values = {
            "at": record.at,
            "client": record.client,
            "operation": record.operation,
            "job_id": record.job_id,
            "outcome": record.outcome,
            "detail": record.detail,
        }
        return self._database.write([(self._sql["insert_audit"], values)], urgent=False)

    async def get(self, job_id: str) -> Job | None:
        """Return a job."""
        return await self._one("job_by_id", id=job_id)

    async def find_by_key(self, key: str) -> Job | None:
        """Return the job submitted under an idempotency key."""
        return await self._one("job_by_key", key=key)

    async def named(self, name: str) -> list[Job]:
        """Return the active or else the newest job of a name, of every project; newest first."""
        sql = self._sql["jobs_named"]
        return await self._database.read(
            lambda connection: [job_of(row) for row in connection.execute(sql, {"name": name})]
        )

    async def begun_with(
        self, prefix: str, *, limit: int, owner: str | None = None
    ) -> tuple[list[Job], int]:
        """Return the jobs whose id begins with this, newest first, and how many there are."""
        bounds = {"low": prefix, "high": prefix + _LAST, "owner": owner}

        def work(connection: sqlite3.Connection) -> tuple[list[Job], int]:
            rows = connection.execute(self._sql["jobs_begun_with"], {**bounds, "limit": limit})
            total = connection.execute(self._sql["count_begun_with"], bounds)
            return [job_of(row) for row in rows], total.fetchone()[0]

        return await self._database.read(work)

    async def unfinished(self) -> list[Job]:
        """Return every job without a terminal status, oldest first."""
        sql = self._sql["unfinished"]
        return await self._database.read(
            lambda connection: [job_of(row) for row in connection.execute(sql)]
        )

    async def page(
        self, wanted: JobFilter, *, before: str | None, limit: int
    ) -> tuple[list[Job], int]:
        """Return jobs newest first, and how many match in all."""
        condition, values = _condition(wanted)
        older = " AND id < :before" if before else ""

        def work(connection: sqlite3.Connection) -> tuple[list[Job], int]:
            rows = connection.execute(
                f"SELECT * FROM job WHERE {condition}{older} ORDER BY id DESC LIMIT :limit",
                {**values, "before": before, "limit": limit},
            )
            jobs = [job_of(row) for row in rows]
            total = connection.execute(f"SELECT count(*) FROM job WHERE {condition}", values)
            return jobs, total.fetchone()[0]

        return await self._database.read(work)

    async def counts(self) -> dict[Status, int]:
        """Return how many jobs have each status."""
        sql = self._sql["counts"]
        return await self._database.read(
            lambda connection: {
                Status(row["status"]): row["jobs"] for row in connection.execute(sql)
            }
        )

    async def timings(self) -> Timings:
        """Return how long the latest finished jobs waited and ran."""
        sql = self._sql["timings"]
        return await self._database.read(
            lambda connection: summarize(
                (row["created_at"], row["started_at"], row["completed_at"])
                for row in connection.execute(sql, {"limit": _SAMPLE})
            )
        )

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

        def work(connection: sqlite3.Connection) -> list[Job]:
            bound = ended_before
            if keep:
                newest = {"keep": keep - 1, "project": project}
                row = connection.execute(self._sql["nth_newest_end"], newest).fetchone()
                if row is None:
                    return []
                bound = min(bound, row["completed_at"])
            jobs: list[Job] = []
            for status in statuses:
                values = {
                    "status": status.value,
                    "ended_before": bound,
                    "limit": limit,
                    "project": project,
                    "keys": keys and keys.prefix,
                    "with_keys": keys and keys.is_theirs,
                }
                jobs += map(job_of, connection.execute(self._sql["expired"], values))
            return sorted(jobs, key=lambda job: job.completed_at or 0.0)[:limit]

        return await self._database.read(work)

    def delete(self, job_ids: Sequence[str]) -> Future[None]:
        """Forget finished jobs with their journal."""
        statements: list[Statement] = []
        for job_id in job_ids:
            values = {"id": job_id}
            statements.append((self._sql["delete_journal"], values))
            statements.append((self._sql["delete_result"], values))
            statements.append((self._sql["delete_job"], values))
        return self._database.write(statements)

    async def journal(self, job_id: str) -> list[Entry]:
        """Return a job's journal, oldest first."""
        sql = self._sql["journal_of"]
        return await self._database.read(
            lambda connection: [
                Entry(
                    job_id=row["job_id"],
                    at=row["at"],
                    event=row["event"],
                    data=json.loads(row["data"]),
                )
                for row in connection.execute(sql, {"id": job_id})
            ]
        )

    async def audit(self, *, limit: int) -> list[AuditRecord]:
        """Return the newest audit records, newest first."""
        sql = self._sql["latest_audit"]
        return await self._database.read(
            lambda connection: [
                AuditRecord(**dict(row)) for row in connection.execute(sql, {"limit": limit})
            ]
        )

    async def trim_audit(self, *, before: float) -> None:
        """Forget audit records older than a time."""
        await self._database.write([(self._sql["trim_audit"], {"before": before})])

    async def _one(self, query: str, **values: str) -> Job | None:
        sql = self._sql[query]

        def work(connection: sqlite3.Connection) -> Job | None:
            row = connection.execute(sql, values).fetchone()
            return row and job_of(row)

        return await self._database.read(work)

    def _lines(self, entries: Sequence[Entry]) -> list[Statement]:
        sql = self._sql["insert_journal"]
        return [
            (
                sql,
                {
                    "job_id": entry.job_id,
                    "seq": self._next_seq(),
                    "at": entry.at,
                    "event": entry.event,
                    "data": dump(dict(entry.data)),
                },
            )
            for entry in entries
        ]

    def _next_seq(self) -> int:
        self._last_seq = max(self._last_seq + 1, time.time_ns() // 1000)
        return self._last_seq


def _condition(wanted: JobFilter) -> tuple[str, dict[str, str]]:
    """Return a filter as a WHERE clause and its parameters."""
    clauses: list[str] = ["1"]
    values: dict[str, str] = {}
    if wanted.statuses:
        names = {f"status{index}": status.value for index, status in enumerate(wanted.statuses)}
        clauses.append(f"status IN ({', '.join(':' + name for name in names)})")
        values |= names
    for column in ("session_id", "name", "project"):
        if (value := getattr(wanted, column)) is not None:
            clauses.append(f"{column} = :{column}")
            values[column] = value
    if wanted.owner is not None:
        clauses.append("json_extract(spec, '$.owner') = :owner")
        values["owner"] = wanted.owner
    for index, (key, value) in enumerate(wanted.tags.items()):
        clauses.append(
            f"EXISTS (SELECT 1 FROM json_each(tags) WHERE key = :k{index} AND value = :v{index})"
        )
        values |= {f"k{index}": key, f"v{index}": value}
    return " AND ".join(clauses), values
