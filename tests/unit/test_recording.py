"""Recordings: what a player gets is what was printed, when, and how wide the terminal was."""

import json
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from console_automation.core.job import TerminalSize
from console_automation.core.output import Chunk
from console_automation.core.recording import DROPPED, Recording, fitting
from console_automation.core.session import Session, SessionPhase, SessionSpec, Sizing
from console_automation.core.shells import ShellKind
from tests.builders import command


def session(*sizes: tuple[float, int, int], **spec: Any) -> Session:
    """A session that was asked for at 100 and opened at 101; each size is (when, columns, rows)."""
    terminal = TerminalSize(cols=80, rows=24)
    environment = {"TERM": "xterm-256color", "SHELL": "/bin/zsh", "SECRET": "hush"}
    what = command("/bin/bash", "-i", terminal=terminal, environment=environment)
    return Session(
        id="session-1",
        spec=SessionSpec(**{"command": what, "created_at": 100.0, "client": "test", **spec}),
        phase=SessionPhase.OPEN,
        boot_id="this-boot",
        opened_at=101.0,
        sizes=(
            Sizing(at=100.0, size=terminal),
            *(Sizing(at=at, size=TerminalSize(cols=cols, rows=rows)) for at, cols, rows in sizes),
        ),
    )


def chunk(sequence: int, at: float, data: bytes = b"x") -> Chunk:
    return Chunk(sequence, at, "stdout", data)


def made(of: Session, chunks: Sequence[Chunk]) -> tuple[dict[str, Any], list[list[Any]]]:
    """Return the header and the events of a recording."""
    making = Recording(of)
    header, *events = [json.loads(line) for line in (*making.lines(chunks), *making.rest())]
    return header, events


def text_of(events: list[list[Any]]) -> str:
    return "".join(text for _, code, text in events if code == "o")


def test_the_header_says_what_a_player_needs_and_no_secret() -> None:
    header, _ = made(session(name="build\x1b[31m"), [chunk(1, 101.5)])
    assert header == {
        "version": 2,
        "width": 80,
        "height": 24,
        "timestamp": 101,
        "env": {"SHELL": "/bin/zsh", "TERM": "xterm-256color"},
        "title": "build",
    }


def test_the_shell_of_a_shell_session_is_its_program() -> None:
    header, _ = made(session(shell=ShellKind.BASH), [])
    assert header["env"]["SHELL"] == "/bin/bash" and header["title"] == "/bin/bash"


def test_times_count_from_the_opening() -> None:
    _, events = made(session(), [chunk(1, 101.25, b"a"), chunk(2, 161.0000004, b"b")])
    assert events == [[0.25, "o", "a"], [60.0, "o", "b"]]


def test_a_clock_that_was_set_back_does_not_turn_the_recording_back() -> None:
    _, events = made(session(), [chunk(1, 50.0), chunk(2, 103.0), chunk(3, 60.0)])
    assert [event[0] for event in events] == [0.0, 2.0, 2.0]


def test_the_terminal_has_its_size_of_the_time_and_later_ones_are_events() -> None:
    sizes = (102.0, 100, 30), (103.0, 120, 40), (105.0, 60, 20)
    header, events = made(session(*sizes), [chunk(1, 102.5), chunk(2, 103.0), chunk(3, 104.0)])
    assert (header["width"], header["height"]) == (100, 30)
    assert [(code, text) for _, code, text in events] == [
        ("o", "x"),
        ("r", "120x40"),
        ("o", "x"),
        ("o", "x"),
        ("r", "60x20"),
    ]


def test_a_session_without_output_is_a_header() -> None:
    header, events = made(session(), [])
    assert (header["width"], events) == (80, [])


def test_output_that_is_missing_is_marked_where_it_is_missing() -> None:
    _, events = made(session(), [chunk(4, 102.0, b"a"), chunk(5, 102.0, b"b"), chunk(9, 103.0)])
    assert [(code, text) for _, code, text in events] == [
        ("m", DROPPED),
        ("o", "a"),
        ("o", "b"),
        ("m", DROPPED),
        ("o", "x"),
    ]


@given(text=st.text(), cuts=st.lists(st.integers(0, 200)))
def test_no_character_is_broken_wherever_output_is_cut(text: str, cuts: list[int]) -> None:
    data = text.encode("utf-8", "replace")
    ends = [0, *sorted(min(cut, len(data)) for cut in cuts), len(data)]
    pieces = [data[a:b] for a, b in pairwise(ends)]
    chunks = [chunk(number, 102.0, piece) for number, piece in enumerate(pieces, 1)]
    _, events = made(session(), chunks)
    assert text_of(events) == data.decode()


def test_what_is_no_text_is_replaced_also_at_the_very_end() -> None:
    _, events = made(session(), [chunk(1, 102.0, b"a\xff"), chunk(2, 102.0, b"b\xe2\x82")])
    assert text_of(events) == "a\ufffdb\ufffd"


def test_a_recording_read_as_text_acts_on_nobody() -> None:
    """Promise 20: neither controls nor invisible characters are in the file as they are."""
    making = Recording(session())
    lines = "".join(making.lines([chunk(1, 102.0, "\x1b[2J\u202e\U000e0041\x9b".encode())]))
    assert lines.isascii() and "\x1b" not in lines


@given(
    datas=st.lists(st.binary(min_size=1, max_size=4096), min_size=1, max_size=20),
    bound=st.integers(3_000, 50_000),
)
def test_the_newest_part_fits_and_is_as_long_as_can_be(datas: list[bytes], bound: int) -> None:
    chunks = [chunk(number, 102.0, data) for number, data in enumerate(datas, 1)]
    kept = fitting(session(), chunks, bound)
    assert kept and list(kept) == chunks[-len(kept) :]
    if len(kept) > 1:
        making = Recording(session())
        assert sum(map(len, (*making.lines(kept), *making.rest()))) <= bound
    if len(kept) < len(chunks):
        longer = chunks[-len(kept) - 1 :]
        assert sum(len(json.dumps(each.text)) for each in longer) > bound - 4_000


def test_a_session_that_never_opened_counts_from_its_creation() -> None:
    closed = replace(session(), opened_at=None)
    assert made(closed, [chunk(1, 101.0)])[1] == [[1.0, "o", "x"]]
