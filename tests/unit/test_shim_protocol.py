"""The wire between shim and daemon: frames survive any cut, and the shim's end never blocks."""

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from console_automation.shim.protocol import VERSION, Link, Message, decode, encode

TEXTS = st.text(max_size=40) | st.binary(max_size=40).map(os.fsdecode)
MESSAGES = st.dictionaries(TEXTS, TEXTS | st.integers() | st.none() | st.booleans(), max_size=5)


@given(st.lists(MESSAGES, max_size=8), st.lists(st.integers(1, 200), min_size=1))
def test_messages_come_whole_and_in_order_wherever_the_stream_is_cut(
    messages: list[Message], cuts: list[int]
) -> None:
    stream = b"".join(map(encode, messages))
    buffer, found, turn = bytearray(), list[Message](), 0
    while stream:
        cut = cuts[turn % len(cuts)]
        buffer += stream[:cut]
        stream, turn = stream[cut:], turn + 1
        found += decode(buffer)
    assert (found, buffer) == (messages, bytearray())


def test_a_frame_waits_for_its_last_byte() -> None:
    frame = encode({"watch": "job-1.1", "after": 7})
    for size in range(len(frame)):
        buffer = bytearray(frame[:size])
        assert (decode(buffer), buffer) == ([], frame[:size])


@pytest.fixture
def listener(home: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(home / "s"))
        server.listen(1)
        yield server


@pytest.fixture
def link(listener: socket.socket) -> Iterator[Link]:
    """A link whose run is live, not dialled yet."""
    link = Link(listener.getsockname(), pid=7)
    yield link
    link.hang_up()


def dialled(link: Link, listener: socket.socket) -> socket.socket:
    """Dial and return the daemon's end of the line."""
    assert link.dial("job-1.1")
    line, _ = listener.accept()
    assert decode(bytearray(line.recv(1000))) == [{"hello": VERSION, "pid": 7, "run": "job-1.1"}]
    return line


def test_without_a_listener_messages_are_dropped_and_the_next_dial_is_put_off(home: Path) -> None:
    link = Link(str(home / "nobody"), pid=7)
    assert not link.dial(None)
    assert link.redial_at > 0
    link.send({"output": "job-1.1"})
    assert (link.has_unsent, link.receive(), link.next_order()) == (False, [], None)


def test_a_daemon_that_stops_reading_blocks_no_shim(link: Link, listener: socket.socket) -> None:
    """Promise 5: a job must not stand still because the daemon does."""
    with dialled(link, listener) as line:
        for _ in range(100):
            link.send({"output": "x" * 10_000})
        assert link.has_unsent
        found, buffer = list[Message](), bytearray()
        while len(found) < 100:
            buffer += line.recv(1 << 20)
            found += decode(buffer)
            link.flush()
        assert not link.has_unsent


def test_a_daemon_that_stops_accepting_blocks_no_shim(link: Link, listener: socket.socket) -> None:
    """Promise 5: with its backlog full, the daemon is as good as not there."""
    links = [Link(link.path, pid=7) for _ in range(10)]
    answers = [each.dial("job-1.1") for each in links]
    assert answers[0] and not answers[-1]
    for each in links:
        each.hang_up()


def test_a_line_that_ends_may_be_dialled_again_at_once(link: Link, listener: socket.socket) -> None:
    dialled(link, listener).close()
    assert link.receive() == []
    assert (link.socket, link.redial_at) == (None, 0.0)
    dialled(link, listener).close()


def test_half_a_frame_of_the_old_line_does_not_spoil_the_new_one(
    link: Link, listener: socket.socket
) -> None:
    with dialled(link, listener) as line:
        line.sendall(encode({"stop": "job-1.1"})[:9])
        assert link.receive() == []
    assert link.receive() == []
    with dialled(link, listener) as line:
        line.sendall(encode({"recorded": "job-1.1", "discard": True}))
        assert link.receive() == [{"recorded": "job-1.1", "discard": True}]


def test_an_order_that_came_early_is_the_next_one(link: Link, listener: socket.socket) -> None:
    with dialled(link, listener):
        link.keep({"run": "job-2.1"})
        link.keep({"stop": "job-2.1"})
        assert link.next_order() == {"run": "job-2.1"}
        assert link.take_kept() == [{"stop": "job-2.1"}]
        assert link.take_kept() == []
    assert link.next_order() is None


def test_what_is_said_right_after_an_order_is_for_its_run(
    link: Link, listener: socket.socket
) -> None:
    """Promise 14: a cancel that arrives together with the order must not be lost."""
    messages: list[Message] = [
        {"recorded": "job-1.1", "discard": False},  # old news
        {"run": "job-2.1"},
        {"watch": "job-2.1", "after": 0},
        {"stop": "job-2.1", "cause": "cancel"},
    ]
    with dialled(link, listener) as line:
        line.sendall(b"".join(map(encode, messages)))
        assert link.next_order() == messages[1]
        assert link.take_kept() == messages[2:]
