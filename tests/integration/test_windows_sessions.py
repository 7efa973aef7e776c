"""Sessions on Windows, as far as another system can show: how they cope with pywinpty's ways."""

import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from console_automation.core.job import Cause, OutputCounts
from console_automation.errors import Unavailable
from tests.builders import script
from tests.integration.contract import fake_winpty
from tests.integration.contract.test_terminal_host import RUN, SIZE, WindowsStage
from tests.waiting import until

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="pywinpty is played by POSIX here")


class NeverClosing(fake_winpty.PtyProcess):
    """A terminal that stays open when its program has ended, until somebody closes it."""

    def read(self, size: int = 1024) -> str:
        try:
            return super().read(size)
        except EOFError:
            self._closed.wait()
            raise OSError("the terminal was closed") from None


class Stumbling(fake_winpty.PtyProcess):
    """A terminal whose every other read fails, or brings nothing."""

    reads = 0

    def read(self, size: int = 1024) -> str:
        self.reads += 1
        if self.reads % 3 == 0:
            raise AttributeError("'str' object has no attribute 'decode'")
        return "" if self.reads % 3 == 1 else super().read(size)


class Unstartable(fake_winpty.PtyProcess):
    """A system that has no terminals."""

    @classmethod
    def spawn(cls, *given: object, **named: object) -> "Unstartable":  # type: ignore[override]
        raise RuntimeError("no pseudo-terminals before Windows 10")


class Deaf(fake_winpty.PtyProcess):
    """A terminal that takes neither text nor size."""

    def write(self, text: str) -> int:
        raise RuntimeError("the pipe is broken")

    def setwinsize(self, rows: int, cols: int) -> None:
        raise RuntimeError("the handle is invalid")


@pytest.fixture
async def stage(home: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[WindowsStage]:
    monkeypatch.setitem(sys.modules, "winpty", fake_winpty)
    opened = WindowsStage(home)
    await opened.open()
    yield opened
    await opened.host.close()


async def test_a_terminal_that_does_not_tell_of_the_end_is_closed(
    stage: WindowsStage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fake_winpty, "PtyProcess", NeverClosing)
    exit = await stage.ended(stage.start("print('the last'); raise SystemExit(3)"))
    assert (exit.cause, exit.code) == (Cause.EXIT, 3)
    assert "the last" in stage.printed()


async def test_a_read_that_stumbles_is_not_the_end(
    stage: WindowsStage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fake_winpty, "PtyProcess", Stumbling)
    stage.start("for n in range(5): print('step', n, flush=True); input()")
    for number in range(5):
        await stage.shows(f"step {number}")
        await stage.host.send_input(RUN, "\r", eof=False)
    assert (await stage.ended(RUN)).code == 0


async def test_whatever_is_raised_when_a_program_is_started_is_a_spawn_error(
    stage: WindowsStage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fake_winpty, "PtyProcess", Unstartable)
    exit = await stage.ended(stage.start("pass"))
    assert (exit.cause, exit.error) == (
        Cause.SPAWN_ERROR,
        "RuntimeError: no pseudo-terminals before Windows 10",
    )


async def test_whatever_is_raised_by_typing_is_told_as_what_it_is(
    stage: WindowsStage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fake_winpty, "PtyProcess", Deaf)
    stage.start("print('on', flush=True); input()")
    await stage.shows("on")
    with pytest.raises(Unavailable):
        await stage.host.send_input(RUN, "x", eof=False)
    with pytest.raises(Unavailable):
        await stage.host.resize(RUN, SIZE)


async def test_an_exit_code_has_32_bits_and_no_sign(
    stage: WindowsStage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fake_winpty.PtyProcess, "exitstatus", -1073741819)  # access violation
    assert (await stage.ended(stage.start("pass"))).code == 0xC000_0005


async def test_the_end_of_input_is_typed_as_the_console_has_it(
    stage: WindowsStage, monkeypatch: pytest.MonkeyPatch
) -> None:
    typed: list[str] = []

    def write(terminal: object, text: str) -> int:
        typed.append(text)
        return len(text)

    monkeypatch.setattr(fake_winpty.PtyProcess, "write", write)
    stage.start("print('on', flush=True); input()")
    await stage.shows("on")
    assert await stage.host.send_input(RUN, "x", eof=True) == 3
    assert typed == ["x\x1a\r"]


async def test_a_job_is_refused_with_the_reason(stage: WindowsStage) -> None:
    stage.host.start("job-1.1", script("true"), before=OutputCounts())
    assert "no jobs" in await until(lambda: stage.observer.refused.get("job-1.1"))


async def test_a_directory_that_cannot_be_made_is_a_refusal(stage: WindowsStage) -> None:
    (stage.home / "runs").rmdir()
    stage.start("pass")
    assert await until(lambda: stage.observer.refused.get(RUN))
    assert stage.times_begun() == 0
    (stage.home / "runs").mkdir()


async def test_a_session_whose_service_was_killed_is_lost(stage: WindowsStage) -> None:
    """Its directory says that it was begun, and nothing of an end: nothing is guessed."""
    (stage.home / "runs" / RUN).mkdir()
    stage.host.adopt(RUN)
    facts = await stage.fact(RUN)
    assert facts.started and facts.exit is None
    (stage.home / "runs" / RUN / "exit").write_text('{"cause": ')  # as a full disk may leave it
    stage.observer.found.clear()
    stage.host.adopt(RUN)
    assert (await stage.fact(RUN)).exit is None
