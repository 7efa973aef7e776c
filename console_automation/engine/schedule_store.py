"""What the engine needs of the database for schedules. Adapters keep it; one test suite for all."""

from asyncio import Future
from collections.abc import Sequence
from typing import Protocol

from console_automation.core.schedule import Execution, Schedule, Version


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
