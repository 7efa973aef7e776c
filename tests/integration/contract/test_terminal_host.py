"""What every RunHost promises of runs on terminals, on POSIX and on Windows alike.

The programs are Python, the expectations allow for a terminal that draws its screen anew in its own
sequences, as Windows' does. Over pywinpty it runs on Windows; here the same code runs over a terminal
of POSIX that has pywinpty's interface.
"""

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from console_automation.adapters.output_log import SegmentLog
from console_automation.adapters.windows_sessions import WindowsSessions
from console_automation.core.job import (
    Cause,
    Channel,
    Command,
    OnOutputLimit,
    OutputCounts,
    TerminalSize,
)
from console_automation.core.output import Chunk
from console_automation.core.recovery import Hold, RunFacts
from console_automation.errors import ConsoleAutomationError
from console_automation.ports.runs import RunHost
from tests.integration.contract import fake_winpty
from tests.integration.contract.stages import Stage, played
from tests.waiting import PATIENCE, until

SIZE = TerminalSize(cols=101, rows=37)
RUN = "session-1.1"
ON_WINDOWS = sys.platform == "win32"
BACKENDS = [
    pytest.param("shims", marks=pytest.mark.skipif(ON_WINDOWS, reason="shims need POSIX")),
    pytest.param(
        "winpty", marks=pytest.mark.skipif(not ON_WINDOWS, reason="pywinpty is for Windows alone")
    ),
    pytest.param(
        "winpty's interface",
        marks=pytest.mark.skipif(ON_WINDOWS, reason="ptyprocess needs a POSIX terminal"),
    ),
]


class TerminalStage(Stage):
    """A stage for programs on terminals, which shims have."""

    outlives = True  #: whether runs go on when their host has closed

    def start(self, program: str, run_id: str = RUN, **fields: Any) -> str:
        """Run a Python program that tells how often it was begun."""
        marks = str(self.home / f"{run_id}.begun")
        program = f"open({marks!r}, 'a').write('begun\\n')\n{program}"
        self.host.start(run_id, python(program, **fields), before=OutputCounts())
        return run_id

    def times_begun(self, run_id: str = RUN) -> int:
        marks = self.home / f"{run_id}.begun"
        return len(marks.read_text().splitlines()) if marks.exists() else 0

    def chunks(self, run_id: str = RUN) -> tuple[Chunk, ...]:
        log = SegmentLog(self.home / "runs")
        return log.read(run_id, since=0, max_bytes=1 << 30, max_chunks=1 << 30, stream=None).chunks

    def printed(self, run_id: str = RUN) -> str:
        return b"".join(chunk.data for chunk in self.chunks(run_id)).decode()

    async def shows(self, text: str, run_id: str = RUN) -> None:
        await until(lambda: text in self.printed(run_id), f"{text!r} to be printed")


class WindowsStage(TerminalStage):
    outlives = False

    def make(self) -> RunHost:
        return WindowsSessions(runs=self.home / "runs")


def python(program: str, **fields: Any) -> Command:
    argv = (sys.executable, "-I", "-S", "-c", program)
    path = os.environ.get("PATH", "")
    environment = {"PATH": path, "PYTHONUTF8": "1", **fields.pop("environment", {})}
    given: dict[str, Any] = {"terminal": SIZE, "cwd": str(Path.home()), **fields}
    return Command(
        line="python",
        args=argv[1:],
        shell=False,
        executable=argv[0],
        argv=argv,
        environment=environment,
        **given,
    )


@pytest.fixture(params=BACKENDS)
async def stage(
    request: pytest.FixtureRequest, home: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[TerminalStage]:
    if request.param == "winpty's interface":
        monkeypatch.setitem(sys.modules, "winpty", fake_winpty)
    opened = TerminalStage(home) if request.param == "shims" else WindowsStage(home)
    async with played(opened):
        yield opened


@pytest.mark.parametrize("code", [0, 1, 42, 126, 127, 137, 255])
async def test_a_session_ends_with_the_exit_code_of_its_program(
    stage: TerminalStage, code: int
) -> None:
    exit = await stage.ended(stage.start(f"import sys; sys.exit({code})"))
    assert (exit.cause, exit.code, exit.signal) == (Cause.EXIT, code, None)
    assert exit.started_at and exit.started_at <= exit.ended_at
    assert not stage.observer.refused and not stage.observer.failures


async def test_when_the_end_is_told_the_output_is_complete(stage: TerminalStage) -> None:
    for number in range(10):
        program = f"print('häß 日本 ' * 50); print('the last of {number}', end='', flush=True)"
        run_id = stage.start(program, f"session-{number}.1")
        exit = await stage.ended(run_id)
        assert f"the last of {number}" in stage.printed(run_id)
        chunks = stage.chunks(run_id)
        assert {chunk.stream for chunk in chunks} == {"stdout"}
        assert exit.output.last_sequence == chunks[-1].sequence == len(chunks)
        assert exit.output.bytes == sum(len(chunk.data) for chunk in chunks)
        for chunk in chunks:
            assert chunk.data.decode()  # no character is cut in two
        stage.host.confirm(run_id, discard=False)


async def test_a_program_has_a_terminal_of_the_size_that_was_asked_for(
    stage: TerminalStage,
) -> None:
    program = "import os, sys\nprint(sys.stdin.isatty(), sys.stdout.isatty(), {})"
    await stage.ended(stage.start(program.format("tuple(os.get_terminal_size())")))
    assert "True True (101, 37)" in stage.printed()


WATCHES_ITS_SIZE = """
import os, time
size = None
while size != (60, 20):
    if tuple(os.get_terminal_size()) != size:
        size = tuple(os.get_terminal_size())
        print("it is", *size, flush=True)
    time.sleep(0.01)
"""


async def test_a_program_sees_a_new_size(stage: TerminalStage) -> None:
    stage.start(WATCHES_ITS_SIZE)
    await stage.shows("it is 101 37")
    await stage.host.resize(RUN, TerminalSize(cols=60, rows=20))
    assert (await stage.ended(RUN)).code == 0
    assert "it is 60 20" in stage.printed()


async def test_what_is_typed_reaches_the_program(stage: TerminalStage) -> None:
    stage.start("print('go', flush=True); print('got', ascii(input()), ascii(input()))")
    await stage.shows("go")
    assert await stage.host.send_input(RUN, "häß\r", eof=False) == 6
    assert await stage.host.send_input(RUN, "two\r", eof=False) == 4
    assert (await stage.ended(RUN)).code == 0
    assert r"got 'h\xe4\xdf' 'two'" in stage.printed()


async def test_nothing_can_be_typed_into_what_does_not_run(stage: TerminalStage) -> None:
    await stage.ended(stage.start("pass"))
    for run_id in (RUN, "session-0.1"):
        stage.host.confirm(run_id, discard=False)
        with pytest.raises(ConsoleAutomationError):
            await stage.host.send_input(run_id, "x", eof=False)
        with pytest.raises(ConsoleAutomationError):
            await stage.host.resize(run_id, SIZE)


def is_alive(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


FAMILY = """
import os, subprocess, sys, time
depth = int(os.environ.get("DEPTH", "0"))
print(f"pid<{os.getpid()}>", flush=True)
if depth < 2:
    subprocess.Popen([sys.executable, "-c", os.environ["ITSELF"]],
        env={**os.environ, "DEPTH": str(depth + 1)}, start_new_session=True)
time.sleep(1000)
"""


async def test_stopping_leaves_no_process_of_the_session_alive(stage: TerminalStage) -> None:
    """Promise 14: child and grandchild, too, also when the hang-up does not reach them."""
    stage.start(FAMILY, environment={"ITSELF": FAMILY, **dict(os.environ)})
    await until(lambda: stage.printed().count("pid<") >= 3 and stage.printed().count(">") >= 3)
    pids = [int(each.partition(">")[0]) for each in stage.printed().split("pid<")[1:]]
    assert all(map(is_alive, pids))
    stage.host.stop(RUN, signal=1, grace=0.2)
    assert (await stage.ended(RUN)).cause is Cause.CANCEL
    assert not any(map(is_alive, pids))


async def test_a_session_that_is_stopped_at_once_ends_or_never_begins(
    stage: TerminalStage,
) -> None:
    stage.start("import time; time.sleep(1000)")
    stage.host.stop(RUN, signal=9, grace=0.0)
    await until(lambda: stage.observer.exits or stage.observer.found)
    exit = stage.observer.end_of(RUN)
    assert exit.cause is Cause.CANCEL if exit else stage.times_begun() == 0


async def test_stopping_what_does_not_run_changes_nothing(stage: TerminalStage) -> None:
    stage.host.stop("session-0.1", signal=1, grace=1.0)
    ended = await stage.ended(stage.start("raise SystemExit(4)"))
    stage.host.stop(RUN, signal=1, grace=1.0)
    stage.host.confirm(RUN, discard=False)
    stage.host.stop(RUN, signal=1, grace=1.0)
    assert (await stage.ended(stage.start("raise SystemExit(5)", "session-2.1"))).code == 5
    assert stage.observer.end_of(RUN) == ended and ended.cause is Cause.EXIT
    assert stage.observer.end_of("session-0.1") is None


async def test_a_session_in_which_nothing_happens_is_ended(stage: TerminalStage) -> None:
    exit = await stage.ended(stage.start("import time; time.sleep(1000)", idle_timeout=0.3))
    assert exit.cause is Cause.IDLE_TIMEOUT


async def test_a_session_is_open_for_no_longer_than_it_may(stage: TerminalStage) -> None:
    program = "import time\nwhile True: print('busy', flush=True); time.sleep(0.01)"
    exit = await stage.ended(stage.start(program, timeout=0.5, idle_timeout=100.0))
    assert exit.cause is Cause.TIMEOUT


async def test_output_stays_within_its_limit(stage: TerminalStage) -> None:
    """Promise 11: the oldest goes."""
    program = "for n in range(40_000): print(f'line {n:06} ' + 'x' * 40)"
    limit = 262_144
    exit = await stage.ended(stage.start(program, output_limit=limit))
    held = sum(len(chunk.data) for chunk in stage.chunks())
    assert held < limit < exit.output.bytes
    assert exit.output.dropped_bytes == exit.output.bytes - held
    assert "line 039999" in stage.printed()


async def test_a_session_may_be_ended_at_its_limit(stage: TerminalStage) -> None:
    program = "while True: print('x' * 80)"
    limit = {"output_limit": 65_536, "on_output_limit": OnOutputLimit.KILL}
    assert (await stage.ended(stage.start(program, **limit))).cause is Cause.OUTPUT_LIMIT


async def test_a_program_that_does_not_exist_is_a_spawn_error(stage: TerminalStage) -> None:
    what = Command(
        line="none",
        args=(),
        shell=False,
        executable=str(stage.home / "no-such-program"),
        argv=("no-such-program",),
        cwd=str(stage.home),
        environment={},
        terminal=SIZE,
    )
    stage.host.start(RUN, what, before=OutputCounts())
    exit = await stage.ended(RUN)
    assert (exit.cause, exit.code, exit.signal) == (Cause.SPAWN_ERROR, None, None)
    assert exit.error and "no-such-program" in exit.error
    assert (await stage.ended(stage.start("raise SystemExit(5)", "session-2.1"))).code == 5


async def test_a_session_begins_once_however_often_it_is_started(stage: TerminalStage) -> None:
    """Promise 3."""
    for _ in range(3):
        stage.start("raise SystemExit(7)")
    assert (await stage.ended(RUN)).code == 7
    stage.host.confirm(RUN, discard=False)
    stage.start("raise SystemExit(7)")
    await stage.reopen()
    stage.start("raise SystemExit(7)")
    assert (await stage.ended(RUN)).code == 7  # it is on record
    assert stage.times_begun() == 1


async def test_a_session_nobody_knows_is_fenced_and_can_never_begin(stage: TerminalStage) -> None:
    stage.host.adopt(RUN)
    assert await stage.fact(RUN) == RunFacts(hold=Hold.FENCED)
    stage.observer.found.clear()
    stage.start("pass")
    assert await stage.fact(RUN) == RunFacts(hold=Hold.FENCED)
    await stage.reopen()
    stage.host.adopt(RUN)
    assert await stage.fact(RUN) == RunFacts(hold=Hold.FENCED)
    assert stage.times_begun() == 0


async def test_a_session_that_ended_meanwhile_is_found_with_its_exit(
    stage: TerminalStage,
) -> None:
    before = await stage.ended(stage.start("print('bye'); raise SystemExit(5)"))
    for _ in range(2):
        await stage.reopen()
        stage.host.adopt(RUN)
        assert await stage.ended(RUN) == before
    assert "bye" in stage.printed() and stage.times_begun() == 1


async def test_what_becomes_of_a_session_when_its_host_closes_is_the_truth(
    stage: TerminalStage,
) -> None:
    stage.start("print('here', flush=True); import time; time.sleep(1000)")
    await stage.shows("here")
    pid = await stage.begun(RUN)
    told = stage.observer
    await stage.host.close()
    await stage.host.close()
    assert is_alive(pid) is stage.outlives
    assert told.end_of(RUN) is None and not told.failures
    await stage.open()
    stage.host.adopt(RUN)
    stage.host.stop(RUN, signal=1, grace=0.2)
    assert (await stage.ended(RUN)).cause is Cause.CANCEL
    assert not is_alive(pid) and stage.times_begun() == 1


async def test_who_waits_for_output_is_told_of_it_and_of_the_end(stage: TerminalStage) -> None:
    stage.start("print('first', flush=True); input(); print('second', flush=True); input()")
    await asyncio.wait_for(stage.host.wait_for_output(RUN, after=0), PATIENCE)
    await stage.shows("first")
    counts = stage.host.progress(RUN)
    assert counts and counts.bytes and counts.last_sequence
    later = counts.last_sequence + 1_000_000
    waits = [asyncio.create_task(stage.host.wait_for_output(RUN, after=later)) for _ in range(3)]
    waits[0].cancel()
    await stage.host.send_input(RUN, "\r", eof=False)
    await stage.shows("second")
    assert not waits[1].done()
    await stage.host.send_input(RUN, "\r", eof=False)
    await asyncio.wait_for(asyncio.gather(*waits[1:]), PATIENCE)
    await asyncio.wait_for(stage.host.wait_for_output(RUN, after=later), PATIENCE)
    await asyncio.wait_for(stage.host.wait_for_output("session-0.1", after=0), PATIENCE)


async def test_what_a_program_reports_beside_its_output_can_be_read(stage: TerminalStage) -> None:
    assert stage.host.report(RUN, Channel.REPORT) is None
    program = "import os; open(os.environ['CONSOLE_AUTOMATION_REPORT'], 'wb').write(b'news')"
    await stage.ended(stage.start(program))
    assert stage.host.report(RUN, Channel.REPORT) == b"news"


async def test_what_is_discarded_is_gone(stage: TerminalStage) -> None:
    for number, discard in ((1, True), (2, False)):
        run_id = stage.start("print('x')", f"session-{number}.1")
        await stage.ended(run_id)
        stage.host.confirm(run_id, discard=discard)
        stage.host.discard(run_id)
        stage.host.discard(run_id)
    await until(lambda: not list((stage.home / "runs").iterdir()))


async def test_many_sessions_at_once_do_not_mix(stage: TerminalStage) -> None:
    program = "import sys; text = input(); print('mine is', text); sys.exit(int(text))"
    runs = {f"session-{number}.1": number for number in range(12)}
    for run_id in runs:
        stage.start("print('go', flush=True)\n" + program, run_id)
    for run_id, number in runs.items():
        await stage.shows("go", run_id)
        await stage.host.send_input(run_id, f"{number}\r", eof=False)
    for run_id, number in runs.items():
        assert (await stage.ended(run_id)).code == number
        assert f"mine is {number}" in stage.printed(run_id)
        stage.host.confirm(run_id, discard=False)
    await until(lambda: stage.host.capacity["live"] == 0)
