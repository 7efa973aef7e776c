"""What jobs tell of themselves, over a host without processes."""

import asyncio
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from console_automation.adapters.memory import MemoryStore
from console_automation.adapters.memory_host import MemoryHost
from console_automation.core.job import Channel, Contract, Job, Phase, Reason
from console_automation.core.report import Explained, Logged, Progress, told
from console_automation.core.retry import RetryPolicy
from console_automation.engine import reports
from console_automation.engine.jobs import JobManager
from console_automation.ports.stores import Entry
from tests.builders import script, spec
from tests.conftest import Build
from tests.unit.scheduling import SetClock
from tests.waiting import PATIENCE, until

NUMBER = {"properties": {"n": {"type": "integer"}}, "required": ["n"]}


def line(**said: Any) -> bytes:
    return json.dumps(said).encode() + b"\n"


# -- reading what a program wrote ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (line(progress=1, total=4, message="x"), [Progress(done=1, total=4, message="x")]),
        (line(progress=0.5), [Progress(done=0.5)]),
        (line(log="a") + line(log="b"), [Logged(text="a"), Logged(text="b")]),
        (line(log="a", progress=2), [Progress(done=2), Logged(text="a")]),
        (line(error="no"), [Explained(text="no")]),
        (line(log="two\nlines"), [Logged(text="two lines")]),
        (line(progress=True) + line(progress="3") + line(progress=float("nan")), []),
        (line(progress=10**400) + line(log=5) + b"[1]\nnull\n\xff\n{\n", []),
        (b'{"log": "' + b"x" * 10_000 + b'"}\n', []),
        (b"[" * 8000 + b"\n" + line(log="after"), [Logged(text="after")]),
    ],
)
def test_only_what_makes_sense_is_taken(data: bytes, said: list[object]) -> None:
    assert list(told(data)) == said


@given(st.binary(max_size=300))
def test_nothing_that_a_program_writes_breaks_it(data: bytes) -> None:
    assert all(isinstance(each, Progress | Logged | Explained) for each in told(data))


# -- a job that tells ------------------------------------------------------------------------------


async def started(manager: JobManager, schema: Any = None, **fields: Any) -> Job:
    """Start a job that runs until it is finished, under a contract."""
    contract = Contract(definition="d", input={}, output_schema=schema)
    job = await manager.submit(spec(script("sleep"), contract=contract, **fields))

    async def runs() -> bool:
        return (await manager.ledger.get(job.id)).phase is Phase.RUNNING

    await until(runs, "the start")
    return await manager.ledger.get(job.id)


def host_of(manager: JobManager) -> MemoryHost:
    assert isinstance(manager.host, MemoryHost)
    return manager.host


def write(manager: JobManager, job: Job, data: bytes, channel: Channel = Channel.PROGRESS) -> None:
    assert job.run_id is not None
    reports = host_of(manager).reports
    key = (job.run_id, channel)
    reports[key] = reports.get(key, b"") + data


async def ended(manager: JobManager, job: Job, code: int = 0) -> Job:
    assert job.run_id is not None
    host_of(manager).finish(job.run_id, code=code)
    [over] = await manager.wait([job.id], timeout=PATIENCE)
    return over


async def events(manager: JobManager, job: Job) -> list[str]:
    return [entry.event for entry in await manager.ledger.store.journal(job.id)]


async def test_progress_and_log_are_seen_while_it_runs_and_afterwards(build: Build) -> None:
    manager = await build()
    job = await started(manager)
    write(manager, job, line(log="begun") + line(progress=1, total=3) + b'{"log": "hal')
    progress, log = await manager.reports.told_by(job)
    assert progress == Progress(done=1, total=3) and list(log) == ["begun"]
    write(manager, job, b'f"}\n' + line(progress=3, total=3))
    over = await ended(manager, job, code=1)
    progress, log = await manager.reports.told_by(over)
    assert progress == Progress(done=3, total=3) and list(log) == ["begun", "half"]
    assert (await events(manager, job))[-4:] == ["Progressed", "Logged", "Progressed", "Exited"]


async def test_each_line_is_taken_over_once_also_by_the_engine_after_this_one(
    build: Build,
) -> None:
    store, host = MemoryStore(), MemoryHost()
    manager = await build(store=store, host=host)
    job = await started(manager)
    write(manager, job, line(log="1") + line(progress=1))
    await manager.reports.told_by(job)
    write(manager, job, line(log="2"))
    next_one = await build(store=store, host=host)
    await until(lambda: next_one.ledger.active(job.id) is not None, "its adoption")
    progress, log = await next_one.reports.told_by(job)
    assert progress == Progress(done=1) and list(log) == ["1", "2"]
    logged = [e.data["text"] for e in await store.journal(job.id) if e.event == "Logged"]
    assert logged == ["1", "2"]


class SlowStore(MemoryStore):
    """One that takes many turns of the loop to find a journal."""

    async def journal(self, job_id: str) -> list[Entry]:
        found = await super().journal(job_id)
        for _ in range(20):
            await asyncio.sleep(0)
        return found


async def test_nothing_is_taken_over_again_while_it_is_looked_up_what_is_on_record(
    build: Build, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reports, "_LOOK_SECONDS", 0.0)
    store, host = SlowStore(), MemoryHost()
    manager = await build(store=store, host=host)
    job = await started(manager)
    write(manager, job, line(log="1"))
    await manager.reports.told_by(job)
    manager.reports.close()
    next_one = await build(store=store, host=host)
    await until(lambda: next_one.ledger.active(job.id) is not None, "its adoption")
    await ended(next_one, job)
    assert [e.data["text"] for e in await store.journal(job.id) if e.event == "Logged"] == ["1"]


async def test_why_a_run_fails_is_known_at_its_end_however_long_it_was_said_before(
    build: Build,
) -> None:
    store, host = MemoryStore(), MemoryHost()
    manager = await build(store=store, host=host)
    job = await started(manager)
    write(manager, job, line(log="x") + line(error="no room"))
    await manager.reports.told_by(job)
    next_one = await build(store=store, host=host)
    await until(lambda: next_one.ledger.active(job.id) is not None, "its adoption")
    assert (await ended(next_one, job, code=1)).error == "no room"


async def test_an_attempt_that_says_nothing_does_not_fail_for_what_the_one_before_said(
    build: Build,
) -> None:
    manager = await build()
    job = await started(manager, retry=RetryPolicy(max_attempts=2, backoff=0))
    write(manager, job, line(error="of the first"))
    host_of(manager).finish(job.run_id or "", code=1)

    def second() -> Job | None:
        active = manager.ledger.active(job.id)
        return active if active and active.attempt == 2 and active.phase is Phase.RUNNING else None

    await until(lambda: second() is not None, "the second attempt")
    again = second()
    assert again is not None
    assert (await ended(manager, again, code=1)).error != "of the first"


async def test_the_journal_of_a_run_that_progresses_for_days_stays_short_and_has_the_last(
    build: Build,
) -> None:
    clock = SetClock()
    manager = await build(clock=clock)
    job = await started(manager)
    for number in range(5_000):
        clock.at += 60.0
        write(manager, job, line(progress=number))
        await manager.reports.told_by(job)
    progress, _ = await manager.reports.told_by(job)
    assert progress == Progress(done=4_999)
    over = await ended(manager, job)
    noted = [e for e in await manager.ledger.store.journal(job.id) if e.event == "Progressed"]
    assert 100 < len(noted) < 1_000
    assert noted[-1].data["done"] == 4_999
    assert (await manager.reports.told_by(over))[0] == Progress(done=4_999)


async def test_a_log_without_end_is_cut_and_says_so(build: Build) -> None:
    manager = await build()
    job = await started(manager)
    write(manager, job, line(log="x") * 5_000 + line(error="at last"))
    over = await ended(manager, job, code=3)
    assert over.error == "at last"
    log = [
        e.data["text"] for e in await manager.ledger.store.journal(job.id) if e.event == "Logged"
    ]
    assert len(log) == 1_001 and "no further" in log[-1]


# -- its result ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("written", "schema", "error"),
    [
        (b'{"n": 1}', NUMBER, None),
        (b' {"n": 1}\n', NUMBER, None),
        (b'"anything"', None, None),
        (b"", None, None),
        (b"", NUMBER, "left no result"),
        (b" \n", NUMBER, "left no result"),
        (b'{"n": "1"}', NUMBER, "result.n is not what outputSchema promises"),
        (b"{", NUMBER, "no JSON"),
        (b"NaN", None, "NaN is no number"),
        (b'{"n": 1e999}', NUMBER, "no JSON"),
        (b'"\\ud800"', None, "half of a character"),
        (b"\xff", None, "no JSON"),
        (b'"' + b"x" * 5_000 + b'"', None, "more than 4096 bytes"),
    ],
)
async def test_a_result_has_to_keep_the_contract(
    build: Build, written: bytes, schema: Any, error: str | None
) -> None:
    manager = await build(result_limit_bytes=4_096)
    job = await started(manager, schema, retry=RetryPolicy(max_attempts=3, backoff=0))
    write(manager, job, written, Channel.RESULT)
    over = await ended(manager, job)
    stored = await manager.ledger.store.result(job.id)
    if error is None:
        assert over.phase is Phase.COMPLETED and over.reason is None
        assert (
            stored is None
            if not written.strip()
            else json.loads(stored or "") == json.loads(written)
        )
    else:
        assert (over.phase, over.reason, stored) == (Phase.FAILED, Reason.RESULT, None)
        assert over.error is not None and error in over.error
        assert over.attempt == 1  # never repeated: another attempt would owe the same


async def test_what_a_failed_attempt_left_is_no_result(build: Build) -> None:
    manager = await build()
    job = await started(manager, NUMBER)
    write(manager, job, b'{"n": 1}', Channel.RESULT)
    over = await ended(manager, job, code=2)
    assert (over.phase, over.reason) == (Phase.FAILED, Reason.EXIT_CODE)
    assert await manager.ledger.store.result(job.id) is None


async def test_a_job_without_a_contract_is_not_asked_for_anything(build: Build) -> None:
    manager = await build()
    job = await manager.submit(spec(script("sleep")))
    await until(lambda: manager.ledger.active(job.id) and host_of(manager).begun, "the start")
    write(manager, await manager.ledger.get(job.id), line(log="x"))
    over = await ended(manager, await manager.ledger.get(job.id))
    assert over.phase is Phase.COMPLETED
    assert "Logged" not in await events(manager, job)
