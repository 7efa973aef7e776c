"""What a gateway makes of a job for several workers whose parts are not all there."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from console_automation.adapters.memory_bus import MemoryBus, MemoryCluster
from console_automation.config import Settings
from console_automation.core.cluster_job import Child, ClusterJob
from console_automation.engine.cluster import Cluster
from console_automation.errors import Conflict, JobNotFound
from console_automation.joining import cluster_of
from tests.conftest import FixedClock
from tests.waiting import until

SETTINGS = Settings(
    nats_url="nats://here",
    cluster_key="a key that only tests have",
    cluster_lease_ms=1000,
    cluster_lost_ms=1000,
    cluster_retain_ms=60_000,
)
GROUP, PART = "cluster-job-1", "cluster-job-1-1"


@asynccontextmanager
async def gateway_that_finds(*, age: float) -> AsyncIterator[Cluster]:
    """A gateway that starts when there is a group of that age, without its only part."""
    clock = FixedClock()
    bus = MemoryBus(MemoryCluster())
    cluster = cluster_of(SETTINGS, clock, new_ulid=lambda: "2", bus=bus)
    assert cluster is not None
    cluster.open()
    group = ClusterJob(
        id=GROUP,
        request={"command": "echo once"},
        target="_all",
        queue="",
        created_at=clock.now() - age,
        client="test",
        owner="local",
        children=(Child(id=PART, host="build-1"),),
    )
    await cluster.book.create(group)
    try:
        yield cluster
    finally:
        await cluster.close()


async def test_a_part_that_a_crash_left_unmade_is_made() -> None:
    async with gateway_that_finds(age=1.0) as cluster:

        async def is_made() -> bool:
            try:
                return (await cluster.book.get(PART)).group == GROUP
            except JobNotFound:
                return False

        await until(is_made, "the part")


async def test_a_part_is_not_forgotten_without_the_whole_which_would_make_it_anew() -> None:
    async with gateway_that_finds(age=1.0) as cluster:
        gateway = cluster.gateway
        assert gateway is not None
        await until(lambda: PART in gateway.jobs, "the part")
        with pytest.raises(Conflict, match=GROUP):
            await gateway.forget(PART)
