"""A run in this process, with the test as its daemon: what a shim does when its daemon is slow."""

import os
import signal
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Self

import pytest

from console_automation.shim import run as module
from console_automation.shim import shim
from console_automation.shim.processes import NEVER
from console_automation.shim.protocol import Link, Message, decode, encode
from console_automation.shim.run import Run
from tests.waiting import PATIENCE

ORDER = shim._REHEARSAL


@pytest.fixture
def wake() -> Iterator[int]:
    """The descriptor that is readable when a child has ended."""
    before = signal.signal(signal.SIGCHLD, lambda *_: None)
    fd = shim.be_woken()
    yield fd
    os.close(signal.set_wakeup_fd(-1))
    os.close(fd)
    signal.signal(signal.SIGCHLD, before)


class Line:
    """The daemon's end of the line to a shim that is this process."""

    def __init__(self) -> None:
        self.ours, theirs = socket.socketpair()
        self.ours.settimeout(PATIENCE)
        self.link = Link("", os.getpid())
        self.link.attach(theirs)
        self._buffer = bytearray()
        self._heard: list[Message] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.ours.close()
        self.link.hang_up()

    def hear(self, word: str) -> Message:
        """Return the shim's next message of a kind."""
        while True:
            while self._heard:
                if word in (message := self._heard.pop(0)):
                    return message
            self._buffer += self.ours.recv(65536)
            self._heard += decode(self._buffer)

    def say(self, message: Message) -> None:
        """Say something to the shim."""
        self.ours.sendall(encode(message))


def begin(
    line: Line, directory: Path, wake: int, *, is_last: bool = False, **wanted: object
) -> Run:
    order = ORDER | {"directory": str(directory), **wanted}
    return Run(order, line.link, wake, subreaper=False, is_last=is_last)


@pytest.fixture
def forced(monkeypatch: pytest.MonkeyPatch) -> threading.Event:
    """Set when a shim has forced its record, which here it does at once."""
    done = threading.Event()
    monkeypatch.setattr(module, "RECORDED_SECONDS", 0.0)
    monkeypatch.setattr(module.os, "fsync", lambda fd: done.set())
    return done


def test_a_shim_whose_daemon_is_slow_to_record_an_end_is_there_for_the_next_run(
    tmp_path: Path, wake: int, forced: threading.Event
) -> None:
    def daemon() -> None:
        assert line.hear("exited")["reusable"]
        assert forced.wait(PATIENCE)
        line.say({"recorded": ORDER["run"], "discard": False})
        line.say(ORDER | {"run": "next"})

    with Line() as line:
        other = threading.Thread(target=daemon)
        other.start()
        assert begin(line, tmp_path / "run", wake).supervise()
        assert (line.link.next_order() or {})["run"] == "next"
        other.join()


@pytest.mark.parametrize("is_last", [True, False], ids=["its last run", "the daemon is gone"])
def test_a_shim_with_nothing_to_wait_for_forces_its_record_and_leaves(
    tmp_path: Path, wake: int, forced: threading.Event, is_last: bool
) -> None:
    def daemon() -> None:
        assert line.hear("exited")["reusable"] is not is_last
        if not is_last:
            line.ours.close()

    with Line() as line:
        other = threading.Thread(target=daemon)
        other.start()
        assert not begin(line, tmp_path / "run", wake, is_last=is_last).supervise()
        other.join()
    assert forced.is_set()


@pytest.mark.parametrize(
    ("data", "eof", "counts"), [("x", False, True), ("", True, True), ("", False, False)]
)
def test_a_terminal_is_in_use_as_long_as_something_is_typed(
    tmp_path: Path, wake: int, data: str, eof: bool, counts: bool
) -> None:
    """To type nothing is to ask whether all that was printed has been read."""
    terminal = {"cols": 80, "rows": 24}
    with Line() as line:
        run = begin(line, tmp_path / "run", wake, terminal=terminal, idle_timeout=60.0)
        assert run.idle_at == NEVER
        run._obey({"input": run.run_id, "data": data, "eof": eof, "ticket": 1})
        assert line.hear("accepted")["ticket"] == 1
        assert (run.idle_at != NEVER) is counts
