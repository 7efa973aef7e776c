"""Promise 10: priority and caps hold exactly, also around a restart; and load delays starts.

Every run counts the runs beside it by the directories they make and remove; what they have counted is
what has really happened, whatever the daemon believes.
"""

import asyncio
import itertools
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from console_automation import app
from console_automation.adapters.memory import MemoryStore
from console_automation.adapters.memory_host import MemoryHost
from console_automation.app import open_app
from console_automation.config import Settings
from console_automation.core.job import Status
from console_automation.engine.admission import Admission
from console_automation.engine.jobs import JobManager
from tests.builders import script, spec
from tests.conftest import CalmGauge, FixedClock
from tests.integration.daemons import Daemon, killable
from tests.unit.test_queue import Naive
from tests.waiting import PATIENCE

CAP, SESSION_CAP = 4, 2


def counting(home: Path, session: str, then: str) -> str:
    """A command that counts the live runs, all and of its session, and notes in which order it came."""
    mine, live = f"{home}/live/{session}/$CONSOLE_AUTOMATION_RUN", f"{home}/live"
    return (
        f"mkdir -p {mine}; ls -d {live}/*/* | wc -l >> {home}/total;"
        f" ls {live}/{session} | wc -l >> {home}/{session};"
        f" {then}; rmdir {mine}"
    )


def highest(counts: Path) -> int:
    return max(int(line) for line in counts.read_text().split())


def statuses(daemon: Daemon, jobs: list[str]) -> Counter[str]:
    return Counter(daemon.job(job)["status"] for job in jobs)


def test_never_more_runs_than_the_caps_allow_not_even_around_a_restart(home: Path) -> None:
    caps = {"max_concurrent_jobs": CAP, "max_concurrent_jobs_per_session": SESSION_CAP}
    with killable(home, **caps) as daemon:
        jobs = [
            daemon.submit(counting(home, session, daemon.gate.wait), sessionId=session)
            for session in ("a", "a", "a", "a", "a", "b", "b", "b", "b", "c", "c", "c")
        ]
        for _ in range(3):
            live = [job for job in jobs if daemon.job(job)["status"] == "running"]
            assert len(live) == CAP
            for job in live:
                daemon.running(job)
            daemon.restart()
            assert statuses(daemon, jobs) == {"running": CAP, "pending": len(jobs) - CAP}
        daemon.gate.open()
        for job in jobs:
            assert daemon.over(job)["exitCode"] == 0
        assert highest(home / "total") == CAP
        for session in "abc":
            assert highest(home / session) <= SESSION_CAP
        assert daemon.metrics()["concurrency"] == {"current": 0, "maximum": CAP}


def test_runs_above_a_lowered_cap_go_on_and_none_is_added_before_they_are_below_it(
    home: Path,
) -> None:
    with killable(home, max_concurrent_jobs=3) as daemon:
        old = [daemon.submit(f"{daemon.gate.wait}; exit 0") for _ in range(3)]
        for job in old:
            daemon.running(job)
        new = [daemon.submit(counting(home, "new", "true")) for _ in range(4)]
        configuration = (home / "config.toml").read_text()
        (home / "config.toml").write_text(configuration.replace("jobs = 3", "jobs = 1"))
        daemon.restart()
        assert statuses(daemon, new) == {"pending": 4}
        daemon.cancel(old[0])
        daemon.cancel(old[1])
        assert statuses(daemon, new) == {"pending": 4}
        assert daemon.job(new[0])["waitingFor"] == "1 of 1 slot taken"
        daemon.gate.open()
        for job in new:
            daemon.over(job)
        assert highest(home / "total") == 1


def test_priority_first_then_first_come_first_served_and_a_restart_keeps_the_order(
    home: Path,
) -> None:
    with killable(home, max_concurrent_jobs=1) as daemon:
        daemon.running(daemon.submit(daemon.gate.wait))
        priorities = [5, 1, 9, 5, 9, 1, 5, 10]
        jobs = [
            daemon.submit(f"echo {number} >> {home}/order", priority=priority)
            for number, priority in enumerate(priorities)
        ]
        expected = sorted(range(len(jobs)), key=lambda number: -priorities[number])
        places = [daemon.job(jobs[number])["queuePosition"] for number in expected]
        assert places == list(range(1, len(jobs) + 1))
        daemon.restart()
        assert places == [daemon.job(jobs[number])["queuePosition"] for number in expected]
        daemon.gate.open()
        for job in jobs:
            daemon.over(job)
        assert (home / "order").read_text().split() == [str(number) for number in expected]


def test_jobs_of_the_same_millisecond_are_ordered_by_their_ids_as_they_came() -> None:
    """After a restart the ids are all that is left of who came first."""
    ids = [app.new_job_id() for _ in range(10_000)]
    assert ids == sorted(set(ids))


def test_a_session_at_its_cap_holds_back_nobody_else_and_says_what_it_waits_for(
    home: Path,
) -> None:
    caps = {"max_concurrent_jobs": 10, "max_concurrent_jobs_per_session": 1}
    with killable(home, **caps) as daemon:
        first = daemon.submit("sleep 1000", sessionId="full", priority=10)
        capped = daemon.submit("exit 0", sessionId="full", priority=10)
        assert daemon.over(daemon.submit("exit 0", sessionId="other", priority=1))
        assert daemon.over(daemon.submit("exit 0", priority=1))
        for _ in range(2):
            waiting = daemon.job(capped)
            assert (waiting["status"], waiting["queuePosition"]) == ("pending", 1)
            assert waiting["waitingFor"] == "session 'full' runs 1 job already, as many as it may"
            daemon.restart()
        daemon.cancel(first)
        assert daemon.over(capped)["exitCode"] == 0


@pytest.mark.parametrize(
    ("limits", "busy", "why"),
    [
        (
            {"max_load_per_cpu": 2.0, "max_memory_percent": 0},
            {"load": 3.5},
            "the load per processor is 3.5, above 2",
        ),
        (
            {"max_load_per_cpu": 0, "max_memory_percent": 90.0},
            {"memory": 97.0},
            "97 % of the memory is in use, above 90 %",
        ),
    ],
    ids=["load", "memory"],
)
async def test_a_busy_machine_delays_starts_says_so_and_never_stands_still(
    home: Path,
    gauge: CalmGauge,
    monkeypatch: pytest.MonkeyPatch,
    limits: dict[str, float],
    busy: dict[str, float],
    why: str,
) -> None:
    monkeypatch.setattr(app, "SystemLoad", lambda: gauge)
    for name, value in busy.items():
        setattr(gauge, name, value)
    async with open_app(home, Settings(**limits)) as opened:
        first = await opened.start_background_job("sleep", ["1000"])
        second = await opened.start_background_job("true")
        assert (await opened.get_background_job_status(first))["status"] == "running"
        waiting = await opened.get_background_job_status(second)
        assert (waiting["status"], waiting["queuePosition"]) == ("pending", 1)
        assert waiting["waitingFor"] == why
        gauge.load = gauge.memory = 0.0
        over = await opened.get_background_job_status(second, wait_ms=PATIENCE * 1000)
        assert over["status"] == "completed"
        await opened.call("console_cancel_job", jobId=first)


async def test_a_job_whose_run_never_began_keeps_its_place_before_those_that_came_later() -> None:
    """The daemon was killed with the order in its hands."""
    store, lost = MemoryStore(), MemoryHost()
    lost.start = lambda run_id, job: None  # type: ignore[method-assign]
    caps, numbers = Naive(total=1, per_session=1), itertools.count(1)
    manager = await opened(store, lost, caps, numbers)
    jobs = [await manager.submit(spec(script("exit 0"))) for _ in range(4)]
    await manager.close()
    host = MemoryHost()
    manager = await opened(store, host, caps, numbers)
    await manager.wait([job.id for job in jobs], timeout=PATIENCE)
    fence = f"{jobs[0].id}.1"
    assert host.begun == [fence, f"{jobs[0].id}.2", *(f"{job.id}.1" for job in jobs[1:])]
    await manager.close()


# -- any script, against an oracle ---------------------------------------------------------------

STEPS = st.one_of(
    st.tuples(st.just("submit"), st.integers(1, 10), st.sampled_from([None, "s", "t"])),
    st.tuples(st.just("finish"), st.integers(0, 50), st.none()),
    st.tuples(st.just("cancel"), st.integers(0, 50), st.none()),
    st.tuples(st.just("restart"), st.just(0), st.none()),
)


@settings(max_examples=150, deadline=None)
@given(st.lists(STEPS, max_size=40), st.integers(1, 4), st.integers(1, 2))
def test_the_manager_runs_what_a_naive_oracle_would_run_through_any_script(
    steps: list[tuple[str, int, str | None]], total: int, per_session: int
) -> None:
    asyncio.run(follow(steps, Naive(total, per_session)))


async def follow(steps: list[tuple[str, int, str | None]], naive: Naive) -> None:
    """Carry out a script on a manager and on the oracle; after every step the same jobs run."""
    store, host = MemoryStore(), MemoryHost()
    numbers = itertools.count(1)
    manager = await opened(store, host, naive, numbers)
    order: list[str] = []
    for what, value, session in steps:
        live = sorted(naive.live)
        if what == "submit":
            job = await manager.submit(spec(script("sleep"), priority=value, session_id=session))
            naive.waiting.append((-value, int(job.id[4:]), job.id, session))
        elif what == "finish" and live:
            host.finish(f"{live[value % len(live)]}.1", code=0)
            del naive.live[live[value % len(live)]]
        elif what == "cancel" and naive.waiting:
            place = naive.waiting.pop(value % len(naive.waiting))
            await manager.cancel(place[2], signal=15, grace=1, by="test")
        elif what == "restart":
            await manager.close()
            manager = await opened(store, host, naive, numbers)
        while (job_id := naive.pick()) is not None:
            order.append(f"{job_id}.1")
        for _ in range(10):
            await asyncio.sleep(0)
        assert host.begun == order
        assert sorted(manager.dispatcher.queue.holders) == sorted(naive.live)
        assert manager.ledger.counts[Status.PENDING] == len(naive.waiting)
    await manager.close()


async def opened(
    store: MemoryStore, host: MemoryHost, caps: Naive, numbers: "itertools.count[int]"
) -> JobManager:
    knobs: dict[str, Any] = {
        "max_concurrent_jobs": caps.total,
        "max_concurrent_jobs_per_session": caps.per_session,
    }
    manager = JobManager(
        settings=Settings(**knobs),
        store=store,
        host=host,
        clock=FixedClock(),
        admission=Admission(Settings(**knobs), CalmGauge()),
        new_id=lambda: f"job-{next(numbers):04}",
    )
    await store.open()
    await manager.open()
    return manager
