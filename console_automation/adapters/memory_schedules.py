"""The ScheduleStore without a database: the twin that keeps the same contract."""

from asyncio import Future
from collections.abc import Callable, Sequence
from dataclasses import replace

from console_automation.core.schedule import Execution, Schedule, Version

Work = Callable[[], None]


class MemorySchedules:
    """The schedules of a MemoryStore; `done` makes a write of a piece of work, `refused` one that fails."""

    def __init__(
        self, done: Callable[[Work], Future[None]], refused: Callable[[str], Future[None]]
    ) -> None:
        self._done = done
        self._refused = refused
        self._schedules: dict[str, Schedule] = {}
        self._versions: dict[str, dict[int, Version]] = {}
        self._executions: list[Execution] = []

    def save(self, schedule: Schedule, *executions: Execution, keep: int) -> Future[None]:
        """Add a schedule, or replace its state, with new executions."""
        if any(self._is_same_name(schedule, each) for each in self._schedules.values()):
            return self._refused(f"the name {schedule.name!r} is taken")
        return self._done(lambda: self._put(schedule, executions, keep))

    def _is_same_name(self, schedule: Schedule, other: Schedule) -> bool:
        names = [(each.project, each.owner, each.name) for each in (schedule, other)]
        return names[0] == names[1] and other.id != schedule.id

    def _put(self, schedule: Schedule, executions: Sequence[Execution], keep: int) -> None:
        self._schedules[schedule.id] = schedule
        versions = self._versions.setdefault(schedule.id, {})
        versions.setdefault(schedule.version.number, schedule.version)
        oldest = max(versions) - keep
        for number in [each for each in versions if each <= oldest]:
            if number != schedule.version.number:
                del versions[number]
        known = {(each.schedule_id, each.key) for each in self._executions}
        self._executions += [e for e in executions if (e.schedule_id, e.key) not in known]
        of_it = [each for each in self._executions if each.schedule_id == schedule.id]
        if executions:
            gone = of_it[: max(0, len(of_it) - keep)]
            self._executions = [each for each in self._executions if each not in gone]

    async def several(self, schedule_ids: Sequence[str]) -> list[Schedule]:
        """Return those that there are of these schedules."""
        return [self._schedules[each] for each in schedule_ids if each in self._schedules]

    async def named(self, name: str) -> list[Schedule]:
        """Return the schedules of a name, of every project, oldest first."""
        found = [each for each in self._schedules.values() if each.name == name]
        return sorted(found, key=lambda each: each.id)

    async def page(
        self,
        *,
        after: str | None,
        limit: int,
        project: str | None = None,
        owner: str | None = None,
    ) -> tuple[list[Schedule], int]:
        """Return schedules oldest first, and how many there are."""
        found = [
            each
            for each in self._schedules.values()
            if project in (None, each.project) and owner in (None, each.owner)
        ]
        newer = sorted((s for s in found if s.id > (after or "")), key=lambda s: s.id)
        return newer[:limit], len(found)

    async def upcoming(self) -> list[tuple[str, float]]:
        """Return the ids of the active schedules, and when the next fire of each is due."""
        moments = [(each.id, each.due_at) for each in self._schedules.values()]
        return [(schedule_id, at) for schedule_id, at in moments if at is not None]

    async def versions(self, schedule_id: str) -> list[Version]:
        """Return a schedule's versions, newest first."""
        versions = self._versions.get(schedule_id, {})
        return [versions[number] for number in sorted(versions, reverse=True)]

    async def executions(self, schedule_id: str, *, limit: int) -> list[Execution]:
        """Return what became of a schedule's fires, newest first."""
        return [e for e in reversed(self._executions) if e.schedule_id == schedule_id][:limit]

    async def unended(self) -> list[Execution]:
        """Return the executions whose job's end is not on record."""
        return [e for e in self._executions if e.job_id is not None and e.ended_at is None]

    def end(self, job_id: str, *, status: str, at: float) -> Future[None]:
        """Put the end of an execution's job on record."""

        def work() -> None:
            self._executions = [
                replace(each, status=status, ended_at=at)
                if each.job_id == job_id and each.ended_at is None
                else each
                for each in self._executions
            ]

        return self._done(work)

    def delete(self, schedule_id: str) -> Future[None]:
        """Forget a schedule with its versions and executions."""

        def work() -> None:
            self._schedules.pop(schedule_id, None)
            self._versions.pop(schedule_id, None)
            self._executions = [e for e in self._executions if e.schedule_id != schedule_id]

        return self._done(work)
