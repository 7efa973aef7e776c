"""A cluster in memory whose hours pass in no time: gateways and workers as they are, without processes,
network or disks, on an event loop that skips what nobody has to wait for."""

import asyncio
import inspect
import itertools
import selectors
from asyncio import get_running_loop
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

from console_automation.adapters.memory import MemoryStore
from console_automation.adapters.memory_bus import MemoryBus, MemoryCluster
from console_automation.adapters.memory_host import MemoryHost
from console_automation.config import Settings
from console_automation.core.cluster_job import Cancel, ClusterJob, Holder
from console_automation.core.job import Job
from console_automation.core.target import parse_target
from console_automation.engine.admission import Admission
from console_automation.engine.cluster import Cluster
from console_automation.engine.gateway import Gateway
from console_automation.engine.jobs import JobManager
from console_automation.errors import Unavailable
from console_automation.frontends.worker.service import WorkerService
from console_automation.joining import cluster_of
from console_automation.ports.stores import JobFilter
from tests.builders import engine_of
from tests.conftest import CalmGauge

KEY = "a key that only tests have"
LEASE, LOST = 10.0, 60.0  #: seconds, as users have it
T = TypeVar("T")


class SkippingLoop(asyncio.SelectorEventLoop):
    """An event loop whose clock stands still while anything can be done, and jumps when nothing can."""

    def __init__(self) -> None:
        self.at = 0.0
        super().__init__(_Skipping(self))

    def time(self) -> float:
        """The seconds that have passed for those who live here."""
        return self.at


class _Skipping(selectors.DefaultSelector):
    """Selects at once what is ready, and lets the time pass that would have been waited."""

    def __init__(self, loop: SkippingLoop) -> None:
        super().__init__()
        self._loop = loop

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(0 if timeout is not None else None)
        if not ready and timeout:
            self._loop.at += timeout
        return ready


class LoopClock:
    """The clock of a machine, which goes with the loop."""

    boot_id = "this-boot"

    def now(self) -> float:
        """Return the time since the world began."""
        return get_running_loop().time()


async def until(condition: Callable[[], T | Awaitable[T]], what: str) -> T:
    """Return what the condition comes to as soon as that is true, within an hour of the loop's time."""
    limit = get_running_loop().time() + 3600.0
    while True:
        result = condition()
        value = await result if isinstance(result, Awaitable) else result
        if value:
            return value
        assert get_running_loop().time() < limit, f"waited in vain for {what}"
        await asyncio.sleep(0.1)


async def pass_by(seconds: float) -> None:
    """Let time pass, of which there is as much as is wanted."""
    await asyncio.sleep(seconds)


class Fuse:
    """Has a machine die before or after a write to the jobs of the cluster: from that moment on nothing
    that it asks of the cluster comes to an end."""

    def __init__(self) -> None:
        self.died = asyncio.Event()
        self._point: str | None = None
        self._spared = 0

    def arm(self, point: str, *, spare: int = 0) -> None:
        """Choose the point; it is passed unharmed so many times."""
        self._point, self._spared = point, spare

    async def around(self, kind: str, work: Callable[[], Awaitable[T]]) -> T:
        """Do a piece of work of a kind, if the machine lives to do it and to see its end."""
        await self._reach(f"before {kind}")
        done = await work()
        await self._reach(f"after {kind}")
        return done

    async def _reach(self, point: str) -> None:
        if point == self._point:
            if self._spared == 0:
                self.died.set()
            self._spared -= 1
        await self.alive()

    async def alive(self) -> None:
        """Return only if it is."""
        if self.died.is_set():
            await get_running_loop().create_future()


class ShakyBus(MemoryBus):
    """A connection to the cluster that is dead with its machine, and still while that is frozen."""

    def __init__(self, cluster: MemoryCluster, fuse: Fuse) -> None:
        super().__init__(cluster)
        self.jobs = DyingRecords(self.jobs, fuse)  # type: ignore[assignment]
        self.awake = asyncio.Event()
        self.awake.set()
        self.is_deaf = False  #: so that no hint is put out
        self._fuse = fuse

    @property
    def is_connected(self) -> bool:
        """Whether anything gets through."""
        return self.awake.is_set() and super().is_connected

    async def reach(self) -> None:
        """Get through, if that is possible at all."""
        await self._fuse.alive()
        await self.awake.wait()
        await super().reach()

    async def hint(self, queue: str, job_id: str) -> None:
        """Put out a hint, if it is not to be lost."""
        if self.is_deaf:
            raise Unavailable("The hint is lost.")
        await super().hint(queue, job_id)


class DyingRecords:
    """The jobs of the cluster behind a fuse; a write is named after the phase that it puts down."""

    def __init__(self, records: Any, fuse: Fuse) -> None:
        self._records = records
        self._fuse = fuse

    def __getattr__(self, name: str) -> Any:
        return getattr(self._records, name)

    async def create(self, key: str, value: bytes) -> int:
        return await self._fuse.around("create", lambda: self._records.create(key, value))

    async def update(self, key: str, value: bytes, **how: Any) -> int:
        phase = value.partition(b'"phase":"')[2].partition(b'"')[0].decode()
        return await self._fuse.around(
            f"update {phase}", lambda: self._records.update(key, value, **how)
        )


class Machine:
    """A machine of the cluster: its connection, which can be cut, and its part in it."""

    def __init__(self, world: "World", **knobs: Any) -> None:
        self.world = world
        self.fuse = Fuse()
        self.settings = Settings(
            **{
                "max_load_per_cpu": 0,
                "max_memory_percent": 0,
                "nats_url": "memory",
                "cluster_key": KEY,
                "cluster_lease_ms": LEASE * 1000,
                "cluster_lost_ms": LOST * 1000,
                **knobs,
            }
        )
        self.bus = ShakyBus(world.nats, self.fuse)
        cluster = cluster_of(self.settings, LoopClock(), new_ulid=world.new_id, bus=self.bus)
        assert cluster is not None
        self.cluster: Cluster = cluster

    def freeze(self) -> None:
        """Have the machine stand still, as far as the cluster can tell."""
        self.bus.awake.clear()

    def thaw(self) -> None:
        """Have it go on."""
        self.bus.awake.set()
        self.world.nats.notify()


class GatewayMachine(Machine):
    """A gateway."""

    @property
    def gateway(self) -> Gateway:
        assert self.cluster.gateway is not None
        return self.cluster.gateway

    async def open(self) -> None:
        self.cluster.open()
        await self.cluster.roster.listens.wait()

    async def close(self) -> None:
        await self.cluster.close()

    async def submit(self, command: str, target: str = "_any", **fields: Any) -> ClusterJob:
        """Take a job in, and return it as it was then."""
        job = ClusterJob(
            **{
                "id": self.gateway.new_id(),
                "request": {"command": command},
                "target": target,
                "queue": "any",
                "created_at": LoopClock().now(),
                "client": "test",
                "owner": "local",
                **fields,
            }
        )
        return await self.gateway.submit(job, parse_target(target))

    async def cancel(self, job: ClusterJob) -> bool:
        """Ask for a job's end."""
        return await self.gateway.cancel(
            job.id, Cancel(signal="SIGTERM", grace_ms=500.0, by="test")
        )

    async def family(self, job: ClusterJob) -> tuple[ClusterJob, ...]:
        """Return the children of a group."""
        return await self.gateway.family(await self.get(job))

    async def get(self, job: ClusterJob | str) -> ClusterJob:
        """Return a job as it is."""
        return await self.gateway.get(job if isinstance(job, str) else job.id)

    async def over(self, job: ClusterJob | str) -> ClusterJob:
        """Return a job once it is over."""
        job_id = job if isinstance(job, str) else job.id
        assert await self.gateway.wait(job_id, timeout=3600.0), f"{job_id} does not end"
        return await self.gateway.get(job_id)

    async def claimed(self, job: ClusterJob | str, epoch: int = 1) -> ClusterJob:
        """Return a job once a worker has begun an epoch of it."""

        async def begun() -> ClusterJob | None:
            found = await self.get(job)
            return found if found.epoch >= epoch else None

        found = await until(begun, f"the claim of {job}")
        assert found is not None
        return found


class WorkerMachine(Machine):
    """A worker: the ordinary engine of a machine over a host without processes, and what joins it to the
    cluster. Its store and its host outlive it, as disk and shims do."""

    def __init__(
        self, world: "World", host: str, before: "WorkerMachine | None" = None, **knobs: Any
    ) -> None:
        super().__init__(world, cluster_gateway=False, **knobs)
        self.host = host
        self.knobs = knobs
        self.store = before.store if before else MemoryStore()
        self.runs = before.runs if before else MemoryHost()
        self.me = before.me if before else Holder(host=host, instance=world.new_id())
        self.labels: Mapping[str, str] = before.labels if before else {}
        self.manager: JobManager
        self.service: WorkerService

    async def open(self) -> None:
        self.manager = JobManager(
            settings=self.settings,
            store=self.store,
            host=self.runs,
            clock=LoopClock(),
            admission=Admission(self.settings, CalmGauge()),
            new_id=lambda: f"job-{self.world.new_id()}",
        )
        await self.store.open()
        await self.manager.open()
        engine = replace(engine_of(self.manager, Path("/nowhere")), cluster=self.cluster)
        self.service = WorkerService(engine, self.cluster, me=self.me, labels=self.labels)
        self.cluster.open()
        self.service.open()

    async def close(self) -> None:
        """Let go; what runs goes on, so that this is also what is left of a crash."""
        await self.service.close()
        await self.cluster.close()
        await self.manager.close()

    async def restart(self) -> "WorkerMachine":
        """Crash and begin again on the same disk; return the new one."""
        await self.close()
        return await self.world.worker(self.host, before=self, **self.knobs)

    async def jobs(self) -> list[Job]:
        """Return what this machine has on record, oldest first."""
        jobs, _ = await self.store.page(JobFilter(), before=None, limit=1000)
        return jobs[::-1]

    def finish(self, number: int = -1, *, code: int = 0) -> None:
        """End a run, the last that was begun."""
        self.runs.finish(self.runs.begun[number], code=code)


class World:
    """The cluster, and everybody in it."""

    def __init__(self) -> None:
        self.nats = MemoryCluster(lease=LEASE)
        self.machines: list[GatewayMachine | WorkerMachine] = []
        self._ids = itertools.count(1)

    def new_id(self) -> str:
        return f"{next(self._ids):06}"

    async def gateway(self, **knobs: Any) -> GatewayMachine:
        """Start a gateway."""
        machine = GatewayMachine(self, **knobs)
        self.machines.append(machine)
        await machine.open()
        return machine

    async def worker(
        self,
        host: str,
        labels: Mapping[str, str] | None = None,
        before: WorkerMachine | None = None,
        **knobs: Any,
    ) -> WorkerMachine:
        """Start a worker and return it once the cluster has heard of it."""
        machine = WorkerMachine(self, host, before, **knobs)
        machine.labels = labels or machine.labels
        self.machines.append(machine)
        await machine.open()
        return machine

    async def known(self, gateway: GatewayMachine, *hosts: str) -> None:
        """Return when a gateway knows that these workers are alive."""

        def live() -> bool:
            standings = gateway.cluster.roster.standings()
            return set(hosts) <= {each.worker.host for each in standings if each.is_live}

        await until(live, f"{hosts} to be known")

    async def close(self) -> None:
        for machine in self.machines:
            await machine.close()


def story(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    """Give a test a world of its own, on a loop of its own, and close what is in it at the end."""

    async def told(**given: Any) -> None:
        world = World()
        try:
            await test(world, **given)
        finally:
            await world.close()

    def run(**given: Any) -> None:
        with asyncio.Runner(loop_factory=SkippingLoop) as runner:
            runner.run(told(**given))

    signature = inspect.signature(test)
    others = list(signature.parameters.values())[1:]
    run.__signature__ = signature.replace(parameters=others)  # type: ignore[attr-defined]
    run.__name__, run.__doc__ = test.__name__, test.__doc__
    return run
