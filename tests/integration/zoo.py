"""Processes of many shapes that have to be ended, and bystanders that must not be hit.

Every process of a shape bears its mark, a number, in its arguments; the environment may be emptied.
"""

import os
import signal
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field

from console_automation.adapters.sweep import VARIABLE
from console_automation.app import App
from tests.processes import census, new_mark
from tests.waiting import until


@dataclass
class Zoo:
    """Something of every shape, and bystanders of whom nobody may take notice.

    `shapes` are shell lines with `{mark}` in them, and how many processes come to bear it.
    """

    app: App
    shapes: Mapping[str, tuple[str, int]]
    _marks: dict[str, str] = field(default_factory=dict)
    _bystanders: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def line(self, name: str) -> str:
        """Return the line of a shape, with a mark that no other process bears."""
        mark = self._marks[name] = new_mark()
        return self.shapes[name][0].format(mark=mark)

    def add_stranger(self, name: str, run_id: str) -> None:
        """Start a process that looks much like one of a shape's run, but is not."""
        words = ["sleep", self._marks[name]]
        stranger = subprocess.Popen(words, env={**os.environ, VARIABLE: run_id})
        self._bystanders.append(stranger)

    async def until_grown(self) -> None:
        """Return when every shape has all its processes."""
        await until(lambda: not self._small(), "all shapes to have their processes")

    def _small(self) -> list[str]:
        alive = self.alive()
        return [n for n, (_, count) in self.shapes.items() if len(alive.get(n, ())) < count]

    def alive(self) -> dict[str, list[int]]:
        """Return the live processes of each shape."""
        strangers = {each.pid for each in self._bystanders}
        found = census()
        pids = {n: set(found.get(mark, ())) - strangers for n, mark in self._marks.items()}
        return {name: sorted(left) for name, left in pids.items() if left}

    def clear(self) -> None:
        """Leave nothing of it. The bystanders must have lived through it all."""
        lived = [each.poll() is None for each in self._bystanders]
        for each in self._bystanders:
            each.kill()
            each.wait()
        for pids in self.alive().values():
            for pid in pids:
                os.kill(pid, signal.SIGKILL)
        assert all(lived), "a bystander was hit"
