"""A command's stdin, from the shim's side: what is accepted is written, and nobody is waited for."""

import os
import select
from collections.abc import Iterator

import pytest

from console_automation.shim.stdin import LIMIT, Stdin


class Pipe:
    """A stdin, and the command's end of it."""

    def __init__(self, *, ends: bool) -> None:
        self.reader, writer = os.pipe()
        self.poll = select.poll()
        self.stdin = Stdin(writer, self.poll, ends=ends)

    def read_all(self) -> bytes:
        """Read as the command would, the shim writing on whenever the poll says so."""
        found = b""
        os.set_blocking(self.reader, False)
        while True:
            if self.stdin.fd in [fd for fd, _ in self.poll.poll(0)]:
                self.stdin.write()
            try:
                data = os.read(self.reader, 1 << 16)
            except BlockingIOError:
                return found
            if not data:
                return found
            found += data

    def is_at_its_end(self) -> bool:
        os.set_blocking(self.reader, False)
        try:
            return os.read(self.reader, 1) == b""
        except BlockingIOError:
            return False

    def close(self) -> None:
        self.stdin.close()
        os.close(self.reader)


@pytest.fixture
def given() -> Iterator[Pipe]:
    """A command that was started with its input."""
    pipe = Pipe(ends=True)
    yield pipe
    pipe.close()


@pytest.fixture
def kept() -> Iterator[Pipe]:
    """A command whose stdin is kept open."""
    pipe = Pipe(ends=False)
    yield pipe
    pipe.close()


def test_input_given_at_the_start_is_written_whole_and_then_ends(given: Pipe) -> None:
    data = os.urandom(3 * LIMIT)
    given.stdin.feed(data)
    assert given.stdin.fd >= 0, "a pipe does not take that much at once"
    assert given.read_all() == data
    assert given.stdin.fd == -1 and given.is_at_its_end()


def test_no_input_at_all_is_an_end_at_once(given: Pipe) -> None:
    given.stdin.feed(b"")
    assert given.is_at_its_end()


def test_input_given_at_the_start_takes_no_more(given: Pipe) -> None:
    given.stdin.feed(os.urandom(LIMIT))
    assert given.stdin.accept(b"more", eof=False) == -1


def test_a_kept_stdin_takes_input_until_it_is_told_to_end(kept: Pipe) -> None:
    assert kept.stdin.accept(b"one", eof=False) == 3
    assert kept.read_all() == b"one" and not kept.is_at_its_end()
    assert kept.stdin.accept(b"two", eof=True) == 3
    assert kept.read_all() == b"two" and kept.is_at_its_end()
    assert kept.stdin.accept(b"three", eof=False) == -1


def test_no_more_is_accepted_than_is_worth_keeping_and_its_end_waits_for_the_rest(
    kept: Pipe,
) -> None:
    data = os.urandom(2 * LIMIT)
    first = kept.stdin.accept(data, eof=True)
    assert first == LIMIT
    found = kept.read_all()
    assert found == data[:first] and not kept.is_at_its_end()
    assert kept.stdin.accept(data[first:], eof=True) == LIMIT
    assert found + kept.read_all() == data and kept.is_at_its_end()


def test_what_is_beyond_the_limit_already_takes_no_more(kept: Pipe) -> None:
    data = os.urandom(3 * LIMIT)
    kept.stdin.feed(data)
    assert kept.stdin.accept(b"x" * 3 * LIMIT, eof=True) == 0
    assert kept.read_all() == data and not kept.is_at_its_end()


def test_answers_that_nobody_reads_are_dropped_whole(kept: Pipe) -> None:
    reply = b"0123456789"
    for _ in range(2 * LIMIT // len(reply)):
        kept.stdin.answer(reply)
    found = kept.read_all()
    assert LIMIT - len(reply) < len(found) < LIMIT + (1 << 17) and len(found) % len(reply) == 0
    kept.stdin.answer(reply)
    assert kept.read_all() == reply


def test_what_was_dropped_is_not_written_and_what_comes_next_is(kept: Pipe) -> None:
    assert not kept.stdin.is_waiting
    kept.stdin.accept(b"a" * LIMIT, eof=False)
    assert kept.stdin.is_waiting
    kept.stdin.drop()
    assert not kept.stdin.is_waiting
    kept.stdin.accept(b"b", eof=False)
    found = kept.read_all()
    assert found[-1:] == b"b" and found.count(b"b") == 1 and len(found) < LIMIT


def test_a_command_that_reads_no_more_closes_its_stdin(kept: Pipe) -> None:
    kept.stdin.accept(os.urandom(LIMIT), eof=False)
    os.close(kept.reader)
    kept.reader = os.open(os.devnull, os.O_RDONLY)
    assert [fd for fd, _ in kept.poll.poll(0)] == [kept.stdin.fd]
    kept.stdin.write()
    assert kept.stdin.fd == -1 and kept.poll.poll(0) == []
    assert kept.stdin.accept(b"x", eof=False) == -1


def test_closing_may_be_repeated(kept: Pipe) -> None:
    kept.stdin.close()
    kept.stdin.close()
    assert kept.is_at_its_end()
