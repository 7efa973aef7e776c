"""Promise 13 (database side): a full disk refuses submissions, loses no exit code, and heals by itself.

The disk is a real one, small and in memory, so these tests need root (or the right to mount).
"""

import asyncio
import shutil
import subprocess
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import TypeVar

import pytest

from console_automation.adapters.sqlite.store import SqliteStore
from console_automation.app import App, open_app
from console_automation.config import Settings
from console_automation.core.job import Job, Status
from console_automation.errors import StoreFull, Unavailable
from console_automation.ports.stores import Entry, JobFilter
from tests.builders import job
from tests.conftest import CALM
from tests.waiting import PATIENCE, until

T = TypeVar("T")
MANY = 5000  # writes; a disk that takes so many small ones is not full


class Disk:
    """A small disk, mounted on a state directory."""

    def __init__(self, home: Path) -> None:
        self._filler = home / "filler"

    def fill(self, *, but: int = 0) -> None:
        """Leave no byte free, or some pages of 4 KiB."""
        with self._filler.open("ab", buffering=0) as file:
            for size in (1 << 20, 4096, 1):
                try:
                    while True:
                        file.write(bytes(size))
                except OSError:
                    continue
            file.truncate(file.tell() - but * 4096)

    def free(self) -> None:
        self._filler.unlink()


@pytest.fixture
def disk(home: Path) -> Iterator[Disk]:
    mount = ["mount", "-t", "tmpfs", "-o", "size=32m,mode=0700", "console-automation-test", home]
    try:
        subprocess.run(mount, check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"a full disk needs the right to mount one: {error}")
    try:
        yield Disk(home)
    finally:
        subprocess.run(["umount", "--lazy", home], check=True)


async def repeat_until_full(write: Callable[[int], Awaitable[T]]) -> list[T]:
    """Return what the writes came to before one was refused because the disk is full."""
    done: list[T] = []
    refusal: Unavailable | None = None
    while refusal is None and len(done) < MANY:
        try:
            done.append(await write(len(done)))
        except Unavailable as error:
            refusal = error
    assert refusal, "the disk is not full"
    assert "is full" in refusal.message and "Free some space" in refusal.message
    return done


async def test_a_store_on_a_full_disk_refuses_keeps_what_it_has_and_heals(
    home: Path, disk: Disk
) -> None:
    store = SqliteStore(home)
    await store.open()
    disk.fill()

    async def insert(number: int) -> Job:
        new = job(f"job-{number:05}")
        await store.insert(new, [Entry(job_id=new.id, at=1.0, event="Submitted")])
        return new

    taken = await repeat_until_full(insert)
    assert len(taken) > 20  # the space that was put by for the ends of running jobs
    assert await store.unfinished() == taken
    together = [store.insert(job(f"late-{n:03}"), []) for n in range(100)]
    refused = await asyncio.gather(*together, return_exceptions=True)
    assert {type(each) for each in refused} == {StoreFull}
    disk.free()
    await store.insert(job("job-after"), [])
    await store.close()
    again = SqliteStore(home)
    await again.open()
    jobs, _ = await again.page(JobFilter(), before=None, limit=2 * MANY)
    assert [each.id for each in jobs[::-1]] == [*(each.id for each in taken), "job-after"]
    assert all([len(await again.journal(each.id)) for each in taken])
    await again.close()


async def test_a_first_start_with_too_little_space_says_so_and_spoils_nothing(
    home: Path, disk: Disk
) -> None:
    refused = 0
    for pages in (0, 8, *range(16, 32), 512):
        state = home / f"{pages}"
        state.mkdir()
        disk.fill(but=pages)
        store = SqliteStore(state)
        try:
            await store.open()
            await store.close()
        except StoreFull:
            refused += 1
        disk.free()
        again = SqliteStore(state)
        await again.open()
        await again.insert(job("job-1"), [])
        await again.close()
        shutil.rmtree(state)
    assert 5 < refused < 19


async def test_a_state_directory_that_is_new_on_a_full_disk_is_refused_plainly(
    home: Path, disk: Disk, settings: Settings
) -> None:
    disk.fill()
    with pytest.raises(StoreFull, match="Free some space"):
        async with open_app(home / "new", settings):
            pass
    disk.free()
    async with open_app(home / "new", settings) as app:
        assert await status(app, await app.start_background_job("exit 6")) == ("failed", 6)


async def start_waiting(app: App, marker: Path) -> str:
    """Start a job that ends with 42 once the marker is there; return when it runs."""
    line = f"touch {marker}.run; while ! [ -e {marker} ]; do sleep 0.01; done; echo done; exit 42"
    job_id = await app.start_background_job(line)
    await until(Path(f"{marker}.run").exists)
    return job_id


async def status(app: App, job_id: str) -> tuple[str, int | None]:
    found = await app.get_background_job_status(job_id, wait_ms=PATIENCE * 1000)
    return found["status"], found.get("exitCode")


async def test_a_full_disk_refuses_submissions_loses_no_exit_code_and_heals_by_itself(
    home: Path, disk: Disk, tmp_path: Path
) -> None:
    marker = tmp_path / "go-on"
    settings = Settings(**CALM, max_concurrent_jobs=1)
    async with open_app(home, settings) as app:
        running = await start_waiting(app, marker)
        disk.fill()
        waiting = await repeat_until_full(lambda _: app.start_background_job("exit 0"))
        marker.touch()
        assert await status(app, running) == ("failed", 42)
        disk.free()
        for job_id in waiting:
            assert await status(app, job_id) == ("completed", 0)
        new = await app.start_background_job("exit 3")
        assert await status(app, new) == ("failed", 3)
        await until(lambda: app.engine.jobs.ledger.active(running) is None, "its end to be saved")
    async with open_app(home, settings) as app:
        assert await status(app, running) == ("failed", 42)
        counts = await app.engine.jobs.ledger.store.counts()
        assert counts == {Status.COMPLETED: len(waiting), Status.FAILED: 2}


async def test_a_job_that_ends_on_a_full_disk_while_nobody_looks_keeps_its_exit_code(
    home: Path, disk: Disk, tmp_path: Path, settings: Settings
) -> None:
    marker = tmp_path / "go-on"
    async with open_app(home, settings) as app:
        running = await start_waiting(app, marker)
    disk.fill()
    marker.touch()
    with pytest.raises(StoreFull, match="Free some space"):
        async with open_app(home, settings):
            pass
    disk.free()
    async with open_app(home, settings) as app:
        assert await status(app, running) == ("failed", 42)
