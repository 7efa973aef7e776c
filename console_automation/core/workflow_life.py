"""The life of a workflow run: which step is next, and when the whole is over.

A run changes by events through `advance`, and what is to be done about a change are effects. It is
told what became of its steps' jobs; it changes no job. `begin` looks at everything that is not decided:
in a new run, in one that was read from the disk after a crash, in one that takes over what another has
done. So there is nothing to restore but which steps are over, and which jobs the others have.

A step that is over lets those that depend on it run if it completed, if its condition was false, or if
it failed and `continue_on_error` says so. If not, they are skipped, at once, and the run fails at its
end. What nothing keeps from running starts when there is room, in the order of becoming ready.
"""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from console_automation.core.expression import ExpressionError, Path, kind_of
from console_automation.core.job import Status
from console_automation.core.workflow import Step, Workflow, condition_of, filled, order, paths_in
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

Outcome = tuple[WorkflowRun, tuple[RunEffect, ...]]

_NEW = StepState()


class Graph:
    """What follows from a workflow alone, worked out once for all events of its runs."""

    def __init__(self, workflow: Workflow) -> None:
        self.room = workflow.max_concurrency or len(workflow.steps)
        self.steps = {step.id: step for step in order(workflow.steps)}  #: parents first
        self.children: dict[str, list[str]] = {step_id: [] for step_id in self.steps}
        for step_id, step in self.steps.items():
            for parent in step.depends_on:
                self.children[parent].append(step_id)


def begin(graph: Graph, run: WorkflowRun, *, at: float) -> Outcome:
    """Decide about every step of a run of which it is known which steps are over or have a job."""
    over = [step_id for step_id in graph.steps if run.steps.get(step_id, _NEW).is_over]
    fresh = replace(
        run,
        steps={step_id: run.steps.get(step_id, _NEW) for step_id in graph.steps},
        lacking={step_id: len(step.depends_on) for step_id, step in graph.steps.items()},
        ready=(),
        live=sum(state.status is StepStatus.RUNNING for state in run.steps.values()),
    )
    turn = _Turn(graph, fresh, at)
    turn.follow(over)
    turn.follow(
        turn.consider(step_id for step_id in graph.steps if not graph.steps[step_id].depends_on)
    )
    if run.stop is not None:
        turn.stop(run.stop)
    elif at >= run.spec.deadline:
        turn.stop(RunReason.TIMEOUT)
    return turn.outcome()


def advance(graph: Graph, run: WorkflowRun, event: RunEvent) -> Outcome:
    """Return the run after an event, and what is to be done about it. Late news changes nothing."""
    if run.is_over:
        return run, ()
    turn = _Turn(graph, run, event.at)
    match event:
        case StepSubmitted() if run.steps[event.step].status is StepStatus.RUNNING:
            turn.submitted(event.step, event.job_id)
        case StepRefused() if run.steps[event.step].status is StepStatus.RUNNING:
            turn.end(
                event.step, _ended(StepStatus.FAILED, StepReason.REFUSED, event.at, event.error)
            )
        case StepEnded() if run.steps[event.step].status is StepStatus.RUNNING:
            turn.end(event.step, event.state)
        case StopAsked() if run.stop is None:
            turn.stop(event.why)
        case _:
            return run, ()
    return turn.outcome()


def completed_steps(graph: Graph, run: WorkflowRun) -> dict[str, StepState]:
    """Return what a re-run takes over: steps that completed, below none that is to be done again."""
    taken: dict[str, StepState] = {}
    stay: set[str] = set()
    for step_id, step in graph.steps.items():
        state = run.steps[step_id]
        if not stay.issuperset(step.depends_on):
            continue
        if state.status is StepStatus.COMPLETED:
            taken[step_id] = replace(state, taken_from=state.taken_from or run.id)
        if state.status is StepStatus.COMPLETED or state.reason == StepReason.CONDITION:
            stay.add(step_id)  # a condition is decided anew, to the same end
    return taken


def blocks(step: Step, state: StepState) -> bool:
    """Whether what depends on this step, which is over, is not to run."""
    if state.status is StepStatus.SKIPPED:
        return state.reason != StepReason.CONDITION
    return state.status is not StepStatus.COMPLETED and not step.continue_on_error


class _Turn:
    """One change of a run, while it is being worked out."""

    def __init__(self, graph: Graph, run: WorkflowRun, at: float) -> None:
        self._graph = graph
        self._run = run
        self._at = at
        self._effects: list[RunEffect] = []
        self._status = run.status
        self._stop = run.stop
        self._steps = dict(run.steps)
        self._lacking = dict(run.lacking)
        self._ready = list(run.ready)
        self._live = run.live

    def submitted(self, step_id: str, job_id: str) -> None:
        """A step has its job; one that comes after the run was stopped is to end."""
        self._status = Status.RUNNING
        self._steps[step_id] = replace(self._steps[step_id], job_id=job_id)
        if self._stop is not None:
            self._effects.append(StopStep(job_id=job_id))

    def stop(self, why: RunReason) -> None:
        """Nothing more begins, and what goes on is to end."""
        self._stop = why
        self._ready = []
        for step_id, state in list(self._steps.items()):
            if state.status is StepStatus.PENDING:
                self._set(step_id, _ended(StepStatus.SKIPPED, StepReason(why), self._at))
            elif state.status is StepStatus.RUNNING and state.job_id is not None:
                self._effects.append(StopStep(job_id=state.job_id))

    def end(self, step_id: str, state: StepState) -> None:
        """A step is over."""
        self._live -= self._steps[step_id].status is StepStatus.RUNNING
        self._set(step_id, state)
        self.follow([step_id])

    def follow(self, over: list[str]) -> None:
        """Tell the dependents of steps that are over, and theirs if that is the end of them."""
        while over:
            step_id = over.pop()
            is_blocked = blocks(self._graph.steps[step_id], self._steps[step_id])
            for child in self._graph.children[step_id]:
                self._lacking[child] -= 1
                if is_blocked and self._steps[child].status is StepStatus.PENDING:
                    why = f"step {step_id!r}, on which it depends, is {self._steps[step_id].status}"
                    self._set(
                        child, _ended(StepStatus.SKIPPED, StepReason.DEPENDENCY, self._at, why)
                    )
                    over.append(child)
            over += self.consider(self._graph.children[step_id])

    def consider(self, step_ids: Iterable[str]) -> list[str]:
        """Have those steps run whose turn it is; return those that are over because they need not."""
        over = []
        for step_id in step_ids:
            if self._lacking[step_id] == 0 and self._steps[step_id].status is StepStatus.PENDING:
                verdict = self._verdict(self._graph.steps[step_id])
                if verdict is None:
                    self._ready.append(step_id)
                else:
                    self._set(step_id, verdict)
                    over.append(step_id)
        return over

    def outcome(self) -> Outcome:
        """Start what there is room for, and return what has come of it all."""
        while self._ready and self._live < self._graph.room:
            self._start(self._ready.pop(0))
        run = replace(
            self._run,
            status=self._status,
            stop=self._stop,
            steps=self._steps,
            lacking=self._lacking,
            ready=tuple(self._ready),
            live=self._live,
        )
        if self._live == 0 and not self._ready:  # a step that is pending would have one above it
            run = self._settled(run)
            self._effects.append(SettleRun())
        return run, tuple(self._effects)

    def _start(self, step_id: str) -> None:
        step = self._graph.steps[step_id]
        try:
            value = filled(step.input, self._scope(paths_in(step.input)))
            if not isinstance(value, Mapping):
                raise ExpressionError(f"the input of a job is an object, this is {kind_of(value)}")
        except ExpressionError as error:
            self.end(step_id, _ended(StepStatus.FAILED, StepReason.INPUT, self._at, str(error)))
            return
        self._steps[step_id] = StepState(status=StepStatus.RUNNING)
        self._live += 1
        self._effects.append(StartStep(step=step_id, input=value))

    def _verdict(self, step: Step) -> StepState | None:
        """Return how a step is over that its condition keeps from running, None for one that runs."""
        condition = condition_of(step)
        if condition is None:
            return None
        try:
            if condition.holds(self._scope(condition.paths)):
                return None
        except ExpressionError as error:
            return _ended(StepStatus.FAILED, StepReason.CONDITION, self._at, str(error))
        return _ended(StepStatus.SKIPPED, StepReason.CONDITION, self._at)

    def _scope(self, paths: Iterable[Path]) -> Mapping[str, Any]:
        """Return what paths are looked up in: the input, and the steps that are named."""
        steps: dict[str, Any] = {}
        for step_id in {path.step for path in paths if path.step is not None}:
            state = self._steps[step_id]
            steps[step_id] = {"status": state.status.value}
            if state.has_result:
                steps[step_id]["result"] = state.result
        return {"input": self._run.spec.input, "steps": steps}

    def _set(self, step_id: str, state: StepState) -> None:
        self._steps[step_id] = state
        self._effects.append(KeepStep(step=step_id))

    def _settled(self, run: WorkflowRun) -> WorkflowRun:
        """Return the run with its end. A stop that found nothing to stop is none."""
        if run.stop is not None and any(map(_was_stopped, run.steps.values())):
            is_cancel = run.stop is RunReason.CANCELLED
            status = Status.CANCELLED if is_cancel else Status.FAILED
            return replace(run, status=status, reason=run.stop, ended_at=self._at)
        bad = [
            step_id
            for step_id, step in self._graph.steps.items()
            if run.steps[step_id].status is not StepStatus.SKIPPED
            and blocks(step, run.steps[step_id])
        ]
        if not bad:
            return replace(run, status=Status.COMPLETED, ended_at=self._at)
        lost = all(run.steps[step_id].status is StepStatus.INTERRUPTED for step_id in bad)
        first = run.steps[bad[0]]
        return replace(
            run,
            status=Status.INTERRUPTED if lost else Status.FAILED,
            reason=RunReason.STEP,
            error=f"step {bad[0]!r} is {first.status}: {first.error or first.reason}",
            ended_at=self._at,
        )


def _ended(
    status: StepStatus, reason: StepReason, at: float, error: str | None = None
) -> StepState:
    return StepState(status=status, reason=reason, error=error, ended_at=at)


def _was_stopped(state: StepState) -> bool:
    return state.status is StepStatus.CANCELLED or (
        state.status is StepStatus.SKIPPED
        and state.reason in (StepReason.CANCELLED, StepReason.TIMEOUT)
    )
