"""A run under a shim of its own, with the test as its daemon: what a shim does when its daemon is slow."""

import os
import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from console_automation.shim import run as module
from console_automation.shim import shim
from console_automation.shim.processes import NEVER
from console_automation.shim.protocol import Link, Message, decode, encode
from console_automation.shim.run import Run
from tests.waiting import PATIENCE

ORDER = shim._REHEARSAL
REUSABLE, FORCED = 1, 2  # what the exit code of the shim tells


class Line:
    """A line to a shim, with both of its ends."""

    def __init__(self) -> None:
        self.ours, theirs = socket.socketpair()
        self.ours.settimeout(PATIENCE)
        self.link = Link("", os.getpid())
        self.link.attach(theirs)
        self.exit_code: int | None = None
        self._buffer = bytearray()
        self._heard: list[Message] = []

    def hear(self, word: str) -> Message:
        """Return the shim's next message of a kind."""
        while True:
            while self._heard:
                if word in (message := self._heard.pop(0)):
                    return message
            data = self.ours.recv(65536)
            assert data, f"the shim is gone, and has not said {word}"
            self._buffer += data
            self._heard += decode(self._buffer)

    def say(self, message: Message) -> None:
        """Say something to the shim."""
        self.ours.sendall(encode(message))

    def close(self) -> None:
        """Close both ends. Idempotent."""
        self.ours.close()
        self.link.hang_up()


@contextmanager
def shim_with(directory: Path, *, is_last: bool = False) -> Iterator[Line]:
    """Have a process of its own carry out a run of `true`, with no patience for its daemon."""
    line = Line()
    pid = os.fork()
    if pid == 0:
        line.ours.close()
        os._exit(_carry_out(line.link, ORDER | {"directory": str(directory)}, is_last=is_last))
    line.link.hang_up()
    try:
        yield line
    finally:
        line.close()
        line.exit_code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def _carry_out(link: Link, order: Message, *, is_last: bool) -> int:
    found = 0

    def force(fd: int) -> None:
        nonlocal found
        found |= FORCED
        link.send({"forced": True})

    module.RECORDED_SECONDS = 0.0
    module.os.fsync = force  # type: ignore[assignment]
    signal.signal(signal.SIGCHLD, lambda *_: None)
    run = Run(order, link, shim.be_woken(), subreaper=True, is_last=is_last)
    if run.supervise():
        found |= REUSABLE
        link.send({"next": (link.next_order() or {}).get("run")})
    return found


def test_a_shim_whose_daemon_is_slow_to_record_an_end_is_there_for_the_next_run(
    tmp_path: Path,
) -> None:
    with shim_with(tmp_path / "run") as line:
        assert line.hear("exited")["reusable"]
        line.hear("forced")
        line.say({"recorded": ORDER["run"], "discard": False})
        line.say(ORDER | {"run": "another"})
        assert line.hear("next")["next"] == "another"
    assert line.exit_code == FORCED | REUSABLE


@pytest.mark.parametrize("is_last", [True, False], ids=["its last run", "the daemon is gone"])
def test_a_shim_with_nothing_to_wait_for_forces_its_record_and_leaves(
    tmp_path: Path, is_last: bool
) -> None:
    with shim_with(tmp_path / "run", is_last=is_last) as line:
        assert line.hear("exited")["reusable"] is not is_last
    assert line.exit_code == FORCED


@pytest.mark.parametrize(
    ("data", "eof", "counts"), [("x", False, True), ("", True, True), ("", False, False)]
)
def test_a_terminal_is_in_use_as_long_as_something_is_typed(
    tmp_path: Path, data: str, eof: bool, counts: bool
) -> None:
    """To type nothing is to ask whether all that was printed has been read."""
    line = Line()
    terminal = {"cols": 80, "rows": 24}
    order = ORDER | {"directory": str(tmp_path), "terminal": terminal, "idle_timeout": 60.0}
    run = Run(order, line.link, -1, subreaper=False, is_last=False)
    assert run.idle_at == NEVER
    run._obey({"input": run.run_id, "data": data, "eof": eof, "ticket": 1})
    assert line.hear("accepted")["ticket"] == 1
    assert (run.idle_at != NEVER) is counts
    line.close()
