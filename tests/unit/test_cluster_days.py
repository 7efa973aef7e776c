"""Any day of a cluster: gateways and workers die, freeze and come back in any order, NATS is away, hints
are lost and doubled, and still every job that was accepted comes to an end, and no epoch is run twice."""

import asyncio
import random
from collections import Counter

import pytest

from console_automation.core.cluster_job import ClusterJob, ClusterPhase
from console_automation.core.cluster_names import key_of
from console_automation.core.retry import RetryPolicy
from console_automation.errors import BadRequest, Unavailable
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

HOSTS = ("a", "b", "c")
RETRY = RetryPolicy(max_attempts=3, backoff=1.0, on=frozenset({"lost", "exit_code"}))
COMMANDS = ("exit 0", "exit 3", "sleep", "sleep")


class Day:
    """What happens to a cluster, and what its clients were promised."""

    def __init__(self, world: World, seed: int) -> None:
        self.world = world
        self.chance = random.Random(seed)
        self.gateways: list[GatewayMachine] = []
        self.workers: dict[str, WorkerMachine] = {}
        self.accepted: list[ClusterJob] = []

    async def begin(self) -> None:
        self.gateways = [await self.world.gateway() for _ in range(2)]
        for host in HOSTS:
            self.workers[host] = await self.world.worker(host)
        await self.world.known(self.gateways[0], *HOSTS)

    async def happen(self) -> None:
        """Have something happen."""
        kind = self.chance.choice(
            [self.submit] * 4
            + [self.finish] * 3
            + [self.kill_worker, self.kill_gateway, self.freeze, self.be_away, self.hint]
        )
        await kind()
        await pass_by(self.chance.choice([0.0, 0.1, 1.0, LEASE, LEASE]))

    async def submit(self) -> None:
        target = self.chance.choice(["_any", "_any", "_all", *HOSTS])
        retry = self.chance.choice([RETRY, RetryPolicy()])
        gateway = self.chance.choice(self.gateways)
        try:
            job = await gateway.submit(self.chance.choice(COMMANDS), target, retry=retry)
        except (Unavailable, BadRequest):
            return
        self.accepted.append(job)

    async def finish(self) -> None:
        """End whatever runs on one of the workers."""
        worker = self.chance.choice([*self.workers.values()])
        for number in range(len(worker.runs.begun)):
            worker.finish(number, code=self.chance.choice([0, 0, 3]))

    async def kill_worker(self) -> None:
        host = self.chance.choice(HOSTS)
        worker = self.workers[host]
        worker.thaw()
        worker.fuse.arm(
            f"{self.chance.choice(['before', 'after'])} update "
            + self.chance.choice(["claimed", "completed", "pending", "failed"])
        )
        await pass_by(self.chance.choice([0.0, LEASE]))
        await worker.close()
        await pass_by(self.chance.choice([0.0, LEASE, LOST]))
        self.workers[host] = await worker.restart()

    async def kill_gateway(self) -> None:
        number = self.chance.randrange(2)
        gateway = self.gateways[number]
        gateway.fuse.arm("after create", spare=self.chance.randrange(4))
        call = asyncio.ensure_future(gateway.submit("exit 0", "_all"))
        await pass_by(1.0)
        if call.done() and not call.exception():
            self.accepted.append(call.result())
        call.cancel()
        await asyncio.gather(call, return_exceptions=True)
        await gateway.close()
        self.gateways[number] = await self.world.gateway()

    async def freeze(self) -> None:
        worker = self.workers[self.chance.choice(HOSTS)]
        worker.freeze()
        await pass_by(self.chance.choice([1.0, LEASE, LOST + LEASE]))
        worker.thaw()

    async def be_away(self) -> None:
        self.world.nats.go_away()
        if self.chance.random() < 0.5:
            await self.finish()
        await pass_by(self.chance.choice([0.1, LEASE, LOST + LEASE]))
        self.world.nats.come_back()

    async def hint(self) -> None:
        """Lose every hint there is, or put out those of everything."""
        self.world.nats.hints.clear()
        if self.chance.random() < 0.5:
            gateway = self.chance.choice(self.gateways)
            for job_id in list(gateway.gateway.jobs):
                await gateway.bus.hint(f"{self.chance.choice(['any', 'host.a'])}", job_id)

    # -- the evening -------------------------------------------------------------------------

    async def settled(self) -> list[ClusterJob]:
        """Return every job once all that runs has ended and everybody knows."""
        gateway = self.gateways[0]

        async def are_over() -> bool:
            for worker in self.workers.values():
                for number in range(len(worker.runs.begun)):
                    worker.finish(number)
            return all([await gateway.gateway.is_over(job.id) for job in self.accepted])

        await until(are_over, "the end of every job")
        await pass_by(LOST)
        found = []
        for job in self.accepted:
            now = await gateway.get(job)
            found += await gateway.family(now) if now.is_group else [now]
            assert len(found[-1:]) == 1 and now.is_over
        return found

    async def runs(self) -> Counter[tuple[str, int]]:
        """Return how often each epoch of each job was begun, by all workers together."""
        runs: Counter[tuple[str, int]] = Counter()
        for worker in self.workers.values():
            for job in await worker.jobs():
                runs[_epoch_of(str(job.spec.idempotency_key))] += job.attempt
        return runs


def _epoch_of(key: str) -> tuple[str, int]:
    job_id, _, epoch = key.removeprefix("cluster:").rpartition(":")
    assert key_of(job_id, int(epoch)) == key
    return job_id, int(epoch)


@pytest.mark.parametrize("seed", range(5))
@story
async def test_a_day_of_a_cluster_loses_nothing_and_runs_no_epoch_twice(
    world: World, seed: int
) -> None:
    day = Day(world, seed)
    await day.begin()
    for _ in range(30):
        await day.happen()
    jobs = await day.settled()
    runs = await day.runs()
    assert set(runs.values()) <= {1}, "an epoch is run at most once, on one worker"
    for job in jobs:
        assert job.is_over
        begun = [epoch for job_id, epoch in runs if job_id == job.id]
        if job.phase is ClusterPhase.COMPLETED:
            assert job.epoch in begun, "what is completed was run"
        assert job.attempt <= job.retry.max_attempts
        assert len({each.epoch for each in job.late}) == len(job.late)
