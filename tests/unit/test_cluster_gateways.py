"""Gateways in a cluster in memory: what they have taken in is seen through by any of them, each worker
that is meant runs it once, and who does not respond is named."""

import asyncio
from dataclasses import replace
from functools import partial

import pytest

from console_automation.core.cluster_job import Child, ClusterJob, ClusterPhase
from console_automation.core.job import Reason, Status
from console_automation.core.retry import RetryPolicy
from console_automation.errors import BadRequest, Conflict, JobNotFound, LimitReached, Unavailable
from tests.builders import script, spec
from tests.unit.clustering import (
    LEASE,
    LOST,
    GatewayMachine,
    WorkerMachine,
    World,
    pass_by,
    story,
    until,
)

RERUN = RetryPolicy(max_attempts=2, backoff=1.0, on=frozenset({"lost"}))
GROUP = "cluster-job-group"


async def fleet(world: World, *hosts: str) -> tuple[GatewayMachine, list[WorkerMachine]]:
    """A gateway that knows workers of these names, each labelled with its name."""
    gateway = await world.gateway()
    workers = [await world.worker(host, {"group": f"web.{host}"}) for host in hosts]
    await world.known(gateway, *hosts)
    return gateway, workers


def begun(*workers: WorkerMachine) -> list[int]:
    return [len(each.runs.begun) for each in workers]


# -- a gateway that dies -----------------------------------------------------------------------


@pytest.mark.parametrize("spare", [0, 1, 2], ids=["its record", "one child", "both children"])
@story
async def test_a_group_whose_gateway_died_after_making_a_part_of_it_is_completed_by_another(
    world: World, spare: int
) -> None:
    gateway, workers = await fleet(world, "a", "b")
    other = await world.gateway()
    gateway.fuse.arm("after create", spare=spare)
    call = asyncio.ensure_future(gateway.submit("exit 0", "_all", id=GROUP))
    await gateway.fuse.died.wait()
    call.cancel()
    await gateway.close()
    over = await other.over(GROUP)
    assert await until(lambda: _phase(other, GROUP, "completed"), "the end of the group")
    assert [child.host for child in over.children] == ["a", "b"]
    assert begun(*workers) == [1, 1]


async def _phase(gateway: GatewayMachine, job_id: str, phase: str) -> bool:
    return (await gateway.get(job_id)).phase == phase


@pytest.mark.parametrize("point", ["before create", "after create"])
@story
async def test_a_client_whose_gateway_died_asks_another_with_its_key_and_has_one_job(
    world: World, point: str
) -> None:
    gateway, workers = await fleet(world, "a")
    other = await world.gateway()
    gateway.fuse.arm(point)
    asked = {"id": "cluster-job-keyed", "fingerprint": "f"}
    call = asyncio.ensure_future(gateway.submit("exit 0", **asked))
    await gateway.fuse.died.wait()
    call.cancel()
    job = await other.submit("exit 0", **asked)
    assert (await other.over(job)).phase is ClusterPhase.COMPLETED
    assert (await other.submit("exit 0", **asked)).phase is ClusterPhase.COMPLETED
    assert begun(*workers) == [1]
    with pytest.raises(Conflict):
        await other.submit("exit 1", id=job.id, fingerprint="another request")


@story
async def test_a_job_whose_hint_is_lost_is_found_by_whoever_looks_after_the_jobs(
    world: World,
) -> None:
    gateway, workers = await fleet(world, "a")
    gateway.bus.is_deaf = True
    jobs = [await gateway.submit("exit 0", target) for target in ("_any", "a", "_all")]
    await pass_by(1.0)
    assert begun(*workers) == [0]
    gateway.bus.is_deaf = False
    for job in jobs:
        assert (await gateway.over(job)).id == job.id
    assert begun(*workers) == [3]


@story
async def test_two_gateways_that_find_a_lost_worker_have_its_job_run_once_more(
    world: World,
) -> None:
    gateway, [first] = await fleet(world, "a")
    other = await world.gateway()
    job = await gateway.submit("sleep", retry=RERUN)
    await gateway.claimed(job)
    await until(lambda: first.runs.begun, "the run")
    second = await world.worker("b")
    await first.close()
    await other.claimed(job, epoch=2)
    await until(lambda: second.runs.begun, "the second run")
    second.finish()
    for each in (gateway, other):
        over = await each.over(job)
        assert (over.phase, over.epoch, over.attempt) == (ClusterPhase.COMPLETED, 2, 2)
    assert begun(first, second) == [1, 1]


@story
async def test_any_gateway_answers_for_any_job(world: World) -> None:
    gateway, _ = await fleet(world, "a")
    job = await gateway.submit("exit 3")
    await gateway.over(job)
    await gateway.close()
    later = await world.gateway()
    assert (await later.get(job)).phase is ClusterPhase.FAILED
    assert [each.id for each in await later.gateway.known()] == [job.id]
    await later.gateway.forget(job.id)
    with pytest.raises(JobNotFound):
        await later.get(job)


# -- targets -----------------------------------------------------------------------------------


@story
async def test_a_job_for_any_is_run_by_one_and_many_are_shared(world: World) -> None:
    gateway, workers = await fleet(world, "a", "b", "c")
    jobs = [await gateway.submit("exit 0") for _ in range(30)]
    for job in jobs:
        assert (await gateway.over(job)).epoch == 1
    assert sum(begun(*workers)) == 30


@story
async def test_a_worker_takes_no_more_than_it_has_room_for(world: World) -> None:
    gateway = await world.gateway()
    small = await world.worker("small", max_concurrent_jobs=1)
    large = await world.worker("large", max_concurrent_jobs=3)
    await world.known(gateway, "small", "large")
    jobs = [await gateway.submit("sleep") for _ in range(6)]
    await pass_by(LEASE)
    assert begun(small, large) == [1, 3]
    phases = [(await gateway.get(job)).phase for job in jobs]
    assert phases.count(ClusterPhase.CLAIMED) == 4 and phases.count(ClusterPhase.PENDING) == 2
    small.finish()
    await until(lambda: begun(small) == [2], "the next job")


@story
async def test_a_job_for_all_or_a_label_is_run_once_by_each_that_is_meant(world: World) -> None:
    gateway, workers = await fleet(world, "dev", "development", "dev_eu")
    everybody = await gateway.over(await gateway.submit("exit 0", "_all"))
    assert len(everybody.children) == 3 and begun(*workers) == [1, 1, 1]
    labelled = await gateway.over(await gateway.submit("exit 0", "group:web.dev"))
    assert [child.host for child in labelled.children] == ["dev"]
    assert begun(*workers) == [2, 1, 1]
    named = await gateway.over(await gateway.submit("exit 0", "dev_eu"))
    assert named.holder and named.holder.host == "dev_eu" and begun(*workers) == [2, 1, 2]


@story
async def test_a_worker_that_is_away_is_named_among_all_and_the_others_are_done(
    world: World,
) -> None:
    gateway, [here, away] = await fleet(world, "a", "b")
    await away.close()
    await pass_by(LEASE + 1)
    group = await gateway.submit("exit 0", "_all")
    await gateway.over(group)
    done, missing = await gateway.family(group)
    assert (done.target, done.phase) == ("a", ClusterPhase.COMPLETED)
    assert (missing.target, missing.phase) == ("b", ClusterPhase.FAILED)
    assert missing.reason == Reason.UNDELIVERED and "worker b did not respond" in str(missing.error)
    assert await until(lambda: _phase(gateway, group.id, "failed"), "the end of the group")
    assert begun(here, away) == [1, 0]
    await away.restart()
    await pass_by(LOST)
    assert begun(away) == [0], "what was given up is not begun later"


@story
async def test_a_target_that_means_nobody_is_an_error_at_once_and_leaves_nothing(
    world: World,
) -> None:
    gateway, _ = await fleet(world, "a")
    before = world.nats.jobs.revision
    for target in ("b", "group:web.b", "group:eb", "zone:a"):
        with pytest.raises(BadRequest, match=r"matches no worker. Known: a\."):
            await gateway.submit("exit 0", target)
    assert world.nats.jobs.revision == before


@story
async def test_a_job_for_any_worker_waits_while_all_are_away(world: World) -> None:
    gateway, [worker] = await fleet(world, "a")
    await worker.close()
    await pass_by(LEASE + 1)
    job = await gateway.submit("exit 0")
    await pass_by(LOST)
    assert (await gateway.get(job)).phase is ClusterPhase.PENDING
    await worker.restart()
    assert (await gateway.over(job)).phase is ClusterPhase.COMPLETED


@story
async def test_a_job_for_a_host_that_is_away_waits_for_it(world: World) -> None:
    gateway, [worker, other] = await fleet(world, "a", "b")
    await worker.close()
    await pass_by(LOST + LEASE)
    job = await gateway.submit("exit 0", "a")
    await pass_by(LOST)
    assert (await gateway.get(job)).phase is ClusterPhase.PENDING
    await worker.restart()
    assert (await gateway.over(job)).phase is ClusterPhase.COMPLETED
    assert begun(worker, other) == [1, 0]


@story
async def test_a_cordoned_worker_takes_nothing_until_it_may_again(world: World) -> None:
    gateway, [worker] = await fleet(world, "a")
    await _cordon(gateway, "a", "somebody")
    with pytest.raises(BadRequest, match=r"Known: a \(cordoned\)"):
        await gateway.submit("exit 0")
    job = await gateway.submit("exit 0", "a")
    await pass_by(LOST)
    assert begun(worker) == [0]
    worker = await worker.restart()
    await pass_by(LOST)
    assert begun(worker) == [0], "a worker that comes back is cordoned as before"
    await _cordon(gateway, "a", "")
    assert (await gateway.over(job)).phase is ClusterPhase.COMPLETED


@story
async def test_what_a_worker_said_before_it_was_cordoned_does_not_say_that_it_is_empty(
    world: World,
) -> None:
    gateway, _ = await fleet(world, "a")
    other = await world.gateway()

    def is_empty(machine: GatewayMachine) -> bool:
        found = machine.cluster.roster.get("a")
        return bool(found and found.beat and found.beat.is_empty)

    await _cordon(gateway, "a", "somebody")
    for machine in (gateway, other):
        await until(partial(is_empty, machine), "the worker to be empty")
    await _cordon(gateway, "a", "")
    job = await gateway.claimed(await gateway.submit("sleep", "a"))
    await _cordon(other, "a", "somebody else")
    assert not is_empty(other)
    assert (await gateway.get(job)).phase is ClusterPhase.CLAIMED
    await gateway.cancel(job)
    for machine in (gateway, other):
        await until(partial(is_empty, machine), "the worker to be empty again")


async def _cordon(gateway: GatewayMachine, host: str, by: str) -> None:
    await gateway.cluster.roster.change(
        host, lambda entry: replace(entry, cordoned_by=by) if entry else pytest.fail("no entry")
    )


@story
async def test_a_second_worker_of_a_name_takes_nothing_while_the_first_is_alive(
    world: World,
) -> None:
    gateway, [first] = await fleet(world, "a")
    second = await world.worker("a")
    jobs = [await gateway.submit("exit 0", target) for target in ("a", "_any", "_all")]
    for job in jobs:
        await gateway.over(job)
    assert begun(first, second) == [3, 0]
    await first.close()
    await until(lambda: _instance(gateway, "a") == second.me.instance, "the second to be the one")
    assert (await gateway.over(await gateway.submit("exit 0", "a"))).holder == second.me
    assert begun(first, second) == [3, 1]


@story
async def test_a_second_worker_of_a_name_says_nothing_of_jobs_that_it_does_not_have(
    world: World,
) -> None:
    gateway, [first] = await fleet(world, "a")
    job = await gateway.submit("exit 0", "a")
    await gateway.over(job)
    await world.worker("a")  # the one that is asked from now on: NATS asks both
    with pytest.raises(Unavailable):
        await gateway.gateway.ask(await gateway.get(job), "console_get_job_output", {})
    await first.restart()
    done = await gateway.get(job)
    assert (await gateway.gateway.ask(done, "console_get_job_output", {}))["success"]


def _instance(gateway: GatewayMachine, host: str) -> str | None:
    found = gateway.cluster.roster.get(host)
    return found.worker.instance if found and found.is_live else None


# -- cancelling --------------------------------------------------------------------------------


@story
async def test_a_job_is_cancelled_on_its_worker_in_its_queue_and_on_all_of_them(
    world: World,
) -> None:
    gateway, workers = await fleet(world, "a", "b")
    running, group = await gateway.submit("sleep", "a"), await gateway.submit("sleep", "_all")
    await until(lambda: sum(begun(*workers)) == 3, "the runs")
    await _cordon(gateway, "a", "somebody")
    waiting = await gateway.submit("sleep", "a")
    for job in (running, group, waiting):
        assert await gateway.cancel(job)
        await gateway.over(job)
    ends = [await gateway.get(running), await gateway.get(waiting), *await gateway.family(group)]
    assert {each.phase for each in ends} == {ClusterPhase.CANCELLED}
    assert not await gateway.cancel(running) and sum(begun(*workers)) == 3


@story
async def test_a_cancellation_that_the_worker_could_not_hear_is_seen_through_when_it_comes_back(
    world: World,
) -> None:
    gateway, [worker] = await fleet(world, "a")
    job = await gateway.submit("sleep")
    await gateway.claimed(job)
    await until(lambda: worker.runs.begun, "the run")
    worker.freeze()
    assert await gateway.cancel(job)
    await pass_by(LEASE)
    assert (await gateway.get(job)).phase is ClusterPhase.CLAIMED
    worker.thaw()
    assert (await gateway.over(job)).phase is ClusterPhase.CANCELLED


# -- NATS away, and full -----------------------------------------------------------------------


@story
async def test_without_nats_jobs_of_the_machine_run_and_those_of_the_cluster_are_refused(
    world: World,
) -> None:
    gateway, [worker] = await fleet(world, "a")
    job = await gateway.submit("sleep")
    await gateway.claimed(job)
    world.nats.go_away()
    with pytest.raises(Unavailable):
        await gateway.submit("exit 0")
    local = await worker.manager.submit(spec(script("exit 0")))
    [over] = await worker.manager.wait([local.id], timeout=LOST)
    assert over.status is Status.COMPLETED
    await pass_by(2 * LOST)
    world.nats.come_back()
    await pass_by(LOST - LEASE)
    assert (await gateway.get(job)).phase is ClusterPhase.CLAIMED, "nobody was lost meanwhile"
    worker.finish(0)
    assert (await gateway.over(job)).phase is ClusterPhase.COMPLETED


@story
async def test_a_worker_that_claims_a_job_is_alive(world: World) -> None:
    gateway, [worker] = await fleet(world, "a")

    async def no_sign_of_life(key: str, value: bytes) -> int:
        raise Unavailable("not now")

    worker.bus.beats.put = no_sign_of_life  # type: ignore[method-assign]
    await pass_by(2 * LOST)
    job = await gateway.submit("sleep", "a")
    await gateway.claimed(job)
    await pass_by(LOST / 2)
    assert (await gateway.get(job)).phase is ClusterPhase.CLAIMED
    assert (await gateway.over(job)).phase is ClusterPhase.INTERRUPTED


@story
async def test_a_gateway_that_was_cut_off_takes_nobody_for_lost(world: World) -> None:
    gateway, [worker] = await fleet(world, "a")
    job = await gateway.submit("sleep")
    await gateway.claimed(job)
    for away in (LOST, LOST + 3.0, LOST + 6.0):
        gateway.freeze()
        await pass_by(away)
        gateway.thaw()
        await pass_by(LEASE)
        assert (await gateway.get(job)).phase is ClusterPhase.CLAIMED
    worker.finish()
    assert (await gateway.over(job)).phase is ClusterPhase.COMPLETED


@story
async def test_a_job_that_comes_right_after_nats_finds_the_workers_that_are_there(
    world: World,
) -> None:
    gateway, [worker, gone] = await fleet(world, "a", "b")
    await gone.close()
    for _ in range(3):
        world.nats.go_away()
        await pass_by(LOST)
        world.nats.come_back()
        await gateway.over(await gateway.submit("exit 0"))
    assert begun(worker) == [3]
    with pytest.raises(BadRequest, match="matches no worker"):
        await gateway.submit("exit 0", "c")


@story
async def test_a_full_cluster_refuses_new_jobs_and_brings_those_it_has_to_an_end(
    world: World,
) -> None:
    gateway, [worker] = await fleet(world, "a")
    world.nats.jobs.max_bytes = 200_000
    taken: list[ClusterJob] = []
    request = {"command": "exit 0", "options": {"stdin": "x" * 1000}}

    async def fill() -> None:
        for _ in range(1000):
            taken.append(await gateway.submit("", request=request))
            await pass_by(0.1)

    with pytest.raises(LimitReached, match="Nothing was submitted"):
        await fill()
    for job in taken:
        assert (await gateway.over(job)).phase is ClusterPhase.COMPLETED
    assert begun(worker) == [len(taken)] and taken


@story
async def test_a_group_whose_parts_find_no_room_keeps_nobody_from_looking_after_the_others(
    world: World,
) -> None:
    gateway, [worker] = await fleet(world, "a")
    part = Child(id=f"{GROUP}-1", host="a")
    await gateway.cluster.book.create(
        ClusterJob(
            id=GROUP,
            request={"command": "exit 0", "options": {"stdin": "x" * 10_000}},
            target="_all",
            queue="",
            created_at=0.0,
            client="test",
            owner="local",
            children=(part,),
        )
    )
    job = await gateway.claimed(await gateway.submit("sleep", "a"))
    world.nats.jobs.max_bytes = int(world.nats.jobs.size / 0.9)
    assert set(world.nats.jobs.entries) == {GROUP, job.id}
    await worker.close()
    assert (await gateway.over(job)).reason == Reason.LOST
    world.nats.jobs.max_bytes = 1 << 30
    await gateway.over(GROUP)
    assert (await gateway.get(part.id)).reason == Reason.UNDELIVERED
