"""What real shims promise of a run on a terminal, from its first moment to its last."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

import console_automation
from console_automation.core.job import Cause, Command, Exit, OutputCounts, TerminalSize
from console_automation.errors import Unavailable
from console_automation.shim import wiring
from tests.builders import command, script
from tests.integration.contract.stages import played
from tests.integration.contract.test_run_host import ShimStage, pages
from tests.processes import bearing, is_alive, new_mark, parent_of
from tests.waiting import PATIENCE, until

SIZE = TerminalSize(cols=101, rows=37)
RUN = "job-1.1"
TIMES = 200
BASH = command(
    "/bin/bash",
    "--norc",
    "-i",
    terminal=SIZE,
    environment={"PATH": os.environ["PATH"], "PS1": "$ "},
)


@pytest.fixture
async def stage(home: Path) -> AsyncIterator[ShimStage]:
    async with played(ShimStage(home)) as opened:
        yield opened


def start(stage: ShimStage, what: Command | str, run_id: str = RUN, **fields: Any) -> str:
    if isinstance(what, str):
        what = script(what, **{"terminal": SIZE, **fields})
    stage.host.start(run_id, what, before=OutputCounts())
    return run_id


def python(text: str, *args: str, **fields: Any) -> Command:
    argv = (sys.executable, "-I", "-S", "-c", text, *args)
    return command(*argv, **{"terminal": SIZE, **fields})


def printed(stage: ShimStage, run_id: str = RUN) -> str:
    chunks = [chunk for page in pages(stage.home / "runs", run_id) for chunk in page.chunks]
    assert {chunk.stream for chunk in chunks} <= {"stdout"}
    return b"".join(chunk.data for chunk in chunks).decode()


async def shown(stage: ShimStage, text: str, run_id: str = RUN) -> None:
    await until(lambda: text in printed(stage, run_id), f"{text!r} to be printed")


async def test_a_terminal_has_its_size_before_the_program_looks(stage: ShimStage) -> None:
    for number in range(20):
        run_id = start(stage, command("/bin/stty", "size", terminal=SIZE), f"job-{number}.1")
        assert (await stage.ended(run_id)).code == 0
        assert printed(stage, run_id) == "37 101\r\n"
        stage.host.confirm(run_id, discard=False)


async def test_a_program_has_the_terminal_as_its_controlling_one_and_leads_its_session(
    stage: ShimStage,
) -> None:
    text = "import os; print(os.getsid(0) == os.tcgetpgrp(0) == os.getpid())"
    assert (await stage.ended(start(stage, python(text)))).code == 0
    assert printed(stage) == "True\r\n"
    text = "echo out > /dev/tty; echo err >&2; tty -s && echo tty"
    assert (await stage.ended(start(stage, text, "job-2.1"))).code == 0
    assert printed(stage, "job-2.1") == "out\r\nerr\r\ntty\r\n"


async def test_a_new_size_is_told_to_the_program_in_the_foreground(stage: ShimStage) -> None:
    """Which is not the one that was started: that one waits for it."""
    start(stage, "sh -c 'trap \"stty size; exit 3\" WINCH; echo on; while :; do sleep 0.01; done'")
    await shown(stage, "on\r\n")
    await stage.host.resize(RUN, TerminalSize(cols=60, rows=20))
    assert (await stage.ended(RUN)).code == 3
    assert printed(stage) == "on\r\n20 60\r\n"


@pytest.mark.parametrize("end", [0, 1, 42, 126, 127, 137, 255, "TERM", "HUP", "KILL", "SEGV"])
async def test_codes_and_signals_are_told_apart_on_a_terminal(
    stage: ShimStage, end: int | str
) -> None:
    text = f"exit {end}" if isinstance(end, int) else f"kill -{end} $$"
    exit = await stage.ended(start(stage, text))
    number = None if isinstance(end, int) else int(signal.Signals[f"SIG{end}"])
    assert (exit.cause, exit.code, exit.signal) == (
        Cause.EXIT,
        end if number is None else None,
        number,
    )


async def test_a_program_that_prints_and_exits_at_once_loses_nothing(stage: ShimStage) -> None:
    """Promise 8, on a terminal, whose other side is read only when the kernel has passed it on."""

    async def print_and_exit(number: int) -> None:
        lines = 2000 if number % 10 == 0 else 1
        run_id = start(stage, f"seq {lines}; printf %s {number}", f"job-{number}.1")
        exit = await stage.ended(run_id)
        expected = "".join(f"{line}\r\n" for line in range(1, lines + 1)) + str(number)
        assert (printed(stage, run_id), exit.output.bytes) == (expected, len(expected))
        stage.host.confirm(run_id, discard=False)

    turn = asyncio.Semaphore(10)

    async def in_turn(number: int) -> None:
        async with turn:
            await print_and_exit(number)

    await asyncio.gather(*(in_turn(number) for number in range(TIMES)))


async def test_a_shell_that_is_hung_up_ends_and_says_so(stage: ShimStage) -> None:
    """SIGTERM, which comes first for jobs, is ignored by a shell that is used interactively."""
    start(stage, BASH)
    await shown(stage, "$ ")
    stage.host.stop(RUN, signal=signal.SIGHUP, grace=PATIENCE)
    exit = await stage.ended(RUN)
    assert (exit.cause, exit.code, exit.signal) == (Cause.CANCEL, None, signal.SIGHUP)


@pytest.mark.parametrize("hang_up", [False, True])
async def test_a_deadline_hangs_up_or_terminates_as_was_asked(
    stage: ShimStage, hang_up: bool
) -> None:
    """The first is for sessions, the second for jobs, on a terminal or not."""
    traps = "trap 'echo hung up; exit 1' HUP; trap 'echo terminated; exit 2' TERM"
    text = f"{traps}; while :; do sleep 0.01; done"
    run_id = start(stage, text, timeout=0.3, hang_up=hang_up, grace=PATIENCE)
    exit = await stage.ended(run_id)
    assert (exit.cause, exit.code) == (Cause.TIMEOUT, 1 if hang_up else 2)
    assert printed(stage).endswith("hung up\r\n" if hang_up else "terminated\r\n")


async def test_a_shell_that_ignores_sigterm_is_hung_up_before_it_is_killed(
    stage: ShimStage,
) -> None:
    start(stage, BASH)
    await shown(stage, "$ ")
    stage.host.stop(RUN, signal=signal.SIGTERM, grace=2.0)
    exit = await stage.ended(RUN)
    assert (exit.cause, exit.code, exit.signal) == (Cause.CANCEL, None, signal.SIGHUP)


async def test_a_program_that_takes_its_time_after_sigterm_has_it(stage: ShimStage) -> None:
    text = "trap 'sleep 0.3; echo saved; exit 5' TERM; echo on; while :; do sleep 0.01; done"
    start(stage, text)
    await shown(stage, "on\r\n")
    stage.host.stop(RUN, signal=signal.SIGTERM, grace=PATIENCE)
    exit = await stage.ended(RUN)
    assert (exit.cause, exit.code) == (Cause.CANCEL, 5)
    assert printed(stage).endswith("saved\r\n")


async def test_what_ignores_a_hang_up_is_killed_when_the_grace_is_over(stage: ShimStage) -> None:
    mark = new_mark()
    start(stage, BASH)
    await shown(stage, "$ ")
    lines = (
        f"nohup sleep {mark} >/dev/null 2>&1 &\r",
        f"setsid sh -c 'trap \"\" HUP TERM; sleep {mark}; :' &\r",
    )
    for line in lines:
        await stage.host.send_input(RUN, line, eof=False)
    await until(lambda: len(bearing(mark)) == 3, "the shell's children")
    stage.host.stop(RUN, signal=signal.SIGHUP, grace=0.2)
    assert (await stage.ended(RUN)).cause is Cause.CANCEL
    assert bearing(mark) == []


async def test_a_program_that_closes_all_it_has_and_writes_to_its_terminal_later_is_heard(
    stage: ShimStage,
) -> None:
    text = f"""
import os, time
os.write(1, b"before\\n")
for fd in (0, 1, 2): os.close(fd)
while not os.path.exists({str(stage.home / "go")!r}): time.sleep(0.005)
os.write(os.open("/dev/tty", os.O_RDWR), b"after\\n")
os._exit(4)
"""
    start(stage, python(text))
    await shown(stage, "before\r\n")
    (stage.home / "go").touch()
    assert (await stage.ended(RUN)).code == 4
    assert printed(stage) == "before\r\nafter\r\n"


async def test_a_session_in_which_nothing_happens_is_ended(stage: ShimStage) -> None:
    exit = await stage.ended(start(stage, "stty -echo; cat", idle_timeout=0.05))
    assert (exit.cause, exit.code) == (Cause.IDLE_TIMEOUT, None)


async def test_typing_counts_as_something_that_happens(stage: ShimStage) -> None:
    """Though nothing is printed: the terminal does not echo, and nobody reads."""
    limit, typed = 1.0, 0
    start(stage, "stty -echo; echo on; sleep 1000", idle_timeout=limit)
    await shown(stage, "on\r\n")
    loop = asyncio.get_running_loop()
    until_then = loop.time() + 2.5 * limit
    while loop.time() < until_then:
        typed += await stage.host.send_input(RUN, "x", eof=False)
        await asyncio.sleep(limit / 50)
    assert stage.observer.end_of(RUN) is None and typed > 2
    assert (await stage.ended(RUN)).cause is Cause.IDLE_TIMEOUT


@pytest.mark.parametrize("settings", ["", "noflsh"])
@pytest.mark.parametrize("lines", [2_000, 100_000])
@pytest.mark.parametrize(("key", "name"), [("\x03", "INT"), ("\x1c", "QUIT"), ("\x1a", "TSTP")])
async def test_an_interrupt_key_passes_by_what_nobody_reads(
    stage: ShimStage, key: str, name: str, lines: int, settings: str
) -> None:
    """A few lines fill the kernel's side, many ours too."""
    trap = f"trap 'echo heard; exit 9' {name}; echo on; while :; do sleep 0.01; done"
    start(stage, f"stty -echo {settings}; {trap}")
    await shown(stage, "on\r\n")
    text = "line\n" * lines
    assert await stage.host.send_input(RUN, text, eof=False) == len(text)
    assert await stage.host.send_input(RUN, key, eof=False) == 1
    assert (await stage.ended(RUN)).code == 9
    assert printed(stage).endswith("heard\r\n")


async def test_what_waited_in_front_of_an_interrupt_key_is_dropped(stage: ShimStage) -> None:
    text = "trap 'caught=1' INT; stty -echo; echo on; while [ ! $caught ]; do sleep 0.01; done"
    start(stage, f'{text}; echo up; read line; echo "<$line>"')
    await shown(stage, "on\r\n")
    for keys in ("line\n" * 100_000, "\x03"):
        assert await stage.host.send_input(RUN, keys, eof=False) == len(keys)
    await shown(stage, "up\r\n")
    await stage.host.send_input(RUN, "next\n", eof=False)
    assert (await stage.ended(RUN)).code == 0
    assert printed(stage).endswith("up\r\n<next>\r\n")


async def test_an_interrupt_key_that_is_an_ordinary_one_comes_next(stage: ShimStage) -> None:
    """The program sees what the kernel had taken already, then the key, and nothing in between."""
    text = f"""
import os, sys, time, tty
tty.setraw(0)
os.write(1, b"on")
while not os.path.exists({str(stage.home / "go")!r}): time.sleep(0.005)
size = 0
while True:
    data = os.read(0, 65536)
    size += len(data)
    if b"\x03" in data: break
os.write(1, b"key" if data.endswith(b"\x03") and size < 500_000 else b"late")
"""
    start(stage, python(text))
    await shown(stage, "on")
    for keys in ("x" * 500_000, "\x03"):
        assert await stage.host.send_input(RUN, keys, eof=False) == len(keys)
    (stage.home / "go").touch()
    assert (await stage.ended(RUN)).code == 0
    assert printed(stage) == "onkey"


async def test_an_interrupt_key_with_nothing_in_front_is_typed(stage: ShimStage) -> None:
    start(stage, "trap 'exit 9' INT; echo on; while :; do sleep 0.01; done")
    await shown(stage, "on\r\n")
    assert await stage.host.send_input(RUN, "\x03", eof=False) == 1
    assert (await stage.ended(RUN)).code == 9
    assert printed(stage) == "on\r\n^C"


@pytest.mark.parametrize(
    ("pieces", "read"),
    [
        ([""], ""),
        (["one\n"], "one\n"),
        (["one\ntw"], "one\ntw"),
        (["one\n", "tw", ""], "one\ntw"),
        (["tw", "o\n", ""], "two\n"),
        (["ü"], "ü"),
        (["gone\x15"], ""),
    ],
)
async def test_a_reader_is_told_once_that_nothing_more_comes(
    stage: ShimStage, pieces: list[str], read: str
) -> None:
    """Not twice: what is read after it, by whomever, is still open."""
    start(stage, 'stty -echo; echo on; cat; echo over; read -r more; echo "<$more>"')
    await shown(stage, "on\r\n")
    for number, piece in enumerate(pieces, 1):
        size = len(piece.encode())
        assert await stage.host.send_input(RUN, piece, eof=number == len(pieces)) == size
    await shown(stage, "over\r\n")
    await stage.host.send_input(RUN, "more\n", eof=False)
    assert (await stage.ended(RUN)).code == 0
    assert printed(stage) == f"on\n{read}over\n<more>\n".replace("\n", "\r\n")


async def test_the_end_of_input_is_whatever_key_the_terminal_has_for_it(stage: ShimStage) -> None:
    start(
        stage, "stty -echo eof ^A; echo on; cat; stty eof undef; echo off; read -r line; echo $line"
    )
    await shown(stage, "on\r\n")
    assert await stage.host.send_input(RUN, "one", eof=True) == 3
    await shown(stage, "off\r\n")
    assert await stage.host.send_input(RUN, "two", eof=True) == 3
    await stage.host.send_input(RUN, "\n", eof=False)
    assert (await stage.ended(RUN)).code == 0
    assert printed(stage) == "on\r\noneoff\r\ntwo\r\n"


async def test_a_program_that_edits_lines_itself_gets_the_key_once(stage: ShimStage) -> None:
    text = """
import os, tty
tty.setraw(0)
os.write(1, b"on")
data = b""
while b"end" not in data: data += os.read(0, 100)
os.write(1, repr(data).encode())
"""
    start(stage, python(text))
    await shown(stage, "on")
    await stage.host.send_input(RUN, "ab", eof=True)
    await stage.host.send_input(RUN, "end", eof=False)
    assert (await stage.ended(RUN)).code == 0
    assert printed(stage) == r"onb'ab\x04end'"


async def test_the_end_of_input_waits_behind_what_is_not_read_yet(stage: ShimStage) -> None:
    text = f"stty -echo; echo on; until [ -e {stage.home}/go ]; do sleep 0.01; done; wc -c"
    start(stage, text)
    await shown(stage, "on\r\n")
    line = "x" * 99 + "\n"
    assert await stage.host.send_input(RUN, line * 2000, eof=True) == 200_000
    (stage.home / "go").touch()
    assert (await stage.ended(RUN)).code == 0
    assert printed(stage).split() == ["on", "200000"]


def spawn_error(exit: Exit) -> str:
    assert (exit.cause, exit.code, exit.signal) == (Cause.SPAWN_ERROR, None, None)
    assert exit.error
    return exit.error


async def a_shim_is_alive_and_well(stage: ShimStage) -> None:
    stage.host.confirm(RUN, discard=False)
    for number in range(2, 5):
        run_id = start(stage, "exit 5", f"job-{number}.1")
        assert (await stage.ended(run_id)).code == 5
        stage.host.confirm(run_id, discard=False)
    assert not stage.observer.failures and not stage.observer.found
    assert "Traceback" not in (stage.home / "log").read_text()


async def test_a_size_that_no_terminal_can_have_is_a_spawn_error(stage: ShimStage) -> None:
    impossible = TerminalSize(cols=70_000, rows=-1)
    start(stage, "exit 0", terminal=impossible)
    assert "EINVAL" in spawn_error(await stage.ended(RUN))
    await a_shim_is_alive_and_well(stage)


async def test_a_size_that_no_terminal_can_have_is_not_taken_by_a_live_one(
    stage: ShimStage,
) -> None:
    start(stage, "echo on; read line; stty size")
    await shown(stage, "on\r\n")
    await stage.host.resize(RUN, TerminalSize(cols=70_000, rows=-1))
    await stage.host.send_input(RUN, "go\r", eof=False)
    assert (await stage.ended(RUN)).code == 0
    assert "37 101" in printed(stage)
    await a_shim_is_alive_and_well(stage)


async def test_a_program_that_cannot_be_executed_on_a_terminal_is_a_spawn_error(
    stage: ShimStage, tmp_path: Path
) -> None:
    bad = tmp_path / "bad"
    bad.write_text("#!/nowhere/at/all\n")
    bad.chmod(0o755)
    start(stage, command(str(bad), terminal=SIZE))
    assert "ENOENT" in spawn_error(await stage.ended(RUN))
    await a_shim_is_alive_and_well(stage)


def test_no_descriptor_is_left_of_a_terminal_whose_size_is_refused() -> None:
    before = os.listdir("/proc/self/fd")
    for _ in range(3):
        with pytest.raises(OSError, match="Invalid argument"):
            wiring.terminal(cols=70_000, rows=-1)
    assert os.listdir("/proc/self/fd") == before


LAUNCHER_WITHOUT_TERMINALS = """
import errno, os, socket, sys
sys.path.append(sys.argv[0].rpartition("/")[0] + "/product")
from console_automation.shim import launcher

def no_terminal():
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "/dev/ptmx")

os.openpty = no_terminal
launcher.main(socket.socket(fileno=int(sys.argv[1])), sys.argv[2], int(sys.argv[3]))
"""


async def test_no_terminal_left_is_a_spawn_error(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The shims are those of a machine that has no more terminals to give."""
    (tmp_path / "product").symlink_to(Path(console_automation.__file__).parents[1])
    (tmp_path / "launcher.py").write_text(LAUNCHER_WITHOUT_TERMINALS)
    monkeypatch.setattr("console_automation.shim.launcher.__file__", str(tmp_path / "launcher.py"))
    stage = ShimStage(home)
    await stage.open()
    start(stage, "exit 0")
    assert "ENOSPC" in spawn_error(await stage.ended(RUN))
    stage.host.confirm(RUN, discard=False)
    plain = start(stage, script("exit 5"), "job-2.1")
    assert (await stage.ended(plain)).code == 5
    assert "Traceback" not in (home / "log").read_text()
    await stage.host.close()


async def test_those_who_wait_for_later_output_are_not_woken_by_earlier_output(
    stage: ShimStage,
) -> None:
    start(stage, "stty -echo; echo 1; while read line; do echo $line; done")
    await shown(stage, "1\r\n")
    late = asyncio.create_task(stage.host.wait_for_output(RUN, after=3))
    early = asyncio.create_task(stage.host.wait_for_output(RUN, after=1))
    await stage.host.send_input(RUN, "2\r", eof=False)
    await asyncio.wait_for(early, PATIENCE)
    await shown(stage, "2\r\n")
    assert not late.done()
    for line in "345":
        await stage.host.send_input(RUN, f"{line}\r", eof=False)
    await asyncio.wait_for(late, PATIENCE)
    counts = stage.host.progress(RUN)
    assert counts and counts.last_sequence > 3


async def test_who_asks_before_a_shim_has_dialled_the_next_daemon_is_answered_when_it_has(
    stage: ShimStage,
) -> None:
    start(stage, "echo on; read a; exit $a")
    await shown(stage, "on\r\n")
    await stage.reopen()
    stage.host.adopt(RUN)
    await stage.host.resize(RUN, TerminalSize(cols=66, rows=22))
    assert await stage.host.send_input(RUN, "6\r", eof=False) == 2
    assert (await stage.ended(RUN)).code == 6
    with pytest.raises(Unavailable):
        await stage.host.send_input("job-0.1", "x", eof=False)


async def test_a_terminal_is_as_it_was_for_the_next_daemon(stage: ShimStage) -> None:
    start(stage, "echo on; read a; read b; stty size; echo $b $a; exit 6")
    await shown(stage, "on\r\n")
    pid = await stage.begun(RUN)
    await stage.host.send_input(RUN, "one\r", eof=False)
    await stage.reopen()
    stage.host.adopt(RUN)
    await stage.begun(RUN)
    assert is_alive(pid) and parent_of(pid)
    await stage.host.resize(RUN, TerminalSize(cols=66, rows=22))
    await stage.host.send_input(RUN, "two\r", eof=False)
    assert (await stage.ended(RUN)).code == 6
    assert printed(stage).endswith("22 66\r\ntwo one\r\n")
