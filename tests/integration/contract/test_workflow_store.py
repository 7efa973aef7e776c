"""The contract of the WorkflowStore, kept alike by SQLite and by the memory store."""

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from console_automation.adapters.memory import MemoryStore
from console_automation.adapters.sqlite.store import SqliteStore
from console_automation.core.access import Action, Rule
from console_automation.core.definition import Caller
from console_automation.core.job import Phase, Status
from console_automation.core.messages import Message
from console_automation.core.notify import Channel, Notify
from console_automation.core.retry import RetryPolicy
from console_automation.core.workflow import (
    Registration,
    Step,
    Trigger,
    TriggerKind,
    Workflow,
    completion_key,
)
from console_automation.core.workflow_run import (
    RunReason,
    RunSpec,
    StepState,
    StepStatus,
    WorkflowRun,
    summary,
)
from console_automation.errors import Unavailable
from console_automation.ports.stores import WorkflowStore
from tests.builders import exit_of, job, spec

CALLER = Caller(client="test", principal="local", environment={"A": "ä"}, cwd="/p")
WHOLE = Workflow(
    name="w",
    description="all that there is",
    input_schema={"type": "object"},
    max_concurrency=3,
    timeout=12.5,
    steps=(
        Step(id="a", job="x"),
        Step(
            id="b",
            job="y",
            depends_on=("a",),
            input={"n": [{"$from": "steps.a.result"}]},
            condition="input.ok",
            continue_on_error=True,
            timeout=3.0,
            retry=RetryPolicy(max_attempts=4, on=frozenset({"signal"})),
        ),
    ),
    triggers=(
        Trigger(kind=TriggerKind.WEBHOOK, path="in"),
        Trigger(kind=TriggerKind.COMPLETION, definition="d", statuses=("failed", "completed")),
    ),
    notify=(Notify(channel=Channel.EMAIL, target="me@example.org", on=frozenset({"failed"})),),
    permissions=(Rule(action=Action.EXECUTE, roles=("r",), scopes=("s",), guard="f.py:g"),),
)
DONE = StepState(
    status=StepStatus.COMPLETED,
    job_id="job-1",
    attempts=2,
    started_at=1.0,
    ended_at=2.0,
    has_result=True,
    result={"deep": [None, "ü"]},
)
FAILED = StepState(status=StepStatus.FAILED, reason="exit_code", error="exit code 3", ended_at=2.0)


@pytest.fixture(params=["sqlite", "memory"])
async def store(request: pytest.FixtureRequest, home: Path) -> AsyncIterator[Any]:
    opened: Any = MemoryStore() if request.param == "memory" else SqliteStore(home)
    await opened.open()
    yield opened
    await opened.close()


@pytest.fixture
def workflows(store: Any) -> WorkflowStore:
    found: WorkflowStore = store.workflows
    return found


def registration(name: str = "w", project: str = "/p", **fields: Any) -> Registration:
    defaults: dict[str, Any] = {"caller": CALLER, "registered_at": 5.0}
    workflow = replace(WHOLE, name=name)
    return Registration(workflow=workflow, project=project, **{**defaults, **fields})


def run(number: int = 1, **fields: Any) -> WorkflowRun:
    asked: dict[str, Any] = {
        "workflow": WHOLE,
        "project": "/p",
        "caller": CALLER,
        "input": {"ok": True},
        "created_at": float(number),
    }
    state = {key: fields.pop(key) for key in list(fields) if key in WorkflowRun.__slots__}
    return WorkflowRun(id=f"workflow-{number:04}", spec=RunSpec(**{**asked, **fields}), **state)


def over(run: WorkflowRun, at: float = 9.0) -> WorkflowRun:
    return replace(
        run, status=Status.FAILED, reason=RunReason.STEP, error="step 'b' is failed", ended_at=at
    )


async def test_a_workflow_is_kept_whole_and_replaced_by_name_and_project(
    workflows: WorkflowStore,
) -> None:
    first = registration(secrets={"in": "a secret of some length"})
    await workflows.save(first)
    await workflows.save(registration("w", "/other"))
    await workflows.save(registration("v"))
    found = await workflows.all()
    assert [(each.project, each.workflow.name) for each in found] == [
        ("/other", "w"),
        ("/p", "v"),
        ("/p", "w"),
    ]
    assert found[2] == first
    await workflows.save(registration(registered_at=6.0))
    assert (await workflows.all())[2] == registration(registered_at=6.0)
    await workflows.delete("/p", "w", "local")
    await workflows.delete("/p", "no such workflow", "local")
    assert len(await workflows.all()) == 2


async def test_a_run_is_kept_whole_with_the_steps_that_are_over(workflows: WorkflowStore) -> None:
    born = run(rerun_of="workflow-0000", key="k", trigger="job-7")
    await workflows.add_run(born)
    assert await workflows.run(born.id) == born == await workflows.run_by_key("k")
    await workflows.save_step(born.id, "a", DONE)
    await workflows.save_step(born.id, "b", FAILED)
    await workflows.save_run(replace(born, stop=RunReason.CANCELLED))
    stopped = replace(born, stop=RunReason.CANCELLED, steps={"a": DONE, "b": FAILED})
    assert await workflows.run(born.id) == stopped
    assert await workflows.unfinished() == [stopped]
    await workflows.save_run(over(stopped))
    assert await workflows.run(born.id) == over(stopped)
    assert await workflows.unfinished() == []
    assert await workflows.run("workflow-none") is None is await workflows.run_by_key("none")


async def test_a_run_takes_over_steps_from_its_first_moment(workflows: WorkflowStore) -> None:
    taken = {"a": replace(DONE, taken_from="workflow-0000")}
    await workflows.add_run(run(steps=taken))
    assert await workflows.unfinished() == [run(steps=taken)]


async def test_what_is_over_is_final(workflows: WorkflowStore) -> None:
    await workflows.add_run(run())
    await workflows.save_step(run().id, "a", DONE)
    await workflows.save_step(run().id, "a", FAILED)
    await workflows.save_run(over(run()))
    await workflows.save_run(replace(run(), status=Status.COMPLETED, ended_at=10.0))
    found = await workflows.run(run().id)
    assert found == replace(over(run()), steps={"a": DONE})


async def test_an_end_and_what_is_told_of_it_are_written_together(store: Any) -> None:
    await store.workflows.add_run(run())
    message = Message(
        id="notification-workflow-1.1",
        channel=Channel.COMMAND,
        target="true",
        subject="s",
        body="{}",
        due_at=1.0,
    )
    await store.workflows.save_run(over(run()), [message])
    await store.workflows.save_run(over(run()), [message])
    assert [each.id for each in await store.outbox.due(at=9.0, each=9, limit=9)] == [message.id]


async def test_two_runs_cannot_have_one_key(workflows: WorkflowStore) -> None:
    await workflows.add_run(run(1, key="k"))
    with pytest.raises(Unavailable):
        await workflows.add_run(run(2, key="k"))
    assert [each.id for each in await workflows.unfinished()] == ["workflow-0001"]


async def test_runs_are_listed_newest_first_by_project_and_name(workflows: WorkflowStore) -> None:
    other = replace(WHOLE, name="v")
    born = [run(1), run(2, workflow=other), run(3, project="/q")]
    for each in born:
        await workflows.add_run(each)

    async def listed(**wanted: Any) -> list[Any]:
        asked = {"project": None, "name": None, "limit": 9, **wanted}
        return list(await workflows.latest(**asked))

    assert await listed() == [summary(each) for each in reversed(born)]
    assert await listed(project="/p", name="w") == [summary(born[0])]
    assert await listed(limit=1) == [summary(born[2])]


async def test_owners_have_workflows_of_the_same_name_and_runs_of_their_own(
    workflows: WorkflowStore,
) -> None:
    theirs = registration(caller=replace(CALLER, principal="ci"))
    for each in (registration(), theirs):
        await workflows.save(each)
    assert await workflows.all() == [theirs, registration()]
    await workflows.delete("/p", "w", "local")
    assert await workflows.all() == [theirs]
    for number, caller in ((1, CALLER), (2, theirs.caller)):
        key = completion_key(replace(theirs, caller=caller), "job-1")
        await workflows.add_run(run(number, caller=caller, key=key))
    found = await workflows.latest(project=None, name=None, limit=9, owner="ci")
    assert [each.id for each in found] == ["workflow-0002"]
    assert len(await workflows.latest(project=None, name=None, limit=9)) == 2


async def test_ends_of_jobs_that_have_started_nothing_are_found(
    store: Any, workflows: WorkflowStore
) -> None:
    for number, fields, at in (
        (1, {"name": "build", "owner": "ci"}, 7.0),
        (2, {"name": "build"}, 6.0),
        (3, {"name": "build"}, 4.0),
        (4, {"name": "build", "project": "/q"}, 7.0),
        (5, {"tags": {"definition": "d"}}, 7.0),
        (6, {"name": "other"}, 7.0),
    ):
        ended = job(
            f"job-{number}",
            Phase.COMPLETED,
            spec=spec(**{"project": "/p", **fields}),
            completed_at=at,
            exit=exit_of(0),
        )
        await store.insert(ended, [])
    await store.insert(job("job-7", spec=spec(project="/p", name="build")), [])

    async def found(owner: str = "local", **fields: Any) -> list[str]:
        kept = registration(caller=replace(CALLER, principal=owner))
        trigger = Trigger(kind=TriggerKind.COMPLETION, **fields)
        return [each.id for each in await workflows.unanswered(trigger, kept, limit=9)]

    assert await found(job_name="build") == ["job-2", "job-1"]
    assert await found(definition="d") == ["job-5"]
    assert await found("ci", job_name="build") == ["job-1"]
    assert await found(job_name="build", statuses=("failed",)) == []
    await workflows.add_run(run(trigger="job-1", key=completion_key(registration(), "job-1")))
    assert await found(job_name="build") == ["job-2"]


async def test_old_runs_are_forgotten_unless_their_cause_is_kept(
    store: Any, workflows: WorkflowStore
) -> None:
    await store.insert(job("job-1", Phase.COMPLETED, completed_at=1.0, exit=exit_of(0)), [])
    for number, cause in ((1, "manual"), (2, "job-1"), (3, "manual"), (4, "manual")):
        await workflows.add_run(run(number, trigger=cause))
        await workflows.save_step(run(number).id, "a", DONE)
    for number, at in ((1, 9.0), (2, 9.0), (3, 11.0)):
        await workflows.save_run(over(run(number), at=at))
    await workflows.prune(ended_before=10.0)
    kept = await workflows.latest(project=None, name=None, limit=9)
    assert [each.id for each in kept] == ["workflow-0004", "workflow-0003", "workflow-0002"]
    await store.delete(["job-1"])
    await workflows.prune(ended_before=10.0)
    assert await workflows.run(run(2).id) is None
    found = await workflows.run(run(3).id)
    assert found is not None and found.steps == {"a": DONE}
