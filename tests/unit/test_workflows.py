"""Workflows over fakes that keep the ports' contracts: no process, no disk, a clock that can be set."""

import asyncio
import hashlib
import hmac
import itertools
import json
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any

import pytest

from console_automation.adapters.memory import MemoryStore, failing
from console_automation.adapters.memory_host import MemoryHost
from console_automation.config import Settings
from console_automation.core.access import LOCAL, Principal
from console_automation.core.definition import Caller, JobDefinition
from console_automation.core.job import Job, Status
from console_automation.core.retry import RetryPolicy
from console_automation.core.workflow import Registration, Step, Trigger, TriggerKind, Workflow
from console_automation.core.workflow_run import RunReason, StepStatus, WorkflowRun
from console_automation.engine.admission import Admission
from console_automation.engine.carrying import Carrying
from console_automation.engine.definitions import Definitions
from console_automation.engine.jobs import JobManager
from console_automation.engine.workflows import Workflows
from console_automation.errors import (
    BadRequest,
    Conflict,
    LimitReached,
    StoreFull,
    WorkflowNotFound,
)
from console_automation.ports.stores import JobFilter
from tests.builders import script, spec
from tests.conftest import CalmGauge
from tests.waiting import PATIENCE, until

CALLER = Caller(client="test", principal="local", environment={"PATH": "/usr/bin:/bin"}, cwd="/")
SECRET = "a secret of some length"


class Everybody:
    """Principals who may do anything, and guards that have no objection."""

    def named(self, name: str) -> Principal | None:
        return LOCAL

    async def agrees(self, guard: str, question: Mapping[str, Any]) -> bool:
        return True


class SetClock:
    """A clock that stands still until it is set."""

    boot_id = "this-boot"

    def __init__(self) -> None:
        self.at = 2.0

    def now(self) -> float:
        return self.at


class Bench:
    """Workflows and all that is below them; `restart` is a daemon that is killed and comes back."""

    def __init__(self, **knobs: Any) -> None:
        self.settings = Settings(**knobs)
        self.store = MemoryStore()
        self.host = MemoryHost()
        self.clock = SetClock()
        self._numbers = itertools.count(1)

    async def open(self) -> None:
        self.jobs = JobManager(
            settings=self.settings,
            store=self.store,
            host=self.host,
            clock=self.clock,
            admission=Admission(self.settings, CalmGauge()),
            new_id=self._id("job"),
        )
        self.definitions = Definitions(
            settings=self.settings,
            store=self.store,
            clock=self.clock,
            read_project=lambda project: {},
            principals=Everybody(),
            guards=Everybody(),
            carrying=Carrying("/nowhere", is_gateway=False),
        )
        self.workflows = Workflows(
            jobs=self.jobs,
            definitions=self.definitions,
            store=self.store.workflows,
            new_id=self._id("workflow"),
        )
        await self.store.open()
        await self.definitions.open()
        await self.jobs.open()
        await self.workflows.open()

    def _id(self, kind: str) -> Callable[[], str]:
        return lambda: f"{kind}-{next(self._numbers):04}"

    async def close(self) -> None:
        await self.workflows.close()
        await self.jobs.close()

    async def restart(self) -> None:
        await self.close()
        await self.open()

    async def define(self, name: str, command: str = "", **fields: Any) -> None:
        """Have a job definition; what it runs is its name unless told."""
        await self.definitions.register(
            JobDefinition(name=name, command=command or name.replace("-", " "), **fields), LOCAL
        )

    async def keep(self, *steps: Step, **fields: Any) -> Registration:
        secrets = {t.path: SECRET for t in fields.get("triggers", ()) if t.path}
        kept, _ = await self.workflows.registry.register(
            Workflow(**{"name": "w", "steps": steps, **fields}), secrets, CALLER
        )
        return kept

    async def begin(self, *steps: Step, given: Any = None, **fields: Any) -> WorkflowRun:
        kept = await self.keep(*steps, **fields)
        return await self.workflows.execute(kept, given or {}, CALLER)

    async def over(self, run: WorkflowRun) -> WorkflowRun:
        ended = await self.workflows.runs.wait(run.id, timeout=PATIENCE)
        assert ended.is_over, ended
        return ended

    async def job_of(self, run: WorkflowRun, step: str) -> Job:
        """Return a step's job once it runs."""

        async def found() -> Job | None:
            key = f"workflow:{run.id}:{step}"
            job = await self.store.find_by_key(key)
            return job if job and job.run_id in self.host.begun else None

        job = await until(found, f"the job of {step}")
        assert job is not None
        return job

    async def finish(self, run: WorkflowRun, step: str, code: int = 0) -> None:
        job = await self.job_of(run, step)
        assert job.run_id is not None
        self.host.finish(job.run_id, code=code)

    async def all_jobs(self) -> list[Job]:
        return (await self.store.page(JobFilter(), before=None, limit=1000))[0]


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    opened = Bench(max_workflow_runs=2, max_workflow_steps=50)
    await opened.open()
    for name in ("exit-0", "exit-3", "sleep"):
        await opened.define(name)
    yield opened
    await opened.close()


def step(step_id: str, job: str, *parents: str, **fields: Any) -> Step:
    return Step(id=step_id, job=job, depends_on=parents, **fields)


def statuses(run: WorkflowRun) -> dict[str, str]:
    return {step_id: state.status.value for step_id, state in run.steps.items()}


# -- running ---------------------------------------------------------------------------------------


async def test_steps_are_ordinary_jobs_in_their_order(bench: Bench) -> None:
    run = await bench.over(
        await bench.begin(step("b", "exit-0", "a"), step("a", "exit-0"), step("c", "exit-0", "b"))
    )
    assert (run.status, run.reason) == (Status.COMPLETED, None)
    jobs = (await bench.all_jobs())[::-1]
    assert [job.spec.tags["step"] for job in jobs] == ["a", "b", "c"]
    for job in jobs:
        assert job.spec.idempotency_key == f"workflow:{run.id}:{job.spec.tags['step']}"
        assert (job.spec.tags["workflow"], job.spec.tags["run"]) == ("w", run.id)
        assert run.steps[job.spec.tags["step"]].job_id == job.id


async def test_a_failure_skips_what_depends_on_it_and_nothing_else(bench: Bench) -> None:
    run = await bench.over(
        await bench.begin(
            step("bad", "exit-3"), step("below", "exit-0", "bad"), step("beside", "exit-0")
        )
    )
    assert statuses(run) == {"bad": "failed", "below": "skipped", "beside": "completed"}
    assert (run.status, run.reason) == (Status.FAILED, RunReason.STEP)
    assert run.error == "step 'bad' is failed: exit code 3"
    assert (run.steps["bad"].reason, run.steps["bad"].attempts) == ("exit_code", 1)


async def test_a_failure_that_is_allowed_lets_its_dependents_run(bench: Bench) -> None:
    run = await bench.over(
        await bench.begin(
            step("bad", "exit-3", continue_on_error=True),
            step("below", "exit-0", "bad", condition="steps.bad.status == 'failed'"),
        )
    )
    assert statuses(run) == {"bad": "failed", "below": "completed"}
    assert run.status is Status.COMPLETED


async def test_timeout_and_retry_of_a_step_stand_in_for_those_of_the_definition(
    bench: Bench,
) -> None:
    retry = RetryPolicy(max_attempts=2, backoff=0.001)
    run = await bench.over(await bench.begin(step("bad", "exit-3", retry=retry, timeout=7.0)))
    assert run.steps["bad"].attempts == 2
    [job] = await bench.all_jobs()
    assert (job.spec.retry, job.spec.command.timeout) == (retry, 7.0)


async def test_no_more_steps_than_may_go_on_at_once(bench: Bench) -> None:
    run = await bench.begin(*(step(f"s{n}", "sleep") for n in range(4)), max_concurrency=2)
    for number in range(4):
        await bench.job_of(run, f"s{number}")
        assert sum(job.is_live for job in await bench.all_jobs()) <= 2
        await bench.finish(run, f"s{number}")
    assert (await bench.over(run)).status is Status.COMPLETED


async def test_input_that_the_definition_does_not_take_fails_the_step_without_a_job(
    bench: Bench,
) -> None:
    schema = {"properties": {"n": {"type": "integer"}}, "required": ["n"]}
    await bench.define("typed", "exit 0", input_schema=schema)
    run = await bench.over(
        await bench.begin(
            step("bad", "typed", input={"n": {"$from": "input.n"}}), given={"n": "three"}
        )
    )
    assert run.steps["bad"].reason == "refused" and not await bench.all_jobs()
    assert "input.n" in (run.steps["bad"].error or "")


async def test_the_input_of_a_run_is_held_against_its_schema(bench: Bench) -> None:
    kept = await bench.keep(step("a", "exit-0"), input_schema={"required": ["day"]})
    with pytest.raises(BadRequest, match="day"):
        await bench.workflows.execute(kept, {}, CALLER)
    assert not await bench.all_jobs()


async def test_a_definition_that_is_gone_is_noticed_before_anything_runs(bench: Bench) -> None:
    kept = await bench.keep(step("a", "exit-0"), step("b", "exit-3"))
    await bench.definitions.remove("exit-3", LOCAL)
    with pytest.raises(BadRequest) as raised:
        await bench.workflows.execute(kept, {}, CALLER)
    assert raised.value.details["field"] == "steps.1.job"
    assert raised.value.message.startswith("step 'b', job: There is no job definition 'exit-3'")
    assert not await bench.all_jobs()


async def test_a_store_that_is_full_for_a_while_delays_a_step_and_loses_nothing(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("console_automation.engine.workflow_runs._PAUSE_SECONDS", 0.001)
    refused = itertools.count()
    insert = bench.store.insert

    def sometimes(*args: Any) -> Any:
        return failing(StoreFull()) if next(refused) < 3 else insert(*args)

    monkeypatch.setattr(bench.store, "insert", sometimes)
    run = await bench.over(await bench.begin(step("a", "exit-0")))
    assert run.status is Status.COMPLETED and next(refused) >= 4


async def test_no_more_runs_than_may_go_on(bench: Bench) -> None:
    kept = await bench.keep(step("a", "sleep"))
    for _ in range(2):
        await bench.workflows.execute(kept, {}, CALLER)
    with pytest.raises(LimitReached, match="max_workflow_runs"):
        await bench.workflows.execute(kept, {}, CALLER)


# -- ending ----------------------------------------------------------------------------------------


async def test_a_cancelled_run_ends_its_live_steps_and_starts_nothing_more(bench: Bench) -> None:
    run = await bench.begin(step("a", "sleep"), step("b", "exit-0", "a"))
    await bench.job_of(run, "a")
    assert await bench.workflows.cancel(run.id)
    run = await bench.over(run)
    assert statuses(run) == {"a": "cancelled", "b": "skipped"}
    assert (run.status, run.reason) == (Status.CANCELLED, RunReason.CANCELLED)
    assert not await bench.workflows.cancel(run.id)
    [job] = await bench.all_jobs()
    assert job.status is Status.CANCELLED


async def test_a_run_whose_time_is_up_ends_its_steps(bench: Bench) -> None:
    run = await bench.over(await bench.begin(step("a", "sleep"), timeout=0.01))
    assert (run.status, run.reason) == (Status.FAILED, RunReason.TIMEOUT)
    [job] = await bench.all_jobs()
    assert job.status is Status.CANCELLED


async def test_a_timeout_that_passed_while_the_daemon_was_down_ends_the_steps(
    bench: Bench,
) -> None:
    run = await bench.begin(step("a", "sleep"), step("b", "exit-0", "a"), timeout=60.0)
    await bench.job_of(run, "a")
    bench.clock.at += 61.0
    await bench.restart()
    run = await bench.over(run)
    assert statuses(run) == {"a": "cancelled", "b": "skipped"}
    assert (run.status, run.reason) == (Status.FAILED, RunReason.TIMEOUT)


async def test_a_run_that_was_done_in_time_is_complete_whenever_that_is_noticed(
    bench: Bench,
) -> None:
    run = await bench.begin(step("a", "sleep"), timeout=60.0)
    await bench.finish(run, "a")
    await bench.close()
    bench.clock.at += 61.0
    await bench.open()
    assert (await bench.over(run)).status is Status.COMPLETED


# -- crashes ---------------------------------------------------------------------------------------


async def test_a_restart_goes_on_where_the_run_was(bench: Bench) -> None:
    run = await bench.begin(step("a", "exit-0"), step("b", "sleep", "a"), step("c", "exit-0", "b"))
    before = await bench.job_of(run, "b")
    await bench.restart()
    assert (await bench.workflows.runs.get(run.id)).steps["b"].job_id == before.id
    await bench.finish(run, "b")
    run = await bench.over(run)
    assert statuses(run) == {"a": "completed", "b": "completed", "c": "completed"}
    assert len(await bench.all_jobs()) == 3


async def test_a_step_whose_end_was_not_recorded_is_found_by_its_key(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = await bench.begin(step("a", "sleep"), step("b", "exit-0", "a"))
    await bench.job_of(run, "a")
    await bench.workflows.close()  # from here on nobody hears of ends
    await bench.finish(run, "a")
    await until(lambda: not bench.jobs.dispatcher.queue.live, "the end of a")
    await bench.restart()
    run = await bench.over(run)
    assert statuses(run) == {"a": "completed", "b": "completed"}
    assert len(await bench.all_jobs()) == 2


async def test_a_run_that_was_being_cancelled_is_cancelled_by_the_next_daemon(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = await bench.begin(step("a", "sleep"), step("b", "exit-0", "a"))
    await bench.job_of(run, "a")
    monkeypatch.setattr(bench.workflows.runs, "_tell", lambda *args: None)  # it dies right here
    await bench.workflows.cancel(run.id)
    await bench.restart()
    run = await bench.over(run)
    assert (run.status, statuses(run)) == (
        Status.CANCELLED,
        {"a": "cancelled", "b": "skipped"},
    )


async def test_a_run_goes_on_with_the_workflow_that_it_began_with(bench: Bench) -> None:
    run = await bench.begin(step("a", "sleep"), step("old", "exit-0", "a"))
    await bench.keep(step("new", "exit-3"))
    await bench.restart()
    await bench.finish(run, "a")
    assert statuses(await bench.over(run)) == {"a": "completed", "old": "completed"}


# -- again -----------------------------------------------------------------------------------------


async def test_a_rerun_takes_over_what_completed_and_is_linked(bench: Bench) -> None:
    old = await bench.over(
        await bench.begin(step("a", "exit-0"), step("b", "exit-3", "a"), step("c", "exit-0", "b"))
    )
    await bench.define("exit-3", "exit 0")  # it was repaired
    new = await bench.over(await bench.workflows.rerun(old.id, CALLER))
    assert (new.status, new.spec.rerun_of) == (Status.COMPLETED, old.id)
    assert new.steps["a"].taken_from == old.id and new.steps["b"].taken_from is None
    assert new.steps["a"].job_id == old.steps["a"].job_id
    assert len(await bench.all_jobs()) == 4


async def test_there_is_no_rerun_of_what_goes_on_or_has_completed(bench: Bench) -> None:
    run = await bench.begin(step("a", "sleep"))
    with pytest.raises(Conflict, match="cancel it, or wait"):
        await bench.workflows.rerun(run.id, CALLER)
    await bench.finish(run, "a")
    await bench.over(run)
    with pytest.raises(Conflict, match="nothing to do again"):
        await bench.workflows.rerun(run.id, CALLER)


async def test_one_key_is_one_run_however_often_it_is_asked_for(bench: Bench) -> None:
    kept = await bench.keep(step("a", "sleep"))
    asked = [bench.workflows.execute(kept, {"n": 1}, CALLER, key="k") for _ in range(5)]
    runs = await asyncio.gather(*asked)
    assert len({run.id for run in runs}) == 1
    with pytest.raises(Conflict, match="another workflow or input"):
        await bench.workflows.execute(kept, {"n": 2}, CALLER, key="k")


# -- the registry ----------------------------------------------------------------------------------


async def test_a_name_means_the_own_project_s_workflow_else_the_only_one(bench: Bench) -> None:
    here = await bench.keep(step("a", "exit-0"))
    assert bench.workflows.registry.find("w", "/", LOCAL) is here
    assert bench.workflows.registry.find("w", "/elsewhere", LOCAL) is here
    with pytest.raises(WorkflowNotFound, match="Did you mean 'w'"):
        bench.workflows.registry.find("ww", "/", LOCAL)
    await bench.restart()
    assert bench.workflows.registry.find("w", "/", LOCAL) == here
    await bench.workflows.registry.remove("w", "/", LOCAL)
    with pytest.raises(WorkflowNotFound):
        bench.workflows.registry.find("w", "/", LOCAL)


async def test_a_workflow_of_too_many_steps_or_with_unknown_jobs_is_refused(bench: Bench) -> None:
    with pytest.raises(BadRequest, match="51 are more than the 50"):
        await bench.keep(*(step(f"s{n}", "exit-0") for n in range(51)))
    with pytest.raises(BadRequest, match="step 'a', job: There is no job definition 'none'"):
        await bench.keep(step("a", "none"))
    with pytest.raises(BadRequest, match="inputSchema"):
        await bench.keep(step("a", "exit-0"), input_schema={"type": "no type"})
    assert not bench.workflows.registry.visible(LOCAL)


# -- triggers --------------------------------------------------------------------------------------

HOOK = Trigger(kind=TriggerKind.WEBHOOK, path="in")


def signed(body: bytes, secret: str = SECRET) -> str:
    return "sha256=" + hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()


async def test_a_signed_request_starts_a_run_with_its_body(bench: Bench) -> None:
    await bench.keep(step("a", "exit-0", condition="input.go"), triggers=(HOOK,))
    body = json.dumps({"go": True}).encode()
    run = await bench.over(await bench.workflows.webhook("in", body, signed(body)))
    assert (run.spec.trigger, run.spec.input) == ("webhook", {"go": True})
    assert run.steps["a"].status is StepStatus.COMPLETED


@pytest.mark.parametrize(
    "body", [b'{"go": NaN}', b'{"go": -1e999}', b'{"go": "\\ud800"}', b"[]", b"{"]
)
async def test_a_signed_body_that_is_no_json_object_starts_nothing(
    bench: Bench, body: bytes
) -> None:
    await bench.keep(step("a", "exit-0"), triggers=(HOOK,))
    with pytest.raises(BadRequest, match="no JSON"):
        await bench.workflows.webhook("in", body, signed(body))
    assert not await bench.all_jobs()


async def test_a_wrong_signature_and_an_unknown_path_are_told_apart_by_nobody(
    bench: Bench,
) -> None:
    await bench.keep(step("a", "exit-0"), triggers=(HOOK,))
    said = set()
    for path, body, signature in (
        ("in", b"{}", signed(b"{} ")),
        ("in", b"{}", signed(b"{}", "another secret altogether")),
        ("in", b"{}", signed(b"{}").removeprefix("sha256=")),
        ("in", b"{}", ""),
        ("in", b"{}", "sha256=ä"),
        ("none", b"{}", signed(b"{}", "")),
    ):
        with pytest.raises(WorkflowNotFound) as raised:
            await bench.workflows.webhook(path, body, signature)
        said.add((raised.value.message, str(raised.value.details)))
    assert len(said) == 1 and not await bench.all_jobs()


async def test_the_path_of_a_webhook_belongs_to_one_workflow(bench: Bench) -> None:
    await bench.keep(step("a", "exit-0"), triggers=(HOOK,))
    with pytest.raises(Conflict, match="the webhook 'in' is that of workflow 'w'"):
        await bench.keep(step("a", "exit-0"), triggers=(HOOK,), name="v")
    await bench.keep(step("b", "exit-0"), triggers=(HOOK,))


def after(**fields: Any) -> Trigger:
    return Trigger(kind=TriggerKind.COMPLETION, **fields)


async def runs_of(bench: Bench) -> list[WorkflowRun]:
    found = await bench.workflows.latest(project=None, name=None, limit=99, principal=LOCAL)
    return [await bench.workflows.runs.get(each.id) for each in found]


async def test_the_end_of_a_job_starts_a_run_that_knows_of_it(bench: Bench) -> None:
    await bench.keep(
        step("a", "exit-0"), triggers=(after(definition="exit-3", statuses=("failed",)),)
    )
    await bench.jobs.submit(await bench.definitions.job_spec("exit-0", {}, CALLER))
    job = await bench.jobs.submit(await bench.definitions.job_spec("exit-3", {}, CALLER))
    [run] = await until(lambda: runs_of(bench), "the run")
    assert (run.spec.trigger, run.spec.input["job"]["status"]) == (job.id, "failed")
    assert run.spec.input["job"]["id"] == job.id
    await bench.over(run)


async def test_an_end_that_was_committed_right_before_a_crash_starts_its_run_once(
    bench: Bench,
) -> None:
    await bench.keep(step("a", "exit-0"), triggers=(after(job_name="build"),))
    await bench.workflows.close()  # the daemon dies before it has looked at the end
    job = await bench.jobs.submit(spec(script("exit 0"), name="build", project="/"))
    await bench.jobs.wait([job.id], timeout=PATIENCE)
    await bench.restart()
    await bench.over((await until(lambda: runs_of(bench), "the run"))[0])
    await bench.restart()
    await bench.restart()
    assert [run.spec.trigger for run in await runs_of(bench)] == [job.id]


async def test_an_end_that_finds_no_room_for_its_run_starts_it_later(
    bench: Bench,
) -> None:
    live = [await bench.begin(step("a", "sleep")) for _ in range(2)]
    await bench.keep(step("b", "exit-0"), name="late", triggers=(after(job_name="build"),))
    job = await bench.jobs.submit(spec(script("exit 0"), name="build", project="/"))
    await bench.jobs.wait([job.id], timeout=PATIENCE)
    for run in live:
        await bench.workflows.cancel(run.id)

    async def answered() -> bool:
        return job.id in [run.spec.trigger for run in await runs_of(bench)]

    await until(answered, "the run")


async def test_a_workflow_that_was_removed_before_there_was_room_is_not_started(
    bench: Bench,
) -> None:
    live = [await bench.begin(step("a", "sleep")) for _ in range(2)]
    for name in ("gone", "stays"):
        await bench.keep(step("b", "exit-0"), name=name, triggers=(after(job_name="build"),))
    job = await bench.jobs.submit(spec(script("exit 0"), name="build", project="/"))
    await bench.jobs.wait([job.id], timeout=PATIENCE)
    await bench.workflows.registry.remove("gone", "/", LOCAL)
    for run in live:
        await bench.workflows.cancel(run.id)

    async def answered() -> bool:
        return any(run.spec.trigger == job.id for run in await runs_of(bench))

    await until(answered, "the run")
    begun = [r.spec.workflow.name for r in await runs_of(bench) if r.spec.trigger == job.id]
    assert begun == ["stays"]


async def test_the_end_of_a_step_starts_nothing_so_that_nothing_goes_in_circles(
    bench: Bench,
) -> None:
    kept = await bench.keep(step("a", "exit-0"), triggers=(after(definition="exit-0"),))
    await bench.over(await bench.workflows.execute(kept, {}, CALLER))
    await bench.restart()
    assert len(await runs_of(bench)) == 1
