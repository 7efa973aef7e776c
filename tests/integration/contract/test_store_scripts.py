"""The two stores, told the same random script, know the same in the end: each is the other's oracle."""

import asyncio
import tempfile
from itertools import product
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from console_automation.adapters.memory import MemoryStore
from console_automation.adapters.sqlite.store import SqliteStore
from console_automation.core.job import TERMINAL, Job, Phase, Status
from console_automation.errors import Unavailable
from console_automation.ports.stores import AuditRecord, Entry, JobFilter, Store
from tests.builders import job, spec

IDS = [f"job-{number}" for number in range(6)]
NAMES = st.sampled_from([None, "a", "b"])
STATUSES = [status for status in Status if status not in (Status.PENDING, Status.RUNNING)]
Script = list[tuple[str, Any]]


@st.composite
def jobs(draw: st.DrawFn) -> Job:
    phase = draw(st.sampled_from(list(Phase)))
    end = draw(st.integers(5, 9))
    times = {"completed_at": float(end), "started_at": draw(st.sampled_from([None, 4.0]))}
    wanted = spec(
        name=draw(NAMES),
        project=draw(st.sampled_from(["", "/p", "/q"])),
        session_id=draw(NAMES),
        tags=draw(st.dictionaries(st.sampled_from("kl"), st.sampled_from("vw"), max_size=2)),
        idempotency_key=draw(st.sampled_from([None, None, "x", "y"])),
    )
    fields = times if phase in TERMINAL else {}
    return job(draw(st.sampled_from(IDS)), phase, spec=wanted, **fields)


STEPS = st.one_of(
    st.tuples(st.just("insert"), jobs()),
    st.tuples(st.just("insert"), jobs()),
    st.tuples(st.just("update"), jobs()),
    st.tuples(st.just("delete"), st.lists(st.sampled_from(IDS), max_size=3)),
    st.tuples(st.just("record"), st.integers(1, 9)),
    st.tuples(st.just("trim"), st.integers(1, 9)),
)


async def play(store: Store, script: Script) -> list[Any]:
    """Carry the script out and return all there is to know afterwards."""
    await store.open()
    writes: list[asyncio.Future[None]] = []
    for number, (step, what) in enumerate(script):
        match step:
            case "insert":
                writes.append(store.insert(what, [_entry(what, number)]))
            case "update":
                before = await _settled(store, writes, what.id)
                if before is not None:  # the engine only updates what it has inserted
                    writes.append(store.update(_moved(before, what), [_entry(what, number)]))
            case "delete":
                writes.append(store.delete(what))
            case "record":
                record = AuditRecord(
                    at=what, client="c", operation="o", job_id=None, outcome=str(number)
                )
                writes.append(store.record(record))
            case "trim":
                await store.trim_audit(before=float(what))
    outcomes = await asyncio.gather(*writes, return_exceptions=True)
    known = [type(outcome) for outcome in outcomes] + await _everything(store)
    await store.close()
    return known


def _entry(of: Job, number: int) -> Entry:
    return Entry(job_id=of.id, at=float(number), event=str(number))


async def _settled(store: Store, writes: "list[asyncio.Future[None]]", job_id: str) -> Job | None:
    await asyncio.gather(*writes, return_exceptions=True)
    return await store.get(job_id)


def _moved(before: Job, to: Job) -> Job:
    """Return the stored job in another's state: what was asked for never changes."""
    return job(
        before.id,
        to.phase,
        spec=before.spec,
        completed_at=to.completed_at,
        started_at=to.started_at,
    )


async def _everything(store: Store) -> list[Any]:
    known: list[Any] = [await store.unfinished(), await store.counts(), await store.timings()]
    known += [await store.get(each) for each in IDS]
    known += [await store.journal(each) for each in IDS]
    known += [await store.find_by_key(key) for key in "xy"]
    known.append(await store.audit(limit=5))
    for wanted in (
        JobFilter(),
        JobFilter(name="a"),
        JobFilter(session_id="b", statuses=(Status.COMPLETED, Status.PENDING)),
        JobFilter(tags={"k": "v"}),
        JobFilter(project="/p"),
        JobFilter(project="/q", name="a"),
    ):
        known.append(await store.page(wanted, before="job-4", limit=3))
    known += [await store.named(name) for name in "abc"]
    known += [await store.begun_with(prefix, limit=2) for prefix in ("job-", "job-3", "job-33")]
    for keep, project in product((0, 1, 3), (None, "/p")):
        expired = await store.expired(
            statuses=STATUSES, ended_before=8.0, keep=keep, limit=9, project=project
        )
        known.append(sorted(each.id for each in expired))  # the order of equals is open
    return known


@settings(max_examples=25, deadline=None)
@given(st.lists(STEPS, max_size=30))
def test_both_stores_come_to_the_same_after_any_script(script: Script) -> None:
    async def both() -> tuple[list[Any], list[Any]]:
        return await play(SqliteStore(Path(home)), script), await play(MemoryStore(), script)

    with tempfile.TemporaryDirectory(prefix="ca-", dir="/tmp") as home:
        from_disk, from_memory = asyncio.run(both())
    assert from_disk == from_memory
    assert all(each in (type(None), Unavailable) for each in from_disk if isinstance(each, type))
