"""The ScheduleStore over SQLite: schedules, their versions, what became of their fires, and the rows."""

import sqlite3
from asyncio import Future
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from console_automation.adapters.sqlite.database import Database, Statement
from console_automation.adapters.sqlite.rows import dump, load
from console_automation.core.codec import spec_from_plain, spec_to_plain
from console_automation.core.definition import Caller
from console_automation.core.schedule import (
    Execution,
    Missed,
    Overlap,
    Passed,
    Schedule,
    Version,
)
from console_automation.core.trigger import Cron, Interval, Once, Trigger

T = TypeVar("T")


class SqliteSchedules:
    """Keeps the schedules beside the jobs; `database` is opened and closed by the store of those."""

    def __init__(self, database: Database, sql: dict[str, str]) -> None:
        self._database = database
        self._sql = sql

    def save(self, schedule: Schedule, *executions: Execution, keep: int) -> Future[None]:
        """Add a schedule, or replace its state, with new executions."""
        row = _row(schedule)
        statements: list[Statement] = [
            (self._sql["save_schedule"], row),
            (self._sql["add_version"], _version_row(schedule)),
            (self._sql["trim_versions"], {**row, "keep": keep}),
        ]
        statements += [(self._sql["add_execution"], _execution_row(each)) for each in executions]
        if executions:
            statements.append((self._sql["trim_executions"], {"id": schedule.id, "keep": keep}))
        return self._database.write(statements)

    async def several(self, schedule_ids: Sequence[str]) -> list[Schedule]:
        """Return those that there are of these schedules."""
        sql = self._sql["schedule_by_id"]

        def work(connection: sqlite3.Connection) -> list[Schedule]:
            rows = (connection.execute(sql, {"id": each}).fetchone() for each in schedule_ids)
            return [_schedule(row) for row in rows if row is not None]

        return await self._database.read(work)

    async def named(self, name: str) -> list[Schedule]:
        """Return the schedules of a name, of every project, oldest first."""
        return await self._all("schedules_named", _schedule, name=name)

    async def page(
        self,
        *,
        after: str | None,
        limit: int,
        project: str | None = None,
        owner: str | None = None,
    ) -> tuple[list[Schedule], int]:
        """Return schedules oldest first, and how many there are."""
        wanted = {"project": project, "owner": owner, "after": after or "", "limit": limit}

        def work(connection: sqlite3.Connection) -> tuple[list[Schedule], int]:
            rows = connection.execute(self._sql["schedules"], wanted)
            total = connection.execute(self._sql["count_schedules"], wanted)
            return [_schedule(row) for row in rows], total.fetchone()[0]

        return await self._database.read(work)

    async def upcoming(self) -> list[tuple[str, float]]:
        """Return the ids of the active schedules, and when the next fire of each is due."""
        return await self._all("upcoming", lambda row: (row["id"], row["due_at"]))

    async def versions(self, schedule_id: str) -> list[Version]:
        """Return a schedule's versions, newest first."""
        return await self._all("versions_of", _version, id=schedule_id)

    async def executions(self, schedule_id: str, *, limit: int) -> list[Execution]:
        """Return what became of a schedule's fires, newest first."""
        return await self._all("executions_of", _execution, id=schedule_id, limit=limit)

    async def unended(self) -> list[Execution]:
        """Return the executions whose job's end is not on record."""
        return await self._all("unended_executions", _execution)

    def end(self, job_id: str, *, status: str, at: float) -> Future[None]:
        """Put the end of an execution's job on record."""
        values = {"job_id": job_id, "status": status, "at": at}
        return self._database.write([(self._sql["end_execution"], values)], urgent=False)

    def delete(self, schedule_id: str) -> Future[None]:
        """Forget a schedule with its versions and executions."""
        names = ("delete_schedule", "delete_versions", "delete_executions")
        return self._database.write([(self._sql[name], {"id": schedule_id}) for name in names])

    async def _all(self, query: str, made: Callable[[sqlite3.Row], T], **values: Any) -> list[T]:
        sql = self._sql[query]
        return await self._database.read(
            lambda connection: [made(row) for row in connection.execute(sql, values)]
        )


def _row(schedule: Schedule) -> dict[str, Any]:
    return {
        "id": schedule.id,
        "project": schedule.project,
        "owner": schedule.owner,
        "name": schedule.name,
        "version": schedule.version.number,
        "due_at": schedule.due_at,
        "state": dump(
            {
                "client": schedule.client,
                "created_at": schedule.created_at,
                "is_active": schedule.is_active,
                "missed": schedule.missed,
                "overlap": schedule.overlap,
                "jitter": schedule.jitter,
                "metadata": schedule.metadata,
                "next_fire": schedule.next_fire,
                "last_fire": schedule.last_fire,
                "last_job_id": schedule.last_job_id,
            }
        ),
    }


def _schedule(row: sqlite3.Row) -> Schedule:
    state = load(row["state"])
    return Schedule(
        **{
            **state,
            "id": row["id"],
            "project": row["project"],
            "owner": row["owner"],
            "name": row["name"],
            "version": _made_version(row["version"], row),
            "missed": Missed(state["missed"]),
            "overlap": Overlap(state["overlap"]),
        }
    )


def _version_row(schedule: Schedule) -> dict[str, Any]:
    version = schedule.version
    return {
        "schedule_id": schedule.id,
        "number": version.number,
        "created_at": version.created_at,
        "trigger": dump(_trigger_to_plain(version.trigger)),
        "spec": dump(spec_to_plain(version.spec)),
        "caller": version.caller and dump(_caller_to_plain(version.caller)),
    }


def _version(row: sqlite3.Row) -> Version:
    return _made_version(row["number"], row)


def _made_version(number: int, row: sqlite3.Row) -> Version:
    return Version(
        number=number,
        created_at=row["created_at"],
        trigger=_trigger_from_plain(load(row["trigger"])),
        spec=spec_from_plain(load(row["spec"])),
        caller=row["caller"] and Caller(**load(row["caller"])),
    )


def _caller_to_plain(caller: Caller) -> dict[str, Any]:
    return {
        "client": caller.client,
        "principal": caller.principal,
        "environment": dict(caller.environment),
        "cwd": caller.cwd,
    }


def _trigger_to_plain(trigger: Trigger) -> dict[str, Any]:
    match trigger:
        case Once():
            return {"kind": "once", "at": trigger.at}
        case Interval():
            return {"kind": "interval", "every": trigger.every, "since": trigger.since}
        case Cron():
            return {
                "kind": "cron",
                "expression": trigger.expression,
                "timezone": trigger.timezone,
            }


_KINDS: dict[str, type[Trigger]] = {"once": Once, "interval": Interval, "cron": Cron}


def _trigger_from_plain(plain: dict[str, Any]) -> Trigger:
    return _KINDS[plain.pop("kind")](**plain)


def _execution_row(execution: Execution) -> dict[str, Any]:
    return {
        "schedule_id": execution.schedule_id,
        "key": execution.key,
        "at": execution.at,
        "until": execution.until,
        "version": execution.version,
        "job_id": execution.job_id,
        "passed": execution.passed,
        "error": execution.error,
        "status": execution.status,
        "ended_at": execution.ended_at,
    }


def _execution(row: sqlite3.Row) -> Execution:
    passed = row["passed"]
    return Execution(
        schedule_id=row["schedule_id"],
        key=row["key"],
        at=row["at"],
        until=row["until"],
        version=row["version"],
        job_id=row["job_id"],
        passed=passed and Passed(passed),
        error=row["error"],
        status=row["status"],
        ended_at=row["ended_at"],
    )
