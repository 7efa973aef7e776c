"""Carries out workflow runs: has their steps' jobs made, and hears of their ends.

What is to be done is decided by `core.workflow_life`. Each step is an ordinary job, submitted under a key
of its own: whoever dies between deciding and recording submits it again, and gets the job that is there.
So only the ends of steps are recorded, and these not in a hurry. After a crash a step that is not over
and whose turn it is either has a job under its key, which is then followed, or gets one.
"""

import asyncio
import json
import logging
from collections.abc import Coroutine
from dataclasses import dataclass, field, replace
from typing import Any

from console_automation.core.access import LOCAL, Principal
from console_automation.core.job import Job, JobSpec, Status
from console_automation.core.messages import messages_of_run
from console_automation.core.text import counted, signal_name
from console_automation.core.workflow import Step
from console_automation.core.workflow_life import Graph, advance, begin
from console_automation.core.workflow_run import (
    KeepStep,
    RunEffect,
    RunEvent,
    RunReason,
    SettleRun,
    StartStep,
    StepEnded,
    StepReason,
    StepRefused,
    StepState,
    StepStatus,
    StepSubmitted,
    StopAsked,
    StopStep,
    WorkflowRun,
)
from console_automation.engine.definitions import Definitions
from console_automation.engine.feed import Change, Feed, News
from console_automation.engine.jobs import JobManager
from console_automation.engine.refusals import note_refusal
from console_automation.engine.waiters import Waiters
from console_automation.errors import (
    ConsoleAutomationError,
    JobNotFound,
    LimitReached,
    Unavailable,
    WorkflowNotFound,
)
from console_automation.ports.stores import WorkflowStore

log = logging.getLogger(__name__)

_PAUSE_SECONDS = 1.0  #: before what the service could not do is tried again
_SIGTERM = 15
KEY = "workflow:"  #: how the keys of steps' jobs begin


@dataclass(slots=True, eq=False, kw_only=True)
class _Live:
    """A run that is not over, or whose end is not on the disk yet."""

    run: WorkflowRun
    graph: Graph
    timer: asyncio.TimerHandle | None = None
    settled: asyncio.Event = field(default_factory=asyncio.Event)


class WorkflowRuns:
    """The runs that go on, and the way to those that are over."""

    def __init__(self, *, jobs: JobManager, definitions: Definitions, store: WorkflowStore) -> None:
        self._jobs = jobs
        self._definitions = definitions
        self._store = store
        self.feed: Feed[News] = (
            Feed()
        )  #: a run has begun, a step has its job or is over, a run is over
        self._clock = jobs.clock
        self._live: dict[str, _Live] = {}
        self._steps: dict[str, tuple[str, str]] = {}  #: run and step, by the job's id
        self._ends = Waiters()
        self._tasks: set[asyncio.Task[None]] = set()

    def __len__(self) -> int:
        return len(self._live)

    # -- life --------------------------------------------------------------------------------

    async def open(self) -> None:
        """Take up every run that is not over."""
        for run in await self._store.unfinished():
            await self._take_up(run)

    async def _take_up(self, run: WorkflowRun) -> None:
        graph = Graph(run.spec.workflow)
        jobs: dict[str, Job] = {}
        for step_id, step in graph.steps.items():
            if step_id not in run.steps and all(each in run.steps for each in step.depends_on):
                job = await self._jobs.ledger.store.find_by_key(_key(run.id, step_id))
                if job is not None:
                    jobs[step_id] = job
        running = {
            step_id: StepState(status=StepStatus.RUNNING, job_id=job.id)
            for step_id, job in jobs.items()
        }
        self._steps.update({job.id: (run.id, step_id) for step_id, job in jobs.items()})
        self._begin(replace(run, steps={**run.steps, **running}), graph)
        for job in jobs.values():
            await self._look_at(job.id)

    def close(self) -> None:
        """Let go: the jobs of steps go on, and the runs when somebody takes them up."""
        for live in self._live.values():
            if live.timer:
                live.timer.cancel()
        for task in self._tasks:
            task.cancel()

    # -- what clients ask --------------------------------------------------------------------

    async def start(self, run: WorkflowRun) -> None:
        """Begin a run. When this returns it is on the disk and will be seen through.

        Raises Unavailable when it cannot be stored.
        """
        task = asyncio.create_task(self._start(run))  # goes on when who asked for it gives up
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        await asyncio.shield(task)

    async def _start(self, run: WorkflowRun) -> None:
        await self._store.add_run(run)
        self._begin(run, Graph(run.spec.workflow))
        self._publish(run.id, is_new=True)

    async def get(self, run_id: str, principal: Principal = LOCAL) -> WorkflowRun:
        """Return a run; its end is shown when that is on the disk.

        Raises WorkflowNotFound, also for one that is not the principal's to see.
        """
        live = self._live.get(run_id)
        if live is not None and live.run.is_over:
            await live.settled.wait()
        found = live.run if live is not None else await self._store.run(run_id)
        if found is None or not principal.owns(found.spec.owner):
            raise WorkflowNotFound(
                f"There is no workflow run {run_id!r}. Call console_list_workflows to see the latest.",
                runId=run_id,
            )
        return found

    def status_of(self, run_id: str, stored: Status) -> Status:
        """Return how a run stands of which the store says something older."""
        live = self._live.get(run_id)
        return stored if live is None or live.run.is_over else live.run.status

    def progress(self, run_id: str) -> str:
        """Say in few words how far a run is."""
        live = self._live.get(run_id)
        if live is None:
            return "over"
        over = sum(state.is_over for state in live.run.steps.values())
        return f"{over} of {counted(len(live.run.steps), 'step')} done"

    async def wait(self, run_id: str, *, timeout: float) -> WorkflowRun:
        """Return a run when it is over, or the time is up. Raises WorkflowNotFound."""
        run = await self.get(run_id)
        if not run.is_over and timeout > 0:
            await self._ends.wait([run_id], enough=1, timeout=timeout)
            run = await self.get(run_id)
        return run

    async def stop(self, run_id: str, why: RunReason) -> bool:
        """End a run with its live steps; False when it was over already. Raises WorkflowNotFound."""
        run = await self.get(run_id)
        live = self._live.get(run_id)
        if run.is_over or live is None:
            return False
        if run.stop is None:
            try:
                await asyncio.shield(self._store.save_run(replace(run, stop=why)))
            except Unavailable as error:
                log.warning("stopping run %s without a record: %s", run_id, error)
            self._tell(run_id, StopAsked(at=self._clock.now(), why=why))
        return True

    # -- the life of a run -------------------------------------------------------------------

    def _begin(self, run: WorkflowRun, graph: Graph) -> None:
        at = self._clock.now()
        begun, effects = begin(graph, run, at=at)
        live = self._live[run.id] = _Live(run=begun, graph=graph)
        left = max(0.0, run.spec.deadline - at)
        loop = asyncio.get_running_loop()
        live.timer = loop.call_later(left, self._time_is_up, run.id)
        self._carry_out(live, effects)

    def _time_is_up(self, run_id: str) -> None:
        self._do(self._end_late(run_id))

    async def _end_late(self, run_id: str) -> None:
        await self.stop(run_id, RunReason.TIMEOUT)

    def _tell(self, run_id: str, event: RunEvent) -> None:
        live = self._live.get(run_id)
        if live is not None:
            live.run, effects = advance(live.graph, live.run, event)
            self._carry_out(live, effects)
            if not live.run.is_over:  # its end is told when that is on the disk
                self._publish(run_id)

    def _carry_out(self, live: _Live, effects: tuple[RunEffect, ...]) -> None:
        run = live.run
        for effect in effects:
            match effect:
                case KeepStep():
                    saved = self._store.save_step(run.id, effect.step, run.steps[effect.step])
                    saved.add_done_callback(_log_failure)
                case StartStep():
                    self._do(self._start_step(live, effect.step, effect.input))
                case StopStep():
                    self._do(self._stop_step(run.id, effect.job_id))
                case SettleRun():
                    self._do(self._settle(live))

    async def _settle(self, live: _Live) -> None:
        """Put the end on the disk; should that fail it is shown all the same, and tried again."""
        run = live.run
        if live.timer:
            live.timer.cancel()
        while True:
            try:
                messages = messages_of_run(run)
                await self._store.save_run(run, messages)
                if messages:
                    self._jobs.ledger.posted()
                break
            except Unavailable as error:
                log.error("the end of run %s could not be saved, will try again: %s", run.id, error)
                self._tell_end(live)
                await asyncio.sleep(_PAUSE_SECONDS)
        del self._live[run.id]
        self._tell_end(live)
        oldest = self._clock.now() - self._jobs.settings.retain_jobs_ms / 1000
        self._store.prune(ended_before=oldest).add_done_callback(_log_failure)

    def _tell_end(self, live: _Live) -> None:
        live.settled.set()
        self._ends.tell(live.run.id)
        self._publish(live.run.id)

    def _publish(self, run_id: str, *, is_new: bool = False) -> None:
        self.feed.publish(News(id=run_id, is_new=is_new), about=run_id)

    # -- steps and their jobs ----------------------------------------------------------------

    async def _start_step(self, live: _Live, step_id: str, given: Any) -> None:
        """Have the step's job made, however often it takes; not when the run is to end meanwhile."""
        run_id = live.run.id
        while (why := live.run.stop) is None:
            try:
                job = await self._submitted(live.run, live.graph.steps[step_id], given)
            except (Unavailable, LimitReached) as error:
                log.warning("step %s of run %s has to wait: %s", step_id, run_id, error)
                await asyncio.sleep(_PAUSE_SECONDS)
            except ConsoleAutomationError as error:
                caller = live.run.spec.caller
                note_refusal(self._jobs, caller, error, of="step", subject=run_id)
                refused = StepRefused(at=self._clock.now(), step=step_id, error=error.message)
                return self._tell(run_id, refused)
            else:
                self._steps[job.id] = (run_id, step_id)
                at = self._clock.now()
                self._tell(run_id, StepSubmitted(at=at, step=step_id, job_id=job.id))
                return await self._look_at(job.id) if job.is_terminal else None
        at = self._clock.now()
        state = StepState(status=StepStatus.SKIPPED, reason=StepReason(why), ended_at=at)
        return self._tell(run_id, StepEnded(at=at, step=step_id, state=state))

    async def _submitted(self, run: WorkflowRun, step: Step, given: Any) -> Job:
        made = await self._definitions.job_spec(step.job, given, run.spec.caller)
        return await self._jobs.submit(_as_step(run, step, made))

    async def _stop_step(self, run_id: str, job_id: str) -> None:
        grace = self._jobs.settings.kill_grace_ms / 1000
        try:
            await self._jobs.cancel(job_id, signal=_SIGTERM, grace=grace, by=run_id)
        except JobNotFound:
            pass  # it was over, and has been removed since

    def heard(self, change: Change) -> None:
        """A job has changed; its end is perhaps that of a step."""
        if change.after.is_terminal and change.after.id in self._steps:
            self._ended(change.after, change.after.result)

    async def _look_at(self, job_id: str) -> None:
        """Take note of a job's end that nobody may have told of."""
        job = await self._jobs.ledger.get(job_id)
        if job.is_terminal:
            self._ended(job, await self._jobs.ledger.store.result(job_id))

    def _ended(self, job: Job, result: str | None) -> None:
        place = self._steps.pop(job.id, None)
        if place is not None:
            run_id, step_id = place
            state = _state_of(job, result)
            self._tell(run_id, StepEnded(at=self._clock.now(), step=step_id, state=state))

    def _do(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: "asyncio.Task[None]") -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("a workflow run is stuck until the next start", exc_info=error)


def _key(run_id: str, step_id: str) -> str:
    return f"{KEY}{run_id}:{step_id}"


def _as_step(run: WorkflowRun, step: Step, made: JobSpec) -> JobSpec:
    """Return the spec of a definition's job as that of a step."""
    command = made.command
    if step.timeout is not None:
        command = replace(command, timeout=step.timeout or None)
    about = {"workflow": run.spec.workflow.name, "run": run.id, "step": step.id}
    return replace(
        made,
        command=command,
        tags={**made.tags, **about},
        retry=step.retry or made.retry,
        idempotency_key=_key(run.id, step.id),
        fingerprint=KEY,
    )


def _state_of(job: Job, result: str | None) -> StepState:
    """Return how a step is over whose job is."""
    error = job.error
    if error is None and job.exit is not None and job.status is Status.FAILED:
        code, number = job.exit.code, job.exit.signal
        error = f"exit code {code}" if number is None else signal_name(number)
    return StepState(
        status=StepStatus(job.status.value),
        reason=job.reason and job.reason.value,
        error=error,
        job_id=job.id,
        attempts=job.attempt,
        started_at=job.started_at,
        ended_at=job.completed_at,
        has_result=result is not None,
        result=None if result is None else json.loads(result),
    )


def _log_failure(saved: "asyncio.Future[None]") -> None:
    if not saved.cancelled() and saved.exception() is not None:
        log.error("what became of a workflow run could not be saved: %s", saved.exception())
