"""The contract of the RunHost port, kept alike by real shims and by the memory host.

Promise 3: a run begins at most once per id. Promise 8: when the end is told, the output is complete.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from console_automation.adapters.memory_host import MemoryHost
from console_automation.adapters.output_log import SegmentLog
from console_automation.core.job import Cause, Channel, Job, Phase
from console_automation.core.output import Page
from console_automation.core.recovery import Hold, RunFacts
from console_automation.errors import Conflict
from console_automation.ports.runs import RunHost
from tests.builders import job, script, spec
from tests.integration.contract.stages import Stage, played
from tests.waiting import PATIENCE, until

FOREVER = "sleep 1000"
PROGRESS = "CONSOLE_AUTOMATION_PROGRESS"


class JobStage(Stage):
    """A stage for jobs, which know how often a run was really begun."""

    def times_begun(self, run_id: str) -> int:
        raise NotImplementedError

    def run(self, run_id: str, text: str, **command: Any) -> str:
        job = self.job(text, **command)
        self.host.start(run_id, job.spec.command, before=job.output)
        return run_id

    def job(self, text: str, **command: Any) -> Job:
        return job("job-1", Phase.STARTING, spec=spec(script(text, **command)))


class ShimStage(JobStage):
    def times_begun(self, run_id: str) -> int:
        marks = self.home / run_id
        return len(marks.read_text().splitlines()) if marks.exists() else 0

    def job(self, text: str, **command: Any) -> Job:
        return super().job(
            f'echo begun >> "{self.home}/$CONSOLE_AUTOMATION_RUN"; {text}', **command
        )


class MemoryStage(JobStage):
    def __init__(self, home: Path) -> None:
        super().__init__(home)
        self.only = MemoryHost()

    def make(self) -> RunHost:
        return self.only

    def times_begun(self, run_id: str) -> int:
        return self.only.begun.count(run_id)


@pytest.fixture(params=["shims", "memory"])
async def stage(request: pytest.FixtureRequest, home: Path) -> AsyncIterator[JobStage]:
    opened = ShimStage(home) if request.param == "shims" else MemoryStage(home)
    async with played(opened):
        yield opened


@pytest.mark.parametrize("code", [0, 1, 42, 255])
async def test_a_run_ends_with_the_exit_of_its_command(stage: JobStage, code: int) -> None:
    exit = await stage.ended(stage.run("job-1.1", f"exit {code}"))
    assert (exit.cause, exit.code, exit.signal) == (Cause.EXIT, code, None)
    assert exit.started_at and exit.started_at <= exit.ended_at
    assert not stage.observer.refused and not stage.observer.failures


async def test_a_run_that_goes_on_is_told_as_started_and_counted_as_live(stage: JobStage) -> None:
    assert await stage.begun(stage.run("job-1.1", FOREVER)) > 0
    assert stage.host.capacity["live"] == 1
    assert stage.observer.end_of("job-1.1") is None


async def test_a_stopped_run_says_that_it_was_cancelled(stage: JobStage) -> None:
    await stage.begun(stage.run("job-1.1", FOREVER))
    stage.host.stop("job-1.1", signal=15, grace=PATIENCE)
    exit = await stage.ended("job-1.1")
    assert (exit.cause, exit.code, exit.signal) == (Cause.CANCEL, None, 15)
    stage.host.confirm("job-1.1", discard=False)
    await until(lambda: stage.host.capacity["live"] == 0)


async def test_a_run_that_is_stopped_at_once_ends_or_never_begins(stage: JobStage) -> None:
    stage.run("job-1.1", FOREVER)
    stage.host.stop("job-1.1", signal=9, grace=0.0)
    await until(lambda: stage.observer.exits or stage.observer.found)
    exit = stage.observer.end_of("job-1.1")
    if exit is None:
        assert stage.observer.found["job-1.1"].hold is Hold.FENCED
        assert stage.times_begun("job-1.1") == 0
    else:
        assert exit.cause is Cause.CANCEL


async def test_stopping_what_does_not_run_changes_nothing(stage: JobStage) -> None:
    stage.host.stop("job-0.1", signal=15, grace=1.0)
    ended = await stage.ended(stage.run("job-1.1", "exit 4"))
    stage.host.stop("job-1.1", signal=15, grace=1.0)
    stage.host.confirm("job-1.1", discard=False)
    stage.host.stop("job-1.1", signal=15, grace=1.0)
    assert (await stage.ended(stage.run("job-1.2", "exit 5"))).cause is Cause.EXIT
    assert stage.observer.end_of("job-1.1") == ended
    assert stage.observer.end_of("job-0.1") is None


async def test_a_run_begins_once_however_often_it_is_started(stage: JobStage) -> None:
    assert (await stage.ended(stage.run("job-1.1", "exit 7"))).code == 7
    stage.run("job-1.1", "exit 7")
    stage.host.confirm("job-1.1", discard=False)
    stage.run("job-1.1", "exit 7")
    await stage.reopen()
    assert (await stage.ended(stage.run("job-1.1", "exit 7"))).code == 7  # it is on record
    await stage.ended(stage.run("job-1.2", "exit 0"))
    assert (stage.times_begun("job-1.1"), stage.times_begun("job-1.2")) == (1, 1)


async def test_a_run_that_is_started_many_times_at_once_begins_once_or_is_fenced(
    stage: JobStage,
) -> None:
    for number in range(8):
        run_id = f"job-{number}.1"
        for _ in range(3):
            stage.run(run_id, "exit 7")
    for number in range(8):
        run_id = f"job-{number}.1"
        await until(
            lambda run_id=run_id: run_id in {**stage.observer.found, **stage.observer.exits}
        )
        exit = stage.observer.end_of(run_id)
        assert exit is None or exit.code == 7
        assert stage.times_begun(run_id) == (exit is not None)


async def test_a_run_nobody_knows_is_fenced_and_can_never_begin(stage: JobStage) -> None:
    stage.host.adopt("job-1.1")
    assert (await stage.fact("job-1.1")) == RunFacts(hold=Hold.FENCED)
    stage.observer.found.clear()
    stage.run("job-1.1", "exit 0")
    assert (await stage.fact("job-1.1")) == RunFacts(hold=Hold.FENCED)
    await stage.reopen()
    stage.host.adopt("job-1.1")
    assert (await stage.fact("job-1.1")) == RunFacts(hold=Hold.FENCED)
    assert stage.observer.end_of("job-1.1") is None
    await stage.ended(stage.run("job-1.2", "exit 0"))


async def test_a_run_that_ended_meanwhile_is_found_with_its_exit(stage: JobStage) -> None:
    before = await stage.ended(stage.run("job-1.1", "exit 5"))
    for _ in range(2):  # its end was never confirmed: the next daemon wants to know it, too
        await stage.reopen()
        stage.host.adopt("job-1.1")
        assert await stage.ended("job-1.1") == before
    assert stage.times_begun("job-1.1") == 1


async def test_a_live_run_is_taken_up_again_and_obeys(stage: JobStage) -> None:
    await stage.begun(stage.run("job-1.1", FOREVER))
    for _ in range(2):
        await stage.reopen()
        stage.host.adopt("job-1.1")
        stage.host.adopt("job-1.1")
    stage.host.stop("job-1.1", signal=15, grace=PATIENCE)
    exit = await stage.ended("job-1.1")
    assert (exit.cause, exit.signal) == (Cause.CANCEL, 15)
    assert stage.times_begun("job-1.1") == 1


async def test_confirming_and_discarding_may_be_repeated_and_may_come_for_nothing(
    stage: JobStage,
) -> None:
    stage.host.confirm("job-0.1", discard=True)
    stage.host.discard("job-0.1")
    await stage.ended(stage.run("job-1.1", "exit 0"))
    for discard in (False, True, True):
        stage.host.confirm("job-1.1", discard=discard)
        stage.host.discard("job-1.1")
    assert (await stage.ended(stage.run("job-1.2", "exit 9"))).code == 9


async def test_input_is_taken_by_a_run_that_keeps_its_stdin_open_and_by_no_other(
    stage: JobStage,
) -> None:
    await stage.begun(stage.run("job-1.1", FOREVER, keep_stdin=True))
    await stage.begun(stage.run("job-1.2", FOREVER))
    assert await stage.host.send_input("job-1.1", "häß\n", eof=False) == 6
    with pytest.raises(Conflict):
        await stage.host.send_input("job-1.2", "x", eof=False)


async def test_waiting_for_output_returns_when_the_run_is_over(stage: JobStage) -> None:
    await stage.begun(stage.run("job-1.1", FOREVER))
    waits = [asyncio.create_task(stage.host.wait_for_output("job-1.1", after=0)) for _ in range(3)]
    waits[0].cancel()
    stage.host.stop("job-1.1", signal=9, grace=0.0)
    await asyncio.wait_for(asyncio.gather(*waits[1:]), PATIENCE)
    await asyncio.wait_for(stage.host.wait_for_output("job-0.1", after=0), PATIENCE)


async def test_nobody_waits_for_output_of_a_run_whose_end_was_told(stage: JobStage) -> None:
    await stage.ended(stage.run("job-1.1", "exit 0"))
    wait = asyncio.create_task(stage.host.wait_for_output("job-1.1", after=1000))
    await asyncio.sleep(0)
    stage.host.confirm("job-1.1", discard=False)
    await asyncio.wait_for(wait, PATIENCE)
    await asyncio.wait_for(stage.host.wait_for_output("job-1.1", after=1000), PATIENCE)


async def test_a_run_nobody_knows_has_made_no_progress(stage: JobStage) -> None:
    assert stage.host.progress("job-0.1") is None


async def test_closing_lets_go_of_live_runs_and_may_be_repeated(stage: JobStage) -> None:
    await stage.begun(stage.run("job-1.1", FOREVER))
    told = stage.observer
    await stage.host.close()
    await stage.host.close()
    await stage.open()
    stage.host.adopt("job-1.1")
    stage.host.stop("job-1.1", signal=15, grace=PATIENCE)
    await stage.ended("job-1.1")
    assert told.end_of("job-1.1") is None and not told.failures


# -- what only a real run can show -----------------------------------------------------------------


@pytest.fixture
async def shims(home: Path) -> AsyncIterator[ShimStage]:
    opened = ShimStage(home)
    await opened.open()
    yield opened
    await opened.host.close()


def pages(runs: Path, run_id: str, **bounds: int) -> list[Page]:
    """Return the output page by page."""
    log, found, since = SegmentLog(runs), list[Page](), 0
    wanted: Mapping[str, int] = {"max_bytes": 1 << 30, "max_chunks": 1 << 30, **bounds}
    while not found or found[-1].has_more:
        found.append(log.read(run_id, since=since, stream=None, **wanted))
        since = found[-1].next_since
    return found


async def test_when_the_end_is_told_the_output_is_complete(shims: ShimStage) -> None:
    runs = [f"job-{number}.1" for number in range(30)]
    for run_id in runs:
        shims.run(run_id, f"echo out of {run_id}; echo err >&2; printf last")
    for run_id in runs:
        exit = await shims.ended(run_id)
        chunks = [c for page in pages(shims.home / "runs", run_id) for c in page.chunks]
        printed = {
            s: b"".join(c.data for c in chunks if c.stream == s) for s in ("stdout", "stderr")
        }
        assert printed == {"stdout": f"out of {run_id}\nlast".encode(), "stderr": b"err\n"}
        assert exit.output.last_sequence == chunks[-1].sequence
        assert exit.output.bytes == sum(len(chunk.data) for chunk in chunks)
        shims.host.confirm(run_id, discard=False)


async def test_any_partition_into_pages_gives_the_same_output(shims: ShimStage) -> None:
    await shims.ended(shims.run("job-1.1", "seq 20000; seq 3 >&2"))
    runs = shims.home / "runs"
    [whole] = pages(runs, "job-1.1")
    for bounds in ({"max_bytes": 1}, {"max_bytes": 5000}, {"max_chunks": 1}, {"max_chunks": 3}):
        cut = pages(runs, "job-1.1", **bounds)
        assert tuple(chunk for page in cut for chunk in page.chunks) == whole.chunks
        assert len(cut) > 3 and cut[-1].next_since == whole.next_since
    end = SegmentLog(runs).read_end("job-1.1", max_bytes=5000, stream="stdout")
    out = [chunk for chunk in whole.chunks if chunk.stream == "stdout"]
    assert list(end.chunks) == out[-len(end.chunks) :] and end.chunks


async def test_the_output_of_a_run_nobody_knows_is_empty(tmp_path: Path) -> None:
    log = SegmentLog(tmp_path)
    nothing = Page(next_since=7)
    assert log.read("job-0.1", since=7, max_bytes=9, max_chunks=9, stream=None) == nothing
    assert log.read_end("job-0.1", max_bytes=9, stream=None) == Page()


async def test_output_wakes_those_who_wait_for_it(shims: ShimStage) -> None:
    await shims.begun(shims.run("job-1.1", "echo first; read line; echo second", keep_stdin=True))
    await asyncio.wait_for(shims.host.wait_for_output("job-1.1", after=0), PATIENCE)
    second = asyncio.create_task(shims.host.wait_for_output("job-1.1", after=1))
    counts = shims.host.progress("job-1.1")
    assert counts and (counts.last_sequence, counts.bytes) == (1, 6) and not second.done()
    await shims.host.send_input("job-1.1", "go\n", eof=True)
    await asyncio.wait_for(second, PATIENCE)
    assert (await shims.ended("job-1.1")).output.bytes == 13


async def test_discarding_deletes_the_directory_of_an_ended_run(shims: ShimStage) -> None:
    for number, discard in ((1, True), (2, False)):
        await shims.ended(shims.run(f"job-{number}.1", "echo"))
        shims.host.confirm(f"job-{number}.1", discard=discard)
        shims.host.discard(f"job-{number}.1")
    await until(lambda: not list((shims.home / "runs").iterdir()))


async def test_a_run_that_cannot_be_begun_is_refused_with_the_reason(shims: ShimStage) -> None:
    runs = shims.home / "runs"
    runs.rmdir()
    shims.run("job-1.1", "exit 0")
    assert "No such file" in await until(lambda: shims.observer.refused.get("job-1.1"))
    runs.mkdir()
    await shims.ended(shims.run("job-1.2", "exit 0"))
    assert shims.times_begun("job-1.1") == 0


# -- what a program tells beside its output --------------------------------------------------------


async def ran(stage: ShimStage, text: str, **command: Any) -> str:
    run_id = stage.run("job-1.1", text, **command)
    await until(lambda: stage.observer.end_of(run_id), "the end")
    return run_id


async def test_what_a_program_writes_to_its_own_files_can_be_read_in_parts(
    shims: ShimStage,
) -> None:
    line = f"printf 12345 >> ${PROGRESS}; printf '{{}}' > $CONSOLE_AUTOMATION_RESULT"
    run_id = await ran(shims, line, reports=True)
    read = shims.host.report
    assert read(run_id, Channel.PROGRESS) == b"12345"
    assert read(run_id, Channel.PROGRESS, since=2, max_bytes=2) == b"34"
    assert read(run_id, Channel.PROGRESS, since=9) == b""
    assert read(run_id, Channel.RESULT) == b"{}"
    assert read(run_id, Channel.REPORT) is None
    assert read("job-2.1", Channel.RESULT) is None


async def test_a_program_that_owes_no_report_is_given_no_files(shims: ShimStage) -> None:
    line = f'[ -z "${PROGRESS}$CONSOLE_AUTOMATION_RESULT$CONSOLE_AUTOMATION_REPORT" ]'
    end = shims.observer.end_of(await ran(shims, line))
    assert end is not None and end.code == 0


@pytest.mark.parametrize(
    "instead", ["mkfifo", "mkdir", "ln -s /etc/passwd", "ln -s /dev/zero", "ln -s nowhere"]
)
async def test_what_is_no_file_of_its_own_is_not_read(shims: ShimStage, instead: str) -> None:
    run_id = await ran(shims, f"{instead} ${PROGRESS}", reports=True)
    end = shims.observer.end_of(run_id)
    assert end is not None and end.code == 0
    assert shims.host.report(run_id, Channel.PROGRESS) is None
