"""A terminal's sizes: each holds from before the program can have drawn for it."""

from pathlib import Path

from console_automation.adapters.memory_host import MemoryHost
from console_automation.core.job import TerminalSize
from console_automation.core.session import SessionSpec
from tests.builders import command, engine_of
from tests.conftest import Build, FixedClock


class DrawingHost(MemoryHost):
    """A host whose program draws anew before the resize has returned."""

    def __init__(self, clock: FixedClock) -> None:
        super().__init__()
        self.drawn_at = 0.0
        self._clock = clock

    async def resize(self, run_id: str, size: TerminalSize) -> None:
        self.drawn_at = self._clock.now()


async def test_what_is_drawn_for_a_new_size_belongs_to_it(build: Build, tmp_path: Path) -> None:
    clock = FixedClock()
    host = DrawingHost(clock)
    consoles = engine_of(await build(host=host, clock=clock), tmp_path).consoles
    terminal = command("/bin/sh", terminal=TerminalSize(cols=80, rows=24))
    born = await consoles.create(SessionSpec(command=terminal, created_at=0.0, client="test"))
    resized = await consoles.resize(born.id, TerminalSize(cols=100, rows=30))
    assert (resized.size.cols, resized.size.rows) == (100, 30)
    assert resized.sizes[-1].at < host.drawn_at
