"""A daemon that a busy machine has held up takes its own deafness for nobody's silence."""

import asyncio

import pytest

from console_automation.core.job import OutputCounts
from console_automation.core.session import Session
from console_automation.engine import executions
from console_automation.engine.tracker import Execution
from tests.unit.bench import PROMPT, Bench, Make, in_shell
from tests.waiting import until


class Deaf:
    """A mark that comes as soon as so many wait for more after chunk 2; none of them hears of it."""

    def __init__(self, bench: Bench, mark: bytes, *, waiting: int = 1) -> None:
        self.waiting = 0
        self._host, self._printed = bench.host, bench.printed
        self._mark = mark
        self._enough = waiting
        self._wait = bench.host.wait_for_output

    async def wait_for_output(self, run_id: str, *, after: int) -> None:
        if after == 2:
            self.waiting += 1
            if self.waiting == self._enough:
                self._printed.chunks[run_id].append(self._mark)
                self._host.printed[run_id] = OutputCounts(bytes=99, last_sequence=3)
            await asyncio.Event().wait()
        await self._wait(run_id, after=after)


def begin(execution: Execution) -> bytes:
    return f"\x1b]133;C;{execution.command.id}\x07".encode()


def end(execution: Execution) -> bytes:
    return f"\x1b]133;D;7;{execution.command.id}\x07".encode()


async def typed(make: Make) -> tuple[Bench, Session, Execution]:
    bench, each = await in_shell(make)
    return bench, each, await bench.manager.executions.execute(each, "make")


async def test_a_command_that_begins_meanwhile_is_not_taken_for_lost(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(executions, "_PROMPT_SECONDS", 0.01)
    bench, _, execution = await typed(make)
    deaf = Deaf(bench, begin(execution))
    monkeypatch.setattr(bench.host, "wait_for_output", deaf.wait_for_output)
    bench.print_more(PROMPT)
    await until(lambda: execution.has_begun)
    bench.print_more(end(execution))
    assert (await bench.command(execution.command.id)).exit_code == 7


async def test_a_command_that_begins_meanwhile_is_not_interrupted_again(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(executions, "_UNHEARD_SECONDS", 0.01)
    bench, each, execution = await typed(make)
    deaf = Deaf(bench, begin(execution), waiting=2)
    monkeypatch.setattr(bench.host, "wait_for_output", deaf.wait_for_output)
    bench.print_more(b"make")
    await until(lambda: deaf.waiting == 1)
    await bench.manager.send(each.id, "\x03")
    await until(lambda: deaf.waiting == 2 and not bench.manager._tasks)
    assert execution.has_begun
    assert bench.host.typed[each.run_id].count("\x03") == 1


async def test_a_prompt_that_is_shown_meanwhile_is_seen(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(executions, "_PROMPT_SECONDS", 0.01)
    bench, each, execution = await typed(make)
    deaf = Deaf(bench, PROMPT)
    monkeypatch.setattr(bench.host, "wait_for_output", deaf.wait_for_output)
    bench.print_more(begin(execution) + end(execution))
    assert (await bench.manager.executions.at_rest(each)).at_prompt
    assert deaf.waiting == 1
