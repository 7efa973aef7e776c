"""The gateway on a bus in memory: what it does for the children of a group whose records are forgotten, and
what it says of workers that are lost."""

from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from typing import Any

import pytest

from console_automation.adapters.machine import SystemClock
from console_automation.adapters.memory_bus import MemoryBus, MemoryCluster, MemoryRecords
from console_automation.core.cluster_codec import job_to_bytes
from console_automation.core.cluster_job import (
    Cancel,
    Child,
    ClusterJob,
    ClusterPhase,
    Holder,
    Outcome,
)
from console_automation.core.cluster_lifecycle import Claimed, Ended, NotResponding, WorkerLost
from console_automation.core.job import Status
from console_automation.core.retry import RetryPolicy
from console_automation.core.seal import seal
from console_automation.core.target import parse_target
from console_automation.core.worker import Beat, Worker, beat_to_bytes
from console_automation.engine.cluster import Cluster
from console_automation.engine.cluster_book import ClusterBook
from console_automation.engine.gateway import Gateway
from console_automation.engine.roster import Roster, sealed_beat
from tests.waiting import until

LARGEST = 256 * 1024  #: bytes of a new record
KEY = b"a key that only this test has"


class Kept(MemoryRecords):
    """Notes for how long each record is to be kept."""

    def __init__(self, bus: MemoryBus) -> None:
        super().__init__(bus, lambda: bus.cluster.jobs)
        self.kept: dict[str, float | None] = {}

    async def update(
        self, key: str, value: bytes, *, revision: int, keep: float | None = None
    ) -> int:
        self.kept[key] = keep
        return await super().update(key, value, revision=revision, keep=keep)


class Machine:
    """A gateway with all it needs. It looks after its jobs when it is told to."""

    def __init__(self) -> None:
        bus = self.bus = MemoryBus(MemoryCluster())
        records = Kept(bus)
        self.kept = records.kept
        self.book = ClusterBook(records, KEY, retain=3600.0)
        self.roster = Roster(bus, KEY, lease=30.0)
        self.gateway = Gateway(
            bus=bus,
            book=self.book,
            roster=self.roster,
            clock=SystemClock(),
            key=KEY,
            lost_after=3600.0,
            new_id=lambda: "cluster-job-1",
        )
        self.cluster = Cluster(
            bus=bus, book=self.book, roster=self.roster, gateway=self.gateway, key=KEY
        )

    async def look_after_until(self, condition: Callable[[], bool]) -> None:
        """Return when looking after the jobs has led to something."""

        async def led() -> bool:
            await self.gateway._look_after()
            return condition()

        await until(led)


@pytest.fixture
async def machine() -> AsyncIterator[Machine]:
    made = Machine()
    made.cluster.open()
    for host in ("a", "b"):
        entry = Worker(host=host, instance=host, version="1")
        await made.roster.change(host, lambda _, entry=entry: entry)
    yield made
    await made.cluster.close()


async def group(machine: Machine, **fields: Any) -> ClusterJob:
    job = ClusterJob(
        id="cluster-job-1",
        request={"command": "true"},
        target="_all",
        queue="any",
        created_at=SystemClock().now(),
        client="test",
        owner="local",
        **fields,
    )
    return await machine.gateway.submit(job, parse_target("_all"))


def ended(host: str, **fields: Any) -> Ended:
    job = {"exitCode": 0}
    outcome = Outcome(status=Status.COMPLETED, reason="exit_code", job=job, **fields)
    return Ended(at=2.0, epoch=1, host=host, outcome=outcome)


async def run(machine: Machine, job_id: str, host: str) -> None:
    await machine.book.apply(job_id, Claimed(at=1.0, holder=Holder(host=host, instance=host)))
    await machine.book.apply(job_id, ended(host))


async def test_a_child_that_is_over_is_never_made_again_while_its_group_goes_on(
    machine: Machine,
) -> None:
    await group(machine)
    await run(machine, "cluster-job-1-1", "a")
    assert machine.kept["cluster-job-1-1"] is None
    await run(machine, "cluster-job-1-2", "b")
    await machine.look_after_until(lambda: machine.gateway.jobs["cluster-job-1"].is_over)
    assert machine.kept["cluster-job-1"] == 3600.0


async def test_the_children_of_a_group_are_forgotten_with_it(machine: Machine) -> None:
    await group(machine)
    for number, host in ((1, "a"), (2, "b")):
        await run(machine, f"cluster-job-1-{number}", host)
    await machine.look_after_until(lambda: machine.gateway.jobs["cluster-job-1"].is_over)
    await machine.book.delete("cluster-job-1")
    await machine.look_after_until(lambda: not machine.gateway.jobs)


async def test_what_one_message_holds_of_a_group_is_given_to_its_only_worker(
    machine: Machine,
) -> None:
    host = "a" * 100
    entry = Worker(host=host, instance=host, version="1", labels={"zone": "far"})
    await machine.roster.change(host, lambda _: entry)
    job = ClusterJob(
        id="cluster-job-1",
        request={"command": ""},
        target="zone:far",
        queue="",
        created_at=SystemClock().now(),
        client="test",
        owner="local",
    )
    whole = replace(job, children=(Child(id="cluster-job-1-1", host=host),))
    room = LARGEST - len(seal(KEY, job.id, job_to_bytes(whole)))
    job = replace(job, request={"command": "x" * room})
    await machine.gateway.submit(job, parse_target("zone:far"))
    assert (await machine.book.get("cluster-job-1-1")).target == host


async def test_a_group_that_is_cancelled_while_its_children_are_made_has_none_that_runs(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    create, asked = machine.book.create, list[bool]()
    cancel = Cancel(signal="SIGTERM", grace_ms=0, by="test")

    async def create_after_cancel(job: ClusterJob) -> bool:
        if job.group is not None and not asked:
            asked.append(True)
            asked[0] = await machine.gateway.cancel(job.group, cancel)
        return await create(job)

    monkeypatch.setattr(machine.book, "create", create_after_cancel)
    made = await group(machine)
    family = await machine.gateway.family(made)
    assert [each.phase for each in family] == [ClusterPhase.CANCELLED] * 2
    assert asked == [True]


async def test_of_a_child_that_is_lost_it_is_not_said_that_it_has_not_begun(
    machine: Machine,
) -> None:
    await group(machine, retry=RetryPolicy(max_attempts=2, on=frozenset({"lost"})))
    holder = Holder(host="a", instance="a")
    await machine.book.apply("cluster-job-1-1", Claimed(at=1.0, holder=holder))
    await machine.book.apply("cluster-job-1-1", WorkerLost(at=2.0, epoch=1))
    gone = NotResponding(at=3.0, host="a")
    child = (await machine.book.apply("cluster-job-1-1", gone)).after
    assert (child.phase, child.reason) == (ClusterPhase.INTERRUPTED, "lost")
    child = (await machine.book.apply("cluster-job-1-1", ended(host="a"))).after
    assert child.phase is ClusterPhase.COMPLETED


async def test_an_end_that_fits_no_message_is_told_without_output_and_result(
    machine: Machine,
) -> None:
    await group(machine)
    await machine.book.apply(
        "cluster-job-1-1", Claimed(at=1.0, holder=Holder(host="a", instance="a"))
    )
    tail = tuple({"type": "stdout", "content": "a", "sequenceNumber": n} for n in range(30_000))
    child = (await machine.book.apply("cluster-job-1-1", ended("a", tail=tail))).after
    assert child.outcome and child.outcome.tail == ()
    assert await machine.book.get("cluster-job-1-1") == child


async def test_output_and_results_are_not_kept_in_memory(machine: Machine) -> None:
    await group(machine)
    part = "cluster-job-1-1"
    await machine.book.apply(part, Claimed(at=1.0, holder=Holder(host="a", instance="a")))
    tail = ({"type": "stdout", "content": "a", "sequenceNumber": 1},)
    await machine.book.apply(part, ended("a", tail=tail, result="7"))
    known = machine.gateway.jobs
    await until(lambda: known[part].is_over)
    assert (kept := known[part].outcome) and (kept.tail, kept.result) == ((), None)
    told = (await machine.book.get(part)).outcome
    assert told and (told.tail, told.result) == (tail, "7")


async def test_another_worker_of_the_host_name_is_not_asked_about_a_job_that_it_does_not_have(
    machine: Machine,
) -> None:
    await group(machine)
    beat = beat_to_bytes(Beat(instance="a", slots=1, running=0, waiting=0))
    await machine.bus.beats.put("a", sealed_beat(KEY, "a", beat))
    before = Claimed(at=1.0, holder=Holder(host="a", instance="an earlier one"))
    earlier = (await machine.book.apply("cluster-job-1-1", before)).after
    mine = replace(earlier, holder=Holder(host="a", instance="a"))
    await until(lambda: machine.gateway.hears_of(mine))
    assert not machine.gateway.hears_of(earlier)
