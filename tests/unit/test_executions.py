"""Commands in sessions, over fakes: typed once, and each with a true end or one that is not known."""

import asyncio
import threading
from dataclasses import replace
from typing import Any

import pytest

from console_automation.core.job import Cause, OutputCounts
from console_automation.core.output import Page
from console_automation.core.session import (
    CommandStatus,
    Session,
    SessionCommand,
)
from console_automation.engine import executions
from console_automation.engine.observer import RunOwners
from console_automation.engine.tracker import Execution, Tracker
from console_automation.errors import (
    Conflict,
    Unavailable,
)
from tests.unit.bench import PROMPT, Bench, Make, NoObserver, break_store, in_shell
from tests.waiting import PATIENCE, until

ID = "0123456789abcdef"
BEGIN, END = f"\x1b]133;C;{ID}\x07".encode(), f"\x1b]133;D;7;{ID}\x07".encode()


async def begun(make: Make, line: str) -> tuple[Bench, Session, Execution]:
    """Return a command that has begun in a shell."""
    bench, each = await in_shell(make)
    execution = await bench.manager.executions.execute(each, line)
    mark = f"\x1b]133;C;{execution.command.id}\x07".encode()
    bench.printed.chunks[each.run_id].append(mark)
    return bench, each, execution


async def test_a_command_is_on_record_before_it_is_typed(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench, each = await in_shell(make)
    with monkeypatch.context() as broken:
        break_store(bench, broken, "save_command")
        with pytest.raises(Unavailable):
            await bench.manager.executions.execute(each, "make")
    assert each.run_id not in bench.host.typed
    execution = await bench.manager.executions.execute(each, "make")
    [known] = await bench.store.sessions.commands(each.id, limit=9)
    assert known == execution.command and known.status is CommandStatus.RUNNING
    assert f"__console_begin {known.id}" in bench.host.typed[each.run_id][0]


async def test_a_command_that_could_not_be_typed_is_in_nobodys_way(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench, each = await in_shell(make)

    async def fails(run_id: str, text: str, *, eof: bool) -> int:
        raise Unavailable("no answer")

    with monkeypatch.context() as silent:
        silent.setattr(bench.host, "send_input", fails)
        with pytest.raises(Unavailable):
            await bench.manager.executions.execute(each, "make")
    [known] = await bench.store.sessions.commands(each.id, limit=9)
    assert known.status is CommandStatus.UNKNOWN
    await bench.manager.executions.execute(each, "make")


async def test_a_command_is_refused_while_another_runs(make: Make) -> None:
    bench, each = await in_shell(make)
    answers = await asyncio.gather(
        *(bench.manager.executions.execute(each, "make") for _ in range(5)), return_exceptions=True
    )
    assert sum(isinstance(answer, Conflict) for answer in answers) == 4
    with pytest.raises(Conflict, match="still running"):
        await bench.manager.executions.execute(each, "make")
    assert len(bench.host.typed[each.run_id]) == 1


@pytest.mark.parametrize(
    ("code", "cause", "expected"),
    [
        (5, Cause.EXIT, 5),
        (0, Cause.EXIT, 0),
        (None, Cause.CANCEL, None),
        (None, Cause.IDLE_TIMEOUT, None),
    ],
)
async def test_a_command_that_ends_its_session_has_the_exit_code_of_that_if_it_was_its_own_doing(
    make: Make, code: int | None, cause: Cause, expected: int | None
) -> None:
    bench, each, execution = await begun(make, "exit 5")
    bench.host.finish(each.run_id, code=code, cause=cause)
    await asyncio.wait_for(execution.settled.wait(), PATIENCE)
    known = await bench.command(execution.command.id)
    assert known.exit_code == expected
    assert (known.status is CommandStatus.UNKNOWN) is (expected is None)


async def test_a_command_that_never_began_has_not_the_exit_code_of_its_shell(make: Make) -> None:
    bench, each = await in_shell(make)
    execution = await bench.manager.executions.execute(each, "make")
    bench.host.finish(each.run_id, code=0)
    await asyncio.wait_for(execution.settled.wait(), PATIENCE)
    assert (await bench.command(execution.command.id)).status is CommandStatus.UNKNOWN


async def test_of_two_commands_on_record_as_running_the_earlier_one_is_over(make: Make) -> None:
    bench, each, execution = await begun(make, "make")
    earlier = replace(execution.command, id=ID, typed_at=1.0)
    await bench.store.sessions.save_command(earlier)
    executions = bench.manager.executions
    await executions.resume(each, earlier, is_latest=False)
    assert (await bench.command(ID)).status is CommandStatus.UNKNOWN
    assert (await executions.tracker(each)).execution is execution


async def test_a_command_in_a_session_that_is_lost_has_an_unknown_end(make: Make) -> None:
    bench, each = await in_shell(make)
    execution = await bench.manager.executions.execute(each, "make")
    bench.host.lose(each.run_id)
    await asyncio.wait_for(execution.settled.wait(), PATIENCE)
    assert (await bench.command(execution.command.id)).status is CommandStatus.UNKNOWN


async def test_a_command_that_was_lost_on_its_way_is_not_followed_beyond_the_end_of_its_session(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Waiting for more from a run that is over takes no time: asked again and again, it is all that the
    daemon ever does."""
    monkeypatch.setattr(executions, "_PROMPT_SECONDS", PATIENCE)
    bench, each = await in_shell(make)
    waits = []
    waited = bench.host.wait_for_output

    async def wait(run_id: str, *, after: int) -> None:
        waits.append(after)
        assert len(waits) <= 2
        await waited(run_id, after=after)

    monkeypatch.setattr(bench.host, "wait_for_output", wait)
    execution = await bench.manager.executions.execute(each, "make")
    await until(lambda: waits == [1])
    bench.print_more(b"^C\r\n" + PROMPT)
    await until(lambda: waits == [1, 2])
    follower = bench.manager.executions._followers[each.id]
    bench.host.finish(each.run_id, code=0)
    await asyncio.wait_for(follower, PATIENCE)
    await asyncio.wait_for(execution.settled.wait(), PATIENCE)
    assert (await bench.command(execution.command.id)).status is CommandStatus.UNKNOWN


async def test_who_waits_for_a_command_is_told_of_its_end_though_that_cannot_be_stored(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench, each, execution = await begun(make, "exit 5")
    with monkeypatch.context() as broken:
        break_store(bench, broken, "save_command")
        bench.host.finish(each.run_id, code=5)
        await asyncio.wait_for(execution.settled.wait(), PATIENCE)
    assert execution.command.exit_code == 5


async def test_an_interrupt_that_a_shell_has_missed_is_repeated_until_it_is_at_its_prompt(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    for patience in ("_UNHEARD_SECONDS", "_PROMPT_SECONDS"):
        monkeypatch.setattr(executions, patience, 0.01)
    bench, each = await in_shell(make)
    execution = await bench.manager.executions.execute(each, "make")
    await bench.manager.send(each.id, "\x03")
    await until(lambda: bench.host.typed[each.run_id].count("\x03") >= 3)
    bench.print_more(b"^C\r\n" + PROMPT)
    known = await bench.command(execution.command.id)
    assert (known.status, known.exit_code) == (CommandStatus.UNKNOWN, None)
    await until(lambda: not bench.manager._tasks)


async def test_a_command_that_has_begun_is_interrupted_as_often_as_that_is_asked(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(executions, "_UNHEARD_SECONDS", 0.0)
    bench, each, _ = await begun(make, "make")
    await bench.manager.executions.tracker(each)
    for _ in range(2):
        await bench.manager.send(each.id, "\x03")
        await until(lambda: not bench.manager._tasks)
    assert bench.host.typed[each.run_id][1:] == ["\x03", "\x03"]


async def test_a_command_whose_end_the_terminal_threw_away_at_an_interrupt_is_over_at_the_prompt(
    make: Make,
) -> None:
    bench, each, execution = await begun(make, "make")
    await bench.manager.executions.tracker(each)
    await bench.manager.send(each.id, "\x03")
    bench.print_more(b"^C\r\n" + PROMPT)
    known = await bench.command(execution.command.id)
    assert (known.status, known.exit_code) == (CommandStatus.UNKNOWN, None)


async def test_an_interrupt_is_not_repeated_for_the_next_command(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(executions, "_UNHEARD_SECONDS", 0.0)
    bench, each, execution = await begun(make, "make")
    interrupted = bench.manager.executions.interrupt(each.id)
    assert interrupted is execution
    ended = f"\x1b]133;D;130;{execution.command.id}\x07".encode()
    bench.print_more(ended + PROMPT)
    await bench.manager.executions.execute(each, "make again")
    await bench.manager.executions.interrupted(each, execution)
    assert "\x03" not in bench.host.typed[each.run_id]


async def test_a_command_that_may_have_begun_in_output_that_is_lost_is_interrupted_once(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(executions, "_UNHEARD_SECONDS", 0.0)
    bench, each = await in_shell(make)
    await bench.manager.executions.execute(each, "make")
    bench.print_more(None, b"more")
    await bench.manager.executions.tracker(each)
    await bench.manager.send(each.id, "\x03")
    await until(lambda: not bench.manager._tasks)
    assert bench.host.typed[each.run_id].count("\x03") == 1


async def test_output_is_followed_once_though_whoever_waited_for_it_gave_up(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench, each = await in_shell(make)
    tracker = Tracker(each.run_id, bench.printed, bench.host)
    command = SessionCommand(id=ID, session_id=each.id, line="make", typed_at=2.0, since=1)
    tracker.execution = Execution(command, kept=99)
    bench.printed.chunks[each.run_id].append(BEGIN + b"once")
    reading, may_go_on, read = threading.Event(), threading.Event(), bench.printed.read

    def slowly(*args: Any, **more: Any) -> Page:
        page = read(*args, **more)
        if not reading.is_set():
            reading.set()
            assert may_go_on.wait(PATIENCE)
        return page

    done: list[None] = []
    catch_up = tracker._catch_up
    monkeypatch.setattr(tracker, "_catch_up", lambda: done.append(catch_up()))
    monkeypatch.setattr(bench.printed, "read", slowly)
    gives_up = asyncio.create_task(tracker.catch_up())
    assert await asyncio.to_thread(reading.wait, PATIENCE)
    gives_up.cancel()
    await asyncio.wait([gives_up])
    counts = OutputCounts(bytes=99, last_sequence=2)
    monkeypatch.setattr(bench.host, "progress", lambda run_id: counts)
    stays = asyncio.create_task(tracker.catch_up())
    await asyncio.sleep(0)  # it has had its turn
    may_go_on.set()
    await stays
    await until(lambda: len(done) == 2)
    assert bytes(tracker.execution.output) == b"once"


# What was typed before a restart: what is printed by now, how the session is, and what is said of it.


async def taken_up(
    make: Make,
    *chunks: bytes | None,
    before: tuple[bytes | None, ...] = (PROMPT,),
    since: int = 1,
    over: bool = False,
) -> Bench:
    """Return a bench opened on a session with a command whose end nobody has seen."""
    bench, each = await in_shell(make)
    await bench.manager.close()
    bench.host._observer = RunOwners(NoObserver())
    typed = SessionCommand(id=ID, session_id=each.id, line="make", typed_at=2.0, since=since)
    await bench.store.sessions.save_command(typed)
    bench.printed.chunks[each.run_id] = [*before, *chunks]
    if over:
        bench.host.finish(each.run_id, code=3)
    await bench.open()
    await bench.manager.executions.tracker(await bench.manager.get(each.id))
    return bench


async def test_a_command_that_ended_meanwhile_has_its_exit_code(make: Make) -> None:
    bench = await taken_up(make, BEGIN + b"out\r\n", b"more" + END, PROMPT)
    known = await bench.command(ID)
    assert (known.exit_code, known.until, known.began_at, known.ended_at) == (7, 3, 7.0, 8.0)
    tracker = bench.manager.executions._trackers["session-0001"]
    assert tracker.execution and bytes(tracker.execution.output) == b"out\r\nmore"
    assert tracker.at_prompt


async def test_a_command_that_ended_before_its_session_did_has_its_own_exit_code(
    make: Make,
) -> None:
    bench = await taken_up(make, BEGIN + END + PROMPT, over=True)
    assert (await bench.command(ID)).exit_code == 7


async def test_a_command_that_ended_its_session_meanwhile_has_the_exit_code_of_that(
    make: Make,
) -> None:
    bench = await taken_up(make, BEGIN, over=True)
    assert (await bench.command(ID)).exit_code == 3


async def test_a_command_that_has_not_begun_by_then_has_an_unknown_end(make: Make) -> None:
    bench = await taken_up(make)
    known = await bench.command(ID)
    assert (known.status, known.exit_code) == (CommandStatus.UNKNOWN, None)


async def test_a_command_that_still_runs_is_followed_to_its_end(make: Make) -> None:
    bench = await taken_up(make, BEGIN + b"working")
    each = await bench.manager.get("session-0001")
    tracker = await bench.manager.executions.tracker(each)
    assert tracker.is_executing and not tracker.at_prompt
    [known] = await bench.store.sessions.commands(each.id, limit=9)
    assert known.status is CommandStatus.RUNNING
    with pytest.raises(Conflict, match=ID):
        await bench.manager.executions.execute(each, "make")
    bench.print_more(END + PROMPT)
    assert (await bench.command(ID)).exit_code == 7


# What is missing in the output: the oldest of a flood, or what a full disk did not take.


async def test_a_command_whose_beginning_is_lost_is_followed_to_its_end_however_silent_it_is(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(executions, "_PROMPT_SECONDS", 0.0)
    bench = await taken_up(make, None, None, b"the end of a flood")
    [known] = await bench.store.sessions.commands("session-0001", limit=9)
    assert known.status is CommandStatus.RUNNING
    bench.print_more(b"and " + END + PROMPT)
    assert (await bench.command(ID)).exit_code == 7


async def test_a_command_whose_end_is_lost_has_an_unknown_end_once_the_shell_is_at_its_prompt(
    make: Make,
) -> None:
    bench = await taken_up(make, BEGIN)
    bench.print_more(None, b"more")
    [known] = await bench.store.sessions.commands("session-0001", limit=9)
    assert known.status is CommandStatus.RUNNING
    bench.print_more(PROMPT)
    known = await bench.command(ID)
    assert (known.status, known.exit_code, known.until) == (CommandStatus.UNKNOWN, None, 5)
    await bench.manager.executions.execute(await bench.manager.get("session-0001"), "make")


async def test_what_was_lost_before_a_command_was_typed_does_not_matter_to_it(make: Make) -> None:
    bench = await taken_up(make, BEGIN + b"out", before=(None, None, PROMPT), since=3)
    bench.print_more(PROMPT)  # of a shell within the command
    bench.print_more(END)
    assert (await bench.command(ID)).exit_code == 7


async def test_a_prompt_within_a_command_of_which_nothing_is_lost_does_not_end_it(
    make: Make,
) -> None:
    bench = await taken_up(make, BEGIN, PROMPT, b"more", END)
    assert (await bench.command(ID)).exit_code == 7


async def test_output_that_the_disk_did_not_take_does_not_end_the_following(make: Make) -> None:
    bench = await taken_up(make, BEGIN)
    bench.host.prints("session-0001.1", OutputCounts(bytes=99, last_sequence=6))
    tracker = bench.manager.executions._trackers["session-0001"]
    await until(lambda: tracker.cursor == 6)
    bench.print_more(None, None, None, None, END)
    assert (await bench.command(ID)).exit_code == 7


async def test_a_shell_that_has_not_read_its_command_yet_does_not_wait_for_more(
    make: Make,
) -> None:
    """It waits on its terminal as one does that wants an answer, until it is its turn to run."""
    bench, each = await in_shell(make)
    execution = await bench.manager.executions.execute(each, "read answer")
    tracker = await bench.manager.executions.tracker(each)
    assert not tracker.has_read
    bench.printed.chunks[each.run_id].append(b"read")
    await tracker.catch_up()
    assert tracker.has_read and not execution.has_begun
