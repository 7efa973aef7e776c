"""Screens drawn when somebody looks: the same whether they looked before or not, near or far behind."""

import asyncio
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from console_automation.adapters.output_log import SegmentLog
from console_automation.adapters.screen import TerminalScreen
from console_automation.core.job import OutputCounts, TerminalSize
from console_automation.core.lifecycle import Started
from console_automation.core.output import Page
from console_automation.core.screen import ScreenSnapshot
from console_automation.core.session import Resized, Session, SessionSpec, advance, new_session
from console_automation.engine.screens import Screens
from console_automation.shim.capture import STDOUT, Capture
from tests.builders import command
from tests.waiting import PATIENCE, until

FAR = 400 << 10  #: bytes: more than what a screen is drawn from


class SlowScreen(TerminalScreen):
    """A screen for which time passes as it draws, and that knows who draws at the same time."""

    def __init__(self, cols: int, rows: int, clock: "Clock") -> None:
        super().__init__(cols, rows)
        self.clock = clock
        self.drawn = 0
        self._drawing = threading.Lock()

    def feed(self, data: bytes) -> None:
        assert self._drawing.acquire(blocking=False), "two draw on one screen"
        try:
            self.clock.gate.wait(PATIENCE)
            super().feed(data)
            self.clock.time += len(data) * self.clock.per_byte
            self.drawn += len(data)
        finally:
            self._drawing.release()


class Clock:
    """The time as a test has it pass, and a gate that a test may close before who draws."""

    def __init__(self) -> None:
        self.time = 0.0
        self.per_byte = 0.0
        self.gate = threading.Event()
        self.gate.set()


class Stage:
    """A session whose program prints what the test says, and somebody who looks."""

    def __init__(self, runs: Path) -> None:
        spec = SessionSpec(
            command=command(terminal=TerminalSize(cols=40, rows=6)), created_at=0.0, client="test"
        )
        self.session: Session = new_session("session-1", spec, boot_id="this-boot")
        self._apply(Started(at=0.0, run_id="session-1.1", pid=1))
        (runs / "session-1.1").mkdir()
        self._capture = Capture(
            str(runs / "session-1.1"),
            limit=16 << 20,
            drop_newest=False,
            printed=0,
            last_sequence=0,
        )
        self._log = SegmentLog(runs)
        self.emulators: list[SlowScreen] = []
        self.clock = Clock()
        self._opened: list[Screens] = []
        self.screens = self.another()
        self.at = 1.0

    def another(self) -> Screens:
        """Somebody who has never looked."""
        self._opened.append(Screens(self._log, self._make, now=lambda: self.clock.time))
        return self._opened[-1]

    def close(self) -> None:
        self.clock.gate.set()
        for screens in self._opened:
            screens.close()

    @property
    def made(self) -> int:
        return len(self.emulators)

    def _make(self, cols: int, rows: int) -> TerminalScreen:
        self.emulators.append(SlowScreen(cols, rows, self.clock))
        return self.emulators[-1]

    def before_each_read(self, happens: Callable[[], None]) -> None:
        """Let something happen whenever a page is read."""
        read = self._log.read

        def more_and_read(run_id: str, **how: Any) -> Page:
            happens()
            return read(run_id, **how)

        self._log.read = more_and_read  # type: ignore[method-assign]

    def _apply(self, event: Started | Resized) -> None:
        self.session, _ = advance(self.session, event)

    def print(self, data: bytes) -> None:
        self.at += 1.0
        self._capture.take(STDOUT, data, self.at)

    def resize(self, cols: int, rows: int) -> None:
        self.at += 1.0
        self._apply(Resized(at=self.at, size=TerminalSize(cols=cols, rows=rows)))

    def counts(self) -> OutputCounts:
        return OutputCounts(bytes=self._capture.printed, last_sequence=self._capture.last_sequence)

    async def look(self, screens: Screens | None = None) -> ScreenSnapshot:
        counts = self.counts()
        snapshot, cursor = await (screens or self.screens).look(self.session, counts)
        assert cursor == counts.last_sequence
        return snapshot

    async def look_as(self, session_id: str) -> ScreenSnapshot:
        """Look as if this was another session with the same output."""
        other = replace(self.session, id=session_id)
        return (await self.screens.look(other, self.counts()))[0]


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    stage = Stage(tmp_path)
    yield stage
    stage.close()


async def test_who_looks_again_sees_what_was_printed_since(stage: Stage) -> None:
    stage.print(b"one\r\n")
    assert (await stage.look()).lines[:2] == ("one", "")
    stage.print(b"two\r\n")
    assert (await stage.look()).lines[:2] == ("one", "two")
    assert stage.made == 1


async def test_who_looks_for_the_first_time_sees_the_same(stage: Stage) -> None:
    for piece in (b"one\r\n", b"\x1b[2;5Htwo", b"\x1b]2;title\x07"):
        stage.print(piece)
        await stage.look()
    assert await stage.look(stage.another()) == await stage.look()


async def test_a_flood_is_drawn_from_its_end_alone(stage: Stage) -> None:
    await stage.look()
    stage.print(b"".join(b"line %d\r\n" % number for number in range(FAR // 8)))
    seen = await stage.look()
    last = FAR // 8 - 1
    assert seen.lines[-2:] == (f"line {last}", "")
    assert stage.made == 2


async def test_modes_set_before_a_flood_hold_after_it(stage: Stage) -> None:
    stage.print(b"shell$ \x1b[?1049h\x1b]2;editor\x07\x1b[?25l")
    stage.print(b"\x1b[Hx" * (FAR // 4))
    seen = await stage.look()
    assert (seen.alternate, seen.title, seen.cursor_visible) == (True, "editor", False)


async def test_output_is_drawn_at_the_size_the_terminal_had_then(stage: Stage) -> None:
    stage.print(b"a" * 50)
    stage.resize(60, 6)
    stage.print(b"b" * 15)
    fresh = await stage.look(stage.another())
    assert (fresh.cols, fresh.rows) == (60, 6)
    assert fresh.lines[:2] == ("a" * 40, "a" * 10 + "b" * 15)


async def test_a_screen_has_the_new_size_before_anything_is_printed_at_it(stage: Stage) -> None:
    stage.print(b"text")
    await stage.look()
    stage.resize(10, 3)
    seen = await stage.look()
    assert (seen.cols, seen.rows, seen.lines) == (10, 3, ("text", "", ""))


async def test_a_scroll_region_ends_with_the_size_it_was_for(stage: Stage) -> None:
    stage.print(b"\x1b[2;3r")
    stage.resize(40, 8)
    stage.print(b"x\r\n" * (FAR // 3))
    stage.print(b"\x1b[H\x1b[J1\r\n2\r\n3\r\n4\r\n5")
    assert (await stage.look()).lines[:5] == ("1", "2", "3", "4", "5")


async def test_what_is_forgotten_is_drawn_anew(stage: Stage) -> None:
    stage.print(b"text")
    await stage.look()
    stage.screens.forget("session-1")
    assert (await stage.look()).lines[0] == "text"
    assert stage.made == 2


# On somebody's own terminal


@pytest.mark.parametrize(
    "printed",
    [
        b"$ ls\r\none two\r\n$ ",
        b"$ \x1b[?1049h\x1b[2;4Hedited\x1b[?25l\x1b]2;editor\x07",
        b"\x1b[?1049h" + b"\x1b[H\x1b[Kx" * (FAR // 8) + b"\x1b[2;2Hlast",
        b"\x1b(0" + b"q" * FAR + b"\r\n\x1b(Bplain",
        b"1\xe2\x82\xac" * (FAR // 4) + b"\r\nend",
    ],
)
async def test_another_terminal_shows_the_same_after_what_it_is_to_print(
    stage: Stage, printed: bytes
) -> None:
    for at in range(0, len(printed), 50_000):
        stage.print(printed[at : at + 50_000])
    shown, cursor = await stage.screens.again(stage.session, stage.counts())
    other = TerminalScreen(40, 6)
    other.feed(shown)
    assert other.snapshot() == await stage.look()
    assert cursor == stage.counts().last_sequence
    assert len(shown) < FAR // 2


async def test_what_is_shown_again_asks_and_rings_no_more(stage: Stage) -> None:
    stage.print(b"\x1b[31mred\x1b[m\x07\x1b[6n\x1b]52;c;aGk=\x07")
    shown, _ = await stage.screens.again(stage.session, stage.counts())
    assert b"\x1b[31mred" in shown
    assert not any(each in shown for each in (b"\x07", b"\x1b[6n", b"\x1b]52"))


async def test_where_nothing_was_printed_there_is_nothing_to_show(stage: Stage) -> None:
    assert await stage.screens.again(stage.session, stage.counts()) == (b"", 0)


# What looking costs


async def test_output_that_takes_too_long_to_draw_is_drawn_from_its_newest_part(
    stage: Stage,
) -> None:
    await stage.look()
    stage.print(b"x" * (64 << 10) + b"\x1b]2;" + b"never ended" * 4000 + b"\x1b[2J\x1b[Hthe end")
    stage.clock.per_byte = 1 / 8192  # a second for two chunks
    assert (await stage.look()).lines[0] == "the end"
    assert stage.emulators[0].drawn < 32 << 10
    stage.print(b"!")
    assert (await stage.look()).lines[0] == "the end!"


async def test_output_that_is_drawn_in_time_is_drawn_whole(stage: Stage) -> None:
    await stage.look()
    stage.print(b"x" * (64 << 10))
    stage.clock.per_byte = 1 / (1 << 20)
    await stage.look()
    assert stage.emulators[0].drawn == 64 << 10


async def test_a_search_for_modes_that_takes_too_long_goes_on_at_the_end(stage: Stage) -> None:
    stage.print(b"\x1b[?1049h" + b"\x1b[m" * (FAR // 3) + b"\x1b]2;never ended")
    for _ in range(40):
        stage.print(b"x" * (64 << 10))
    stage.print(b"\x1b[2J\x1b[Hthe end")

    reads = 0

    def slower_and_slower() -> None:
        nonlocal reads
        reads += 1
        stage.clock.time += (reads - 1) * 2.0

    stage.before_each_read(slower_and_slower)
    seen = await stage.look()
    assert (seen.alternate, seen.lines[0], seen.title) == (True, "the end", "")
    assert reads == 2


async def test_what_is_printed_while_somebody_looks_is_not_followed(stage: Stage) -> None:
    stage.print(b"before\r\n")
    last = stage.counts()
    stage.before_each_read(lambda: stage.print(b"x" * (3 << 19)))
    seen, cursor = await stage.screens.look(stage.session, last)
    assert (seen.lines[:2], cursor) == (("before", ""), last.last_sequence)


async def test_who_looks_at_one_screen_at_once_waits_for_each_other(stage: Stage) -> None:
    stage.print(b"text")
    looks = []
    stage.clock.gate.clear()
    for _ in range(5):
        looks.append(asyncio.create_task(stage.look()))
        await asyncio.sleep(0)
    await until(lambda: stage.made, "the first drawing")
    stage.print(b" more")
    looks.append(asyncio.create_task(stage.look()))
    await asyncio.sleep(0)
    stage.clock.gate.set()
    await asyncio.wait(looks, return_when=asyncio.FIRST_COMPLETED)
    looks += [asyncio.create_task(stage.look()) for _ in range(3)]
    assert [each.lines[0] for each in await asyncio.gather(*looks)][-4:] == ["text more"] * 4
    assert stage.made == 1


async def test_a_look_that_is_given_up_leaves_its_screen_to_nobody_else(stage: Stage) -> None:
    stage.print(b"text")
    await stage.look()
    stage.clock.gate.clear()
    stage.print(b" more")
    given_up = asyncio.create_task(stage.look())
    await asyncio.sleep(0)
    given_up.cancel()
    with pytest.raises(asyncio.CancelledError):
        await given_up
    second = asyncio.create_task(stage.look())
    await until(lambda: stage.made == 2, "a screen of its own")
    stage.clock.gate.set()
    assert (await second).lines[0] == "text more"


async def test_drawing_leaves_the_threads_of_others_alone(stage: Stage) -> None:
    stage.print(b"text")
    stage.clock.gate.clear()
    looks = [asyncio.create_task(stage.look(stage.another())) for _ in range(2)]
    looks += [asyncio.create_task(stage.look_as(f"session-{number}")) for number in range(2, 42)]
    await until(lambda: stage.made >= 2, "drawings that stand still")
    assert await asyncio.wait_for(asyncio.to_thread(lambda: "done"), PATIENCE) == "done"
    stage.clock.gate.set()
    await asyncio.gather(*looks)


async def test_closing_does_not_wait_for_a_drawing(stage: Stage) -> None:
    stage.print(b"text")
    stage.clock.gate.clear()
    look = asyncio.create_task(stage.look())
    await until(lambda: stage.made, "a drawing that stands still")
    stage.screens.close()
    assert not look.done()
    stage.clock.gate.set()
    assert (await look).lines[0] == "text"
