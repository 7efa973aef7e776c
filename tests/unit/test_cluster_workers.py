"""Workers in a cluster in memory: whatever dies, comes twice, comes late or is made up, each epoch of a
job is run by one worker, once, and its end is told once."""

import json
from dataclasses import replace
from typing import Any

import pytest

from console_automation.adapters.memory_bus import Waiting
from console_automation.core.cluster_codec import job_to_bytes
from console_automation.core.cluster_job import ClusterJob, ClusterPhase, Late
from console_automation.core.cluster_names import queue_of
from console_automation.core.codec import definition_to_plain
from console_automation.core.definition import JobDefinition
from console_automation.core.job import Channel, OutputCounts, Reason, Status
from console_automation.core.question import Question, question_to_bytes
from console_automation.core.retry import RetryPolicy
from console_automation.core.seal import Forged, seal
from console_automation.errors import BadRequest, JobNotFound, LimitReached, Unavailable
from tests.unit.clustering import (
    KEY,
    LEASE,
    LOST,
    GatewayMachine,
    LoopClock,
    WorkerMachine,
    World,
    pass_by,
    story,
    until,
)

COPY = 15.0  #: seconds between two copies of what a run has told, as users have it
ELSEWHERE = RetryPolicy(max_attempts=2, backoff=1.0, on=frozenset({"lost", "exit_code"}))


async def pair(world: World, **knobs: Any) -> tuple[GatewayMachine, WorkerMachine]:
    gateway, worker = await world.gateway(**knobs), await world.worker("web", **knobs)
    await world.known(gateway, "web")
    return gateway, worker


TYPED = {
    "command": "sleep",
    "definition": definition_to_plain(JobDefinition(name="slow", command="sleep")),
    "input": {},
}


async def told(gateway: GatewayMachine, job: ClusterJob) -> bool:
    """Whether the record has a copy of what the run of a job has told."""
    return (await gateway.get(job)).copy is not None


async def fall_back(gateway: GatewayMachine, job: ClusterJob, phase: str) -> ClusterJob:
    """Return a job once it is in a phase."""

    async def there() -> ClusterJob | None:
        found = await gateway.get(job)
        return found if found.phase == phase else None

    found = await until(there, f"{job.id} to be {phase}")
    assert found is not None
    return found


# -- a worker that dies ------------------------------------------------------------------------


@pytest.mark.parametrize(
    "point",
    [
        "before update claimed",
        "after update claimed",
        "before update completed",
        "after update completed",
    ],
)
@story
async def test_a_worker_that_dies_at_a_write_runs_the_job_once_and_tells_its_end(
    world: World, point: str
) -> None:
    gateway, worker = await pair(world)
    worker.fuse.arm(point)
    job = await gateway.submit("exit 0")
    await worker.fuse.died.wait()
    next_one = await worker.restart()
    over = await gateway.over(job)
    assert (over.phase, over.epoch, over.refusals) == (ClusterPhase.COMPLETED, 1, ())
    assert len(next_one.runs.begun) == 1 and len(await next_one.jobs()) == 1


@story
async def test_a_job_that_was_given_back_and_whose_worker_died_over_that_is_given_back_once(
    world: World,
) -> None:
    gateway, worker = await pair(world, cluster_max_deliveries=1)
    worker.fuse.arm("before update failed")
    request = {"command": "true", "options": {"workingDirectory": "/nowhere/at/all"}}
    job = await gateway.submit("", request=request)
    await worker.fuse.died.wait()
    await worker.restart()
    over = await gateway.over(job)
    assert (over.reason, len(over.refusals), over.epoch) == (Reason.UNDELIVERED, 1, 1)


@story
async def test_a_run_goes_on_without_its_worker_and_the_next_one_tells_its_end(
    world: World,
) -> None:
    gateway, worker = await pair(world)
    job = await gateway.submit("sleep")
    await gateway.claimed(job)
    await until(lambda: worker.runs.begun, "the run")
    await worker.close()
    worker.finish()
    await worker.restart()
    over = await gateway.over(job)
    assert (over.phase, over.epoch) == (ClusterPhase.COMPLETED, 1)
    assert len(worker.runs.begun) == 1


@story
async def test_a_worker_that_comes_back_under_another_name_still_has_its_jobs(world: World) -> None:
    gateway, worker = await pair(world)
    job = await gateway.submit("sleep")
    await gateway.claimed(job)
    await until(lambda: worker.runs.begun, "the run")
    await worker.close()
    worker.me = replace(worker.me, host="renamed")
    await world.worker("renamed", before=worker)
    await pass_by(2 * LOST)
    claimed = await gateway.get(job)
    assert claimed.phase is ClusterPhase.CLAIMED, "it is not lost"
    assert (await gateway.gateway.ask(claimed, "console_get_job_status", {}))["success"]
    assert await gateway.cancel(job)
    assert (await gateway.over(job)).phase is ClusterPhase.CANCELLED


@story
async def test_what_a_run_has_told_is_in_the_record_and_written_when_there_is_news(
    world: World,
) -> None:
    gateway, worker = await pair(world)
    job = await gateway.submit("sleep", request=TYPED)
    [run_id] = await until(lambda: worker.runs.begun, "the run")
    claimed = await gateway.gateway.book.look(job.id)
    await pass_by(10 * COPY)
    assert await gateway.gateway.book.look(job.id) == claimed, "there is nothing to tell"
    for done in (1, 2):
        said = json.dumps({"progress": done, "total": 3}).encode() + b"\n"
        written = worker.runs.reports.get((run_id, Channel.PROGRESS), b"")
        worker.runs.reports[run_id, Channel.PROGRESS] = written + said
        await pass_by(2 * COPY)
        known = await gateway.gateway.book.look(job.id)
        assert known.job.copy and known.job.copy.job["progress"]["done"] == done
        await pass_by(10 * COPY)
        assert await gateway.gateway.book.look(job.id) == known, "and nothing new"
    worker.runs.finish(run_id, code=0)
    assert (await gateway.over(job)).copy is None


@story
async def test_how_much_a_run_has_printed_and_what_it_tells_is_news_though_no_output_is_kept(
    world: World,
) -> None:
    gateway, worker = await pair(world, cluster_output_bytes=0)
    job = await gateway.submit("sleep", request=TYPED)
    [run_id] = await until(lambda: worker.runs.begun, "the run")
    worker.runs.prints(run_id, OutputCounts(bytes=7, last_sequence=1))
    await until(lambda: told(gateway, job), "a copy")
    worker.runs.reports[run_id, Channel.PROGRESS] = b'{"log": "halfway"}\n'
    await pass_by(2 * COPY)
    copy = (await gateway.get(job)).copy
    assert copy and (copy.job["output"]["bytes"], copy.tail) == (7, ())
    assert "halfway" in copy.job["logs"][0]


@story
async def test_a_copy_that_cannot_be_written_is_made_later_and_hinders_no_end(world: World) -> None:
    gateway, worker = await pair(world)
    job = await gateway.submit("sleep", request=TYPED)
    [run_id] = await until(lambda: worker.runs.begun, "the run")
    await gateway.claimed(job)
    world.nats.go_away()
    worker.runs.reports[run_id, Channel.PROGRESS] = b'{"progress": 1}\n'
    await pass_by(3 * COPY)
    world.nats.come_back()
    await until(lambda: told(gateway, job), "a copy")
    worker.runs.finish(run_id, code=0)
    assert (await gateway.over(job)).phase is ClusterPhase.COMPLETED


@story
async def test_a_worker_that_never_comes_back_leaves_an_interrupted_job(world: World) -> None:
    gateway, worker = await pair(world)
    job = await gateway.submit("sleep")
    await gateway.claimed(job)
    await worker.close()
    await pass_by(LOST - LEASE)
    assert (await gateway.get(job)).phase is ClusterPhase.CLAIMED, "a short silence is no loss"
    over = await gateway.over(job)
    assert (over.phase, over.reason, over.is_dead_letter) == ("interrupted", Reason.LOST, True)


@story
async def test_a_claim_that_is_not_answered_is_carried_out_and_no_other_record_is_read_for_that(
    world: World,
) -> None:
    gateway, worker = await pair(world)
    records = worker.bus.jobs
    update = records.update

    async def unanswered(key: str, value: bytes, **how: Any) -> int:
        records.update = update
        await update(key, value, **how)
        raise Unavailable("No answer.")

    records.update = unanswered
    records.watch = None
    job = await gateway.submit("exit 0")
    over = await gateway.over(job)
    assert (over.phase, over.epoch) == (ClusterPhase.COMPLETED, 1)
    assert len(worker.runs.begun) == 1


# -- a worker that stood still -----------------------------------------------------------------


@story
async def test_a_worker_that_was_frozen_finds_its_job_run_elsewhere_and_ends_its_own_copy(
    world: World,
) -> None:
    gateway, frozen = await pair(world)
    job = await gateway.submit("sleep", retry=ELSEWHERE)
    await gateway.claimed(job)
    await until(lambda: frozen.runs.begun, "the run")
    other = await world.worker("db")
    frozen.freeze()
    await gateway.claimed(job, epoch=2)
    await until(lambda: other.runs.begun, "the second run")
    frozen.thaw()
    told = await until(lambda: _late(gateway, job), "the word of the first worker")
    assert told == (Late(epoch=1, host="web", status="cancelled", exit_code=None),)
    assert (await gateway.get(job)).phase is ClusterPhase.CLAIMED
    other.finish()
    over = await gateway.over(job)
    assert (over.phase, over.epoch, over.late) == (ClusterPhase.COMPLETED, 2, told)
    assert over.holder and over.holder.host == "db"


async def _late(gateway: GatewayMachine, job: ClusterJob) -> tuple[Late, ...]:
    return (await gateway.get(job)).late


@story
async def test_a_result_that_comes_after_the_job_was_run_elsewhere_is_set_aside(
    world: World,
) -> None:
    gateway, frozen = await pair(world)
    job = await gateway.submit("sleep", retry=ELSEWHERE)
    await gateway.claimed(job)
    await until(lambda: frozen.runs.begun, "the run")
    other = await world.worker("db")
    frozen.freeze()
    frozen.finish(code=3)
    await gateway.claimed(job, epoch=2)
    await until(lambda: other.runs.begun, "the second run")
    other.finish()
    over = await gateway.over(job)
    frozen.thaw()
    assert await until(lambda: _late(gateway, job), "the late result") == (
        Late(epoch=1, host="web", status="failed", exit_code=3),
    )
    assert replace(await gateway.get(job), late=()) == over


@story
async def test_the_late_result_of_a_worker_that_was_taken_for_lost_counts(world: World) -> None:
    gateway, frozen = await pair(world)
    job = await gateway.submit("sleep")
    await gateway.claimed(job)
    await until(lambda: frozen.runs.begun, "the run")
    frozen.freeze()
    assert (await gateway.over(job)).phase is ClusterPhase.INTERRUPTED
    frozen.thaw()
    frozen.finish()
    over = await fall_back(gateway, job, "completed")
    assert (over.epoch, over.reason, over.late) == (1, None, ())


# -- hints -------------------------------------------------------------------------------------


@story
async def test_hints_that_come_twice_and_in_several_queues_run_a_job_once(world: World) -> None:
    gateway, worker = await pair(world)
    other = await world.worker("db")
    job = await gateway.submit("sleep")
    for _ in range(3):
        for queue in ("any", queue_of("web"), queue_of("db")):
            await gateway.bus.hint(queue, job.id)
        await pass_by(LEASE)
    begun = [*worker.runs.begun, *other.runs.begun]
    assert len(begun) == 1
    (worker if worker.runs.begun else other).finish()
    assert (await gateway.over(job)).epoch == 1


@story
async def test_workers_that_reach_for_a_job_at_once_have_it_run_by_one(world: World) -> None:
    gateway, worker = await pair(world)
    hosts = ("b", "c", "d")
    workers = [worker, *[await world.worker(host) for host in hosts]]
    await world.known(gateway, *hosts)
    gateway.bus.is_deaf = True
    jobs = [await gateway.submit("sleep") for _ in range(3)]
    gateway.bus.is_deaf = False
    for job in jobs:
        for queue in ("any", *(queue_of(each) for each in ("web", *hosts))):
            world.nats.hints[queue, job.id] = Waiting(job.id)
    world.nats.notify()
    await pass_by(LEASE)
    assert sum(len(each.runs.begun) for each in workers) == len(jobs)
    assert {(await gateway.get(job)).epoch for job in jobs} == {1}


@story
async def test_a_hint_of_what_is_over_or_was_never_there_begins_nothing(world: World) -> None:
    gateway, worker = await pair(world)
    job = await gateway.submit("exit 0")
    over = await gateway.over(job)
    for job_id in (job.id, "cluster-job-unheard-of"):
        await gateway.bus.hint("any", job_id)
    await until(lambda: not world.nats.hints, "the hints to be done with")
    assert await gateway.get(job) == over and len(worker.runs.begun) == 1


# -- what is refused ---------------------------------------------------------------------------


@pytest.mark.parametrize("key", [b"another key, as good", b""])
@story
async def test_a_record_that_was_not_written_by_the_cluster_is_never_run(
    world: World, key: bytes
) -> None:
    gateway, worker = await pair(world)
    real = await gateway.over(await gateway.submit("exit 0"))
    forged = replace(real, id="cluster-job-forged", phase=ClusterPhase.PENDING, epoch=0)
    await gateway.bus.jobs.put(forged.id, seal(key, forged.id, job_to_bytes(forged)))
    moved = await gateway.bus.jobs.get(real.id)
    assert moved
    await gateway.bus.jobs.put("cluster-job-moved", moved.value)
    for job_id in ("cluster-job-forged", "cluster-job-moved"):
        await gateway.bus.hint("any", job_id)
        with pytest.raises(JobNotFound):
            await gateway.get(job_id)
    await until(lambda: not world.nats.hints, "the hints to be done with")
    await pass_by(LOST)
    assert len(worker.runs.begun) == 1 and list(gateway.gateway.jobs) == [real.id]
    assert (await gateway.over(await gateway.submit("exit 0"))).phase is ClusterPhase.COMPLETED


@story
async def test_a_worker_does_not_answer_a_question_twice_nor_an_old_one(world: World) -> None:
    gateway, worker = await pair(world)
    job = await gateway.claimed(await gateway.submit("sleep"))
    await until(lambda: worker.runs.begun, "the run")

    def asked(age: float = 0.0, key: str = KEY) -> bytes:
        question = Question(
            job_id=job.id,
            epoch=1,
            operation="console_cancel_job",
            arguments={},
            at=LoopClock().now() - age,
        )
        return question_to_bytes(question, key.encode(), "web")

    for bad, error in ((asked(age=1000.0), BadRequest), (asked(key="another key"), Forged)):
        with pytest.raises(error):
            await gateway.bus.ask("web", bad, timeout=5.0)
    assert (await gateway.get(job)).phase is ClusterPhase.CLAIMED
    good = asked()
    await gateway.bus.ask("web", good, timeout=5.0)
    assert (await gateway.over(job)).phase is ClusterPhase.CANCELLED
    with pytest.raises(BadRequest, match="asked before"):
        await gateway.bus.ask("web", good, timeout=5.0)


@story
async def test_a_worker_is_asked_for_nothing_that_would_begin_anything(world: World) -> None:
    gateway, worker = await pair(world)
    job = await gateway.claimed(await gateway.submit("sleep"))
    await until(lambda: worker.runs.begun, "the run")
    with pytest.raises(BadRequest):
        await gateway.gateway.ask(job, "console_execute_async", {"command": "exit 0"})
    assert len(worker.runs.begun) == 1


@story
async def test_what_no_worker_can_begin_becomes_a_dead_letter_with_each_refusal(
    world: World,
) -> None:
    gateway, worker = await pair(world, cluster_max_deliveries=2)
    request = {"command": "true", "options": {"workingDirectory": "/nowhere/at/all"}}
    over = await gateway.over(await gateway.submit("", request=request))
    assert (over.phase, over.reason, over.attempt) == ("failed", Reason.UNDELIVERED, 0)
    assert [each.host for each in over.refusals] == ["web", "web"]
    assert all("/nowhere/at/all" in each.why for each in over.refusals)
    assert over.is_dead_letter and not worker.runs.begun


# -- ends --------------------------------------------------------------------------------------


@story
async def test_a_failed_attempt_is_repeated_by_another_worker_after_its_pause(
    world: World,
) -> None:
    gateway, first = await pair(world)
    retry = replace(ELSEWHERE, backoff=30.0)
    job = await gateway.submit("exit 3", retry=retry)
    waiting = await until(lambda: _waiting_again(gateway, job), "the end of the first attempt")
    await first.close()
    second = await world.worker("db")
    over = await gateway.over(job)
    assert over.holder == second.me and (over.phase, over.epoch) == ("failed", 2)
    assert over.claimed_at and over.claimed_at >= (waiting.not_before or 0) >= 30.0
    assert (len(first.runs.begun), len(second.runs.begun)) == (1, 1)


async def _waiting_again(gateway: GatewayMachine, job: ClusterJob) -> Any:
    found = await gateway.get(job)
    return found if found.phase is ClusterPhase.PENDING and found.outcome else None


@story
async def test_an_end_that_finds_no_room_is_told_when_there_is_some(world: World) -> None:
    gateway, worker = await pair(world)
    job = await gateway.submit("sleep")
    await gateway.claimed(job)
    await until(lambda: worker.runs.begun, "the run")
    room, world.nats.jobs.max_bytes = world.nats.jobs.max_bytes, 1
    worker.finish()
    await pass_by(LOST)
    assert (await gateway.get(job)).phase is ClusterPhase.CLAIMED
    with pytest.raises(LimitReached):
        await gateway.submit("exit 0")
    world.nats.jobs.max_bytes = room
    over = await gateway.over(job)
    assert (over.phase, over.epoch, len(worker.runs.begun)) == (ClusterPhase.COMPLETED, 1, 1)


@story
async def test_an_end_that_comes_while_nats_is_away_is_told_once_after_that(world: World) -> None:
    gateway, worker = await pair(world)
    job = await gateway.submit("sleep")
    await gateway.claimed(job)
    await until(lambda: worker.runs.begun, "the run")
    world.nats.go_away()
    worker.finish()
    await pass_by(LOST + LEASE)
    [local] = await worker.jobs()
    assert local.status is Status.COMPLETED, "its machine knows"
    revision = world.nats.jobs.revision
    world.nats.come_back()
    over = await gateway.over(job)
    assert (over.phase, over.epoch, over.late) == (ClusterPhase.COMPLETED, 1, ())
    await pass_by(LOST)
    assert world.nats.jobs.revision == revision + 1, "one write, and no more"
    assert len(worker.runs.begun) == 1
