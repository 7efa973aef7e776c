"""A run of any workflow, with any outcomes of its steps, crashes and stops, against a plain model.

The world of the model has a disk, which a crash leaves with a beginning of what was written since the
last write that somebody waited for, and jobs, which outlive crashes. Its clock stands still unless it
is told to go on.
"""

from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from console_automation.core.definition import Caller
from console_automation.core.job import Status
from console_automation.core.workflow import Step, Workflow, check
from console_automation.core.workflow_life import Graph, advance, begin, blocks, completed_steps
from console_automation.core.workflow_run import (
    KeepStep,
    RunEffect,
    RunEvent,
    RunReason,
    RunSpec,
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

CALLER = Caller(client="test", principal="local", environment={}, cwd="/")
ENDS = {
    "completed": StepState(status=StepStatus.COMPLETED, has_result=True, result={"n": 1}),
    "failed": StepState(status=StepStatus.FAILED, reason="exit_code"),
    "interrupted": StepState(status=StepStatus.INTERRUPTED, reason="lost"),
}
CONDITIONS = (None, None, "input.yes", "not input.yes", "input.gone")


def new_run(workflow: Workflow, **fields: Any) -> WorkflowRun:
    spec = RunSpec(
        workflow=workflow,
        project="/",
        caller=CALLER,
        input={"yes": True},
        created_at=0.0,
        **fields,
    )
    return WorkflowRun(id="workflow-1", spec=spec)


@dataclass
class World:
    """What is left when the daemon dies: the disk, and the jobs."""

    workflow: Workflow
    outcomes: dict[str, str]
    now: float = 0.0
    disk: dict[str, StepState] = field(default_factory=dict)
    unwritten: list[tuple[str, StepState]] = field(default_factory=list)
    settled: WorkflowRun | None = None
    stopped: RunReason | None = None
    jobs: dict[str, str] = field(
        default_factory=dict
    )  #: what became of each step's job, "" is live
    made: list[str] = field(default_factory=list)  #: steps in the order of their jobs
    most_live: int = 0
    todo: list[RunEffect] = field(default_factory=list)
    run: WorkflowRun = field(init=False)
    graph: Graph = field(init=False)

    def __post_init__(self) -> None:
        check(self.workflow)
        self.graph = Graph(self.workflow)
        self.take_up()

    def take_up(self) -> None:
        """Do what a daemon does at its start."""
        steps = dict(self.disk)
        for step, outcome in self.jobs.items():
            if step not in steps:
                steps[step] = ENDS.get(outcome) or StepState(
                    status=StepStatus.RUNNING, job_id=f"job-{step}"
                )
                if outcome == "cancelled":
                    steps[step] = StepState(status=StepStatus.CANCELLED, reason="cancelled")
        run = WorkflowRun(
            id="workflow-1", spec=new_run(self.workflow).spec, steps=steps, stop=self.stopped
        )
        self.run, effects = begin(self.graph, run, at=self.now)
        self.todo = list(effects)

    def crash(self, kept: int) -> None:
        """Lose all but a beginning of what nobody has waited for, and start anew."""
        self._write(kept)
        self.unwritten.clear()
        self.take_up()

    def tell(self, event: RunEvent) -> None:
        self.run, effects = advance(self.graph, self.run, event)
        self.todo += effects

    def carry_out(self, number: int) -> None:
        """Carry out one effect: they may come in any order, but what is written stays in order."""
        kept = next((e for e in self.todo if isinstance(e, KeepStep)), None)
        effect = kept or self.todo[number % len(self.todo)]
        self.todo.remove(effect)
        match effect:
            case KeepStep():
                self.unwritten.append((effect.step, self.run.steps[effect.step]))
            case StartStep():
                self._submit(effect.step)
            case StopStep():
                step = effect.job_id.removeprefix("job-")
                self.jobs[step] = self.jobs[step] or "cancelled"
                self._end(step)
            case SettleRun():
                self._write(len(self.unwritten))
                self.settled = self.run

    def _submit(self, step: str) -> None:
        assert self.stopped is None or self.run.steps[step].status is StepStatus.RUNNING
        if self.outcomes[step] == "refused":
            self.tell(StepRefused(at=self.now, step=step, error="no"))
            return
        if step not in self.jobs:  # its key finds the one that is there
            self._write(len(self.unwritten))
            self.jobs[step] = ""
            self.made.append(step)
            live = [each for each, outcome in self.jobs.items() if not outcome]
            self.most_live = max(self.most_live, len(live))
        self.tell(StepSubmitted(at=self.now, step=step, job_id=f"job-{step}"))

    def finish(self, number: int) -> None:
        """Have one of the live jobs end."""
        live = [step for step, outcome in self.jobs.items() if not outcome]
        if live:
            step = live[number % len(live)]
            self.jobs[step] = self.outcomes[step]
            self._end(step)

    def _end(self, step: str) -> None:
        outcome = self.jobs[step]
        state = ENDS.get(outcome) or StepState(status=StepStatus.CANCELLED, reason="cancelled")
        if self.run.steps[step].job_id is not None:  # else it is found when its key is
            self.tell(StepEnded(at=self.now, step=step, state=state))

    def stop(self, why: RunReason) -> None:
        if not self.run.is_over:
            self.stopped = self.stopped or why  # on the disk before anybody is told
            self._write(len(self.unwritten))
            self.tell(StopAsked(at=self.now, why=why))

    def _write(self, count: int) -> None:
        for step, state in self.unwritten[:count]:
            assert self.disk.setdefault(step, state).status is state.status
        del self.unwritten[:count]

    def live_to_the_end(self, numbers: "list[int] | None" = None) -> WorkflowRun:
        numbers = list(numbers or [])
        while self.settled is None:
            number = numbers.pop() if numbers else 0
            if self.todo:
                self.carry_out(number)
            else:
                self.finish(number)
        return self.settled


@st.composite
def workflows(draw: st.DrawFn) -> tuple[Workflow, dict[str, str]]:
    size = draw(st.integers(1, 8))
    steps, outcomes = [], {}
    for number in range(size):
        parents = draw(st.sets(st.integers(0, number - 1), max_size=3)) if number else set()
        step = Step(
            id=f"s{number}",
            job="any",
            depends_on=tuple(f"s{parent}" for parent in sorted(parents)),
            condition=draw(st.sampled_from(CONDITIONS)),
            input={"$from": draw(st.sampled_from(("input", "input", "input.gone")))},
            continue_on_error=draw(st.booleans()),
        )
        steps.append(step)
        outcomes[step.id] = draw(st.sampled_from(("completed", "completed", "refused", *ENDS)))
    room = draw(st.sampled_from((None, 1, 2)))
    shuffled = draw(st.permutations(steps))
    return Workflow(name="w", steps=tuple(shuffled), max_concurrency=room, timeout=100.0), outcomes


def expected(workflow: Workflow, outcomes: dict[str, str]) -> dict[str, tuple[str, str | None]]:
    """How each step is over when nobody stops the run, said without any order or time."""
    steps = {step.id: step for step in workflow.steps}
    found: dict[str, tuple[str, str | None]] = {}

    def lets_run(step_id: str) -> bool:
        status, reason = outcome(step_id)
        if status == "skipped":
            return reason == "condition"
        return status == "completed" or steps[step_id].continue_on_error

    def outcome(step_id: str) -> tuple[str, str | None]:
        if step_id not in found:
            step = steps[step_id]
            if not all([lets_run(parent) for parent in step.depends_on]):
                found[step_id] = ("skipped", "dependency")
            elif step.condition == "not input.yes":
                found[step_id] = ("skipped", "condition")
            elif step.condition == "input.gone":
                found[step_id] = ("failed", "condition")
            elif step.input == {"$from": "input.gone"}:
                found[step_id] = ("failed", "input")
            elif outcomes[step_id] == "refused":
                found[step_id] = ("failed", "refused")
            else:
                end = ENDS[outcomes[step_id]]
                found[step_id] = (end.status.value, end.reason)
        return found[step_id]

    return {step_id: outcome(step_id) for step_id in steps}


def outcomes_of(run: WorkflowRun) -> dict[str, tuple[str, str | None]]:
    return {step: (state.status.value, state.reason) for step, state in run.steps.items()}


MOVES = st.lists(
    st.one_of(
        st.tuples(st.just("carry out"), st.integers(0, 50)),
        st.tuples(st.just("finish"), st.integers(0, 50)),
        st.tuples(st.just("crash"), st.integers(0, 10)),
    ),
    max_size=60,
)


def play(world: World, moves: list[tuple[str, int]]) -> None:
    for move, number in moves:
        if world.settled is not None:
            return
        if move == "carry out" and world.todo:
            world.carry_out(number)
        elif move == "finish":
            world.finish(number)
        elif move == "crash":
            world.crash(number)


@given(workflows(), MOVES)
def test_whatever_crashes_every_step_comes_to_the_end_that_the_workflow_says(
    drawn: tuple[Workflow, dict[str, str]], moves: list[tuple[str, int]]
) -> None:
    workflow, outcomes = drawn
    world = World(workflow, outcomes)
    play(world, moves)
    run = world.live_to_the_end()
    assert outcomes_of(run) == expected(workflow, outcomes)
    assert len(world.made) == len(set(world.made))
    assert world.most_live <= (workflow.max_concurrency or len(workflow.steps))
    for number, step in enumerate(world.made):
        for parent in world.graph.steps[step].depends_on:
            is_without_job = run.steps[parent].status is StepStatus.SKIPPED or run.steps[
                parent
            ].reason in ("condition", "input", "refused")
            assert parent in world.made[:number] or is_without_job
    bad = [
        run.steps[step.id].status
        for step in workflow.steps
        if run.steps[step.id].status is not StepStatus.SKIPPED and blocks(step, run.steps[step.id])
    ]
    if not bad:
        assert (run.status, run.reason) == (Status.COMPLETED, None)
    else:
        lost = set(bad) == {StepStatus.INTERRUPTED}
        assert run.status is (Status.INTERRUPTED if lost else Status.FAILED)
        assert run.reason is RunReason.STEP


@given(workflows(), MOVES, MOVES, st.sampled_from(RunReason))
def test_a_run_that_is_stopped_starts_nothing_more_and_leaves_nothing_running(
    drawn: tuple[Workflow, dict[str, str]],
    before: list[tuple[str, int]],
    after: list[tuple[str, int]],
    why: RunReason,
) -> None:
    if why is RunReason.STEP:
        why = RunReason.TIMEOUT
    workflow, outcomes = drawn
    world = World(workflow, outcomes)
    play(world, before)
    if world.settled is not None or world.run.is_over:
        return
    world.stop(why)
    under_way = {
        effect.step for effect in world.todo if isinstance(effect, StartStep)
    }  # whose job may be on its way to the store
    made = set(world.made)
    play(world, after)
    run = world.live_to_the_end()
    assert set(world.made) - made <= under_way
    assert all(world.jobs.values())
    assert all(state.is_over for state in run.steps.values())
    cut_short = any(
        state.status is StepStatus.CANCELLED or state.reason in ("cancelled", "timeout")
        for state in run.steps.values()
    )
    if cut_short:
        status = Status.CANCELLED if why is RunReason.CANCELLED else Status.FAILED
        assert (run.status, run.reason) == (status, why)
    else:
        assert outcomes_of(run) == expected(workflow, outcomes)


@given(workflows(), MOVES)
def test_a_timeout_that_passed_while_nobody_was_there_ends_the_run_all_the_same(
    drawn: tuple[Workflow, dict[str, str]], moves: list[tuple[str, int]]
) -> None:
    workflow, outcomes = drawn
    world = World(workflow, outcomes)
    play(world, moves)
    if world.settled is not None:
        return
    made = list(world.made)
    world.now = workflow.timeout
    world.crash(0)
    run = world.live_to_the_end()
    assert world.made == made and all(world.jobs.values())
    if outcomes_of(run) != expected(workflow, outcomes):
        assert (run.status, run.reason) == (Status.FAILED, RunReason.TIMEOUT)


@given(workflows(), MOVES)
def test_a_rerun_does_again_what_did_not_complete_and_what_depends_on_that(
    drawn: tuple[Workflow, dict[str, str]], moves: list[tuple[str, int]]
) -> None:
    workflow, outcomes = drawn
    first = World(workflow, outcomes)
    play(first, moves)
    old = first.live_to_the_end()
    second = World(workflow, {step: "completed" for step in outcomes})
    second.disk = completed_steps(second.graph, old)
    second.take_up()
    new = second.live_to_the_end()
    for step in workflow.steps:
        if step.id in second.disk and new.steps[step.id].taken_from:
            assert new.steps[step.id].taken_from == old.id
            assert step.id not in second.made
            assert old.steps[step.id].status is StepStatus.COMPLETED
            assert not any(parent in second.made for parent in step.depends_on)
    assert outcomes_of(new) == expected(workflow, {step: "completed" for step in outcomes})


def chain(*steps: Step, **fields: Any) -> World:
    return World(Workflow(name="w", steps=steps, **fields), {s.id: "completed" for s in steps})


def test_a_step_gets_the_results_of_those_before_it() -> None:
    world = chain(
        Step(id="a", job="x"),
        Step(
            id="b",
            job="x",
            depends_on=("a",),
            input={"rows": {"$from": "steps.a.result.n"}, "how": [{"$from": "steps.a.status"}]},
        ),
    )
    world.carry_out(0)
    world.finish(0)
    starts = [effect for effect in world.todo if isinstance(effect, StartStep)]
    assert starts == [StartStep(step="b", input={"rows": 1, "how": ["completed"]})]


def test_a_step_starts_when_its_own_parents_are_done_whoever_else_is_not() -> None:
    world = chain(
        Step(id="fast", job="x"),
        Step(id="slow", job="x"),
        Step(id="next", job="x", depends_on=("fast",)),
    )
    while world.todo:
        world.carry_out(0)
    world.finish(0)
    assert any(isinstance(each, StartStep) and each.step == "next" for each in world.todo)
    assert world.run.steps["slow"].status is StepStatus.RUNNING


def test_a_result_that_is_missing_fails_the_step_before_it_has_a_job() -> None:
    world = chain(
        Step(id="a", job="x"),
        Step(id="b", job="x", depends_on=("a",), input={"v": {"$from": "steps.a.result.rows[3]"}}),
    )
    run = world.live_to_the_end()
    assert run.steps["b"].reason == StepReason.INPUT and world.made == ["a"]
    assert (
        run.steps["b"].error == "steps.a.result.rows[3] has no value: steps.a.result has no 'rows'"
    )
    assert run.error == f"step 'b' is failed: {run.steps['b'].error}"


def carry_out_all(world: World) -> None:
    while world.todo:
        world.carry_out(0)


def test_a_stop_holds_back_what_waits_for_room() -> None:
    world = chain(Step(id="a", job="x"), Step(id="b", job="x"), max_concurrency=1)
    carry_out_all(world)
    world.stop(RunReason.CANCELLED)
    world.finish(0)
    run = world.live_to_the_end()
    assert world.made == ["a"] and run.steps["a"].status is StepStatus.COMPLETED
    assert (run.steps["b"].status, run.steps["b"].reason) == (StepStatus.SKIPPED, "cancelled")
    assert run.status is Status.CANCELLED


def test_a_job_that_is_made_while_the_run_is_being_stopped_is_ended() -> None:
    world = chain(Step(id="a", job="x"))
    world.stop(RunReason.TIMEOUT)
    carry_out_all(world)
    assert world.jobs == {"a": "cancelled"}
    assert world.live_to_the_end().reason is RunReason.TIMEOUT


def test_a_stop_that_finds_everything_done_is_none() -> None:
    world = chain(Step(id="a", job="x"))
    carry_out_all(world)
    world.stop(RunReason.CANCELLED)
    world.finish(0)
    assert world.live_to_the_end().status is Status.COMPLETED


def test_a_rerun_does_again_what_depended_on_a_failure_that_was_allowed() -> None:
    steps = (
        Step(id="a", job="x", continue_on_error=True),
        Step(id="b", job="x", depends_on=("a",)),
        Step(id="c", job="x"),
    )
    workflow = Workflow(name="w", steps=steps)
    old = World(workflow, {"a": "failed", "b": "completed", "c": "completed"}).live_to_the_end()
    assert outcomes_of(old)["b"] == ("completed", None)
    assert completed_steps(Graph(workflow), old).keys() == {"c"}


@pytest.mark.parametrize("shape", ["wide", "deep"])
def test_a_thousand_steps_that_are_skipped_are_no_trouble(shape: str) -> None:
    steps = [Step(id="s0", job="x", condition="input.gone")]
    for number in range(1, 1000):
        parent = "s0" if shape == "wide" else f"s{number - 1}"
        steps.append(Step(id=f"s{number}", job="x", depends_on=(parent,)))
    run = chain(*steps).live_to_the_end()
    assert sum(state.status is StepStatus.SKIPPED for state in run.steps.values()) == 999
