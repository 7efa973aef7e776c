"""What is away for a while, stands still, comes twice or was never there: a worker, NATS, a hint.

Promise 29: at most one worker runs an attempt; late and duplicate deliveries are fenced. Promise 30: a NATS
outage is survivable. Promise 31: `_any` reaches exactly one, `_all` all, with non-responders named.
"""

import asyncio
import itertools
import random
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest

from console_automation.adapters.nats.access import Access
from console_automation.adapters.nats.bus import NatsBus
from console_automation.core.seal import seal
from console_automation.errors import BadRequest, JobNotFound, Unavailable
from tests.integration.clusters import as_worker
from tests.integration.daemons import Gate, killable
from tests.integration.fleet import LEASE_MS, Fleet, running_fleet
from tests.integration.nats_server import NatsServer
from tests.waiting import until, until_now

LOST_MS = 2_500
AGAIN_ELSEWHERE = {"maxAttempts": 2, "backoffMs": 1, "on": ["lost"]}
OTHER = {"a": "b", "b": "a"}
Away = Callable[[NatsServer], AbstractContextManager[None]]
KEYS = (f"key-{number}" for number in itertools.count())


@pytest.fixture(scope="module")
def fleet() -> Iterator[Fleet]:
    with running_fleet(tuple(OTHER), cluster_lost_ms=LOST_MS) as running:
        yield running


@pytest.fixture
def key() -> str:
    return next(KEYS)


@pytest.fixture
def gate(tmp_path: Path) -> Iterator[Gate]:
    gate = Gate(tmp_path / "gate")
    yield gate
    gate.open()  # for whatever still waits there
    gate.close()


def begun(fleet: Fleet, key: str, line: str, **options: Any) -> tuple[str, str]:
    """Submit a job; return its id and the worker that has begun it."""
    job_id = fleet.submit(key, line, **options)
    fleet.begun(key)
    return job_id, str(fleet.job(job_id)["worker"])


def test_a_worker_that_was_frozen_while_its_job_was_run_elsewhere_is_not_listened_to(
    fleet: Fleet, key: str, gate: Gate
) -> None:
    job_id, host = begun(fleet, key, gate.wait, target="_any", retry=AGAIN_ELSEWHERE)
    with fleet.frozen(host):
        fleet.begun(key, 2)
    told = until_now(lambda: fleet.job(job_id).get("lateResults"), "the word of the first worker")
    assert told == [{"host": host, "status": "cancelled", "exitCode": None}], "its copy is ended"
    gate.open()
    over = fleet.over(job_id)
    assert (over["status"], over["worker"], over["attempt"]) == ("completed", OTHER[host], 2)
    assert over["lateResults"] == told
    assert sorted(fleet.runs_of(key).values()) == [1, 1]


def test_a_worker_that_was_taken_for_lost_tells_the_end_after_all(
    fleet: Fleet, key: str, gate: Gate
) -> None:
    job_id, host = begun(fleet, key, f"{gate.wait}; exit 7", target="_any")
    with fleet.frozen(host):
        lost = fleet.over(job_id)
        assert (lost["status"], lost["reason"]) == ("interrupted", "lost")
        gate.open()
    over = fleet.awaited(job_id, "failed")
    assert (over["exitCode"], over["attempt"]) == (7, 1) and "lateResults" not in over
    assert list(fleet.runs_of(key).values()) == [1]


@pytest.mark.parametrize("away", [NatsServer.killed, NatsServer.frozen], ids=lambda it: it.__name__)
def test_while_nats_is_away_jobs_go_on_and_their_ends_are_told_once_after_it(
    fleet: Fleet, key: str, gate: Gate, away: Away
) -> None:
    job_id, host = begun(fleet, key, f"{gate.wait}; echo out", target="_any")
    waiting = fleet.submit(f"{key}-waiting", "echo out", target=host, priority=1)
    fleet.over(waiting)
    worker = fleet.daemons[host]
    with away(fleet.nats):
        outlast = (
            f"sleep {(LOST_MS + LEASE_MS) / 1000}"  # so that it is away for longer than any lease
        )
        local = worker.submit(f"{outlast}; echo local")
        with pytest.raises(Unavailable):
            fleet.gateway.submit("true", target="_any")
        gate.open()
        here = worker.call("console_list_jobs")["jobs"]
        theirs = [each["id"] for each in here if key in each["command"]]
        assert len(theirs) == 2
        for each in (*theirs, local):
            assert worker.over(each)["status"] == "completed"
        assert worker.output(local) == "local\n"
    over = fleet.over(job_id)
    assert (over["status"], over["exitCode"], over["attempt"]) == ("completed", 0, 1)
    assert "lateResults" not in over and fleet.insist(fleet.gateway.output, job_id) == "out\n"
    assert list(fleet.runs_of(key).values()) == [1]
    after = fleet.over(fleet.submit(f"{key}-after", "true", target="_any"))
    assert after["status"] == "completed"


def test_hints_that_come_again_and_in_other_queues_begin_nothing_twice(
    fleet: Fleet, key: str, gate: Gate
) -> None:
    job_id, _ = begun(fleet, key, gate.wait, target="_any")

    async def hint_again(bus: NatsBus) -> None:
        for _ in range(5):
            for queue in ("any", "host.a", "host.b"):
                await bus.hint(queue, job_id)
            await until(lambda: _all_taken(bus), "the hints to be dealt with")

    on_the_bus(fleet, hint_again)
    gate.open()
    over = fleet.over(job_id)
    on_the_bus(fleet, hint_again)
    assert fleet.job(job_id) == over and list(fleet.runs_of(key).values()) == [1]


def test_whoever_can_write_to_nats_alone_has_nothing_run(fleet: Fleet, key: str) -> None:
    job_id = fleet.submit(key, "true", target="_any")
    fleet.over(job_id)

    async def forge(bus: NatsBus) -> None:
        real = await bus.jobs.get(job_id)
        assert real
        pending = real.value[64:].replace(b'"phase":"completed"', b'"phase":"pending"')
        for forged, sealed in (
            ("cluster-job-moved", real.value),
            ("cluster-job-forged", seal(b"another key", "cluster-job-forged", pending)),
            ("cluster-job-bare", pending),
        ):
            await bus.jobs.put(forged, sealed)
            await bus.hint("any", forged)
        await until(lambda: _all_taken(bus), "the hints to be dealt with")

    on_the_bus(fleet, forge)
    for forged in ("moved", "forged", "bare"):
        with pytest.raises(JobNotFound):
            fleet.gateway.job(f"cluster-job-{forged}")
    assert list(fleet.runs_of(key).values()) == [1]


async def _all_taken(bus: NatsBus) -> bool:
    return not await bus.hinted()


def on_the_bus(fleet: Fleet, work: Any) -> None:
    """Do something as somebody who can reach NATS."""

    async def connected() -> None:
        access = Access(servers=(fleet.nats.url,))
        bus = NatsBus("console-automation", access, lease=LEASE_MS / 1000, max_bytes=1 << 30)
        bus.open(lambda: None)
        try:
            await until(lambda: bus.is_connected, "a connection")
            await work(bus)
        finally:
            await bus.close()

    asyncio.run(connected())


def test_a_worker_that_is_dead_is_named_among_all(fleet: Fleet, key: str) -> None:
    with fleet.without("b"):
        fleet.await_status("b", "unreachable")
        job_id = fleet.submit(key, "echo out", target="_all")
        over = fleet.over(job_id)
        assert over["status"] == "failed"
        assert over["error"] == "completed on 1 of 2 workers; did not respond: b"
        assert [(each["host"], each["status"]) for each in over["children"]] == [
            ("a", "completed"),
            ("b", "failed"),
        ]
        with pytest.raises(BadRequest, match=r"matches no worker. Known: a, b \(unreachable\)"):
            fleet.gateway.submit("true", target="c")
    fleet.await_status("b", "live")
    assert list(fleet.runs_of(key).values()) == [1]


def test_a_cordoned_worker_is_passed_by_and_keeps_what_it_has(
    fleet: Fleet, key: str, gate: Gate
) -> None:
    job_id, host = begun(fleet, key, gate.wait, target="_any")
    drain = {"host": host, "waitMs": 0}
    drained = fleet.insist(fleet.gateway.call, "console_drain_worker", **drain)
    assert not drained["drained"]
    fleet.await_status(host, "cordoned")
    elsewhere = [fleet.submit(f"{key}-{n}", "true", target="_any") for n in range(5)]
    assert {fleet.over(each)["worker"] for each in elsewhere} == {OTHER[host]}
    gate.open()
    assert fleet.over(job_id)["worker"] == host
    assert fleet.gateway.call("console_drain_worker", host=host, waitMs=10_000)["drained"]
    fleet.gateway.call("console_drain_worker", host=host, action="uncordon")
    fleet.await_status(host, "live")


def test_a_second_worker_of_a_name_takes_nothing_while_the_first_is_alive(
    fleet: Fleet, key: str
) -> None:
    home = fleet.place / "second"
    settings = fleet.settings | as_worker("a")
    with killable(home, **settings) as second:
        log = home / "daemon.log"
        until_now(lambda: "taken by another worker" in log.read_text(), "the second to be refused")
        for number in range(3):
            assert fleet.over(fleet.submit(f"{key}-{number}", "true", target="a"))["worker"] == "a"
        assert second.metrics()["totalJobs"] == 0
        with fleet.without("a"):
            until_now(lambda: fleet.tend() or _ran(fleet, f"{key}-then"), "the second to take over")
            assert second.metrics()["totalJobs"] == 1
    fleet.await_status("a", "live")


def _ran(fleet: Fleet, key: str) -> bool:
    return fleet.over(fleet.submit(key, "true", target="a"))["status"] == "completed"


def test_kills_at_random_lose_and_repeat_nothing(fleet: Fleet) -> None:
    chance = random.Random(1)
    jobs = {}
    for number in range(20):
        key = f"random-{number}"
        jobs[key] = fleet.submit(key, "true", target=chance.choice(["_any", "_any", "a", "b"]))
        if chance.random() < 0.4:
            part = chance.choice(["nats", *fleet.daemons])
            (fleet.nats if part == "nats" else fleet.daemons[part]).kill()
    for key, job_id in jobs.items():
        over = fleet.awaited(job_id, "completed")
        assert over["attempt"] == 1 and list(fleet.runs_of(key).values()) == [1], (key, over)
