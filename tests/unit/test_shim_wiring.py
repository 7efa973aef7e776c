"""What lies between a command and its shim."""

import fcntl
import os
import select
import struct
import termios
from collections.abc import Iterator

import pytest

from console_automation.shim import wiring
from console_automation.shim.capture import STDERR, STDOUT
from tests.waiting import PATIENCE


@pytest.fixture
def terminal() -> Iterator[wiring.Wiring]:
    made = wiring.terminal(97, 41)
    master = made.terminal
    yield made
    made.close()
    for fd in (master, made.writes):
        os.close(fd)


def size_of(fd: int) -> tuple[int, int]:
    rows, cols, _, _ = struct.unpack("HHHH", fcntl.ioctl(fd, termios.TIOCGWINSZ, bytes(8)))
    return cols, rows


def test_a_terminal_has_its_size_before_anybody_sees_it(terminal: wiring.Wiring) -> None:
    assert size_of(terminal.theirs[0]) == (97, 41)


def test_a_terminal_can_have_another_size(terminal: wiring.Wiring) -> None:
    assert terminal.resize(20, 10)
    assert size_of(terminal.theirs[0]) == (20, 10)


def test_all_three_descriptors_of_a_command_are_the_terminal(terminal: wiring.Wiring) -> None:
    assert len(set(terminal.theirs)) == 1
    assert list(terminal.reads.values()) == [STDOUT]


def test_what_is_written_to_the_terminal_is_there_to_read(terminal: wiring.Wiring) -> None:
    os.write(terminal.theirs[1], b"hello")
    [fd] = terminal.reads
    assert select.select([fd], [], [], PATIENCE)[0]
    assert os.read(fd, 100) == b"hello"


@pytest.mark.parametrize(
    ("printed", "reply"),
    [
        (b"plain", b""),
        (b"\x1b[31mred\x1b[0m", b""),
        (b"before\x1b[cafter", b"\x1b[?62;22c"),
        (b"\x1b[0c", b"\x1b[?62;22c"),
        (b"\x1b[5n", b"\x1b[0n"),
        (b"\x1b[6n", b""),
    ],
)
def test_a_terminal_answers_what_has_one_answer(
    terminal: wiring.Wiring, printed: bytes, reply: bytes
) -> None:
    assert terminal.answer(printed) == reply


def test_pipes_answer_nothing_and_have_no_size() -> None:
    made = wiring.pipes(merge=False, has_stdin=True)
    try:
        assert made.answer(b"\x1b[c") == b""
        assert not made.resize(80, 24)
        assert sorted(made.reads.values()) == [STDOUT, STDERR]
    finally:
        made.command_has_its_own()
        for fd in (*made.reads, made.writes):
            os.close(fd)
