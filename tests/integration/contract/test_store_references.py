"""The contract of the Store port about projects, names and beginnings of ids, and what they are for:
a reference means the same jobs over both stores as it does for somebody who just looks."""

import asyncio
import tempfile
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from console_automation.adapters.memory import MemoryStore
from console_automation.adapters.sqlite.store import SqliteStore
from console_automation.core.job import TERMINAL, Job, Phase, Status
from console_automation.engine.ledger import Ledger
from console_automation.engine.references import meant
from console_automation.ports.stores import JobFilter, Keys, Store
from tests.builders import job, spec

FINISHED = [status for status in Status if status not in (Status.PENDING, Status.RUNNING)]
OF_BEFORE = ""  # the project of jobs that were accepted before there were any


@pytest.fixture(params=["sqlite", "memory"])
async def store(request: pytest.FixtureRequest, home: Path) -> AsyncIterator[Store]:
    opened: Store = MemoryStore() if request.param == "memory" else SqliteStore(home)
    await opened.open()
    yield opened
    await opened.close()


def made(number: str, phase: Phase = Phase.READY, *, at: float = 2.0, **fields: Any) -> Job:
    times = {"completed_at": at} if phase in TERMINAL else {}
    return job(f"job-{number}", phase, spec=spec(**fields), **times)


async def fill(store: Store, jobs: Sequence[Job]) -> None:
    await asyncio.gather(*(store.insert(each, []) for each in jobs))


def numbers(jobs: Sequence[Job]) -> str:
    return "".join(each.id.removeprefix("job-") for each in jobs)


SHELF = (
    made("1", Phase.COMPLETED, name="a", project="/p", at=4.0),
    made("2", Phase.RUNNING, name="a", project="/p"),
    made("3", Phase.FAILED, name="a", project="/p", at=3.0),
    made("4", Phase.COMPLETED, name="a", project="/q", at=9.0),
    made("5", Phase.CANCELLED, name="a", project="/q", at=8.0),
    made("6", Phase.READY, name="a", project=OF_BEFORE),
    made("7", Phase.DELAYED, name="a", project=OF_BEFORE),
    made("8", Phase.INTERRUPTED, name="a", project=OF_BEFORE, at=1.0),
    made("9", Phase.BLOCKED, name="A", project="/p%"),
)


async def test_of_a_name_each_project_has_its_active_job_or_else_its_newest(store: Store) -> None:
    await fill(store, SHELF)
    assert numbers(await store.named("a")) == "752"
    assert await store.named("A") == [SHELF[8]]
    assert await store.named("%") == await store.named("") == []
    await store.update(made("2", Phase.FAILED, name="a", project="/p"), [])
    assert numbers(await store.named("a")) == "753"


async def test_a_page_of_a_project_has_its_jobs_and_no_others(store: Store) -> None:
    await fill(store, SHELF)

    async def page(before: str | None = None, limit: int = 9, **wanted: Any) -> tuple[str, int]:
        jobs, total = await store.page(JobFilter(**wanted), before=before, limit=limit)
        return numbers(jobs), total

    assert await page(project="/p") == ("321", 3)
    assert await page(project="/p", limit=2) == ("32", 3)
    assert await page(project="/p", before="job-2") == ("1", 3)
    assert await page(project="/p", statuses=(Status.FAILED, Status.RUNNING)) == ("32", 2)
    assert await page(project="/p%") == ("9", 1)
    assert await page(project="/p", name="A") == ("", 0)
    assert await page(project=OF_BEFORE) == ("", 0)
    assert (await page())[1] == 9


async def test_expired_jobs_of_a_project_are_told_as_if_there_were_no_other(store: Store) -> None:
    await fill(store, SHELF)

    async def expired(project: str | None, *, keep: int = 0, before: float = 99.0) -> str:
        found = await store.expired(
            statuses=FINISHED, ended_before=before, keep=keep, limit=9, project=project
        )
        return numbers(found)

    assert await expired("/p") == "31"
    assert await expired("/p", keep=1) == "3"
    assert await expired("/p", keep=2) == await expired("/p", keep=3) == ""
    assert await expired("/q", keep=1) == "5"
    assert await expired("/p", before=4.0) == "3"
    assert await expired("/none") == await expired(OF_BEFORE) == ""
    assert await expired(None) == "83154"


async def test_the_beginning_of_an_id_finds_all_that_begin_with_it(store: Store) -> None:
    await fill(store, [made(each) for each in ("01a", "01b", "01ba", "02", "1")])

    async def begun(prefix: str, limit: int = 9) -> tuple[list[str], int]:
        jobs, total = await store.begun_with(prefix, limit=limit)
        return [each.id.removeprefix("job-") for each in jobs], total

    assert await begun("job-01") == (["01ba", "01b", "01a"], 3)
    assert await begun("job-01b") == (["01ba", "01b"], 2)
    assert await begun("job-", 2) == (["1", "02"], 5)
    assert await begun("job-02") == (["02"], 1)
    await fill(store, [made("01c", owner="o"), made("02c", owner="o"), made("01d", owner="p")])
    of_one = await store.begun_with("job-01", limit=9, owner="o")
    assert ([each.id for each in of_one[0]], of_one[1]) == (["job-01c"], 1)
    assert (await store.begun_with("job-0", limit=1, owner="o"))[1] == 2
    for nothing in ("job-01bab", "JOB-01", "job-0_", "job-%", "job-*", "ob-0", "job-01 "):
        assert await begun(nothing) == ([], 0), nothing


@pytest.mark.parametrize("last", ["\U0010ffff", "\ud7ff", "\uffff", "\x7f", "z", "\0"])
async def test_an_id_may_be_asked_for_with_any_last_character(store: Store, last: str) -> None:
    await fill(store, [made("0")])
    assert await store.begun_with(f"job-{last}", limit=9) == ([], 0)
    assert await store.begun_with(f"job-0{last}", limit=9) == ([], 0)
    assert await store.named(last) == []


# -- what a reference means ------------------------------------------------------------------------

IDS = st.text("01ab", min_size=1, max_size=4).map(lambda rest: f"job-{rest}")
PROJECTS = st.sampled_from(["/p", "/q", "/p/%", "/ä", OF_BEFORE])
#: What looks like a pattern, like a piece of a statement, like an id, or like another name.
ODD = ("%", "_", "*", "job-%", "job-_", "0%", "'", '"; --', "ä", "Ä", "ß", "JOB-0", "job-", "job")
NAMES = st.one_of(
    st.sampled_from(ODD),
    IDS,
    st.text("01abAB", min_size=1, max_size=4),
    st.text(st.characters(exclude_categories=["Cc", "Cs"]), min_size=1, max_size=3),
)


@st.composite
def shelves(draw: st.DrawFn) -> list[Job]:
    ids = draw(st.lists(IDS, min_size=4, max_size=12, unique=True))
    like_ids = st.sampled_from([*ids, *(each.removeprefix("job-") for each in ids)])
    names = st.sampled_from(draw(st.lists(NAMES | like_ids, min_size=1, max_size=3)))
    jobs: list[Job] = []
    for job_id in ids:
        phase = draw(st.sampled_from(list(Phase)))
        times = {"completed_at": draw(st.sampled_from([1.0, 2.0]))} if phase in TERMINAL else {}
        asked = spec(name=draw(st.none() | names), project=draw(PROJECTS))
        jobs.append(job(job_id, phase, spec=asked, **times))
    return jobs


def looked_up(jobs: Sequence[Job], reference: str, project: str | None) -> list[Job]:
    """What a person would point at who has all jobs on one sheet, the newest on top."""
    sheet = sorted(jobs, key=lambda each: each.id, reverse=True)
    whole = reference if reference.startswith("job-") else f"job-{reference}"
    if exact := [each for each in sheet if each.id == whole]:
        return exact
    named: dict[str, Job] = {}
    for each in [*filter(lambda each: not each.is_terminal, sheet), *sheet]:
        if each.spec.name == reference:
            named.setdefault(each.spec.project, each)
    if project in named:
        return [named[project]]
    if named:
        return sorted(named.values(), key=lambda each: each.id, reverse=True)
    return [each for each in sheet if each.id.startswith(whole)]


Question = tuple[str, str | None, int]


@st.composite
def stories(draw: st.DrawFn) -> tuple[list[Job], list[Question]]:
    """Jobs, and questions that are mostly about them."""
    jobs = draw(shelves())
    names = st.sampled_from([each.spec.name for each in jobs if each.spec.name] or ["n"])
    known = names | st.sampled_from([each.id for each in jobs])
    cut = st.tuples(known, st.integers(1, 9)).map(lambda each: each[0][: each[1]])
    asked = st.tuples(names | known | cut | NAMES, st.none() | PROJECTS, st.integers(1, 4))
    return jobs, draw(st.lists(asked, min_size=4, max_size=12))


@hypothesis_settings(max_examples=30, deadline=None)
@given(stories())
def test_a_reference_means_what_one_who_looks_would_point_at(
    story: tuple[list[Job], list[Question]],
) -> None:
    jobs, questions = story

    async def ask(store: Store) -> None:
        await store.open()
        await fill(store, jobs)
        ledger = Ledger(store, lambda *told: None)
        for reference, project, limit in questions:
            found = await meant(ledger, reference, project=project, limit=limit)
            pointed = looked_up(jobs, reference, project)
            assert found == (pointed[:limit], len(pointed)), (type(store), reference, project)
        await store.close()

    with tempfile.TemporaryDirectory(prefix="ca-", dir="/tmp") as home:
        asyncio.run(ask(MemoryStore()))
        asyncio.run(ask(SqliteStore(Path(home))))


async def test_expired_jobs_are_told_by_whose_key_they_have(store: Store) -> None:
    keys = {"1": "cluster:a:1", "2": "cluster", "3": None, "4": "cluster:b:2"}
    shelf = [
        made(name, Phase.COMPLETED, idempotency_key=key, at=float(name))
        for name, key in keys.items()
    ]
    await fill(store, shelf)

    async def expired(wanted: Keys | None) -> str:
        completed = [Status.COMPLETED]
        return numbers(
            await store.expired(statuses=completed, ended_before=9, keep=0, limit=9, keys=wanted)
        )

    assert await expired(Keys(prefix="cluster:", is_theirs=True)) == "14"
    assert await expired(Keys(prefix="cluster:", is_theirs=False)) == "23"
    assert await expired(None) == "1234"
