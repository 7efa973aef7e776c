"""Screens drawn when somebody looks: the same whether they looked before or not, near or far behind."""

from pathlib import Path

import pytest

from console_automation.adapters.output_log import SegmentLog
from console_automation.adapters.screen import TerminalScreen
from console_automation.core.job import OutputCounts, TerminalSize
from console_automation.core.lifecycle import Started
from console_automation.core.screen import ScreenSnapshot
from console_automation.core.session import Resized, Session, SessionSpec, advance, new_session
from console_automation.engine.screens import Screens
from console_automation.shim.capture import STDOUT, Capture
from tests.builders import command

FAR = 400 << 10  #: bytes: more than what a screen is drawn from


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
        self.made = 0
        self.screens = self.another()
        self.at = 1.0

    def another(self) -> Screens:
        """Somebody who has never looked."""
        return Screens(self._log, self._make)

    def _make(self, cols: int, rows: int) -> TerminalScreen:
        self.made += 1
        return TerminalScreen(cols, rows)

    def _apply(self, event: Started | Resized) -> None:
        self.session, _ = advance(self.session, event)

    def print(self, data: bytes) -> None:
        self.at += 1.0
        self._capture.take(STDOUT, data, self.at)

    def resize(self, cols: int, rows: int) -> None:
        self.at += 1.0
        self._apply(Resized(at=self.at, size=TerminalSize(cols=cols, rows=rows)))

    async def look(self, screens: Screens | None = None) -> ScreenSnapshot:
        counts = OutputCounts(
            bytes=self._capture.printed, last_sequence=self._capture.last_sequence
        )
        snapshot, cursor = await (screens or self.screens).look(self.session, counts)
        assert cursor == self._capture.last_sequence
        return snapshot


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    return Stage(tmp_path)


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
