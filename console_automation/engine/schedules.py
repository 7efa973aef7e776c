"""The schedules at work: each fire becomes one ordinary job.

A fire is submitted under a key of its own (`schedule:<id>:<fire>`), and only then the schedule moves on
in the store. A crash in between submits the same key again, which returns the same job: no fire comes
twice, and none is lost. What is passed over instead goes into the history, in the same commit as the
move.

Memory holds nothing but when which schedule is due; everything else is read when it is needed, so that
tens of thousands of schedules weigh little, and there is no second truth.
"""

import asyncio
import logging
from collections.abc import Callable, Sequence
from functools import partial

from console_automation.core.access import Principal
from console_automation.core.agenda import Agenda
from console_automation.core.job import Job
from console_automation.core.schedule import (
    JOB_KEYS,
    Execution,
    Overlap,
    Passed,
    Schedule,
    Step,
    Version,
    key_of,
    settled,
    step,
    with_job,
)
from console_automation.core.trigger import next_fire
from console_automation.engine.changes import whole
from console_automation.engine.definitions import Definitions
from console_automation.engine.feed import Change, Feed, News
from console_automation.engine.fires import Fires, Made
from console_automation.engine.jobs import JobManager
from console_automation.engine.refusals import note_refusal
from console_automation.errors import (
    Conflict,
    ConsoleAutomationError,
    JobNotFound,
    LimitReached,
    ScheduleNotFound,
)
from console_automation.ports.stores import ScheduleStore

log = logging.getLogger(__name__)

Edit = Callable[[Schedule, Sequence[Version]], Schedule]

_BATCH = 20  #: schedules that fire at once, before everybody else has a turn
_LONGEST_SLEEP = 60.0  #: the clock may be set while we sleep
_RETRY_SECONDS = 5.0


class Schedules:
    """Keeps the schedules and fires them. Changes come one after the other."""

    def __init__(
        self,
        *,
        jobs: JobManager,
        definitions: Definitions,
        store: ScheduleStore,
        new_id: Callable[[], str],
    ) -> None:
        self.store = store
        self.feed: Feed[News] = (
            Feed()
        )  #: of schedules that are new, have changed, or whose jobs have ended
        self.new_id = new_id
        self._jobs = jobs
        self._fires = Fires(jobs, definitions)
        self._clock = jobs.clock
        self._agenda = Agenda()
        self._news = asyncio.Event()  #: somebody may be due earlier than was thought
        self.changing = asyncio.Lock()
        self._troubles: dict[str, str] = {}
        self._timer: asyncio.Task[None] | None = None
        self._asking: set[asyncio.Task[None]] = set()  #: schedules whose guards are being asked
        self._leave_feed: Callable[[], None] = lambda: None

    # -- life --------------------------------------------------------------------------------

    async def open(self) -> None:
        """Take up the schedules that there are, and fire from now on."""
        await self.load()
        self._timer = asyncio.create_task(self._forever())

    async def load(self) -> None:
        """Read who is due when, and put the ends of jobs on record that nobody has heard of."""
        self._leave_feed = self._jobs.ledger.feed.listen(self._heard)
        for schedule_id, at in await self.store.upcoming():
            self._agenda.put(schedule_id, at)
        for execution in await self.store.unended():
            assert execution.job_id is not None
            try:
                self._note_end(await self._jobs.ledger.get(execution.job_id))
            except JobNotFound:
                pass  # it was removed before its end could be noted, which stays unknown

    async def close(self) -> None:
        """Fire no more. What is due stays due. Idempotent."""
        self._leave_feed()
        self._leave_feed = lambda: None
        tasks = [*self._asking, *([] if self._timer is None else [self._timer])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._timer = None

    async def _forever(self) -> None:
        while True:
            self._news.clear()
            await self.fire_due()
            first = self._agenda.first
            pause = _LONGEST_SLEEP
            if first is not None:
                pause = min(pause, max(0.0, first - self._clock.now()))
            try:
                async with asyncio.timeout(pause):
                    await self._news.wait()
            except TimeoutError:
                pass

    # -- what clients ask --------------------------------------------------------------------

    @whole
    async def create(self, schedule: Schedule) -> None:
        """Keep a new schedule. Raises Conflict when its name is taken, LimitReached, Unavailable."""
        _, count = await self.store.page(after=None, limit=0)
        most = self._jobs.settings.max_schedules
        if count >= most:
            raise LimitReached(
                f"There are {most} schedules, which is the limit (setting max_schedules). Delete"
                " those that are not needed, or raise it."
            )
        await self._refuse_taken_name(schedule)
        await self._save(schedule, is_new=True)

    async def find(self, reference: str, *, project: str, principal: Principal) -> Schedule:
        """Return the schedule of an id, or of a name: the project's own, or the only one.

        Raises ScheduleNotFound, also for one that is not the principal's to see; Conflict when it could
        be several.
        """
        known = await self.store.several([reference]) or await self.store.named(reference)
        found = [each for each in known if principal.owns(each.owner)]
        own = [each for each in found if each.project == project] or found
        if not own:
            raise ScheduleNotFound(reference)
        if len(own) > 1:
            ids = ", ".join(f"{each.id} of {each.project}" for each in own)
            raise Conflict(f"scheduleId {reference!r} could be any of {ids}; give the id.")
        return own[0]

    @whole
    async def update(self, schedule_id: str, edit: Edit) -> Schedule:
        """Replace a schedule by what `edit` makes of it and of its versions, newest first.

        Raises ScheduleNotFound, Conflict when its new name is taken, and whatever `edit` raises.
        """
        before = await self._recorded(await self._get(schedule_id))
        after = edit(before, await self.store.versions(schedule_id))
        if after.name != before.name:
            await self._refuse_taken_name(after)
        await self._save(after)
        return after

    async def trigger(self, schedule_id: str, *, key: str) -> Job:
        """Run a schedule's command now, whether it is active or not; its fires stay as they are.

        The same key again returns the first job. Raises ScheduleNotFound; Conflict when the schedule
        does not want overlaps and its latest job is not over; LimitReached when its queue is full; what
        its definition refuses with, and what `JobManager.submit` raises.
        """
        schedule, name = await self._get(schedule_id), f"now:{key}"
        is_known = await self._fires.submitted(schedule, name) is not None
        made = None if is_known else await self._fires.made(schedule.version)
        return await self._run_now(schedule_id, name, made)

    @whole
    async def _run_now(self, schedule_id: str, name: str, made: Made | None) -> Job:
        schedule = await self._recorded(await self._get(schedule_id))
        job = await self._fires.submitted(schedule, name)
        is_latest = job is None or job.id > (schedule.last_job_id or "")
        if job is None:
            await self._check_room(schedule)
            if made is None or made.version != schedule.version:
                raise Conflict(
                    f"Schedule {schedule.name!r} was changed just now. Trigger it again if that is still"
                    " wanted."
                )
            job = await self._fires.submit(schedule, name, made.required())
        execution = Execution(
            schedule_id=schedule.id,
            key=name,
            at=job.spec.created_at,
            version=schedule.version.number,
            job_id=job.id,
        )
        await self._save(with_job(schedule, execution) if is_latest else schedule, execution)
        return job

    async def _check_room(self, schedule: Schedule) -> None:
        if schedule.overlap is Overlap.SKIP and self._fires.is_busy(schedule):
            raise Conflict(
                f"Job {schedule.last_job_id} of schedule {schedule.name!r} is not over, and its"
                " overlap is 'skip'. Wait for its end, cancel it, or set overlap to 'queue'"
                " or 'allow'.",
                jobId=schedule.last_job_id,
            )
        await self._fires.check_full(schedule)

    @whole
    async def delete(self, schedule_id: str) -> None:
        """Forget a schedule; its jobs go on. Raises Unavailable."""
        await self.store.delete(schedule_id)
        self._agenda.put(schedule_id, None)
        self._troubles.pop(schedule_id, None)
        self._publish(schedule_id)

    def trouble(self, schedule_id: str) -> str | None:
        """Return why the fire that is due has no job yet, None when all is well."""
        return self._troubles.get(schedule_id)

    async def _get(self, schedule_id: str) -> Schedule:
        found = await self.store.several([schedule_id])
        if not found:
            raise ScheduleNotFound(schedule_id)
        return found[0]

    async def _refuse_taken_name(self, schedule: Schedule) -> None:
        for other in await self.store.named(schedule.name):
            is_beside = (other.project, other.owner) == (schedule.project, schedule.owner)
            if is_beside and other.id != schedule.id:
                raise Conflict(
                    f"The name {schedule.name!r} is that of {other.id} in this project. Take another, or"
                    " change that one with console_update_schedule.",
                    scheduleId=other.id,
                )

    async def _save(self, schedule: Schedule, *executions: Execution, is_new: bool = False) -> None:
        keep = self._jobs.settings.schedule_history
        await asyncio.shield(self.store.save(schedule, *executions, keep=keep))
        self._troubles.pop(schedule.id, None)
        self._put(schedule.id, schedule.due_at)
        self._publish(schedule.id, is_new=is_new)
        for execution in executions:
            if execution.job_id is not None:  # it may have ended before it was on record
                self._note_end(await self._jobs.ledger.get(execution.job_id))

    def _publish(self, schedule_id: str, *, is_new: bool = False) -> None:
        self.feed.publish(News(id=schedule_id, is_new=is_new), about=schedule_id)

    def _put(self, schedule_id: str, at: float | None) -> None:
        self._agenda.put(schedule_id, at)
        self._news.set()

    # -- firing ------------------------------------------------------------------------------

    async def fire_due(self) -> None:
        """Take every schedule that is due one step on, until none is due; where guards have to be asked,
        that goes on beside."""
        while due := self._agenda.take(self._clock.now(), most=_BATCH):
            try:
                async with self.changing:
                    schedules = await self.store.several(due)
                    await asyncio.gather(*map(self._go_on, schedules))
            except ConsoleAutomationError as error:
                for schedule_id in due:
                    self._try_again(schedule_id, error)
            await asyncio.sleep(0)

    async def _go_on(self, schedule: Schedule, made: Made | None = None) -> None:
        """Take a schedule one step on; what goes wrong with one is no other's trouble.

        `made` is what its job is made from, if guards had to be asked for that.
        """
        now = self._clock.now()
        is_due = schedule.due_at is not None and schedule.due_at <= now
        if not is_due or (made is not None and made.version != schedule.version):
            self._put(schedule.id, schedule.due_at)  # it was changed meanwhile
            return
        try:
            await self._carry_out(schedule, step(schedule, now), made)
        except Exception as error:
            self._try_again(schedule.id, error)

    def _try_again(self, schedule_id: str, error: Exception) -> None:
        if self._troubles.get(schedule_id) != str(error):  # once is enough for the log
            log.warning(
                "schedule %s is due and could not go on: %s",
                schedule_id,
                error,
                exc_info=not isinstance(error, ConsoleAutomationError),
            )
        self._troubles[schedule_id] = str(error)
        self._put(schedule_id, self._clock.now() + _RETRY_SECONDS)

    async def _carry_out(self, schedule: Schedule, todo: Step, made: Made | None) -> None:
        """Submit a fire or pass over it, put that on record, and move on."""
        fire = schedule.next_fire
        assert fire is not None
        passed = await self._why_passed(schedule, todo)
        if passed is None and made is None:
            if self._fires.asks_guards(schedule.version):
                self._ask(schedule)
                return
            made = await self._fires.made(schedule.version)
        spec = error = None
        if passed is None and made is not None:
            spec = made.spec
            if made.refusal is not None:
                passed, error = Passed.REFUSED, made.refusal.message
                caller = schedule.version.caller
                note_refusal(self._jobs, caller, made.refusal, of="fire", subject=schedule.id)
        if spec is None and await self._recorded(schedule) is not schedule:
            return
        key = key_of(fire)
        job = None if spec is None else await self._fires.submit(schedule, key, spec)
        execution = Execution(
            schedule_id=schedule.id,
            key=key,
            at=fire,
            until=todo.until if todo.until > fire else None,
            version=schedule.version.number,
            job_id=None if job is None else job.id,
            passed=passed,
            error=error,
        )
        await self._save(settled(with_job(schedule, execution), todo.next_fire), execution)

    async def _why_passed(self, schedule: Schedule, todo: Step) -> Passed | None:
        if not todo.fires:
            return Passed.MISSED
        if schedule.overlap is Overlap.SKIP and self._fires.is_busy(schedule):
            return Passed.OVERLAP
        return Passed.FULL if await self._fires.is_full(schedule) else None

    def _ask(self, schedule: Schedule) -> None:
        """Have the guards of a schedule asked while others change and fire; then it goes on."""
        task = asyncio.create_task(self._go_on_asked(schedule))
        self._asking.add(task)
        task.add_done_callback(self._asking.discard)

    async def _go_on_asked(self, schedule: Schedule) -> None:
        try:
            made = await self._fires.made(schedule.version)
            async with self.changing:
                for current in await self.store.several([schedule.id]):
                    await self._go_on(current, made)
        except Exception as error:
            self._try_again(schedule.id, error)

    async def _recorded(self, schedule: Schedule) -> Schedule:
        """Return the schedule as it is once its fire is on record, if that has been submitted.

        It has been when a crash or a full disk kept the schedule from moving on.
        """
        fire = schedule.next_fire
        job = None if fire is None else await self._fires.submitted(schedule, key_of(fire))
        if fire is None or job is None:
            return schedule
        execution = Execution(
            schedule_id=schedule.id,
            key=key_of(fire),
            at=fire,
            version=schedule.version.number,
            job_id=job.id,
        )
        after = settled(with_job(schedule, execution), next_fire(schedule.version.trigger, fire))
        await self._save(after, execution)
        return after

    # -- ends --------------------------------------------------------------------------------

    def _heard(self, change: Change) -> None:
        if (change.after.spec.idempotency_key or "").startswith(JOB_KEYS):
            self._note_end(change.after)

    def _note_end(self, job: Job) -> None:
        """Put the end of a job into its schedule's history, where it outlives the job's own record."""
        if job.is_terminal and job.completed_at is not None:
            noted = self.store.end(job.id, status=job.status, at=job.completed_at)
            noted.add_done_callback(partial(self._end_noted, job.spec.fingerprint))

    def _end_noted(self, schedule_id: str, noted: "asyncio.Future[None]") -> None:
        if noted.cancelled():
            return
        if noted.exception() is not None:
            log.error("the end of a job is not in its schedule's history: %s", noted.exception())
        self._publish(schedule_id)
