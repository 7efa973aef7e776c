"""The contract of the ClusterBus port, kept alike over NATS and by the cluster in memory."""

import asyncio
import itertools
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Protocol

import pytest

from console_automation.adapters.memory_bus import MemoryBus, MemoryCluster
from console_automation.adapters.nats.access import Access
from console_automation.adapters.nats.bus import NatsBus
from console_automation.errors import LimitReached, Unavailable
from console_automation.ports.cluster import ClusterBus, Gone, Records, Stale, Stored
from tests.integration.nats_server import NatsServer, running_nats_server
from tests.waiting import PATIENCE, until

LEASE = 1.0
ROOM = 20_000
NAMES = (f"test{number}" for number in itertools.count())


class Stage(Protocol):
    """Where buses can be had, and where what they are connected to can be away."""

    def made(self) -> ClusterBus: ...
    async def bus(self) -> ClusterBus: ...
    def go_away(self) -> None: ...
    def come_back(self) -> None: ...


class MemoryStage:
    def __init__(self) -> None:
        self.cluster = MemoryCluster(lease=LEASE, max_bytes=ROOM)
        self.buses: list[ClusterBus] = []

    def made(self) -> ClusterBus:
        return MemoryBus(self.cluster)

    async def bus(self) -> ClusterBus:
        bus = self.made()
        self.buses.append(bus)
        bus.open(lambda: None)
        await until(lambda: bus.is_connected)
        return bus

    def go_away(self) -> None:
        self.cluster.go_away()

    def come_back(self) -> None:
        self.cluster.come_back()


class NatsStage(MemoryStage):
    def __init__(self, server: NatsServer) -> None:
        self.server = server
        self.namespace = next(NAMES)
        self.buses = []

    def made(self) -> ClusterBus:
        access = Access(servers=(self.server.url,))
        return NatsBus(self.namespace, access, lease=LEASE, max_bytes=ROOM)

    def go_away(self) -> None:
        self.server.kill()

    def come_back(self) -> None:
        self.server.start()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NatsServer]:
    with running_nats_server(tmp_path_factory.mktemp("cluster") / "nats") as running:
        yield running


@pytest.fixture(params=["nats", "memory"])
async def stage(request: pytest.FixtureRequest) -> AsyncIterator[Stage]:
    if request.param == "nats":
        running: NatsServer = request.getfixturevalue("server")
        running.start()
        made: MemoryStage = NatsStage(running)
    else:
        made = MemoryStage()
    yield made
    for bus in made.buses:
        await bus.close()


@pytest.fixture
async def bus(stage: Stage) -> ClusterBus:
    return await stage.bus()


class Watch:
    """What a watch has told, read in the background."""

    def __init__(self, records: Records) -> None:
        self.told: list[Stored | Gone | None] = []
        self.task = asyncio.create_task(self._read(records))

    async def _read(self, records: Records) -> None:
        async for each in records.watch():
            self.told.append(each)

    async def __aenter__(self) -> "Watch":
        return self

    async def __aexit__(self, *_: object) -> None:
        self.task.cancel()
        await asyncio.wait([self.task])

    async def sees(self, what: Stored | Gone | None) -> None:
        await until(lambda: what in self.told or self.task.done(), f"{what}")
        assert what in self.told


async def outcome(call: Awaitable[object]) -> object:
    """Return what a call comes to, or which error of the contract."""
    try:
        return await asyncio.wait_for(call, PATIENCE)
    except Stale:
        return Stale
    except LimitReached:
        return LimitReached
    except Unavailable:
        return Unavailable


# Records ----------------------------------------------------------------------------------------


async def test_a_record_is_read_as_it_was_written_by_whom_ever(stage: Stage) -> None:
    here, there = await stage.bus(), await stage.bus()
    for value in (b"", b"plain", bytes(range(256))):
        revision = await here.jobs.put("a-Key_9", value)
        assert await there.jobs.get("a-Key_9") == Stored(
            key="a-Key_9", value=value, revision=revision
        )
    assert await there.jobs.get("other") is None
    assert await there.workers.get("a-Key_9") is None


async def test_a_record_is_created_once_and_again_only_when_it_is_gone(bus: ClusterBus) -> None:
    first = await bus.jobs.create("a", b"1")
    with pytest.raises(Stale):
        await bus.jobs.create("a", b"2")
    await bus.jobs.delete("a")
    await bus.jobs.delete("never-there")
    assert await bus.jobs.get("a") is None
    assert await bus.jobs.create("a", b"3") > first


async def test_an_update_of_what_was_read_before_somebody_else_wrote_is_refused(
    bus: ClusterBus,
) -> None:
    first = await bus.jobs.create("a", b"1")
    second = await bus.jobs.update("a", b"2", revision=first)
    assert second > first
    with pytest.raises(Stale):
        await bus.jobs.update("a", b"3", revision=first)
    await bus.jobs.delete("a")
    with pytest.raises(Stale):
        await bus.jobs.update("a", b"3", revision=second)


async def test_of_fifty_who_change_a_record_at_once_one_wins(stage: Stage) -> None:
    buses = [await stage.bus() for _ in range(5)]
    revision = await buses[0].jobs.create("a", b"0")
    updates = [
        outcome(buses[n % 5].jobs.update("a", b"%d" % n, revision=revision)) for n in range(50)
    ]
    results = await asyncio.gather(*updates)
    (winner,) = [n for n, result in enumerate(results) if isinstance(result, int)]
    assert results.count(Stale) == 49
    stored = await buses[0].jobs.get("a")
    assert stored and (stored.value, stored.revision) == (b"%d" % winner, results[winner])


async def test_of_fifty_who_create_a_record_at_once_one_does_also_where_one_was_deleted(
    bus: ClusterBus,
) -> None:
    for _ in range(2):
        results = await asyncio.gather(*(outcome(bus.jobs.create("a", b"")) for _ in range(50)))
        assert results.count(Stale) == 49
        await bus.jobs.delete("a")


async def test_a_full_bucket_refuses_and_keeps_what_it_has(bus: ClusterBus) -> None:
    kept = []
    while isinstance(await outcome(bus.jobs.create(f"job-{len(kept)}", bytes(1000))), int):
        kept.append(f"job-{len(kept)}")
    assert 5 < len(kept) <= ROOM / 1000
    with pytest.raises(LimitReached):
        await bus.jobs.put("another", bytes(1000))
    read = [await bus.jobs.get(key) for key in kept]
    assert all(each and each.value == bytes(1000) for each in read)
    await bus.workers.put("another", bytes(1000))


async def test_it_is_told_how_full_a_bucket_is(bus: ClusterBus) -> None:
    assert await bus.jobs.fill() < 0.01
    await bus.jobs.create("a", bytes(ROOM // 2))
    assert 0.4 < await bus.jobs.fill() < 0.6
    await bus.jobs.delete("a")
    assert await bus.jobs.fill() < 0.1


async def test_deleting_makes_room_in_a_full_bucket_and_is_seen(bus: ClusterBus) -> None:
    count = 0
    while isinstance(await outcome(bus.jobs.create(f"job-{count}", bytes(1000))), int):
        count += 1
    while isinstance(await outcome(bus.jobs.create(f"little-{count}", b"")), int) and count < 500:
        count += 1
    async with Watch(bus.jobs) as watch:
        await watch.sees(None)
        await bus.jobs.delete("job-0")
        await watch.sees(Gone(key="job-0"))
        await bus.jobs.delete("job-1")
    await bus.jobs.create("job-0", bytes(1000))


async def test_what_is_larger_than_a_bucket_is_refused(bus: ClusterBus) -> None:
    with pytest.raises(LimitReached):
        await bus.jobs.put("a", bytes(2_000_000))
    assert await bus.jobs.get("a") is None


# Watching ---------------------------------------------------------------------------------------


async def test_a_watch_tells_what_there_is_then_none_then_what_changes(bus: ClusterBus) -> None:
    await bus.jobs.put("gone", b"")
    await bus.jobs.delete("gone")
    a = await bus.jobs.put("a", b"1")
    b = await bus.jobs.put("b", b"2")
    async with Watch(bus.jobs) as watch:
        await watch.sees(None)
        c = await bus.jobs.update("a", b"3", revision=a)
        await watch.sees(Stored(key="a", value=b"3", revision=c))
        await bus.jobs.delete("b")
        await watch.sees(Gone(key="b"))
    assert watch.told == [
        Stored(key="a", value=b"1", revision=a),
        Stored(key="b", value=b"2", revision=b),
        None,
        Stored(key="a", value=b"3", revision=c),
        Gone(key="b"),
    ]


async def test_a_watch_of_nothing_begins_with_none(bus: ClusterBus) -> None:
    async with Watch(bus.workers) as watch:
        await watch.sees(None)
    assert watch.told == [None]


async def test_a_watch_whose_reader_is_slow_misses_nothing_of_two_thousand(bus: ClusterBus) -> None:
    await bus.beats.put("first", b"")
    watch = bus.beats.watch()
    assert isinstance(await anext(watch), Stored)
    writes = (bus.beats.put(f"b{number}", b"") for number in range(2000))
    await asyncio.gather(*writes)
    keys = set[str]()
    while len(keys) < 2000:
        told = await asyncio.wait_for(anext(watch), PATIENCE)
        if told is not None and told.key != "first":
            keys.add(told.key)
    assert isinstance(watch, AsyncIterator)
    await watch.aclose()  # type: ignore[attr-defined]


async def test_a_record_that_is_kept_for_a_while_goes_by_itself_and_the_watch_tells(
    bus: ClusterBus,
) -> None:
    revision = await bus.jobs.create("short", b"")
    await bus.jobs.create("long", b"")
    async with Watch(bus.jobs) as watch:
        await watch.sees(None)
        await bus.jobs.update("short", b"done", revision=revision, keep=0.2)
        await watch.sees(Gone(key="short"))
    assert await bus.jobs.get("short") is None
    assert await bus.jobs.get("long")
    assert await bus.jobs.create("short", b"again") > revision


async def test_what_is_written_again_in_time_stays(bus: ClusterBus) -> None:
    first = await bus.jobs.create("a", b"1")
    second = await bus.jobs.update("a", b"2", revision=first, keep=1)
    kept = await bus.jobs.update("a", b"3", revision=second)
    other = await bus.jobs.create("b", b"1")
    async with Watch(bus.jobs) as watch:
        await bus.jobs.update("b", b"2", revision=other, keep=1)
        await watch.sees(Gone(key="b"))
    assert await bus.jobs.get("a") == Stored(key="a", value=b"3", revision=kept)


async def test_a_sign_of_life_is_forgotten_after_the_lease(bus: ClusterBus) -> None:
    async with Watch(bus.beats) as watch:
        await bus.beats.put("host", b"")
        await watch.sees(Gone(key="host"))
    assert await bus.beats.get("host") is None


# Hints ------------------------------------------------------------------------------------------


async def test_each_hint_goes_to_one_of_those_who_ask(stage: Stage) -> None:
    buses = [await stage.bus() for _ in range(2)]
    jobs = [f"job-{number}" for number in range(40)]
    taken: list[str] = []

    async def take(bus: ClusterBus) -> None:
        while len(taken) < len(jobs):
            try:
                hints = await bus.hints("any", limit=3, wait=0.1)
            except Unavailable:  # a server that is busy says so, and is asked again
                continue
            for hint in hints:
                taken.append(hint.job_id)
                await hint.done()

    readers = asyncio.gather(*(take(each) for each in buses for _ in range(2)))
    await asyncio.gather(*(buses[0].hint("any", job) for job in jobs))
    await asyncio.wait_for(readers, PATIENCE)
    assert sorted(taken) == sorted(jobs)
    await until(lambda: nothing_hinted(buses[0]))


async def nothing_hinted(bus: ClusterBus) -> bool:
    return not await bus.hinted()


async def test_a_hint_that_is_there_is_not_put_again(bus: ClusterBus) -> None:
    for _ in range(3):
        await bus.hint("any", "a")
        await bus.hint("host.h-1", "a")
    await bus.hint("host.h-2", "b")
    assert await bus.hinted() == {"a", "b"}
    (hint,) = await bus.hints("any", limit=9, wait=0)
    assert hint.job_id == "a"
    assert await bus.hints("any", limit=9, wait=0) == []
    assert [each.job_id for each in await bus.hints("host.h-1", limit=9, wait=0)] == ["a"]
    assert await bus.hints("host.h", limit=9, wait=0) == []


async def test_no_more_hints_come_than_were_asked_for(bus: ClusterBus) -> None:
    for number in range(3):
        await bus.hint("any", f"{number}")
    first = await bus.hints("any", limit=2, wait=PATIENCE)
    rest = await bus.hints("any", limit=2, wait=PATIENCE)
    assert [each.job_id for each in (*first, *rest)] == ["0", "1", "2"]


async def test_a_hint_that_is_put_off_comes_again_to_whoever_asks(stage: Stage) -> None:
    here, there = await stage.bus(), await stage.bus()
    await here.hint("any", "a")
    (hint,) = await here.hints("any", limit=1, wait=PATIENCE)
    await hint.later(0.2)
    (again,) = await there.hints("any", limit=1, wait=PATIENCE)
    assert again.job_id == "a"
    assert await there.hinted() == {"a"}
    await again.done()
    await until(lambda: nothing_hinted(here))
    await there.hint("any", "a")
    assert len(await there.hints("any", limit=1, wait=PATIENCE)) == 1


async def test_who_waits_for_a_hint_has_it_when_it_comes(bus: ClusterBus) -> None:
    waiting = asyncio.create_task(bus.hints("any", limit=5, wait=PATIENCE))
    await bus.hint("any", "a")
    assert [each.job_id for each in await waiting] == ["a"]


# Questions --------------------------------------------------------------------------------------


async def test_a_question_is_answered_by_its_host(stage: Stage) -> None:
    here, there = await stage.bus(), await stage.bus()

    async def reply(question: bytes) -> bytes:
        return question + b"!"

    await there.answer("h-1", reply)
    assert await here.ask("h-1", b"well", timeout=PATIENCE) == b"well!"
    with pytest.raises(Unavailable):
        await here.ask("h-2", b"well", timeout=PATIENCE)


async def test_a_slow_answer_holds_up_no_other_and_may_be_too_slow(stage: Stage) -> None:
    here, there = await stage.bus(), await stage.bus()
    never = asyncio.Event()

    async def reply(question: bytes) -> bytes:
        if question == b"slow":
            await never.wait()
        return question

    await there.answer("h", reply)
    slow = asyncio.create_task(outcome(here.ask("h", b"slow", timeout=1)))
    assert await here.ask("h", b"quick", timeout=PATIENCE) == b"quick"
    assert await slow is Unavailable


async def test_a_host_whose_bus_is_closed_answers_no_more(stage: Stage) -> None:
    here, there = await stage.bus(), await stage.bus()

    async def reply(question: bytes) -> bytes:
        return question

    await there.answer("h", reply)
    await there.close()
    await there.close()
    assert await outcome(here.ask("h", b"", timeout=1)) is Unavailable
    assert await outcome(there.jobs.get("a")) is Unavailable


# Being away -------------------------------------------------------------------------------------


def calls(bus: ClusterBus) -> list[Callable[[], Awaitable[object]]]:
    return [
        lambda: bus.jobs.get("a"),
        lambda: bus.jobs.create("new", b""),
        lambda: bus.jobs.update("a", b"", revision=1),
        lambda: bus.jobs.put("a", b""),
        lambda: bus.jobs.delete("a"),
        lambda: anext(bus.jobs.watch()),
        lambda: bus.hint("any", "a"),
        lambda: bus.hints("any", limit=1, wait=PATIENCE),
        bus.hinted,
        lambda: bus.ask("h", b"", timeout=PATIENCE),
    ]


async def test_nothing_can_be_had_while_the_cluster_is_away_and_all_is_there_afterwards(
    stage: Stage,
) -> None:
    bus, other = stage.made(), await stage.bus()
    connected: list[bool] = []
    bus.open(lambda: connected.append(True))
    await until(lambda: connected)

    async def reply(question: bytes) -> bytes:
        return question

    await bus.answer("h", reply)
    revision = await bus.jobs.create("a", b"kept")
    await bus.hint("any", "a")
    stage.go_away()
    await until(lambda: not bus.is_connected and not other.is_connected)
    for call in calls(bus):
        assert await outcome(call()) is Unavailable
    stage.come_back()
    await until(lambda: connected == [True, True] and other.is_connected)
    assert await bus.jobs.get("a") == Stored(key="a", value=b"kept", revision=revision)
    assert await bus.jobs.update("a", b"", revision=revision) > revision
    assert [each.job_id for each in await other.hints("any", limit=5, wait=PATIENCE)] == ["a"]
    assert await other.ask("h", b"?", timeout=PATIENCE) == b"?"
    await bus.close()


async def test_what_waits_when_the_cluster_goes_away_is_told_so(
    stage: Stage, bus: ClusterBus
) -> None:
    waiting = asyncio.create_task(outcome(bus.hints("any", limit=1, wait=3 * PATIENCE)))
    await bus.hint("host.h", "a")
    stage.go_away()
    assert await waiting is Unavailable


async def test_a_bus_that_is_opened_before_the_cluster_is_there_connects_when_it_is(
    stage: Stage,
) -> None:
    stage.go_away()
    bus: ClusterBus = stage.made()
    connected = asyncio.Event()
    bus.open(connected.set)
    assert await outcome(bus.jobs.get("a")) is Unavailable
    stage.come_back()
    await asyncio.wait_for(connected.wait(), PATIENCE)
    await bus.jobs.create("a", b"")
    await bus.close()


async def test_a_watch_goes_on_when_the_cluster_comes_back_and_misses_nothing(
    stage: Stage,
) -> None:
    here, there = await stage.bus(), await stage.bus()
    await there.jobs.create("a", b"before")
    await there.jobs.create("b", b"before")
    async with Watch(here.jobs) as watch:
        await watch.sees(None)
        stage.go_away()
        await until(lambda: not there.is_connected)
        stage.come_back()
        await until(lambda: there.is_connected)
        await there.jobs.delete("a")
        revision = await there.jobs.put("b", b"after")
        await watch.sees(Gone(key="a"))
        await watch.sees(Stored(key="b", value=b"after", revision=revision))
    assert watch.told.count(None) == 1
    assert len(watch.told) == 5


async def test_a_watch_of_signs_of_life_is_begun_again_when_they_are_lost(
    stage: Stage, bus: ClusterBus
) -> None:
    async with Watch(bus.beats) as watch:
        await watch.sees(None)
        stage.go_away()
        await until(lambda: not bus.is_connected)
        stage.come_back()
        assert await asyncio.wait_for(outcome(watch.task), PATIENCE) is Unavailable
    async with Watch(bus.beats) as watch:
        await watch.sees(None)
        revision = await bus.beats.put("h", b"")
        await watch.sees(Stored(key="h", value=b"", revision=revision))


async def test_closing_ends_what_waits(bus: ClusterBus) -> None:
    waiting = asyncio.create_task(outcome(bus.hints("any", limit=1, wait=3 * PATIENCE)))
    await bus.hint("host.h", "a")
    await bus.close()
    assert await waiting is Unavailable
    assert not bus.is_connected
